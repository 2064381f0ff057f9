"""One SMPP connection driven by hand, for what the simulators do not say: every PDU, every wrong octet."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from gateway.sim.wire import reset_on_close
from gateway.smpp.decode import decode_pdus
from gateway.smpp.encode import encode
from gateway.smpp.pdu import (
    BadPdu,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Pdu,
    SubmitSm,
    SubmitSmResp,
)

from .world import PASSWORD, PATIENCE_S

Kind = TypeVar("Kind", bound=Pdu)
BINDS = {"transmitter": BindTransmitter, "receiver": BindReceiver, "transceiver": BindTransceiver}


class Peer:
    """Sends what it is told, reads PDU by PDU. Answers nothing by itself but enquire_link."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._buffer = b""
        self._pdus: list[Pdu | BadPdu] = []
        self._number = 0
        self.delivered: list[DeliverSm] = []

    async def send(self, *pdus: Pdu) -> int:
        """Send PDUs in one write, numbered unless they are; the last number."""
        octets = b""
        for pdu in pdus:
            if not pdu.sequence_number:
                self._number += 1
                pdu.sequence_number = self._number
            octets += encode(pdu)
        await self.stream.send_all(octets)
        return pdus[-1].sequence_number

    async def next(self, within_s: float = PATIENCE_S) -> Pdu | None:
        """The next PDU; None when the connection is closed. Fails when neither comes."""
        with trio.fail_after(within_s):
            while True:
                while not self._pdus:
                    try:
                        data = await self.stream.receive_some(65_536)
                    except trio.BrokenResourceError:
                        return None
                    if not data:
                        return None
                    decoded = decode_pdus(self._buffer + data)
                    self._buffer = (self._buffer + data)[decoded.octets_consumed :]
                    self._pdus += decoded.pdus
                pdu = self._pdus.pop(0)
                assert not isinstance(pdu, BadPdu)
                if isinstance(pdu, EnquireLink):
                    await self.stream.send_all(encode(EnquireLinkResp(pdu.sequence_number)))
                    continue
                return pdu

    async def expect(self, kind: type[Kind], within_s: float = PATIENCE_S) -> Kind:
        """The next PDU, which must be of this kind."""
        pdu = await self.next(within_s)
        assert isinstance(pdu, kind), pdu
        return pdu

    async def ask(self, request: Pdu, kind: type[Kind]) -> Kind:
        """Send a request and give its answer."""
        await self.send(request)
        return await self.expect(kind)

    async def bind(
        self,
        system_id: str = "acme",
        password: str = PASSWORD,
        kind: str = "transceiver",
        *,
        interface_version: int = 0x34,
    ) -> int:
        """Bind; the status."""
        request = BINDS[kind](
            system_id=system_id.encode(), password=password.encode(), interface_version=interface_version
        )
        await self.send(request)
        answer = await self.next()
        return -1 if answer is None else answer.command_status

    async def submit(
        self, text: bytes = b"text", to: bytes = b"8613700000001", **fields: Any
    ) -> SubmitSmResp:
        return await self.ask(submit_sm(text, to, **fields), SubmitSmResp)

    async def receive(self, status: int = 0, within_s: float = PATIENCE_S) -> DeliverSm:
        """The next deliver_sm, answered with a status."""
        pdu = await self.expect(DeliverSm, within_s)
        await self.send(DeliverSmResp(pdu.sequence_number, status))
        return pdu

    async def is_closed(self, within_s: float = PATIENCE_S) -> bool:
        """Whether the other end closes in time; what it sends before is read and dropped."""
        with trio.move_on_after(within_s):
            while await self.next() is not None:
                pass
            return True
        return False

    async def close(self) -> None:
        await trio.aclose_forcefully(self.stream)

    async def reset(self) -> None:
        """Leave so that nobody waits for us."""
        reset_on_close(self.stream)
        await self.close()


def submit_sm(text: bytes = b"text", to: bytes = b"8613700000001", **fields: Any) -> SubmitSm:
    given: dict[str, Any] = {
        "source_addr_ton": 1,
        "source_addr_npi": 1,
        "source_addr": b"10690001",
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "registered_delivery": 1,
    }
    return SubmitSm(destination_addr=to, short_message=text, **(given | fields))


@asynccontextmanager
async def connected(port: int, *, tls: ssl.SSLContext | None = None, name: str = "") -> AsyncIterator[Peer]:
    """A connection that nobody has bound."""
    stream: trio.abc.Stream = await trio.open_tcp_stream("127.0.0.1", port)
    if tls is not None:
        secured = trio.SSLStream(stream, tls, server_hostname=name or "127.0.0.1")
        try:
            await secured.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        stream = secured
    peer = Peer(stream)
    try:
        yield peer
    finally:
        await peer.close()


@asynccontextmanager
async def bound(port: int, *, kind: str = "transceiver", system_id: str = "acme") -> AsyncIterator[Peer]:
    """A connection that is bound."""
    async with connected(port) as peer:
        assert await peer.bind(system_id, kind=kind) == 0
        yield peer
