"""The text of a receipt, whatever the carrier made of it: a bounded scan for known keys, and its dates.

Keys are found at the start of a word, in any case and order; a value runs to the next key. Linear in the
text: no quantifier stands inside another, and no more keys are looked at than a receipt can have.
"""

import re
from datetime import UTC, datetime
from itertools import islice

import msgspec


class ReceiptText(msgspec.Struct, gc=False):
    """Fields as they stand in a text, "" for those that are not there."""

    message_id: str = ""
    submit_date: str = ""
    done_date: str = ""
    stat: str = ""
    error: str = ""
    text: bytes = b""


# Keys at the start of a word. 0x11 is the underscore of GSM 03.38.
_KEYS = re.compile(
    r"(?<![A-Za-z0-9_])(?:(id)|(sub)|(dlvrd)|(submit[ _\x11]?date)|(done[ _\x11]?date)|(stat(?:us)?)"
    r"|(err(?:or)?)|(te?xt)) ?:",
    re.IGNORECASE,
)
_ID, _SUB, _DLVRD, _SUBMIT_DATE, _DONE_DATE, _STAT, _ERR, _TEXT = range(1, 9)
# A text has nine keys; more are somebody's message. Bounds the work on a message_payload full of keys.
_KEYS_MAX = 64
_TRIM = " \t\r\n\0,;"


def _has_keys(text: str) -> bool:
    folded = text.lower()
    return "id:" in folded or "stat:" in folded


def _legible(data: bytes, data_coding: int) -> tuple[str, str]:
    """The text, and the codec back to octets. Labels lie about UCS-2 both ways, so the keys decide."""
    raw = str(data, "latin-1")
    if data_coding != 8 and (_has_keys(raw) or "\0" not in raw.strip("\0")):
        return raw, "latin-1"
    wide = data.decode("utf-16-be", "replace").lstrip("\ufeff")
    if _has_keys(wide) or (data_coding == 8 and not _has_keys(raw)):
        return wide, "utf-8"
    return raw.replace("\0", ""), "latin-1"


def read_receipt_text(data: bytes, data_coding: int) -> ReceiptText:
    """Fields of any receipt text, as far as they can be found."""
    text, codec = _legible(data, data_coding)
    matches = list(islice(_KEYS.finditer(text), _KEYS_MAX))
    if not matches:
        return _read_keyless(text)
    ends = [match.start() for match in matches[1:]] + [len(text)]
    border = next((n for n, match in enumerate(matches) if match.lastindex == _TEXT), len(matches))
    values: dict[int | None, str] = {_TEXT: ""}
    for match, end in zip(matches[:border], ends, strict=False):
        if match.lastindex not in values:
            values[match.lastindex] = text[match.end() : end].strip(_TRIM)
    # Behind `text:` the last of a key is the carrier's own, if any is: an author cannot write after it.
    echo_start = matches[border].end() if border < len(matches) else -1
    echo_end = len(text)
    for match, end in zip(matches[:border:-1], ends[:border:-1], strict=True):
        if match.lastindex not in values:
            values[match.lastindex] = text[match.end() : end].strip(_TRIM)
            echo_end = match.start()
    error, _, rest = values.get(_ERR, "").partition(" ")
    if echo_start >= 0:
        echo = text[echo_start:echo_end].rstrip("\0")
        if echo_end < len(text):
            echo = echo.strip(" ")
    else:
        # No `text:`: what follows the error is the text, unless it is the keyword itself, cut short.
        echo = "" if "text:".startswith(rest.lower()) else rest
    return ReceiptText(
        message_id=_first_word(values.get(_ID, "")),
        submit_date=values.get(_SUBMIT_DATE, "")[:DATE_CHARACTERS_MAX],
        done_date=values.get(_DONE_DATE, "")[:DATE_CHARACTERS_MAX],
        stat=_first_word(values.get(_STAT, "")),
        error=error[:ERROR_CHARACTERS_MAX],
        text=echo.encode(codec, "replace"),
    )


DATE_CHARACTERS_MAX = 32
ERROR_CHARACTERS_MAX = 32
# Longest id in a text: a message_id is at most 64 characters (SMPP 3.4 section 5.2.23); some add a prefix.
ID_CHARACTERS_MAX = 128


def _first_word(value: str) -> str:
    words = value[:ID_CHARACTERS_MAX].split(None, 1)
    return words[0].strip(_TRIM) if words else ""


def _read_keyless(text: str) -> ReceiptText:
    """Two forms without keys: `ID DIGIT`, and Vodafone's CSV (error, done, submit, ..., id)."""
    head = text[:1024]
    words = head.split()
    if len(words) == 2 and len(words[1]) == 1 and words[1] in "0123456789":
        return ReceiptText(message_id=words[0][:ID_CHARACTERS_MAX], stat=words[1])
    columns = head.strip(_TRIM).split(",")
    if len(columns) >= 5 and is_number(columns[0]) and is_number(columns[1]) and columns[-1].isalnum():
        return ReceiptText(
            message_id=columns[-1][:ID_CHARACTERS_MAX],
            done_date=columns[1][:DATE_CHARACTERS_MAX],
            submit_date=columns[2][:DATE_CHARACTERS_MAX],
            error=columns[0][:ERROR_CHARACTERS_MAX],
        )
    return ReceiptText(text=text.rstrip("\0").encode("utf-8", "replace"))


def is_number(value: str) -> bool:
    """ASCII digits and nothing else."""
    return value.isascii() and value.isdigit()


def parse_date(value: str) -> datetime | None:
    """A receipt's date: YYMMDDhhmm, YYMMDDhhmmss, YYYYMMDDhhmm or YYYYMMDDhhmmss; None for anything else.

    Twelve digits are read with seconds first and, where that is no date, with a four-digit year. The zone is
    whatever the SMSC's clock shows; the result is labelled UTC. Years 70 to 99 are of the last century.
    """
    if not is_number(value):
        return None
    size = len(value)
    if size == 14:
        return _date(int(value[:4]), value[4:])
    if size == 10 or size == 12:
        year = int(value[:2])
        date = _date(year + (1900 if year >= 70 else 2000), value[2:])
        if date is None and size == 12:
            date = _date(int(value[:4]), value[4:])
        return date
    return None


def _date(year: int, rest: str) -> datetime | None:
    numbers = [int(rest[at : at + 2]) for at in range(0, len(rest), 2)]
    try:
        return datetime(year, *numbers, tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        return None
