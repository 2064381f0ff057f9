"""Recorded conversations as a capture file, so that no test needs the right to listen to a network.

Raw IPv4 packets with TCP headers whose numbers are right: handshake, data with its acknowledgements, FIN. Time is
counted, not taken: the same conversation gives the same file.
"""

import struct
from collections.abc import Iterable

from .recorder import Direction

LINKTYPE_RAW = 101
SNAP_OCTETS = 262_144
SEGMENT_OCTETS_MAX = 1_460  # of an Ethernet: long PDUs must be put together by who reads them
SYN, ACK, FIN, PSH = 0x02, 0x10, 0x01, 0x08
CLIENT, SERVER = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
STEP_US = 1_000

Chunks = Iterable[tuple[Direction, bytes]]


class Capture:
    """A capture file in the making; `octets` is the file."""

    def __init__(self) -> None:
        self._packets = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAP_OCTETS, LINKTYPE_RAW)]
        self._now_us = 1_795_385_600_000_000
        self.frames = 0

    @property
    def octets(self) -> bytes:
        return b"".join(self._packets)

    def add(self, chunks: Chunks, client_port: int, server_port: int) -> None:
        """One connection, from its handshake to its end. A chunk begins a packet of its own."""
        stream = _Stream(self, client_port, server_port)
        stream.send("up", SYN)
        stream.send("down", SYN | ACK)
        stream.send("up", ACK)
        for way, data in chunks:
            for at in range(0, len(data), SEGMENT_OCTETS_MAX):
                stream.send(way, PSH | ACK, data[at : at + SEGMENT_OCTETS_MAX])
        stream.send("up", FIN | ACK)
        stream.send("down", FIN | ACK)
        stream.send("up", ACK)

    def put(self, packet: bytes) -> None:
        seconds, micros = divmod(self._now_us, 1_000_000)
        self._now_us += STEP_US
        self.frames += 1
        self._packets.append(struct.pack("<IIII", seconds, micros, len(packet), len(packet)) + packet)


class _Stream:
    def __init__(self, capture: Capture, client_port: int, server_port: int) -> None:
        self._capture = capture
        self._ports = {"up": (client_port, server_port), "down": (server_port, client_port)}
        self._next = {"up": 1_000, "down": 2_000}

    def send(self, way: Direction, flags: int, data: bytes = b"") -> None:
        other: Direction = "down" if way == "up" else "up"
        source, destination = (CLIENT, SERVER) if way == "up" else (SERVER, CLIENT)
        acknowledged = self._next[other] if flags & ACK else 0
        tcp = struct.pack(
            ">HHIIBBHHH", *self._ports[way], self._next[way], acknowledged, 5 << 4, flags, 65_535, 0, 0
        )
        total = 20 + len(tcp) + len(data)
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, total, 0, 0x4000, 64, 6, 0, source, destination)
        ip = ip[:10] + struct.pack(">H", _checksum(ip)) + ip[12:]
        pseudo = source + destination + struct.pack(">BBH", 0, 6, len(tcp) + len(data))
        tcp = tcp[:16] + struct.pack(">H", _checksum(pseudo + tcp + data)) + tcp[18:]
        self._capture.put(ip + tcp + data)
        self._next[way] += len(data) + (1 if flags & (SYN | FIN) else 0)


def _checksum(octets: bytes) -> int:
    """RFC 1071."""
    if len(octets) % 2:
        octets += b"\0"
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
