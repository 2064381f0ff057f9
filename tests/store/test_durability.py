"""What a round's COMMIT waits for."""

from pathlib import Path

from store.port import StoreOptions
from store.traffic import SqliteStore

FULL = 2


def test_a_round_is_flushed_to_the_disk_before_it_is_answered(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, now_ms=1_800_000_000_000, options=StoreOptions(ballast_octets=0))
    for file in store._files.open.values():
        assert file.connection.execute("PRAGMA synchronous").fetchone() == (FULL,)
        assert file.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()
