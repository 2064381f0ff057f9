"""What strangers cost: failed binds counted by address, a ban above a bound, garbage logged once."""

import hashlib
from collections import deque
from typing import Any

ADDRESSES_MAX = 10_000  # remembered at once; beyond it the oldest is forgotten
GARBAGE_QUIET_S = 60.0  # one log line an address and minute for what is no SMPP


class BindGuard:
    """`failures_max` refused binds from one address within `ban_s` ban it for `ban_s`. 0 s: never."""

    def __init__(self, failures_max: int, ban_s: float) -> None:
        self._failures_max = failures_max
        self.ban_s = ban_s
        self._failures: dict[str, deque[float]] = {}
        self._banned_until: dict[str, float] = {}
        self._garbage: dict[str, float] = {}

    def failed(self, address: str, now: float) -> bool:
        """Count one failure; True when it was the one that bans."""
        if not self.ban_s:
            return False
        times = self._failures.pop(address, None) or deque()
        self._failures[address] = times
        times.append(now)
        while times and now - times[0] > self.ban_s:
            times.popleft()
        banned = len(times) >= self._failures_max
        if banned:
            self._banned_until.pop(address, None)
            self._banned_until[address] = now + self.ban_s
            del self._failures[address]
        _bound(self._failures)
        _bound(self._banned_until)
        return banned

    def is_banned(self, address: str, now: float) -> bool:
        until = self._banned_until.get(address)
        if until is None:
            return False
        if now >= until:
            del self._banned_until[address]
            return False
        return True

    def seen_garbage(self, address: str, now: float) -> bool:
        """Whether this address was already reported within the last minute; notes it otherwise."""
        if now - self._garbage.get(address, float("-inf")) < GARBAGE_QUIET_S:
            return True
        self._garbage.pop(address, None)
        self._garbage[address] = now
        _bound(self._garbage)
        return False


def _bound(table: dict[str, Any]) -> None:
    while len(table) > ADDRESSES_MAX:
        del table[next(iter(table))]


def fingerprint(certificate: bytes | None) -> str:
    """SHA-256 of a DER certificate as lower-case hex, "" for none."""
    return hashlib.sha256(certificate).hexdigest() if certificate else ""


def plain_hex(written: str) -> str:
    """A fingerprint as people write it (openssl's colons and capitals) in the form of `fingerprint`."""
    return written.replace(":", "").lower()
