"""The world as the daemon sees it: clock, randomness, network, store. Nothing else in `gateway/` touches it.

A deterministic simulation hands in its own; `real_ports` are the machine's. Durations come from `Clock.now`
(monotonic seconds) only; `Clock.wall_ms` is for timestamps, validity and schedules (promise P11).
"""

import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
import trio

from store.model import Changes
from store.port import Applied, TrafficStore


class Clock(Protocol):
    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def wall_ms(self) -> int:
        """UTC milliseconds."""
        ...


class Network(Protocol):
    async def listen(self, host: str, port: int) -> list[trio.abc.Listener[trio.abc.Stream]]: ...

    async def connect(self, host: str, port: int) -> trio.abc.Stream: ...


class StorePort(Protocol):
    """The traffic store behind one writer: rounds are applied by one task at a time, reads by any."""

    async def apply(self, changes: Changes) -> Applied: ...

    async def apply_all(self, take: Callable[[], Changes | None], applied: Callable[[Applied], None]) -> None:
        """Apply rounds for as long as `take` gives one, and for a while at most. `applied` is told of each in the
        trio thread, in order; by then later ones may be durable too. `take` may be called in a thread.

        Raises what a round raised, once `applied` was told of those before it; no more is taken then.
        """
        ...

    async def write(self, call: Callable[[TrafficStore], Any]) -> Any:
        """Run `call` where writes happen (maintenance); never beside an `apply`."""
        ...

    async def read(self, call: Callable[[TrafficStore], Any]) -> Any:
        """Run `call` on a reader; may happen beside an `apply`."""
        ...


class OffLoop(Protocol):
    """Run a slow plain call where it does not hold up the event loop, and wait for what it gives."""

    async def __call__(
        self, call: Callable[..., Any], /, *args: Any, limiter: trio.CapacityLimiter | None = None
    ) -> Any: ...


class Ports(msgspec.Struct, frozen=True):
    clock: Clock
    network: Network
    random: Callable[[str], random.Random]  # a named stream: dropping one user of it disturbs no other
    store: StorePort
    off_loop: OffLoop = trio.to_thread.run_sync  # a worker thread; a simulation has none


class RealClock:
    """trio's clock (so that a test's MockClock rules) and the machine's wall clock."""

    def now(self) -> float:
        return trio.current_time()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000


class RealNetwork:
    async def listen(self, host: str, port: int) -> list[trio.abc.Listener[trio.abc.Stream]]:
        return list(await trio.open_tcp_listeners(port, host=host, backlog=1024))

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        return await trio.open_tcp_stream(host, port)


# After so many rounds, some 50 ms, the writer's thread lets maintenance and cancellation have their turn.
ROUNDS_A_STAY = 16
# And it goes no further ahead of the event loop than this: rounds that are not told yet keep their memory.
ROUNDS_UNTOLD_MAX = 2


class ThreadedStore:
    """A `TrafficStore` with one writer thread and a few readers, as trio sees it.

    Writes and maintenance share a limiter of one: the connection that commits is the connection that
    checkpoints. Cancellation waits for the thread: a transaction is never abandoned half-way.
    """

    def __init__(self, store: TrafficStore, *, readers_max: int = 4) -> None:
        self.store = store
        self._writer = trio.CapacityLimiter(1)
        self._readers = trio.CapacityLimiter(readers_max)

    async def apply(self, changes: Changes) -> Applied:
        return await trio.to_thread.run_sync(self.store.apply, changes, limiter=self._writer)

    async def apply_all(self, take: Callable[[], Changes | None], applied: Callable[[Applied], None]) -> None:
        """The thread takes the next round as soon as one is durable: on the way through the event loop and back it
        would wait for the GIL twice, as long as the round itself takes (measured 2026-11: of 2.4 ms a round of 16
        messages 1.3 ms)."""
        token = trio.lowlevel.current_trio_token()
        done: deque[Applied] = deque()
        broken: list[Exception] = []

        def tell() -> None:
            while done:
                applied(done.popleft())

        def tell_between() -> None:
            try:
                tell()
            except Exception as error:  # an error in trio's own callback would end trio without a trace
                broken.append(error)

        def stay() -> None:
            for _ in range(ROUNDS_A_STAY):
                if len(done) >= ROUNDS_UNTOLD_MAX or broken:
                    return
                changes = take()
                if changes is None:
                    return
                if done:
                    token.run_sync_soon(tell_between, idempotent=True)
                done.append(self.store.apply(changes))

        try:
            await trio.to_thread.run_sync(stay, limiter=self._writer)
        finally:
            if not broken:
                tell()
        if broken:
            raise broken[0]

    async def write(self, call: Callable[[TrafficStore], Any]) -> Any:
        return await trio.to_thread.run_sync(call, self.store, limiter=self._writer)

    async def read(self, call: Callable[[TrafficStore], Any]) -> Any:
        return await trio.to_thread.run_sync(call, self.store, limiter=self._readers)


def seeded(seed: int | None) -> Callable[[str], random.Random]:
    """Named random streams; `None` seeds each from the operating system."""
    if seed is None:
        return lambda name: random.Random()
    return lambda name: random.Random(f"{seed}/{name}")


def real_ports(store: TrafficStore) -> Ports:
    return Ports(RealClock(), RealNetwork(), seeded(None), ThreadedStore(store))


Reader = Callable[[Callable[[TrafficStore], Any]], Awaitable[Any]]
