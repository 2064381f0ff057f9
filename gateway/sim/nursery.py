"""A nursery that lives as long as an object: what SimCarrier, SimEsme and FaultyLink are made of."""

from types import TracebackType
from typing import Self

import trio


class HasNursery:
    """`async with` opens the nursery, leaving cancels it. Override `_opened` to start tasks.

    An error of the body leaves as it is; only errors of the object's own tasks come in an ExceptionGroup.
    """

    async def __aenter__(self) -> Self:
        self._nursery_manager = trio.open_nursery()
        self._nursery = await self._nursery_manager.__aenter__()
        await self._opened()
        return self

    async def _opened(self) -> None:
        """The nursery is open."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._nursery.cancel_scope.cancel()
        await self._nursery_manager.__aexit__(None, None, None)
