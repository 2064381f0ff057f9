"""What a full, failing or damaged disk does to the store, and a process that dies in the middle."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from store.files import StoreError
from store.model import Changes, Delivered, State, Usage
from store.port import Applied, StoreFailed, StoreFull
from store.traffic import MS_A_DAY, SqliteStore
from tests.store.traffic_world import (
    NOON_MS,
    NOON_S,
    SMALL,
    TODAY,
    attempt,
    failing_connect,
    id_at,
    open_store,
    outcome,
    part,
    parts,
    receipt,
    sqlite_error,
)

ROOT = Path(__file__).parents[2]


class Fault:
    """Raises `error` for the nth statement that starts with `text`, from when it is armed."""

    def __init__(self) -> None:
        self.text = ""
        self.left = 0
        self.error: sqlite3.Error | None = None
        self.seen: list[str] = []

    def arm(self, text: str, error: sqlite3.Error, *, nth: int = 1) -> None:
        self.text, self.error, self.left = text, error, nth

    def __call__(self, sql: str) -> sqlite3.Error | None:
        self.seen.append(sql)
        if self.left and sql.startswith(self.text):
            self.left -= 1
            if not self.left and self.error is not None:
                error = self.error
                return sqlite_error(error.sqlite_errorcode, error.sqlite_errorname, str(error))
        return None


FULL = sqlite_error(sqlite3.SQLITE_FULL, "SQLITE_FULL", "database or disk is full")
EIO = sqlite_error(1034, "SQLITE_IOERR_FSYNC", "disk I/O error")


def whole_life(second: int = NOON_S) -> list[Changes]:
    """Rounds that between them use every statement of the write path."""
    some = [part(n, id=id_at(n, second=second)) for n in range(3)]
    told = [receipt(some[0], 600), receipt(some[1], 601)]
    return [
        Changes(parts=some, usage=[Usage(1, some[0].id // (86_400 << 30), 3, 0)]),
        Changes(attempts=[attempt(p) for p in some[:2]]),
        Changes(moved=[(some[2].id, State.CLAIMED, 2)], flagged=[(some[2].id, 2)]),
        Changes(outcomes=[outcome(some[0]), outcome(some[1], State.FAILED)], receipts=told),
        Changes(delivered=[Delivered(7, "smpp:1", NOON_MS, 0, [told[0].id], True)]),
    ]


def picture(store: SqliteStore) -> list[object]:
    """Everything that the reads say, to see that nothing changed."""
    return [
        store.parts([id_at(n) for n in range(3)]),
        [store.message(id_at(n)) for n in range(3)],
        store.queued(1, 1, 7, 0, 10),
        store.claimed(0, 10),
        store.awaiting_receipt(1 << 62, 10),
        store.pending_events(7, 0, 10),
        store.accounts_with_pending_events(),
        store.rollups(0, 1 << 40),
        store.usage(TODAY),
    ]


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("statement", ["BEGIN", "COMMIT", "any"])
def test_a_full_disk_changes_nothing_and_the_round_can_be_tried_again(
    tmp_path: Path, at: int, statement: str
) -> None:
    """Each statement of each round fails once; then the same round succeeds."""
    fault = Fault()
    store = open_store(tmp_path, connect=failing_connect(fault))
    rounds = whole_life()
    for done in rounds[:at]:
        store.apply(done)
    before = picture(store)
    nth = 1
    while True:
        fault.arm("" if statement == "any" else statement, FULL, nth=nth)
        try:
            store.apply(rounds[at])
        except StoreFull as full:
            assert full.rest == rounds[at]
            assert full.applied == Applied()
            fault.left = 0
            assert picture(store) == before
            if statement != "any":
                fault.arm("nothing", FULL)
                store.apply(rounds[at])
                break
            nth += 1
        else:
            assert nth > 2
            fault.left = 0
            break
    for rest in rounds[at + 1 :]:
        store.apply(rest)
    assert [p.state for p in store.parts([id_at(n) for n in range(3)])] == [
        State.DELIVERED,
        State.FAILED,
        State.CLAIMED,
    ]
    assert store.accounts_with_pending_events() == {7: 1}
    assert store.verify() == []
    store.close()


def test_a_really_full_file_refuses_parts_and_loses_nothing(tmp_path: Path) -> None:
    """SQLite's own SQLITE_FULL, by a bound on the pages of the file."""
    limit = {"pages": 0}

    def connect(*arguments: object, **more: object) -> sqlite3.Connection:
        connection = sqlite3.connect(*arguments, **more)  # type: ignore[arg-type]
        if limit["pages"]:
            connection.execute(f"PRAGMA max_page_count = {limit['pages']}")
        return connection

    store = open_store(tmp_path, connect=connect)
    file = store._files.open[TODAY]
    pages = file.number("PRAGMA page_count")
    file.connection.execute(f"PRAGMA max_page_count = {pages + 8}").fetchall()
    accepted = 0
    with pytest.raises(StoreFull) as caught:
        for start in range(0, 1000, 50):
            store.apply(Changes(parts=parts(50, start=start, body=bytes(250))))
            accepted += 50
    assert "full" in str(caught.value)
    assert len(caught.value.rest.parts) == 50
    assert 0 < accepted < 1000
    assert len(store.queued(1, 1, 7, 0, 2000)) == accepted
    file.connection.execute(f"PRAGMA max_page_count = {pages + 1000}").fetchall()
    store.apply(caught.value.rest)
    assert len(store.queued(1, 1, 7, 0, 2000)) == accepted + 50
    store.close()
    assert len(open_store(tmp_path).queued(1, 1, 7, 0, 2000)) == accepted + 50


@pytest.mark.parametrize("statement", ["BEGIN", "INSERT INTO part", "COMMIT"])
def test_an_io_error_is_final(tmp_path: Path, statement: str) -> None:
    fault = Fault()
    store = open_store(tmp_path, connect=failing_connect(fault))
    store.apply(Changes(parts=parts(1)))
    fault.arm(statement, EIO)
    with pytest.raises(StoreFailed, match="SQLITE_IOERR_FSYNC"):
        store.apply(Changes(parts=parts(1, start=1)))
    with pytest.raises(StoreFailed):
        store.apply(Changes(parts=parts(1, start=2)))
    store.close()
    again = SqliteStore.open(tmp_path, now_ms=NOON_MS, options=SMALL)
    recovery = again.recover()
    assert not recovery.clean
    assert sum(recovery.queued.values()) == 1
    again.close()


def test_an_io_error_in_upkeep_is_final_too(tmp_path: Path) -> None:
    fault = Fault()
    store = open_store(tmp_path, connect=failing_connect(fault))
    store.apply(Changes(parts=parts(1)))
    store.maintain(NOON_MS + 1000)
    fault.arm("PRAGMA wal_checkpoint", EIO)
    with pytest.raises(StoreFailed):
        store.maintain(NOON_MS + 120_000)
    with pytest.raises(StoreFailed):
        store.apply(Changes(parts=parts(1, start=2)))
    store.close()


def test_a_full_disk_only_puts_upkeep_off(tmp_path: Path) -> None:
    fault = Fault()
    store = open_store(tmp_path, connect=failing_connect(fault))
    store.apply(Changes(parts=parts(3)))
    fault.arm("INSERT INTO open_part", FULL)
    store.maintain(NOON_MS + 120_000)
    assert fault.left == 0
    assert len(store.queued(1, 1, 7, 0, 10)) == 3
    store.maintain(NOON_MS + 240_000)
    assert len(store.queued(1, 1, 7, 0, 10)) == 3
    assert store.verify() == []
    store.close()


def test_a_round_of_two_days_that_fills_the_disk_says_what_is_left(tmp_path: Path) -> None:
    fault = Fault()
    store = open_store(tmp_path, connect=failing_connect(fault))
    yesterday = part(0, id=id_at(0, second=NOON_S - 86_400))
    store.apply(Changes(parts=[yesterday]))
    today = part(1)
    both = Changes(parts=[today], outcomes=[outcome(yesterday)])
    fault.arm("COMMIT", FULL, nth=2)
    with pytest.raises(StoreFull) as caught:
        store.apply(both)
    assert caught.value.applied.parts == 1
    assert caught.value.rest == Changes(outcomes=both.outcomes)
    assert store.apply(caught.value.rest).outcomes == 1
    assert [p.state for p in store.parts([yesterday.id, today.id])] == [State.DELIVERED, State.QUEUED]
    assert store.verify() == []
    store.close()


def test_a_row_that_is_there_already_refuses_its_round(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.apply(Changes(parts=parts(2)))
    with pytest.raises(ValueError, match="there already"):
        store.apply(Changes(parts=[part(5), part(1)]))
    assert [p.id for p in store.queued(1, 1, 7, 0, 10)] == [id_at(0), id_at(1)]
    store.apply(Changes(parts=[part(5)]))
    store.close()


@pytest.mark.parametrize(
    "changes",
    [
        Changes(attempts=[attempt(part(0), n=0)]),
        Changes(attempts=[attempt(part(0), n=4096)]),
        Changes(outcomes=[outcome(part(0), State.QUEUED)]),
        Changes(usage=[Usage(1, NOON_S, 1, 0)]),
        Changes(parts=[part(0, id=id_at(0, second=NOON_S + 400 * 86_400))]),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_written(
    tmp_path: Path, changes: Changes
) -> None:
    store = open_store(tmp_path)
    changes.parts.append(part(9))
    with pytest.raises(ValueError, match=r"\d"):
        store.apply(changes)
    assert store.parts([id_at(9)]) == []
    store.apply(Changes(parts=[part(9)]))
    store.close()


# -- damage ---------------------------------------------------------------------------------------


def test_a_damaged_file_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    store = open_store(tmp_path, now_ms=NOON_MS - MS_A_DAY)
    old = part(0, id=id_at(0, second=NOON_S - 86_400))
    store.apply(Changes(parts=[old]))
    store.maintain(NOON_MS)
    store.apply(Changes(parts=parts(2)))
    store.close()
    path = tmp_path / "days" / "2024-10-03.db"
    path.write_bytes(b"this is no database" * 1000)
    again = SqliteStore.open(tmp_path, now_ms=NOON_MS, options=SMALL)
    recovery = again.recover()
    assert [Path(line.split(": ")[0]).name for line in recovery.quarantined] == ["2024-10-03.db.damaged"]
    assert (tmp_path / "days" / "2024-10-03.db.damaged").exists()
    assert again.days() == [TODAY]
    assert len(again.queued(1, 1, 7, 0, 10)) == 2
    again.apply(Changes(parts=[old]))
    again.close()
    path.write_bytes(b"again" * 1000)
    assert "2024-10-03.db.damaged2" in open_store(tmp_path).recover().quarantined[0]


def test_a_torn_page_ends_the_process_and_the_next_start_sets_the_file_aside(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for start in range(0, 2000, 200):
        store.apply(Changes(parts=parts(200, start=start, body=bytes(250))))
    store.close()
    path = tmp_path / "days" / "2024-10-04.db"
    with path.open("r+b") as file:
        file.seek(40 * SMALL.page_octets)
        file.write(bytes(SMALL.page_octets))
    first = SqliteStore.open(tmp_path, now_ms=NOON_MS, options=SMALL)
    with pytest.raises(StoreFailed, match="SQLITE_CORRUPT"):
        first.recover()
    first.close()
    second = SqliteStore.open(tmp_path, now_ms=NOON_MS, options=SMALL)
    assert "2024-10-04.db.damaged" in second.recover().quarantined[0]
    assert second.parts([id_at(1)]) == []
    second.apply(Changes(parts=parts(1)))
    second.close()


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.disk.file_system_of", lambda path, mounts: "nfs4")
    with pytest.raises(StoreError, match="network file system"):
        open_store(tmp_path)


# -- sudden death ---------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.store.traffic_world import *
store = open_store(Path({directory!r}), now_ms=NOON_MS)
from store.model import Changes, Delivered, Usage
for r in range(100_000):
    new = parts(20, start=r * 20, body=bytes(200))
    before = parts(20, start=(r - 1) * 20) if r else []
    told = [receipt(p, (1 << 19) + r * 20 + n) for n, p in enumerate(before)]
    store.apply(Changes(
        parts=new, attempts=[attempt(p) for p in before], receipts=told,
        outcomes=[outcome(p) for p in before], usage=[Usage(1, TODAY, 20 - len(before), len(before))],
        delivered=[Delivered(7, "smpp:1", NOON_MS, 0, [t.id for t in told[:10]], True)] if told else [],
    ))
    if r % 7 == 0:
        store.maintain(NOON_MS + r * 10_000)
    print(r, flush=True)
"""


@pytest.mark.parametrize("rounds", [0, 3, 17, 40])
def test_every_committed_round_outlives_a_kill(tmp_path: Path, rounds: int) -> None:
    directory = tmp_path / "data"
    script = CHILD.format(root=str(ROOT), directory=str(directory))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout is not None
        last = -1
        while last < rounds:
            last = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().split(b"\n")
        last = max([last, *(int(line) for line in rest[:-1] if line)])
    store = SqliteStore.open(directory, now_ms=NOON_MS, options=SMALL)
    recovery = store.recover()
    assert not recovery.clean
    assert recovery.quarantined == []
    # The round that was under way when the child died may be there or not, but whole.
    queued = sum(recovery.queued.values())
    assert queued == 20
    newest = store.queued(1, 1, 7, 0, 100)[-1].id & 0xFFFFF
    stored_rounds = (newest + 1) // 20
    assert stored_rounds in (last + 1, last + 2)
    assert recovery.usage == {1: (20, (stored_rounds - 1) * 20)}
    assert recovery.pending_events == ({7: (stored_rounds - 1) * 10} if stored_rounds > 1 else {})
    assert recovery.awaiting_receipt == 0
    assert store.verify({7: 1}) == []
    store.close()
