"""Deterministic material for benchmarks: texts, sensitive words and blacklisted numbers.

The same seed gives the same material on every machine. Destinations, words and blacklists do not meet, so
every message of a benchmark is accepted and what is measured is the whole path.
"""

from array import array
from pathlib import Path
from random import Random

# Everyday characters: the automaton must walk, but 3 of them in a row almost never spell a word of the list.
COMMON = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经"
    "十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相"
    "全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程展五果"
    "料象员革位入常文总次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期根论运农指几九区强放决西被干做必战先回则"
)
LATIN = "abcdefghijklmnopqrstuvwxyz  aeiou etaoin "

DESTINATION_PREFIX = "8613"  # nine digits follow
BLACKLIST_PREFIX = 8619900000000


def texts(count: int, kind: str, *, characters: tuple[int, int] = (30, 60), seed: int = 7) -> list[str]:
    """`count` texts of that many characters; `kind` is zh (UCS-2) or en (GSM 7 bit)."""
    rng = Random(f"texts/{kind}/{seed}")
    alphabet = COMMON if kind == "zh" else LATIN
    made = []
    for number in range(count):
        length = rng.randint(*characters)
        opening = f"【水闸】编号{number}" if kind == "zh" else f"Notice {number}: "
        made.append((opening + "".join(rng.choices(alphabet, k=length)))[:length])
    return made


def words(count: int, *, seed: int = 7) -> list[str]:
    """`count` different sensitive words of three to six characters."""
    rng = Random(f"words/{seed}")
    made: dict[str, None] = {}
    while len(made) < count:
        made["".join(rng.choices(COMMON, k=rng.randint(3, 6)))] = None
    return list(made)


def write_blacklist(path: Path, count: int, *, seed: int = 7) -> None:
    """`count` different numbers, one a line, none of which a load client sends to."""
    if path.exists():
        return
    # A step that shares no factor with 10**8 visits every number once, in an order that is not sorted.
    step, start = 61_803_399, Random(f"blacklist/{seed}").randrange(10**8)
    numbers = array("q", ((start + step * i) % 10**8 + BLACKLIST_PREFIX for i in range(count)))
    part = path.with_suffix(".part")
    part.write_text("\n".join(map(str, numbers)) + "\n")
    part.rename(path)
