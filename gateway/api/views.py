"""Stored messages as the API shows them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from filters.receipts import explain_network_error
from filters.verdict import NONE, OURS_FROM, VERDICTS, explain, name_of
from gateway.api import ids
from gateway.api.build import encoding_name
from gateway.api.shapes import InboundOut, InReplyTo, MessageError, MessageOut, PartOut, Status
from gateway.api.times import show_time
from gateway.operations import message_outcome
from store.model import FINAL_STATES, NO_CARRIER, NO_ERROR, Attempt, Inbound, Part, PartFlag, State

STATUSES: dict[State, Status] = {
    State.SCHEDULED: "scheduled",
    State.QUEUED: "queued",
    State.CLAIMED: "queued",
    State.SENT: "submitted",
    State.HELD: "submitted",
    State.REVIEW: "in_review",
    State.DELIVERED: "delivered",
    State.FAILED: "undelivered",
    State.EXPIRED: "expired",
    State.REJECTED: "rejected",
    State.CANCELLED: "cancelled",
    State.UNKNOWN: "unknown",
}
_STATES: dict[str, frozenset[State]] = {}
for _state, _status in STATUSES.items():
    _STATES[_status] = _STATES.get(_status, frozenset()) | {_state}
_STATES["accepted"] = _STATES["queued"]
_STATES["failed"] = frozenset({State.FAILED})
FAILURES = frozenset({State.FAILED, State.EXPIRED, State.REJECTED, State.CANCELLED, State.UNKNOWN})


def status_of(state: int, *, taken: bool) -> Status:
    """How a state is shown. What failed without any carrier having taken it did so here, or at the carrier's
    door: `failed`; else the network gave up on it: `undelivered`."""
    return "failed" if state == State.FAILED and not taken else STATUSES[State(state)]


def states_of(status: str) -> frozenset[State]:
    """The states that are shown as this status."""
    return _STATES.get(status, frozenset())


def detail_of(part: Part) -> dict[str, Any]:
    """What was kept with a part: ref, meta, batch, and the record of the sensitive words."""
    return msgspec.msgpack.decode(part.detail) if part.detail else {}


def message_out(parts: Sequence[Part], attempts: Sequence[Attempt] = ()) -> MessageOut:
    """A message from all of its parts, in order.

    `attempts` tell a carrier's refusal from a handset's: without them both are numbers.
    """
    first = parts[0]
    state, error, done_at = message_outcome(parts)
    detail = detail_of(first)
    final = state in FINAL_STATES
    out = MessageOut(
        id=ids.show(ids.MESSAGE, first.id),
        status=STATUSES[state],
        final=final,
        at=show_time(done_at if final else first.accepted_at),
        to=str(first.dest),
        from_=first.source.decode("utf-8", "replace"),
        parts=len(parts),
        encoding=encoding_name(first.data_coding),  # type: ignore[arg-type]
        created_at=show_time(first.accepted_at),
        masked=any(part.flags & PartFlag.MASKED for part in parts),
        maybe_duplicate=any(part.flags & PartFlag.MAYBE_DUPLICATE for part in parts),
        schedule_at=show_time(first.deliver_at) if first.deliver_at else "",
        client_ref=detail.get("ref", ""),
        batch_id=ids.show(ids.BATCH, detail["batch"]) if "batch" in detail else "",
        metadata=detail.get("meta", {}),
    )
    if state in FAILURES:
        failed = next(part for part in parts if part.state == state and part.error == error)
        taken = accepted(failed, attempts)
        out.status = status_of(state, taken=taken)
        out.error = error_of(state, error, taken)
    if len(parts) > 1:
        out.part_states = [part_out(part, attempts) for part in parts]
    return out


def part_out(part: Part, attempts: Sequence[Attempt]) -> PartOut:
    state = State(part.state)
    final = state in FINAL_STATES
    taken = accepted(part, attempts)
    error = error_of(state, part.error, taken) if state in FAILURES else None
    return PartOut(
        part.part_no,
        status_of(state, taken=taken),
        final,
        show_time(part.done_at if final else part.accepted_at),
        error,
    )


def accepted(part: Part, attempts: Sequence[Attempt]) -> bool:
    """Whether a carrier took this part; as the sandbox stands in for one, it did."""
    return part.carrier == NO_CARRIER or any(
        attempt.part_id == part.id and attempt.status == 0 for attempt in attempts
    )


def error_of(state: State, error: int, taken: bool) -> MessageError:
    """Why a message did not arrive.

    An error from OURS_FROM up is this gateway's reason; below, it is the carrier's answer, or, where a carrier
    had taken the message, the network's error out of the receipt.
    """
    status = STATUSES[state]
    if error >= OURS_FROM and error not in (NO_ERROR, NONE):
        verdict = next((v for reason, v in VERDICTS.items() if reason == error), None)
        permanent = verdict.permanent if verdict else True
        return MessageError(name_of(error), explain(error), permanent, "gateway")
    word = _WORDS.get(state, "")
    if error in (0, NO_ERROR, NONE):
        why = _SENTENCES.get(status, "The carrier gave no reason.")
        return MessageError(status, why, True, "network" if taken else "carrier", "", word if taken else "")
    if taken:
        return MessageError(status, explain_network_error(error), True, "network", "", word, error)
    return MessageError("refused-by-carrier", explain(error), True, "carrier", name_of(error))


_WORDS = {
    State.FAILED: "UNDELIV",
    State.EXPIRED: "EXPIRED",
    State.REJECTED: "REJECTD",
    State.CANCELLED: "DELETED",
    State.UNKNOWN: "UNKNOWN",
}
_SENTENCES = {
    "undelivered": "The network could not deliver it and gave no reason.",
    "expired": "The network gave up: the handset was not reached in time.",
    "rejected": "The carrier rejected it and gave no reason.",
    "cancelled": "It was cancelled at the carrier.",
    "unknown": "The carrier does not know what became of it.",
}


def inbound_out(row: Inbound, answers: Part | None = None) -> InboundOut:
    """A message from a handset; `row` is the segment that completed it, `answers` the part that it answers."""
    return InboundOut(
        id=ids.show(ids.INBOUND, row.id),
        from_=row.source.decode("latin-1"),
        to=row.dest.decode("latin-1"),
        text=row.text,
        parts=row.parts,
        received_at=show_time(row.received_at),
        data_coding=row.data_coding,
        in_reply_to=in_reply_to(row.answers, answers),
    )


def in_reply_to(message_id: int, part: Part | None) -> InReplyTo | None:
    """The message that is answered, with what its sender called it as long as it is kept."""
    if not message_id:
        return None
    detail = detail_of(part) if part is not None else {}
    return InReplyTo(
        ids.show(ids.MESSAGE, message_id),
        ids.show(ids.BATCH, detail["batch"]) if "batch" in detail else "",
        detail.get("ref", ""),
    )
