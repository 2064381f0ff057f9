"""Whether a function's cost grows with its input, and no faster."""

import time
from collections.abc import Callable

# Eight times the input is eight times the work when linear and sixty-four when quadratic; between them
# lies room for a noisy machine.
TIMES = 8
GROWTH_MAX = 26


ATTEMPTS = 5


def assert_linear(work: Callable[[int], Callable[[], object]], size: int = 8_000) -> None:
    """`work(n)` prepares an input of size n and gives the call to be measured.

    Both sizes are measured anew, up to `ATTEMPTS` times and the best of each kept, until the growth is small enough:
    another process can make a run slower, but never faster.
    """
    small = large = float("inf")
    for _ in range(ATTEMPTS):
        small, large = min(small, _cpu_seconds(work(size))), min(large, _cpu_seconds(work(size * TIMES)))
        if large < GROWTH_MAX * max(small, 20e-6):
            return
    raise AssertionError(f"{small * 1e6:.0f} us for n, {large * 1e6:.0f} for 8n")


def _cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start
