"""The first start: while there is no system administrator, a link from the log makes one. No default account."""

import hmac
import secrets

VALID_S = 15 * 60


class SetupLink:
    """One link at a time, known to the log and to nobody else; it works once, and 15 minutes at most."""

    def __init__(self) -> None:
        self._token = ""
        self._until = 0.0

    def make(self, now: float) -> str:
        """A new token; an older one is void."""
        self._token, self._until = secrets.token_urlsafe(32), now + VALID_S
        return self._token

    def matches(self, token: str, now: float) -> bool:
        """Whether this is the token and still good."""
        right = hmac.compare_digest(self._token.encode(), token.encode())
        return right and bool(self._token) and now < self._until

    def use(self) -> None:
        """It has done its work."""
        self._token = ""
