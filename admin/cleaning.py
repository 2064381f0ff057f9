"""Text that comes from outside, as it is stored. Apart from forms, as files are read in a process of their own."""

import unicodedata

_KEPT_CONTROLS = "\n\t"


def clean(text: str, *, lines: bool = False) -> str:
    """Text as it is stored: no control characters, one form of line end, no blanks around."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = _KEPT_CONTROLS if lines else ""
    text = "".join(c for c in text if c in kept or unicodedata.category(c) not in ("Cc", "Cs"))
    return text.strip()
