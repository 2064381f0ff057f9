"""CPU time of screening one message: sensitive words, blacklists, canonical numbers, senders.

10,000 words (Chinese, English, phrases, mixed, telephone numbers), texts of 60 characters, 1,000,000 blacklisted
numbers. Figures are microseconds of this process's CPU a message, the median of several repeats; building and
loading are seconds, once.
"""

import time
from collections.abc import Callable, Sequence
from random import Random
from statistics import median
from typing import Any

from bench.corpus import words as chinese_words
from filters.blacklist import GLOBAL, GROUP, TYPE, Blacklists, Scope
from filters.numbers import Numbering
from filters.senders import SenderPolicy
from filters.words import Word, WordSet, mask
from gateway.sim.texts import COMMON

WORDS = 10_000
NUMBERS = 1_000_000
TEXTS = 1_000
TEXT_CHARACTERS = 60
REPEATS = 7

_EVERYDAY = (
    "your verification code is valid for ten minutes please do not share this with anyone thank you for shopping"
    " order has been shipped track online meeting tomorrow at noon call back later welcome account balance today"
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MIB = 1024 * 1024


def make_words(count: int = WORDS, *, seed: int = 7) -> list[Word]:
    """`count` words as a long list has them: nine in ten Chinese, the rest of every other kind."""
    rng = Random(f"filters/{seed}")

    def latin(low: int, high: int) -> str:
        return "".join(rng.choices(_LETTERS, k=rng.randint(low, high)))

    tenth = count // 10
    texts = list(chinese_words(count - tenth, seed=seed))
    texts += [latin(4, 9) for _ in range(tenth - 3 * (tenth // 5))]
    texts += [f"{latin(3, 6)} {latin(3, 6)}" for _ in range(tenth // 5)]
    texts += [f"加{latin(2, 4)}" for _ in range(tenth // 5)]
    texts += [str(rng.randrange(13_000_000_000, 20_000_000_000)) for _ in range(tenth // 5)]
    return [Word(text) for text in texts]


def make_texts(words: WordSet, kind: str, count: int = TEXTS, *, seed: int = 7) -> list[str]:
    """Clean texts of 60 characters: `zh` with Chinese punctuation, `en` of everyday words."""
    rng = Random(f"filters/{kind}/{seed}")
    made: list[str] = []
    while len(made) < count:
        if kind == "zh":
            text = f"【水闸】{''.join(rng.choices(COMMON, k=24))}，{''.join(rng.choices(COMMON, k=40))}"
        else:
            text = f"Notice {rng.randrange(10**6)}: {' '.join(rng.choices(_EVERYDAY.split(), k=20))}"
        text = text[: TEXT_CHARACTERS - 1] + ("。" if kind == "zh" else ".")
        if words.scan(text) is None:
            made.append(text)
    return made


def _cpu_us(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Microseconds of CPU that `work` takes for one of the items."""
    samples = []
    for _ in range(REPEATS + 1):
        started = time.process_time()
        for item in items:
            work(item)
        samples.append(time.process_time() - started)
    return median(samples[1:]) * 1e6 / len(items)


def _word_figures(count: int) -> dict[str, float]:
    words = make_words(count)
    WordSet(words[:1])  # the folding table, made once a process
    started = time.process_time()
    word_set = WordSet(words)
    built_s = time.process_time() - started
    zh, en = make_texts(word_set, "zh"), make_texts(word_set, "en")
    hit = [text[:30] + word.text + text[30:] for text, word in zip(zh, words, strict=False)]
    apart = [text[:30] + "*".join(word.text) + text[30:] for text, word in zip(zh, words, strict=False)]

    def masked(text: str) -> str:
        hits = word_set.scan(text)
        assert hits is not None
        return mask(text, hits.spans)

    return {
        "words_clean_zh_us": _cpu_us(word_set.scan, zh),
        "words_clean_en_us": _cpu_us(word_set.scan, en),
        "words_hit_and_masked_us": _cpu_us(masked, hit),
        "words_hit_in_disguise_us": _cpu_us(masked, apart),
        "words_folded_anyway_us": _cpu_us(word_set.scan_thoroughly, zh[:200]),
        "words_build_s": built_s,
        "words_automaton_mib": word_set.statistics().automaton_octets / _MIB,
    }


def _blacklist_figures(count: int) -> dict[str, float]:
    rng = Random("filters/blacklist")
    blacklists = Blacklists()
    numbers = [8613000000000 + rng.randrange(7_000_000_000) for _ in range(count)]
    started = time.process_time()
    blacklists.replace(Scope(GLOBAL), numbers)
    built_s = time.process_time() - started
    blob = blacklists.serialize(Scope(GLOBAL))
    started = time.process_time()
    blacklists.deserialize(Scope(GLOBAL), blob)
    loaded_s = time.process_time() - started
    blacklists.replace(Scope(TYPE, "api"), numbers[: count // 10])
    blacklists.replace(Scope(GROUP, 7), numbers[: count // 10])
    clean = [8613000000000 + rng.randrange(7_000_000_000) for _ in range(20_000)]
    return {
        "blacklist_clean_us": _cpu_us(lambda number: blacklists.check(number, (7, 1), "api"), clean),
        "blacklist_listed_us": _cpu_us(
            lambda number: blacklists.check(number, (7, 1), "api"), numbers[:20_000]
        ),
        "blacklist_build_s": built_s,
        "blacklist_load_s": loaded_s,
        "blacklist_blob_mib": len(blob) / _MIB,
    }


def run(words: int = WORDS, numbers: int = NUMBERS) -> dict[str, float]:
    """Each figure by name, with so many words and blacklisted numbers; the unit is the name's end."""
    canonical = Numbering("86").canonical
    allowed = SenderPolicy(("10690*", "SLUICE")).allowed
    full = [b"86138%08d" % number for number in range(10_000)]
    return {
        **_word_figures(words),
        **_blacklist_figures(numbers),
        "number_full_us": _cpu_us(lambda address: canonical(address, 1), full),
        "number_national_us": _cpu_us(lambda address: canonical(address, 0), [each[2:] for each in full]),
        "number_plus_us": _cpu_us(lambda address: canonical(address, 1), [b"+" + each for each in full]),
        "sender_us": _cpu_us(allowed, [b"SLUICE"] * 10_000),
    }
