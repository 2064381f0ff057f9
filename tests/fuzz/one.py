"""Fuzzes one target with atheris in this process: `python -m tests.fuzz.one TARGET libFuzzer's arguments`.

The code under test is imported under atheris, which counts the branches taken; an input that takes a new one is kept.
"""

import sys

import atheris

with atheris.instrument_imports(include=["gateway", "tests.fuzz"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name, *arguments = sys.argv[1:]
    target = TARGETS[name]
    # libFuzzer calls itself by this when it merges.
    itself = f"{sys.executable} -m tests.fuzz.one {name}"
    atheris.Setup([itself, f"-max_len={target.octets_max}", *arguments], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
