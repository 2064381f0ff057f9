"""The JSON of the API as types: what decodes it, what the OpenAPI document and the reference page are made of.

Names are stable within /v1: fields may be added, never renamed or removed. Absent and null mean the same.
"""

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

TEXT_CHARACTERS_MAX = 39_015  # 255 parts of 153 septets: the longest message that concatenation can say
BATCH_ITEMS_MAX = 10_000
METADATA_PAIRS_MAX = 20

Number = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=40,
        description="Telephone number with country code. A leading + and spaces are fine.",
        examples=["+8613800138000"],
    ),
]
Text = Annotated[
    str, Meta(max_length=TEXT_CHARACTERS_MAX, description="The text, in UTF-8.", examples=["您好"])
]
Sender = Annotated[
    str,
    Meta(
        max_length=21,
        description="Sender: a number of up to 20 digits, or up to 11 letters and digits. Left out: the"
        " account's default sender.",
        examples=["1069"],
    ),
]
HEX = "^([0-9A-Fa-f]{2})*$"
Encoding = Annotated[
    Literal["auto", "gsm", "ucs2", "latin1"],
    Meta(
        description="Alphabet of the text. auto takes GSM 03.38 where all of the text fits it, else UCS-2."
        " Nothing is ever replaced silently: a text that the chosen alphabet cannot hold is refused."
    ),
]
Reference = Annotated[
    str, Meta(max_length=64, description="Your own name for the message; searchable, not unique.")
]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=40)], Annotated[str, Meta(max_length=200)]],
    Meta(
        max_length=METADATA_PAIRS_MAX,
        description="Pairs of your own, given back with the message and its events.",
        examples=[{"dept": "claims"}],
    ),
]
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339 with offset.")]

Status = Literal[
    "accepted",
    "scheduled",
    "in_review",
    "queued",
    "submitted",
    "delivered",
    "undelivered",
    "rejected",
    "expired",
    "failed",
    "cancelled",
    "unknown",
]


Variables = Annotated[
    dict[Annotated[str, Meta(max_length=60)], Annotated[str, Meta(max_length=1000)]],
    Meta(max_length=50, description="Values of the template's variables, put in as they are."),
]


class TemplateUse(msgspec.Struct, forbid_unknown_fields=True):
    """A template to send, with values for its variables."""

    id: (
        Annotated[str, Meta(max_length=40, description="From GET /v1/templates. In a batch: the defaults'.")]
        | None
    ) = None
    vars: Variables | None = None


class Content(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a message may say beside its number; as `defaults` it holds for a whole batch."""

    from_: Sender | None = msgspec.field(name="from", default=None)
    text: Text | None = None
    template: TemplateUse | None = None
    vars: (
        Annotated[
            dict[Annotated[str, Meta(max_length=60)], Annotated[str, Meta(max_length=1000)]],
            Meta(
                max_length=50,
                description="Values of the template's variables, beside those in `template`: for the messages of"
                " a batch whose defaults name one.",
            ),
        ]
        | None
    ) = None
    binary: (
        Annotated[
            str,
            Meta(
                max_length=70_000,
                pattern=HEX,
                description="Octets of a binary message in hex, instead of text.",
            ),
        ]
        | None
    ) = None
    udh: (
        Annotated[
            str,
            Meta(
                max_length=280,
                pattern=HEX,
                description="User data header in hex, its length octet first.",
            ),
        ]
        | None
    ) = None
    encoding: Encoding | None = None
    data_coding: (
        Annotated[int, Meta(ge=0, le=255, description="SMPP data_coding; decides the alphabet of text.")]
        | None
    ) = None
    priority: (
        Annotated[int, Meta(ge=0, le=3, description="0: the account's own; 2 and 3 are urgent.")] | None
    ) = None
    type: (
        Annotated[str, Meta(max_length=40, description="SMS type; must be that of the key's account.")] | None
    ) = None
    schedule_at: (
        Annotated[
            datetime, Meta(tz=True, description="Send then, up to 30 days ahead. RFC 3339 with offset.")
        ]
        | None
    ) = None
    validity: (
        Annotated[
            timedelta,
            Meta(description="Give up after this time: an ISO 8601 duration up to P30D.", examples=["PT24H"]),
        ]
        | None
    ) = None
    dlr: Annotated[bool, Meta(description="Report how it ends. Default true.")] | None = None
    client_ref: Reference | None = None
    dedupe: (
        Annotated[
            bool,
            Meta(
                description="Refuse the message if one with the same client_ref was accepted within 24 hours."
            ),
        ]
        | None
    ) = None
    metadata: Metadata | None = None
    callback_url: (
        Annotated[
            str,
            Meta(
                max_length=2048,
                description="Post this message's events there as well, signed like those of an endpoint. Its host"
                " must be one that the account has declared (an endpoint with `hosts` and without `url`).",
                examples=["https://app.example.com/sms"],
            ),
        ]
        | None
    ) = None


class MessageIn(Content, kw_only=True):
    """One message to send: a number, and exactly one of text, template and binary."""

    to: Number


class BatchIn(msgspec.Struct, forbid_unknown_fields=True):
    """Many messages: `recipients` get what `defaults` say; `messages` say what differs. One of the two."""

    defaults: Content = msgspec.field(default_factory=Content)
    recipients: Annotated[list[Number], Meta(max_length=BATCH_ITEMS_MAX)] | None = None
    messages: Annotated[list[MessageIn], Meta(max_length=BATCH_ITEMS_MAX)] | None = None


class DefaultsLine(msgspec.Struct, forbid_unknown_fields=True):
    """The first line of a streamed batch, if it has defaults."""

    defaults: Content


class MessageError(msgspec.Struct, omit_defaults=True):
    """Why a message did not arrive."""

    code: Annotated[
        str,
        Meta(
            description="Of this gateway, or the status that it shows where a carrier or the network refused."
        ),
    ]
    detail: Annotated[str, Meta(description="What happened, in words.")]
    permanent: Annotated[bool, Meta(description="false: sending it again later may work.")]
    group: Annotated[
        Literal["gateway", "carrier", "network"],
        Meta(
            description="Whose word it is: ours, a carrier's that refused it, or the network's out of a receipt."
        ),
    ]
    smpp_status: Annotated[
        str, Meta(description="The carrier's command_status by name, where it refused the message.")
    ] = ""
    dlr_stat: Annotated[str, Meta(description="The receipt's state, in the word of SMPP 3.4 appendix B.")] = (
        ""
    )
    dlr_err: Annotated[
        int, Meta(description="The network's error out of the receipt; the carrier's manual explains it.")
    ] = 0


class MessageAccepted(msgspec.Struct, omit_defaults=True):
    """The answer to a message that is durably stored. It promises nothing about delivery."""

    id: str
    status: Status
    to: Annotated[str, Meta(description="The number in the form in which it is kept.")]
    parts: Annotated[int, Meta(description="SMS that it became; what it costs.")]
    encoding: Literal["gsm", "ucs2", "latin1", "binary", "other"]
    created_at: str
    masked: Annotated[bool, Meta(description="true: sensitive words were replaced.")] = msgspec.field(
        default=False
    )
    client_ref: str = ""
    test: Annotated[bool, Meta(description="true: of a test key; sent nowhere.")] = False


class PartOut(msgspec.Struct, omit_defaults=True):
    """One SMS of a message."""

    number: Annotated[int, Meta(description="From 1.")]
    status: Status
    final: Annotated[bool, Meta(description="true: the status never changes again.")]
    at: str
    error: MessageError | None = None


class MessageOut(msgspec.Struct, omit_defaults=True):
    """A message as it is now."""

    id: str
    status: Status
    final: Annotated[bool, Meta(description="true: the status never changes again.")]
    at: Annotated[
        str, Meta(description="When the status came; while it is not final, when the message was accepted.")
    ]
    to: str
    from_: str = msgspec.field(name="from")
    parts: Annotated[int, Meta(description="SMS that it became; what it costs.")]
    encoding: Literal["gsm", "ucs2", "latin1", "binary", "other"]
    created_at: str
    masked: Annotated[bool, Meta(description="true: sensitive words were replaced.")] = False
    maybe_duplicate: Annotated[
        bool, Meta(description="true: it was on its way in a crash, and may have been sent twice.")
    ] = False
    schedule_at: str = ""
    client_ref: str = ""
    batch_id: Annotated[str, Meta(description="The batch that it came with.")] = ""
    metadata: dict[str, str] = {}
    error: Annotated[MessageError | None, Meta(description="Why it did not arrive.")] = None
    part_states: Annotated[list[PartOut], Meta(description="Each SMS, where there are several.")] = []


class MessagePage(msgspec.Struct):
    """Messages, newest first. `next` is the cursor of the following page, null at the end."""

    data: list[MessageOut]
    next: str | None


class Refusal(msgspec.Struct, omit_defaults=True):
    """One message of a batch that was not taken. `index` counts from 0; lines of a stream without defaults."""

    index: Annotated[int, Meta(description="Place of the message in the batch, from 0.")]
    code: str
    detail: str
    to: str = ""
    pointer: Annotated[str, Meta(description="RFC 6901, within the message.")] = ""


class BatchAccepted(msgspec.Struct):
    """The answer to a batch: what was taken is durably stored; `rejected` lists the first 1,000 that were not.

    interrupted: the stream broke off behind `total` lines; send the rest as another batch.
    """

    id: str
    status: Literal["accepted", "interrupted"]
    total: Annotated[int, Meta(description="Messages that came.")]
    accepted: Annotated[int, Meta(description="Messages that are on disk.")]
    rejected_count: Annotated[int, Meta(description="Messages that were not taken.")]
    rejected: Annotated[list[Refusal], Meta(description="The first 1,000 of those, with the reason.")]
    parts: Annotated[int, Meta(description="SMS that the accepted ones became; what they cost.")]
    created_at: str


BatchStatus = Literal["receiving", "processing", "paused", "finished"]


class BatchOut(msgspec.Struct, omit_defaults=True):
    """A batch as it is now. `states` counts messages by status."""

    id: str
    status: BatchStatus
    total: int
    accepted: int
    rejected_count: int
    parts: Annotated[int, Meta(description="SMS that the accepted messages became.")]
    created_at: str
    states: Annotated[dict[str, int], Meta(description="Messages by status, counted now.")]
    interrupted: Annotated[
        bool, Meta(description="true: its stream broke off; only the first `total` lines came.")
    ] = False
    client_ref: str = ""
    rejected: list[Refusal] = []


class Cancelled(msgspec.Struct):
    """How many messages were cancelled; the others had left already."""

    cancelled: Annotated[int, Meta(description="Messages.")]
    not_cancelled: Annotated[int, Meta(description="Messages that had left, or had ended, before.")]


class InReplyTo(msgspec.Struct, omit_defaults=True):
    """The message that an inbound one answers: the newest to its sender within 72 hours."""

    message_id: str
    batch_id: str = ""
    client_ref: str = ""


class InboundOut(msgspec.Struct, omit_defaults=True):
    """A message from a handset. Long ones are joined."""

    id: str
    from_: str = msgspec.field(name="from")
    to: Annotated[str, Meta(description="The number of yours that it was sent to.")]
    text: str
    parts: int
    received_at: str
    data_coding: int
    in_reply_to: InReplyTo | None = None


class InboundPage(msgspec.Struct):
    data: list[InboundOut]
    next: str | None


class TemplateView(msgspec.Struct):
    """A text with variables, each written 【name】 in it."""

    id: str
    name: str
    group: str
    text: str
    variables: list[str]


class TemplatePage(msgspec.Struct):
    data: list[TemplateView]


class Balance(msgspec.Struct):
    """Parts (one SMS each) that the key's user may use."""

    limit: Annotated[int, Meta(description="Parts that the user was given.")]
    used: Annotated[int, Meta(description="Parts that were sent.")]
    reserved: Annotated[int, Meta(description="Parts of messages that are accepted and not sent yet.")]
    available: Annotated[int, Meta(description="What is left.")]


class Estimate(msgspec.Struct, omit_defaults=True):
    """What would happen to a message, judged by the rules that judge a real one; nothing is stored or counted."""

    accepted: Annotated[bool, Meta(description="Whether it would be taken.")]
    parts: Annotated[int, Meta(description="SMS that it would become; 0 if it would be refused.")]
    encoding: Literal["gsm", "ucs2", "latin1", "binary", "other"]
    characters: Annotated[int, Meta(description="Of the text, before masking.")]
    to: str
    masked: bool = False
    forces_ucs2: Annotated[
        list[str], Meta(description="The first ten characters that GSM 03.38 has not got, as U+XXXX.")
    ] = []
    code: Annotated[str, Meta(description="Why it would be refused.")] = ""
    detail: str = ""
