"""The reference for people, as plain text that reads well and is Markdown too, made of the same data as the
OpenAPI document."""

import inspect
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from gateway.api import sandbox
from gateway.api.openapi import NDJSON, document, is_struct
from gateway.api.operations import COMMON, WITH_KEY, Operation, statuses_of
from gateway.api.views import STATUSES
from gateway.http.problems import PROBLEMS
from gateway.http.routes import Route

COLUMNS = 120
EVERYWHERE = (*WITH_KEY, *COMMON)
INTRODUCTION = """\
# Sluice: the HTTP API, /v1

Send SMS, and hear what became of them. Everything is JSON in UTF-8. The same for programs: GET /v1/openapi.json

    curl -H 'Authorization: Bearer gw_live_…' -H 'Content-Type: application/json' \\
         -d '{"to": "+8613800138000", "text": "您好"}'  http://127.0.0.1:8080/v1/messages

**Keys.** `Authorization: Bearer KEY`. A key has scopes (send, read, inbound, webhooks, admin), may be bound to
addresses and to an end, and stands for an account: it sees what that account sent. Two keys of an account may be active
at once, so that one can take over from the other. Keys that begin `gw_test_` are for tests (below).

**Errors** are application/problem+json (RFC 9457): `code` is stable, `detail` says what happened and what to do,
`errors` points to fields (RFC 6901), `retryable` says whether the same request may succeed later, `request_id` is what
to name when you ask for help.

**Repeating.** Send an `Idempotency-Key` with a POST and repeat it as often as you like for 24 hours: it happens once,
and every repetition gets the first answer with `Idempotency-Replayed: true`.

**Rates** count parts (one SMS each). An account may have one, which all its keys and binds share, and a key one of its
own within it. `RateLimit` says what is left of the tighter one; 429 says when to come again.

**Once a day.** `"dedupe": true` refuses a message whose `client_ref` was accepted within 24 hours (409; in a batch,
that message alone): a guard of each message, where an Idempotency-Key guards a request.

**Templates** are texts with variables that an administrator declared for your group; GET /v1/templates lists them.
`"template": {"id": "tpl_…", "vars": {"name": "value"}}` takes the place of `text` and is judged, cut and counted as
such.

**Events.** What happened is on a log of your account, and told by whichever way you like: pages and long polls or
Server-Sent Events (GET /v1/events), a WebSocket (GET /v1/stream), webhooks. All read the same log: an event has the
same `id` and `seq` everywhere. Its types:

- `message.status`: what became of a message.
- `message.inbound`: a message from a handset.
- `batch.finished`: all of a batch has ended. Told once.
- `batch.reviewed`: a reviewer decided on a task that your user sent in the console.
- `quota.low`: parts have fallen to the threshold; your user's, and for an administrator those of a group. Told once,
  and again after a top-up.
- `connection.state`: a carrier came up, went down or was paused. For administrators of a root group; their key needs
  the scope admin.
- `test`: for webhooks only, when you ask for it.

**Money.** Sluice counts parts and knows no prices, so no answer has a price or cost: `parts` is what a message costs.

**Ids** sort by time. Times are RFC 3339 in UTC. Absent and null fields mean the same. Unknown fields are refused.
Fields may be added to answers within /v1; none is ever renamed or removed.
"""

STREAM = """\
## Stream

GET /v1/stream with a WebSocket client, your key in Authorization, and the subprotocol sms.v1+json. One JSON object a
text frame; several may be on their way at once.

    you   {"op": "submit", "ref": "a1", "to": "+8613800138000", "text": "您好"}
    we    {"op": "ack", "ref": "a1", "id": "msg_…", "parts": 1}
    we    {"op": "event", "id": "evt_…", "seq": 1878…, "type": "message.status", "at": "…", "data": {…}}
    you   {"op": "seen", "seq": 1878…}

A submit has the fields of POST /v1/messages, your `ref`, and, if you like, an `idempotency_key`. An ack means that the
message is on disk; a nack bears the problem that POST would have answered. Answers may come in another order. At most
the account's `window` of submits (1000, if nobody set another) may be unanswered: more wait half a second, then get
`window-exceeded`.

Events come from now on, or behind `?after=SEQ` of the address. At most 1000 may be on their way that you have not
`seen`; `{"op": "window", "n": 200}` sets another number, 0 stops them. After a lost connection open a new one with
the last seq that you have handled: nothing is missed, and nothing before it comes again. `{"op": "resume", "after":
SEQ}` does the same on an open connection. Every stream of an account hears everything.

A ping comes every 20 s; who says nothing for 60 s, or takes nothing for 30 s, is dropped. Close codes: 1001 the
gateway stops, come back; 1008 the key may not be used any more; 1009 a message is longer than 262,144 octets.
"""

WEBHOOKS = """\
## Webhooks

Events posted to a server of yours: declare it with POST /v1/webhooks and a key of the scope webhooks. A request bears a
WebhookBody: up to 100 events of one type.

    webhook-id: whd_…              the same for every attempt: tells repetitions of a request
    webhook-timestamp: 1795000000  of this attempt; refuse what is older than five minutes
    webhook-signature: v1,…        base64 of HMAC-SHA256 over "id.timestamp.body", under the secret behind whsec_

The libraries of standardwebhooks.com verify it in a line. During a rotation of the secret there are two signatures,
with a blank between them: one that fits is enough.

A 2xx within 15 s is a yes. Anything else is tried again after 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 h, each a
tenth more or less; then it is a dead letter, kept for 30 days (GET /v1/webhooks/{id}/dead_letters, POST …/replay). 410
turns the endpoint off; 429, 502 and 504 slow it down, and Retry-After is kept. Redirects are not followed. Events come
at least once and in no promised order: an event's `id` tells repetitions, its `seq` what is newer.
"""


def reference(routes: Iterable[Route]) -> str:
    """The whole page."""
    described = [(route, route.document) for route in routes if isinstance(route.document, Operation)]
    schemas = document(route for route, _ in described)["components"]["schemas"]
    lines = [INTRODUCTION]
    for route, operation in described:
        lines += _operation(route, operation)
    lines += _everywhere()
    lines += ["## Shapes", ""]
    for name, schema in sorted(schemas.items()):
        lines += _shape(name, schema)
    lines += _statuses()
    lines += [STREAM, WEBHOOKS]
    lines += _problems()
    lines += _tests()
    return "\n".join(_wrapped("\n".join(lines).splitlines())) + "\n"


def _wrapped(lines: Iterable[str]) -> Iterator[str]:
    """Lines that are too long for a terminal as several; items of lists hang. Code stays as it is."""
    for line in lines:
        if len(line) <= COLUMNS or line.startswith("    "):
            yield line
        else:
            hang = "  " if line.startswith("- ") else ""
            yield from textwrap.wrap(
                line, COLUMNS, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False
            )


def _operation(route: Route, operation: Operation) -> Iterator[str]:
    yield f"## {operation.summary}: {route.method} {route.template}"
    yield ""
    yield operation.text
    yield ""
    if operation.scope is not None:
        yield f"Needs a key with the scope `{operation.scope}`."
        yield ""
    for parameter in operation.parameters:
        yield f"- `{parameter.name}` ({_kind(parameter.schema)}): {parameter.text}"
    if operation.parameters:
        yield ""
    if operation.takes is not None:
        also = f", or {NDJSON} with a {operation.lines.__name__} a line" if operation.lines else ""
        yield f"Takes {operation.takes.__name__}{also}."
        if operation.example is not None:
            yield ""
            yield f"    {msgspec.json.encode(operation.example).decode()}"
        yield ""
    if operation.spoken:
        yield f"Speaks {', '.join(kind.__name__ for kind in operation.spoken)}."
        yield ""
    what = f"{operation.status}"
    if operation.answer is not None:
        what += f" with {operation.answer.__name__ if is_struct(operation.answer) else operation.answer_type}"
    own = {
        status: codes
        for status, some in statuses_of(operation).items()
        if (codes := [code for code in some if code not in EVERYWHERE])
    }
    yield f"Answers {what}{', or:' if own else '.'}"
    yield ""
    for status, codes in own.items():
        yield f"- {status}: {', '.join(codes)}"
    if own:
        yield ""


def _everywhere() -> Iterator[str]:
    yield "## What every operation may answer"
    yield ""
    yield "Beside what stands at each operation; 401, 403 and 429 only where a key is needed."
    yield ""
    for code in sorted(EVERYWHERE, key=lambda code: PROBLEMS[code].status):
        yield f"- {PROBLEMS[code].status}: {code}"
    yield ""


def _shape(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    if "description" in schema:
        yield inspect.cleandoc(schema["description"])
        yield ""
    required = schema.get("required", ())
    for field, kind in schema.get("properties", {}).items():
        needed = ", required" if field in required else ""
        text = kind.get("description") or next(
            (one["description"] for one in kind.get("anyOf", ()) if "description" in one), ""
        )
        yield f"- `{field}` ({_kind(kind)}{needed}){': ' + text if text else ''}"
    yield ""


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "anyOf" in schema:
        kinds = [_kind(one) for one in schema["anyOf"] if one.get("type") != "null"]
        return " | ".join(kinds)  # null is as good as absent
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_kind(schema['items'])}"
    if kind == "object":
        return "object"
    return f"{schema.get('format') or kind}{_bounds(schema)}"


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" {low} to {high}"
    if "maxLength" in schema:
        return f" of up to {schema['maxLength']} characters"
    if "enum" in schema:
        return f" One of {', '.join(schema['enum'])}."
    return ""


def _statuses() -> Iterator[str]:
    yield "## Statuses"
    yield ""
    yield "accepted: on disk. Then: " + ", ".join(dict.fromkeys((*STATUSES.values(), "failed"))) + "."
    yield ""
    yield "undelivered: a carrier had taken it and the network gave up. failed: no carrier ever took it."
    yield ""


def _problems() -> Iterator[str]:
    yield "## Problems"
    yield ""
    for kind in PROBLEMS.values():
        again = " May succeed later." if kind.retryable else ""
        yield f"- `{kind.code}` ({kind.status}) {kind.title}. {kind.advice}{again}"
    yield ""


def _tests() -> Iterator[str]:
    yield "## Test keys"
    yield ""
    yield "Messages of a gw_test_ key are judged and answered like any other, cost nothing, are sent nowhere, and end"
    yield "as the last three digits of the number say; every other number is delivered."
    yield ""
    for digits, magic in sandbox.ENDS.items():
        yield f"- …{digits:03d}: {magic.text}"
    for digits, reason in sandbox.REFUSALS.items():
        yield f"- …{digits:03d}: refused at once, {reason.name.lower().replace('_', '-')}"
