"""Message ids in the form that clients of the old gateways store: UUIDs (version 8, RFC 9562 section 5.8).

The 63 bits of our id are in the first 76 bits beside version and variant, so that they sort as they were
made, and `sluice message` finds them again.
"""

import re

_FORM = re.compile("([0-9a-f]{8})-([0-9a-f]{4})-8([0-9a-f]{3})-8([0-9a-f])00-0{12}").fullmatch


def show(message_id: int) -> str:
    """A message id as a UUID."""
    digits = f"{message_id:016x}"
    return f"{digits[:8]}-{digits[8:12]}-8{digits[12:15]}-8{digits[15]}00-000000000000"


def read(text: str) -> int:
    """The message id behind a UUID of ours, 0 if it is none."""
    found = _FORM(text.lower())
    number = int("".join(found.groups()), 16) if found else 0
    return number if number < 1 << 63 else 0
