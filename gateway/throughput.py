"""What went through in each of the last seconds: a ring that the console draws."""

from collections import deque
from typing import NamedTuple

SECONDS_KEPT = 900


class Totals(NamedTuple):
    """Counters since the start."""

    accepted: int  # messages taken from customers and tasks
    taken: int  # parts that carriers accepted
    receipts: int


class Second(NamedTuple):
    """One second: what was added in it, and what waited for a carrier at its end."""

    at: int  # UTC seconds
    accepted: int
    taken: int
    receipts: int
    queued: int


class Throughput:
    """Sampled once a second by the housekeeping; at most `SECONDS_KEPT` seconds are kept."""

    def __init__(self) -> None:
        self._seconds: deque[Second] = deque(maxlen=SECONDS_KEPT)
        self._before: Totals | None = None

    def sample(self, at: int, totals: Totals, queued: int) -> None:
        """The counters now; `at` in UTC seconds. A second that comes twice, or earlier, is left out."""
        before, self._before = self._before, totals
        if before is None or (self._seconds and at <= self._seconds[-1].at):
            return
        # An account or carrier that is gone takes its counter with it.
        accepted, taken, receipts = (max(0, now - then) for now, then in zip(totals, before, strict=True))
        self._seconds.append(Second(at, accepted, taken, receipts, queued))

    def since(self, at: int) -> list[Second]:
        """The seconds after `at`, oldest first."""
        return [second for second in self._seconds if second.at > at]
