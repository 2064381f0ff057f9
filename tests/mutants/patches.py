"""Mutants: patches that each put one bug into a copy of the tree, and what must notice it.

A patch begins with lines of "Name: value" and goes on as a unified diff. Its hunks are found by their text, not by
their line numbers, so that they live through changes elsewhere in a file; one whose text is gone, or is there twice,
is an error that names it.
"""

import re
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
PATCHES = Path(__file__).parent
HUNK = re.compile(r"^@@ .*@@.*\n", re.MULTILINE)
FILE = re.compile(r"^--- a/(.+)\n\+\+\+ b/.+\n", re.MULTILINE)


class DoesNotApply(Exception):
    """The code has moved on: the patch must follow it."""


class Mutant(msgspec.Struct):
    name: str
    what: str  # the bug, in words
    breaks: str  # the invariant or promise that it breaks
    store: str  # the level of the simulation that shows it
    test: str  # a test that shows it where the simulation cannot: tests/file.py::name
    files: dict[str, list[tuple[str, str]]]  # path -> (text as it is, text with the bug)


def load_all() -> list[Mutant]:
    return [load(path) for path in sorted(PATCHES.glob("*.patch"))]


def load(path: Path) -> Mutant:
    head, *pieces = FILE.split(path.read_text())
    fields = dict(line.split(": ", 1) for line in head.strip().splitlines())
    files = {name: _hunks(body) for name, body in zip(pieces[::2], pieces[1::2], strict=True)}
    return Mutant(
        path.stem,
        fields["What"],
        fields["Breaks"],
        fields.get("Store", "memory"),
        fields.get("Test", ""),
        files,
    )


def _hunks(body: str) -> list[tuple[str, str]]:
    hunks = []
    for hunk in HUNK.split(body)[1:]:
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        hunks.append((before, after))
    return hunks


def mutated(mutant: Mutant, root: Path = ROOT) -> dict[str, str]:
    """The text of each file with the bug in it. Raises DoesNotApply."""
    texts = {}
    for name, hunks in mutant.files.items():
        text = (root / name).read_text()
        for before, after in hunks:
            if text.count(before) != 1:
                raise DoesNotApply(
                    f"tests/mutants/{mutant.name}.patch: its text is in {name} {text.count(before)} times, not once:"
                    f"\n{before}"
                )
            text = text.replace(before, after)
        texts[name] = text
    return texts
