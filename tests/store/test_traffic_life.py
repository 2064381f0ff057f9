"""A message's life through `apply`, and what the reads say at each station, young and old alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.model import (
    LINK_LOST,
    NO_ANSWER,
    NO_ERROR,
    Changes,
    Delivered,
    State,
    Usage,
)
from store.port import QueueKey, TrafficStore
from store.traffic import MS_A_DAY, SqliteStore
from tests.store.traffic_world import (
    NOON_MS,
    NOON_S,
    TODAY,
    attempt,
    id_at,
    inbound,
    open_store,
    outcome,
    parked,
    part,
    parts,
    receipt,
)

ALL = 1 << 62


@pytest.fixture(params=["young", "old", "restarted"])
def age(request: pytest.FixtureRequest) -> str:
    """How long ago the last change was: in memory, indexed, or found again by a start."""
    return str(request.param)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[SqliteStore]]:
    opened = [open_store(tmp_path)]
    yield opened
    opened[-1].close()


def let(stores: list[SqliteStore], age: str) -> SqliteStore:
    """Bring what was applied so far to an age."""
    if age == "old":
        for minutes in (1, 2, 3):
            while stores[-1].maintain(NOON_MS + minutes * 60_000).more:
                pass
    if age == "restarted":
        store = stores.pop()
        directory = store.directory
        store.close()
        stores.append(open_store(directory))
    return stores[-1]


def test_sqlite_store_has_every_call_of_the_port() -> None:
    calls = {name for name in vars(TrafficStore) if not name.startswith("_")}
    assert {name for name in calls if not callable(getattr(SqliteStore, name, None))} == set()


def test_accepted_parts_wait_in_their_line_in_order_of_id(stores: list[SqliteStore], age: str) -> None:
    wanted = parts(5)
    others = [part(10, account=8), part(11, lane=2), part(12, carrier=2)]
    stores[-1].apply(Changes(parts=[others[0], *reversed(wanted), *others[1:]]))
    store = let(stores, age)
    assert store.queued(1, 1, 7, 0, 100) == wanted
    assert store.queued(1, 1, 7, wanted[1].id, 2) == wanted[2:4]
    assert store.queued(1, 1, 8, 0, 100) == [others[0]]
    assert store.queued(1, 2, 7, 0, 100) == [others[1]]
    assert store.queued(2, 1, 7, 0, 100) == [others[2]]
    assert store.queued(3, 1, 7, 0, 100) == []


def test_an_accepted_part_leaves_the_queue_and_awaits_its_receipt(
    stores: list[SqliteStore], age: str
) -> None:
    some = parts(4)
    stores[-1].apply(Changes(parts=some))
    store = let(stores, age)
    store.apply(Changes(attempts=[attempt(p) for p in some[:3]]))
    store = let(stores, age)
    assert store.queued(1, 1, 7, 0, 100) == some[3:]
    found = store.awaiting_receipt(ALL, 2)
    assert [(p.id, p.state, a.smsc_message_id) for p, a in found] == [
        (some[2].id, State.SENT, "s2"),
        (some[1].id, State.SENT, "s1"),
    ]
    assert [p.id for p, _ in store.awaiting_receipt(some[1].id, 10)] == [some[0].id]


@pytest.mark.parametrize("status", [NO_ANSWER, LINK_LOST, 0x58])
def test_a_part_that_no_carrier_accepted_stays_in_the_queue(
    stores: list[SqliteStore], age: str, status: int
) -> None:
    some = parts(1)
    stores[-1].apply(Changes(parts=some, attempts=[attempt(some[0], status=status)]))
    store = let(stores, age)
    assert store.queued(1, 1, 7, 0, 100) == some
    assert store.awaiting_receipt(ALL, 10) == []


def test_a_late_answer_replaces_the_timeout_of_the_same_attempt(stores: list[SqliteStore], age: str) -> None:
    some = parts(1)
    stores[-1].apply(Changes(parts=some, attempts=[attempt(some[0], status=NO_ANSWER)]))
    store = let(stores, age)
    store.apply(Changes(attempts=[attempt(some[0])]))
    life = store.message(some[0].id)
    assert life is not None
    assert [(a.n, a.status) for a in life.attempts] == [(1, 0)]
    assert store.queued(1, 1, 7, 0, 100) == []


@pytest.mark.parametrize("sent", [True, False])
def test_an_end_is_applied_once_whatever_the_age(stores: list[SqliteStore], age: str, sent: bool) -> None:
    some = parts(2)
    stores[-1].apply(Changes(parts=some))
    store = let(stores, age)
    if sent:
        store.apply(Changes(attempts=[attempt(p) for p in some]))
        store = let(stores, age)
    first = store.apply(Changes(outcomes=[outcome(some[0], State.FAILED, 0x45)]))
    assert (first.outcomes, first.refused_outcomes) == (1, [])
    store = let(stores, age)
    second = outcome(some[0], State.DELIVERED)
    again = store.apply(Changes(outcomes=[second, outcome(some[1])]))
    assert (again.outcomes, again.refused_outcomes) == (1, [second])
    found = store.parts([p.id for p in some])
    assert [(p.state, p.error, p.done_at) for p in found] == [
        (State.FAILED, 0x45, NOON_MS + 9),
        (State.DELIVERED, NO_ERROR, NOON_MS + 9),
    ]
    assert store.queued(1, 1, 7, 0, 100) == []
    assert store.awaiting_receipt(ALL, 10) == []
    assert store.verify() == []


def test_of_two_ends_in_one_round_the_first_stands(stores: list[SqliteStore]) -> None:
    some = part()
    stores[-1].apply(Changes(parts=[some]))
    second = outcome(some, State.EXPIRED)
    applied = stores[-1].apply(Changes(outcomes=[outcome(some), second]))
    assert applied.refused_outcomes == [second]
    assert stores[-1].parts([some.id])[0].state == State.DELIVERED


def test_an_end_of_an_unknown_part_is_refused(stores: list[SqliteStore]) -> None:
    unknown = outcome(part(99))
    assert stores[-1].apply(Changes(outcomes=[unknown])).refused_outcomes == [unknown]
    assert stores[-1].verify() == []


def test_accepted_sent_and_ended_in_one_round(stores: list[SqliteStore], age: str) -> None:
    some = part()
    told = receipt(some, 500)
    applied = stores[-1].apply(
        Changes(parts=[some], attempts=[attempt(some)], receipts=[told], outcomes=[outcome(some)])
    )
    assert applied.outcomes == 1
    store = let(stores, age)
    life = store.message(some.id)
    assert life is not None
    assert life.parts[0].state == State.DELIVERED
    assert life.receipts == [told]
    assert store.verify() == []


def test_a_part_that_is_refused_at_acceptance_is_stored_with_its_end(stores: list[SqliteStore]) -> None:
    refused = part(1, state=State.REJECTED, error=9, done_at=NOON_MS)
    stores[-1].apply(Changes(parts=[part(0), refused]))
    assert stores[-1].parts([refused.id]) == [refused]
    assert [p.id for p in stores[-1].queued(1, 1, 7, 0, 10)] == [id_at(0)]
    assert stores[-1].verify() == []


def test_message_tells_the_whole_life_from_any_part_id(stores: list[SqliteStore], age: str) -> None:
    some = [part(n, part_no=n + 1, parts=2) for n in range(2)]
    early = receipt(some[0], 600, message_state=1, event=0)
    told = [receipt(some[0], 601), receipt(some[1], 602)]
    repeated = receipt(some[1], 603, event=0)
    store = stores[-1]
    store.apply(Changes(parts=some))
    store.apply(Changes(attempts=[attempt(some[0], status=0x58), attempt(some[0], n=2), attempt(some[1])]))
    store.apply(Changes(receipts=[early]))
    store = let(stores, age)
    store.apply(Changes(receipts=told, outcomes=[outcome(p) for p in some]))
    store.apply(Changes(receipts=[repeated]))
    tries = [
        Delivered(7, "smpp:1", NOON_MS, 0x14, [told[0].id, told[1].id], False),
        Delivered(7, "smpp:1", NOON_MS + 1, 0, [told[0].id, 12345], True),
    ]
    store.apply(Changes(delivered=tries))
    store = let(stores, age)
    for asked in some:
        life = store.message(asked.id)
        assert life is not None
        assert life.id == some[0].id
        assert [p.state for p in life.parts] == [State.DELIVERED] * 2
        assert [(a.part_id, a.n, a.status) for a in life.attempts] == [
            (some[0].id, 1, 0x58),
            (some[0].id, 2, 0),
            (some[1].id, 1, 0),
        ]
        assert life.receipts == [early, told[0], told[1], repeated]
        assert [(o.part_id, o.state) for o in life.outcomes] == [(p.id, State.DELIVERED) for p in some]
        assert [(d.status, d.event_ids) for d in life.deliveries] == [
            (0x14, [told[0].id]),
            (0, [told[0].id]),
            (0x14, [told[1].id]),
        ]
    assert store.message(id_at(77)) is None
    assert store.verify() == []


# -- states set by `moved` and `replaced` ---------------------------------------------------------


def test_scheduled_parts_fall_due_by_time_and_then_queue(stores: list[SqliteStore], age: str) -> None:
    later = part(0, state=State.SCHEDULED, deliver_at=NOON_MS + 2000)
    sooner = part(1, state=State.SCHEDULED, deliver_at=NOON_MS + 1000)
    stores[-1].apply(Changes(parts=[later, sooner]))
    store = let(stores, age)
    assert store.scheduled_due(NOON_MS + 999, 10) == []
    assert store.scheduled_due(NOON_MS + 1000, 10) == [sooner]
    assert store.scheduled_due(NOON_MS + 9999, 10) == [sooner, later]
    assert store.queued(1, 1, 7, 0, 10) == []
    store.apply(Changes(moved=[(sooner.id, State.QUEUED, 2)]))
    store = let(stores, age)
    assert store.scheduled_due(NOON_MS + 9999, 10) == [later]
    assert [p.id for p in store.queued(2, 1, 7, 0, 10)] == [sooner.id]
    assert store.verify() == []


def test_claimed_then_held_then_released(stores: list[SqliteStore], age: str) -> None:
    some = parts(2)
    stores[-1].apply(Changes(parts=some))
    store = let(stores, age)
    store.apply(Changes(moved=[(p.id, State.CLAIMED, 1) for p in some]))
    store = let(stores, age)
    assert store.queued(1, 1, 7, 0, 10) == []
    assert [p.id for p in store.claimed(0, 10)] == [p.id for p in some]
    assert [p.id for p in store.claimed(some[0].id, 10)] == [some[1].id]
    store.apply(Changes(attempts=[attempt(some[0]), attempt(some[1], status=LINK_LOST)]))
    store = let(stores, age)
    assert [p.id for p in store.claimed(0, 10)] == [some[1].id]
    store.apply(Changes(moved=[(some[1].id, State.HELD, 1)]))
    store = let(stores, age)
    assert store.claimed(0, 10) == []
    assert [p.id for p in store.held(0, 10)] == [some[1].id]
    store.apply(Changes(moved=[(some[1].id, State.QUEUED, 3)]))
    store = let(stores, age)
    assert [(p.id, p.carrier) for p in store.queued(3, 1, 7, 0, 10)] == [(some[1].id, 3)]
    store.apply(Changes(outcomes=[outcome(p) for p in some]))
    assert store.verify() == []


def test_a_part_that_was_sent_or_ended_is_not_moved(stores: list[SqliteStore], age: str) -> None:
    sent, ended = parts(2)
    stores[-1].apply(Changes(parts=[sent, ended]))
    store = let(stores, age)
    store.apply(Changes(attempts=[attempt(sent)], outcomes=[outcome(ended, State.CANCELLED)]))
    store = let(stores, age)
    moves = [(p.id, int(State.QUEUED), 2) for p in (sent, ended)]
    replaced = [part(p.id & 0xFF, body=b"new") for p in (sent, ended)]
    assert store.apply(Changes(moved=moves)).refused_parts == [sent.id, ended.id]
    assert store.apply(Changes(replaced=replaced)).refused_parts == [sent.id, ended.id]
    assert [(p.carrier, p.state, p.body) for p in store.parts([sent.id, ended.id])] == [
        (1, State.SENT, b"body"),
        (1, State.CANCELLED, b"body"),
    ]
    assert store.verify() == []


def test_a_waiting_part_can_be_replaced_and_flagged(stores: list[SqliteStore], age: str) -> None:
    some = part(0, state=State.SCHEDULED, deliver_at=NOON_MS + 1000)
    queued = part(1)
    stores[-1].apply(Changes(parts=[some, queued]))
    store = let(stores, age)
    new = part(0, state=State.SCHEDULED, deliver_at=NOON_MS + 5000, body=b"new", registered_delivery=0)
    store.apply(Changes(replaced=[new, part(1, body=b"new")], flagged=[(queued.id, 3)]))
    store = let(stores, age)
    assert store.scheduled_due(NOON_MS + 4999, 10) == []
    assert store.scheduled_due(NOON_MS + 5000, 10) == [new]
    assert store.queued(1, 1, 7, 0, 10) == [part(1, body=b"new", flags=0)] or store.queued(
        1, 1, 7, 0, 10
    ) == [part(1, body=b"new", flags=3)]


def test_overdue_parts_are_those_past_validity_or_grace(stores: list[SqliteStore]) -> None:
    short = {"expires_at": NOON_MS + 1000}
    waiting, sent, ended, lasting = (*parts(3, **short), part(3))
    stores[-1].apply(Changes(parts=[waiting, sent, ended, lasting]))
    stores[-1].apply(Changes(attempts=[attempt(sent)], outcomes=[outcome(ended)]))
    store = let(stores, "old")
    assert store.overdue(NOON_MS + 1000, 10) == []
    assert [p.id for p in store.overdue(NOON_MS + 1001, 10)] == [waiting.id]
    grace = store.options.receipt_grace_ms
    assert [p.id for p in store.overdue(NOON_MS + 1001 + grace, 10)] == [waiting.id, sent.id]
    assert len(store.overdue(NOON_MS + 10 * MS_A_DAY, 2)) == 2


def test_pending_parts_are_found_by_account_source_and_destination(
    stores: list[SqliteStore], age: str
) -> None:
    some = [part(n, dest=86138) for n in range(3)]
    stores[-1].apply(Changes(parts=[*some, part(3, dest=86138, account=8), part(4, dest=86139)]))
    stores[-1].apply(Changes(outcomes=[outcome(some[2])], attempts=[attempt(some[1])]))
    store = let(stores, age)
    assert [p.id for p in store.find_pending(7, b"10690001", 86138)] == [some[1].id, some[0].id]
    assert [p.id for p in store.find_pending(7, b"", 86138, limit=1)] == [some[1].id]
    assert store.find_pending(7, b"other", 86138) == []


# -- the log of events ----------------------------------------------------------------------------


def test_events_stay_pending_until_done_and_come_in_order(stores: list[SqliteStore], age: str) -> None:
    some = parts(3)
    told = [receipt(p, 600 + n) for n, p in enumerate(some)]
    silent = receipt(some[0], 620, event=0)
    message = inbound(601 + 10)
    stores[-1].apply(Changes(parts=some, attempts=[attempt(p) for p in some]))
    stores[-1].apply(
        Changes(receipts=[told[1], told[0], told[2], silent], outcomes=[outcome(p) for p in some])
    )
    stores[-1].apply(Changes(inbound=[message, inbound(640, account=0, event=0)]))
    store = let(stores, age)
    assert store.accounts_with_pending_events() == {7: 4}
    found = store.pending_events(7, 0, 10)
    assert [e.id for e in found] == [*(r.id for r in told), message.id]
    assert [e.part.id for e in found if e.part] == [p.id for p in some]
    assert found[0].receipt == told[0]
    assert found[0].part is not None
    assert found[0].part.state == State.DELIVERED
    assert found[3].inbound == message
    assert [e.id for e in store.pending_events(7, told[0].id, 2)] == [told[1].id, told[2].id]
    refused = Delivered(7, "smpp:1", NOON_MS, 0x14, [told[0].id], False)
    taken = Delivered(7, "smpp:1", NOON_MS, 0, [told[0].id, told[1].id], True)
    assert store.apply(Changes(delivered=[refused])).delivered == 0
    assert store.apply(Changes(delivered=[taken])).delivered == 2
    assert store.apply(Changes(delivered=[taken])).delivered == 0
    store = let(stores, age)
    assert [e.id for e in store.pending_events(7, 0, 10)] == [told[2].id, message.id]
    assert store.accounts_with_pending_events() == {7: 2}
    rest = Delivered(7, "webhook:1", NOON_MS, 200, [told[2].id, message.id], True)
    store.apply(Changes(delivered=[rest]))
    store = let(stores, age)
    assert store.accounts_with_pending_events() == {}
    assert store.pending_events(7, 0, 10) == []
    assert store.verify() == []


def test_an_event_numbered_before_the_mark_is_pending_all_the_same(
    stores: list[SqliteStore], age: str
) -> None:
    some = parts(2)
    stores[-1].apply(Changes(parts=some, receipts=[receipt(some[0], 700)], outcomes=[outcome(some[0])]))
    store = let(stores, "old")
    store.apply(Changes(receipts=[receipt(some[1], 650)], outcomes=[outcome(some[1])]))
    store = let(stores, age)
    assert [e.id for e in store.pending_events(7, 0, 10)] == [id_at(650), id_at(700)]


# -- receipts that match nothing, or late ---------------------------------------------------------


def test_parked_receipts_are_kept_until_unparked(stores: list[SqliteStore], age: str) -> None:
    some = [parked(1, "A"), parked(2, "B"), parked(3, "A")]
    stores[-1].apply(Changes(parked=some))
    store = let(stores, age)
    assert store.parked(0, 10) == some
    assert store.parked(some[0].id, 1) == [some[1]]
    assert store.parked_for(1, ["A", "C"]) == [some[0], some[2]]
    assert store.parked_for(2, ["A"]) == []
    store.apply(Changes(unparked=[some[0].id]))
    assert store.parked(0, 10) == some[1:]


def test_smsc_ids_that_left_memory_are_found_newest_first(stores: list[SqliteStore], age: str) -> None:
    some = parts(3)
    store = stores[-1]
    store.apply(Changes(parts=some))
    store.remember_smsc_ids([(1, "b", some[1].id), (1, "a", some[0].id), (1, "a", some[2].id)])
    store.remember_smsc_ids([(2, "a", some[0].id), (1, "a", some[0].id)])
    store = let(stores, age)
    assert store.find_by_smsc_id(1, ["a", "b", "c", "a"]) == {"a": some[2].id, "b": some[1].id}
    assert store.find_by_smsc_id(2, ["a"]) == {"a": some[0].id}
    assert store.find_by_smsc_id(3, ["a"]) == {}


def test_inbound_messages_are_listed_newest_first(stores: list[SqliteStore]) -> None:
    some = [inbound(1), inbound(2, account=0), inbound(3)]
    stores[-1].apply(Changes(inbound=some))
    assert stores[-1].inbound(None, ALL, 10) == some[::-1]
    assert stores[-1].inbound(7, ALL, 1) == [some[2]]
    assert stores[-1].inbound(0, ALL, 10) == [some[1]]
    assert stores[-1].inbound(7, some[2].id, 10) == [some[0]]


# -- figures --------------------------------------------------------------------------------------


def test_rollups_count_accepted_sent_and_ended_by_minute_of_birth(
    stores: list[SqliteStore], age: str
) -> None:
    long = [part(n, part_no=n + 1, parts=3) for n in range(3)]
    single = part(0, id=id_at(0, second=NOON_S + 60), account=8, sms_type=5)
    store = stores[-1]
    store.apply(Changes(parts=[*long, single]))
    store = let(stores, age)
    store.apply(Changes(attempts=[attempt(p) for p in long]))
    store.apply(Changes(attempts=[attempt(long[0], n=2)]))
    store = let(stores, age)
    store.apply(Changes(outcomes=[outcome(long[0]), outcome(long[1], State.FAILED), outcome(single)]))
    minute = NOON_S // 60
    rows = [
        (r.minute, r.account, r.sms_type, r.state, r.messages, r.parts)
        for r in store.rollups(minute, minute + 2)
    ]
    assert rows == [
        (minute, 7, 2, State.QUEUED, 1, 3),
        (minute, 7, 2, State.SENT, 1, 3),
        (minute, 7, 2, State.DELIVERED, 1, 1),
        (minute, 7, 2, State.FAILED, 0, 1),
        (minute + 1, 8, 5, State.QUEUED, 1, 1),
        (minute + 1, 8, 5, State.DELIVERED, 1, 1),
    ]
    assert store.rollups(minute + 1, minute + 2)[0].account == 8
    assert store.recount_rollups(TODAY) == store.rollups(TODAY * 1440, (TODAY + 1) * 1440)


def test_rollups_follow_a_part_to_another_carrier(stores: list[SqliteStore], age: str) -> None:
    stores[-1].apply(Changes(parts=parts(2)))
    store = let(stores, age)
    store.apply(Changes(moved=[(id_at(0), State.QUEUED, 2)]))
    store = let(stores, age)
    store.apply(Changes(attempts=[attempt(id_at(0))], outcomes=[outcome(part(1))]))
    counts = {(r.carrier, r.state): r.parts for r in store.rollups(0, 1 << 40) if r.parts}
    assert counts == {
        (1, State.QUEUED): 1,
        (1, State.DELIVERED): 1,
        (2, State.QUEUED): 1,
        (2, State.SENT): 1,
    }
    assert store.verify() == []


def test_usage_is_kept_by_user_and_day_and_equals_a_recount(stores: list[SqliteStore]) -> None:
    store = stores[-1]
    some = parts(3)
    store.apply(Changes(parts=some, usage=[Usage(1, TODAY, 2, 0), Usage(1, TODAY, 1, 0)]))
    store.apply(Changes(attempts=[attempt(some[0])], usage=[Usage(1, TODAY, -1, 1)]))
    store.apply(Changes(outcomes=[outcome(some[1], State.EXPIRED)], usage=[Usage(1, TODAY, -1, 0)]))
    assert store.usage(TODAY) == {1: (1, 1)}
    assert store.recount_usage(TODAY, {7: 1}) == {1: (1, 1)}
    assert store.verify({7: 1}) == []
    store.apply(Changes(usage=[Usage(1, TODAY, 1, 0)]))
    assert store.verify({7: 1}) == [
        "2024-10-04: usage of user 1, (reserved, used): (2, 1) is kept, (1, 1) a recount finds (I7)"
    ]


def test_recover_counts_what_a_daemon_must_know(stores: list[SqliteStore]) -> None:
    store = stores[-1]
    some = parts(6)
    told = receipt(some[0], 900)
    store.apply(Changes(parts=[*some, part(6, account=8, lane=2)], usage=[Usage(1, TODAY, 7, 0)]))
    store.apply(
        Changes(attempts=[attempt(some[0]), attempt(some[1])], moved=[(some[2].id, State.CLAIMED, 1)])
    )
    store.apply(Changes(outcomes=[outcome(some[0])], receipts=[told], parked=[parked(950)]))
    store.close()
    again = SqliteStore.open(store.directory, now_ms=NOON_MS, options=store.options)
    stores.append(again)
    recovery = again.recover()
    assert recovery.clean
    assert recovery.last_id == id_at(950)
    assert recovery.usage == {1: (7, 0)}
    assert recovery.queued == {QueueKey(1, 1, 7): 3, QueueKey(1, 2, 8): 1}
    assert recovery.open_parts == {7: 5, 8: 1}
    assert (recovery.awaiting_receipt, recovery.claimed, recovery.parked) == (1, 1, 1)
    assert recovery.pending_events == {7: 1}
    assert recovery.quarantined == []
    assert again.recover([TODAY]).usage == {}
