"""The recipients of a task: where it stands survives, and nothing stands twice."""

from pathlib import Path

import pytest

from store.files import StoreError
from store.task_file import (
    ROWS,
    Figures,
    Pass,
    TaskFile,
    copy_task_files,
    drop_sources,
    folder_of,
    make_folder,
    remove_folder,
)

NUMBERS = [8613800000000 + n for n in range(10)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = make_folder(tmp_path, 7)
    made = TaskFile.make(folder / "rows.db")
    made.add_recipients([(n, number, 0) for n, number in enumerate(NUMBERS, 1)])
    made.add_blocked([(None, 1, 3, "abc", 0, "invalid", "letters"), (None, 1, 4, "", 0, "blank", "")])
    made.finish()
    return folder / "rows.db"


def test_rows_come_in_order_from_any_position(path: Path) -> None:
    with TaskFile.open(path) as file:
        assert file.numbers(0, 4) == NUMBERS[:4]
        assert file.numbers(8, 4) == NUMBERS[8:]
        assert file.position() == 0
        assert [one.original for one in file.blocked("invalid", 0, 10)] == ["abc"]
        assert len(file.blocked("", 0, 10)) == 2
        assert file.row_of(NUMBERS[3]) == 4


def test_a_pass_is_durable_with_its_refusals_or_forgotten_with_them(path: Path) -> None:
    one = Pass(1, 4, 100, 102, 3, 5)
    with TaskFile.open(path, writes=True) as file:
        file.record(one, [(2, 0x4005)])
    with TaskFile.open(path, writes=True) as file:
        assert file.last_pass() == one
        assert (file.position(), file.refusals()) == (4, [(0x4005, 1)])
        assert file.figures(10) == Figures(10, fed=4, refused=1, waiting=3)
        assert file.figures(10).not_sent == 6
        file.forget(one)
        assert (file.position(), file.refusals()) == (0, [])


def test_a_pass_of_which_a_part_was_stored_ends_there(path: Path) -> None:
    one = Pass(1, 4, 100, 102, 3, 5)
    with TaskFile.open(path, writes=True) as file:
        file.record(one, [(4, 0x4005)])
        file.shorten(one, 2, 101, 2)
        assert file.last_pass() == Pass(1, 2, 100, 101, 2, 5)
        assert file.refusals() == []


def test_what_is_counted_adds_up_and_settles(path: Path) -> None:
    with TaskFile.open(path, writes=True) as file:
        file.record(Pass(1, 5, 100, 104, 5, 5), [])
        file.record(Pass(6, 10, 105, 109, 5, 6), [])
        assert [one.first_row for one in file.unsettled(0, 10)] == [1, 6]
        file.count([(0, 0, 4, 1, 0, 0, 5, 1, 1)])
        assert [one.first_row for one in file.unsettled(0, 10)] == [6]
        figures = file.figures(10)
        assert (figures.delivered, figures.failed, figures.waiting, figures.parts_sent) == (4, 1, 5, 5)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ("all", NUMBERS),
        ("not-sent", NUMBERS[4:]),
        ("failed", [NUMBERS[0], NUMBERS[1]]),
        ("unknown", [NUMBERS[0]]),
    ],
)
def test_a_resend_chooses_its_numbers(path: Path, wanted: str, numbers: list[int]) -> None:
    with TaskFile.open(path, writes=True) as file:
        file.record(Pass(1, 4, 100, 102, 3, 5), [(2, 0x4005)])
        failing = [] if wanted in ("all", "not-sent") else [NUMBERS[0]]
        assert list(file.chosen(wanted, lambda one: failing)) == numbers


def test_a_damaged_or_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        TaskFile.open(tmp_path / "none.db")
    (tmp_path / "bad.db").write_bytes(b"nothing like a database" * 100)
    with pytest.raises(StoreError):
        TaskFile.open(tmp_path / "bad.db")


def test_a_task_s_folder_is_private_and_goes(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, 3)
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "upload").write_bytes(b"x")
    drop_sources(tmp_path, 3)
    assert not (folder / "upload").exists()
    remove_folder(tmp_path, 3)
    assert not folder_of(tmp_path, 3).exists()


def test_a_backup_holds_every_task_s_recipients(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    target.mkdir()
    (copy,) = copy_task_files(path.parent.parent.parent, target)
    assert copy == folder_of(target, 7) / "rows.db"
    assert copy.stat().st_mode & 0o777 == 0o600
    with TaskFile.open(copy) as file:
        assert file.numbers(0, 20) == NUMBERS


def test_the_pace_is_told_in_equal_steps_of_at_least_five_seconds(tmp_path: Path) -> None:
    path = tmp_path / ROWS
    file = TaskFile.make(path)
    file.finish()
    with TaskFile.open(path, writes=True) as file:
        assert file.pace(10) == []
        for row, at in ((1, 100_000), (101, 104_999), (201, 112_000)):
            file.record(Pass(row, row + 99, row, row + 99, 50, at), [])
        assert file.pace(10) == [(100, 20.0), (105, 0.0), (110, 10.0)]
        file.record(Pass(301, 400, 301, 400, 50, 1_099_000), [])
        found = file.pace(10)
        assert len(found) == 10
        assert found[0] == (100, 1.5)
        assert found[-1] == (1000, 0.5)
