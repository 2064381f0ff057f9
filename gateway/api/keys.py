"""Whose request this is: API keys, their scopes, addresses and end; strangers that guess are slowed down.

A key is looked up by its SHA-256, so nothing is compared that could leak by its time, and no key is stored. Keys
have 128 bits of randomness or more: guessing is hopeless, the limit is there to keep logs and loops quiet.
"""

import math
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from gateway.accounts import AccountState, Networks, in_networks, parse_networks
from gateway.http.messages import Request, Response
from gateway.http.problems import problem
from gateway.http.routes import Admit
from gateway.links.guard import BindGuard
from gateway.ratelimit import TokenBucket
from store.directory import ApiKey, Directory, Scope
from store.secrets import api_key_hash

if TYPE_CHECKING:
    from gateway.core import Core

KNOWN_MAX = 10_000  # headers remembered; a header costs a SHA-256 and three look-ups when it is not
UNLIMITED = TokenBucket(0, 0, 0)
CHALLENGE = (b"www-authenticate", b'Bearer realm="sluice"')


class Identity(msgspec.Struct, eq=False):
    """What a request's key stands for."""

    key: ApiKey
    account: AccountState
    scopes: frozenset[str]
    networks: Networks
    expires_ms: float
    bucket: TokenBucket  # of the key's own rate

    @property
    def limited(self) -> bool:
        """Whether a rate holds: the account's or the key's."""
        return bool(self.account.bucket.rate or self.bucket.rate)


class Keys:
    """Identifies requests. Follows the directory: a revoked key is refused from the next request on."""

    def __init__(self, core: "Core", guard: BindGuard) -> None:
        self._core = core
        self._guard = guard
        self._directory: Directory | None = None
        self._known: dict[bytes, Identity] = {}
        self._buckets: dict[int, TokenBucket] = {}  # of keys with a rate of their own

    def needs(self, *scopes: Scope) -> Admit:
        """Judges a request's head: sets `request.context` to its Identity, or refuses a key that has none of
        these scopes."""
        wanted = frozenset(scopes)
        names = " or ".join(scopes)

        def admit(request: Request) -> Response | None:
            identity = self.identify(request)
            if isinstance(identity, Response):
                return identity
            if wanted.isdisjoint(identity.scopes):
                own = ", ".join(sorted(identity.scopes)) or "none"
                detail = f"This needs a key with the scope {names}; this one has: {own}."
                return problem("forbidden", detail, request)
            request.context = identity
            return None

        return admit

    def identify(self, request: Request) -> Identity | Response:
        """The identity behind a request's Authorization field, or the refusal."""
        directory = self._core.directory
        if directory is not self._directory:
            self._directory = directory
            self._known.clear()
        value = request.headers.get(b"authorization", b"")
        identity = self._known.get(value) or self._look_up(value, directory)
        if identity is None:
            return self._stranger(request, has_key=bool(value))
        if identity.expires_ms <= self._core.clock.wall_ms():
            return problem(
                "unauthorized", "This key has expired. Use its successor.", request, headers=[CHALLENGE]
            )
        if identity.networks and not in_networks(identity.networks, request.peer):
            return problem("unauthorized", "This key may not be used from your address.", request)
        if not identity.account.may_connect_from(request.peer):
            return problem("unauthorized", "This account may not be used from your address.", request)
        if not identity.account.active:
            return problem(
                "forbidden", "The account or its user is disabled. Ask its administrator.", request
            )
        return identity

    def _look_up(self, value: bytes, directory: Directory) -> Identity | None:
        scheme, _, token = value.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        key = directory.api_keys.get(api_key_hash(token.strip().decode("latin-1")))
        account = self._core.accounts.get(key.account) if key is not None else None
        if key is None or account is None or key.state != "active":
            return None
        expires = datetime.fromisoformat(key.expires).timestamp() * 1000 if key.expires else math.inf
        networks = parse_networks(key.allow)
        identity = Identity(key, account, frozenset(key.scopes), networks, expires, self._bucket(key))
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[value] = identity
        return identity

    def _bucket(self, key: ApiKey) -> TokenBucket:
        """How much of its own rate a key has left; what it used stays used when other settings change."""
        if not key.rate:
            self._buckets.pop(key.id, None)
            return UNLIMITED
        known = self._buckets.get(key.id)
        made = TokenBucket(key.rate, key.burst, self._core.clock.now())
        if known is None or (known.rate, known.burst) != (made.rate, made.burst):
            known = self._buckets[key.id] = made
        return known

    def _stranger(self, request: Request, *, has_key: bool) -> Response:
        now = self._core.clock.now()
        if self._guard.is_banned(request.peer, now):
            return problem(
                "rate-limited",
                "Too many requests from your address without a valid key. Wait.",
                request,
                headers=[(b"retry-after", b"60")],
            )
        if has_key:
            self._guard.failed(request.peer, now)
        detail = "Send your API key: Authorization: Bearer gw_live_…"
        if has_key:
            bearer = request.headers[b"authorization"][:7].lower() == b"bearer "
            detail = (
                "There is no such key, or it was disabled."
                if bearer
                else "The field Authorization is not of the form: Bearer gw_live_…"
            )
        return problem("unauthorized", detail, request, headers=[CHALLENGE])
