"""Faults of the daemon's process: killed at random, killed and failed at exact system calls, asked to stop."""

from functools import partial
from random import Random

import msgspec
import trio

from gateway.daemon import EXIT_STORE_FAILED
from tests.faults.scenario import Scenario
from tests.faults.strace import STRACE, Inject, install
from tests.faults.world import GOOD, World, WorldOptions

KILLED = -9
RMSGQFUL = 0x14
REACH_S = 90.0
FULL_S = 2.0
# A carrier that takes a moment, so that a crash finds submits on the wire and receipts on their way.
UNHURRIED = msgspec.structs.replace(GOOD, response_latency_s=0.02, response_jitter_s=0.06)
UNDER_LOAD = WorldOptions(behaviour=UNHURRIED)
# One that takes half of what comes: queues of both customers, in two lanes, outlive each crash.
OVERLOADED = WorldOptions(
    behaviour=msgspec.structs.replace(GOOD, response_latency_s=0.3, response_jitter_s=0.2),
    environment={"SLUICE__LIMITS__QUEUE_PARTS_MAX": "400"},
)
TRACED = WorldOptions(behaviour=UNHURRIED, rate=100.0)  # strace stops every system call twice


async def kill_at_random(world: World, times: int, dice: Random) -> None:
    """SIGKILL under load; one in five while the daemon still starts, and recovers from the last one."""
    async with world.load():
        for _ in range(times):
            if dice.random() < 0.2:
                await world.daemon.spawn()
                await trio.sleep(dice.uniform(0.0, 0.7))
            else:
                await world.daemon.start()
                await trio.sleep(dice.uniform(0.0, 1.2))
            await world.daemon.kill()
            await world.crashed()
    await world.daemon.start()
    await world.carry()


async def stop_politely(world: World, times: int, dice: Random) -> None:
    """SIGTERM under load: it drains, and nothing is sent twice."""
    async with world.load():
        for _ in range(times):
            await world.daemon.start()
            await trio.sleep(dice.uniform(0.5, 1.5))
            code = await world.daemon.stop()
            if code:
                world.wrong("it_stops_when_asked", f"exit code {code}")


async def at_each(world: World, times: int, dice: Random, *, inject: Inject, code: int, last: int) -> None:
    """Under load, the fault at the Nth call, in a new process for each N up to about `last`."""
    install([STRACE], STRACE)
    for number in range(times):
        n = 1 + number * last // times
        await world.daemon.start()
        await world.carry()
        async with world.daemon.traced(inject, str(n)), world.load():
            ended = await world.daemon.ended_within(REACH_S)
        if ended is None:
            world.wrong("the_fault_comes", f"{inject} at {n}: the daemon ran on for {REACH_S:g} s")
            await world.daemon.kill()
        elif ended != code:
            world.wrong("it_ends_as_promised", f"{inject} at {n}: exit code {ended}, not {code}")
        await world.crashed()


async def at_each_of_a_start(world: World, times: int, dice: Random, *, inject: Inject, last: int) -> None:
    """The fault at the Nth call since the process began: while it opens its files and recovers."""
    install([STRACE], STRACE)
    for number in range(times):
        await world.daemon.start()
        await world.carry()
        await world.daemon.kill()
        await world.crashed()
        await world.daemon.spawn((inject, str(1 + number * last // times)))
        if await world.daemon.listens():
            await world.load_for(0.3)
        await world.daemon.kill()
        await world.crashed()


async def full_for_one_call(world: World, times: int, dice: Random, *, inject: Inject, last: int) -> None:
    """The disk is full for one write and has room for the next: some are refused, nothing else happens."""
    install([STRACE], STRACE)
    await world.warm_up(1.0)
    for number in range(times):
        async with world.daemon.traced(inject, str(1 + number * last // times)):
            await world.load_for(0.5)
        world.still_runs(str(inject))


async def full_for_a_while(world: World, times: int, dice: Random, *, inject: Inject) -> None:
    """Every write of a few seconds says that the disk is full: new messages are refused, and then not."""
    install([STRACE], STRACE)
    await world.warm_up(1.0)
    for _ in range(times):
        before = world.books.refused[RMSGQFUL]
        async with world.daemon.traced(inject, "1+"), world.load():
            await trio.sleep(FULL_S)
            await world.wait(lambda b=before: world.books.refused[RMSGQFUL] > b, REACH_S, "a refusal")
        accepted = len(world.books.accepted)
        async with world.load():
            await world.wait(
                lambda a=accepted: len(world.books.accepted) > a + 20, REACH_S, "accepting again"
            )
        world.still_runs(str(inject))


LOG, FILE = ("-wal",), ("",)
KILL, EIO, ENOSPC = "signal=SIGKILL", "error=EIO", "error=ENOSPC"


def each(
    name: str, fault: str, inject: Inject, code: int, *, times: int, last: int, small: int = 1
) -> Scenario:
    run = partial(at_each, inject=inject, code=code, last=last)
    return Scenario(name=name, fault=fault, run=run, times=times, small=small, options=TRACED)


SCENARIOS = (
    Scenario(
        name="kill-random", fault="kill -9 at random under load and while recovering", run=kill_at_random,
        times=100, small=5, options=UNDER_LOAD,
    ),
    Scenario(
        name="kill-backlog", fault="kill -9 at random, carrier slower than its load, queues beyond memory",
        run=kill_at_random, times=20, small=2, options=OVERLOADED,
    ),
    Scenario(
        name="stop", fault="SIGTERM under load", run=stop_politely, times=10, small=1, options=UNDER_LOAD
    ),
    each(
        "kill-fdatasync", "kill -9 at every one of 60 fdatasync calls of commits and checkpoints",
        Inject("fdatasync", KILL), KILLED, times=60, last=60, small=2,
    ),
    each(
        "kill-pwrite-log", "kill -9 at every one of 80 pwrite64 calls of commits (the log)",
        Inject("pwrite64", KILL, LOG), KILLED, times=80, last=80, small=2,
    ),
    each(
        "kill-pwrite-file", "kill -9 at every one of 80 pwrite64 calls of checkpoints (the day file)",
        Inject("pwrite64", KILL, FILE), KILLED, times=80, last=80, small=2,
    ),
    Scenario(
        name="kill-start", fault="kill -9 at exact pwrite64 calls of a recovery",
        run=partial(at_each_of_a_start, inject=Inject("pwrite64", KILL), last=40), times=20,
        options=UNDER_LOAD,
    ),
    each(
        "eio-fdatasync", "EIO at exact fdatasync calls: exit code 70, nothing answered that is not kept",
        Inject("fdatasync", EIO), EXIT_STORE_FAILED, times=15, last=30,
    ),
    each(
        "eio-pwrite", "EIO at exact pwrite64 calls", Inject("pwrite64", EIO, (*LOG, *FILE)),
        EXIT_STORE_FAILED, times=15, last=90,
    ),
    each(
        "eio-pread", "EIO at exact pread64 calls", Inject("pread64", EIO, (*LOG, *FILE)),
        EXIT_STORE_FAILED, times=8, last=8,
    ),
    Scenario(
        name="enospc-once", fault="ENOSPC at exact pwrite64 calls",
        run=partial(full_for_one_call, inject=Inject("pwrite64", ENOSPC, (*LOG, *FILE)), last=90),
        times=15, options=TRACED, memory=True,
    ),
    Scenario(
        name="enospc-while", fault="ENOSPC at every pwrite64 for two seconds",
        run=partial(full_for_a_while, inject=Inject("pwrite64", ENOSPC)), times=5, options=TRACED,
        memory=True,
    ),
)  # fmt: skip
