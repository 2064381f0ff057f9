"""The store's benchmarks, small: they run, and what they measure is whole."""

from pathlib import Path

import pytest

from bench import commit, restart


def test_the_rounds_of_commit_are_whole_lives(tmp_path: Path) -> None:
    figures = commit.measure(50, tmp_path, messages=2_000)
    assert {name for name in figures if name.endswith("_at_50")} == set(figures)
    assert all(value >= 0 for value in figures.values())
    assert figures["rows_per_s_at_50"] == 4 * figures["messages_per_s_at_50"]
    store = commit.SqliteStore.open(tmp_path, now_ms=commit.START_MS, options=restart.OPTIONS)
    recovery = store.recover()
    assert sum(recovery.queued.values()) == commit.ANSWER_LAG * 50
    assert recovery.awaiting_receipt == (commit.RECEIPT_LAG - commit.ANSWER_LAG) * 50
    assert sum(recovery.pending_events.values()) == (commit.DELIVERY_LAG - commit.RECEIPT_LAG) * 50
    assert store.verify() == []
    store.close()


@pytest.mark.parametrize(("indexed", "sent"), [(True, False), (False, False), (False, True)])
def test_restart_finds_everything_that_was_filled_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], indexed: bool, sent: bool
) -> None:
    restart.fill(tmp_path, indexed=indexed, sent=sent, parts=10_000)
    restart.measure(tmp_path)
    *seconds, memory_mib, count, found = map(float, capsys.readouterr().out.split())
    assert (count, found) == (10_000, 1000)
    assert min(*seconds, memory_mib) > 0
