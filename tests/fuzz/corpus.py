"""Inputs that are worth trying again: a text file a target, an input a line, in hex; `#` begins a comment."""

from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).with_name("corpus")
KEPT_INPUTS_MAX = 60
KEPT_OCTETS_MAX = 400  # of one input: a fault that needs more has a test of its own


def read(name: str) -> list[bytes]:
    """The inputs of a target, in the order of the file."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="ascii").splitlines()
    return [bytes.fromhex(line.partition("#")[0]) for line in lines if line and not line.startswith("#")]


def add(name: str, inputs: Iterable[bytes]) -> int:
    """Write those that are not there yet, as long as there is room; how many those were."""
    path = FOLDER / f"{name}.txt"
    known = read(name) if path.exists() else []
    new = [octets for octets in inputs if len(octets) <= KEPT_OCTETS_MAX and octets not in known]
    new = new[: max(0, KEPT_INPUTS_MAX - len(known))]
    with path.open("a", encoding="ascii") as file:
        file.writelines(f"{octets.hex()}\n" for octets in new if octets)
    return len(new)
