"""The JSON of /v1/webhooks as types."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from store.directory import EventType

Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="Your name for the endpoint, one of its kind.",
        examples=["crm"],
    ),
]
Url = Annotated[
    str,
    Meta(max_length=2048, description="Where events are posted: https or http, to a public address.",
         examples=["https://app.example.com/sms"]),
]  # fmt: skip
Hosts = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=253)]],
    Meta(
        max_length=50,
        description="Instead of `url`: the hosts that a message's `callback_url` may name, exact or like"
        " *.example.com.",
    ),
]
Events = Annotated[
    list[EventType], Meta(max_length=20, description="Which types of events; none given means all.")
]
Concurrency = Annotated[int, Meta(ge=1, le=32, description="Requests at once. Default 4.")]
Secret = Annotated[
    str,
    Meta(max_length=120, description="`whsec_` and the base64 of 24 to 64 octets. Left out: one is made."),
]
Seq = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]


class WebhookIn(msgspec.Struct, forbid_unknown_fields=True):
    """An endpoint to add: a name, and exactly one of url and hosts."""

    name: Name
    url: Url | None = None
    hosts: Hosts | None = None
    events: Events | None = None
    concurrency: Concurrency | None = None
    secret: Secret | None = None


class WebhookChange(msgspec.Struct, forbid_unknown_fields=True):
    """What to change of an endpoint; the rest stays. `active` also turns one on again that answered 410."""

    url: Url | None = None
    hosts: Hosts | None = None
    events: Events | None = None
    concurrency: Concurrency | None = None
    state: Literal["active", "paused"] | None = None


class WebhookOut(msgspec.Struct, omit_defaults=True):
    """An endpoint. Counters begin with the gateway's start."""

    id: str
    name: str
    state: Literal["active", "paused", "gone"]  # gone: the receiver answered 410
    concurrency: int
    circuit: Literal["closed", "slow", "open"]  # open: tried rarely after failures in a row
    waiting: int  # deliveries that wait for another attempt
    dead_letters: int
    seq: int  # everything up to it was delivered, or waits, or is dead
    url: str = ""
    hosts: list[str] = []
    events: list[str] = []
    delivered: int = 0  # events
    last_success_at: str = ""
    last_failure_at: str = ""
    last_error: str = ""


class WebhookAdded(msgspec.Struct):
    """A new endpoint. Keep the secret: it is not shown again."""

    webhook: WebhookOut
    secret: str


class WebhookPage(msgspec.Struct):
    """All endpoints of the account."""

    data: list[WebhookOut]


class RotateIn(msgspec.Struct, forbid_unknown_fields=True):
    """A change of the secret."""

    overlap: Annotated[
        timedelta,
        Meta(description="So long the old secret signs as well: P0D to P7D. Default P1D.", examples=["PT1H"]),
    ] = timedelta(days=1)
    secret: Secret | None = None


class SecretOut(msgspec.Struct):
    """The new secret. Keep it: it is not shown again."""

    secret: str
    overlap_until: str


class TestedOut(msgspec.Struct, omit_defaults=True):
    """What came of a test event."""

    delivered: bool
    took_ms: int
    status: int = 0  # 0: no answer came
    detail: str = ""


class ReplayIn(msgspec.Struct, forbid_unknown_fields=True):
    """What to post again: a range of time or of seqs; without one, everything that is kept."""

    dead_letters: Annotated[
        bool, Meta(description="Only dead letters. False: all events of the range, delivered before or not.")
    ] = True
    since: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None
    first: Seq | None = None
    last: Seq | None = None


class ReplayOut(msgspec.Struct):
    """How much will be posted again. `through`: where it is less than the range, go on behind this seq."""

    deliveries: int
    events: int
    through: int


class DeadLetter(msgspec.Struct, omit_defaults=True):
    """Events that could not be delivered."""

    id: int
    type: str
    first: int  # seq
    last: int
    events: int
    attempts: int
    at: str
    error: str
    status: int = 0
    url: str = ""


class DeadLetterPage(msgspec.Struct):
    """Dead letters, newest first. `next` is the cursor of the following page."""

    data: list[DeadLetter]
    next: str | None
