"""When parts count as low, and who is there."""

from pathlib import Path

import pytest

from store import quota_low
from store.config_db import ConfigStore
from store.directory import low_at
from store.quota_low import Threshold, low_groups, low_users, set_threshold
from store.scope import Within
from tests.store.config_world import apply, open_store, world

# world(): group 1 root (unlimited), group 2 granted 1000, user 1 "acme" of it with limit 600.


def low(store: ConfigStore, balances: dict[int, tuple[int, int]]) -> list[tuple[str, str, int, int]]:
    with store.reading() as connection:
        found = low_users(connection, Within(), balances) + low_groups(connection, Within(), balances)
    return [(one.kind, one.name, one.available, one.limit) for one in found]


@pytest.mark.parametrize(
    ("threshold", "limit", "at"),
    [(Threshold(), 600, 60), (Threshold(percent=25), 600, 150), (Threshold(percent=0), 600, 0),
     (Threshold(parts=7), 600, 7), (Threshold(parts=0), 600, 0), (Threshold(parts=900), 600, 900)],
)  # fmt: skip
def test_a_threshold_is_a_number_of_parts_or_a_share_of_the_limit(
    threshold: Threshold, limit: int, at: int
) -> None:
    assert threshold.at(limit) == at == low_at(limit, threshold.parts, threshold.percent)


def test_a_user_is_low_at_the_threshold_and_not_a_part_before(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        assert low(store, {1: (500, 39)}) == []
        assert low(store, {1: (500, 40)}) == [("user", "acme", 60, 600)]
        with store.writing("me") as write:
            set_threshold(write, "user", 1, "acme", Threshold(parts=59))
        assert low(store, {1: (500, 40)}) == []
        assert low(store, {1: (500, 41)}) == [("user", "acme", 59, 600)]


def test_what_a_group_s_users_have_unused_counts_as_the_group_s(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        with store.writing("me") as write:
            set_threshold(write, "group", 2, "总公司/福建分公司", Threshold(parts=400))
        assert low(store, {1: (500, 39)}) == []
        apply(store, '[[group]]\npath = "总公司/福建分公司/厦门"\ngranted = 300\n')
        assert low(store, {1: (300, 300)})[1:] == [("group", "总公司/福建分公司", 400, 1000)]


def test_a_threshold_is_written_down_and_the_directory_knows_it(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        with store.writing("me") as write:
            set_threshold(write, "user", 1, "acme", Threshold(parts=59))
            set_threshold(write, "user", 1, "acme", Threshold(parts=59))
        with store.reading() as connection:
            said = connection.execute("SELECT detail FROM audit WHERE action = 'quota.threshold'").fetchall()
            assert quota_low.threshold_of(connection, "user", 1) == Threshold(parts=59)
        assert said == [('{"low_at":["10 %","59"]}',)]
        assert store.directory().users[1].low_at == 59
        assert store.directory().groups[2].low_at == 100


def test_thresholds_are_declared_and_exported(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, '[[user]]\nlogin = "acme"\nquota_low_parts = 50\n')
        apply(store, '[[group]]\npath = "总公司/福建分公司"\nquota_low_percent = 33\n')
        text = "".join(store.export())
    with open_store(tmp_path, "other") as other:
        apply(other, text)
        assert other.directory().users[1].quota_low_parts == 50
        assert other.directory().groups[2].quota_low_percent == 33
        assert not [change for change in apply(other, text) if change.action != "unchanged"]
