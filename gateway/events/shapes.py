"""What stands in an account's log, as types: JSON, the OpenAPI document and the reference are made of them.

Names are stable within /v1: fields may be added, never renamed or removed.
"""

import msgspec

from gateway.api.shapes import InReplyTo, MessageError, Status

STATUS, INBOUND, BATCH_FINISHED = "message.status", "message.inbound", "batch.finished"
KINDS = (STATUS, INBOUND, BATCH_FINISHED)


class StatusData(msgspec.Struct, omit_defaults=True):
    """What became of a message. `final`: nothing else will be told of it."""

    id: str
    status: Status
    final: bool
    at: str
    to: str
    from_: str = msgspec.field(name="from")
    parts: int
    part: int = 0  # which SMS of a long one, where the account gets a receipt for each
    client_ref: str = ""
    batch_id: str = ""
    metadata: dict[str, str] = {}
    error: MessageError | None = None
    callback_url: str = ""


class InboundData(msgspec.Struct, omit_defaults=True):
    """A message from a handset, whole. A segment that never came is shown as […]."""

    id: str
    from_: str = msgspec.field(name="from")
    to: str
    text: str
    encoding: str
    parts: int
    received_at: str
    in_reply_to: InReplyTo | None = None


class BatchData(msgspec.Struct, omit_defaults=True):
    """A batch of which every message has ended. `states` counts them."""

    id: str
    total: int
    accepted: int
    rejected_count: int
    states: dict[str, int]
    client_ref: str = ""


class LoggedEvent(msgspec.Struct):
    """One event of an account's log.

    `seq` orders the log of the account and is the cursor behind this event: a whole number below 2^53, growing
    but not without gaps. `id` stays the same however often, and by whichever way, the event is told.
    """

    id: str
    seq: int
    type: str  # one of KINDS
    at: str
    data: StatusData | InboundData | BatchData | msgspec.Raw


# The same by type, for the description of the API and for clients in Python.


class StatusEvent(msgspec.Struct, tag_field="type", tag=STATUS):
    """What became of a message."""

    id: str
    seq: int
    at: str
    data: StatusData


class InboundEvent(msgspec.Struct, tag_field="type", tag=INBOUND):
    """A message from a handset."""

    id: str
    seq: int
    at: str
    data: InboundData


class BatchEvent(msgspec.Struct, tag_field="type", tag=BATCH_FINISHED):
    """Every message of a batch has ended."""

    id: str
    seq: int
    at: str
    data: BatchData


class EventPage(msgspec.Struct):
    """Events, oldest first. `next` is what to ask `after` the next time, also when nothing came.

    An event's `id` stays the same however often, and by whichever way, it is told; `seq` grows along the log, with
    gaps, and is a cursor: a whole number below 2^53.
    """

    data: list[StatusEvent | InboundEvent | BatchEvent]
    next: int
