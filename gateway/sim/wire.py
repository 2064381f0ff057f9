"""The wire of the simulators: header-only framing, one writer a stream, binding by hand, and links that fail.

Nothing here decodes a body. The fast carrier and the load client count and answer PDUs from their headers,
so that what a benchmark measures is the gateway and not its harness.
"""

from struct import Struct

import trio

# Tests find everything about the wire here.
from gateway.sim.faulty_link import Connect as Connect
from gateway.sim.faulty_link import FaultyLink as FaultyLink

# SMPP 3.4 section 3.2: command_length, command_id, command_status, sequence_number.
HEADER = Struct(">IIII")
HEADER_OCTETS = 16

BIND_RECEIVER = 0x0000_0001
BIND_TRANSMITTER = 0x0000_0002
SUBMIT_SM = 0x0000_0004
DELIVER_SM = 0x0000_0005
UNBIND = 0x0000_0006
BIND_TRANSCEIVER = 0x0000_0009
OUTBIND = 0x0000_000B
ENQUIRE_LINK = 0x0000_0015
DATA_SM = 0x0000_0103
GENERIC_NACK = 0x8000_0000
RESPONSE = 0x8000_0000

BINDS = {"receiver": BIND_RECEIVER, "transmitter": BIND_TRANSMITTER, "transceiver": BIND_TRANSCEIVER}

# The largest PDU that a simulator believes: a 65,535-octet message_payload and its company.
PDU_OCTETS_MAX = 70_000
# One read. Above glibc's mmap threshold a fresh buffer costs page faults until the threshold has adapted.
READ_OCTETS_MAX = 262_144
# A peer that does not read must not grow our memory: the reader waits while this much is unwritten.
UNWRITTEN_OCTETS_MAX = 8 << 20
# trio's default of 16 KiB makes a bulk writer wait for an almost empty socket (TCP_NOTSENT_LOWAT).
NOTSENT_LOWAT_OCTETS = 1 << 20


class LostFraming(Exception):
    """The peer sent a command_length that no PDU has."""


def header_only(command_id: int, sequence_number: int, command_status: int = 0) -> bytes:
    """A PDU without a body."""
    return HEADER.pack(HEADER_OCTETS, command_id, command_status, sequence_number)


def pdu(command_id: int, sequence_number: int, body: bytes = b"", command_status: int = 0) -> bytes:
    """One PDU from its header's values and the octets of its body."""
    return HEADER.pack(HEADER_OCTETS + len(body), command_id, command_status, sequence_number) + body


def bind_body(system_id: bytes, password: bytes, *, interface_version: int = 0x34) -> bytes:
    """The body of a bind_*: SMPP 3.4 section 4.1.1."""
    return system_id + b"\0" + password + b"\0" + b"\0" + bytes((interface_version, 0, 0)) + b"\0"


def split_frames(data: bytes) -> tuple[list[tuple[int, int, int, bytes]], int]:
    """Whole PDUs of a buffer as (command_id, status, sequence_number, body), and the octets they took.

    Raises:
      LostFraming: a command_length below 16 or above PDU_OCTETS_MAX.
    """
    frames = []
    offset = 0
    end = len(data)
    while end - offset >= HEADER_OCTETS:
        length, command_id, status, sequence_number = HEADER.unpack_from(data, offset)
        if not HEADER_OCTETS <= length <= PDU_OCTETS_MAX:
            raise LostFraming(f"command_length {length}")
        if offset + length > end:
            break
        frames.append((command_id, status, sequence_number, data[offset + HEADER_OCTETS : offset + length]))
        offset += length
    return frames, offset


async def read(stream: trio.abc.ReceiveStream) -> bytes:
    """What has come, at most READ_OCTETS_MAX; b"" at the end. (Memory streams give bytearrays.)"""
    data = await stream.receive_some(READ_OCTETS_MAX)
    return data if type(data) is bytes else bytes(data)


def tune(stream: trio.abc.Stream) -> None:
    """Let a bulk stream keep more unsent octets in the kernel than trio's interactive default."""
    if isinstance(stream, trio.SocketStream):
        stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_OCTETS)


async def read_frame(stream: trio.abc.ReceiveStream, rest: bytes = b"") -> tuple[int, int, int, bytes, bytes]:
    """The next PDU of a quiet stream: (command_id, command_status, sequence_number, body, octets after it).

    Raises:
      LostFraming: the stream ended, or a length no PDU has.
    """
    while True:
        frames, used = split_frames(rest)
        if frames:
            command_id, status, sequence_number, body = frames[0]
            first = HEADER_OCTETS + len(body)
            assert first <= used
            return command_id, status, sequence_number, body, rest[first:]
        data = await read(stream)
        if not data:
            raise LostFraming("the peer closed the stream")
        rest += data


async def bind_by_hand(
    stream: trio.abc.Stream, command_id: int, system_id: bytes, password: bytes, *, sequence_number: int = 1
) -> tuple[int, bytes]:
    """Bind on a fresh stream: the status of the answer, and octets that came right behind it."""
    await stream.send_all(pdu(command_id, sequence_number, bind_body(system_id, password)))
    _command_id, status, _sequence_number, _body, rest = await read_frame(stream)
    return status, rest


def reset_on_close(stream: trio.abc.Stream) -> None:
    """Make the coming close of a TCP (or TLS over TCP) stream a reset."""
    if isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    if isinstance(stream, trio.SocketStream):
        linger_0 = b"\1\0\0\0\0\0\0\0"
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, linger_0)


class Outbox:
    """What is to be written to one stream; `run` is its only writer, everybody else puts and goes on."""

    def __init__(self, stream: trio.abc.SendStream) -> None:
        self._stream = stream
        self._chunks: list[bytes] = []
        self._wake = trio.Event()
        self._written = trio.Event()
        self.octets = 0  # put and not yet written
        self.closing = False

    def put(self, data: bytes) -> None:
        """Append whole PDUs; they leave with everything else that is waiting, in one send."""
        self._chunks.append(data)
        self.octets += len(data)
        self._wake.set()

    def close(self) -> None:
        """Let `run` return once everything is written."""
        self.closing = True
        self._wake.set()

    async def wait_room(self, octets: int = UNWRITTEN_OCTETS_MAX) -> None:
        """Until no more than so many octets wait to be written: the reader's back-pressure."""
        while self.octets > octets:
            await self._written.wait()

    async def wait_written(self) -> None:
        """Until everything is written."""
        await self.wait_room(0)

    async def run(self, coalesce_s: float = 0.0, split_octets: int = 0, split_pause_s: float = 0.0) -> None:
        """Write until closed: everything at once, or held back for `coalesce_s`, or in pieces.

        Raises:
          trio.BrokenResourceError: the peer is gone.
        """
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            if coalesce_s:
                await trio.sleep(coalesce_s)
            chunks, self._chunks = self._chunks, []
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if split_octets:
                for offset in range(0, len(data), split_octets):
                    await self._stream.send_all(data[offset : offset + split_octets])
                    await trio.sleep(split_pause_s)
            elif data:
                await self._stream.send_all(data)
            self.octets -= len(data)
            self._written.set()
            self._written = trio.Event()
            if self.closing and not self._chunks:
                return
