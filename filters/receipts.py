"""What a carrier's delivery receipt means, for people: its `stat` word and its `err`, in two languages.

The words are those of SMPP 3.4 appendix B. `err` is each carrier's own; many put the number of a MAP error there (3GPP
TS 29.002), and so those are told as what they usually mean, never as what they are. The raw code is always kept.
"""

from pathlib import Path


def _read() -> dict[tuple[str, str], tuple[str, str]]:
    lines = (Path(__file__).parent / "data" / "receipts.txt").read_text("utf-8").splitlines()
    table = {}
    for line in lines:
        if not line.startswith("#"):
            kind, code, en, zh = line.split(" | ")
            table[kind, code] = (en, zh)
    return table


_TABLE = _read()
STATES = tuple(code for kind, code in _TABLE if kind == "stat")
MAP_ERRORS = tuple(int(code) for kind, code in _TABLE if kind == "map")


def explain_stat(word: str, language: str = "en") -> str:
    """A receipt's `stat` in words, the word itself last; a word that no standard has says so."""
    chinese = language.startswith("zh")
    known = _TABLE.get(("stat", word.upper()))
    if known:
        return f"{known[1]}（{word}）" if chinese else f"{known[0]} ({word})"
    if chinese:
        return f"运营商自定义的状态，请查阅其文档。（{word}）"
    return f"A state of this carrier's own; its manual explains it. ({word})"


def explain_network_error(error: int, language: str = "en") -> str:
    """A receipt's error number in words, `err N` last."""
    chinese = language.startswith("zh")
    known = _TABLE.get(("map", str(error)))
    if known:
        return f"通常表示：{known[1]}（err {error}）" if chinese else f"Usually: {known[0]} (err {error})"
    if chinese:
        return f"网络返回的错误码，含义见运营商文档。（err {error}）"
    return f"The network's own error; the carrier's manual explains it. (err {error})"
