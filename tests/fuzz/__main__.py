"""Fuzzes with atheris: `python -m tests.fuzz [--seconds N] [--keep] [TARGET ...]`; `make fuzz` calls it.

One process at a time, niced; the seconds are shared among the targets. A fault ends its target: the input is printed
as a line for its corpus, and the exit code is 1. `--keep` adds to the corpora what reached code that they did not.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from .corpus import KEPT_INPUTS_MAX, KEPT_OCTETS_MAX, add, read
from .targets import TARGETS

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".fuzz"
INPUT_S_MAX = 10  # an input that takes longer is a fault: something grows faster than its input
MEMORY_MIB_MAX = 1_500
FOUND = ("crash-", "timeout-", "oom-")


def libfuzzer(name: str, *arguments: str) -> str:
    """What libFuzzer said."""
    command = [sys.executable, "-m", "tests.fuzz.one", name, *arguments]
    run = subprocess.run(
        command, cwd=ROOT, stderr=subprocess.PIPE, preexec_fn=lambda: os.nice(19), check=False
    )
    return run.stderr.decode("utf-8", "replace")


def fuzz(name: str, seconds: int) -> tuple[int, list[Path], str]:
    """How many inputs were tried, those that broke the law, and libFuzzer's log."""
    corpus = WORK / name / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for n, octets in enumerate(read(name)):
        (corpus / f"kept-{n}").write_bytes(octets)
    for old in (WORK / name).glob("*-*"):
        old.unlink()
    said = libfuzzer(
        name,
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_S_MAX}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
        f"-artifact_prefix={WORK / name}/",
        "-print_final_stats=1",
        str(corpus),
    )
    tried = re.search(r"number_of_executed_units: (\d+)", said)
    found = sorted(path for path in (WORK / name).iterdir() if path.name.startswith(FOUND))
    return int(tried[1]) if tried else 0, found, said


def keep(name: str) -> int:
    """Put inputs of every length, out of those that together reach everything, into the corpus; how many."""
    least = WORK / name / "least"
    least.mkdir(exist_ok=True)
    for old in least.iterdir():
        old.unlink()
    libfuzzer(name, "-merge=1", str(least), str(WORK / name / "corpus"))
    inputs = sorted((path.read_bytes() for path in least.iterdir()), key=lambda octets: (len(octets), octets))
    inputs = [octets for octets in inputs if len(octets) <= KEPT_OCTETS_MAX]
    return add(name, inputs[:: max(1, -(-len(inputs) // KEPT_INPUTS_MAX))])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3_600, help="for all targets together")
    parser.add_argument("--keep", action="store_true", help="add what is new to the corpora")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    asked = parser.parse_args()
    if unknown := set(asked.targets) - TARGETS.keys():
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    names = asked.targets or list(TARGETS)
    share_s = max(1, asked.seconds // len(names))
    print(f"{'target':<16}{'inputs':>12}  found", flush=True)
    wrong = 0
    for name in names:
        tried, found, said = fuzz(name, share_s)
        print(f"{name:<16}{tried:>12,}  {len(found) or '-'}", flush=True)
        if found or not tried:
            wrong += 1
            print(said[-4_000:])
            for path in found:
                print(f"{path.name}: tests/fuzz/corpus/{name}.txt: {path.read_bytes().hex()}")
        if asked.keep:
            print(f"{'':<16}{keep(name):>12,}  new in the corpus", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
