"""Which senders an account may use: exact addresses, or prefixes ending in `*`; none listed allows any.

Any sender must be one that a handset can show: up to 15 digits by the book and 20 by the field's size, which
access codes use, or up to 11 characters with a letter (3GPP TS 23.040 section 9.1.2.5; SMPP 3.4 section
5.2.8). Addresses are compared as octets: what is listed is exactly what may be sent.
"""

from collections.abc import Iterable

DIGITS_MAX = 20
ALPHANUMERIC_MAX = 11
REMEMBERED_MAX = 4_096  # verdicts kept an account; customers use few senders, forgers many


class SenderPolicy:
    """One account's rule, compiled; remembers its verdicts.

    Args:
      above: its owner's list, which holds as well.
    """

    def __init__(self, senders: Iterable[str] = (), above: Iterable[str] = ()) -> None:
        above = tuple(above)
        self._above = SenderPolicy(above) if above else None
        # Names arrive in Latin-1 from some clients and in UTF-8 from others.
        patterns = {octets for sender in senders for octets in _spellings(sender)}
        self._exact = frozenset(pattern for pattern in patterns if not pattern.endswith(b"*"))
        self._prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith(b"*"))
        self._any = not patterns
        self._known: dict[bytes, bool] = {}

    def allowed(self, sender: bytes) -> bool:
        """Whether this address may stand as sender.

        An empty one, which lets the carrier choose, may where any may. Cost: 0.1 us for one seen before.
        """
        known = self._known.get(sender)
        if known is None:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            known = self._known[sender] = self.why_not(sender) is None
        return known

    def why_not(self, sender: bytes) -> str | None:
        """What is wrong with a sender, as a sentence that says what to do; None if it is allowed."""
        if sender and (problem := problem_with_sender(sender)):
            return problem
        if self._any or sender in self._exact or (sender and sender.startswith(self._prefixes)):
            return self._above.why_not(sender) if self._above else None
        if not sender:
            return "The sender is empty and this account has a list of senders. Give one of them."
        return "This sender is not on the account's list. Use one that is, or ask for it to be added."


def problem_with_sender(sender: bytes) -> str | None:
    """Why no handset could show this sender, as a sentence; None if one could."""
    if any(octet < 0x20 or octet == 0x7F for octet in sender):
        return "The sender contains a control character. Use letters and digits."
    digits = sender.removeprefix(b"+")
    if digits.isdigit():
        if len(digits) > DIGITS_MAX:
            return f"The sender has {len(digits)} digits. Use {DIGITS_MAX} at most."
    elif (characters := _characters(sender)) > ALPHANUMERIC_MAX:
        return f"The sender is a name of {characters} characters. Use {ALPHANUMERIC_MAX} at most."
    return None


def _characters(sender: bytes) -> int:
    try:
        return len(sender.decode())
    except UnicodeDecodeError:
        return len(sender)  # an alphabet of one octet a character


def _spellings(sender: str) -> set[bytes]:
    try:
        return {sender.encode(), sender.encode("latin-1")}
    except UnicodeEncodeError:
        return {sender.encode("utf-8", "replace")}
