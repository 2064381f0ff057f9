"""One receiver's health: how many requests may run at once, how soon after a failure, and when it asked for time.

A *lane* is what fails together: a scheme, host and port, as one endpoint calls it. Five failures in a row open its
circuit: then one request at a time tries whether the receiver is back, at growing intervals. An answer that says
"slow down" (429, 502, 504) leaves one request at a time, with gaps that double with each such answer and halve with
each success.
"""

import math
from collections.abc import Callable

import trio

FAILURES_TO_OPEN = 5
OPEN_S_MIN, OPEN_S_MAX = 5.0, 300.0
SLOW_S_MIN, SLOW_S_MAX = 1.0, 60.0


class Lane:
    """Takes and gives back places. `acquire` waits; the rest is synchronous."""

    def __init__(self, concurrency: int, now: Callable[[], float]) -> None:
        self.concurrency = concurrency
        self._now = now
        self._changed = trio.Event()
        self.in_flight = 0
        self.failures = 0  # in a row
        self.slow_s = 0.0  # gap between requests
        self.closed_until = -math.inf

    @property
    def open_circuit(self) -> bool:
        """Whether it has failed so often that only one request at a time may try."""
        return self.failures >= FAILURES_TO_OPEN

    def has_room(self) -> bool:
        """Whether a request may begin now."""
        most = 1 if self.open_circuit or self.slow_s else self.concurrency
        return self.in_flight < most and self._now() >= self.closed_until

    async def acquire(self) -> None:
        """Wait for a place. First come, first served is not promised."""
        while not self.has_room():
            changed = self._changed
            # A place that is free but closed opens by itself; otherwise somebody has to give one back.
            with trio.move_on_at(max(self.closed_until, self._now() + 0.001) if self._closed() else math.inf):
                await changed.wait()
        self.in_flight += 1

    def _closed(self) -> bool:
        return self._now() < self.closed_until

    def release(self) -> None:
        """Give a place back."""
        self.in_flight -= 1
        self._wake()

    def set_concurrency(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self._wake()

    def succeeded(self) -> None:
        """A request was taken."""
        self.failures = 0
        if self.slow_s:
            self.slow_s = self.slow_s / 2 if self.slow_s > SLOW_S_MIN else 0.0
            self.closed_until = self._now() + self.slow_s
        self._wake()

    def failed(self, *, slow: bool, retry_after_s: float, jitter: float) -> None:
        """A request was not taken.

        Args:
          slow: the receiver asked for fewer requests.
          retry_after_s: what it asked for, 0 for nothing.
          jitter: 0 to 1.
        """
        now = self._now()
        self.failures += 1
        pause = retry_after_s
        if slow:
            self.slow_s = min(SLOW_S_MAX, max(SLOW_S_MIN, self.slow_s * 2))
            pause = max(pause, self.slow_s)
        if self.open_circuit:
            doubled = OPEN_S_MIN * 2 ** min(self.failures - FAILURES_TO_OPEN, 10)
            pause = max(pause, min(OPEN_S_MAX, doubled) * (0.9 + 0.2 * jitter))
        self.closed_until = max(self.closed_until, now + pause)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
