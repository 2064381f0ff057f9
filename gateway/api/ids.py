"""Ids as the API shows them: a kind, an underscore and 13 characters of Crockford's base 32, sortable by time."""

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MESSAGE, BATCH, INBOUND, EVENT, TEMPLATE = "msg", "bat", "mo", "evt", "tpl"
LENGTH = 13  # 65 bits: an id has 63

_PAIRS = tuple(a + b for a in ALPHABET for b in ALPHABET)
_VALUES = {character: value for value, character in enumerate(ALPHABET)}


def show(kind: str, number: int) -> str:
    """`msg_01JB7M…` for a store id. Ids of one kind sort as text as they do as numbers. 0.6 us."""
    pairs = _PAIRS
    return (
        f"{kind}_{ALPHABET[number >> 60 & 31]}{pairs[number >> 50 & 1023]}{pairs[number >> 40 & 1023]}"
        f"{pairs[number >> 30 & 1023]}{pairs[number >> 20 & 1023]}{pairs[number >> 10 & 1023]}"
        f"{pairs[number & 1023]}"
    )


def read(kind: str, text: str) -> int:
    """The store id behind a shown one, 0 if it is none of this kind. SMPP's 19 digits name messages, too."""
    if kind == MESSAGE and len(text) == 19 and text.isascii() and text.isdigit():
        number = int(text)
        return number if number < 1 << 63 else 0
    head, _, tail = text.partition("_")
    if head != kind or len(tail) != LENGTH or not tail.isascii():
        return 0
    number = 0
    for character in tail.upper():
        value = _VALUES.get(character)
        if value is None:
            return 0
        number = number << 5 | value
    return number if number < 1 << 63 else 0
