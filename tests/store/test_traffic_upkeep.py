"""What the store does by the clock: growing old, logs, days that end, copies, the disk."""

import sqlite3
import stat
from pathlib import Path

import msgspec
import pytest

from store.disk import BALLAST, disk_state, file_system_of, keep_ballast
from store.files import StoreError
from store.model import Changes, Delivered, State, Usage
from store.port import StoreFailed
from store.search import search_path
from store.traffic import MS_A_DAY, SqliteStore
from tests.store.traffic_world import (
    NOON_MS,
    NOON_S,
    SMALL,
    TODAY,
    attempt,
    failing_connect,
    id_at,
    inbound,
    open_store,
    outcome,
    parked,
    part,
    parts,
    receipt,
    sqlite_error,
)

ALL = 1 << 62
TOMORROW_MS = NOON_MS + MS_A_DAY
YESTERDAY_S = NOON_S - 86_400


def rows(store: SqliteStore, table: str, day: int = TODAY) -> int:
    with store._reader(day) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


# -- young and old --------------------------------------------------------------------------------


def test_a_message_that_ends_while_young_is_never_indexed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    some = parts(5)
    told = [receipt(p, 100 + n) for n, p in enumerate(some)]
    store.apply(Changes(parts=some))
    store.apply(Changes(attempts=[attempt(p) for p in some]))
    store.apply(Changes(receipts=told, outcomes=[outcome(p) for p in some]))
    store.apply(Changes(delivered=[Delivered(7, "smpp:1", NOON_MS, 0, [t.id for t in told], True)]))
    for minutes in (1, 2):
        store.maintain(NOON_MS + minutes * 60_000)
    assert rows(store, "open_part") == 0
    assert rows(store, "open_event") == 0
    file = store._files.open[TODAY]
    assert file.part_mark == some[-1].id
    assert file.event_mark == told[-1].id
    assert file.is_quiet()
    store.close()


def test_ageing_is_done_in_bounded_steps(tmp_path: Path) -> None:
    store = open_store(tmp_path, options=msgspec.structs.replace(SMALL, age_rows_max=10))
    some = parts(25)
    told = [receipt(p, 100 + n) for n, p in enumerate(some[:15])]
    store.apply(Changes(parts=some, attempts=[attempt(p) for p in some[:20]], receipts=told))
    assert not store.maintain(NOON_MS + 1000).more
    assert rows(store, "open_part") == 0
    store.maintain(NOON_MS + 40_000)
    assert 0 < rows(store, "open_part") <= 10
    steps = 1
    while store.maintain(NOON_MS + 80_000).more:
        steps += 1
        assert [p.id for p in store.queued(1, 1, 7, 0, 10)] == [p.id for p in some[20:]]
        assert len(store.awaiting_receipt(ALL, 100)) == 20
        assert store.accounts_with_pending_events() == {7: 15}
    assert steps >= 2
    assert (rows(store, "open_part"), rows(store, "open_event")) == (25, 15)
    assert [e.id for e in store.pending_events(7, 0, 100)] == [t.id for t in told]
    store.close()


def test_too_many_young_rows_are_indexed_at_once(tmp_path: Path) -> None:
    store = open_store(tmp_path, options=msgspec.structs.replace(SMALL, young_rows_max=10))
    some = parts(20)
    store.apply(Changes(parts=some, receipts=[receipt(p, 100 + n) for n, p in enumerate(some)]))
    store.maintain(NOON_MS + 1)
    assert rows(store, "open_part") == 20
    assert rows(store, "open_event") == 20
    store.close()


def test_part_numbered_before_the_mark_is_indexed_at_once(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.apply(Changes(parts=[part(5)]))
    store.maintain(NOON_MS + 60_000)
    store.apply(Changes(parts=[part(3), part(8)]))
    assert rows(store, "open_part") == 2
    assert [p.id for p in store.queued(1, 1, 7, 0, 10)] == [id_at(3), id_at(5), id_at(8)]
    store.close()
    assert [p.id for p in open_store(tmp_path).queued(1, 1, 7, 0, 10)] == [id_at(3), id_at(5), id_at(8)]


def test_events_delivered_since_the_mark_are_not_pending_after_a_crash(tmp_path: Path) -> None:
    """Every order of ageing, delivery and death: a new store on the same files, without closing the old."""
    store = open_store(tmp_path)
    some = parts(6)
    told = [receipt(p, 100 + n) for n, p in enumerate(some)]

    def deliver(*numbers: int) -> None:
        ids = [told[n].id for n in numbers]
        store.apply(Changes(delivered=[Delivered(7, "smpp:1", NOON_MS, 0, ids, True)]))

    def pending_after_crash() -> list[int]:
        again = open_store(tmp_path)
        found = [event.id - id_at(100) for event in again.pending_events(7, 0, 10)]
        assert again.accounts_with_pending_events() == ({7: len(found)} if found else {})
        again.close()
        return found

    store.apply(Changes(parts=some, receipts=told[:3]))
    deliver(0)
    store.maintain(NOON_MS + 1000)
    store.apply(Changes(receipts=told[3:]))
    deliver(3)
    store.maintain(NOON_MS + 60_000)
    deliver(1)
    deliver(4)
    assert [event.id - id_at(100) for event in store.pending_events(7, 0, 10)] == [2, 5]
    store._files.close_all(clean=False)
    assert pending_after_crash() == [2, 5]
    assert pending_after_crash() == [2, 5]


def test_a_delivery_committed_before_its_event_left_the_index_counts_after_a_crash(tmp_path: Path) -> None:
    """The delivery is in today's file, the event in yesterday's, and the process dies between the two."""
    armed: list[str] = []

    def fault(sql: str) -> sqlite3.Error | None:
        if sql == "COMMIT" and armed and armed.pop() == "now":
            return sqlite_error(1034, "SQLITE_IOERR_FSYNC", "disk I/O error")
        return None

    store = open_store(tmp_path, now_ms=NOON_MS - MS_A_DAY, connect=failing_connect(fault))
    old = [part(n, id=id_at(n, second=YESTERDAY_S)) for n in range(2)]
    told = [receipt(p, 100 + n) for n, p in enumerate(old)]
    store.apply(Changes(parts=old, receipts=told))
    for minutes in (1, 2):
        store.maintain(NOON_MS + minutes * 60_000)
    assert rows(store, "open_event", TODAY - 1) == 2
    armed += ["now", "first"]
    with pytest.raises(StoreFailed):
        store.apply(Changes(delivered=[Delivered(7, "smpp:1", NOON_MS, 0, [told[0].id], True)]))
    assert not armed
    store.close()
    again = open_store(tmp_path)
    assert [e.id for e in again.pending_events(7, 0, 10)] == [told[1].id]
    assert again.accounts_with_pending_events() == {7: 1}
    again.close()


def test_old_parts_that_are_sent_are_indexed_as_sent_and_leave_memory(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    some = parts(3)
    store.apply(Changes(parts=some))
    store.maintain(NOON_MS + 60_000)
    store.apply(Changes(attempts=[attempt(p) for p in some]))
    file = store._files.open[TODAY]
    assert not file.is_quiet()
    store.maintain(NOON_MS + 120_000)
    assert file.is_quiet()
    assert rows(store, "open_part WHERE state = 5") == 3
    assert len(store.awaiting_receipt(ALL, 10)) == 3
    store.close()


# -- logs -----------------------------------------------------------------------------------------


def test_the_log_is_copied_when_it_has_grown_and_when_it_is_idle(tmp_path: Path) -> None:
    store = open_store(tmp_path, options=msgspec.structs.replace(SMALL, checkpoint_rows=100))
    store.maintain(NOON_MS)
    store.apply(Changes(parts=parts(10)))
    assert store.maintain(NOON_MS + 1).checkpointed_octets == 0
    store.apply(Changes(parts=parts(100, start=10)))
    assert store.maintain(NOON_MS + 2).checkpointed_octets > 8192
    assert store.maintain(NOON_MS + 3).checkpointed_octets == 0
    store.apply(Changes(parts=parts(1, start=200)))
    assert store.maintain(NOON_MS + 59_000).checkpointed_octets == 0
    assert store.maintain(NOON_MS + 63_000).checkpointed_octets > 0
    store.close()


def test_the_log_does_not_grow_while_it_is_copied(tmp_path: Path) -> None:
    store = open_store(tmp_path, options=msgspec.structs.replace(SMALL, checkpoint_rows=100))
    sizes = []
    for start in range(0, 3000, 100):
        store.apply(Changes(parts=parts(100, start=start, body=bytes(250))))
        sizes.append(store.maintain(NOON_MS + start).wal_octets)
    assert max(sizes[10:]) == sizes[10]
    store.close()


def test_an_overgrown_log_is_cut(tmp_path: Path) -> None:
    options = msgspec.structs.replace(SMALL, wal_octets_high=1 << 20)
    store = open_store(tmp_path, options=options)
    for start in range(0, 5000, 500):
        store.apply(Changes(parts=parts(500, start=start, body=bytes(250))))
    assert store.maintain(NOON_MS).wal_octets > 1 << 20
    assert store.maintain(NOON_MS + 1).wal_octets == 0
    store.close()


# -- days -----------------------------------------------------------------------------------------


def test_a_new_day_is_a_new_file_and_old_parts_stay_in_theirs(tmp_path: Path) -> None:
    store = open_store(tmp_path, now_ms=NOON_MS - MS_A_DAY)
    old = part(0, id=id_at(0, second=YESTERDAY_S))
    store.apply(Changes(parts=[old], usage=[Usage(1, TODAY - 1, 1, 0)]))
    assert store.days() == [TODAY - 1]
    store.maintain(NOON_MS)
    assert store.days() == [TODAY - 1, TODAY]
    new = part(1)
    told = [receipt(old, 100), receipt(new, 101)]
    store.apply(
        Changes(
            parts=[new],
            attempts=[attempt(old), attempt(new)],
            receipts=told,
            outcomes=[outcome(old), outcome(new)],
            usage=[Usage(1, TODAY - 1, -1, 1), Usage(1, TODAY, 0, 1)],
        )
    )
    assert [e.id for e in store.pending_events(7, 0, 10)] == [t.id for t in told]
    assert (rows(store, "receipt", TODAY - 1), rows(store, "receipt", TODAY)) == (1, 1)
    store.apply(Changes(delivered=[Delivered(7, "smpp:1", NOON_MS, 0, [t.id for t in told], True)]))
    assert store.accounts_with_pending_events() == {}
    life = store.message(old.id)
    assert life is not None
    assert [d.event_ids for d in life.deliveries] == [[told[0].id]]
    assert (store.usage(TODAY - 1), store.usage(TODAY)) == ({1: (0, 1)}, {1: (0, 1)})
    assert store.verify({7: 1}) == []
    store.close()


def test_reads_go_over_days_in_order(tmp_path: Path) -> None:
    store = open_store(tmp_path, now_ms=NOON_MS - MS_A_DAY)
    old = [part(n, id=id_at(n, second=YESTERDAY_S)) for n in range(3)]
    store.apply(Changes(parts=old))
    store.maintain(NOON_MS)
    new = parts(3)
    store.apply(Changes(parts=new, parked=[parked(50)], inbound=[inbound(60)]))
    everything = [*old, *new]
    assert store.queued(1, 1, 7, 0, 10) == everything
    assert store.queued(1, 1, 7, old[1].id, 3) == everything[2:5]
    store.apply(Changes(attempts=[attempt(p) for p in everything]))
    assert [p.id for p, _ in store.awaiting_receipt(ALL, 4)] == [p.id for p in everything[:1:-1]]
    assert [p.id for p, _ in store.awaiting_receipt(new[0].id, 10)] == [p.id for p in old[::-1]]
    assert [p.id for p in store.parts_of(7, ALL, 4)] == [p.id for p in everything[:1:-1]]
    assert [p.id for p in store.find_pending(7, b"", old[0].dest)] == [new[0].id, old[0].id]
    store.close()


def test_undelivered_events_of_yesterday_survive_midnight_and_a_crash(tmp_path: Path) -> None:
    store = open_store(tmp_path, now_ms=NOON_MS - MS_A_DAY)
    old = [part(n, id=id_at(n, second=YESTERDAY_S)) for n in range(4)]
    told = [receipt(p, 100 + n) for n, p in enumerate(old)]
    store.apply(Changes(parts=old, attempts=[attempt(p) for p in old]))
    store.maintain(NOON_MS)
    store.apply(Changes(receipts=told, outcomes=[outcome(p) for p in old]))
    store.apply(Changes(delivered=[Delivered(7, "smpp:1", NOON_MS, 0, [told[0].id], True)]))
    store.maintain(NOON_MS + 60_000)
    store.maintain(NOON_MS + 120_000)
    store.apply(Changes(delivered=[Delivered(7, "smpp:1", NOON_MS, 0, [told[1].id], True)]))
    assert store.accounts_with_pending_events() == {7: 2}
    store._files.close_all(clean=False)
    again = open_store(tmp_path, now_ms=NOON_MS + 180_000)
    assert [e.id for e in again.pending_events(7, 0, 10)] == [told[2].id, told[3].id]
    again.close()


def finish(store: SqliteStore, some: list) -> None:  # type: ignore[type-arg]
    store.apply(Changes(attempts=[attempt(p) for p in some], outcomes=[outcome(p) for p in some]))


def test_a_past_day_is_indexed_when_over_and_sealed_when_final(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    some = parts(4)
    store.apply(Changes(parts=some, attempts=[attempt(some[0])]))
    midnight = (TODAY + 1) * MS_A_DAY
    assert store.maintain(midnight + 1000).days_to_seal == []
    assert store.maintain(midnight + 6 * 60_000).days_to_seal == [TODAY]
    store.seal(TODAY)
    assert store.maintain(midnight + 7 * 60_000).days_to_seal == []
    store.apply(Changes(outcomes=[outcome(p) for p in some], attempts=[attempt(p) for p in some]))
    again = store.maintain(midnight + 8 * 60_000).days_to_seal
    assert again == [TODAY]
    store.seal(TODAY)
    assert store.maintain(midnight + 9 * 60_000).days_to_seal == []
    assert store._files.unsealed() == [TODAY + 1]
    assert store.find_by_smsc_id(1, ["s0", "s3", "nothing"]) == {"s0": some[0].id, "s3": some[3].id}
    assert [p.id for p in store.parts_to(some[2].dest, ALL, 10)] == [some[2].id]
    assert [p.id for p in store.parts_of(7, some[3].id, 2)] == [some[2].id, some[1].id]
    store.close()
    reopened = SqliteStore.open(tmp_path, now_ms=TOMORROW_MS, options=SMALL)
    assert reopened.recover().last_id == some[3].id
    assert reopened._files.sealed == {TODAY}
    assert reopened._files.searchable == {TODAY}
    assert reopened.maintain(TOMORROW_MS).days_to_seal == []
    assert reopened.parts([some[0].id])[0].state == State.DELIVERED
    reopened.close()


def test_something_late_opens_a_sealed_day_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    some = parts(1)
    store.apply(Changes(parts=some))
    finish(store, some)
    store.maintain(TOMORROW_MS)
    store.seal(TODAY)
    store.maintain(TOMORROW_MS + 60_000)
    assert store._files.unsealed() == [TODAY + 1]
    late = receipt(some[0], 777)
    store.apply(Changes(receipts=[late], outcomes=[outcome(some[0], State.FAILED)]))
    assert [e.id for e in store.pending_events(7, 0, 10)] == [late.id]
    assert store.parts([some[0].id])[0].state == State.DELIVERED
    store.apply(Changes(delivered=[Delivered(7, "smpp:1", TOMORROW_MS, 0, [late.id], True)]))
    days: list[int] = []
    for minutes in range(2, 10):
        days += store.maintain(TOMORROW_MS + minutes * 60_000).days_to_seal
    assert days.count(TODAY) >= 1
    store.seal(TODAY)
    store.maintain(TOMORROW_MS + 11 * 60_000)
    assert store._files.unsealed() == [TODAY + 1]
    assert store.verify() == []
    store.close()


def test_today_cannot_be_sealed(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(StoreError, match="not over"):
        store.seal(TODAY)
    store.close()


def test_days_past_their_retention_are_unlinked(tmp_path: Path) -> None:
    options = msgspec.structs.replace(SMALL, retention_days=2)
    store = open_store(tmp_path, options=options)
    some = parts(2)
    store.apply(Changes(parts=some))
    store.maintain(TOMORROW_MS)
    store.seal(TODAY)
    assert store.parts_to(some[0].dest, ALL, 1) == some[:1]
    report = store.maintain(NOON_MS + 3 * MS_A_DAY)
    assert report.removed_days == [TODAY]
    assert store.parts([some[0].id]) == []
    assert store.message(some[0].id) is None
    assert [path.name for path in (tmp_path / "days").glob("2024-10-04*")] == []
    store.close()


def test_few_files_stay_open_for_writing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    some = [part(0, id=id_at(0, second=NOON_S + n * 86_400)) for n in range(9)]
    for n, each in enumerate(some):
        store.apply(Changes(parts=[each]))
        for minutes in (1, 2):
            store.maintain(NOON_MS + n * MS_A_DAY + minutes * 60_000)
    assert len(store._files.open) <= 6
    assert store.queued(1, 1, 7, 0, 100) == some
    store.apply(Changes(outcomes=[outcome(p) for p in some]))
    assert store.queued(1, 1, 7, 0, 100) == []
    store.close()


# -- searches -------------------------------------------------------------------------------------


def test_the_part_that_an_inbound_message_answers(tmp_path: Path) -> None:
    store = open_store(tmp_path, now_ms=NOON_MS - MS_A_DAY)
    old = [part(n, id=id_at(n, second=YESTERDAY_S), dest=86138) for n in range(2)]
    store.apply(Changes(parts=old))
    store.maintain(NOON_MS)
    new = [part(0, dest=86138, source=b"other"), part(1, dest=86139)]
    store.apply(Changes(parts=new))
    since = NOON_MS - 3 * MS_A_DAY
    for step in ("nothing indexed", "yesterday sealed", "today indexed", "again"):
        answered = store.recent_part_to(86138, b"10690001", since_ms=since)
        assert answered is not None, step
        assert answered.id == old[1].id
        found = store.recent_part_to(86138, b"other", since_ms=since)
        assert found is not None
        assert found.id == new[0].id
        assert store.recent_part_to(86138, b"10690001", since_ms=NOON_MS - 1000) is None
        assert store.recent_part_to(1, b"", since_ms=since) is None
        if step == "nothing indexed":
            store.seal(TODAY - 1)
        else:
            store.index_recent()
    store.close()


def test_todays_index_grows_by_segments(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    some = [part(n, dest=86138 + n % 2) for n in range(10)]
    assert store.index_recent() == 0
    for start in range(0, 10, 5):
        store.apply(Changes(parts=some[start : start + 5]))
        assert store.maintain(NOON_MS + start).unindexed_parts == 5
        assert store.index_recent() == 5
        assert store.maintain(NOON_MS + start + 1).unindexed_parts == 0
    store.apply(Changes(parts=[part(20, dest=86138)]))
    expected = [id_at(20), *(p.id for p in some[::-1] if p.dest == 86138)]
    assert [p.id for p in store.parts_to(86138, ALL, 100)] == expected
    assert [p.id for p in store.parts_to(86138, expected[2], 2)] == expected[3:5]
    assert [p.id for p in store.parts_of(7, ALL, 100)] == [id_at(20), *(p.id for p in some[::-1])]
    store.maintain(TOMORROW_MS)
    store.seal(TODAY)
    assert [p.id for p in store.parts_to(86138, ALL, 100)] == expected
    store.close()


# -- copies, permissions, disk --------------------------------------------------------------------


def test_a_backup_taken_while_running_is_a_whole_store(tmp_path: Path) -> None:
    store = open_store(tmp_path / "data", now_ms=NOON_MS - MS_A_DAY)
    store.apply(Changes(parts=[part(0, id=id_at(0, second=YESTERDAY_S))]))
    store.maintain(NOON_MS)
    some = parts(5)
    store.apply(Changes(parts=some, usage=[Usage(1, TODAY, 5, 0)]))
    for _ in range(2):
        copies = store.backup(tmp_path / "copy")
    assert [copy.name for copy in copies] == ["2024-10-03.db", "2024-10-04.db"]
    assert {stat.S_IMODE(copy.stat().st_mode) for copy in copies} == {0o600}
    store.apply(Changes(parts=parts(5, start=5)))
    restored = open_store(tmp_path / "copy")
    assert len(restored.queued(1, 1, 7, 0, 100)) == 6
    assert restored.usage(TODAY) == {1: (5, 0)}
    restored.apply(Changes(outcomes=[outcome(p) for p in some]))
    assert restored.verify() == []
    restored.close()
    assert len(store.queued(1, 1, 7, 0, 100)) == 11
    store.close()


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    store = open_store(tmp_path / "data", options=msgspec.structs.replace(SMALL, ballast_octets=4096))
    store.apply(Changes(parts=parts(1)))
    store.index_recent()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").rglob("*")}
    assert modes.pop("days") == 0o700
    assert set(modes.values()) == {0o600}, modes
    assert len(modes) >= 5
    store.close()


def test_readers_cannot_write(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with (
        store._files.pool.lend(store._files.path(TODAY)) as connection,
        pytest.raises(sqlite3.OperationalError),
    ):
        connection.execute("DELETE FROM part")
    store.close()


def test_a_reader_lent_while_its_file_is_replaced_is_not_lent_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.apply(Changes(parts=parts(1)))
    store.maintain(TOMORROW_MS)
    store.seal(TODAY)
    search = search_path(store._files.path(TODAY))
    pool = store._files.pool
    with pool.lend(search) as before:
        store.apply(Changes(parts=parts(1, start=1)))
        store.seal(TODAY)
    with pool.lend(search) as after:
        assert after is not before
        assert after.execute("SELECT count(*) FROM by_dest").fetchone() == (2,)
    with pool.lend(search) as again:
        assert again is after
    store.close()


def test_a_damaged_search_file_is_said_so_and_built_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.apply(Changes(parts=parts(3)))
    store.maintain(TOMORROW_MS)
    store.seal(TODAY)
    store.close()
    search_path(store._files.path(TODAY)).write_bytes(b"nothing of the kind" * 999)
    again = open_store(tmp_path, now_ms=TOMORROW_MS)
    with pytest.raises(StoreError, match=r"search\.db cannot be read"):
        again.parts_to(1, ALL, 1)
    assert again.maintain(TOMORROW_MS).days_to_seal == [TODAY]
    again.seal(TODAY)
    assert len(again.parts_of(7, ALL, 10)) == 3
    again.close()


@pytest.mark.parametrize("call", ["seal", "index_recent"])
def test_indexing_without_room_is_put_off(tmp_path: Path, call: str) -> None:
    armed: list[int] = []

    def fault(sql: str) -> sqlite3.Error | None:
        if armed and sql.startswith("INSERT INTO by_account"):
            return sqlite_error(sqlite3.SQLITE_FULL, "SQLITE_FULL", "database or disk is full")
        return None

    store = open_store(tmp_path, connect=failing_connect(fault))
    store.apply(Changes(parts=parts(3)))
    store.maintain(TOMORROW_MS)
    store.apply(Changes(parts=[part(0, id=id_at(0, second=NOON_S + 86_400))]))
    armed.append(1)
    if call == "seal":
        store.seal(TODAY)
        assert store.maintain(TOMORROW_MS + 1).days_to_seal == [TODAY]
    else:
        assert store.index_recent() == 0
    armed.clear()
    store.seal(TODAY)
    assert store.index_recent() == 1
    assert len(store.parts_of(7, ALL, 10)) == 4
    assert list((tmp_path / "days").glob("*.building")) == []
    store.close()


def test_check_day_finds_a_sound_file_sound(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.apply(Changes(parts=parts(10)))
    assert store.check_day(TODAY) == []
    store.close()


def test_the_disk_states_and_the_ballast(tmp_path: Path) -> None:
    room = {"octets": 1000}
    options = msgspec.structs.replace(
        SMALL, disk_low_octets=500, disk_critical_octets=100, ballast_octets=4096
    )
    store = open_store(tmp_path, options=options, free_octets=lambda path: room["octets"])
    ballast = tmp_path / "days" / BALLAST
    assert store.disk_state() == "ok"
    assert ballast.stat().st_size == 4096
    room["octets"] = 499
    report = store.maintain(NOON_MS)
    assert (report.disk, report.free_octets) == ("low", 499)
    assert ballast.exists()
    room["octets"] = 99
    assert store.maintain(NOON_MS + 1).disk == "critical"
    assert not ballast.exists()
    room["octets"] = 499
    assert store.maintain(NOON_MS + 2).disk == "low"
    assert not ballast.exists()
    room["octets"] = 1000
    assert store.maintain(NOON_MS + 3).disk == "ok"
    assert ballast.exists()
    store.close()


def test_low_is_also_less_than_ten_minutes_of_writing(tmp_path: Path) -> None:
    options = msgspec.structs.replace(SMALL, checkpoint_rows=1)
    store = open_store(tmp_path, options=options, free_octets=lambda path: 10_000_000)
    store.maintain(NOON_MS)
    assert store.disk_state() == "ok"
    for second in range(1, 31):
        store.apply(Changes(parts=parts(100, start=second * 100, body=bytes(250))))
        store.maintain(NOON_MS + second * 1000)
    assert store.disk_state() == "low"
    store.close()


def test_a_disk_without_room_for_the_ballast_goes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", no_room)
    assert keep_ballast(tmp_path, 4096) is False
    assert not (tmp_path / BALLAST).exists()


@pytest.mark.parametrize(("free", "state"), [(99, "critical"), (100, "low"), (499, "low"), (500, "ok")])
def test_disk_state_by_free_octets(free: int, state: str) -> None:
    assert disk_state(free, low=500, critical=100) == state


def test_the_file_system_is_that_of_the_longest_mount(tmp_path: Path) -> None:
    mounts = (
        "1 0 8:1 / / rw - ext4 /dev/vda rw\n"
        f"2 1 0:5 / {tmp_path} rw shared:1 - nfs4 server:/x rw\n"
        f"3 1 0:5 / {tmp_path}/other rw - xfs /dev/b rw\nbroken line\n"
    )
    assert file_system_of(tmp_path / "data", mounts) == "nfs4"
    assert file_system_of(Path("/somewhere"), mounts) == "ext4"
    assert file_system_of(tmp_path, "") == ""


def test_search_files_are_not_day_files(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.apply(Changes(parts=parts(1)))
    store.index_recent()
    assert search_path(store._files.path(TODAY)).exists()
    store.close()
    again = open_store(tmp_path)
    assert again.days() == [TODAY]
    again.close()
