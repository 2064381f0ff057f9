"""The log of events for readers with a cursor: every event once, in order, whatever day its message is of."""

from pathlib import Path

import pytest

from store.ids import SECOND_BITS
from store.model import Changes, Delivered, EventFor, Notice
from store.traffic import MS_A_DAY, SqliteStore
from tests.store.traffic_world import (
    NOON_MS,
    NOON_S,
    SMALL,
    id_at,
    inbound,
    open_store,
    outcome,
    part,
    parts,
    receipt,
)

FOR_BINDS, FOR_CURSORS = EventFor.BINDS, EventFor.CURSORS
ALL = 1 << 62


def seen(store: SqliteStore, after: int = 0, *, limit: int = 100, through: int = ALL) -> list[int]:
    return [event.id for event in store.logged_events(7, after, through, limit)]


def test_only_what_is_for_cursors_is_in_their_log_and_only_what_is_for_binds_waits(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    some = parts(4)
    store.apply(Changes(parts=some))
    bits = (0, FOR_BINDS, FOR_CURSORS, FOR_BINDS | FOR_CURSORS)
    told = [receipt(of, 500 + n, event=bits[n]) for n, of in enumerate(some)]
    mo = inbound(510, event=FOR_CURSORS)
    store.apply(Changes(receipts=told, outcomes=[outcome(of) for of in some], inbound=[mo]))
    assert seen(store) == [told[2].id, told[3].id, mo.id]
    assert [event.id for event in store.pending_events(7, 0, 10)] == [told[1].id, told[3].id]
    # What a bind took is still there for cursors.
    store.apply(Changes(delivered=[Delivered(7, "smpp:1", NOON_MS, 0, [told[3].id], True)]))
    assert seen(store) == [told[2].id, told[3].id, mo.id]
    found = store.logged_events(7, 0, ALL, 10)
    assert found[0].receipt == told[2] and found[0].part is not None and found[2].inbound == mo
    assert store.verify() == []
    store.close()


def test_a_log_is_read_from_any_cursor_up_to_any_event_and_in_pages(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    ids = []
    for number in range(0, 40, 4):
        rows = [inbound(600 + number + n, event=FOR_CURSORS) for n in range(4)]
        store.apply(Changes(inbound=[*rows, inbound(900 + number, account=8, event=FOR_CURSORS)]))
        ids += [row.id for row in rows]
    for at in range(len(ids)):
        assert seen(store, ids[at]) == ids[at + 1 :]
        assert seen(store, ids[at], limit=3) == ids[at + 1 : at + 4]
        assert seen(store, through=ids[at]) == ids[: at + 1]
    assert store.logged_range(7) == (ids[0], ids[-1])
    assert store.logged_range(9) == (0, 0)
    assert len(store.logged_events(8, 0, ALL, 100)) == 10
    store.close()


def test_an_event_lies_with_its_message_and_is_read_in_its_place(tmp_path: Path) -> None:
    store = open_store(tmp_path, now_ms=NOON_MS - MS_A_DAY)
    old = part(id=id_at(1, second=NOON_S - 86_400))
    store.apply(Changes(parts=[old]))
    store.maintain(NOON_MS)
    new = part(2)
    store.apply(Changes(parts=[new]))
    late, quick = receipt(old, 701, event=FOR_CURSORS), receipt(new, 700, event=FOR_CURSORS)
    later = receipt(old, 702, event=FOR_CURSORS)
    store.apply(Changes(receipts=[quick, late], outcomes=[outcome(new), outcome(old)]))
    store.apply(Changes(receipts=[later]))
    assert seen(store) == [quick.id, late.id, later.id]
    assert seen(store, quick.id) == [late.id, later.id]
    assert seen(store, limit=2) == [quick.id, late.id]
    assert store.logged_range(7) == (quick.id, later.id)
    store.close()


def test_notices_stand_in_the_log_and_their_ids_are_never_given_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    notice = Notice(id_at(800), 7, NOON_MS, "batch.finished", b"{}")
    store.apply(Changes(notices=[notice], inbound=[inbound(790, event=FOR_CURSORS)]))
    assert [event.notice for event in store.logged_events(7, 0, ALL, 10)] == [None, notice]
    assert store.verify() == []
    store.close(clean=False)
    again = SqliteStore.open(tmp_path, now_ms=NOON_MS, options=SMALL)
    assert again.recover().last_id == notice.id
    assert seen(again) == [id_at(790), notice.id]
    again.close()


def test_events_for_cursors_alone_leave_a_day_finished(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    one = part(1)
    store.apply(Changes(parts=[one]))
    store.apply(Changes(receipts=[receipt(one, 500, event=FOR_CURSORS)], outcomes=[outcome(one)]))
    assert store.accounts_with_pending_events() == {}
    now = NOON_MS
    for _ in range(40):
        now += MS_A_DAY // 20
        for day in store.maintain(now).days_to_seal:
            store.seal(day)
    assert NOON_S // 86_400 in store._files.sealed
    assert seen(store) == [id_at(500)]  # a sealed day is still read
    store.maintain(now + 200 * MS_A_DAY)
    assert seen(store) == []
    assert store.logged_range(7) == (0, 0)
    store.close()


def test_days_without_news_are_not_opened(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.apply(Changes(inbound=[inbound(500, event=FOR_CURSORS)]))
    store.maintain(NOON_MS + MS_A_DAY)
    tomorrow = inbound(0, event=FOR_CURSORS)
    tomorrow.id = (NOON_S + 86_400) << SECOND_BITS
    store.apply(Changes(inbound=[tomorrow]))
    today = NOON_S // 86_400
    assert store._files.days_logged_after(0) == [today, today + 1]
    assert store._files.days_logged_after(id_at(500)) == [today + 1]
    assert store._files.days_logged_after(tomorrow.id) == []
    store.close()


def test_a_page_looks_at_no_day_behind_its_last_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    ids = []
    for day in range(5):
        now = NOON_S + day * 86_400
        store.maintain(now * 1000)
        row = inbound(0, event=FOR_CURSORS)
        row.id = now << SECOND_BITS
        store.apply(Changes(inbound=[row]))
        ids.append(row.id)
    read: list[int] = []
    lend = store._reader
    monkeypatch.setattr(store, "_reader", lambda day: (read.append(day), lend(day))[1])
    assert seen(store, limit=2) == ids[:2]
    assert set(read) == {NOON_S // 86_400, NOON_S // 86_400 + 1}
    assert seen(store) == ids
    store.close()


def test_a_file_of_before_the_log_gets_one(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    path = store._files.path(NOON_S // 86_400)
    connection = store._files.open[NOON_S // 86_400].connection
    for sql in (
        "DROP TABLE event_log",
        "DROP TABLE notice",
        "DELETE FROM mark WHERE name = 'logged_through'",
        "DELETE FROM _sqlite_migrations WHERE name = 'add_event_log'",
    ):
        connection.execute(sql)
    store.close()
    assert path.exists()
    again = open_store(tmp_path)
    again.apply(Changes(inbound=[inbound(500, event=FOR_CURSORS)]))
    assert seen(again) == [id_at(500)]
    again.close()
