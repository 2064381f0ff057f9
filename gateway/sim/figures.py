"""Percentiles of latencies, as the simulators and benchmarks report them."""

from collections.abc import Iterable

import msgspec


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0


def percentiles(seconds: Iterable[float]) -> Percentiles:
    """Of latencies in seconds; zeros of none."""
    ordered = sorted(seconds)
    if not ordered:
        return Percentiles()
    last = len(ordered) - 1

    def at(share: float) -> float:
        return round(ordered[round(share * last)] * 1000, 3)

    return Percentiles(at(0.5), at(0.95), at(0.99), at(1.0))
