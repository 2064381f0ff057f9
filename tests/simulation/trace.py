"""Everything that happened in a run, in order: (seconds, actor, what, details)."""

import hashlib
from collections.abc import Iterable
from typing import Any

Entry = tuple[float, str, str, tuple[Any, ...]]


class Trace:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, at: float, actor: str, what: str, *details: Any) -> None:
        self.entries.append((at, actor, what, details))

    def digest(self) -> str:
        """The same for two runs that did the same."""
        digest = hashlib.sha256()
        for entry in self.entries:
            digest.update(repr(entry).encode())
        return digest.hexdigest()[:16]

    def lines(self, about: Iterable[str] = ()) -> list[str]:
        """The merged timeline; with `about`, only the lines that mention one of these."""
        wanted = list(about)
        lines = (
            f"{at:10.4f}  {actor:<12} {what:<18} {' '.join(map(str, details))}"
            for at, actor, what, details in self.entries
        )
        return [line for line in lines if not wanted or any(word in line for word in wanted)]
