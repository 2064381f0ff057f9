"""Kannel's escape codes in dlr-url, get-url and post-url.

Source: Kannel user guide, "Parameters (Escape Codes) in the SMS service groups", and the behaviour of its
smsbox (1.4.4), which the guide does not always describe: `%t` has seconds, `%p` is the handset also in a
report, and a code that is not known stays as it stands.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from gateway.legacy.kannel_fields import meta_values

_SAFE = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.!~*'()")
CHARSETS = {1: "8-BIT", 2: "UTF-16BE"}


class Values(msgspec.Struct, kw_only=True):
    """What the codes stand for. -1: not given, as Kannel writes it."""

    handset: bytes  # %p, %q
    ours: bytes  # %P, %Q: the sender of what we sent, the number that was texted
    text: bytes = b""
    kind: int = -1  # %d: which report it is
    time_s: int = 0
    carrier: str = ""
    message_id: str = ""
    foreign_id: str = ""
    service: str = ""
    account: bytes = b""
    binfo: bytes = b""
    meta_data: bytes = b""
    dlr_url: bytes = b""
    udh: bytes = b""
    coding: int = -1
    mclass: int = -1
    mwi: int = -1
    data_coding: int = 0


def encode(octets: bytes) -> str:
    """URL-encoded as Kannel does it: a space is `+`."""
    return "".join("+" if o == 0x20 else chr(o) if o in _SAFE else f"%{o:02X}" for o in octets)


def _number(octets: bytes) -> str:
    """A number whose leading 00 is written as +."""
    return "%2B" + encode(octets[2:]) if octets.startswith(b"00") else encode(octets)


def _time(values: Values) -> str:
    return datetime.fromtimestamp(values.time_s, UTC).strftime("%Y-%m-%d+%H:%M:%S")


_CODES: dict[str, Callable[[Values], str]] = {
    "a": lambda v: "+".join(map(encode, v.text.split())),
    "A": lambda v: encode(v.text),
    "b": lambda v: encode(v.text),
    "B": lambda v: encode(v.binfo),
    "c": lambda v: str(v.coding),
    "C": lambda v: CHARSETS.get(v.coding, "UTF-8"),
    "d": lambda v: str(v.kind),
    "D": lambda v: encode(v.meta_data),
    "f": lambda v: "",
    "F": lambda v: encode(v.foreign_id.encode()),
    "i": lambda v: encode(v.carrier.encode()),
    "I": lambda v: v.message_id,
    "k": lambda v: "".join(map(encode, v.text.split()[:1])),
    "m": lambda v: str(v.mclass),
    "M": lambda v: str(v.mwi),
    "n": lambda v: encode(v.service.encode()),
    "o": lambda v: encode(v.account),
    "O": lambda v: f"{v.data_coding:02d}",
    "p": lambda v: encode(v.handset),
    "P": lambda v: encode(v.ours),
    "q": lambda v: _number(v.handset),
    "Q": lambda v: _number(v.ours),
    "R": lambda v: encode(v.dlr_url),
    "t": _time,
    "T": lambda v: str(v.time_s),
    "u": lambda v: encode(v.udh),
    "v": lambda v: "",
    "V": lambda v: "",
    "%": lambda v: "%",
}


def fill(pattern: str, values: Values) -> str:
    """A URL with its codes replaced."""
    filled: list[str] = []
    words = values.text.split()
    next_word = 1
    at = 0
    while at < len(pattern):
        if pattern[at] != "%" or at + 1 == len(pattern):
            filled.append(pattern[at])
            at += 1
            continue
        code = pattern[at + 1]
        at += 2
        if code in _CODES:
            filled.append(_CODES[code](values))
        elif code == "r":
            filled.append("+".join(map(encode, words[next_word:])))
        elif code in "sS":
            if next_word < len(words):
                word = words[next_word]
                raw = word.replace(b"*", b"~").decode("latin-1")
                filled.append(encode(word) if code == "s" else raw)
                next_word += 1
        elif code == "#":
            group, closed, rest = pattern[at:].partition("#")
            name, closed_too, _ = rest.partition("#")
            if closed and closed_too:
                known = meta_values(values.meta_data, group.lower().encode("latin-1", "replace"))
                filled.append(encode(known.get(name.encode("latin-1", "replace"), b"")))
                at += len(group) + len(name) + 2
        else:
            filled.append("%" + code)
    return "".join(filled)
