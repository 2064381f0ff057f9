"""What a carrier's command_status means, for people: name, whether to try again, and a sentence in two languages.

The names are those of SMPP 5.0 section 4.7.6 with the values of SMPP 3.4 section 5.1.3; the sentences say what
the field means by them. Vendors add their own from 0x400 to 0x4FF and use reserved ones; `explain_status` has
words for any value.
"""

from pathlib import Path

import msgspec


class CarrierStatus(msgspec.Struct, frozen=True):
    """One command_status. `permanent`: sending the same message again will not help."""

    name: str
    permanent: bool
    en: str
    zh: str


def _read() -> dict[int, CarrierStatus]:
    lines = (Path(__file__).parent / "data" / "statuses.txt").read_text("utf-8").splitlines()
    table = {}
    for line in lines:
        if not line.startswith("#"):
            status, name, kind, en, zh = line.split(" | ")
            table[int(status, 16)] = CarrierStatus(name, kind == "p", en, zh)
    return table


STATUSES: dict[int, CarrierStatus] = _read()

_VENDOR = range(0x400, 0x500)


def status_name(status: int) -> str:
    """The name of any command_status: `ESME_RTHROTTLED`, or `0x04A1` for one that has none."""
    known = STATUSES.get(status)
    return known.name if known else f"0x{status & 0xFFFFFFFF:04X}"


def explain_status(status: int, language: str = "en") -> str:
    """Any command_status in words, its name or number last."""
    chinese = language.startswith("zh")
    if known := STATUSES.get(status):
        return f"{known.zh}（{known.name}）" if chinese else f"{known.en} ({known.name})"
    name = status_name(status)
    if status in _VENDOR:
        if chinese:
            return f"运营商自定义的错误，请查阅其文档。（{name}）"
        return f"An error of this carrier's own; its manual explains it. ({name})"
    if chinese:
        return f"运营商返回了未定义的错误，请向其查询。（{name}）"
    return f"The carrier gave an error that no standard defines. Ask it. ({name})"
