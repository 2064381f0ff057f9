"""Stores without a thread of their own apply one round after the other."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from store.model import Changes
from store.port import Applied


class OneByOne(ABC):
    """`apply_all` of `gateway/ports.py`'s StorePort by means of `apply`."""

    @abstractmethod
    async def apply(self, changes: Changes) -> Applied: ...

    async def apply_all(self, take: Callable[[], Changes | None], applied: Callable[[Applied], None]) -> None:
        while (changes := take()) is not None:
            applied(await self.apply(changes))
