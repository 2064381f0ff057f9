"""Group commit: order, durability before any callback, and what a full or broken disk does."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from gateway.committer import FULL_RETRY_S, PATIENCE_S, ROUND_PARTS_MAX, Committer, merge
from store.model import Changes, Outcome, Part, State, Usage
from store.port import Applied, StoreFailed, StoreFull
from tests.gateway.core_world import make_part
from tests.one_by_one import OneByOne


class FakeStore(OneByOne):
    """What was made durable, in order; `before` runs inside each apply and may raise."""

    def __init__(self) -> None:
        self.rounds: list[Changes] = []
        self.before: Callable[[Changes], None] = lambda changes: None
        self.took_s = 0.0

    async def apply(self, changes: Changes) -> Applied:
        await trio.sleep(self.took_s)
        self.before(changes)
        self.rounds.append(changes)
        return Applied(parts=len(changes.parts), commit_s=0.001)

    def part_ids(self) -> list[int]:
        return [part.id for changes in self.rounds for part in changes.parts]

    def usage(self) -> list[Usage]:
        return [row for changes in self.rounds for row in changes.usage]

    def outcomes(self) -> list[int]:
        return [outcome.part_id for changes in self.rounds for outcome in changes.outcomes]


def submitted(*ids: int, user: int = 1) -> Changes:
    """New messages as intake hands them in."""
    return Changes(parts=[make_part(i) for i in ids], usage=[Usage(user, 0, len(ids), 0)])


def reported(part_id: int) -> Changes:
    """The end of an old message."""
    return Changes(outcomes=[Outcome(part_id, 1, State.DELIVERED, 0, 0)])


@asynccontextmanager
async def running(store: FakeStore) -> AsyncIterator[Committer]:
    committer = Committer(store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        yield committer
        committer.close()


async def test_nothing_is_called_before_it_is_durable(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore()
    store.took_s = 1.0
    durable: list[int] = []
    async with running(store) as committer:
        ticket = committer.submit(submitted(1), lambda applied: durable.append(len(store.rounds)))
        await trio.sleep(0.9)
        assert not durable and not ticket.settled.is_set()
        await ticket.settled.wait()
    assert durable == [1]


async def test_callbacks_run_in_the_order_of_submission(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore()
    store.took_s = 0.01
    called: list[int] = []
    async with running(store) as committer:
        for number in range(50):
            changes = submitted(number + 1) if number % 3 else reported(number + 1)
            committer.submit(changes, lambda applied, number=number: called.append(number))
            if number % 7 == 0:
                await trio.sleep(0.005)
    assert called == list(range(50))
    assert len(store.rounds) < 50, "rounds are shared"


async def test_while_a_round_commits_the_next_one_collects(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore()
    store.took_s = 1.0
    async with running(store) as committer:
        committer.submit(submitted(1), lambda applied: None)
        await trio.sleep(0.5)
        for number in (2, 3, 4):
            committer.submit(submitted(number), lambda applied: None)
    assert [len(changes.parts) for changes in store.rounds] == [1, 3]


async def test_what_nobody_waits_for_goes_with_the_next_round_that_somebody_does(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    async with running(store) as committer:
        for _ in range(2):  # it begins anew after a round
            ticket = committer.submit(reported(9), lambda applied: None, patient=True)
            await trio.sleep(PATIENCE_S / 2)
            assert not ticket.settled.is_set()
            await committer.commit(submitted(1))
            assert ticket.settled.is_set()
    assert [(len(changes.parts), len(changes.outcomes)) for changes in store.rounds] == [(1, 1)] * 2


async def test_what_nobody_waits_for_waits_no_longer_than_its_patience(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    async with running(store) as committer:
        began = trio.current_time()
        first = committer.submit(reported(8), lambda applied: None, patient=True)
        await trio.sleep(PATIENCE_S / 2)
        second = committer.submit(reported(9), lambda applied: None, patient=True)
        with trio.fail_after(1):
            await first.settled.wait()
        assert trio.current_time() - began == pytest.approx(PATIENCE_S)
        assert second.settled.is_set()
    assert len(store.rounds) == 1


async def test_what_came_without_hurry_during_a_round_is_not_forgotten_behind_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    store.took_s = 0.01
    async with running(store) as committer:
        committer.submit(submitted(1), lambda applied: None)
        await trio.sleep(0.005)
        late = committer.submit(reported(9), lambda applied: None, patient=True)
        with trio.fail_after(0.02 + PATIENCE_S):
            await late.settled.wait()
    assert len(store.rounds) == 2


async def test_a_round_is_bounded_but_a_ticket_is_never_torn(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore()
    async with running(store) as committer:
        committer.submit(submitted(*range(1, ROUND_PARTS_MAX)), lambda applied: None)
        committer.submit(submitted(10_001, 10_002), lambda applied: None)
        committer.submit(submitted(*range(20_000, 20_000 + ROUND_PARTS_MAX + 1)), lambda applied: None)
        for number in range(30_000, 30_000 + ROUND_PARTS_MAX // 2 + 1):
            committer.submit(submitted(2 * number, 2 * number + 1), lambda applied: None)
    assert [len(changes.parts) for changes in store.rounds] == [
        ROUND_PARTS_MAX - 1, 2, ROUND_PARTS_MAX + 1, ROUND_PARTS_MAX, 2,
    ]  # fmt: skip


async def test_commit_waits_and_says_what_was_applied(autojump_clock: trio.testing.MockClock) -> None:
    async with running(FakeStore()) as committer:
        applied = await committer.commit(submitted(1, 2))
    assert applied is not None and applied.parts == 2


async def test_close_lets_what_waits_be_written(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore()
    async with running(store) as committer:
        for number in range(1, 6):
            committer.submit(submitted(number), lambda applied: None)
        committer.close()
    assert store.part_ids() == [1, 2, 3, 4, 5]


def full_of(*unstored: int, applied: Applied | None = None) -> Callable[[Changes], None]:
    """A disk with no room for these parts (and, if there are none, for nothing), once."""

    def before(changes: Changes) -> None:
        rest = Changes(
            parts=[part for part in changes.parts if part.id in unstored],
            outcomes=changes.outcomes,
            usage=changes.usage,
        )
        if rest.parts:
            raise StoreFull("full", rest=rest, applied=applied or Applied())

    return before


async def test_a_full_disk_refuses_new_messages_and_keeps_reports_on_old_ones(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    store.before = full_of(1, 2, 3)
    told: list[str] = []
    async with running(store) as committer:
        committer.submit(submitted(1), lambda a: told.append("1 durable"), lambda: told.append("1 refused"))
        committer.submit(reported(9), lambda a: told.append("9 durable"), lambda: told.append("9 refused"))
        committer.submit(
            submitted(2, 3), lambda a: told.append("2 durable"), lambda: told.append("2 refused")
        )
    assert sorted(told) == ["1 refused", "2 refused", "9 durable"]
    assert store.part_ids() == [] and store.outcomes() == [9]
    assert store.usage() == [], "refused messages cost nothing"


async def test_a_full_disk_refuses_only_messages_that_were_not_stored(
    autojump_clock: trio.testing.MockClock,
) -> None:
    # A round over two days commits day by day: part 1 was stored before the disk was full.
    store = FakeStore()
    first, second = submitted(1, user=1), submitted(2, user=2)

    def before(changes: Changes) -> None:
        if any(part.id == 2 for part in changes.parts):
            rest = Changes(parts=[p for p in changes.parts if p.id == 2], usage=list(second.usage))
            raise StoreFull("full", rest=rest, applied=Applied(parts=1))

    store.before = before
    told: list[str] = []
    async with running(store) as committer:
        committer.submit(first, lambda a: told.append("1 durable"), lambda: told.append("1 refused"))
        committer.submit(second, lambda a: told.append("2 durable"), lambda: told.append("2 refused"))
    assert sorted(told) == ["1 durable", "2 refused"]
    assert store.usage() == []


async def test_a_message_of_which_a_part_is_stored_is_completed_not_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    # Its batch straddles midnight. Refused, the stored half would be sent all the same.
    store = FakeStore()
    both = submitted(1, 2)
    tries = 0

    def before(changes: Changes) -> None:
        nonlocal tries
        tries += 1
        if tries <= 3:
            rest = Changes(parts=[p for p in changes.parts if p.id == 2], usage=list(both.usage))
            raise StoreFull("full", rest=rest, applied=Applied(parts=int(tries == 1)))

    store.before = before
    told: list[str] = []
    async with running(store) as committer:
        committer.submit(both, lambda a: told.append("durable"), lambda: told.append("refused"))
    assert told == ["durable"]
    assert store.part_ids() == [2] and store.usage() == both.usage


async def test_reports_are_kept_until_there_is_room_and_what_waits_behind_them_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    room_at = trio.current_time() + 10 * FULL_RETRY_S

    def before(changes: Changes) -> None:
        if trio.current_time() < room_at:
            raise StoreFull("full", rest=changes, applied=Applied())

    store.before = before
    told: list[tuple[str, float]] = []

    def tell(what: str) -> None:
        told.append((what, trio.current_time()))

    async with running(store) as committer:
        committer.submit(reported(9), lambda a: tell("9 durable"))
        await trio.sleep(FULL_RETRY_S / 2)
        began = trio.current_time()
        committer.submit(reported(8), lambda a: tell("8 durable"))
        committer.submit(submitted(1), lambda a: tell("1 durable"), lambda: tell("1 refused"))
    assert [what for what, _ in told] == ["1 refused", "9 durable", "8 durable"]
    assert told[0][1] - began <= FULL_RETRY_S, "nobody waits for an answer until there is room"
    assert told[1][1] >= room_at


async def test_what_a_caller_handed_in_is_still_whole_after_a_refusal(
    autojump_clock: trio.testing.MockClock,
) -> None:
    # The caller gives the quota back by these rows.
    store = FakeStore()

    def before(changes: Changes) -> None:
        raise StoreFull("full", rest=changes, applied=Applied())

    store.before = before
    changes = submitted(1)
    async with running(store) as committer:
        assert await committer.commit(changes) is None
    assert len(changes.parts) == 1 and changes.usage == [Usage(1, 0, 1, 0)]


async def test_statistics_count_what_was_stored_only(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore()
    seen: list[int] = []
    async with running(store) as committer:
        committer.on_applied = lambda changes, applied: seen.append(len(changes.parts))
        await committer.commit(submitted(1, 2))
        store.before = full_of(3)
        ticket = committer.submit(submitted(3), lambda a: None)
        await committer.commit(reported(1))
        await ticket.settled.wait()
    statistics = committer.statistics()
    assert (statistics.rounds, statistics.parts, statistics.refused_rounds) == (2, 2, 1)
    assert statistics.waiting_changes == 0
    assert sum(seen) == 2
    assert statistics.last_commit_s == 0.001


async def test_a_broken_disk_ends_the_committer_and_answers_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()

    def before(changes: Changes) -> None:
        raise StoreFailed("EIO")

    store.before = before
    told: list[str] = []
    committer = Committer(store)
    ticket = committer.submit(
        submitted(1), lambda applied: told.append("durable"), lambda: told.append("refused")
    )
    with pytest.raises(StoreFailed):
        await committer.run()
    assert not told and not ticket.settled.is_set()


def changes_of(lists: tuple[list[int], list[int], list[int]]) -> Changes:
    parts, unparked, users = lists
    return Changes(
        parts=[make_part(i) for i in parts], unparked=list(unparked), usage=[Usage(u, 0, 1, 0) for u in users]
    )


numbers = st.lists(st.integers(1, 9), max_size=3)


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=5))
def test_a_merged_round_holds_every_row_of_every_caller_in_order(
    callers: list[tuple[list[int], list[int], list[int]]],
) -> None:
    many = [changes_of(lists) for lists in callers]
    merged = merge(many)

    def ids(parts: list[Part]) -> list[int]:
        return [part.id for part in parts]

    assert ids(merged.parts) == [i for lists in callers for i in lists[0]]
    assert merged.unparked == [i for lists in callers for i in lists[1]]
    assert [row.user for row in merged.usage] == [i for lists in callers for i in lists[2]]
    assert [ids(one.parts) for one in many] == [lists[0] for lists in callers], "callers keep their own"
