"""Passwords of console users: which are good enough, and hashing them where it holds nobody up.

argon2id takes some 30 ms and 19 MiB each: two at once at most, in worker threads, so that a flood of sign-ins
slows only sign-ins.
"""

import secrets
from pathlib import Path

import trio

from store import secrets as stored

CHARACTERS_MIN = 8  # OWASP ASVS 5.0, 6.2.1; 15 and more is advised
CHARACTERS_MAX = 256
TEMPORARY_CHARACTERS = 14
ALPHABET = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no 0 O 1 l I
HASHES_AT_ONCE = 2

# The commonest ones of eight characters and more, without those that a rule below finds.
COMMON = frozenset((Path(__file__).parent / "common_passwords.txt").read_text(encoding="ascii").split())

_limiter = trio.CapacityLimiter(HASHES_AT_ONCE)
_decoy = stored.hash_password(secrets.token_hex(16))


def problem_with_password(password: str, login: str) -> str:
    """A code of what is wrong: "short", "long", "common", "login"; "" if it will do."""
    folded = password.lower()
    if len(password) < CHARACTERS_MIN:
        return "short"
    if len(password) > CHARACTERS_MAX:
        return "long"
    if login and login.lower() in folded:
        return "login"
    if folded in COMMON or len(set(folded)) < 4 or folded in "01234567890123456789" * 2:
        return "common"
    return ""


def temporary_password() -> str:
    """A random password that an administrator hands over once (about 80 bits)."""
    return "".join(secrets.choice(ALPHABET) for _ in range(TEMPORARY_CHARACTERS))


async def hash_password(password: str) -> str:
    """An argon2id hash."""
    return await trio.to_thread.run_sync(stored.hash_password, password, limiter=_limiter)


async def matches(password_hash: str, password: str) -> bool:
    """Whether the password is right. An empty hash takes as long as any and matches nothing."""
    right = await trio.to_thread.run_sync(
        stored.password_matches, password_hash or _decoy, password, limiter=_limiter
    )
    return right and bool(password_hash)


def needs_rehash(password_hash: str) -> bool:
    """Whether a hash was made under other parameters than today's."""
    return stored.HASHER.check_needs_rehash(password_hash)
