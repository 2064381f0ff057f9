"""One bind to a carrier: parts go out in windows, answers and receipts come back, nothing is acked too soon.

Within one pass answers come first, receipts second, so that a receipt in the same segment as its answer finds
its part. deliver_sm_resp goes out only after the commit of what it acknowledges (P4).
"""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
import trio

from gateway.carriers import CarrierState, Flight
from gateway.committer import Ticket
from gateway.delivery import Event
from gateway.links.link import Link, LinkLimits
from gateway.ports import Clock
from gateway.smpp.constants import CommandId, Status
from gateway.smpp.encode import body_of
from gateway.smpp.pdu import (
    AlertNotification,
    DataSm,
    DataSmResp,
    DeliverSm,
    Pdu,
    SubmitSm,
    SubmitSmResp,
)
from gateway.smpp.receipts import is_receipt
from gateway.smpp.session import Session
from gateway.smpp.session_values import Received
from gateway.smpp.states import BindState
from store.directory import Carrier
from store.model import Changes, Part
from store.port import Applied

if TYPE_CHECKING:
    from gateway.core import Core

log = structlog.get_logger("carrier")

REPORTS = frozenset({"receipt", "intermediate"})
COMMIT_PATIENCE_S = 0.05  # a slow disk must not keep freed window slots or an enquire_link waiting


class CarrierLink(Link):
    """One bound session with a carrier, whoever connected.

    `transmits` and `receives` are from our side: a bound-in carrier that bound as transmitter receives.
    """

    def __init__(
        self,
        core: "Core",
        carrier: CarrierState,
        stream: trio.abc.Stream,
        session: Session,
        clock: Clock,
        limits: LinkLimits,
        *,
        peer: str,
        number: int,
        transmits: bool,
        bound_as: Carrier,
    ) -> None:
        super().__init__(stream, session, clock, limits, peer)
        self.bound_as = bound_as
        self.core = core
        self.carrier = carrier
        self.number = number
        self.transmits = transmits
        self.carried: deque[Part] = deque()
        carrier.binds.append(self)
        if transmits:
            carrier.down_since = None

    def started(self) -> None:
        self.carrier.pump()

    def __repr__(self) -> str:
        return f"<CarrierLink {self.carrier.carrier.name} #{self.number} {self.session.state.value}>"

    @property
    def can_send(self) -> bool:
        return self.transmits and self.closing is None and not self.leaving

    @property
    def window_free(self) -> int:
        return self.session.window_free

    def send_flights(self, flights: list[Flight], bodies: list[bytes], now: float) -> None:
        self.session.send_requests(CommandId.SUBMIT_SM, bodies, flights, now)
        self.flush()

    async def handle(self, received: Received) -> None:
        core, carrier = self.core, self.carrier
        reports, inbound = self._sorted(received.requests)
        changes = Changes()
        events: list[Event] = []
        # Answers come first and go to the committer before anything waits: their slots are freed already,
        # so nobody else would hand them back if this link ended meanwhile.
        for answers, late in ((received.answers, False), (received.late, True)):
            if answers:
                events += core.outcomes.answers(carrier, self.number, answers, changes, late=late)  # type: ignore[arg-type]
        if received.answers:
            carrier.pump()
        if changes.attempts and (inbound or (reports and carrier.id in core.evicted_to_store)):
            self._commit(changes, (), events)
            changes, events = Changes(), []
        # Then all that waits: ids of events are minted and committed without a wait in between.
        read = await core.read_receipts(carrier, reports) if reports else []
        answered = await core.inbound.answered(inbound) if inbound else []
        if reports:
            events += core.outcomes.receipts(carrier, self.number, reports, read, changes)
        if inbound:
            events += core.inbound.arrived(carrier, inbound, answered, changes)
        requests = [r for r in received.requests if not isinstance(r, AlertNotification)]
        ticket = self._commit(changes, requests, events)
        # The next answers and receipts collect meanwhile, so that batches grow with load.
        with trio.move_on_after(COMMIT_PATIENCE_S):
            await ticket.settled.wait()

    def _sorted(self, requests: Sequence[Pdu]) -> tuple[list[DeliverSm], list[DeliverSm]]:
        """Receipts and inbound messages among a carrier's requests; what is neither is answered at once.

        Both are read as the deliver_sm that they mean, so that what is stored of them has one form.
        """
        reports: list[DeliverSm] = []
        inbound: list[DeliverSm] = []
        by_text = self.carrier.carrier.receipt_by_text
        for request in requests:
            if isinstance(request, DeliverSm):
                pdu = request
            elif isinstance(request, SubmitSm | DataSm):
                pdu = as_deliver_sm(request)
            else:
                if not isinstance(request, AlertNotification):
                    self.session.respond_error(request, Status.ESME_RINVCMDID)
                continue
            (reports if is_receipt(pdu, by_text=by_text) in REPORTS else inbound).append(pdu)
        return reports, inbound

    def _commit(self, changes: Changes, requests: Sequence[Pdu], events: Sequence[Event]) -> Ticket:
        core, carrier = self.core, self.carrier
        answers = len(changes.attempts)
        carrier.unsettled += answers

        def durable(applied: Applied) -> None:
            carrier.settled(answers)
            if requests:
                self._acknowledge(requests)
                self.flush()
            if events:
                core.deliver(events)

        core.evict(carrier)
        return core.committer.submit(changes, durable, patient=True)

    def _acknowledge(self, requests: Sequence[Pdu]) -> None:
        session = self.session
        if session.state in (BindState.CLOSED, BindState.UNBOUND):
            return
        plain = [request.sequence_number for request in requests if type(request) is DeliverSm]
        if plain:
            session.respond_deliveries(plain)
        for request in requests:
            if isinstance(request, DataSm):
                session.respond(request, DataSmResp())
            elif isinstance(request, SubmitSm):
                session.respond(request, SubmitSmResp(message_id=b"%d" % self.core.ids.mint()))

    def expired(self, tokens: Sequence[object]) -> None:
        self._unanswered(tokens, lost=False)

    def ended(self, tokens: Sequence[object]) -> None:
        carrier = self.carrier
        if self in carrier.binds:
            carrier.binds.remove(self)
        if self.carried:
            carrier.put_back(list(self.carried))
            self.carried.clear()
        if not any(bind.can_send for bind in carrier.binds):
            carrier.down_since = self.clock.now()
        self._unanswered([token for token in tokens if isinstance(token, Flight)], lost=True)

    def _unanswered(self, flights: Sequence[object], *, lost: bool) -> None:
        if not flights:
            return
        changes = Changes()
        events = self.core.outcomes.unanswered(
            self.carrier,
            self.number,
            flights,  # type: ignore[arg-type]
            changes,
            lost=lost,
        )
        log.warning(
            "submits without an answer",
            carrier=self.carrier.carrier.name,
            bind=self.number,
            count=len(flights),
            because="the bind was lost" if lost else "the response timeout passed",
            policy=self.carrier.carrier.on_unknown,
        )
        self._commit(changes, (), events)
        self.carrier.pump()


def as_deliver_sm(pushed: SubmitSm | DataSm) -> DeliverSm:
    """What a carrier pushes as data_sm, or bound in as submit_sm, read as the deliver_sm that it means."""
    pdu = DeliverSm(pushed.sequence_number)
    for name in pushed.__struct_fields__:
        if name not in _NOT_DELIVERED:
            setattr(pdu, name, getattr(pushed, name))
    pdu.raw = body_of(pdu)
    return pdu


# Times and flags that a deliver_sm does not use (SMPP 3.4 section 4.6.1), and what is its own.
_NOT_DELIVERED = frozenset(
    {
        "command_status",
        "schedule_delivery_time",
        "validity_period",
        "replace_if_present_flag",
        "sm_default_msg_id",
        "raw",
    }
)
