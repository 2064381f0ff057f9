"""A customer's bind: submits go through the one door, receipts and inbound messages come back.

The socket is the queue: while a round commits, TCP collects the next batch, so batches grow with load and a
customer feels it as its own full window. When the disk is slow the reader goes on after a moment, so that an
enquire_link is answered whatever happens to the store.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio

from filters.verdict import Reason, smpp_status
from gateway.accounts import AccountState
from gateway.customer_pdus import shown_id, shown_ids
from gateway.delivery import RECEIPT, Event, Tries, settle
from gateway.links.link import Link, LinkLimits
from gateway.ports import Clock
from gateway.ratelimit import ACCOUNT_PAUSE_S_MAX
from gateway.smpp.constants import CommandId, Status
from gateway.smpp.pdu import (
    CancelSm,
    DataSm,
    DataSmResp,
    Pdu,
    QuerySm,
    ReplaceSm,
    SubmitMulti,
    SubmitSm,
    SubmitSmResp,
)
from gateway.smpp.session import Session
from gateway.smpp.session_values import Received
from gateway.smpp.states import BindState
from store.model import LINK_LOST, NO_ANSWER, Changes
from store.port import Applied

if TYPE_CHECKING:
    from gateway.core import Core

log = structlog.get_logger("esme")

# How long the reader waits for a round before it reads on: several times the usual commit, and far below
# the second within which an enquire_link must be answered.
COMMIT_PATIENCE_S = 0.25


class EsmeLink(Link):
    """One bound session of a customer."""

    def __init__(
        self,
        core: "Core",
        account: AccountState,
        stream: trio.abc.Stream,
        session: Session,
        clock: Clock,
        limits: LinkLimits,
        *,
        peer: str,
        number: int,
    ) -> None:
        super().__init__(stream, session, clock, limits, peer)
        self.core = core
        self.account = account
        self.number = number
        self.bind_name = f"smpp:{number}"
        self.can_receive = session.state in (BindState.BOUND_RX, BindState.BOUND_TRX)
        self.unanswered = 0  # submits on their way to the disk
        self._settled = trio.Event()
        account.binds.append(self)

    def started(self) -> None:
        self.account.pump()

    def __repr__(self) -> str:
        state = self.session.state.value
        return f"<EsmeLink {self.account.account.system_id} #{self.number} {self.peer} {state}>"

    async def handle(self, received: Received) -> None:
        if received.answers:
            self._answered(received.answers)
        if received.late:
            # The event went back to the log when its time was up; the customer may see it twice (P4).
            log.debug(
                "late deliver_sm_resp", account=self.account.account.system_id, count=len(received.late)
            )
        requests = received.requests
        at = 0
        while at < len(requests):
            request = requests[at]
            end = at + 1
            if type(request) is SubmitSm:
                while end < len(requests) and type(requests[end]) is SubmitSm:
                    end += 1
                submits = requests[at:end]
                await self._submits(submits, submits)  # type: ignore[arg-type]
            elif type(request) is DataSm:
                submit = self.core.operations.submit_of_data_sm(request)
                if submit is None:
                    self.session.respond_error(request, Status.ESME_RMISSINGTLV)
                else:
                    await self._submits([submit], [request])
            else:
                await self.patiently(COMMIT_PATIENCE_S, partial(self._operation, request))
            at = end

    # -- submissions ------------------------------------------------------------------------------

    async def _submits(self, submits: Sequence[SubmitSm], requests: Sequence[Pdu]) -> None:
        """As many as window and rate allow; for the rest reading stops a moment, then it gets RTHROTTLED.

        `requests[i]` is what `submits[i]` came as, to be answered: itself, or a data_sm.
        """
        count = len(submits)
        if count <= self._room() and not self.account.bucket.rate:
            await self._accept(submits, requests)
            return
        until = self.clock.now() + ACCOUNT_PAUSE_S_MAX
        at = 0
        while at < count:
            granted = await self._granted(count - at, until)
            if not granted:
                for request in requests[at:]:
                    self.session.respond_error(request, Status.ESME_RTHROTTLED)
                self.account.count_refused(Reason.RATE_EXCEEDED, count - at)
                self.flush()
                return
            await self._accept(submits[at : at + granted], requests[at : at + granted])
            at += granted

    def _room(self) -> int:
        return self.account.account.window - self.unanswered

    async def _granted(self, wanted: int, until: float) -> int:
        """How many of `wanted` may go in now; waits for one at least, but not longer than `until`."""
        bucket, now = self.account.bucket, self.clock.now()
        while self._room() <= 0 and now < until:
            self._settled = trio.Event()
            with trio.move_on_after(until - now):
                await self._settled.wait()
            now = self.clock.now()
        wanted = min(wanted, self._room())
        if wanted <= 0:
            return 0
        wait_s = min(bucket.wait_s(wanted, now), until - now)
        if wait_s > 0:
            await trio.sleep(wait_s)
        return bucket.take(wanted, self.clock.now())

    async def _accept(self, submits: Sequence[SubmitSm], requests: Sequence[Pdu]) -> None:
        """Through the door, into a round; answered when durable, in request order."""
        if any(submit.replace_if_present_flag == 1 for submit in submits):
            await self.patiently(COMMIT_PATIENCE_S, partial(self._replacing, submits, requests))
            return
        settled = self._take_in(submits, requests)
        if settled is not None:
            # The next batch collects while this one commits; when the disk is slow the reader goes on.
            with trio.move_on_after(COMMIT_PATIENCE_S):
                await settled.wait()

    async def _replacing(self, submits: Sequence[SubmitSm], requests: Sequence[Pdu]) -> None:
        await self.core.operations.replace_if_present(self.account, submits)
        settled = self._take_in(submits, requests)
        if settled is not None:
            await settled.wait()

    def _take_in(self, submits: Sequence[SubmitSm], requests: Sequence[Pdu]) -> trio.Event | None:
        """Judge and submit a batch. None when it is answered already, as nothing of it was taken."""
        core, account = self.core, self.account
        refusal = core.refusal_now()
        if refusal:
            self._answer(requests, [-refusal] * len(requests))
            return None
        changes = Changes()
        judged = core.generation
        results = core.intake.accept_batch(account, submits, self.clock.wall_ms(), changes)
        further = len(changes.parts) - len(submits)
        if further > 0:
            # Rates count parts; a long message pays for its further ones after the fact.
            account.bucket.owe(further, self.clock.now())
        if not changes.parts:
            self._answer(requests, results)
            return None
        self.unanswered += len(submits)
        read_at = self.read_at

        def settled() -> None:
            self.unanswered -= len(submits)
            self._settled.set()

        def durable(applied: Applied) -> None:
            settled()
            self._answer(requests, results)
            core.latencies.accept.observe((self.clock.now() - read_at) * 1000, len(requests))
            core.offer(changes.parts, judged=judged)

        def refused() -> None:
            settled()
            core.intake.give_back(changes)
            self._answer(requests, [-Reason.DISK_FULL if result > 0 else result for result in results])

        return core.committer.submit(changes, durable, refused).settled

    def _answer(self, requests: Sequence[Pdu], results: Sequence[int]) -> None:
        """Message ids, or reasons as negative numbers, to the customer; counted even if it is gone."""
        session, account = self.session, self.account
        bound = session.state in (BindState.BOUND_TX, BindState.BOUND_TRX)
        version = session.peer_version
        if min(results) > 0 and type(requests[0]) is SubmitSm:
            account.accepted += len(results)
            if bound:
                numbers = [request.sequence_number for request in requests]
                session.respond_submits(numbers, shown_ids(results, version))
                self.flush()
            return
        for request, result in zip(requests, results, strict=True):
            if result > 0:
                account.accepted += 1
                if bound:
                    response = DataSmResp if type(request) is DataSm else SubmitSmResp
                    session.respond(request, response(message_id=shown_id(result, version)))
            else:
                account.count_refused(-result)
                if bound:
                    session.respond_error(request, smpp_status(-result))
        self.flush()

    async def _operation(self, request: Pdu) -> None:
        operations = self.core.operations
        response: Pdu | int
        if isinstance(request, QuerySm):
            response = await operations.query(self.account, request, self.session.peer_version)
        elif isinstance(request, CancelSm):
            response = await operations.cancel(self.account, request)
        elif isinstance(request, ReplaceSm):
            response = await operations.replace(self.account, request)
        elif isinstance(request, SubmitMulti):
            response = await operations.submit_multi(self.account, request, self.session.peer_version)
        else:
            response = Status.ESME_RINVCMDID
        if isinstance(response, int):
            self.session.respond_error(request, response)
        else:
            self.session.respond(request, response)
        self.flush()

    # -- receipts and inbound messages ------------------------------------------------------------

    def pump_events(self) -> None:
        """Send as many waiting events as the window takes."""
        outbox, session = self.account.outbox, self.session
        free = session.window_free
        if free <= 0 or not self.can_receive or self.leaving:
            return
        events = outbox.take(free)
        if not events:
            return
        build = self.core.customer_body
        version = session.peer_version
        bodies = [build(event, version) for event in events]
        session.send_requests(CommandId.DELIVER_SM, bodies, events, self.clock.now())
        self.flush()

    def _answered(self, answers: Sequence[tuple[object, Pdu]]) -> None:
        tries = Tries(self.account.id, self.bind_name, self.clock.wall_ms())
        pairs: list[tuple[Event, int]] = [
            (event, pdu.command_status)  # type: ignore[misc]
            for event, pdu in answers
        ]
        settle(self.account.outbox, pairs, tries, self.clock.now())
        self.account.delivered += len(pairs)
        self._measure(pairs)
        self.core.committer.submit(Changes(delivered=tries.rows()), lambda applied: None, patient=True)
        self.account.pump()

    def _measure(self, pairs: Sequence[tuple[Event, int]]) -> None:
        """How long the receipts took that were acknowledged together: their mean."""
        came = [event.done_at for event, status in pairs if event.kind == RECEIPT and not status]
        if came:
            mean_ms = self.clock.wall_ms() - sum(came) / len(came)
            self.core.latencies.receipt.observe(max(0.0, mean_ms), len(came))

    def expired(self, tokens: Sequence[object]) -> None:
        tries = Tries(self.account.id, self.bind_name, self.clock.wall_ms())
        pairs: list[tuple[Event, int]] = [(event, NO_ANSWER) for event in tokens]  # type: ignore[misc]
        settle(self.account.outbox, pairs, tries, self.clock.now())
        self.core.committer.submit(Changes(delivered=tries.rows()), lambda applied: None, patient=True)
        self.account.pump()

    def ended(self, tokens: Sequence[object]) -> None:
        account = self.account
        if self in account.binds:
            account.binds.remove(self)
        events: list[Event] = [event for event in tokens if isinstance(event, Event)]
        if events:
            tries = Tries(account.id, self.bind_name, self.clock.wall_ms())
            for event in events:
                tries.add(event, LINK_LOST, done=False)
            account.outbox.again(events, self.clock.now(), at_once=True)
            self.core.committer.submit(Changes(delivered=tries.rows()), lambda applied: None, patient=True)
            account.pump()
