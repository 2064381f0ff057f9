"""How fast a key may send, and how much it is told about that (draft-ietf-httpapi-ratelimit-headers)."""

import math

from gateway.accounts import AccountState
from gateway.http.messages import Headers, Request, Response
from gateway.http.problems import problem

NO_LIMIT: Headers = []
WAIT_S_MAX = 10.0  # a JSON batch waits for its turn at most so long


def rate_headers(account: AccountState, now: float) -> Headers:
    """What is left of the account's rate; nothing where it has none."""
    bucket = account.bucket
    if not bucket.rate:
        return NO_LIMIT
    wait_s = bucket.wait_s(1, now)
    left = int(bucket._level)
    return [
        (b"ratelimit-policy", b'"submit";q=%d;w=%d' % (bucket.burst, math.ceil(bucket.burst / bucket.rate))),
        (b"ratelimit", b'"submit";r=%d;t=%d' % (max(left, 0), math.ceil(wait_s))),
    ]


def too_fast(request: Request, account: AccountState, wanted: int, now: float) -> Response:
    """429 with the time after which the same request may pass."""
    wait_s = max(1, math.ceil(account.bucket.wait_s(wanted, now)))
    return problem(
        "rate-limited",
        f"The account may send {account.bucket.rate:g} parts a second. Wait {wait_s} s.",
        request,
        headers=[(b"retry-after", b"%d" % wait_s), *rate_headers(account, now)],
    )
