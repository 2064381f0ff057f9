"""The store's port with time and mischance in it: crash points between the steps of a commit, EIO, a full disk,
an fsync that takes half a minute.

A round goes through: (before) nothing is written; (written) it is in the page cache, not on the disk; (synced) it
is on the disk, and the daemon does not know yet. A killed process leaves what is written, a power cut only what
is synced, and of what is written perhaps. What is behind it is a `Backend`: in memory, or SQLite inline.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import trio

from store.model import Changes
from store.port import Applied, StoreFailed, StoreFull, StoreOptions, TrafficStore
from tests.one_by_one import OneByOne
from tests.simulation.memory_store import MemoryStore, shares

if TYPE_CHECKING:
    from tests.simulation.world import World

TOLD_LATE_SHARE = (
    0.2  # of rounds: the writer's thread has done its work, the event loop has other things to do
)
POINTS = ("before", "written", "synced")
# The end of a run lies 12 days ahead; what became of its messages must still be found then.
OPTIONS = StoreOptions(young_age_ms=5_000, receipt_grace_ms=3_600_000, ballast_octets=0, lookback_days=30)


class Backend(Protocol):
    """A store that can lose its process."""

    def open(self, now_ms: int) -> TrafficStore:
        """The store as a start finds it."""
        ...

    def newest_day(self) -> int: ...

    def set_disk(self, state: str) -> None:
        """ok | low | critical"""
        ...

    def apply(self, changes: Changes) -> Applied: ...

    def crash(self, written: Changes | None, torn: Changes | None = None) -> None:
        """The process is gone. `written`: the part of a round that will be found nevertheless; `torn`: a
        round of which only a piece came to the disk."""
        ...

    def remove(self) -> None:
        """The run is over: leave nothing behind."""
        ...

    def close(self) -> None: ...


class MemoryBackend:
    def __init__(self) -> None:
        self.store: MemoryStore | None = None

    def open(self, now_ms: int) -> Any:
        if self.store is None:
            self.store = MemoryStore(OPTIONS, now_ms)
        return self.store

    def newest_day(self) -> int:
        assert self.store is not None
        return self.store.newest_day()

    def set_disk(self, state: str) -> None:
        assert self.store is not None
        self.store.disk = state

    def apply(self, changes: Changes) -> Applied:
        assert self.store is not None
        return self.store.apply(changes)

    def crash(self, written: Changes | None, torn: Changes | None = None) -> None:
        assert self.store is not None
        if written is not None:
            self.store.apply(written)
        self.store.clean = False

    def close(self) -> None:
        assert self.store is not None
        self.store.close()

    def remove(self) -> None:
        self.store = None


class CrashPoint(msgspec.Struct):
    """Crash at the n-th time from now that a round comes to a point."""

    point: str
    left: int
    kind: str  # kill | power


class Disk:
    """What the nemesis has in store for the store; outlives processes."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.rng = world.stream("disk")
        self.points: list[CrashPoint] = []
        self.eio_in = 0  # fail the n-th round from now
        self.full_until = 0.0
        self.slow_until = 0.0  # fsync takes until then
        self.read_s = world.plan.settings.read_s
        self.commit_s = world.plan.settings.commit_s
        self.told_late_s = world.plan.settings.told_late_s
        self.told_rng = world.stream("disk/told")

    @property
    def full(self) -> bool:
        return trio.current_time() < self.full_until


class DiskPort(OneByOne):
    """`gateway/ports.py`'s StorePort for one process of the gateway."""

    def __init__(self, world: "World", backend: Backend, store: TrafficStore) -> None:
        self.world = world
        self.backend = backend
        self.store = store
        self.disk = world.disk
        self.dead = False
        self.busy = False  # a round is on its way
        self.rounds = 0
        self._failed = ""
        self._written: Changes | None = None

    async def apply(self, changes: Changes) -> Applied:
        self.busy = True
        try:
            return await self._apply(changes)
        finally:
            self.busy = False

    async def _apply(self, changes: Changes) -> Applied:
        disk, rng = self.disk, self.disk.rng
        await self._pause(disk.commit_s * rng.random())
        self._check()
        self.rounds += 1
        await self._point("before")
        if disk.full:
            await self._full(changes)
        if disk.eio_in:
            disk.eio_in -= 1
            if not disk.eio_in:
                await self._eio(changes)
        self._written = changes
        await self._point("written")
        await self._pause(disk.commit_s * rng.expovariate(1.0))
        if disk.slow_until > trio.current_time():
            await trio.sleep_until(disk.slow_until)
        self._written = None
        applied = self.backend.apply(changes)
        self._is_durable(changes, applied, told=True)
        await self._point("synced")
        await self._pause(disk.commit_s * rng.random())
        if disk.told_late_s and disk.told_rng.random() < TOLD_LATE_SHARE:
            await self._pause(disk.told_late_s * disk.told_rng.random())
        return applied

    async def write(self, call: Callable[[TrafficStore], Any]) -> Any:
        await self._pause(self.disk.commit_s * self.disk.rng.random())
        self._check()
        result = call(self.store)
        await self._pause(0.0)
        return result

    async def read(self, call: Callable[[TrafficStore], Any]) -> Any:
        """What is read is old by the time it is there."""
        await self._pause(self.disk.read_s * self.disk.rng.expovariate(1.0))
        self._check()
        result = call(self.store)
        await self._pause(self.disk.read_s * self.disk.rng.expovariate(1.0))
        return result

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            await trio.sleep(seconds)
        else:
            await trio.lowlevel.checkpoint()
        if self.dead:
            await trio.sleep_forever()

    def _check(self) -> None:
        if self._failed:
            raise StoreFailed(self._failed)

    async def _point(self, name: str) -> None:
        for point in self.disk.points:
            if point.point == name:
                point.left -= 1
                if point.left <= 0:
                    self.disk.points.remove(point)
                    self.world.gateway.crash(point.kind, f"at {name}")
                    await trio.sleep_forever()

    async def _full(self, changes: Changes) -> None:
        """ENOSPC: a round of several days may be stored in part."""
        parts = shares(changes, self.backend.newest_day())
        stored = Applied()
        rest = changes
        if len(parts) > 1 and self.disk.rng.random() < 0.5:
            first = parts[0][1]
            stored = self.backend.apply(first)
            self._is_durable(first, stored, told=True)
            rest = merged([share for _, share in parts[1:]])
        await self._pause(0.001)
        raise StoreFull("The disk is full.", rest=rest, applied=stored)

    async def _eio(self, changes: Changes) -> None:
        """A failed fsync: what is on the disk now nobody knows. The process must not go on."""
        self._failed = "fsync failed (EIO). Nothing since is promised."
        if self.disk.rng.random() < 0.5:
            self.backend.crash(changes)
            self._is_durable(changes, Applied(), told=False)
        else:
            self.backend.crash(None)
        self.world.note("disk", "EIO", self.rounds)
        await self._pause(0.0)
        raise StoreFailed(self._failed)

    def _is_durable(self, changes: Changes, applied: Applied, *, told: bool) -> None:
        self.world.stored(changes, applied, told=told)

    def crash(self, kind: str) -> None:
        """The process ends here, at whatever step a round is."""
        self.dead = True
        if self._failed:
            return
        written, self._written = self._written, None
        rng = self.disk.rng
        torn: Changes | None = None
        if written is not None:
            share = 0.85 if kind == "kill" else 0.3
            by_day = [one for _, one in shares(written, self.backend.newest_day())]
            if rng.random() >= share:
                written, torn = None, written if kind == "power" else None
            elif len(by_day) > 1 and rng.random() < 0.5:
                written = merged(by_day[: rng.randint(1, len(by_day) - 1)])
        self.backend.crash(written, torn)
        if written is not None:
            self._is_durable(written, Applied(), told=False)


def merged(many: list[Changes]) -> Changes:
    whole = Changes()
    for changes in many:
        for name in Changes.__struct_fields__:
            getattr(whole, name).extend(getattr(changes, name))
    return whole
