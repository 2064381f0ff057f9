"""What a customer may ask about messages already accepted: query, cancel, replace, and submit_multi.

Answers for a message of somebody else are those for a message that does not exist. Only what still waits can
be cancelled or replaced: once a submit_sm is on a wire nobody can take it back.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from filters.verdict import Reason, smpp_status
from gateway.accounts import AccountState
from gateway.customer_pdus import id_from_shown, shown_id
from gateway.smpp.constants import VERSION_50, CommandId, MessageState, Status
from gateway.smpp.decode import decode_body
from gateway.smpp.encode import body_of
from gateway.smpp.pdu import (
    CancelSm,
    CancelSmResp,
    DataSm,
    DistributionList,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    ReplaceSmResp,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    UnsuccessSme,
)
from gateway.smpp.segments import part_octets_max
from gateway.smpp.text import alphabet_of
from gateway.smpp.times import BadTime, format_absolute, schedule_moment, validity_deadline
from gateway.smpp.tlv import has_payload
from store.model import FINAL_STATES, NO_ERROR, Changes, Part, PartFlag, State
from store.outcomes import message_outcome as message_outcome
from store.port import Applied

if TYPE_CHECKING:
    from gateway.core import Core

VALIDITY_S_DEFAULT = 72 * 3600
SCHEDULE_AHEAD_S_MAX = 30 * 86_400
CANCELLED_MAX = 1_000  # parts that one cancel_sm by addresses takes at most

_MESSAGE_STATE = {
    State.SCHEDULED: MessageState.SCHEDULED,
    State.QUEUED: MessageState.ENROUTE,
    State.CLAIMED: MessageState.ENROUTE,
    State.SENT: MessageState.ENROUTE,
    State.HELD: MessageState.ENROUTE,
    State.REVIEW: MessageState.ENROUTE,
    State.DELIVERED: MessageState.DELIVERED,
    State.FAILED: MessageState.UNDELIVERABLE,
    State.EXPIRED: MessageState.EXPIRED,
    State.REJECTED: MessageState.REJECTED,
    State.CANCELLED: MessageState.DELETED,
    State.UNKNOWN: MessageState.UNKNOWN,
}
WAITING = frozenset({State.SCHEDULED, State.QUEUED})


class Operations:
    def __init__(self, core: "Core") -> None:
        self._core = core

    # -- finding ----------------------------------------------------------------------------------

    async def _message(self, account: AccountState, shown: bytes, source: bytes) -> list[Part]:
        """The parts of a customer's own message; empty for unknown, foreign, or another source address."""
        core = self._core
        message_id = id_from_shown(shown, core.clock.wall_ms() // 1000, core.config.store.node)
        if not message_id:
            return []
        parts = await core.message_parts(message_id)
        if not parts or parts[0].account != account.id:
            return []
        # SMPP 3.4 section 4.8.1: the source must be that of the submit. Empty stands for the default sender.
        if (source or account.default_sender) != parts[0].source:
            return []
        return parts

    # -- query ------------------------------------------------------------------------------------

    async def query(self, account: AccountState, request: QuerySm, peer_version: int) -> QuerySmResp | int:
        parts = await self._message(account, request.message_id, request.source_addr)
        if not parts:
            return Status.ESME_RQUERYFAIL
        state, error, done_at = message_outcome(parts)
        message_state = _MESSAGE_STATE[state]
        if message_state == MessageState.SCHEDULED and peer_version < VERSION_50:
            message_state = MessageState.ENROUTE  # 3.4 has no state 0 (section 5.2.28)
        return QuerySmResp(
            message_id=request.message_id,
            final_date=format_absolute(done_at) if state in FINAL_STATES else b"",
            message_state=message_state,
            error_code=min(error, 255) if error != NO_ERROR and error < 0x4000 else 0,
        )

    # -- cancel -----------------------------------------------------------------------------------

    async def cancel(self, account: AccountState, request: CancelSm) -> CancelSmResp | int:
        core = self._core
        if request.message_id:
            parts = await self._message(account, request.message_id, request.source_addr)
            if not parts:
                return Status.ESME_RINVMSGID
        else:
            if not request.destination_addr or not request.source_addr:
                return Status.ESME_RINVMSGID
            dest = core.numbering.canonical(request.destination_addr, request.dest_addr_ton)
            parts = await core.ports.store.read(
                lambda s: s.find_pending(account.id, request.source_addr, dest, limit=CANCELLED_MAX)
            )
            if request.service_type:
                parts = [part for part in parts if service_type_of(part) == request.service_type]
        cancelled = await self.cancel_parts(parts)
        return CancelSmResp() if cancelled else Status.ESME_RCANCELFAIL

    async def cancel_parts(self, parts: Sequence[Part]) -> int:
        """Cancel whole messages of which nothing has left yet. How many parts that were.

        Receipts say DELETED to those who asked for failures (SMPP 3.4 section 5.2.28).
        """
        core = self._core
        waiting = self._take_waiting(parts)
        if not waiting:
            return 0
        changes = Changes()
        events = core.outcomes.end(waiting, State.CANCELLED, Reason.CANCELLED, changes)
        # What follows must not depend on whether the asker is still there when the round is durable.
        await core.committer.submit(changes, lambda applied: core.deliver(events)).settled.wait()
        return len(waiting)

    def _take_waiting(self, parts: Sequence[Part]) -> list[Part]:
        """Of these messages the parts that wait, out of their queues; none of a message that has begun."""
        core = self._core
        by_head: dict[int, list[Part]] = {}
        for part in parts:
            by_head.setdefault(part.id - part.part_no + 1, []).append(part)
        by_carrier: dict[int, list[list[Part]]] = {}
        for some in by_head.values():
            # Asked by addresses, some may lack what is over already, or on its way.
            fired = any(p.state == State.SCHEDULED and core.has_fired(p.id) for p in some)
            if len(some) == some[0].parts and all(part.state in WAITING for part in some) and not fired:
                by_carrier.setdefault(some[0].carrier, []).append(some)
        taken: list[Part] = []
        for carrier_id, messages in by_carrier.items():
            carrier = core.carriers.get(carrier_id)
            if carrier is None:
                continue
            queue = carrier.queue
            gone = queue.gone([p for some in messages for p in some if p.state == State.QUEUED])
            whole = [part for some in messages if gone.isdisjoint(p.id for p in some) for part in some]
            ids = {part.id for part in whole}
            queued = {part.id: part for part in queue.remove(lambda p, ids=ids: p.id in ids)}  # type: ignore[misc]
            core.withdrawn |= ids
            core.withheld.forget(ids)
            taken += [queued.get(part.id, part) for part in whole]
        return taken

    # -- replace ----------------------------------------------------------------------------------

    async def replace(self, account: AccountState, request: ReplaceSm) -> ReplaceSmResp | int:
        """New text, times and receipt wish for a message that waits; its alphabet stays (no data_coding)."""
        core = self._core
        parts = await self._message(account, request.message_id, request.source_addr)
        if not parts:
            return Status.ESME_RINVMSGID
        now_ms = core.clock.wall_ms()
        part = parts[0]
        if len(parts) > 1 or part.flags & PartFlag.CONCATENATED:
            return Status.ESME_RREPLACEFAIL
        text = request.short_message
        if len(text) > part_octets_max(alphabet_of(part.data_coding)):
            return Status.ESME_RREPLACEFAIL
        try:
            deliver_at = schedule_moment(
                request.schedule_delivery_time, now_ms, ahead_max_s=SCHEDULE_AHEAD_S_MAX
            )
        except BadTime:
            return Status.ESME_RINVSCHED
        try:
            expires_at = validity_deadline(
                request.validity_period,
                deliver_at,
                default_s=VALIDITY_S_DEFAULT,
                max_s=VALIDITY_S_DEFAULT * 10,
            )
        except BadTime:
            return Status.ESME_RINVEXPIRY
        verdict = core.intake.screen_text(account, text, part.data_coding)
        if isinstance(verdict, int):
            return smpp_status(verdict)
        waiting = self._take_waiting(parts)
        if not waiting:
            return Status.ESME_RREPLACEFAIL
        part = waiting[0]
        pdu = decode_body(CommandId.SUBMIT_SM, part.body)
        assert isinstance(pdu, SubmitSm)
        pdu.short_message = verdict.text
        pdu.data_coding = verdict.data_coding
        part.body = body_of(pdu)
        part.data_coding = verdict.data_coding
        part.detail = verdict.detail
        part.registered_delivery = request.registered_delivery
        part.deliver_at = deliver_at if deliver_at > now_ms else 0
        part.expires_at = expires_at
        part.flags = part.flags & ~(PartFlag.MASKED | PartFlag.VALIDITY_GIVEN)
        if verdict.masked:
            part.flags |= PartFlag.MASKED
        if request.validity_period:
            part.flags |= PartFlag.VALIDITY_GIVEN
        part.state = State.SCHEDULED if part.deliver_at else State.QUEUED

        def durable(applied: Applied) -> None:
            # A reading that is under way may bring it as it was: whoever made it reads it again.
            core.withdrawn.discard(part.id)
            core.withdrawn_before.discard(part.id)
            core.replaced.add(part.id)
            core.offer([part])

        await core.committer.submit(Changes(replaced=[part]), durable).settled.wait()
        return ReplaceSmResp()

    async def replace_if_present(self, account: AccountState, submits: Sequence[SubmitSm]) -> None:
        """replace_if_present_flag 1: a waiting message of the same source, destination and service type gives
        way to the new one, and ends as DELETED under its own id."""
        core = self._core
        for submit in submits:
            if submit.replace_if_present_flag != 1:
                continue
            dest = core.numbering.canonical(submit.destination_addr, submit.dest_addr_ton)
            source = submit.source_addr or account.default_sender
            parts: list[Part] = await core.ports.store.read(
                lambda s, source=source, dest=dest: s.find_pending(account.id, source, dest)  # type: ignore[misc]
            )
            same = [part for part in parts if service_type_of(part) == submit.service_type]
            await self.cancel_parts(same)

    # -- other ways to submit ---------------------------------------------------------------------

    def submit_of_data_sm(self, request: DataSm) -> SubmitSm | None:
        """A data_sm as the submit_sm that it means; None where it has no message_payload."""
        if not has_payload(request.tlvs):
            return None
        return SubmitSm(
            request.sequence_number,
            0,
            request.service_type,
            request.source_addr_ton,
            request.source_addr_npi,
            request.source_addr,
            request.dest_addr_ton,
            request.dest_addr_npi,
            request.destination_addr,
            request.esm_class,
            registered_delivery=request.registered_delivery,
            data_coding=request.data_coding,
            tlvs=request.tlvs,
        )

    async def submit_multi(
        self, account: AccountState, request: SubmitMulti, peer_version: int
    ) -> SubmitMultiResp | int:
        """One text to many numbers: one id for the customer, a message and a receipt for each number.

        query_sm, cancel_sm and replace_sm by that id speak of the first number's message.
        """
        core = self._core
        destinations = request.destinations
        if not destinations:
            return Status.ESME_RINVNUMDESTS
        if request.replace_if_present_flag:
            return Status.ESME_RINVREPFLAG
        unsuccess: list[UnsuccessSme] = []
        submits: list[SubmitSm] = []
        for destination in destinations:
            if isinstance(destination, DistributionList):
                unsuccess.append(UnsuccessSme(0, 0, destination.name, Status.ESME_RINVDLNAME))
                continue
            submits.append(
                SubmitSm(
                    request.sequence_number, 0, request.service_type, request.source_addr_ton,
                    request.source_addr_npi, request.source_addr, destination.ton, destination.npi,
                    destination.address, request.esm_class, request.protocol_id, request.priority_flag,
                    request.schedule_delivery_time, request.validity_period, request.registered_delivery,
                    0, request.data_coding, request.sm_default_msg_id, request.short_message, request.tlvs,
                )
            )  # fmt: skip
        refusal = core.refusal_now()
        if refusal:
            return smpp_status(refusal)
        granted = account.bucket.take(len(submits), core.clock.now())
        if granted < len(submits):
            account.bucket.give_back(granted)
            return Status.ESME_RTHROTTLED
        changes = Changes()
        judged = core.generation
        results = core.intake.accept_batch(account, submits, core.clock.wall_ms(), changes)
        account.bucket.owe(max(0, len(changes.parts) - len(submits)), core.clock.now())
        for submit, result in zip(submits, results, strict=True):
            if result < 0:
                account.count_refused(-result)
                unsuccess.append(
                    UnsuccessSme(
                        submit.dest_addr_ton,
                        submit.dest_addr_npi,
                        submit.destination_addr,
                        smpp_status(-result),
                    )
                )
        if not changes.parts:
            return unsuccess[0].error_status_code if unsuccess else Status.ESME_RSUBMITFAIL
        first = changes.parts[0].id
        for part in changes.parts:
            if part.id - part.part_no + 1 != first:
                part.flags |= PartFlag.ONE_OF_MANY
                known = msgspec.msgpack.decode(part.detail) if part.detail else {}
                part.detail = msgspec.msgpack.encode(known | {"first": first})
        answers: list[SubmitMultiResp] = []

        def durable(applied: Applied) -> None:
            account.accepted += sum(1 for result in results if result > 0)
            answers.append(
                SubmitMultiResp(message_id=shown_id(first, peer_version), unsuccess=tuple(unsuccess))
            )
            core.offer(changes.parts, judged=judged)

        def refused() -> None:
            core.intake.give_back(changes)

        await core.committer.submit(changes, durable, refused).settled.wait()
        return answers[0] if answers else Status.ESME_RMSGQFUL


def service_type_of(part: Part) -> bytes:
    """What the submit of a part had as service_type: the first field of its body."""
    return part.body.partition(b"\0")[0]
