"""Stored events as readers see them."""

from collections.abc import Mapping

import msgspec

from gateway.api import ids
from gateway.api.build import encoding_name
from gateway.api.shapes import Status
from gateway.api.times import show_time
from gateway.api.views import FAILURES, detail_of, error_of, in_reply_to, status_of
from gateway.customer_pdus import message_id_of
from gateway.events.seq import seq_of
from gateway.events.shapes import INBOUND, STATUS, InboundData, LoggedEvent, StatusData
from gateway.message_states import STATE_OF_MESSAGE_STATE
from gateway.smpp.constants import MessageState
from store.model import Inbound, Part, Receipt, State
from store.port import Event


def logged(event: Event, answered: Mapping[int, Part], *, each: bool) -> LoggedEvent:
    """An event of the store as readers see it.

    Args:
      answered: parts that inbound messages answer, by message id.
      each: the account gets a receipt for each part of a long message.
    """
    if event.receipt is not None:
        assert event.part is not None
        kind, at_ms = STATUS, event.receipt.received_at
        data: StatusData | InboundData | msgspec.Raw = status_data(event.part, event.receipt, each=each)
    elif event.inbound is not None:
        kind, at_ms = INBOUND, event.inbound.received_at
        data = inbound_data(event.inbound, answered.get(event.inbound.answers))
    else:
        assert event.notice is not None
        kind, at_ms = event.notice.kind, event.notice.at
        data = msgspec.Raw(event.notice.data)
    return LoggedEvent(ids.show(ids.EVENT, event.id), seq_of(event.id), kind, show_time(at_ms), data)


def status_data(part: Part, receipt: Receipt, *, each: bool) -> StatusData:
    """What a receipt says. Not what its message came to later: the log is history."""
    ours = not receipt.raw  # made here, not by a carrier
    state = STATE_OF_MESSAGE_STATE.get(receipt.message_state)
    if receipt.message_state == MessageState.UNKNOWN:
        state = State.UNKNOWN
    status: Status = "submitted" if state is None else status_of(state, taken=not ours)
    detail = detail_of(part)
    data = StatusData(
        id=ids.show(ids.MESSAGE, message_id_of(part)),
        status=status,
        final=state is not None and (ours or state != State.UNKNOWN),
        at=show_time(receipt.received_at),
        to=str(part.dest),
        from_=part.source.decode("utf-8", "replace"),
        parts=part.parts,
        part=part.part_no if each and part.parts > 1 else 0,
        client_ref=detail.get("ref", ""),
        batch_id=ids.show(ids.BATCH, detail["batch"]) if "batch" in detail else "",
        metadata=detail.get("meta", {}),
        callback_url=detail.get("cb", ""),
    )
    if state in FAILURES:
        assert state is not None
        data.error = error_of(state, receipt.error, taken=not ours)
    return data


def inbound_data(row: Inbound, answers: Part | None) -> InboundData:
    """A whole inbound message; `row` is the segment that completed it."""
    return InboundData(
        id=ids.show(ids.INBOUND, row.id),
        from_=row.source.decode("latin-1"),
        to=row.dest.decode("latin-1"),
        text=row.text,
        encoding=encoding_name(row.data_coding),
        parts=row.parts,
        received_at=show_time(row.received_at),
        in_reply_to=in_reply_to(row.answers, answers),
    )
