"""Latencies as counts in fixed buckets: what a message costs to note is one bisect.

The daemon keeps one `Latencies`; whoever answers a message calls `observe` with the milliseconds that it took,
once for each batch that was answered together. `/metrics` reads the counts.
"""

from bisect import bisect_left
from collections.abc import Sequence

# Up to the promises' figures in fine steps (accept p99 of 10 and 25 ms), then out to where a client gives up.
BOUNDS_MS = (1.0, 2.0, 5.0, 10.0, 15.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0)
# A receipt takes as long as a handset is off.
RECEIPT_BOUNDS_MS = (
    10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 30_000.0, 60_000.0, 300_000.0,
    3_600_000.0, 86_400_000.0,
)  # fmt: skip


class Latency:
    """One histogram. `counts[i]` holds what took at most `bounds_ms[i]`, the last one everything longer."""

    __slots__ = ("bounds_ms", "counts", "sum_ms")

    def __init__(self, bounds_ms: Sequence[float] = BOUNDS_MS) -> None:
        self.bounds_ms = tuple(bounds_ms)
        self.counts = [0] * (len(self.bounds_ms) + 1)
        self.sum_ms = 0.0

    def observe(self, ms: float, count: int = 1) -> None:
        """`count` of them took `ms`."""
        self.counts[bisect_left(self.bounds_ms, ms)] += count
        self.sum_ms += ms * count

    @property
    def count(self) -> int:
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """The bound (ms) that this share of all stayed within; inf beyond the last one, 0 without any."""
        wanted = share * self.count
        if not wanted:
            return 0.0
        seen = 0
        for bound, count in zip(self.bounds_ms, self.counts, strict=False):
            seen += count
            if seen >= wanted:
                return bound
        return float("inf")


class Latencies:
    """What the daemon measures, each from the first octet we saw to the answer or acknowledgement we gave."""

    def __init__(self) -> None:
        self.accept = Latency()  # submit_sm read to submit_sm_resp written
        self.http = Latency()  # POST of a message read to its 202
        self.receipt = Latency(
            RECEIPT_BOUNDS_MS
        )  # receipt read from a carrier to the customer's acknowledgement
