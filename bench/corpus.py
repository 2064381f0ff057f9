"""Deterministic material for benchmarks: sensitive words and blacklisted numbers.

The same seed gives the same material on every machine. Destinations, words and blacklists do not meet, so
every message of a benchmark is accepted and what is measured is the whole path.
"""

from array import array
from pathlib import Path
from random import Random

from gateway.sim.texts import COMMON

DESTINATION_PREFIX = "8613"  # nine digits follow
BLACKLIST_PREFIX = 8619900000000


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
