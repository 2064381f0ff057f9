"""`data_coding` to text and back.

Two tables share the octet: SMPP's own below 0x10 (SMPP 3.4 section 5.2.19), and the coding groups of 3GPP TS
23.038 section 4 from 0x10 up, which the field uses although SMPP calls most of it reserved. They disagree on
01 to 07, so SMPP's wins there.

Decoding never raises: what is no character becomes U+FFFD, and the caller keeps the octets. Encoding is
strict; a lossy conversion is only ever asked for (`simplify`).
"""

import codecs
import re

from gateway.smpp.gsm import (
    DEFAULT_CHARACTERS,
    EXTENSION_CHARACTERS,
    REPLACEMENT,
    Unencodable,
    decode_septets,
    encode_septets,
    pack_septets,
    unpack_septets,
)

__all__ = [
    "DEFAULT_ALPHABETS",
    "GSM_DATA_CODING",
    "UCS2_DATA_CODING",
    "Unencodable",
    "alphabet_of",
    "choose_coding",
    "decode_text",
    "encode_sender",
    "encode_text",
    "forcing_characters",
    "message_class",
    "pack_septets",
    "simplify",
    "transcode",
    "unpack_septets",
]

# A third of the cost of `bytes.decode("utf-16-be")`, which goes through the codec registry.
_utf_16_be_decode = codecs.utf_16_be_decode
_utf_16_be_encode = codecs.utf_16_be_encode

GSM_DATA_CODING = 0x00
UCS2_DATA_CODING = 0x08

# What a carrier or customer may mean by data_coding 0, "SMSC default alphabet": per connection.
DEFAULT_ALPHABETS = ("gsm", "gsm-packed", "latin1", "ascii", "utf-8", "ucs2")

# Alphabets of data_coding 0x00 to 0x0F. 0x0B, 0x0C and 0x0F are reserved: read as the default.
_SMPP_ALPHABETS = (
    "default", "ascii", "octets", "latin1", "octets", "jis", "cyrillic", "hebrew",
    "ucs2", "octets", "music", "default", "default", "jis-extended", "korean", "default",
)  # fmt: skip

# 3GPP TS 23.038 general group, bits 3-2. The fourth value is reserved: the default alphabet.
_GENERAL_GROUP = ("gsm", "octets", "ucs2", "gsm")


def _charset(data_coding: int) -> str:
    if data_coding < 0x10:
        return _SMPP_ALPHABETS[data_coding]
    if data_coding < 0x80:  # general group and the "automatic deletion" group that has its layout
        # Compressed text (bit 5) is nothing that anybody here can read.
        return "octets" if data_coding & 0x20 else _GENERAL_GROUP[data_coding >> 2 & 3]
    if data_coding < 0xE0:  # reserved, and message waiting with GSM text
        return "gsm"
    if data_coding < 0xF0:  # message waiting, store, UCS-2
        return "ucs2"
    return "octets" if data_coding & 0x04 else "gsm"


_CHARSETS = tuple(_charset(data_coding) for data_coding in range(256))

_NAMED = {
    "default": "gsm",
    "gsm": "gsm",
    "ucs2": "ucs2",
    "octets": "octets",
    "latin1": "latin1",
    "ascii": "ascii",
}
_ALPHABETS = tuple(_NAMED.get(charset, "other") for charset in _CHARSETS)

_CLASSES = tuple(
    data_coding & 3 if data_coding >= 0xF0 or (0x10 <= data_coding < 0x80 and data_coding & 0x10) else None
    for data_coding in range(256)
)


def alphabet_of(data_coding: int) -> str:
    """ "gsm", "ucs2", "octets", "latin1", "ascii" or "other": what `segments` counts and splits by."""
    return _ALPHABETS[data_coding & 0xFF]


def message_class(data_coding: int) -> int | None:
    """0 flash, 1 handset, 2 SIM, 3 terminal equipment, or None when the octet names no class."""
    return _CLASSES[data_coding & 0xFF]


def _latin1_of_the_field() -> str:
    """ISO-8859-1, with the C1 controls, which nobody texts, read as Windows-1252 means them."""
    return "".join(
        octets.decode("cp1252" if 0x80 <= octets[0] < 0xA0 else "latin-1", "ignore")
        or octets.decode("latin-1")
        for octets in (bytes((octet,)) for octet in range(256))
    )


_LATIN1 = _latin1_of_the_field()

_PYTHON_CODECS = {
    "ascii": "ascii",
    "utf-8": "utf-8",
    "jis": "shift_jis",
    "jis-extended": "euc_jp",
    "cyrillic": "iso8859_5",
    "hebrew": "iso8859_8",
    "music": "iso2022_jp",
    "korean": "cp949",
}
# JIS comes in two wire forms; the escape sequences of ISO 2022 tell them apart.
_ISO2022_CODECS = {"jis": "iso2022_jp", "jis-extended": "iso2022_jp_1"}


def _decode_ucs2(data: bytes) -> str:
    if data.startswith(b"\xff\xfe"):
        return data[2:].decode("utf-16-le", "replace")
    return data.decode("utf-16-be", "replace").removeprefix("\ufeff")


def _decode_charset(data: bytes, charset: str, locking: int, single: int) -> str:
    if charset == "ucs2":
        return _decode_ucs2(data)
    if charset == "latin1":
        return codecs.charmap_decode(data, "replace", _LATIN1)[0]
    if charset == "octets":
        return data.decode("latin-1")
    if charset in _ISO2022_CODECS and 0x1B in data:
        return data.decode(_ISO2022_CODECS[charset], "replace")
    codec = _PYTHON_CODECS.get(charset)
    if codec is None or (charset == "ascii" and (locking or single)):
        # GSM; also IA5 with a national shift table, which only makes sense as GSM.
        return decode_septets(data, locking, single)
    return data.decode(codec, "replace")


def decode_text(
    data: bytes,
    data_coding: int,
    *,
    default_alphabet: str = "gsm",
    locking: int = 0,
    single: int = 0,
    fill_bits: int = 0,
) -> str:
    """The text of a short message (its UDH already taken off). Never raises; linear in `len(data)`.

    Args:
      data: as it came; keep it, since unreadable octets become U+FFFD. A UCS-2 byte order mark is honoured
        and dropped, half a UCS-2 unit or a lone surrogate becomes U+FFFD, binary is read as Latin-1.
      default_alphabet: one of DEFAULT_ALPHABETS: what this peer means by data_coding 0 (and the reserved
        values). "gsm-packed" holds for every GSM coding of that peer.
      locking, single: national language identifiers out of the UDH (`Udh.locking`, `Udh.single`).
      fill_bits: for "gsm-packed" after a UDH, see `gsm.fill_bits_after`.
    """
    if data_coding == 8:
        try:
            text = _utf_16_be_decode(data, "strict", True)[0]
        except UnicodeDecodeError:
            return _decode_ucs2(data)
        # Both byte order marks sort above this; so do full-width and astral characters, which may pay.
        return _decode_ucs2(data) if text > "\ufefe" else text
    charset = _CHARSETS[data_coding & 0xFF]
    if charset == "default":
        charset = default_alphabet
    elif charset == "gsm" and default_alphabet == "gsm-packed":
        charset = "gsm-packed"
    if charset == "gsm":
        return decode_septets(data, locking, single)
    if charset == "gsm-packed":
        return decode_septets(unpack_septets(data, fill_bits=fill_bits), locking, single)
    return _decode_charset(data, charset, locking, single)


def encode_text(
    text: str,
    data_coding: int,
    *,
    default_alphabet: str = "gsm",
    locking: int = 0,
    single: int = 0,
    fill_bits: int = 0,
) -> bytes:
    """Octets of `text` under `data_coding`; the reverse of `decode_text`. Never writes a byte order mark.

    Raises:
      Unencodable: the alphabet has not got a character. Nothing is ever replaced silently.
    """
    charset = _CHARSETS[data_coding & 0xFF]
    if charset == "default":
        charset = default_alphabet
    elif charset == "gsm" and default_alphabet == "gsm-packed":
        charset = "gsm-packed"
    if charset == "gsm":
        return encode_septets(text, locking, single)
    if charset == "gsm-packed":
        return pack_septets(encode_septets(text, locking, single), fill_bits=fill_bits)
    if charset == "ascii" and (locking or single):
        return encode_septets(text, locking, single)
    try:
        if charset == "ucs2":
            return _utf_16_be_encode(text)[0]
        codec = _ENCODERS[charset]
        return text.encode(codec)
    except UnicodeEncodeError as unknown:
        position = unknown.start
    raise Unencodable(text[position], position, charset)


_ENCODERS = _PYTHON_CODECS | {"latin1": "latin-1", "octets": "latin-1"}


def transcode(octets: bytes, data_coding: int, *, source: str, target: str) -> tuple[bytes, int]:
    """(octets, data_coding) of the same text for a peer whose default alphabet is another.

    Only text in a default alphabet changes. Where `target` has not got a character the text becomes UCS-2 and
    keeps its message class; where a part of it was unreadable it goes on as it came. Before counting parts.

    Args:
      source, target: of DEFAULT_ALPHABETS: what data_coding 0 means to who sent it, and to who gets it.
    """
    if source == target or alphabet_of(data_coding) != "gsm":
        return octets, data_coding
    text = decode_text(octets, data_coding, default_alphabet=source)
    if REPLACEMENT in text:
        return octets, data_coding
    try:
        return encode_text(text, data_coding, default_alphabet=target), data_coding
    except Unencodable:
        kept_class = message_class(data_coding)
        ucs2 = UCS2_DATA_CODING if kept_class is None else 0x18 | kept_class
        return encode_text(text, ucs2), ucs2


_NOT_GSM = re.compile(f"[^{re.escape(''.join(sorted(DEFAULT_CHARACTERS | EXTENSION_CHARACTERS)))}]")


def choose_coding(text: str) -> tuple[int, str]:
    """(data_coding, alphabet) that carries `text` whole: (0, "gsm") if it can, else (8, "ucs2")."""
    return (UCS2_DATA_CODING, "ucs2") if _NOT_GSM.search(text) else (GSM_DATA_CODING, "gsm")


def forcing_characters(text: str, limit: int | None = None) -> list[tuple[int, str]]:
    """(index, character) of everything in `text` that forces UCS-2, in order, the first `limit` of them."""
    found = [(match.start(), match.group()) for match in _NOT_GSM.finditer(text)]
    return found if limit is None else found[:limit]


# Typographic look-alikes that word processors put in and nobody misses: character -> GSM characters.
_SIMPLER = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u2032": "'", "`": "'", "\u00b4": "'",
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u201f": '"', "\u2033": '"', "\u00ab": '"',
        "\u00bb": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2015": "-",
        "\u2212": "-",
        "\u2026": "...", "\u2022": "*", "\u00b7": ".", "\u2044": "/", "\u2039": "<", "\u203a": ">",
        "\u00a0": " ", "\u2002": " ", "\u2003": " ", "\u2007": " ", "\u2009": " ", "\u202f": " ", "\t": " ",
        "\u200b": "", "\u2060": "", "\ufeff": "", "\u00ad": "",
    }
)  # fmt: skip


def simplify(text: str) -> str:
    """`text` with typographic quotes, dashes, dots and spaces replaced by their GSM look-alikes. Lossy."""
    return text.translate(_SIMPLER)


SENDER_CHARACTERS_MAX = (
    11  # alphanumeric address: eleven septets fit its seven octets (3GPP TS 23.040 9.1.2.5)
)


def encode_sender(sender: str, *, alphabet: str = "ascii") -> bytes:
    """An alphanumeric sender (TON 5) as `source_addr`, in a peer's alphabet (one of DEFAULT_ALPHABETS).

    Raises:
      Unencodable: a character is missing in the alphabet, or would be a NUL there and end the C-octet string
        (`@` is 0x00 in GSM).
      ValueError: longer than eleven characters (septets in GSM): answer ESME_RINVSRCADR.
    """
    octets = encode_text(sender, GSM_DATA_CODING, default_alphabet=alphabet)
    if 0 in octets:
        alone = (encode_text(character, GSM_DATA_CODING, default_alphabet=alphabet) for character in sender)
        position = next((index for index, each in enumerate(alone) if 0 in each), 0)
        raise Unencodable(sender[position], position, f"{alphabet} address")
    if max(len(sender), len(octets) if alphabet == "gsm" else 0) > SENDER_CHARACTERS_MAX:
        raise ValueError(
            f"the sender has {len(sender)} characters; {SENDER_CHARACTERS_MAX} is the most for a name"
        )
    return octets
