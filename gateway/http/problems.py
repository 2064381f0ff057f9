"""Errors as RFC 9457 `application/problem+json`: what happened, in which field, what to do, whether to retry.

The types are a table. Their titles never change; `detail` speaks of this case. `type` is a reference to the
served reference page, where each is explained.
"""

from collections.abc import Sequence

import msgspec

from gateway.http.messages import Headers, Request, Response

PROBLEM_JSON = b"application/problem+json"
HELP = "/v1/reference#problem-"


class ProblemType(msgspec.Struct, frozen=True):
    """One kind of error. `retryable`: the same request may succeed later."""

    code: str
    status: int
    title: str
    retryable: bool
    advice: str  # for the reference page: what to do about it


class FieldError(msgspec.Struct, omit_defaults=True):
    """What is wrong with one field: RFC 6901 pointer into the body, stable code, sentence."""

    pointer: str
    code: str
    detail: str


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of every error."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    retryable: bool = msgspec.field(default=False)
    instance: str = ""
    errors: list[FieldError] = []


_TYPES = (
    ProblemType(
        "invalid-request",
        400,
        "The request cannot be read",
        False,
        "Correct the HTTP request or its JSON; the detail names the place.",
    ),
    ProblemType(
        "unauthorized",
        401,
        "No valid API key",
        False,
        "Send `Authorization: Bearer` and a key that is active, not expired, and allowed from your address.",
    ),
    ProblemType(
        "forbidden",
        403,
        "This key may not do this",
        False,
        "Use a key with the scope that the detail names, or a sender that the account may use.",
    ),
    ProblemType(
        "quota-exceeded",
        403,
        "Not enough parts left",
        False,
        "Ask for more parts, or send less; GET /v1/balance says what is left.",
    ),
    ProblemType(
        "review-required",
        403,
        "A reviewer must see this first",
        False,
        "Send it from the console, where it can be reviewed, or ask for the account to be trusted.",
    ),
    ProblemType(
        "not-found",
        404,
        "There is no such thing",
        False,
        "Check the path and the id. Ids of other accounts are answered like ids that do not exist.",
    ),
    ProblemType(
        "method-not-allowed",
        405,
        "This path does not take this method",
        False,
        "Use a method of the Allow header.",
    ),
    ProblemType(
        "request-timeout",
        408,
        "The request did not arrive in time",
        True,
        "Send the whole request at once, or use the streamed form for long bodies.",
    ),
    ProblemType(
        "conflict",
        409,
        "This does not go together with what is there",
        False,
        "Only what still waits can be cancelled: GET its status. With `dedupe` a client_ref is taken once a day.",
    ),
    ProblemType(
        "idempotency-in-progress",
        409,
        "The first request with this key is still running",
        True,
        "Wait for Retry-After and send the same request again.",
    ),
    ProblemType(
        "too-large", 413, "The body is too large", False, "Send fewer items, or stream them as NDJSON."
    ),
    ProblemType(
        "unsupported-media-type",
        415,
        "This content type is not understood",
        False,
        "Send `Content-Type: application/json` (or application/x-ndjson to /v1/batches).",
    ),
    ProblemType(
        "expectation-failed",
        417,
        "The expectation cannot be met",
        False,
        "Only `Expect: 100-continue` is known.",
    ),
    ProblemType(
        "idempotency-mismatch",
        422,
        "This idempotency key was used for another request",
        False,
        "Use a new key for a new request.",
    ),
    ProblemType(
        "validation", 422, "Some fields are not right", False, "Correct the fields that `errors` points to."
    ),
    ProblemType(
        "blacklisted",
        422,
        "The number is on a blacklist",
        False,
        "Do not send to this number; its owner or an administrator asked for that.",
    ),
    ProblemType(
        "content-rejected",
        422,
        "The text holds words that are not allowed",
        False,
        "Change the text; the rules are those of the console.",
    ),
    ProblemType(
        "upgrade-required",
        426,
        "This path speaks WebSocket",
        False,
        "Open it with a WebSocket client that offers the subprotocol sms.v1+json.",
    ),
    ProblemType(
        "window-exceeded",
        429,
        "Too many messages without an answer",
        True,
        "Wait for the answers of earlier messages of the stream, then send this one again.",
    ),
    ProblemType(
        "rate-limited",
        429,
        "Too fast",
        True,
        "Wait for Retry-After; the RateLimit headers say how much is left.",
    ),
    ProblemType(
        "header-too-large",
        431,
        "The request head is too large",
        False,
        "Send fewer or shorter header fields.",
    ),
    ProblemType(
        "internal", 500, "Something broke here", True, "Try again; if it stays, tell us the request id."
    ),
    ProblemType(
        "not-implemented",
        501,
        "This part of HTTP is not spoken here",
        False,
        "Send plain or chunked HTTP/1.1.",
    ),
    ProblemType(
        "queue-full",
        503,
        "Not taking messages at the moment",
        True,
        "Wait for Retry-After and send it again.",
    ),
    ProblemType(
        "no-route",
        503,
        "No carrier serves this number at the moment",
        True,
        "Try again later, or ask for a route to that country or network.",
    ),
    ProblemType("version", 505, "This version of HTTP is not spoken here", False, "Use HTTP/1.1."),
)
PROBLEMS: dict[str, ProblemType] = {kind.code: kind for kind in _TYPES}

_encode = msgspec.json.Encoder().encode


def problem(
    code: str,
    detail: str,
    request: Request | None = None,
    *,
    request_id: bytes = b"",
    errors: Sequence[FieldError] = (),
    headers: Headers | None = None,
    close: bool = False,
) -> Response:
    """The response of an error.

    Args:
      code: a key of PROBLEMS.
      detail: what happened here and what to do, as a sentence. Never a secret or a message text.
    """
    kind = PROBLEMS[code]
    body = Problem(
        HELP + code,
        kind.title,
        kind.status,
        detail,
        code,
        (request.request_id if request else request_id).decode("latin-1"),
        kind.retryable,
        request.path.decode("latin-1") if request else "",
        list(errors),
    )
    return Response(kind.status, _encode(body), PROBLEM_JSON, headers or [], None, close)
