"""Telephone numbers: every way to write one becomes one canonical integer, its E.164 digits.

8613800138000 is the only form stored, matched and routed. A number written without its country code belongs
to the home country where that country's rules say so; no other country's rules are guessed.
"""

import re
import unicodedata
from enum import StrEnum

import msgspec

from filters.folding import INVISIBLE

DIGITS_MAX = 15  # ITU-T E.164
DIGITS_MIN = 3  # shortest short codes; a national rule cannot be guessed
CHARACTERS_MAX = 64  # of a number as typed, with all its spaces and brackets

TON_INTERNATIONAL, TON_NATIONAL, TON_ALPHANUMERIC = 1, 2, 5  # SMPP 3.4 section 5.2.5


class NotANumber(StrEnum):
    """Why something is no telephone number. The values are stable: they are stored and shown by name."""

    EMPTY = "empty"
    LETTERS = "letters"
    SYMBOLS = "symbols"
    DECIMALS = "decimals"
    SCIENTIFIC = "scientific-notation"
    TOO_SHORT = "too-short"
    TOO_LONG = "too-long"
    NO_COUNTRY = "no-country-code"


SENTENCES: dict[NotANumber, tuple[str, str]] = {  # English, Chinese
    NotANumber.EMPTY: ("There is nothing in it.", "内容为空。"),
    NotANumber.LETTERS: ("It contains letters.", "含有字母或文字。"),
    NotANumber.SYMBOLS: ("It contains a sign that no number has.", "含有号码中不应出现的符号。"),
    NotANumber.DECIMALS: ("It has decimals.", "含有小数。"),
    NotANumber.SCIENTIFIC: (
        "It is in scientific notation: digits were lost. Format the column as text and export again.",
        "科学计数法：号码已丢失数字，请把该列设为文本格式后重新导出。",
    ),
    NotANumber.TOO_SHORT: (f"It has fewer than {DIGITS_MIN} digits.", f"少于{DIGITS_MIN}位数字。"),
    NotANumber.TOO_LONG: (f"It has more than {DIGITS_MAX} digits.", f"超过{DIGITS_MAX}位数字。"),
    NotANumber.NO_COUNTRY: (
        "It begins with 0 and no home country is set. Write the country code.",
        "以0开头且未设置本国区号，请填写国家代码。",
    ),
}


class HomeCountry(msgspec.Struct, frozen=True):
    """How numbers are written at home, without the country code.

    code: country code, digits; "" for no home country.
    national: (prefix, digits) of numbers that are recognised without any prefix: 11 digits beginning with 13.
    trunk: what stands before a national number in place of the country code.
    """

    code: str = ""
    national: tuple[tuple[str, int], ...] = ()
    trunk: str = "0"


# Mobile numbers of mainland China: 11 digits, 13x to 19x (numbering plan of 2017, YD/T 2017).
HOME_COUNTRIES = {"86": HomeCountry("86", tuple((f"1{second}", 11) for second in range(3, 10)))}

# What people put into a number to make it readable.
_READABLE = " \t-()/.\u00a0\u2010\u2011\u2012\u2013\u2014"
_WITHOUT_READABLE = dict.fromkeys(map(ord, INVISIBLE.union(_READABLE)), "")
_TRUNK_IN_BRACKETS = re.compile(r"(\+|00)([^()]*)\(0\)")  # +44 (0)20: the 0 is for callers at home
_SCIENTIFIC = re.compile(r"\d+(?:\.\d+)?e[+-]?\d+", re.IGNORECASE)
_CELL_INTEGER = re.compile(r"([0-9]+)\.0+")  # a spreadsheet's numeric cell, written as a float
_CELL_DECIMALS = re.compile(r"[0-9]+\.[0-9]+")


class Numbering:
    """Canonical numbers under one home country's rules. Immutable.

    Args:
      home_country: a country code of `HOME_COUNTRIES`, any other code (then only the trunk prefix is
        known there), or a HomeCountry with its own rules.
    """

    def __init__(self, home_country: str | HomeCountry = "") -> None:
        if isinstance(home_country, str):
            home_country = HOME_COUNTRIES.get(home_country) or HomeCountry(home_country)
        if home_country.code and not (home_country.code.isascii() and home_country.code.isdigit()):
            raise ValueError(
                f"home country {home_country.code!r} is not a country code: give its digits, such as 86"
            )
        self.home = home_country
        code = home_country.code
        by_length: dict[int, list[bytes]] = {}
        if code:
            for prefix, digits in home_country.national:
                by_length.setdefault(digits, []).append(prefix.encode())
        self._national = {digits: tuple(prefixes) for digits, prefixes in by_length.items()}
        self._offsets: dict[int, int] = {
            digits: int(code or "0") * 10**digits for digits in range(DIGITS_MAX + 1)
        }

    def canonical(self, address: bytes, ton: int = 0) -> int:
        """The canonical number of a destination address on the wire, 0 if it is none.

        `ton` 1 says that the country code is there, 2 that it is not; otherwise the rules at the top decide.
        Cost: 0.3 us for plain digits.
        """
        if address.isdigit() and address[0] != 48 and ton != TON_NATIONAL:
            digits = len(address)
            if (
                ton != TON_INTERNATIONAL
                and digits in self._national
                and address.startswith(self._national[digits])
            ):
                return self._offsets[digits] + int(address)
            return int(address) if DIGITS_MIN <= digits <= DIGITS_MAX else 0
        if address[:1] == b"+" and address[1:].isdigit() and address[1] != 48:
            return self.canonical(address[1:], TON_INTERNATIONAL)
        number = self._unusual(address.decode("utf-8", "replace"), ton)
        return number if isinstance(number, int) else 0

    def canonical_text(self, text: str) -> int | NotANumber:
        """The canonical number of what a person typed or a file holds, or why it is none."""
        if text.isascii() and text.isdigit() and (number := self.canonical(text.encode())):
            return number
        return self._unusual(text, 0)

    def _unusual(self, text: str, ton: int) -> int | NotANumber:
        text = text.strip()
        if not text:
            return NotANumber.EMPTY
        if len(text) > CHARACTERS_MAX:
            return NotANumber.TOO_LONG
        text = unicodedata.normalize("NFKC", text).strip()
        if _SCIENTIFIC.fullmatch(text):
            return NotANumber.SCIENTIFIC
        if cell := _CELL_INTEGER.fullmatch(text):
            text = cell[1]
        elif _CELL_DECIMALS.fullmatch(text):
            return NotANumber.DECIMALS
        text = _TRUNK_IN_BRACKETS.sub(r"\1\2", text).translate(_WITHOUT_READABLE)
        if text.startswith("+"):
            text, ton = text[1:], TON_INTERNATIONAL
        if not (text.isascii() and text.isdigit()):
            return NotANumber.LETTERS if any(map(str.isalpha, text)) else NotANumber.SYMBOLS
        if text.startswith("00"):
            text, ton = text[2:], TON_INTERNATIONAL
        home = self.home
        if ton != TON_INTERNATIONAL:
            trunk = bool(home.trunk) and text.startswith(home.trunk)
            if trunk and home.code:
                text = home.code + text[len(home.trunk) :]
            elif self._is_national(text) or (
                ton == TON_NATIONAL and home.code and not self._has_home_code(text)
            ):
                text = home.code + text
        if text.startswith("0"):
            return NotANumber.NO_COUNTRY
        if len(text) < DIGITS_MIN:
            return NotANumber.TOO_SHORT
        if len(text) > DIGITS_MAX:
            return NotANumber.TOO_LONG
        return int(text)

    def _is_national(self, digits: str) -> bool:
        return digits.encode().startswith(self._national.get(len(digits), ()))

    def _has_home_code(self, digits: str) -> bool:
        """Whether a number said to be national has its country code all the same, by mistake."""
        return digits.startswith(self.home.code) and self._is_national(digits[len(self.home.code) :])


_STRONG_SEPARATORS = re.compile(r"[,，、;；|\n\r\t\u2028\u2029]+")
_BEFORE_PLUS = re.compile(r"\s+(?=[+＋])")
_FULL_DIGITS_MIN = 7  # as many digits alone are a number already
_GROUP_DIGITS_MAX = 4  # as few are only a group of one


def split_numbers(text: str) -> list[str]:
    """The numbers in what a person typed into one box, as typed, in order; nothing is judged yet.

    Commas, semicolons, `、`, `|`, tabs and line ends separate, and so do spaces, unless they group the digits
    of one number: "138 0013 8000" and "+86 13800138000" are one, "10086 10010" are two.
    """
    numbers: list[str] = []
    for entry in _STRONG_SEPARATORS.split(text):
        for written in _BEFORE_PLUS.split(entry.strip()):
            groups = written.split()
            numbers += [written.strip()] if len(groups) > 1 and _is_one_number(groups) else groups
    return numbers


def _is_one_number(groups: list[str]) -> bool:
    digits = [sum(map(str.isdigit, group)) for group in groups]
    if sum(digits) > DIGITS_MAX:
        return False
    if groups[0].startswith(("+", "＋", "00")):
        return True
    return max(digits) < _FULL_DIGITS_MIN <= sum(digits) and min(digits) <= _GROUP_DIGITS_MAX
