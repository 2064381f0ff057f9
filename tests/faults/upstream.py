"""Faults of carriers: cut, black-holed, gone and back, late, throttling, and lying about nearly everything."""

from functools import partial
from random import Random

import msgspec
import trio

from gateway.sim.behaviour import Behaviour
from tests.faults.scenario import Scenario
from tests.faults.world import GOOD, HEAL_S, RESPONSE_TIMEOUT_S, World, WorldOptions

CALM_S = 1.0


async def cut(world: World, times: int, dice: Random) -> None:
    """Connections break: between PDUs, and after so many octets that one is torn."""
    await world.warm_up()
    async with world.load():
        for number in range(times):
            await trio.sleep(dice.uniform(0.2, 0.9))
            if number % 2:
                world.link.cut_after(dice.randint(1, 4000), dice.choice(("up", "down")))
            else:
                world.link.cut()


async def black_hole(world: World, times: int, dice: Random) -> None:
    """Octets vanish and nobody is told; after a while connections can be made again."""
    await world.warm_up()
    for number in range(times):
        async with world.load():
            await trio.sleep(CALM_S)
            world.link.black_hole(*((), ("up",), ("down",))[number % 3])
            await trio.sleep(4.5)
            # A hole in a stream leaves octets out: what is connected cannot be healed.
            world.link.cut()
            world.link.heal()
            await trio.sleep(CALM_S)


async def stall(world: World, times: int, dice: Random) -> None:
    """Nothing moves for longer than every timeout, then all of it does."""
    await world.warm_up()
    for number in range(times):
        async with world.load():
            await trio.sleep(CALM_S)
            world.link.stall(*((), ("up",), ("down",))[number % 3])
            await trio.sleep(5.0)
            world.link.heal()
            await trio.sleep(CALM_S)


async def restart(world: World, times: int, dice: Random) -> None:
    """The carrier is away for a while; it comes back with its ids counted from 1 again."""
    await world.warm_up()
    for _ in range(times):
        await world.load_for(CALM_S)
        await world.settle()  # what a carrier had queued dies with it: that is its loss, not ours
        world.link.refusing = True
        async with world.load():
            await world.restart_carrier(msgspec.structs.replace(GOOD, early_receipts=0.3))
            await trio.sleep(dice.uniform(0.5, 1.5))
            world.link.heal()
            await trio.sleep(CALM_S)


async def behave(world: World, times: int, dice: Random, *, behaviour: Behaviour, seconds: float) -> None:
    """Be that kind of carrier for a while, then a good one."""
    await world.warm_up()
    world.timed_out = behaviour.response_latency_s + behaviour.response_jitter_s > RESPONSE_TIMEOUT_S
    for _ in range(times):
        world.carrier.behaviour = behaviour
        await world.load_for(seconds)
        world.carrier.behaviour = world.options.behaviour
        await world.settle()


async def cut_and_crash(world: World, times: int, dice: Random) -> None:
    """Connections break and the process dies, both before answers came."""
    async with world.load():
        for number in range(times):
            before = len(world.books.accepted)
            await world.daemon.start()
            await world.wait(lambda b=before: len(world.books.accepted) >= b + 20, HEAL_S, "accepting")
            await trio.sleep(dice.uniform(0.2, 0.7))
            if number % 2:
                world.link.cut()
                await trio.sleep(dice.uniform(0.2, 0.6))
            await world.daemon.kill()
            await world.crashed()


LATE = msgspec.structs.replace(GOOD, response_latency_s=0.5, response_jitter_s=1.0)
TOO_LATE = msgspec.structs.replace(GOOD, response_latency_s=2.0, response_jitter_s=2.5)
THROTTLING = msgspec.structs.replace(GOOD, throttled=0.15, queue_full=0.05, system_errors=0.05)
HEX = msgspec.structs.replace(GOOD, id_form="hex-decimal", id_first=4_000_000)
LYING = msgspec.structs.replace(
    HEX,
    response_jitter_s=0.2,
    duplicate_responses=0.1,
    wrong_sequence_numbers=0.02,
    lost_responses=0.02,
    generic_nacks=0.02,
    early_receipts=0.2,
    duplicate_receipts=0.2,
    unknown_receipts=0.05,
    intermediate_receipts=0.2,
    late_intermediates=0.1,
    other_bind_receipts=0.3,
)
SLOW = msgspec.structs.replace(GOOD, response_latency_s=0.05, response_jitter_s=0.1)
TWENTY_SECONDS = b"000000000020000R"


def at_most_once(name: str, policy: str) -> Scenario:
    return Scenario(
        name=name,
        fault=f'connections cut and kill -9, carrier with `on_unknown = "{policy}"`',
        run=cut_and_crash,
        times=10,
        small=2,
        options=WorldOptions(
            behaviour=SLOW,
            carrier_toml=f'on_unknown = "{policy}"',
            validity=TWENTY_SECONDS,
            at_most_once=True,
            rate=100.0,
        ),
    )


def kind(
    name: str, fault: str, behaviour: Behaviour, *, times: int, rate: float, otherwise: Behaviour = GOOD
) -> Scenario:
    run = partial(behave, behaviour=behaviour, seconds=3.0)
    options = WorldOptions(rate=rate, behaviour=otherwise)
    return Scenario(name=name, fault=fault, run=run, times=times, options=options, memory=True)


SCENARIOS = (
    Scenario(name="cut", fault="carrier connections cut, also within a PDU", run=cut, times=20, small=2, memory=True),
    Scenario(name="black-hole", fault="carrier black-holed, each way and both", run=black_hole, times=3, memory=True),
    Scenario(name="stall", fault="carrier connections stalled, each way and both", run=stall, times=3, memory=True),
    Scenario(
        name="restart", fault="carrier restarted, message ids from 1 again", run=restart, times=4, memory=True
    ),
    kind("late", "carrier answers 0.5 to 1.5 s late", LATE, times=2, rate=40.0),
    kind("too-late", "carrier answers after the response timeout", TOO_LATE, times=2, rate=20.0),
    kind("throttling", "carrier throttles, is full, has system errors: one in four", THROTTLING, times=2, rate=60.0),
    kind("lying", "carrier lies: answers twice, under wrong numbers or never; receipts early, twice, for nobody,"
         " ids in two notations", LYING, times=3, rate=80.0, otherwise=HEX),
    at_most_once("hold", "hold"),
    at_most_once("fail", "fail"),
)  # fmt: skip
