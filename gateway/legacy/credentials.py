"""Whose request this is: an account's system_id and password, as over SMPP, at the price of an HMAC a request.

The first request with a password costs argon2id in a worker thread (two at a time for all); what it said is
remembered as an HMAC that holds the password's hash, so a new password is asked for at the next request.
Memory is bounded, and forgotten every hour.
"""

from typing import TYPE_CHECKING, Literal

import trio

from gateway.accounts import AccountState
from gateway.links.guard import BindGuard
from store.secrets import PasswordVerifier

if TYPE_CHECKING:
    from gateway.core import Core

HASHING_THREADS = 2  # argon2 takes some 20 ms of a core; a storm of guesses must not take both
FORGET_S = 3_600.0
VERIFIED_MAX = 20_000


class Credentials:
    def __init__(self, core: "Core", guard: BindGuard, *, password_octets_max: int) -> None:
        self._core = core
        self._guard = guard
        self._password_octets_max = password_octets_max
        self._hashing = trio.CapacityLimiter(HASHING_THREADS)
        self._verifier = PasswordVerifier(verified_max=VERIFIED_MAX)
        self._forget_at = core.clock.now() + FORGET_S
        self.refused = 0

    def recall(self, name: bytes, password: bytes, peer: str) -> AccountState | Literal[False] | None:
        """The account, None for a refusal, or False where only `verify` can tell."""
        now = self._core.clock.now()
        if now >= self._forget_at:
            self._forget_at = now + FORGET_S
            self._verifier = PasswordVerifier(verified_max=VERIFIED_MAX)
        account = self._core.accounts_by_system_id.get(name.decode("utf-8", "replace"))
        known = None
        if account is not None and len(password) <= self._password_octets_max:
            known = self._verifier.recall(account.account, password)
        if known:
            return self._judge(account, peer)
        if known is False or len(password) > self._password_octets_max or self._guard.is_banned(peer, now):
            self._count(peer, now)
            return None
        return False

    async def verify(self, name: bytes, password: bytes, peer: str) -> AccountState | None:
        """The account, or None; an unknown name takes as long as a wrong password."""
        account = self._core.accounts_by_system_id.get(name.decode("utf-8", "replace"))
        verified: bool = await self._core.ports.off_loop(
            self._verifier.verify, account.account if account else None, password, limiter=self._hashing
        )
        return self._judge(account if verified else None, peer)

    def _judge(self, account: AccountState | None, peer: str) -> AccountState | None:
        if account is None or not account.active or not account.may_connect_from(peer):
            self._count(peer, self._core.clock.now())
            return None
        return account

    def _count(self, peer: str, now: float) -> None:
        self.refused += 1
        self._guard.failed(peer, now)
