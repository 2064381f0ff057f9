"""JSON messages into the `SubmitSm` that the one door takes.

`Recipe` is what the messages of a batch have in common, made once: sender, times, alphabet, the text itself if
all get the same. A message that says only its number and text costs some 3 us here.
"""

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

from gateway.api.invalid import Invalid
from gateway.api.shapes import Content, MessageIn
from gateway.api.times import milliseconds
from gateway.intake import SCHEDULE_AHEAD_S_MAX, VALIDITY_S_MAX
from gateway.smpp.constants import SHORT_MESSAGE_OCTETS_MAX_34, EsmClass, Tag
from gateway.smpp.pdu import SubmitSm, Tlvs
from gateway.smpp.text import Unencodable, alphabet_of, choose_coding, encode_sender, encode_text
from gateway.smpp.times import format_absolute, format_relative
from gateway.smpp.udh import parse_udh

LATE_MS_MAX = 300_000  # a schedule this much in the past is a slow clock; more is a mistake
VALIDITY_S_MIN = 60
BINARY = 4  # data_coding of octets (SMPP 3.4 section 5.2.19)
_CODINGS = {"gsm": 0, "ucs2": 8, "latin1": 3}
_NAMES = {"gsm": "gsm", "ucs2": "ucs2", "latin1": "latin1", "octets": "binary"}


class Body(msgspec.Struct, gc=False):
    """A text or binary in wire form."""

    octets: bytes
    data_coding: int
    esm_class: int


class Recipe(msgspec.Struct, gc=False):
    """The common part. `body` None: each message brings its own."""

    source: bytes
    source_ton: int
    source_npi: int
    priority: int
    schedule: bytes
    validity: bytes
    registered_delivery: int
    encoding: str
    data_coding: int | None
    udh: bytes
    body: Body | None
    detail: dict[str, Any] | None  # kept with every part: reference, metadata, batch
    dedupe: bool = False


def needs_reference() -> Invalid:
    """What is wrong with `dedupe` alone."""
    return Invalid("/client_ref", "missing", "dedupe goes by client_ref. Give the message one of its own.")


def recipe(
    content: Content, now_ms: int, sms_type: str, callback: Callable[[str], None] | None = None
) -> Recipe:
    """Check what a message or the defaults of a batch say. Raises Invalid.

    Args:
      sms_type: the account's; `type` must be that.
      callback: judges a `callback_url`, raises Invalid; None: there is no place for one.
    """
    if content.callback_url is not None:
        _check_callback(content, callback)
    if content.type is not None and content.type != sms_type:
        raise Invalid(
            "/type",
            "wrong-type",
            f'This key sends as type "{sms_type}". Use that, or a key of another account.',
        )
    source, ton, npi = (b"", 0, 0) if content.from_ is None else sender(content.from_)
    udh = b""
    if content.udh:
        udh = bytes.fromhex(content.udh)
        if parse_udh(udh) is None or udh[0] + 1 != len(udh):
            raise Invalid("/udh", "bad-udh", "The header's length octet or elements do not add up.")
    made = Recipe(
        source,
        ton,
        npi,
        content.priority or 0,
        _schedule(content, now_ms),
        _validity(content),
        0 if content.dlr is False else 1,
        content.encoding or "auto",
        content.data_coding,
        udh,
        None,
        _detail(content),
        bool(content.dedupe),
    )
    if content.text is not None or content.binary is not None:
        made.body = body_of(made, content.text, content.binary)
    return made


def message_recipe(
    common: Recipe,
    message: MessageIn,
    defaults: Content,
    now_ms: int,
    sms_type: str,
    callback: Callable[[str], None] | None = None,
) -> Recipe:
    """The recipe of a message of a batch that says more than number, text and reference."""
    merged = Content(
        **{
            name: getattr(message, name) if getattr(message, name) is not None else getattr(defaults, name)
            for name in Content.__struct_fields__
        }
    )
    if message.text is not None:
        merged.binary = None
    elif message.binary is not None:
        merged.text = None
    if defaults.metadata and message.metadata:
        merged.metadata = {**defaults.metadata, **message.metadata}
    made = recipe(merged, now_ms, sms_type, callback)
    batch = (common.detail or {}).get("batch")
    if batch is not None:
        made.detail = {**(made.detail or {}), "batch": batch}
    return made


_PLAIN_FIELDS = ("text", "binary", "client_ref", "from_", "template", "vars")
_ODD_FIELDS = tuple(name for name in Content.__struct_fields__ if name not in _PLAIN_FIELDS)
_odd_values = attrgetter(*_ODD_FIELDS)
_NONE_SAID = (None,) * len(_ODD_FIELDS)


def says_little(message: MessageIn) -> bool:
    """Whether a message of a batch differs from the defaults by its number, sender, text and reference only."""
    return bool(_odd_values(message) == _NONE_SAID)


def submit(common: Recipe, to: str, body: Body | None = None) -> SubmitSm:
    """A submit_sm of this recipe. `body` None takes the recipe's."""
    what = body if body is not None else common.body
    if what is None:
        raise Invalid("/text", "missing", "A message needs a text, a template or a binary.")
    octets = what.octets
    tlvs: Tlvs = ()
    if len(octets) > SHORT_MESSAGE_OCTETS_MAX_34:
        tlvs = ((Tag.MESSAGE_PAYLOAD, octets),)
        octets = b""
    return SubmitSm(
        0,
        0,
        b"",
        common.source_ton,
        common.source_npi,
        common.source,
        0,
        1,
        to.encode(),
        what.esm_class,
        0,
        common.priority,
        common.schedule,
        common.validity,
        common.registered_delivery,
        0,
        what.data_coding,
        0,
        octets,
        tlvs,
    )


def body_of(common: Recipe, text: str | None, binary: str | None) -> Body:
    """Wire form of a text or binary under a recipe. Raises Invalid: exactly one of them, or a character that
    the alphabet has not got."""
    if (text is None) == (binary is None):
        raise Invalid("/text", "missing" if text is None else "both", "Give exactly one of text and binary.")
    esm_class = EsmClass.UDHI if common.udh else 0
    if binary is not None:
        data_coding = BINARY if common.data_coding is None else common.data_coding
        return Body(common.udh + bytes.fromhex(binary), data_coding, esm_class)
    assert text is not None
    if common.data_coding is not None:
        data_coding = common.data_coding
    elif common.encoding == "auto":
        data_coding = choose_coding(text)[0]
    else:
        data_coding = _CODINGS[common.encoding]
    try:
        octets = encode_text(text, data_coding)
    except Unencodable as unknown:
        position = unknown.position
        raise Invalid(
            "/text",
            "unencodable",
            f"Character {position + 1} (U+{ord(text[position]):04X}) is not in the alphabet"
            f' "{common.encoding if common.data_coding is None else data_coding}". Use encoding "auto".',
        ) from None
    return Body(common.udh + octets, data_coding, esm_class)


@lru_cache(maxsize=4096)
def sender(text: str) -> tuple[bytes, int, int]:
    """(source_addr, TON, NPI) of a sender. Raises Invalid."""
    digits = text.removeprefix("+")
    if not text:
        return b"", 0, 0
    if digits.isascii() and digits.isdigit():
        return digits.encode(), 1 if text != digits else 0, 1
    try:
        return encode_sender(text), 5, 0
    except Unencodable as unknown:
        detail = (
            f"Character {unknown.position + 1} of the sender cannot be shown. Use letters, digits and spaces."
        )
        raise Invalid("/from", "bad-sender", detail) from None
    except ValueError as error:
        raise Invalid("/from", "bad-sender", f"{str(error)[0].upper()}{str(error)[1:]}.") from None


def encoding_name(data_coding: int) -> str:
    """gsm, ucs2, latin1, binary or other."""
    return _NAMES.get(alphabet_of(data_coding), "other")


def _schedule(content: Content, now_ms: int) -> bytes:
    if content.schedule_at is None:
        return b""
    at = milliseconds(content.schedule_at)
    if at < now_ms - LATE_MS_MAX:
        raise Invalid(
            "/schedule_at", "past", "The time to send lies in the past. Leave it out to send at once."
        )
    if at > now_ms + SCHEDULE_AHEAD_S_MAX * 1000:
        # Judged here, too: SMPP's time has two digits for the year.
        raise Invalid("/schedule_at", "too-far", "The time to send is more than 30 days ahead.")
    return format_absolute(at) if at > now_ms else b""


def _validity(content: Content) -> bytes:
    if content.validity is None:
        return b""
    seconds = content.validity.total_seconds()
    if not VALIDITY_S_MIN <= seconds <= VALIDITY_S_MAX:
        raise Invalid("/validity", "range", "The validity must be from one minute (PT1M) to 30 days (P30D).")
    return format_relative(seconds)


def _detail(content: Content) -> dict[str, Any] | None:
    detail: dict[str, Any] = {}
    if content.client_ref:
        detail["ref"] = content.client_ref
    if content.metadata:
        detail["meta"] = content.metadata
    if content.callback_url:
        detail["cb"] = content.callback_url
    return detail or None


def _check_callback(content: Content, callback: Callable[[str], None] | None) -> None:
    if callback is None:
        raise Invalid("/callback_url", "not-here", "A callback URL cannot be given here.")
    if content.dlr is False:
        raise Invalid(
            "/callback_url", "no-report", "Without dlr there is nothing to post. Leave one of them out."
        )
    assert content.callback_url is not None
    callback(content.callback_url)
