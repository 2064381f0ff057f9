"""Whether a function's cost grows with its input, and no faster."""

import time
from collections.abc import Callable

# Eight times the input is eight times the work when linear and sixty-four when quadratic; between them
# lies room for a noisy machine.
TIMES = 8
GROWTH_MAX = 26


def assert_linear(work: Callable[[int], Callable[[], object]], size: int = 8_000) -> None:
    """`work(n)` prepares an input of size n and gives the call to be measured."""
    small, large = (_cpu_seconds(work(size)), _cpu_seconds(work(size * TIMES)))
    assert large < GROWTH_MAX * max(small, 20e-6), f"{small * 1e6:.0f} us for n, {large * 1e6:.0f} for 8n"


def _cpu_seconds(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best
