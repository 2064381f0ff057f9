"""One attempt: a body out of events, its signature, the request, and what its answer means."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import msgspec

from gateway.events.shapes import LoggedEvent
from gateway.ports import Clock
from gateway.webhooks.client import Client, Failed
from gateway.webhooks.signing import signature
from gateway.webhooks.targets import Target
from store.directory import Webhook
from store.webhook_rows import DeliveryRow
from store.webhook_secrets import key_of

EVENTS_MAX = 100  # of one request
# Seconds before each attempt, counted from the end of the one before: Standard Webhooks' own example, some
# three days in all.
SCHEDULE_S = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.1  # of a pause, more or less, so that those who failed together do not return together
SLOW_STATUSES = frozenset({429, 502, 504})
GONE = 410

Verdict = Literal["taken", "failed", "slow", "gone"]


class Body(msgspec.Struct):
    """What is posted."""

    type: str
    timestamp: str  # of the newest event
    data: Sequence[LoggedEvent]


class Result(msgspec.Struct, frozen=True):
    """What came of an attempt. `status` is 0 where no answer came; `text` says why it was not taken."""

    verdict: Verdict
    status: int
    text: str
    retry_after_s: float
    took_s: float


_encode = msgspec.json.Encoder().encode


def body_of(kind: str, events: Sequence[LoggedEvent]) -> bytes:
    """The JSON of a request. The same events make the same octets."""
    return _encode(Body(kind, events[-1].at, events))


def webhook_id(row: DeliveryRow) -> str:
    """The `webhook-id` of a delivery: the same for every attempt, so that a receiver can tell a repetition."""
    kind = row.kind.replace(".", "-")
    url = f"_{hashlib.sha256(row.url.encode()).hexdigest()[:8]}" if row.url else ""
    return f"whd_{row.webhook}_{row.first}_{row.last}_{kind}{url}"


def active_keys(webhook: Webhook, now_ms: int) -> list[bytes]:
    """The keys that sign now: two of them while a rotation is under way."""
    secrets = webhook.secrets if now_ms < webhook.overlap_until else webhook.secrets[:1]
    return [key_of(secret) for secret in secrets]


async def attempt(
    client: Client,
    target: Target,
    keys: Sequence[bytes],
    name: str,
    body: bytes,
    clock: Clock,
    timeout_s: float,
) -> Result:
    """Post a body once. Never raises for what a receiver does."""
    began = clock.now()
    at_s = clock.wall_ms() // 1000
    headers = [
        ("webhook-id", name),
        ("webhook-timestamp", str(at_s)),
        ("webhook-signature", signature(keys, name, at_s, body)),
    ]
    try:
        answer = await client.post(target, headers, body, timeout_s)
    except Failed as failed:
        return Result("failed", 0, failed.text, 0.0, clock.now() - began)
    took_s = clock.now() - began
    status = answer.status
    if 200 <= status < 300:
        return Result("taken", status, "", 0.0, took_s)
    verdict: Verdict = "gone" if status == GONE else "slow" if status in SLOW_STATUSES else "failed"
    return Result(verdict, status, _sentence(status), answer.retry_after_s, took_s)


def _sentence(status: int) -> str:
    if status == GONE:
        return "The receiver answered 410: it wants no more."
    if 300 <= status < 400:
        return f"The receiver answered {status}: redirects are not followed. Give the final URL."
    return f"The receiver answered {status}."


def pause_s(attempts: int, jitter: float) -> float | None:
    """Seconds until the next attempt after so many; None when that was the last.

    Args:
      jitter: 0 to 1.
    """
    if attempts >= len(SCHEDULE_S):
        return None
    return SCHEDULE_S[attempts] * (1 - JITTER + 2 * JITTER * jitter)
