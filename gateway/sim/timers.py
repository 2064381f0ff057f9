"""Actions at moments, all run by one task: the simulators' only clockwork."""

from collections.abc import Callable
from heapq import heappop, heappush

import trio


class Timers:
    """A heap of moments. `at` may be called from anywhere in the loop; `run` is the one task."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0  # keeps equal moments in the order of `at`
        self._wake = trio.Event()

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Call `action` at `moment` (trio's clock), or soon after."""
        self._count += 1
        heappush(self._heap, (moment, self._count, action))
        if self._heap[0][1] == self._count:
            self._wake.set()

    def __len__(self) -> int:
        return len(self._heap)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            now = trio.current_time()
            while self._heap and self._heap[0][0] <= now:
                heappop(self._heap)[2]()
            until = self._heap[0][0] if self._heap else float("inf")
            with trio.move_on_at(until):
                await self._wake.wait()
            self._wake = trio.Event()
