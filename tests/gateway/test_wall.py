"""A wall clock that steps forward fires nothing before it has been stable for a minute (P11)."""

import pytest

from gateway.wall import STABLE_S, WallWatch
from tests.gateway.core_world import NOW_MS, World, make_part

HOUR_MS = 3_600_000


class Clocks:
    """A monotonic clock and a wall clock that can be set."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.set_ms = 0

    def now(self) -> float:
        return self.seconds

    def wall_ms(self) -> int:
        return NOW_MS + round((self.seconds - 100.0) * 1000) + self.set_ms


def test_a_clock_that_goes_on_is_believed() -> None:
    clocks = Clocks()
    wall = WallWatch(clocks)
    for _ in range(100):
        clocks.seconds += 7.3
        assert wall.believable()
        assert wall.believed_ms() == clocks.wall_ms()


@pytest.mark.parametrize("looked", [True, False])
def test_a_step_forward_is_believed_after_a_minute(looked: bool) -> None:
    clocks = Clocks()
    wall = WallWatch(clocks)
    clocks.set_ms = 3 * HOUR_MS
    assert not looked or not wall.believable()
    assert wall.believed_ms() == clocks.wall_ms() - 3 * HOUR_MS
    clocks.seconds += STABLE_S - 1
    assert not wall.believable()
    assert wall.believed_ms() == clocks.wall_ms() - 3 * HOUR_MS
    clocks.seconds += 2
    assert wall.believable()
    assert wall.believed_ms() == clocks.wall_ms()


def test_a_clock_that_comes_back_is_as_if_it_had_never_stepped() -> None:
    clocks = Clocks()
    wall = WallWatch(clocks)
    for step_ms in (3 * HOUR_MS, 0, HOUR_MS, 5 * HOUR_MS, 0):
        clocks.set_ms = step_ms
        clocks.seconds += 1
        assert wall.believed_ms() == NOW_MS + round((clocks.seconds - 100.0) * 1000)


def test_a_step_back_and_a_small_one_are_believed_at_once() -> None:
    clocks = Clocks()
    wall = WallWatch(clocks)
    for step_ms in (-5 * HOUR_MS, -5 * HOUR_MS + 60_000):
        clocks.set_ms = step_ms
        assert wall.believable()
        assert wall.believed_ms() == clocks.wall_ms()


def test_what_waits_for_a_carrier_does_not_expire_by_a_step_of_the_clock() -> None:
    clocks = Clocks()
    world = World()
    wall = WallWatch(clocks)
    world.carrier._believed_ms = wall.believed_ms
    part = make_part(expires_at=NOW_MS + HOUR_MS)
    clocks.set_ms = 3 * HOUR_MS
    assert world.carrier._alive([part]) == [part]
    clocks.seconds += STABLE_S + 1
    assert world.carrier._alive([part]) == []
