"""Steps of the wall clock by hours, both ways, by libfaketime; the monotonic clock goes on as it does.

What time fires (schedules, validity, retention) must not follow a step until it has been stable for a minute.
"""

from pathlib import Path
from random import Random

import trio

from tests.faults.scenario import Scenario
from tests.faults.strace import install
from tests.faults.world import World, WorldOptions

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
STABLE_S = 62.0
HOURS = 3600
ONE_HOUR = b"000000010000000R"
TWO_HOURS = b"000000020000000R"


def step(world: World, seconds: float) -> None:
    """The daemon's wall clock is off by so much from now on."""
    path = world.directory / "faketime"
    fresh = path.with_suffix(".new")
    fresh.write_text(f"{seconds:+.0f}s\n")
    fresh.rename(path)


async def start_with_faketime(world: World) -> None:
    install(["libfaketime"], LIBRARY)
    step(world, 0)
    world.daemon.environment |= {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(world.directory / "faketime"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    await world.warm_up()


async def there_and_back(world: World, times: int, dice: Random) -> None:
    """Hours forward, hours back, again and again under load, with a restart in between."""
    await start_with_faketime(world)
    for number in range(times):
        async with world.load():
            for offset in (3 * HOURS, -5 * HOURS, 0):
                step(world, offset)
                await trio.sleep(1.5)
            if number % 2:
                step(world, -2 * HOURS)
                code = await world.daemon.stop()
                if code:
                    world.wrong("it_stops_when_asked", f"exit code {code}")
                await world.daemon.start()
                await trio.sleep(0.5)
                step(world, 0)
    ids = [int(sent.message_id) for sent in sorted(world.books.accepted, key=lambda sent: sent.sent_at)]
    for account in world.options.customers:
        mine = [int(s.message_id) for s in world.books.accepted if s.account == account]
        if mine != sorted(mine):
            world.wrong("ids_never_go_back", f"the ids of {account} are not ascending")
    world.notes.append(f"{len(ids)} ids")


async def forward_fires_nothing(world: World, times: int, dice: Random) -> None:
    """Three hours forward for half a minute: nothing expires, nothing scheduled is sent. Then back."""
    await start_with_faketime(world)
    (acme,) = world.customers
    for _ in range(times):
        seen = len(world.carrier.log.parts)
        acme.validity, acme.schedule = b"", TWO_HOURS
        await world.load_for(0.5)  # these wait for their time
        acme.validity, acme.schedule = ONE_HOUR, b""
        world.link.refusing = True
        world.link.cut()
        await world.load_for(1.0)  # these wait for the carrier
        waiting = len(world.books.accepted)
        step(world, 3 * HOURS)
        await trio.sleep(4.0)
        world.link.heal()  # what waited is sent although it looks expired
        await trio.sleep(25.0)
        step(world, 0)
        await trio.sleep(2.0)
        sent = {part.message.destination_addr for part in list(world.carrier.log.parts)[seen:]}
        scheduled = [s for s in world.books.accepted[:waiting] if s.destination in acme.scheduled]
        early = [s for s in scheduled if s.destination in sent]
        if early:
            world.wrong("schedules_wait", f"{len(early)} scheduled messages were sent by a clock's step")
        expired = [s for s in world.books.accepted if "EXPIRED" in s.states]
        if expired:
            world.wrong("validity_waits", f"{len(expired)} messages were expired by a clock's step")
        # What is scheduled is due when the clock stays where it is.
        step(world, 3 * HOURS)
        await trio.sleep(STABLE_S)
        await world.settle()
        step(world, 0)
        await trio.sleep(STABLE_S if times > 1 else 0.0)


SCENARIOS = (
    Scenario(
        name="clock", fault="wall clock stepped by hours, both ways, under load", run=there_and_back, times=4,
        options=WorldOptions(rate=100.0), memory=True,
    ),
    Scenario(
        name="clock-forward", fault="wall clock three hours ahead for half a minute, then for good: schedules"
        " and validity wait until it is stable", run=forward_fires_nothing, times=1,
        options=WorldOptions(customers=("acme",), rate=50.0), memory=True,
    ),
)  # fmt: skip
