"""One bind of a simulated ESME: its window, its answers, and how it goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from gateway.sim.esme_books import Sent
from gateway.sim.message import Malformed, read_data_sm, read_sm
from gateway.sim.wire import (
    BIND_RECEIVER,
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
)

if TYPE_CHECKING:
    from gateway.sim.esme import SimEsme

RX_P_APPN = 0x65  # SMPP 3.4 section 5.1.3: the permanent "no" to a deliver_sm that cannot be read
RSUBMITFAIL = 0x45


class EsmeBind:
    """A stream of one ESME. `number` counts the ESME's binds from 1."""

    def __init__(self, esme: SimEsme, stream: trio.abc.Stream, number: int) -> None:
        self.esme = esme
        self.stream = stream
        self.number = number
        self.outbox = Outbox(stream)
        self.command_id = 0
        self.pending: dict[int, Sent] = {}  # unanswered submit_sm by sequence_number
        self.window_max = 0
        self.submits = 0
        self.alive = False
        self.vanished = False
        self._sequence_number = 0
        self._rest = b""
        self._scope = trio.CancelScope()
        self._over = trio.Event()

    @property
    def sends(self) -> bool:
        """May submit_sm go here?"""
        return self.alive and self.command_id != BIND_RECEIVER and not self.vanished

    def _next(self) -> int:
        self._sequence_number = self._sequence_number % 0x7FFF_FFFF + 1
        return self._sequence_number

    async def bind(self, command_id: int) -> int:
        """Bind; the status of the answer. Raises wire.LostFraming, trio.BrokenResourceError."""
        options = self.esme.options
        body = bind_body(
            options.system_id.encode(),
            options.password.encode(),
            interface_version=options.interface_version,
        )
        await self.stream.send_all(pdu(command_id, self._next(), body))
        _command, status, _sequence, _body, self._rest = await read_frame(self.stream)
        self.command_id = command_id
        self.alive = status == 0
        return status

    def submit(self, body: bytes, destination: str) -> Sent:
        """Send one submit_sm, whatever the window; its entry in the books."""
        sequence_number = self._next()
        sent = Sent(self.number, sequence_number, destination, trio.current_time())
        self.pending[sequence_number] = sent
        self.window_max = max(self.window_max, len(self.pending))
        self.esme.books.sent.append(sent)
        octets = pdu(SUBMIT_SM, sequence_number, body)
        self.submits += 1
        options = self.esme.options
        if self.submits == options.cut_after:
            octets = octets[: len(octets) // 2]
        self.put(octets)
        if self.submits in (options.cut_after, options.vanish_after):
            self.vanished = True
        if self.submits in (options.disconnect_after, options.reset_after):
            self.esme.start_soon(self._leave, self.submits == options.reset_after)
        return sent

    def put(self, octets: bytes) -> None:
        """Write, unless the bind has vanished or closed."""
        if self.alive and not self.vanished:
            self.outbox.put(octets)

    def unbind(self) -> None:
        self.put(header_only(UNBIND, self._next()))

    def drop(self) -> None:
        """Close at once."""
        self._scope.cancel()

    async def wait_closed(self) -> None:
        """Until the connection is over."""
        await self._over.wait()

    async def _leave(self, hard: bool) -> None:
        """Close once what was put is written: between a submit_sm and its answer."""
        await self.outbox.wait_written()
        if hard:
            reset_on_close(self.stream)
        self.drop()

    async def run(self) -> None:
        """Serve the bind until either side closes it."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    options = self.esme.options
                    nursery.start_soon(self.outbox.run, 0.0, options.split_octets, options.split_pause_s)
                    if options.enquire_link_s:
                        nursery.start_soon(self._enquire, options.enquire_link_s)
                    if options.never_reads:
                        await trio.sleep_forever()
                    await self._converse()
                    nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError, LostFraming):
            self.esme.books.binds_lost += 1
        finally:
            self.alive = False
            self._over.set()
            self.esme.notify()
            await trio.aclose_forcefully(self.stream)

    async def _enquire(self, every_s: float) -> None:
        while True:
            await trio.sleep(every_s)
            self.put(header_only(ENQUIRE_LINK, self._next()))

    async def _converse(self) -> None:
        data = b""
        while True:
            if self.vanished:
                await trio.sleep_forever()
            data = self._rest + data
            frames, used = split_frames(data)
            self._rest = data[used:]
            for frame in frames:
                self._command(*frame)
            if not self.alive:
                await self.outbox.wait_written()
                return
            data = await read(self.stream)
            if not data:
                self.esme.books.binds_lost += 1
                return

    def _command(self, command_id: int, status: int, sequence_number: int, body: bytes) -> None:
        books, options = self.esme.books, self.esme.options
        if command_id in (SUBMIT_SM | RESPONSE, GENERIC_NACK):
            sent = self.pending.pop(sequence_number, None)
            if sent is None:
                books.counts["responses_unmatched"] += 1
            else:
                message_id = body.partition(b"\0")[0].decode("latin-1") if command_id != GENERIC_NACK else ""
                if command_id == GENERIC_NACK:
                    status = status or RSUBMITFAIL
                books.answered(sent, trio.current_time(), status, message_id)
                self.esme.notify()
        elif command_id in (DELIVER_SM, DATA_SM):
            answer_status = options.deliver_status
            try:
                message = read_sm(body) if command_id == DELIVER_SM else read_data_sm(body)
            except Malformed:
                books.counts["malformed"] += 1
                answer_status = RX_P_APPN
            else:
                books.received(message, trio.current_time())
            if not options.never_answers:
                answer = pdu(command_id | RESPONSE, sequence_number, b"\0", answer_status)
                if options.deliver_latency_s:
                    self.esme.start_soon(self._put_later, answer)
                else:
                    self.put(answer)
        elif command_id == ENQUIRE_LINK:
            books.counts["enquire_links"] += 1
            if not options.enquire_link_silence:
                self.put(header_only(ENQUIRE_LINK | RESPONSE, sequence_number))
        elif command_id == UNBIND:
            self.put(header_only(UNBIND | RESPONSE, sequence_number))
            self.alive = False
        elif command_id == UNBIND | RESPONSE:
            self.alive = False
        elif command_id & RESPONSE:
            books.counts[f"response_{command_id:08X}"] += 1
        else:
            books.counts["unknown_commands"] += 1
            self.put(header_only(GENERIC_NACK, sequence_number, 0x03))

    async def _put_later(self, octets: bytes) -> None:
        await trio.sleep(self.esme.options.deliver_latency_s)
        self.put(octets)
