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
from gateway.http.messages import JSON, Answer, Handler, Later, Request, Response, all_resolved
from gateway.http.problems import FieldError, problem
from store.api_db import ApiChanges, KeyRow
from store.model import Part
from store.secrets import Sealer

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
    def __init__(self, core: "Core", ledger: Ledger, sealer: Sealer) -> None:
        self._core = core
        self._ledger = ledger
        self._sealer = sealer
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
        key = key_of(request)
        if not key:
            return _bad_key(request)
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

    def kept(self, handler: Handler) -> Handler:
        """A handler of a POST that sends nothing, so that it takes an Idempotency-Key as well.

        What it answered is known once it has happened: a crash just between lets a repetition happen again.
        """

        def handle(request: Request) -> Answer | Awaitable[Answer]:
            if b"idempotency-key" not in request.headers:
                return handler(request)
            return self._kept(request, handler)

        return handle

    async def _kept(self, request: Request, handler: Handler) -> Response:
        async def run(claim: "Claim") -> Response:
            answer = handler(request)
            response = await answer if isinstance(answer, Awaitable) else answer
            assert isinstance(response, Response)
            if response.status < 300:
                row = claim.row
                row.status = response.status
                row.location = next((v.decode() for name, v in response.headers if name == b"location"), "")
                # It may hold a secret, which is in no file as it is.
                row.body = self._sealer.seal(response.body.decode(), _context(row))
                await self._ledger.submit(ApiChanges(keys=[row])).stored()
            return response

        return await self.once(request, run, _nothing)

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
            body = known.body if known.subject else self._sealer.unseal(known.body, _context(known)).encode()
            return Response(known.status, body, JSON, headers)
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


async def _nothing(request: Request, subject: int) -> None:
    return None


def _context(row: KeyRow) -> str:
    return f"idempotency key {row.key} of account {row.account}"


def key_of(request: Request) -> str:
    """The request's key, "" for one that is none."""
    key = (request.headers.get(b"idempotency-key") or b"").decode("latin-1").strip().strip('"')
    visible = key.isascii() and key.isprintable() and " " not in key
    return key if visible and len(key) <= KEY_CHARACTERS_MAX else ""


def _bad_key(request: Request) -> Response:
    detail = f"An idempotency key has 1 to {KEY_CHARACTERS_MAX} visible ASCII characters."
    return problem("validation", detail, request, errors=[FieldError("", "bad-idempotency-key", detail)])


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
