"""One-time codes of authenticator apps: HOTP (RFC 4226) over the time (RFC 6238), SHA-1, six digits, 30 seconds.

Twenty lines on `hmac` instead of a dependency: what a library would add beside them (other digests and digits,
its own clock) is what no authenticator app reads reliably, and which code was used last is ours to keep anyway.
"""

import base64
import hashlib
import hmac
import secrets
from urllib.parse import quote

SECRET_OCTETS = 20  # of RFC 4226's recommendation: as long as the digest
STEP_S = 30
DIGITS = 6
STEPS_AROUND = 1  # a clock that is off by so many steps is right enough


def new_secret() -> str:
    """160 random bits in base32, as apps take them."""
    return base64.b32encode(secrets.token_bytes(SECRET_OCTETS)).decode()


def code_at(key: bytes, counter: int, *, digits: int = DIGITS) -> str:
    """The code of one step (RFC 4226 section 5.3)."""
    digest = hmac.digest(key, counter.to_bytes(8, "big"), hashlib.sha1)
    at = digest[-1] & 0xF
    number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**digits).zfill(digits)


def step_of(at_ms: int) -> int:
    """Which step a moment (UTC ms) belongs to."""
    return at_ms // 1000 // STEP_S


def matching_step(secret: str, code: str, at_ms: int, *, after: int = 0) -> int:
    """The step whose code this is, 0 for none. All steps are compared, each in constant time.

    Args:
      secret: in base32.
      after: only later steps count: a code works once (RFC 6238 section 5.2).
    """
    key, now, found = base64.b32decode(secret), step_of(at_ms), 0
    for step in range(now - STEPS_AROUND, now + STEPS_AROUND + 1):
        if hmac.compare_digest(code_at(key, step).encode(), code.encode()) and step > after:
            found = step
    return found


def key_uri(secret: str, login: str, issuer: str) -> str:
    """What the QR code says to the app."""
    label = quote(f"{issuer}:{login}", safe="")
    return f"otpauth://totp/{label}?secret={secret}&issuer={quote(issuer, safe='')}&digits={DIGITS}&period={STEP_S}"
