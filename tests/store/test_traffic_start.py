"""What a start finds and what an end leaves: full disks, failing reads, a process that did not come to rest."""

import sqlite3
from pathlib import Path

import pytest

from store.disk import BALLAST
from store.files import StoreError
from store.model import Changes, State
from store.port import StoreFailed, StoreFull, StoreOptions
from store.traffic import MS_A_DAY, SqliteStore
from tests.store.test_traffic_failure import FULL, Fault
from tests.store.traffic_world import (
    NOON_MS,
    NOON_S,
    SMALL,
    failing_connect,
    id_at,
    open_store,
    part,
    parts,
    sqlite_error,
)

EIO = sqlite_error(266, "SQLITE_IOERR_READ", "disk I/O error")


def test_an_io_error_of_a_read_is_final_too(tmp_path: Path) -> None:
    fault = Fault()
    store = open_store(tmp_path, connect=failing_connect(fault))
    store.apply(Changes(parts=parts(3)))
    fault.arm("SELECT", EIO)
    with pytest.raises(StoreFailed, match="SQLITE_IOERR_READ"):
        store.parts([id_at(0)])
    with pytest.raises(StoreFailed):
        store.apply(Changes(parts=[part(9)]))
    store.close()
    again = SqliteStore.open(tmp_path, now_ms=NOON_MS, options=SMALL)
    assert not again.recover().clean
    again.close()


def test_an_io_error_in_a_past_day_only_fails_who_asks(tmp_path: Path) -> None:
    fault = Fault()
    store = open_store(tmp_path, connect=failing_connect(fault))
    old = part(id=id_at(1, second=NOON_S - 86_400), state=State.DELIVERED)
    store.apply(Changes(parts=[old]))
    store._files.close(min(store.days()))
    fault.arm("SELECT", EIO)
    with pytest.raises(StoreError) as raised:
        store.parts([old.id])
    assert not isinstance(raised.value, StoreFailed)
    store.apply(Changes(parts=[part(9)]))
    store.close()


@pytest.mark.parametrize("clean", [True, False])
def test_a_store_that_did_not_come_to_rest_is_not_clean(tmp_path: Path, clean: bool) -> None:
    store = open_store(tmp_path)
    store.apply(Changes(parts=parts(3)))
    store.close(clean=clean)
    again = SqliteStore.open(tmp_path, now_ms=NOON_MS, options=SMALL)
    assert again.recover().clean is clean
    again.close()


def test_a_start_on_a_full_disk_says_so_and_can_be_tried_again(tmp_path: Path) -> None:
    """Each statement of opening and recovering fails once."""
    store = open_store(tmp_path)
    store.apply(Changes(parts=parts(3)))
    store.close(clean=False)
    nth = 0
    while True:
        nth += 1
        fault = Fault()
        fault.arm("", FULL, nth=nth)
        connect = failing_connect(fault)
        try:
            store = SqliteStore.open(tmp_path, now_ms=NOON_MS + MS_A_DAY, options=SMALL, connect=connect)
        except StoreFull:
            continue
        try:
            recovery = store.recover()
        except StoreFull:
            store.close(clean=False)
            continue
        except StoreError:
            assert fault.seen[-1].startswith(("SELECT", "PRAGMA"))  # a read has nothing to write
            store.close(clean=False)
            continue
        break
    assert nth > 20
    fault.left = 0
    assert sum(recovery.queued.values()) == 3
    assert store.verify() == []
    store.close()


def test_a_start_on_a_critical_disk_gives_the_ballast_away_first(tmp_path: Path) -> None:
    free = 1 << 40
    options = StoreOptions(ballast_octets=4096)
    store = SqliteStore.open(tmp_path, now_ms=NOON_MS, options=options, free_octets=lambda path: free)
    ballast = tmp_path / "days" / BALLAST
    assert ballast.exists()
    store.close()
    free = 1

    def connect(*arguments: object, **more: object) -> sqlite3.Connection:
        assert not ballast.exists()
        return sqlite3.connect(*arguments, **more)  # type: ignore[arg-type]

    store = SqliteStore.open(
        tmp_path, now_ms=NOON_MS, options=options, free_octets=lambda path: free, connect=connect
    )
    store.close()
