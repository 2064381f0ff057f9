"""A client driven PDU by PDU, for conversations that no library would hold; answers what it is asked."""

from collections.abc import Callable
from itertools import count

import trio

from gateway.sim.nursery import HasNursery
from gateway.smpp.decode import decode_pdus
from gateway.smpp.encode import RESPONSE_OF, encode
from gateway.smpp.pdu import BadPdu, DataSm, DeliverSm, EnquireLink, Pdu, Unbind

from .recorder import READ_OCTETS_MAX
from .world import until

ANSWERED = (DeliverSm, DataSm, EnquireLink, Unbind)


class ScriptPeer(HasNursery):
    """One connection to `port`. `heard` is every PDU that came, in order."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = count(1)
        self._writing = trio.Lock()
        self.heard: list[Pdu] = []
        self.closed = False

    async def _opened(self) -> None:
        self._stream = await trio.open_tcp_stream("127.0.0.1", self._port)
        self._nursery.start_soon(self._read)

    async def _read(self) -> None:
        rest = b""
        async with self._stream:
            try:
                while data := await self._stream.receive_some(READ_OCTETS_MAX):
                    decoded = decode_pdus(rest + bytes(data))
                    rest = (rest + bytes(data))[decoded.octets_consumed :]
                    for pdu in decoded.pdus:
                        assert not isinstance(pdu, BadPdu), pdu.reason
                        self.heard.append(pdu)
                        if isinstance(pdu, ANSWERED):
                            await self.send(RESPONSE_OF[type(pdu)](pdu.sequence_number))
            except trio.BrokenResourceError:
                pass  # a reset is an end like any other here
        self.closed = True

    async def send(self, pdu: Pdu) -> None:
        await self.send_octets(encode(pdu))

    async def send_octets(self, octets: bytes) -> None:
        async with self._writing:
            await self._stream.send_all(octets)

    async def ask(self, pdu: Pdu) -> Pdu:
        """Send a request under the next sequence number; its response, or the generic_nack for it."""
        number = pdu.sequence_number = next(self._numbers)
        await self.send(pdu)
        return await self.answer_to(number)

    async def answer_to(self, number: int) -> Pdu:
        """The response that carries this number."""
        responses = set(RESPONSE_OF.values())

        def found() -> list[Pdu]:
            return [
                pdu
                for pdu in self.heard
                if pdu.sequence_number == number
                and (type(pdu) in responses or type(pdu).__name__ == "GenericNack")
            ]

        await until(lambda: bool(found()), f"the answer to request {number}")
        return found()[0]

    async def until_heard(self, wanted: Callable[[Pdu], bool], times: int, what: str) -> None:
        await until(lambda: sum(map(wanted, self.heard)) >= times, what)

    async def until_closed(self) -> None:
        await until(lambda: self.closed, "the end of the connection")
