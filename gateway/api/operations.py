"""What each operation of the API is, as data: the OpenAPI document and the reference page are made of it.

`front.py` attaches these to the routes; a test holds that every route has one and answers as it says.
"""

from typing import Any

import msgspec

from gateway.api import shapes
from gateway.api import webhook_shapes as hooks
from gateway.api.views import STATUSES
from gateway.events.shapes import EventPage
from gateway.http.problems import PROBLEMS
from gateway.stream.shapes import AckOp, ErrorOp, EventOp, NackOp, ResumeOp, SeenOp, SubmitOp, WindowOp
from store.directory import Scope


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of the query."""

    name: str
    text: str
    schema: dict[str, Any]


class Operation(msgspec.Struct, frozen=True):
    """One operation.

    `problems` are types of `gateway.http.problems` beside those that every operation has; `example` is a body
    that works as it stands.
    """

    name: str  # operationId
    summary: str
    text: str
    scope: Scope | None
    answer: Any  # type of the body of its success
    status: int = 200
    takes: Any = None  # type of the body that it takes
    lines: Any = None  # type of a line of the streamed form
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[str, ...] = ()
    example: Any = None
    answer_type: str = "application/json"
    repeatable: bool = False  # under an Idempotency-Key: every POST
    links: tuple[str, ...] = ()  # operations that take the `id` of its answer
    also_answers: str = ""  # another content type, for those who accept it
    spoken: tuple[Any, ...] = ()  # types of what is said on a connection that changes its protocol


def _text(name: str, text: str) -> Parameter:
    return Parameter(name, text, {"type": "string"})


LIMIT = Parameter(
    "limit",
    "Most items of a page.",
    {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50},
)
CURSOR = _text("cursor", "`next` of the page before.")

# Every operation can answer these: the head is judged before anything else.
COMMON = (
    "invalid-request",
    "request-timeout",
    "expectation-failed",
    "header-too-large",
    "internal",
    "not-implemented",
    "version",
)
WITH_KEY = ("unauthorized", "forbidden", "rate-limited")
_BODY = ("validation", "too-large", "unsupported-media-type", "queue-full")
_SEND = (
    *_BODY,
    "blacklisted",
    "content-rejected",
    "quota-exceeded",
    "review-required",
    "no-route",
    "conflict",
)
# Every POST takes an Idempotency-Key, and may answer these for it.
REPEATED = ("validation", "idempotency-in-progress", "idempotency-mismatch")

_TABLE: dict[str, Operation] = {
    "POST /v1/messages": Operation(
        "send_message",
        "Send a message",
        "202 means that the message, its quota debit and its receipt request are on disk; it promises nothing"
        " about delivery. A text that is too long for one SMS is cut into parts; each costs one part of quota.",
        "send",
        shapes.MessageAccepted,
        202,
        shapes.MessageIn,
        problems=_SEND,
        example={"to": "+8613800138000", "text": "您好", "client_ref": "ord-991"},
        links=("get_message", "cancel_message"),
    ),
    "GET /v1/messages": Operation(
        "list_messages",
        "List messages",
        "Messages of the key's account, newest first. A page may be short, or even empty, and still have a"
        " `next`: a filter looks at some thousand messages a request.",
        "read",
        shapes.MessagePage,
        parameters=(
            _text("client_ref", "Messages with this reference."),
            _text("to", "Messages to this number."),
            Parameter(
                "status",
                "Messages in this state now.",
                {"type": "string", "enum": sorted({*STATUSES.values(), "failed"})},
            ),
            Parameter("since", "Messages accepted since then.", {"type": "string", "format": "date-time"}),
            LIMIT,
            CURSOR,
        ),
        problems=("validation",),
    ),
    "GET /v1/messages/{id}": Operation(
        "get_message",
        "Get a message",
        "What is known of a message now. Ids of other accounts are answered like ids that do not exist.",
        "read",
        shapes.MessageOut,
        problems=("not-found",),
    ),
    "DELETE /v1/messages/{id}": Operation(
        "cancel_message",
        "Cancel a message",
        "Only a message of which nothing has left yet: once a part is on its way nobody can take it back.",
        "send",
        shapes.MessageOut,
        problems=("not-found", "conflict"),
    ),
    "POST /v1/estimate": Operation(
        "estimate_message",
        "Estimate a message",
        "The judgement that a real message would get: parts, alphabet, masking, or the reason for a refusal."
        " Nothing is stored or counted.",
        "send",
        shapes.Estimate,
        takes=shapes.MessageIn,
        problems=_BODY,
        example={"to": "+8613800138000", "text": "Only €5, 您好"},
    ),
    "POST /v1/batches": Operation(
        "send_batch",
        "Send many messages",
        "Up to 10,000 messages (8 MB) as JSON, or up to 1,000,000 as application/x-ndjson, a message a line;"
        ' a first line of the form `{"defaults": {…}}` holds for all that follow. Each message is taken or'
        " refused for itself; a batch whose form is wrong is refused whole (of a stream, the line).",
        "send",
        shapes.BatchAccepted,
        202,
        shapes.BatchIn,
        shapes.MessageIn,
        problems=_SEND,
        example={"defaults": {"text": "您好"}, "recipients": ["+8613800138000", "+8613800138001"]},
        links=("get_batch", "list_batch_messages", "pause_batch", "resume_batch", "cancel_batch"),
    ),
    "GET /v1/batches/{id}": Operation(
        "get_batch",
        "Get a batch",
        "How many messages of the batch are in which state.",
        "read",
        shapes.BatchOut,
        problems=("not-found",),
    ),
    "GET /v1/batches/{id}/messages": Operation(
        "list_batch_messages",
        "List the messages of a batch",
        "In the order in which they were taken.",
        "read",
        shapes.MessagePage,
        parameters=(LIMIT, CURSOR),
        problems=("not-found", "validation"),
    ),
    "POST /v1/batches/{id}/cancel": Operation(
        "cancel_batch",
        "Cancel a batch",
        "Cancels every message of which nothing has left yet, paused or not.",
        "send",
        shapes.Cancelled,
        problems=("not-found", "too-large", "queue-full"),
    ),
    "POST /v1/batches/{id}/pause": Operation(
        "pause_batch",
        "Pause a batch",
        "Nothing more of it is given to a carrier, at once and across restarts, until it is resumed or cancelled;"
        " what is at a carrier already goes its way. Validity and schedules run on while it is paused.",
        "send",
        shapes.BatchOut,
        problems=("not-found", "too-large", "queue-full"),
    ),
    "POST /v1/batches/{id}/resume": Operation(
        "resume_batch",
        "Resume a batch",
        "Lets a paused batch go on. A batch that is not paused stays as it is.",
        "send",
        shapes.BatchOut,
        problems=("not-found", "too-large", "queue-full"),
    ),
    "GET /v1/inbound": Operation(
        "list_inbound",
        "List inbound messages",
        "Messages from handsets to the numbers of the key's account, newest first. Long ones are joined.",
        "inbound",
        shapes.InboundPage,
        parameters=(LIMIT, CURSOR),
        problems=("validation",),
    ),
    "GET /v1/events": Operation(
        "list_events",
        "Hear what became of messages",
        "The log of the key's account, oldest first: receipts, finished and reviewed batches, quota that runs low"
        " (scope read), inbound messages (scope inbound), carriers that come and go (scope admin). Ask again with"
        " `after` set to `next`: nothing is missed, whatever happens in between."
        " With `Accept: text/event-stream` the answer never ends: Server-Sent Events whose id is the `seq`, beginning"
        " behind `after` or Last-Event-ID, else with what comes from now on.",
        "read",
        EventPage,
        parameters=(
            Parameter(
                "after",
                "`next` of the page before, or the `seq` of an event; left out: from the oldest that is kept.",
                {"type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991},
            ),
            Parameter(
                "limit",
                "Most events of a page.",
                {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
            ),
            Parameter(
                "wait_s",
                "Wait so long for a first event, if there is none yet.",
                {"type": "integer", "minimum": 0, "maximum": 60, "default": 0},
            ),
        ),
        problems=("validation",),
        also_answers="text/event-stream",
    ),
    "GET /v1/stream": Operation(
        "open_stream",
        "Send and hear on one connection",
        "A WebSocket with the subprotocol `sms.v1+json`, a JSON object with an `op` in each text frame: submits and"
        " their answers, and events of the log as they happen. The section Stream below tells how.",
        "send",
        None,
        101,
        parameters=(
            Parameter(
                "after",
                "Events behind this `seq`; left out: from now on.",
                {"type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991},
            ),
        ),
        problems=("validation", "upgrade-required"),
        spoken=(SubmitOp, AckOp, NackOp, EventOp, SeenOp, WindowOp, ResumeOp, ErrorOp),
    ),
    "GET /v1/balance": Operation(
        "get_balance",
        "Get the balance",
        "Parts that the key's user may still use: limit, minus used, minus reserved by messages on their way.",
        "read",
        shapes.Balance,
    ),
    "POST /v1/webhooks": Operation(
        "add_webhook",
        "Add a webhook",
        "Events of the key's account are posted there from now on, in JSON: `type`, `timestamp`, and in `data` up to"
        " 100 events as GET /v1/events gives them. Each request is signed as Standard Webhooks 1.0.0 says.",
        "webhooks",
        hooks.WebhookAdded,
        201,
        hooks.WebhookIn,
        problems=_BODY,
    ),
    "GET /v1/webhooks": Operation(
        "list_webhooks", "List webhooks", "All of the key's account.", "webhooks", hooks.WebhookPage
    ),
    "GET /v1/webhooks/{id}": Operation(
        "get_webhook",
        "Get a webhook",
        "How it is declared, and how its receiver is.",
        "webhooks",
        hooks.WebhookOut,
        problems=("not-found",),
    ),
    "PATCH /v1/webhooks/{id}": Operation(
        "change_webhook",
        "Change a webhook",
        "Fields that are left out stay. What a paused endpoint misses it gets when it is active again, as long as"
        " events are kept.",
        "webhooks",
        hooks.WebhookOut,
        takes=hooks.WebhookChange,
        problems=(*_BODY, "not-found"),
    ),
    "DELETE /v1/webhooks/{id}": Operation(
        "remove_webhook",
        "Remove a webhook",
        "For good, with what waits for it.",
        "webhooks",
        hooks.WebhookOut,
        problems=("not-found",),
    ),
    "POST /v1/webhooks/{id}/rotate": Operation(
        "rotate_webhook",
        "Change a webhook's secret",
        "For the overlap each request bears a signature with either secret; then the old one is forgotten.",
        "webhooks",
        hooks.SecretOut,
        takes=hooks.RotateIn,
        problems=(*_BODY, "not-found"),
    ),
    "POST /v1/webhooks/{id}/test": Operation(
        "test_webhook",
        "Test a webhook",
        "Posts an event of type `test` at once, and tells what the receiver said.",
        "webhooks",
        hooks.TestedOut,
        problems=("not-found", "validation"),
    ),
    "GET /v1/webhooks/{id}/dead_letters": Operation(
        "list_dead_letters",
        "List dead letters",
        "What was not taken in ten attempts over some three days, kept 30 days. Newest first.",
        "webhooks",
        hooks.DeadLetterPage,
        parameters=(LIMIT, CURSOR),
        problems=("not-found", "validation"),
    ),
    "POST /v1/webhooks/{id}/replay": Operation(
        "replay_webhook",
        "Post events again",
        "Dead letters, or all events of a range, delivered before or not: at most 100,000 events a request.",
        "webhooks",
        hooks.ReplayOut,
        takes=hooks.ReplayIn,
        problems=(*_BODY, "not-found"),
    ),
    "GET /v1/templates": Operation(
        "list_templates",
        "List templates",
        "Texts with variables that the account's group may send: `template` of a message names one by its id and"
        " gives the values. Administrators declare them.",
        "send",
        shapes.TemplatePage,
    ),
    "GET /v1/openapi.json": Operation(
        "get_openapi",
        "Get the OpenAPI document",
        "This API, for programs.",
        None,
        dict[str, Any],
    ),
    "GET /v1/reference": Operation(
        "get_reference",
        "Get the reference",
        "This API, for people: a page for browsers (Accept: text/html), else plain text.",
        None,
        str,
        answer_type="text/plain",
        also_answers="text/html",
    ),
}

OPERATIONS: dict[str, Operation] = {
    name: msgspec.structs.replace(
        one, repeatable=True, problems=tuple(dict.fromkeys((*one.problems, *REPEATED)))
    )
    if name.startswith("POST ")
    else one
    for name, one in _TABLE.items()
}


def statuses_of(operation: Operation) -> dict[int, list[str]]:
    """Every status that an operation may answer beside its success -> the problem types behind it."""
    found: dict[int, list[str]] = {}
    with_key = WITH_KEY if operation.scope is not None else ()
    for code in (*COMMON, *with_key, *operation.problems):
        found.setdefault(PROBLEMS[code].status, []).append(code)
    return dict(sorted(found.items()))
