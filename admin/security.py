"""What every answer carries and what every request that changes something must show."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
TRANSPORT_SECURITY = "max-age=31536000"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ID_OCTETS = 32


def new_id() -> str:
    """A session id: 256 random bits."""
    return secrets.token_urlsafe(ID_OCTETS)


def csrf_token(session_id: str) -> str:
    """The token of a session's forms. Who has it cannot find the session id, nor use it with another."""
    return hashlib.sha256(b"form " + session_id.encode()).hexdigest()


def csrf_matches(session_id: str, token: str) -> bool:
    """Compare in constant time."""
    return bool(session_id) and hmac.compare_digest(csrf_token(session_id).encode(), token.encode())


def foreign(headers: Mapping[str, str], origin: str) -> bool:
    """Whether a request says that it comes from another site (old clients say nothing: the token decides)."""
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return True
    sent = headers.get("origin")
    return sent is not None and sent != origin


def local_path(path: str) -> str:
    """Where to go after sign-in: a path of ours, whatever was asked."""
    parts = urlsplit(path)
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if plain and not parts.scheme and not parts.netloc and "\\" not in path else "/"
