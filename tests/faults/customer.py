"""A customer under faults: binds, submits at a rate, answers receipts, and comes back whatever happens.

Each message goes once, to a number of its own. One that was not answered before the bind was lost is never sent
again: whether it is stored is unknown, and the books say so.
"""

from collections.abc import Callable
from itertools import count

import trio

from gateway.sim.esme_books import receipt_of
from gateway.sim.message import MESSAGE_PAYLOAD, Malformed, address, read_sm, sm_body, tlv
from gateway.sim.wire import (
    BIND_TRANSCEIVER,
    DELIVER_SM,
    ENQUIRE_LINK,
    GENERIC_NACK,
    RESPONSE,
    SUBMIT_SM,
    UNBIND,
    LostFraming,
    Outbox,
    bind_by_hand,
    header_only,
    pdu,
    read,
    split_frames,
)
from tests.faults.books import Books, Sent

RECONNECT_S = 0.05
PACE_S = 0.01
BIND_S = 5.0
IDLE_S = 1.0  # an enquire_link after so much silence, so that a link that is dead is noticed
DEAD_S = 4.0  # and this much silence means that it is
SENDER = address("10690001", 0, 1)
PARTS_OF_LONG = 3


class Customer:
    """One account with one bind at a time. `port` gives the gateway's port now, 0 while there is none.

    `paused` stops new messages; receipts are taken and answered as long as the customer lives.
    """

    def __init__(
        self,
        books: Books,
        system_id: str,
        prefix: str,
        port: Callable[[], int],
        *,
        rate: float,
        window: int = 50,
        validity: bytes = b"",
    ) -> None:
        self.books = books
        self.system_id = system_id
        self.rate = rate
        self.window = window
        self.validity = validity
        self.schedule = b""
        self.scheduled: set[str] = set()  # destinations of messages that were to wait
        self.paused = True
        self.binds = 0
        self.bound = False
        self._link: _Link | None = None
        self._prefix = prefix  # of its numbers: 6 digits, nobody else's
        self._port = port
        self._numbers = count()
        self._due = 0.0

    @property
    def pending(self) -> int:
        """Submits without an answer on the bind there is."""
        return len(self._link.pending) if self._link is not None else 0

    # -- the connection ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            port = self._port()
            if port:
                try:
                    await self._connection(port)
                except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError, LostFraming):
                    pass  # whatever broke it, the customer comes back
            self.bound = False
            self._link = None
            await trio.sleep(RECONNECT_S)

    async def _connection(self, port: int) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream, trio.open_nursery() as nursery:
            with trio.move_on_after(BIND_S) as patience:
                status, rest = await bind_by_hand(
                    stream, BIND_TRANSCEIVER, self.system_id.encode(), b"secret12"
                )
            if patience.cancelled_caught or status:
                return
            self.binds += 1
            self.bound = True
            link = self._link = _Link(self, stream, rest)
            nursery.start_soon(link.outbox.run)
            nursery.start_soon(self._submit, link)
            await link.read_all()
            nursery.cancel_scope.cancel()

    # -- messages ---------------------------------------------------------------------------------

    async def _submit(self, link: "_Link") -> None:
        sequence = count(2)
        self._due = trio.current_time()
        while True:
            now = trio.current_time()
            if self.paused:
                self._due = now
            # Once it is to end, nothing follows what is in the outbox.
            while self._may_submit(link) and self._due <= now:
                link.submit(next(sequence), self.make(now))
                self._due = max(self._due + 1 / self.rate, now - 0.1)
            await trio.sleep(PACE_S)

    def _may_submit(self, link: "_Link") -> bool:
        return not self.paused and not link.outbox.closing and len(link.pending) < self.window

    def make(self, now: float) -> tuple[Sent, bytes]:
        """The next message: mostly short and in GSM 7-bit; every kind of the others now and then."""
        number = next(self._numbers)
        destination = f"{self._prefix}{number:07d}"
        text, coding, parts, tlvs = f"fault {self.system_id} {number}".encode(), 0, 1, b""
        asked = 0 if number % 20 == 11 else 1
        match number % 20:
            case 3:
                text, coding = f"【故障】第{number}条".encode("utf-16-be"), 8
            case 7:
                parts = PARTS_OF_LONG
                tlvs, text = tlv(MESSAGE_PAYLOAD, text.ljust(153 * parts, b".")), b""
        body = sm_body(
            SENDER,
            address(destination),
            text,
            registered_delivery=asked,
            data_coding=coding,
            validity_period=self.validity,
            tlvs=tlvs,
        )
        priority_at = 1 + len(SENDER) + len(address(destination)) + 2
        if number % 20 in (5, 13):
            body = body[:priority_at] + b"\2" + body[priority_at + 1 :]
        if self.schedule:
            self.scheduled.add(destination)
            body = body[: priority_at + 1] + self.schedule + body[priority_at + 1 :]
        sent = Sent(self.system_id, number, destination, asked, parts, now)
        self.books.submitted(sent)
        return sent, body


class _Link:
    """One bound connection."""

    def __init__(self, customer: Customer, stream: trio.SocketStream, rest: bytes) -> None:
        self.customer = customer
        self.stream = stream
        self.outbox = Outbox(stream)
        self.pending: dict[int, Sent] = {}
        self._rest = rest

    def submit(self, sequence: int, made: tuple[Sent, bytes]) -> None:
        sent, body = made
        self.pending[sequence] = sent
        self.outbox.put(pdu(SUBMIT_SM, sequence, body))

    async def read_all(self) -> None:
        """Until the gateway closes, unbinds, or is silent for too long."""
        silent_s = 0.0
        data = b""
        while True:
            frames, used = split_frames(self._rest + data)
            self._rest = (self._rest + data)[used:]
            for frame in frames:
                if not self._take(*frame):
                    await self.outbox.wait_written()
                    return
            data = b""
            with trio.move_on_after(IDLE_S) as idle:
                data = await read(self.stream)
                silent_s = 0.0
                if not data:
                    return
            if idle.cancelled_caught:
                silent_s += IDLE_S
                if silent_s >= DEAD_S:
                    return
                self.outbox.put(header_only(ENQUIRE_LINK, 1))

    def _take(self, command_id: int, status: int, sequence: int, body: bytes) -> bool:
        """One PDU; False when it ends the connection."""
        customer, books = self.customer, self.customer.books
        now = trio.current_time()
        if command_id in (SUBMIT_SM | RESPONSE, GENERIC_NACK):
            sent = self.pending.pop(sequence, None)
            if sent is None:
                books.problems.append(
                    f"{customer.system_id}: an answer to {sequence}, which is not open (I14)"
                )
            else:
                books.answered(sent, now, status, body.partition(b"\0")[0].decode("latin-1"))
        elif command_id == DELIVER_SM:
            self._receipt(body, now)
            self.outbox.put(pdu(DELIVER_SM | RESPONSE, sequence, b"\0"))
        elif command_id == ENQUIRE_LINK:
            self.outbox.put(header_only(ENQUIRE_LINK | RESPONSE, sequence))
        elif command_id == UNBIND:
            self.outbox.put(header_only(UNBIND | RESPONSE, sequence))
            self.outbox.close()
            return False
        return True

    def _receipt(self, body: bytes, now: float) -> None:
        customer = self.customer
        try:
            message = read_sm(body)
            told = receipt_of(message)
        except Malformed as malformed:
            customer.books.problems.append(
                f"{customer.system_id}: a deliver_sm that cannot be read: {malformed}"
            )
            return
        if told is None:
            customer.books.problems.append(f"{customer.system_id}: a deliver_sm that is no receipt")
            return
        customer.books.receipt(customer.system_id, now, told[0], message.source_addr, told[1], customer.binds)
