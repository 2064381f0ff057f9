"""The few moves that join the pieces: offers, ends, claims, failover, over a store of its own."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from filters.blacklist import Scope
from filters.verdict import Reason
from gateway.core import Core
from gateway.housekeeping import Housekeeping
from gateway.ports import Ports, seeded
from gateway.settings import Config
from store.directory import Account, Carrier, Directory, Group, Route, User
from store.model import Changes, State
from store.port import Applied, StoreOptions
from store.traffic import SqliteStore
from tests.gateway.core_world import DEST, NOW_MS, FakeBind, FakeClock, ok, receipt, refusal
from tests.gateway.test_intake import submit
from tests.gateway.test_outbound import ids
from tests.one_by_one import OneByOne

SMALL = StoreOptions(ballast_octets=0, cache_kib=2048, disk_low_octets=0, disk_critical_octets=0)


class InlineStore(OneByOne):
    """A real store without threads."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.meanwhile: list[Callable[[], None]] = []  # happens once, while the next round is written
        self.on_disk: list[Callable[[], Awaitable[None]]] = []  # once it is written and nobody knows yet

    async def apply(self, changes: Changes) -> Applied:
        await trio.lowlevel.checkpoint()
        while self.meanwhile:
            self.meanwhile.pop()()
        applied = self.store.apply(changes)
        while self.on_disk:
            await self.on_disk.pop()()
        return applied

    async def write(self, call: Callable[[Any], Any]) -> Any:
        await trio.lowlevel.checkpoint()
        return call(self.store)

    read = write


def directory(**carrier: Any) -> Directory:
    return Directory(
        groups={1: Group(1, "g", review="trust")},
        users={1: User(1, "u", 1, limit=1000)},
        accounts={1: Account(1, 1, "u", "hash")},
        carriers={1: Carrier(1, "a", **carrier), 2: Carrier(2, "b")},
        routes={1: Route(1, "", (1, 2))},
        sms_types={"api": 1},
    )


class Here:
    def __init__(self, path: Path, **carrier: Any) -> None:
        self.clock = FakeClock()
        self.store = SqliteStore.open(path, now_ms=NOW_MS, options=SMALL)
        self.port = InlineStore(self.store)
        ports = Ports(self.clock, cast(Any, None), seeded(1), self.port)
        self.core = Core(ports, Config())
        self.core.set_directory(directory(**carrier))
        self.account = self.core.accounts[1]

    async def submit(self, count: int = 1, text: bytes = b"hello") -> list[int]:
        return await self.core.submit_many(self.account, [submit(text) for _ in range(count)])

    def watched_bind(self) -> tuple[FakeBind, list[int]]:
        """A bind of the first carrier, and what each part was in the store when it left."""
        bind = FakeBind(self.core.carriers[1])
        stored_as: list[int] = []
        send = bind.send_flights

        def look_first(flights: Any, bodies: Any, now: float) -> None:
            stored_as.extend(self.store.parts([flight.part.id])[0].state for flight in flights)
            send(flights, bodies, now)

        bind.send_flights = look_first  # type: ignore[method-assign]
        return bind, stored_as

    def take(self, carrier: int, *smsc_ids: bytes) -> list[Any]:
        """The carrier accepts what it was sent."""
        state = self.core.carriers[carrier]
        bind = cast(FakeBind, state.binds[0])
        flights, bind.flights = bind.flights, []
        changes = Changes()
        answers = [(flight, ok(smsc_id)) for flight, smsc_id in zip(flights, smsc_ids, strict=True)]
        self.core.outcomes.answers(state, 1, answers, changes)
        self.core.committer.submit(changes, lambda applied: None)
        return flights


@asynccontextmanager
async def running(path: Path, **carrier: Any) -> AsyncIterator[Here]:
    here = Here(path, **carrier)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.core.committer.run)
        yield here
        await here.core.committer.commit(Changes())
        here.core.committer.close()
    assert here.store.verify({1: 1}) == []
    balance = here.core.quota.balances[1]
    usage = [here.store.usage(day).get(1, (0, 0)) for day in here.store.days()]
    assert (balance.reserved, balance.used) == (sum(r for r, _ in usage), sum(u for _, u in usage))
    here.store.close()


async def test_what_is_submitted_is_durable_before_it_is_offered(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        bind, stored_as = here.watched_bind()
        results = await here.submit(3)
        assert bind.sent_ids() == results and stored_as == [State.QUEUED] * 3


async def test_what_a_reading_finds_before_it_is_offered_is_queued_once(tmp_path: Path) -> None:
    """After a restart queues are read from the store while customers submit: such a part was sent, and charged,
    twice."""
    async with running(tmp_path) as here:
        queue = here.core.carriers[1].queue
        queue.spill(1, 1)
        housekeeping = Housekeeping(here.core, cast(Any, None))
        here.port.on_disk.append(housekeeping.refill)
        results = await here.submit(3)
        assert ids(queue.take(9)) == results
        results = await here.submit(2)
        assert ids(queue.take(9)) == results


async def test_a_full_disk_leaves_a_day_unsealed_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as here:
        await here.submit()
        (day,) = here.store.days()
        monkeypatch.setattr(here.store, "seal", lambda day: None)  # it is not over yet
        sealed: list[int] = []

        async def seal(day: int) -> None:
            if not sealed:
                sealed.append(0)
                # What SQLite raises, by filling a database that may not grow.
                connection = sqlite3.connect(":memory:")
                connection.execute("PRAGMA max_page_count=1")
                connection.execute("CREATE TABLE t(x)")
            sealed.append(day)

        housekeeping = Housekeeping(here.core, seal)
        housekeeping._to_seal.add(day)
        await housekeeping.seal_days()
        assert sealed == [0]
        await housekeeping.seal_days()
        await housekeeping.seal_days()
        assert sealed == [0, day], "tried again, once"


async def test_what_falls_due_while_its_cancelling_is_read_is_not_cancelled_and_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        bind, _ = here.watched_bind()
        soon = submit(schedule_delivery_time=b"000000000010000R")
        (message_id,) = await here.core.submit_many(here.account, [soon])
        read_before = here.store.parts([message_id])
        here.clock.advance(11)
        await Housekeeping(here.core, cast(Any, None)).fire_schedules()
        assert bind.sent_ids() == [message_id]
        assert await here.core.operations.cancel_parts(read_before) == 0
        here.take(1, b"a")


async def test_what_falls_due_while_a_queue_is_read_is_queued_once(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        housekeeping = Housekeeping(here.core, cast(Any, None))
        soon = submit(schedule_delivery_time=b"000000000010000R")
        (message_id,) = await here.core.submit_many(here.account, [soon])
        here.clock.advance(11)
        queue = here.core.carriers[1].queue
        queue.spill(1, 1)
        here.port.on_disk.append(housekeeping.refill)
        await housekeeping.fire_schedules()
        assert ids(queue.take(9)) == [message_id]
        await housekeeping.refill()
        assert not queue.take(9)


async def test_a_message_longer_than_what_may_wait_is_fetched_whole(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        queue = here.core.carriers[1].queue
        queue.parts_max = 2
        queue.spill(1, 1)
        results = await here.submit(2, b"a" * 400)  # three parts each
        await Housekeeping(here.core, cast(Any, None)).refill()
        assert ids(queue.take(9)) == [results[0], results[0] + 1, results[0] + 2]


@pytest.mark.parametrize("on_unknown", ["resend", "hold"])
async def test_a_number_blacklisted_while_its_message_was_on_the_wire_is_not_sent_again(
    tmp_path: Path, on_unknown: str
) -> None:
    async with running(tmp_path, on_unknown=on_unknown) as here:
        core = here.core
        bind, _ = here.watched_bind()
        await here.submit()
        await here.core.committer.commit(Changes())
        core.screens.blacklists.add(Scope("global"), [DEST])
        core.reject_blacklisted()
        changes = Changes()
        flights = [(flight, refusal(0x58)) for flight in bind.flights]
        core.outcomes.answers(core.carriers[1], 1, flights, changes)
        core.committer.submit(changes, lambda applied: None)
        await core.committer.commit(Changes())
        assert core.carriers[1].queue.length == 0
        assert [part.state for part in here.store.parts(bind.sent_ids())] == [State.REJECTED]


async def test_parts_claimed_at_a_crash_end_with_one_receipt_for_their_message(tmp_path: Path) -> None:
    async with running(tmp_path, on_unknown="fail") as here:
        bind, _ = here.watched_bind()
        await here.submit(1, b"a" * 400)
        await here.core.committer.commit(Changes())
        here.take(1, b"a", b"b", b"c")
        changes = Changes()
        await here.core.committer.commit(changes)
        here.core.splits = here.core.outcomes._splits = type(here.core.splits)(lambda account: False)
        first = bind.sent_ids()[0]
        parts = here.store.parts([first, first + 1, first + 2])
        told = here.core.outcomes.end(parts[:1], State.FAILED, 1, changes)
        assert told
        await here.core.committer.commit(changes)
        again = type(here.core.splits)(lambda account: False)  # a new process
        here.core.splits = here.core.outcomes._splits = again
        later = Changes()
        await here.core.adopt_messages_of(parts[1:])
        assert here.core.outcomes.end(parts[1:], State.UNKNOWN, 1, later) == []
        await here.core.committer.commit(later)


async def test_failover_moves_whole_messages_and_counts_their_attempts_on(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        core = here.core
        one, other = core.carriers[1], core.carriers[2]
        results = await here.submit(2, b"a" * 254)
        bind = FakeBind(one, window=1)
        one.pump()
        changes = Changes()
        core.outcomes.unanswered(one, 1, bind.flights, changes, lost=True)
        core.committer.submit(changes, lambda applied: None)
        one.put_back(list(bind.carried))
        one.binds.clear()
        FakeBind(other, window=9)
        other.queue.parts_max = 3  # room for one message and a half
        await Housekeeping(core, cast(Any, None)).fail_over(one)
        moved = cast(FakeBind, other.binds[0]).flights
        assert [(flight.part.id, flight.n) for flight in moved] == [(results[0], 2), (results[0] + 1, 1)]
        assert [part.carrier for part in here.store.parts([results[0], results[1]])] == [2, 1]
        assert not one.tries and one.queue.length == 2
        here.take(2, b"b1", b"b2")


async def test_a_number_blacklisted_while_its_message_was_being_stored_is_not_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        bind = FakeBind(here.core.carriers[1])

        def blacklist() -> None:
            here.core.screens.blacklists.add(Scope("global"), [DEST])
            here.core.reject_blacklisted()

        here.port.meanwhile.append(blacklist)
        await here.submit()
        await here.core.committer.commit(Changes())
        assert not bind.sent
        (event,) = here.account.outbox.ready
        assert event.part is not None and event.part.state == State.REJECTED
        assert event.error == Reason.BLACKLISTED_AT_DISPATCH
        assert here.core.quota.balances[1].reserved == 0


async def test_what_waits_is_rejected_at_once_when_its_number_is_blacklisted(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        (message_id,) = await here.submit()
        here.core.screens.blacklists.add(Scope("group", 1), [DEST])
        here.core.reject_blacklisted()
        assert here.core.carriers[1].queue.length == 0
        await here.core.committer.commit(Changes())
        (part,) = here.store.parts([message_id])
        assert part.state == State.REJECTED


async def test_a_receipt_after_we_gave_up_is_a_repeat(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        core = here.core
        FakeBind(core.carriers[1])
        (message_id,) = await here.submit()
        here.take(1, b"x1")
        await core.committer.commit(Changes())
        core.end(here.store.parts([message_id]), State.UNKNOWN, Reason.NO_RECEIPT)
        read = await core.read_receipts(core.carriers[1], [receipt(b"x1")])
        assert core.outcomes.receipts(core.carriers[1], 1, [receipt(b"x1")], read, Changes()) == []
        assert core.outcomes.duplicate_receipts == 1
        await core.committer.commit(Changes())
        assert len(here.account.outbox.ready) == 1, "told once"


async def test_at_most_once_parts_are_claimed_on_disk_before_they_leave(tmp_path: Path) -> None:
    async with running(tmp_path, on_unknown="hold") as here:
        bind, stored_as = here.watched_bind()
        results = await here.submit(2)
        await here.core.committer.commit(Changes())
        assert bind.sent_ids() == results and stored_as == [State.CLAIMED] * 2


async def test_an_expired_part_ends_and_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        (message_id,) = await here.submit()
        here.clock.advance(72 * 3600)
        bind = FakeBind(here.core.carriers[1])
        here.core.carriers[1].pump()
        await here.core.committer.commit(Changes())
        (part,) = here.store.parts([message_id])
        assert part.state == State.EXPIRED and not bind.sent
        assert ids([event.part for event in here.account.outbox.ready if event.part]) == [message_id]


async def test_settings_that_make_no_submit_fail_the_message_and_not_the_daemon(tmp_path: Path) -> None:
    async with running(tmp_path, default_sender="a sender far beyond twenty octets") as here:
        FakeBind(here.core.carriers[1])
        (message_id,) = await here.core.submit_many(here.account, [submit(source_addr=b"")])
        await here.core.committer.commit(Changes())
        (part,) = here.store.parts([message_id])
        assert (part.state, part.error) == (State.FAILED, Reason.BAD_FIELD)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda core: setattr(core, "draining", True), Reason.SHUTTING_DOWN),
        (lambda core: setattr(core, "disk", "low"), Reason.DISK_LOW),
        (lambda core: setattr(core, "disk", "critical"), Reason.DISK_LOW),
    ],
)
async def test_while_nothing_can_be_taken_everything_is_refused_at_once(
    change: Callable[[Core], None], reason: Reason, tmp_path: Path
) -> None:
    async with running(tmp_path) as here:
        change(here.core)
        assert await here.submit(2) == [-reason, -reason]
        assert not here.store.days() or not here.store.parts_of(1, 1 << 62, 9)


async def test_a_directory_changes_in_place(tmp_path: Path) -> None:
    async with running(tmp_path) as here:
        core = here.core
        kept, account = core.carriers[1], core.accounts[1]
        bind = FakeBind(core.carriers[2])
        core.set_directory(
            Directory(
                users=directory().users,
                groups=directory().groups,
                accounts=directory().accounts,
                carriers={1: Carrier(1, "renamed", split="udh16")},
                sms_types={"api": 1},
            )
        )
        assert core.carriers[1] is kept and kept.carrier.name == "renamed" and core.accounts[1] is account
        assert 2 in core.carriers, "a carrier with a bind is kept until that has left"
        assert core.intake.rules.long_references == {1}
        core.carriers[2].binds.remove(cast(Any, bind))
        core.set_directory(Directory(users=directory().users))
        assert not core.carriers and not core.accounts and not core.accounts_by_system_id
