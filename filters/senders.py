"""Which senders an account may use: exact addresses, or prefixes ending in `*`; none listed allows any.

Any sender must be one that a handset can show: up to 15 digits (20 in the field's own size), or up to 11
characters with a letter (3GPP TS 23.040 section 9.1.2.5).
"""

from collections.abc import Iterable

DIGITS_MAX = 20
ALPHANUMERIC_MAX = 11
REMEMBERED_MAX = 4_096  # verdicts kept an account; customers use few senders, forgers many


class SenderPolicy:
    """One account's rule, compiled; remembers its verdicts."""

    def __init__(self, senders: Iterable[str] = ()) -> None:
        patterns = [sender.encode() for sender in senders]
        self._exact = frozenset(p for p in patterns if not p.endswith(b"*"))
        self._prefixes = tuple(p[:-1] for p in patterns if p.endswith(b"*"))
        self._any = not patterns
        self._known: dict[bytes, bool] = {}

    def allowed(self, sender: bytes) -> bool:
        """Whether this address may stand as sender. An empty one may: the carrier puts its own."""
        known = self._known.get(sender)
        if known is None:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            known = self._known[sender] = self._judge(sender)
        return known

    def _judge(self, sender: bytes) -> bool:
        if not sender:
            return self._any
        if not is_shown(sender):
            return False
        return self._any or sender in self._exact or sender.startswith(self._prefixes)


def is_shown(sender: bytes) -> bool:
    """Whether a handset could show it: digits, or few enough characters; never control octets."""
    if any(octet < 0x20 for octet in sender):
        return False
    digits = sender.removeprefix(b"+")
    return len(digits) <= DIGITS_MAX if digits.isdigit() else len(sender) <= ALPHANUMERIC_MAX
