"""The operations of the stream as JSON: what a client may say, what it hears."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.api.shapes import MessageIn
from gateway.events.seq import SEQ_MAX
from gateway.http.problems import Problem

PROTOCOL = "sms.v1+json"
EVENT_WINDOW_MAX = 10_000

Ref = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="Your name for this submit; its answer bears it. Names must differ only while unanswered.",
        examples=["a1"],
    ),
]
Seq = Annotated[int, Meta(ge=0, le=SEQ_MAX)]


class SubmitOp(MessageIn, tag_field="op", tag="submit", kw_only=True):
    """Send a message: the fields of POST /v1/messages beside op and ref."""

    ref: Ref
    idempotency_key: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=255,
                pattern="^[!-~]+$",
                description="As the header of POST: a repetition gets the first answer, for 24 hours.",
            ),
        ]
        | None
    ) = None


class WindowOp(msgspec.Struct, tag_field="op", tag="window", forbid_unknown_fields=True):
    """From now on at most `n` events on their way to you that you have not confirmed; 0: none at all."""

    n: Annotated[int, Meta(ge=0, le=EVENT_WINDOW_MAX)]


class SeenOp(msgspec.Struct, tag_field="op", tag="seen", forbid_unknown_fields=True):
    """You have all events up to `seq`: room for as many new ones."""

    seq: Seq


class ResumeOp(msgspec.Struct, tag_field="op", tag="resume", forbid_unknown_fields=True):
    """Give me the events behind `after` from here on, whatever you gave before."""

    after: Seq


Op = SubmitOp | WindowOp | SeenOp | ResumeOp


class AckOp(msgspec.Struct, tag_field="op", tag="ack", omit_defaults=True):
    """The message is on disk."""

    ref: str
    id: str
    parts: int
    replayed: bool = False  # the answer of the first submit with this idempotency_key


class NackOp(msgspec.Struct, tag_field="op", tag="nack"):
    """The message was not taken: nothing was stored or counted."""

    ref: str
    problem: Problem


class ErrorOp(msgspec.Struct, tag_field="op", tag="error"):
    """What you sent was not understood, and has no ref to answer to."""

    problem: Problem


class EventOp(msgspec.Struct, tag_field="op", tag="event"):
    """An event of the log; `type` and `data` are those of GET /v1/events."""

    id: str
    seq: int
    type: str
    at: str
    data: msgspec.Raw
