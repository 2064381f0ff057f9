"""Pausing what is queued, a batch at a time, and letting it go on.

A pause is instant: the queues let go what they hold of the batch (`Withheld`). Letting go on is gradual: what
was left out is read from the store and offered to its carriers as fast as their queues have room.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from gateway.outbound import MESSAGE_PARTS_MAX
from gateway.withheld import Ranges
from store.model import Part, State

if TYPE_CHECKING:
    from gateway.core import Core

RESUME_PERIOD_S = 0.05
RESUME_IDLE_S = 0.5  # after a page of which no queue had room for anything
RESUME_PARTS = 2_000  # of one reading: 20 ms in a worker thread; 40,000 a second


def pause(core: "Core", batch: int, ranges: Ranges) -> None:
    """Nothing of these ranges is given to a carrier any more; what a bind has begun it finishes."""
    core.withheld.pause(batch, ranges)
    for carrier in core.carriers.values():
        carrier.queue.withhold()
        carrier.pump()


class Resuming:
    """Brings what was left out back into the queues once its pause is over."""

    def __init__(self, core: "Core", still_allowed: Callable[[list[Part]], Awaitable[list[Part]]]) -> None:
        self._core = core
        self._still_allowed = still_allowed
        self._after = 0  # how far this round came: what finds no room must not stop what stands behind it

    async def run(self) -> None:
        while True:
            await trio.sleep(RESUME_PERIOD_S)
            ids = self._core.withheld.ready(self._after, RESUME_PARTS + MESSAGE_PARTS_MAX)
            if not ids:
                self._after = 0
            elif not await self._go_on(ids):
                await trio.sleep(RESUME_IDLE_S)

    async def _go_on(self, ids: list[int]) -> int:
        """How many of these parts were offered to their carriers."""
        core = self._core
        parts: list[Part] = await core.ports.store.read(lambda s: s.parts(ids))
        parts = self._page(parts)
        self._after = parts[-1].id if parts else ids[-1]
        good = await self._still_allowed([part for part in parts if part.state == State.QUEUED])
        # A claim may still be on its way back to QUEUED; all else has ended, or its day is no longer kept.
        stay = {part.id for part in good} | {part.id for part in parts if part.state == State.CLAIMED}
        core.withheld.forget(part_id for part_id in ids if part_id <= self._after and part_id not in stay)
        # From here on nothing waits: what was cancelled or paused in between is not offered.
        offered: list[Part] = []
        room: dict[tuple[int, int, int], int] = {}
        head = 0  # of the message for whose parts there is room
        for part in good:
            carrier = core.carriers.get(part.carrier)
            if carrier is None or part.id not in core.withheld.waiting:
                continue
            key = (part.carrier, part.lane, part.account)
            if key not in room:
                room[key] = carrier.queue.room_of(part.lane, part.account)
            own_head = part.id - part.part_no + 1
            if own_head != head and room[key] < part.parts:
                continue
            head = own_head
            room[key] -= 1
            offered.append(part)
        core.withheld.forget(part.id for part in offered)
        core.offer(offered)
        return len(offered)

    @staticmethod
    def _page(parts: list[Part]) -> list[Part]:
        """As many as a reading should have, and the last message whole."""
        end = RESUME_PARTS
        while end < len(parts) and parts[end].part_no > 1 and parts[end].id == parts[end - 1].id + 1:
            end += 1
        return parts[:end]
