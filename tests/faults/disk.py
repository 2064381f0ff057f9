"""A small disk that fills up under load and is freed again: with the store's precautions, and without."""

import errno
import os
from pathlib import Path
from random import Random

import trio

from tests.faults.scenario import Scenario
from tests.faults.serve import WRITES_AHEAD
from tests.faults.world import World, WorldOptions

RMSGQFUL = 0x14
TMPFS_MIB = 192
CHANGE_S = 60.0


class Filler:
    """A file that leaves so much room on a disk."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "filler"
        self._directory = directory

    def leave(self, octets: int) -> None:
        """Grow or shrink until so many octets are free."""
        stat = os.statvfs(self._directory)
        free = stat.f_bavail * stat.f_frsize
        size = self._path.stat().st_size if self._path.exists() else 0
        wanted = size + free - octets
        descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            if wanted <= size:
                os.ftruncate(descriptor, max(0, wanted))
                return
            # Page by page at the end: somebody else writes to this disk as well.
            os.lseek(descriptor, 0, os.SEEK_END)
            for step in (1 << 20, 4096):
                while size + step <= wanted or not octets:
                    written = os.write(descriptor, bytes(step))
                    size += written
                    if written < step:
                        break
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


async def disk_is(world: World, *wanted: str) -> None:
    """Until the daemon says that its disk is in one of these states."""
    state = None
    with trio.move_on_after(CHANGE_S):
        while True:
            status = await world.daemon.status()
            state = status and status["disk"]
            if state in wanted:
                return
            await trio.sleep(0.2)
    world.wrong("it_watches_the_disk", f"after {CHANGE_S:g} s the disk is {state}, not {' or '.join(wanted)}")


async def refused_only(world: World, seconds: float) -> None:
    """Whatever is submitted for a while is refused with RMSGQFUL."""
    accepted, refused = len(world.books.accepted), world.books.refused[RMSGQFUL]
    async with world.load():
        await trio.sleep(seconds)
        await world.wait(lambda: world.books.refused[RMSGQFUL] > refused, CHANGE_S, "a refusal")
    if len(world.books.accepted) > accepted:
        world.wrong("a_low_disk_refuses", f"{len(world.books.accepted) - accepted} were accepted")


async def fill_with_care(world: World, times: int, dice: Random) -> None:
    """Low, critical, full to the last octet, freed; the daemon stays up and says what it does."""
    filler = Filler(world.daemon.data)
    await world.warm_up()
    for _ in range(times):
        await world.load_for(1.0)
        filler.leave(18 << 20)
        await disk_is(world, "low")
        await refused_only(world, 1.0)
        await world.settle(20.0)  # receipts of what was accepted before go on
        filler.leave(4 << 20)
        await disk_is(world, "critical", "low")  # the ballast goes, and makes it low again
        filler.leave(0)
        await disk_is(world, "critical")
        await refused_only(world, 2.0)
        world.still_runs("a full disk")
        filler.remove()
        await disk_is(world, "ok")
        await world.carry()


async def fill_without_care(world: World, times: int, dice: Random) -> None:
    """Admission is switched off, so that every kind of write meets the full disk, again and again."""
    filler = Filler(world.daemon.data)
    await world.warm_up()
    for _ in range(times):
        async with world.load():
            await trio.sleep(0.5)
            filler.leave(dice.choice((0, 4096, 65_536, 300_000)))
            await trio.sleep(dice.uniform(1.0, 3.0))
            filler.remove()
            await trio.sleep(0.5)
        world.still_runs("a full disk")
        await world.carry()


async def start_when_full(world: World, times: int, dice: Random) -> None:
    """Killed on a full disk and started on it: it comes up, refuses, and goes on when there is room."""
    filler = Filler(world.daemon.data)
    await world.daemon.start()
    for _ in range(times):
        async with world.load():
            await trio.sleep(1.0)
            filler.leave(0)
            await trio.sleep(0.3)
            await world.daemon.kill()
        await world.crashed()
        await world.daemon.start()
        await refused_only(world, 1.0)
        filler.remove()
        await disk_is(world, "ok")
        await world.carry()


def small_disk(low: int, critical: int, ballast: int, *, writes_ahead_s: int = 60) -> WorldOptions:
    return WorldOptions(
        rate=30.0,
        tmpfs_mib=TMPFS_MIB,
        environment={
            WRITES_AHEAD: str(writes_ahead_s),
            "SLUICE__STORE__DISK_LOW_MIB": str(low),
            "SLUICE__STORE__DISK_CRITICAL_MIB": str(critical),
            "SLUICE__STORE__BALLAST_MIB": str(ballast),
        },
    )


SCENARIOS = (
    Scenario(
        name="disk-full", fault="a small disk filled to low, critical and full, and freed", run=fill_with_care,
        times=3, options=small_disk(24, 8, 8), memory=True,
    ),
    Scenario(
        name="disk-full-at-once", fault="a small disk filled and freed under load, precautions switched off",
        run=fill_without_care, times=6, options=small_disk(0, 0, 0, writes_ahead_s=0), memory=True,
    ),
    Scenario(
        name="disk-full-start", fault="kill -9 and start on a full disk", run=start_when_full, times=3,
        options=small_disk(24, 8, 8),
    ),
)  # fmt: skip
