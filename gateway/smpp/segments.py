"""Parts: how many a text takes, where it is cut, and the header each part gets.

Everything works on wire octets (unpacked GSM septets, UCS-2, 8-bit), so masking and transcoding come first. A
part carries 140 octets, header included; septets count 7/8 of that. Cuts are greedy and never fall inside
an escape pair or a surrogate pair, which is why `ceil(length / part)` is wrong at the borders: 152 letters, a
euro sign and 152 letters are 306 septets and three parts, not two.
"""

import unicodedata

import msgspec

from gateway.smpp.joiner import Joiner, ReferenceSource
from gateway.smpp.text import UCS2_DATA_CODING, choose_coding, encode_text, forcing_characters
from gateway.smpp.udh import (
    CONCAT_8,
    CONCAT_16,
    PARTS_MAX,
    UDH_INDICATOR,
    Concat,
    Segment,
    Udh,
    build_concat_udh,
    build_udh,
    concat_element,
    parse_udh,
    payload_of,
    sar_concat,
    sar_tlvs,
    segment_of,
    to_sar,
    to_udh,
)

__all__ = [
    "PARTS_MAX",
    "UDH_INDICATOR",
    "CannotSplit",
    "Concat",
    "Joiner",
    "ReferenceSource",
    "Segment",
    "SegmentInfo",
    "Udh",
    "build_concat_udh",
    "build_udh",
    "count_parts",
    "count_segments",
    "parse_udh",
    "part_octets_max",
    "payload_of",
    "sar_concat",
    "sar_tlvs",
    "segment",
    "segment_info",
    "segment_of",
    "split",
    "to_sar",
    "to_udh",
]

MESSAGE_OCTETS = 140
CONCAT_8_OCTETS = 6  # 05 00 03 rr tt nn
CONCAT_16_OCTETS = 7  # 06 08 04 rrrr tt nn

SEPTET_ALPHABETS = frozenset(("gsm", "ascii"))


class CannotSplit(ValueError):
    """A message that must not or cannot be cut: over 255 parts, or a customer's own part that is too long."""


def part_octets_max(alphabet: str, udh_octets: int = 0) -> int:
    """Wire octets of text in one part beside a header of `udh_octets` (its length octet included).

    Septets: floor((140 - header) * 8 / 7), one an octet; UCS-2: whole units; anything else: 140 - header.
    """
    room = MESSAGE_OCTETS - udh_octets
    if alphabet in SEPTET_ALPHABETS:
        return room * 8 // 7
    return room & ~1 if alphabet == "ucs2" else room


def _cut_before(octets: bytes, start: int, cut: int, alphabet: str) -> int:
    """The last border at or before `cut` that tears no character: a step or none back."""
    if alphabet in SEPTET_ALPHABETS:  # under data_coding 1 too: node-smpp writes GSM 03.38 there
        if octets[cut - 1] == 0x1B:
            run = cut - 1
            while run > start and octets[run - 1] == 0x1B:
                run -= 1
            # Escapes pair up from the left: an odd run ends in one whose character lies beyond the cut.
            if (cut - run) & 1:
                return cut - 1
    elif alphabet == "ucs2" and octets[cut - 2] & 0xFC == 0xD8 and octets[cut] & 0xFC == 0xDC:
        return cut - 2
    return cut


def _borders(octets: bytes, alphabet: str, part_max: int) -> list[int]:
    """Ends of the parts, greedily. Needs room for a whole character in a part."""
    ends = []
    at = 0
    total = len(octets)
    while total - at > part_max:
        at = _cut_before(octets, at, at + part_max, alphabet)
        ends.append(at)
    ends.append(total)
    return ends


def _room(alphabet: str, udh_octets: int) -> int:
    part_max = part_octets_max(alphabet, udh_octets)
    if part_max < 4:  # a surrogate pair; fewer could tear every character for ever
        raise CannotSplit(f"a header of {udh_octets} octets leaves no room for text")
    return part_max


def count_parts(
    octets: bytes, alphabet: str, *, udh_octets: int = CONCAT_8_OCTETS, single_udh_octets: int = 0
) -> int:
    """How many parts `split` gives for the same arguments (it may exceed the 255 that `split` allows)."""
    length = len(octets)
    if not single_udh_octets and length <= MESSAGE_OCTETS:
        return 1
    if length <= part_octets_max(alphabet, single_udh_octets):
        return 1
    part_max = _room(alphabet, udh_octets)
    if alphabet in SEPTET_ALPHABETS and 0x1B not in octets:
        return -(-length // part_max)
    return len(_borders(octets, alphabet, part_max))


def split(
    octets: bytes, alphabet: str, *, udh_octets: int = CONCAT_8_OCTETS, single_udh_octets: int = 0
) -> list[bytes]:
    """The text of each part, without headers; joined again they are `octets`. Linear.

    Args:
      octets: text in wire form, no header.
      alphabet: as `text.alphabet_of` says: "gsm" and "ascii" count septets, "ucs2" units, the rest octets.
      udh_octets: header of a part of several (6: 8-bit reference; 7: 16-bit; more with ports or national
        tables beside it).
      single_udh_octets: header of a message that fits in one (0, or its ports and tables).
    Raises:
      CannotSplit: more than 255 parts, or the header leaves no room.
    """
    if len(octets) <= part_octets_max(alphabet, single_udh_octets):
        return [octets]
    part_max = _room(alphabet, udh_octets)
    ends = _borders(octets, alphabet, part_max)
    if len(ends) > PARTS_MAX:
        raise CannotSplit(f"the text takes {len(ends)} parts; a message has at most {PARTS_MAX}")
    if alphabet == "ucs2":
        ends = _kinder_borders(octets, ends, part_max)
    return [octets[start:end] for start, end in zip([0, *ends], ends, strict=False)]


# How far a cut moves back to spare a cluster: the longest family emoji with skin tones is 19 units.
_CLUSTER_OCTETS_MAX = 40

_JOINS_NEXT = "\u200d"
_ZWJ = b"\x20\x0d"


def _kinder_borders(octets: bytes, ends: list[int], part_max: int) -> list[int]:
    """Borders moved before emoji sequences and combining marks, unless that costs another part."""
    kinder: list[int] = []
    at = 0
    total = len(octets)
    while total - at > part_max:
        cut = _cut_before(octets, at, at + part_max, "ucs2")
        at = _cluster_start(octets, max(at + 2, cut - _CLUSTER_OCTETS_MAX), cut)
        kinder.append(at)
        if len(kinder) >= len(ends):
            return ends
    kinder.append(total)
    return kinder


def _cluster_start(octets: bytes, low: int, cut: int) -> int:
    """`cut`, or the border of the cluster it would tear if that begins after `low`."""
    left = len(octets) - cut
    if left < 2:
        return cut  # half a unit: no text that anybody could read
    unit = octets[cut] << 8 | octets[cut + 1]
    if (unit < 0x300 or 0x3400 <= unit < 0xA000 or 0xAC00 <= unit < 0xD7A4) and octets[cut - 2 : cut] != _ZWJ:
        return cut  # Latin, an ideograph or a Hangul syllable: nothing to spare, and nearly always so
    before = octets[low:cut].decode("utf-16-be", "surrogatepass")
    after = octets[cut : cut + (4 if left >= 4 else 2)].decode("utf-16-be", "surrogatepass")[:1]
    at = cut
    for character in reversed(before):
        if not (_is_mark(after) or after == _JOINS_NEXT or character == _JOINS_NEXT):
            return at
        at -= 4 if character > "\uffff" else 2
        after = character
    return cut


def _is_mark(character: str) -> bool:
    """A combining mark, a variation selector or a skin tone: it belongs to what stands before it."""
    return unicodedata.category(character)[0] == "M" or "\U0001f3fb" <= character <= "\U0001f3ff"


def segment(
    payload: bytes, alphabet: str, ref: int, *, udh_indicator: bool = False, bits: int = 8
) -> list[bytes]:
    """`payload` as the short messages to send, each with its header; one that fits comes back unchanged.

    Args:
      payload: text in wire form; with `udh_indicator` its own UDH stands first (ports, national tables) and
        is repeated in each part beside the concatenation element.
      ref: reference of the message (`ReferenceSource`), in `bits` bits.
    Raises:
      CannotSplit: over 255 parts, or `payload` is itself a part of a longer message and too long for one.
    """
    udh = parse_udh(payload) if udh_indicator else None
    text, own_octets, kept = _own_header(payload, udh, alphabet)
    texts = split(text, alphabet, udh_octets=_udh_octets(kept, bits), single_udh_octets=own_octets)
    total = len(texts)
    if total == 1:
        return [payload]
    return [
        build_udh((concat_element(ref, total, seq, bits=bits), *kept)) + part
        for seq, part in enumerate(texts, 1)
    ]


def count_segments(payload: bytes, alphabet: str, *, udh_indicator: bool = False, bits: int = 8) -> int:
    """How many short messages `segment` makes of it: what is charged. 0.1 us for one without a header.

    Raises:
      CannotSplit: as `segment`, but for the number of parts, which may exceed 255 here.
    """
    if not udh_indicator:
        return count_parts(payload, alphabet, udh_octets=CONCAT_8_OCTETS if bits == 8 else CONCAT_16_OCTETS)
    text, own_octets, kept = _own_header(payload, parse_udh(payload), alphabet)
    return count_parts(text, alphabet, udh_octets=_udh_octets(kept, bits), single_udh_octets=own_octets)


Elements = tuple[tuple[int, bytes], ...]


def _own_header(payload: bytes, udh: Udh | None, alphabet: str) -> tuple[bytes, int, Elements]:
    """Text, octets of its own header, elements that every part must repeat."""
    if udh is None:
        return payload, 0, ()
    text = payload[udh.octets :]
    room = part_octets_max(alphabet, udh.octets)
    if udh.concat and len(text) > room:
        raise CannotSplit(
            f"part {udh.concat.seq} of {udh.concat.total} has {len(text)} octets of text;"
            f" beside its header there is room for {room}"
        )
    return text, udh.octets, tuple(e for e in udh.elements if e[0] not in (CONCAT_8, CONCAT_16))


def _udh_octets(kept: Elements, bits: int) -> int:
    """Size of a part's header: concatenation and these elements."""
    return sum(2 + len(value) for _, value in kept) + (CONCAT_8_OCTETS if bits == 8 else CONCAT_16_OCTETS)


class SegmentInfo(msgspec.Struct, frozen=True):
    """What a text will cost: see `segment_info`. `units` are septets for "gsm", UTF-16 units for "ucs2"."""

    coding: int
    alphabet: str
    units: int
    units_left: int
    parts: int
    forcing: list[tuple[int, str]]


FORCING_CHARACTERS_MAX = 100


def segment_info(text: str) -> SegmentInfo:
    """Coding, units used, units left in the last part, parts, and the first 100 characters that force UCS-2.

    For an estimate before sending; never raises (a lone surrogate counts as a unit).
    """
    coding, alphabet = choose_coding(text)
    if coding == UCS2_DATA_CODING:
        octets = text.encode("utf-16-be", "surrogatepass")
        unit_octets = 2
    else:
        octets = encode_text(text, coding)
        unit_octets = 1
    single_max = part_octets_max(alphabet)
    if len(octets) <= single_max:
        parts, left = 1, single_max - len(octets)
    else:
        part_max = part_octets_max(alphabet, CONCAT_8_OCTETS)
        ends = _borders(octets, alphabet, part_max)
        parts, left = len(ends), part_max - (ends[-1] - ends[-2])
    forcing = forcing_characters(text, FORCING_CHARACTERS_MAX) if unit_octets == 2 else []
    return SegmentInfo(coding, alphabet, len(octets) // unit_octets, left // unit_octets, parts, forcing)
