"""Matching the id in a receipt to the id in a submit_sm_resp, and learning how a carrier writes both.

An smsc_message_id is opaque (SMPP 3.4 section 5.2.23), but several SMSCs answer with hexadecimal and report
in zero-padded decimal, or change case, or drop zeros. Stored and looked up is a normal form: lower case, no
leading zeros. Ids of a carrier's response are always stored in that one form, whatever the rule, so a rule
can be changed or learnt while messages are open; rules differ in what a receipt's id is looked up as.

Digits alone are a number in either base, so nothing is converted on suspicion: either the operator's rule
says so, or `HabitLearner` has seen enough pairs that only one conversion explains.
"""

from typing import Literal, get_args

import msgspec

Rule = Literal["auto", "same", "dec", "hex", "hex-response-dec-receipt", "dec-response-hex-receipt"]
RULES: tuple[str, ...] = get_args(Rule)

HEX_DEC = "hex-response-dec-receipt"
DEC_HEX = "dec-response-hex-receipt"

# Longest decimal or hexadecimal id that is converted: 64 characters is the field (SMPP 3.4 section 5.2.23).
# It also keeps int() far from its quadratic range.
_CONVERTED_CHARACTERS_MAX = 64
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


def response_key(smsc_message_id: str, rule: str = "auto") -> str:
    """The form a submit_sm_resp's id is stored under, "" for an empty one (the message is untrackable).

    Every rule but "same" (which keeps the id as it is) gives lower case without leading zeros.
    """
    if rule == "same":
        return smsc_message_id
    return smsc_message_id.lstrip("0").lower() or smsc_message_id[:1]


def normal_forms(smsc_message_id: str, rule: str = "auto", *, from_tlv: bool = False) -> tuple[str, ...]:
    """The keys a receipt's id is looked up by, in this order; () for an empty id.

    Args:
      smsc_message_id: `ReceiptFields.message_id`.
      rule: one of RULES. "auto" and "hex": the normal form. "dec": the number, so that signs and spaces go
        too. "hex-response-dec-receipt": the number in hexadecimal, then the normal form, for receipts of the
        same carrier that repeat the response's form; the reverse for "dec-response-hex-receipt".
      from_tlv: the id is that of the receipted_message_id TLV. Carriers that mix bases put the response's
        form there, so the normal form comes first.
    """
    if rule == "auto" or rule == "hex":
        key = smsc_message_id.lstrip("0").lower() or smsc_message_id[:1]
        return (key,) if key else ()
    if not smsc_message_id:
        return ()
    if rule == "same":
        return (smsc_message_id,)
    key = response_key(smsc_message_id)
    converted = _CONVERSIONS[rule](smsc_message_id)
    if converted is None or converted == key:
        return (key,)
    return (key, converted) if from_tlv else (converted, key)


def _dec_to_dec(receipt_id: str) -> str | None:
    number = _number(receipt_id.strip(" +"), 10)
    return None if number is None else str(number)


def dec_to_hex(receipt_id: str) -> str | None:
    """The normal form of the hexadecimal response id that a decimal receipt id stands for, or None."""
    number = _number(receipt_id, 10)
    return None if number is None else f"{number:x}"


def hex_to_dec(receipt_id: str) -> str | None:
    """The normal form of the decimal response id that a hexadecimal receipt id stands for, or None."""
    number = _number(receipt_id, 16)
    return None if number is None else str(number)


def _number(text: str, base: int) -> int | None:
    if not text or len(text) > _CONVERTED_CHARACTERS_MAX:
        return None
    if base == 10:
        return int(text) if text.isascii() and text.isdigit() else None
    return int(text, 16) if _HEX_DIGITS.issuperset(text) else None


_CONVERSIONS = {"dec": _dec_to_dec, HEX_DEC: dec_to_hex, DEC_HEX: hex_to_dec}


class Habit(msgspec.Struct, frozen=True):
    """What a carrier was seen to do, for showing: the rule that is believed, and pairs by kind.

    `padded_to` is the width of the last receipt id that had leading zeros, 0 if none had.
    """

    rule: str
    learnt: bool
    same: int
    case: int
    zeros: int
    hex_dec: int
    dec_hex: int
    other: int
    padded_to: int


class HabitLearner:
    """Learns from matched pairs which conversion a carrier's receipts need.

    Feed it every pair that is certain: matched by TLV, while the text has another form; or by a key of
    `trials` whose destination agreed. After `pairs_needed` pairs in a row that one conversion explains (and
    equality does not) the rule changes to it; pairs that are simply equal prove nothing against it, since
    small numbers are equal in both bases and TLVs repeat the response. A configured rule other than "auto" is
    never changed. One per carrier; not per bind, which share an id space.
    """

    __slots__ = (
        "_candidate", "_streak", "case", "configured", "dec_hex", "hex_dec", "other", "padded_to",
        "pairs_needed", "rule", "same", "zeros",
    )  # fmt: skip

    def __init__(self, configured: str = "auto", *, pairs_needed: int = 3) -> None:
        """`configured`: one of RULES. `pairs_needed`: 3, as chance agreement of two bases is negligible."""
        if configured not in RULES:
            raise ValueError(f"message_id = {configured!r}: one of {', '.join(RULES)}")
        self.configured = configured
        self.rule = configured
        self.pairs_needed = pairs_needed
        self.same = self.case = self.zeros = self.hex_dec = self.dec_hex = self.other = 0
        self.padded_to = 0
        self._candidate = ""
        self._streak = 0

    def keys(self, receipt_id: str, *, from_tlv: bool = False) -> tuple[str, ...]:
        """`normal_forms` under the rule believed now."""
        rule = self.rule
        if rule == "auto":
            key = receipt_id.lstrip("0").lower() or receipt_id[:1]
            return (key,) if key else ()
        return normal_forms(receipt_id, rule, from_tlv=from_tlv)

    def trials(self, receipt_id: str) -> tuple[str, ...]:
        """Keys worth trying when `keys` found nothing: the conversions that are not believed yet.

        A hit counts only if the destination of the message it finds is the receipt's source; then call
        `matched` with the pair. Empty for a configured rule.
        """
        if self.configured != "auto":
            return ()
        tried = self.keys(receipt_id)
        converted = (dec_to_hex(receipt_id), hex_to_dec(receipt_id))
        return tuple(key for key in dict.fromkeys(converted) if key is not None and key not in tried)

    def matched(self, response_id: str, receipt_id: str) -> bool:
        """Take one certain pair, both ids as they came; True if the rule changed. 0.1 us for equal ids."""
        if response_id == receipt_id:
            self.same += 1
            return False
        return self._differing(response_id, receipt_id)

    def _differing(self, response_id: str, receipt_id: str) -> bool:
        if not response_id or not receipt_id:
            return False
        key = response_key(response_id)
        if key == response_key(receipt_id):
            if response_id.lower() == receipt_id.lower():
                self.case += 1
            else:
                self.zeros += 1
                self._note_padding(receipt_id)
            return False
        if dec_to_hex(receipt_id) == key:
            self.hex_dec += 1
            self._note_padding(receipt_id)
            return self._seen(HEX_DEC)
        if hex_to_dec(receipt_id) == key:
            self.dec_hex += 1
            return self._seen(DEC_HEX)
        self.other += 1
        return False

    def _note_padding(self, receipt_id: str) -> None:
        if receipt_id[0] == "0":
            self.padded_to = len(receipt_id)

    def _seen(self, rule: str) -> bool:
        self._streak = self._streak + 1 if rule == self._candidate else 1
        self._candidate = rule
        if self.configured != "auto" or self._streak < self.pairs_needed or self.rule == rule:
            return False
        self.rule = rule
        return True

    def habit(self) -> Habit:
        """What is believed and how often each kind of pair was seen, for the carrier's page and metrics."""
        return Habit(
            rule=self.rule,
            learnt=self.rule != self.configured,
            same=self.same,
            case=self.case,
            zeros=self.zeros,
            hex_dec=self.hex_dec,
            dec_hex=self.dec_hex,
            other=self.other,
            padded_to=self.padded_to,
        )

    def to_dict(self) -> dict[str, object]:
        """Plain values to persist; the reverse of `from_dict`."""
        return {name.lstrip("_"): getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, saved: dict[str, object], *, configured: str = "auto") -> "HabitLearner":
        """The learner as persisted; a rule learnt under another configuration is forgotten, counts stay."""
        learner = cls(configured)
        state = msgspec.convert(saved, _Saved)
        for name in ("same", "case", "zeros", "hex_dec", "dec_hex", "other", "padded_to", "pairs_needed"):
            setattr(learner, name, getattr(state, name))
        if state.configured == configured and state.rule in RULES:
            learner.rule = state.rule
            learner._candidate = state.candidate
            learner._streak = state.streak
        return learner


class _Saved(msgspec.Struct):
    configured: str = "auto"
    rule: str = "auto"
    candidate: str = ""
    streak: int = 0
    same: int = 0
    case: int = 0
    zeros: int = 0
    hex_dec: int = 0
    dec_hex: int = 0
    other: int = 0
    padded_to: int = 0
    pairs_needed: int = 3
