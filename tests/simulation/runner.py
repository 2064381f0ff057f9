"""One run: a plan in, what was broken and a trace out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import structlog
import trio
import trio.testing

from gateway import housekeeping
from tests.simulation.determinism import seeded_scheduler
from tests.simulation.plan import Plan
from tests.simulation.trace import Trace
from tests.simulation.world import World


class Result(msgspec.Struct):
    """What a run gave."""

    plan: Plan
    violations: list[tuple[str, str]]
    digest: str
    took_s: float
    virtual_s: float
    accepted: int
    starts: int
    trace: Trace
    world: World

    @property
    def invariant(self) -> str:
        """The first invariant that was broken, "" for none."""
        return self.violations[0][0] if self.violations else ""


@contextmanager
def left_as_found() -> Iterator[None]:
    """What a world sets for the whole process is put back."""
    period_s, logging = housekeeping.REFILL_PERIOD_S, structlog.get_config()
    try:
        yield
    finally:
        housekeeping.REFILL_PERIOD_S = period_s
        structlog.configure(**logging)


def run(plan: Plan) -> Result:
    began = time.perf_counter()
    with left_as_found(), seeded_scheduler(plan.seed * 1000 + plan.scheduler):
        clock = trio.testing.MockClock(autojump_threshold=0)
        world = World(plan)
        try:
            trio.run(world.main, clock=clock)
        finally:
            world.organisation.close()
            world.backend.remove()
        return Result(
            plan=plan,
            violations=world.violations,
            digest=world.trace.digest(),
            took_s=time.perf_counter() - began,
            virtual_s=world.trace.entries[-1][0] if world.trace.entries else 0.0,
            accepted=sum(1 for s in world.truth.submissions.values() if s.status == 0),
            starts=world.gateway.starts,
            trace=world.trace,
            world=world,
        )
