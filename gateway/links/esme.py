"""A customer's bind: submits go through the one door, receipts and inbound messages come back.

The socket is the queue: while a round commits, TCP collects the next batch, so batches grow with load and a
customer feels it as its own full window. When the disk is slow the reader goes on after a moment, so that an
enquire_link is answered whatever happens to the store.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
import trio

from filters.verdict import smpp_status
from gateway.accounts import AccountState
from gateway.customer_pdus import shown_id, shown_ids
from gateway.delivery import Event, Tries, settle
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
# Submits without an answer at which reading stops whatever happens: what one bind may hold in memory.
UNANSWERED_FACTOR = 4


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
        self.unanswered = 0
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
                await self._submits(requests[at:end])  # type: ignore[arg-type]
            elif type(request) is DataSm:
                await self._data_sm(request)
            else:
                await self._operation(request)
            at = end

    # -- submissions ------------------------------------------------------------------------------

    async def _submits(self, submits: Sequence[SubmitSm]) -> None:
        window = self.account.account.window
        if len(submits) <= window:
            await self._submit_batch(submits)
            return
        # More at once than the window allows: a bounded stop in reading, then RTHROTTLED.
        deadline = self.clock.now() + ACCOUNT_PAUSE_S_MAX
        for at in range(0, len(submits), window):
            if self.clock.now() > deadline:
                for submit in submits[at:]:
                    self.session.respond_error(submit, Status.ESME_RTHROTTLED)
                self.account.count_refused(Status.ESME_RTHROTTLED, len(submits) - at)
                return
            await self._submit_batch(submits[at : at + window])

    async def _submit_batch(self, submits: Sequence[SubmitSm]) -> None:
        bucket = self.account.bucket
        if bucket.rate:
            wait_s = bucket.wait_s(len(submits), self.clock.now())
            if wait_s:
                await trio.sleep(min(wait_s, ACCOUNT_PAUSE_S_MAX))
            granted = bucket.take(len(submits), self.clock.now())
            if granted < len(submits):
                for submit in submits[granted:]:
                    self.session.respond_error(submit, Status.ESME_RTHROTTLED)
                self.account.count_refused(Status.ESME_RTHROTTLED, len(submits) - granted)
                submits = submits[:granted]
                if not submits:
                    return
        if any(submit.replace_if_present_flag == 1 for submit in submits):
            await self.core.operations.replace_if_present(self.account, submits)
        numbers = [submit.sequence_number for submit in submits]
        await self._accept(submits, numbers)

    async def _accept(self, submits: Sequence[SubmitSm], numbers: Sequence[int]) -> None:
        """Through the door, into a round; answered when durable, in request order."""
        core, account, session = self.core, self.account, self.session
        refusal = core.refusal_now()
        if refusal:
            for submit in submits:
                session.respond_error(submit, smpp_status(refusal))
            account.count_refused(refusal, len(submits))
            return
        changes = Changes()
        judged = core.generation
        results = core.intake.accept_batch(account, submits, self.clock.wall_ms(), changes)
        further = len(changes.parts) - len(submits)
        if further > 0 and account.bucket.rate:
            # Rates count parts; a long message pays for its further ones after the fact.
            account.bucket.take(further, self.clock.now())
        if not changes.parts:
            self._answer(submits, numbers, results)
            return
        self.unanswered += len(submits)

        def durable(applied: Applied) -> None:
            self.unanswered -= len(submits)
            self._answer(submits, numbers, results)
            self.flush()
            core.offer(changes.parts, judged=judged)

        def refused() -> None:
            self.unanswered -= len(submits)
            core.intake.give_back(changes)
            for submit in submits:
                session.respond_error(submit, Status.ESME_RMSGQFUL)
            self.flush()

        ticket = core.committer.submit(changes, durable, refused)
        await self._wait_for(ticket.settled)

    async def _wait_for(self, settled: trio.Event) -> None:
        """Let the next batch collect while this one commits; read on when the disk is slow."""
        if self.unanswered > self.account.account.window * UNANSWERED_FACTOR:
            await settled.wait()
            return
        with trio.move_on_after(COMMIT_PATIENCE_S):
            await settled.wait()

    def _answer(self, submits: Sequence[SubmitSm], numbers: Sequence[int], results: Sequence[int]) -> None:
        session, account = self.session, self.account
        if session.state not in (BindState.BOUND_TX, BindState.BOUND_TRX):
            return
        if min(results) > 0:
            session.respond_submits(numbers, shown_ids(results, session.peer_version))
            account.accepted += len(results)
            return
        for submit, result in zip(submits, results, strict=True):
            if result > 0:
                session.respond(submit, SubmitSmResp(message_id=shown_id(result, session.peer_version)))
                account.accepted += 1
            else:
                session.respond_error(submit, smpp_status(-result))
                account.count_refused(-result)

    async def _data_sm(self, request: DataSm) -> None:
        """data_sm is a submit whose text lies in message_payload; its response is its own."""
        submit = self.core.operations.submit_of_data_sm(request)
        if submit is None:
            self.session.respond_error(request, Status.ESME_RMISSINGTLV)
            return
        result = await self.core.submit_one(self.account, submit)
        if result > 0:
            message_id = shown_id(result, self.session.peer_version)
            self.session.respond(request, DataSmResp(message_id=message_id))
            self.account.accepted += 1
        else:
            self.session.respond_error(request, smpp_status(-result))
            self.account.count_refused(-result)

    async def _operation(self, request: Pdu) -> None:
        operations = self.core.operations
        response: Pdu | int
        if isinstance(request, QuerySm):
            response = await operations.query(self.account, request)
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

    # -- receipts and inbound messages ------------------------------------------------------------

    def pump_events(self) -> None:
        """Send as many waiting events as the window takes."""
        outbox, session = self.account.outbox, self.session
        free = session.window_free
        if free <= 0 or not self.can_receive:
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
        self.core.committer.submit(Changes(delivered=tries.rows()), lambda applied: None)
        self.account.pump()

    def expired(self, tokens: Sequence[object]) -> None:
        tries = Tries(self.account.id, self.bind_name, self.clock.wall_ms())
        pairs: list[tuple[Event, int]] = [(event, NO_ANSWER) for event in tokens]  # type: ignore[misc]
        settle(self.account.outbox, pairs, tries, self.clock.now())
        self.core.committer.submit(Changes(delivered=tries.rows()), lambda applied: None)
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
            self.core.committer.submit(Changes(delivered=tries.rows()), lambda applied: None)
            account.pump()
