"""Octets as a row of choices: the same octets always choose the same, so that an input is a whole test case."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Reader:
    """Takes choices from the front; when the octets are used up, every choice is the first one."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._octets) - self._at

    def octet(self) -> int:
        if not self.left:
            return 0
        self._at += 1
        return self._octets[self._at - 1]

    def flag(self) -> bool:
        return bool(self.octet() & 1)

    def choice(self, values: Sequence[T]) -> T:
        return values[self.octet() % len(values)]

    def some(self) -> bytes:
        """A piece that says its own length."""
        size = self.octet()
        return self.take(size)

    def take(self, size: int) -> bytes:
        piece = self._octets[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def rest(self) -> bytes:
        return self.take(self.left)


def pieces(octets: bytes, size: int) -> list[bytes]:
    """Cut into pieces of `size` octets; 0 leaves it whole."""
    step = size or max(1, len(octets))
    return [octets[at : at + step] for at in range(0, len(octets), step)]
