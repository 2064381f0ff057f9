"""A proxy that keeps every octet, so that others can be asked what they read in it."""

from functools import partial
from typing import Literal

import msgspec
import trio

from gateway.sim.nursery import HasNursery

Direction = Literal["up", "down"]  # from whoever connected, and back to it
READ_OCTETS_MAX = 65_536
HEADER_OCTETS = 16


class Conversation(msgspec.Struct):
    """One connection: what was read, in the order in which it passed."""

    chunks: list[tuple[Direction, bytes]] = []

    def octets(self, direction: Direction) -> bytes:
        return b"".join(data for way, data in self.chunks if way == direction)

    def pdus(self, direction: Direction) -> list[bytes]:
        """The whole PDUs of one direction."""
        return cut(self.octets(direction))

    def all_pdus(self) -> list[tuple[Direction, bytes]]:
        """The PDUs of both directions, each at the place of its last octet."""
        rest: dict[Direction, bytes] = {"up": b"", "down": b""}
        found: list[tuple[Direction, bytes]] = []
        for way, data in self.chunks:
            rest[way] += data
            whole = cut(rest[way])
            rest[way] = rest[way][sum(map(len, whole)) :]
            found += [(way, pdu) for pdu in whole]
        return found


def cut(octets: bytes) -> list[bytes]:
    """Octets at their command_lengths (SMPP 3.4 section 3.2); what follows the last whole PDU is left out."""
    found = []
    at = 0
    while at + HEADER_OCTETS <= len(octets):
        length = int.from_bytes(octets[at : at + 4], "big")
        if length < HEADER_OCTETS or at + length > len(octets):
            break
        found.append(octets[at : at + length])
        at += length
    return found


class Recorder(HasNursery):
    """Listens on `port` and passes everything on to `target` on 127.0.0.1."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = 0
        self.conversations: list[Conversation] = []

    async def _opened(self) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        self._nursery.start_soon(partial(trio.serve_listeners, self._serve, listeners))

    async def _serve(self, near: trio.SocketStream) -> None:
        conversation = Conversation()
        self.conversations.append(conversation)
        try:
            far = await trio.open_tcp_stream("127.0.0.1", self._target)
        except OSError:
            return
        async with far, trio.open_nursery() as nursery:
            nursery.start_soon(_pump, near, far, "up", conversation)
            nursery.start_soon(_pump, far, near, "down", conversation)


async def _pump(
    source: trio.SocketStream, sink: trio.SocketStream, way: Direction, conversation: Conversation
) -> None:
    """One way until it ends; an end is passed on as one, so that half-closed connections stay so."""
    try:
        while data := await source.receive_some(READ_OCTETS_MAX):
            conversation.chunks.append((way, bytes(data)))
            await sink.send_all(data)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        await trio.aclose_forcefully(source)
        await trio.aclose_forcefully(sink)
