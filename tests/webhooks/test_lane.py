"""A lane: places, gaps after a plea to slow down, the circuit that opens after failures in a row."""

import pytest
import trio
import trio.testing

from gateway.webhooks.attempts import SCHEDULE_S, pause_s
from gateway.webhooks.lane import FAILURES_TO_OPEN, OPEN_S_MAX, SLOW_S_MAX, Lane


def fail(lane: Lane, *, slow: bool = False, retry_after_s: float = 0.0) -> None:
    lane.failed(slow=slow, retry_after_s=retry_after_s, jitter=0.5)


async def waited(lane: Lane) -> float:
    """How long a place is waited for."""
    began = trio.current_time()
    await lane.acquire()
    lane.release()
    return trio.current_time() - began


async def test_no_more_run_at_once_than_allowed(autojump_clock: trio.testing.MockClock) -> None:
    lane = Lane(2, trio.current_time)
    most = 0

    async def work() -> None:
        nonlocal most
        await lane.acquire()
        most = max(most, lane.in_flight)
        await trio.sleep(1)
        lane.release()

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(work)
    assert (most, lane.in_flight, trio.current_time()) == (2, 0, pytest.approx(5))


async def test_failures_in_a_row_open_the_circuit_and_a_success_closes_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    lane = Lane(4, trio.current_time)
    for _ in range(FAILURES_TO_OPEN - 1):
        fail(lane)
        assert await waited(lane) == 0
    pauses = []
    for _ in range(10):
        fail(lane)
        pauses.append(await waited(lane))
    assert pauses[:3] == pytest.approx([5, 10, 20])
    assert max(pauses) == pytest.approx(OPEN_S_MAX)
    # Half open: one at a time.
    await lane.acquire()
    assert not lane.has_room()
    lane.succeeded()
    lane.release()
    assert not lane.open_circuit
    assert await waited(lane) == 0


async def test_a_plea_to_slow_down_leaves_gaps_that_shrink_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    lane = Lane(4, trio.current_time)
    for expected in (1, 2, 4):
        fail(lane, slow=True)
        assert await waited(lane) == pytest.approx(expected)
        lane.failures = 0
    for expected in (2, 1, 0):
        lane.succeeded()
        assert await waited(lane) == pytest.approx(expected)
    for _ in range(20):
        fail(lane, slow=True)
    assert lane.slow_s == SLOW_S_MAX


async def test_what_the_receiver_asks_for_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    lane = Lane(4, trio.current_time)
    fail(lane, slow=True, retry_after_s=120)
    assert await waited(lane) == pytest.approx(120)


def test_the_schedule_takes_three_days_and_ends() -> None:
    assert sum(SCHEDULE_S) / 3600 == pytest.approx(75.6, abs=0.1)
    assert pause_s(1, 0.5) == 5
    assert pause_s(9, 0.0) == pytest.approx(86_400 * 0.9)
    assert pause_s(9, 1.0) == pytest.approx(86_400 * 1.1)
    assert pause_s(10, 0.5) is None
