"""The world as the daemon sees it: one writer, several readers, clocks, and random streams by name."""

import threading
import time
from typing import Any, cast

import pytest
import trio
import trio.testing

from gateway.ports import (
    ROUNDS_A_STAY,
    ROUNDS_UNTOLD_MAX,
    RealClock,
    RealNetwork,
    ThreadedStore,
    real_ports,
    seeded,
)
from store.model import Changes
from store.port import Applied, StoreFull, TrafficStore


class FakeStore:
    """Counts who is inside at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = {"write": 0, "read": 0}
        self.most = {"write": 0, "read": 0}
        self.applied: list[Changes] = []
        self.go_on = threading.Event()

    def visit(self, what: str) -> None:
        with self.lock:
            self.inside[what] += 1
            self.most[what] = max(self.most[what], self.inside[what])
        self.go_on.wait(0.001)
        with self.lock:
            self.inside[what] -= 1

    def apply(self, changes: Changes) -> Applied:
        self.visit("write")
        self.applied.append(changes)
        return Applied(parts=len(changes.parts))


def threaded() -> tuple[FakeStore, ThreadedStore]:
    store = FakeStore()
    return store, ThreadedStore(cast(TrafficStore, store), readers_max=2)


async def test_one_writes_at_a_time_and_several_read() -> None:
    store, port = threaded()

    async def use() -> None:
        await port.apply(Changes())
        await port.write(lambda s: cast(Any, s).visit("write"))
        await port.read(lambda s: cast(Any, s).visit("read"))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(use)
    assert store.most["write"] == 1 and 1 <= store.most["read"] <= 2
    assert len(store.applied) == 8


async def test_rounds_follow_each_other_in_one_stay_and_are_told_in_order() -> None:
    store, port = threaded()
    rounds = [Changes(unparked=[number]) for number in range(5)]
    left = list(rounds)
    threads: set[str] = set()
    told: list[int] = []

    def take() -> Changes | None:
        threads.add(threading.current_thread().name)
        return left.pop(0) if left else None

    def applied(one: Applied) -> None:
        assert trio.lowlevel.in_trio_run() and threading.current_thread() is threading.main_thread()
        told.append(len(store.applied))

    await port.apply_all(take, applied)
    assert store.applied == rounds and len(told) == 5
    assert told == sorted(told) and all(at >= number for number, at in enumerate(told, 1))
    assert len(threads) == 1 and threading.main_thread().name not in threads


async def test_the_thread_goes_no_further_ahead_than_it_may() -> None:
    store, port = threaded()
    ahead: list[int] = []
    told = 0

    def take() -> Changes | None:
        ahead.append(len(store.applied) - told)
        return Changes() if len(store.applied) < 3 * ROUNDS_A_STAY else None

    def applied(one: Applied) -> None:
        nonlocal told
        told += 1
        time.sleep(0.002)  # slower than the disk

    while len(store.applied) < 3 * ROUNDS_A_STAY:
        await port.apply_all(take, applied)
    assert told == len(store.applied) and 0 < max(ahead) <= ROUNDS_UNTOLD_MAX


async def test_maintenance_has_its_turn_while_rounds_go_on_and_on() -> None:
    store, port = threaded()
    maintained = trio.Event()

    async def maintain() -> None:
        await port.write(lambda s: None)
        maintained.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(maintain)
        with trio.fail_after(10):
            while not maintained.is_set():
                await port.apply_all(Changes, lambda applied: None)
    assert len(store.applied) <= 2 * ROUNDS_A_STAY


async def test_a_round_that_fails_ends_the_stay_and_those_before_it_are_told() -> None:
    store, port = threaded()
    good, bad, never = Changes(), Changes(unparked=[1]), Changes(unparked=[2])
    left = [good, bad, never]
    told: list[Applied] = []

    def apply(changes: Changes) -> Applied:
        if changes is bad:
            raise StoreFull("no room", rest=changes, applied=Applied())
        return FakeStore.apply(store, changes)

    store.apply = apply  # type: ignore[method-assign]
    with pytest.raises(StoreFull):
        await port.apply_all(lambda: left.pop(0) if left else None, told.append)
    assert store.applied == [good] and len(told) == 1 and left == [never]


async def test_an_error_of_whoever_is_told_comes_out_of_the_stay() -> None:
    _, port = threaded()

    def applied(one: Applied) -> None:
        raise ZeroDivisionError

    for rounds in (1, 5):
        left = [Changes() for _ in range(rounds)]
        with pytest.raises(ZeroDivisionError):
            await port.apply_all(lambda left=left: left.pop() if left else None, applied)  # type: ignore[misc]


async def test_results_and_errors_come_back() -> None:
    _, port = threaded()
    assert await port.read(lambda s: 42) == 42
    assert (await port.apply(Changes())).parts == 0
    with pytest.raises(ZeroDivisionError):
        await port.write(lambda s: 1 // 0)


async def test_a_transaction_is_finished_though_its_caller_is_cancelled() -> None:
    store, port = threaded()
    with trio.CancelScope() as scope:
        scope.cancel()
        with trio.CancelScope(shield=True) as shield:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(port.apply, Changes())
                await trio.sleep(0)
                shield.shield = False
                nursery.cancel_scope.cancel()
    assert len(store.applied) in (0, 1)
    assert store.inside == {"write": 0, "read": 0}, "nobody is left inside"


async def test_durations_follow_trios_clock_and_timestamps_the_machines(
    mock_clock: trio.testing.MockClock,
) -> None:
    clock = RealClock()
    before, wall = clock.now(), clock.wall_ms()
    mock_clock.jump(3600)
    assert clock.now() - before == 3600
    assert 0 <= clock.wall_ms() - wall < 60_000 and wall > 1_700_000_000_000


def test_random_streams_are_repeatable_and_apart() -> None:
    one, again, other = seeded(1), seeded(1), seeded(2)
    assert one("jitter").random() == again("jitter").random()
    assert one("jitter").random() != one("ids").random()
    assert one("jitter").random() != other("jitter").random()
    real = seeded(None)
    assert real("jitter").random() != real("jitter").random()


async def test_the_real_world_is_made_of_these() -> None:
    store, _ = threaded()
    ports = real_ports(cast(TrafficStore, store))
    assert isinstance(ports.clock, RealClock) and isinstance(ports.network, RealNetwork)
    assert isinstance(ports.store, ThreadedStore) and ports.store.store is cast(Any, store)


async def test_a_listener_is_reached_by_a_connection() -> None:
    network = RealNetwork()
    (listener,) = await network.listen("127.0.0.1", 0)
    assert isinstance(listener, trio.SocketListener)
    async with listener, trio.open_nursery() as nursery:
        port = listener.socket.getsockname()[1]

        async def serve() -> None:
            async with await listener.accept() as stream:
                await stream.send_all(b"hello")

        nursery.start_soon(serve)
        async with await network.connect("127.0.0.1", port) as stream:
            assert bytes(await stream.receive_some(5)) == b"hello"
