"""How fast a key may send, and how much it is told about that (draft-ietf-httpapi-ratelimit-headers).

Two rates hold at once: the account's, which all its keys and binds share, and the key's own, if it has one.
"""

import math
from typing import TYPE_CHECKING

from gateway.http.messages import Headers, Request, Response
from gateway.http.problems import problem
from gateway.ratelimit import TokenBucket

if TYPE_CHECKING:
    from gateway.api.keys import Identity

NO_LIMIT: Headers = []
WAIT_S_MAX = 10.0  # a JSON batch waits for its turn at most so long


def take(identity: "Identity", wanted: int, now: float) -> int:
    """How many of so many parts may pass both rates now; these are taken."""
    shared, own = identity.account.bucket, identity.bucket
    granted = shared.take(wanted, now)
    if own.rate and granted:
        allowed = own.take(granted, now)
        shared.give_back(granted - allowed)
        return allowed
    return granted


def give_back(identity: "Identity", count: int) -> None:
    identity.account.bucket.give_back(count)
    identity.bucket.give_back(count)


def owe_further(identity: "Identity", count: int, now: float) -> None:
    """Further parts of long messages, once their number is known: of the key's rate. The door sees to the account's."""
    if identity.bucket.rate and count:
        identity.bucket.owe(count, now)


def wait_s(identity: "Identity", wanted: int, now: float) -> float:
    """Seconds until so many parts may pass."""
    return max(identity.account.bucket.wait_s(wanted, now), identity.bucket.wait_s(wanted, now))


def rate_of(identity: "Identity") -> float:
    """The lower of its rates, 0 for none."""
    return min((one.rate for one in (identity.account.bucket, identity.bucket) if one.rate), default=0.0)


def rate_headers(identity: "Identity", now: float) -> Headers:
    """What is left of the rate that leaves less at the moment; nothing where there is none."""
    bucket = _tighter(identity, 1, now)
    if not bucket.rate:
        return NO_LIMIT
    again_s = bucket.wait_s(1, now)
    return [
        (b"ratelimit-policy", b'"submit";q=%d;w=%d' % (bucket.burst, math.ceil(bucket.burst / bucket.rate))),
        (b"ratelimit", b'"submit";r=%d;t=%d' % (bucket.left(now), math.ceil(again_s))),
    ]


def too_fast(request: Request, identity: "Identity", wanted: int, now: float) -> Response:
    """429 with the time after which the same request may pass."""
    bucket = _tighter(identity, wanted, now)
    again_s = max(1, math.ceil(wait_s(identity, wanted, now)))
    whose = "key" if bucket is identity.bucket else "account"
    return problem(
        "rate-limited",
        f"The {whose} may send {bucket.rate:g} parts a second. Wait {again_s} s.",
        request,
        headers=[(b"retry-after", b"%d" % again_s), *rate_headers(identity, now)],
    )


def _tighter(identity: "Identity", wanted: int, now: float) -> TokenBucket:
    """Of the two the one to wait longer for, else the one that has less."""
    shared, own = identity.account.bucket, identity.bucket
    if not own.rate or not shared.rate:
        return own if own.rate else shared
    return min((shared, own), key=lambda one: (-one.wait_s(wanted, now), one.left(now), one.rate))
