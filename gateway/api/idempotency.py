"""Idempotency keys: the same request twice becomes one message (draft-ietf-httpapi-idempotency-key-header).

Kept 24 hours an account, across restarts. The key is durable, with the id of what it became, before the message
is; so after a crash either the message is there and is answered again, or it never was and the request runs.
Refusals are not kept: a corrected or later request may use its key again.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from gateway.api.keys import Identity
from gateway.api.ledger import Ledger
from gateway.http.messages import JSON, Later, Request, Response, all_resolved
from gateway.http.problems import FieldError, problem
from store.api_db import ApiChanges, KeyRow
from store.model import Part

if TYPE_CHECKING:
    from gateway.core import Core

log = structlog.get_logger("api")

UNREAD = b""  # fingerprint of a streamed body that a crash cut off: any will do
KEEP_MS = 24 * 3_600_000
KEY_CHARACTERS_MAX = 255
REPLAYED = (b"idempotency-replayed", b"true")

Before = Callable[[Sequence[int], Sequence[Part]], ApiChanges | None]
# Makes the answer of a request whose message (or batch) is there although its answer was never written down.
Rebuild = Callable[[Request, int], Awaitable[Response | None]]


class Idempotency:
    def __init__(self, core: "Core", ledger: Ledger) -> None:
        self._core = core
        self._ledger = ledger
        self._running: set[tuple[int, str]] = set()

    async def once(
        self,
        request: Request,
        start: Callable[["Claim"], Later | Awaitable[Response]],
        rebuild: Rebuild,
        fingerprint: Callable[[Request], Awaitable[bytes]] | None = None,
    ) -> Response:
        """The answer of a request with an Idempotency-Key: its own, or that of the first of its kind.

        Args:
          start: runs the request; must record `claim.changes(subject)` before the subject is stored.
          fingerprint: of a request whose body is streamed: reads it all, so it is asked only where the key is
            known. `start` sets `claim.row.fingerprint` then.
        """
        identity: Identity = request.context
        key = (request.headers.get(b"idempotency-key") or b"").decode("latin-1").strip().strip('"')
        if not 0 < len(key) <= KEY_CHARACTERS_MAX or not (key.isascii() and key.isprintable()):
            detail = f"An idempotency key has 1 to {KEY_CHARACTERS_MAX} visible ASCII characters."
            return problem(
                "validation", detail, request, errors=[FieldError("", "bad-idempotency-key", detail)]
            )
        name = (identity.account.id, key)
        if name in self._running:
            return _in_progress(request)
        self._running.add(name)
        try:
            known = (await self._ledger.read(lambda store: store.find_keys([name]))).get(name)
            now_ms = self._core.clock.wall_ms()
            if known is not None and known.created_at > now_ms - KEEP_MS:
                own = fingerprint_of(request) if fingerprint is None else await fingerprint(request)
                if known.fingerprint not in (own, UNREAD):
                    return problem(
                        "idempotency-mismatch",
                        "This key was used within 24 hours for a request with another path or body.",
                        request,
                    )
                answer = await self._again(request, known, rebuild)
                if answer is not None:
                    return answer
            claim = Claim(KeyRow(*name, UNREAD if fingerprint else fingerprint_of(request), now_ms, 0))
            return await self._first(start(claim), claim)
        finally:
            self._running.discard(name)

    async def _first(self, started: Later | Awaitable[Response], claim: "Claim") -> Response:
        if isinstance(started, Later):
            await all_resolved([started])
            assert started.response is not None
            response = started.response
        else:
            response = await started
        if response.status == 202 and claim.row.subject:
            location = next((value for name, value in response.headers if name == b"location"), b"")
            claim.row.status = response.status
            claim.row.location = location.decode()
            claim.row.body = response.body
            recorded = self._ledger.submit(ApiChanges(keys=[claim.row]))
            if not isinstance(started, Later):
                await recorded.stored()
            # A message is not waited for: until this is written, it tells itself what became of the request.
        return response

    async def _again(self, request: Request, known: KeyRow, rebuild: Rebuild) -> Response | None:
        if known.status:
            headers = [REPLAYED]
            if known.location:
                headers.append((b"location", known.location.encode()))
            return Response(known.status, known.body, JSON, headers)
        response = await rebuild(request, known.subject)
        if response is not None:
            response.headers = [*response.headers, REPLAYED]
        return response


class Claim:
    """A key that is being used; records it together with what it became."""

    def __init__(self, row: KeyRow) -> None:
        self.row = row

    def changes(self, subject: int) -> ApiChanges:
        """The rows to make durable before the subject is."""
        self.row.subject = subject
        return ApiChanges(keys=[self.row])


def fingerprint_of(request: Request) -> bytes:
    """Tells requests apart: method, target and body."""
    digest = hashlib.sha256(request.method.encode() + b" " + request.target + b"\n")
    digest.update(request.body)
    return digest.digest()[:16]


def _in_progress(request: Request) -> Response:
    return problem(
        "idempotency-in-progress",
        "The first request with this key is still running. Wait for it.",
        request,
        headers=[(b"retry-after", b"1")],
    )
