"""Texts that say who they are: every submission has a number, and every segment of its text carries it.

So a carrier's copy, a stored body and a receipt's echo can all be traced to the submission they come from, and a
re-joined text can be compared with the one that was accepted. `CANARY` is in each: it must be in no log line.
"""

import re

from gateway.smpp.text import encode_text
from gateway.smpp.udh import parse_udh

CANARY = "kanarie"
WORD = "verboten"  # a sensitive word: masked on the way
GSM, UCS2 = 0, 8

_marker = re.compile(rb"<w(\d+)>")


def text_of(n: int, characters: int, data_coding: int, *, word: bool = False) -> str:
    """A text of about so many characters, whose number is legible in any 60 of them."""
    unit = f"<w{n}>{CANARY} "
    if word:
        unit += f"{WORD} "
    if data_coding == UCS2:
        unit += "金丝雀"
    return (unit * (characters // len(unit) + 1))[: max(characters, len(unit))]


def expected(text: str) -> str:
    """The text that carriers must get."""
    return text.replace(WORD, "*" * len(WORD))


def number_of(octets: bytes) -> int:
    """The submission whose text is in these octets, 0 for none."""
    match = _marker.search(octets) or _marker.search(octets.replace(b"\0", b""))
    return int(match[1]) if match else 0


def encoded(text: str, data_coding: int) -> bytes:
    return encode_text(text, data_coding)


def cut(esm_class: int, octets: bytes) -> tuple[bytes, int, int]:
    """(text octets, number of the part, parts) of one segment."""
    if not esm_class & 0x40:
        return octets, 1, 1
    udh = parse_udh(octets)
    if udh is None or udh.concat is None:
        return octets, 1, 1
    return octets[udh.octets :], udh.concat.seq, udh.concat.total
