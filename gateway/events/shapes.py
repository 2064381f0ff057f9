"""What stands in an account's log, as types: JSON, the OpenAPI document and the reference are made of them.

Names are stable within /v1: fields may be added, never renamed or removed.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.api.shapes import InReplyTo, MessageError, Status

STATUS, INBOUND, BATCH_FINISHED = "message.status", "message.inbound", "batch.finished"
TEST = "test"
BATCH_REVIEWED, QUOTA_LOW, CONNECTION_STATE = "batch.reviewed", "quota.low", "connection.state"
# What a key must have the scope for; webhooks hear all of their account's log.
KINDS_OF_SCOPE = {
    "read": (STATUS, BATCH_FINISHED, BATCH_REVIEWED, QUOTA_LOW),
    "inbound": (INBOUND,),
    "admin": (CONNECTION_STATE,),
}


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


class ReviewData(msgspec.Struct, omit_defaults=True):
    """A reviewer has decided on a task of the console that waited for a review."""

    task: Annotated[str, Meta(description="The task's number, as the console shows it.")]
    name: str
    decision: Literal["approved", "rejected"]
    reviewer: Annotated[str, Meta(description="Who decided: a login.")]
    recipients: int
    parts: Annotated[int, Meta(description="SMS that it becomes, if it was approved.")]
    note: Annotated[str, Meta(description="What the reviewer wrote; always there for a rejection.")] = ""


class QuotaData(msgspec.Struct):
    """Parts have fallen to the threshold. Told once; again after there were more, by a top-up."""

    of: Annotated[
        Literal["user", "group"],
        Meta(description="The key's own user; administrators hear of the groups that they look after, too."),
    ]
    name: Annotated[str, Meta(description="The user's login, or the path of the group.")]
    limit: int
    available: Annotated[int, Meta(description="Parts that are left.")]
    threshold: Annotated[int, Meta(description="Parts at which it counts as low.")]


class ConnectionData(msgspec.Struct):
    """A carrier can be sent to, or no longer can. Told to administrators of a root group."""

    carrier: str
    state: Annotated[
        Literal["up", "down", "paused"],
        Meta(description="up: a bind can send. paused: an administrator stopped it."),
    ]
    binds: Annotated[int, Meta(description="Binds that can send.")]
    queued: Annotated[int, Meta(description="Parts that wait for it in memory; there may be more on disk.")]


class LoggedEvent(msgspec.Struct):
    """One event of an account's log.

    `seq` orders the log of the account and is the cursor behind this event: a whole number below 2^53, growing
    but not without gaps. `id` stays the same however often, and by whichever way, the event is told.
    """

    id: str
    seq: int
    type: str
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


class ReviewEvent(msgspec.Struct, tag_field="type", tag=BATCH_REVIEWED):
    """A reviewer has decided."""

    id: str
    seq: int
    at: str
    data: ReviewData


class QuotaEvent(msgspec.Struct, tag_field="type", tag=QUOTA_LOW):
    """Parts run low."""

    id: str
    seq: int
    at: str
    data: QuotaData


class ConnectionEvent(msgspec.Struct, tag_field="type", tag=CONNECTION_STATE):
    """A carrier came up or went down."""

    id: str
    seq: int
    at: str
    data: ConnectionData


class TestData(msgspec.Struct):
    """Of a test of a webhook."""

    __test__ = False  # pytest takes names like this for tests

    text: str


class TestEvent(msgspec.Struct, tag_field="type", tag=TEST):
    """You asked for a test of your webhook. It is on no log: its seq is 0."""

    __test__ = False

    id: str
    seq: int
    at: str
    data: TestData


class WebhookBody(msgspec.Struct):
    """What is posted to a webhook: up to 100 events of one type, oldest first."""

    type: Annotated[str, Meta(description="Of all of these events.")]
    timestamp: Annotated[str, Meta(description="When the last of them happened.")]
    data: list[
        StatusEvent | InboundEvent | BatchEvent | ReviewEvent | QuotaEvent | ConnectionEvent | TestEvent
    ]


class EventPage(msgspec.Struct):
    """Events, oldest first. `next` is what to ask `after` the next time, also when nothing came.

    An event's `id` stays the same however often, and by whichever way, it is told; `seq` grows along the log, with
    gaps, and is a cursor: a whole number below 2^53.
    """

    data: list[StatusEvent | InboundEvent | BatchEvent | ReviewEvent | QuotaEvent | ConnectionEvent]
    next: int
