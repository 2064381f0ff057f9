"""Secrets of webhooks: made, checked, and kept sealed; for a while after a change the one before signs as well."""

import base64
import binascii
import secrets

import msgspec

from store.secrets import Sealer

PREFIX = "whsec_"
KEY_OCTETS = 32
KEY_OCTETS_MIN, KEY_OCTETS_MAX = 24, 64  # Standard Webhooks 1.0.0
OVERLAP_MS = 24 * 3_600_000  # how long the secret before goes on signing, unless somebody says otherwise
FOREVER = 1 << 62


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One secret, and until when it signs."""

    secret: str
    until_ms: int = FOREVER


_decode = msgspec.json.Decoder(list[Kept]).decode
_encode = msgspec.json.Encoder().encode


def new_secret() -> str:
    """A secret of 256 bits, as people copy it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(KEY_OCTETS)).decode()


def key_of(secret: str) -> bytes:
    """The key behind `whsec_…`. Raises ValueError with a sentence that does not name the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not KEY_OCTETS_MIN <= len(key) <= KEY_OCTETS_MAX:
        raise ValueError(
            f'a secret is "{PREFIX}" and the base64 of {KEY_OCTETS_MIN} to {KEY_OCTETS_MAX} random octets'
        )
    return key


def sealed(sealer: Sealer, account: int, name: str, kept: list[Kept]) -> bytes:
    """The column of an endpoint's secrets, newest first."""
    return sealer.seal(_encode(kept).decode(), _context(account, name))


def unsealed(sealer: Sealer, account: int, name: str, column: bytes) -> list[Kept]:
    """The secrets in a column. Raises StoreError under another key file."""
    return _decode(sealer.unseal(column, _context(account, name)))


def active_secrets(
    sealer: Sealer, account: int, name: str, column: bytes, now_ms: int
) -> tuple[tuple[str, ...], int]:
    """Those that sign now, newest first, and until when the second of them does (0: there is none)."""
    good = [one for one in unsealed(sealer, account, name, column) if one.until_ms > now_ms]
    return tuple(one.secret for one in good), good[1].until_ms if len(good) > 1 else 0


def rotated(kept: list[Kept], secret: str, now_ms: int, overlap_ms: int) -> list[Kept]:
    """With a new secret in front: the newest before it signs for `overlap_ms` more, older ones no longer."""
    before = [Kept(one.secret, now_ms + overlap_ms) for one in kept[:1] if overlap_ms]
    return [Kept(secret), *before]


def _context(account: int, name: str) -> str:
    return f"webhook {account} {name}"
