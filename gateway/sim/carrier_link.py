"""One connection of a simulated carrier: binding, reading, and the ways a link itself goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from gateway.sim.message import Malformed
from gateway.sim.wire import (
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    DATA_SM,
    DELIVER_SM,
    ENQUIRE_LINK,
    GENERIC_NACK,
    RESPONSE,
    SUBMIT_SM,
    UNBIND,
    LostFraming,
    Outbox,
    bind_body,
    header_only,
    pdu,
    read,
    read_frame,
    reset_on_close,
    split_frames,
    tune,
)

if TYPE_CHECKING:
    from gateway.sim.answers import Delivery
    from gateway.sim.carrier import SimCarrier

BIND_COMMANDS = (BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER)
# SMPP 3.4 section 5.1.3.
RINVCMDID, RINVBNDSTS, RSYSERR, RINVSYSID, RINVPASWD = 0x03, 0x04, 0x08, 0x0F, 0x0E
SC_INTERFACE_VERSION = b"\x02\x10\x00\x01\x34"


class CarrierLink:
    """A stream with a peer, bound or not. `number` counts the carrier's links from 1."""

    def __init__(self, carrier: SimCarrier, stream: trio.abc.Stream, number: int) -> None:
        self.carrier = carrier
        self.stream = stream
        self.number = number
        self.outbox = Outbox(stream)
        self.bind_command = 0
        self.system_id = ""
        self.deliver_command = DELIVER_SM  # a carrier that connected in may send submit_sm instead
        self.submits = 0
        self.outstanding = 0  # submit_sm read and not yet answered
        self.delivers_open: dict[int, Delivery] = {}  # unanswered, by sequence_number
        self.closed = False
        self.deaf = trio.Event()
        self._unread = b""
        self._over = trio.Event()
        self.mute = False
        self._sequence_number = 0
        self._scope = trio.CancelScope()

    @property
    def bound(self) -> bool:
        return bool(self.bind_command) and not self.closed

    @property
    def receives(self) -> bool:
        """May deliver_sm be sent here?"""
        return self.bound and self.bind_command != BIND_TRANSMITTER and not self.mute

    def next_sequence_number(self) -> int:
        self._sequence_number = self._sequence_number % 0x7FFF_FFFF + 1
        return self._sequence_number

    def put(self, data: bytes) -> None:
        """Write, unless the link has gone mute."""
        if not self.mute and not self.closed:
            self.outbox.put(data)

    def drop(self) -> None:
        """Close at once, whatever is unwritten."""
        self.closed = True
        self._scope.cancel()

    async def wait_closed(self) -> None:
        """Until the connection is over."""
        if not self.closed:
            await self._over.wait()

    def reset(self) -> None:
        """Close with a TCP reset."""
        reset_on_close(self.stream)
        self.drop()

    def unbind(self) -> None:
        """Ask the peer to unbind; it closes, or answers and we close."""
        self.put(header_only(UNBIND, self.next_sequence_number()))

    async def run(self) -> None:
        """Serve the stream until either side closes it."""
        tune(self.stream)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    behaviour = self.carrier.behaviour
                    nursery.start_soon(
                        self.outbox.run,
                        behaviour.coalesce_s,
                        behaviour.split_octets,
                        behaviour.split_pause_s,
                    )
                    await self._converse()
                    self.outbox.close()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, LostFraming):
            self.carrier.counts["links_broken"] += 1
        finally:
            self.closed = True
            self._over.set()
            self.carrier.forget(self)
            with trio.CancelScope(shield=True) as scope:
                scope.cancel()
                await trio.aclose_forcefully(self.stream)

    async def bind_in(self, command_id: int, system_id: str, password: str) -> int:
        """Bind as a carrier that connects in; the status of the answer (0 when bound)."""
        number = self.next_sequence_number()
        await self.stream.send_all(pdu(command_id, number, bind_body(system_id.encode(), password.encode())))
        _command_id, status, _sequence_number, _body, rest = await read_frame(self.stream)
        if status == 0:
            self.bind_command, self.system_id = command_id, system_id
            self._unread = rest
        return status

    async def _converse(self) -> None:
        rest = self._unread
        carrier = self.carrier
        while True:
            await self.outbox.wait_room()
            if self.deaf.is_set():
                await trio.sleep_forever()
            data = await read(self.stream)
            if not data:
                return
            if rest:
                data = rest + data
            if carrier.fast is not None and self.bound:
                rest = data[self._fast(data) :]
                if self.closed:
                    return
            else:
                frames, used = split_frames(data)
                rest = data[used:]
                submits = sum(command_id in (SUBMIT_SM, DATA_SM) for command_id, *_rest in frames)
                carrier.log.unanswered(self.number, self.outstanding + submits)
                for frame in frames:
                    await self._frame(*frame)
                    if self.closed:
                        return

    def _fast(self, data: bytes) -> int:
        """Answer a batch on the benchmark path; octets used."""
        carrier = self.carrier
        assert carrier.fast is not None
        answers = carrier.fast.answer(data, carrier.wall())
        if answers.responses:
            self.outbox.put(answers.responses)
        if answers.receipts:
            carrier.put_receipts(self, answers.receipts)
        for other in answers.others:
            frames, _used = split_frames(other)
            for frame in frames:
                self._command(*frame)
        return answers.consumed

    async def _frame(self, command_id: int, status: int, sequence_number: int, body: bytes) -> None:
        if command_id in BIND_COMMANDS:
            await self._bind(command_id, sequence_number, body)
        else:
            self._command(command_id, status, sequence_number, body)

    async def _bind(self, command_id: int, sequence_number: int, body: bytes) -> None:
        behaviour = self.carrier.behaviour
        if behaviour.bind_latency_s:
            await trio.sleep(behaviour.bind_latency_s)
        system_id, _, after = body.partition(b"\0")
        password, _, _after = after.partition(b"\0")
        status = behaviour.bind_status
        if not status and self.bind_command:
            status = RINVBNDSTS
        if not status:
            status = self.carrier.check_login(system_id.decode("latin-1"), password.decode("latin-1"))
        if status:
            self.carrier.counts["binds_refused"] += 1
            self.put(header_only(command_id | RESPONSE, sequence_number, status))
            return
        self.bind_command, self.system_id = command_id, system_id.decode("latin-1")
        self.put(pdu(command_id | RESPONSE, sequence_number, b"sim\0" + SC_INTERFACE_VERSION))
        self.carrier.bound(self)

    def _command(self, command_id: int, status: int, sequence_number: int, body: bytes) -> None:
        carrier = self.carrier
        if command_id in (SUBMIT_SM, DATA_SM):
            if not self.bound or self.bind_command == BIND_RECEIVER:
                self.put(header_only(command_id | RESPONSE, sequence_number, RINVBNDSTS))
                return
            try:
                carrier.answers.submit(self, command_id, sequence_number, body)
            except Malformed:
                carrier.counts["malformed"] += 1
                self.put(header_only(command_id | RESPONSE, sequence_number, RSYSERR))
        elif command_id in (DELIVER_SM | RESPONSE, DATA_SM | RESPONSE, SUBMIT_SM | RESPONSE):
            carrier.answers.delivered(self, sequence_number, status)
        elif command_id == ENQUIRE_LINK:
            carrier.counts["enquire_links"] += 1
            if not carrier.behaviour.enquire_link_silence:
                self.put(header_only(ENQUIRE_LINK | RESPONSE, sequence_number))
        elif command_id == UNBIND:
            self.put(header_only(UNBIND | RESPONSE, sequence_number))
            self.closed = True
        elif command_id == UNBIND | RESPONSE:
            self.closed = True
        elif command_id & RESPONSE:
            carrier.counts["other_responses"] += 1
        else:
            carrier.counts["unknown_commands"] += 1
            self.put(header_only(GENERIC_NACK, sequence_number, RINVCMDID))
