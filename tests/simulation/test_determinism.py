"""The canary: trio's private names do what `determinism.py` believes, and a seed decides a run."""

import trio
import trio.testing

from tests.simulation.determinism import seeded_scheduler
from tests.simulation.plan import AccountSpec, CarrierSpec, Event, Plan
from tests.simulation.runner import run


def order_of(seed: int) -> list[int]:
    """The order in which tasks that are runnable together take their turns."""
    turns: list[int] = []

    async def task(number: int) -> None:
        for _ in range(3):
            turns.append(number)
            await trio.lowlevel.checkpoint()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(task, number)

    with seeded_scheduler(seed):
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return turns


def test_one_seed_gives_one_order_of_tasks() -> None:
    assert order_of(7) == order_of(7)


def test_another_seed_gives_another_order() -> None:
    assert len({tuple(order_of(seed)) for seed in range(8)}) > 4


def a_plan() -> Plan:
    submits = [
        Event(1 + n / 50, "submit", "acme", {"n": n, "dests": [86_139_000_000_00 + n], "bind": 0})
        for n in range(1, 41)
    ]
    return Plan(1, [CarrierSpec("alpha")], [AccountSpec("acme")], submits, until_s=5.0)


def test_messages_go_through_a_calm_world() -> None:
    result = run(a_plan())
    assert result.violations == []
    assert result.accepted == 40


def test_a_plan_runs_the_same_way_twice() -> None:
    assert run(a_plan()).digest == run(a_plan()).digest
