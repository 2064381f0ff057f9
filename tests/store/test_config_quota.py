"""Quota: what is allocated never exceeds what is granted, and every balance can be recounted."""

import tempfile
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from store import quota
from store.config_db import ConfigStore
from store.quota import QuotaRefused
from tests.store.config_world import apply, open_store, world

# world(): group 1 root (unlimited), group 2 granted 1000, user 1 of it with limit 600.


def test_a_group_tells_granted_allocated_and_remaining(tmp_path: Path) -> None:
    with world(tmp_path) as store, store.reading() as connection:
        balance = quota.group_balance(connection, 2)
    assert (balance.granted, balance.allocated, balance.remaining) == (1000, 600, 400)


def test_a_users_top_up_is_bounded_by_the_groups_remaining(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        with pytest.raises(QuotaRefused, match="At most 400 parts are left in group") as refused:
            store.topup_user(1, 401, "me")
        assert refused.value.available == 400
        store.topup_user(1, 400, "me")
        assert store.balance(1).limit == 1000


def test_a_child_group_draws_from_its_parent(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, '[[group]]\npath = "总公司/福建分公司/厦门"\n')
        with pytest.raises(QuotaRefused, match="At most 400"):
            store.topup_group(3, 401, "me")
        store.topup_group(3, 400, "me")
        with pytest.raises(QuotaRefused, match="At most 0"):
            store.topup_user(1, 1, "me")


def test_a_root_group_is_granted_out_of_nothing_and_an_unlimited_one_needs_none(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        with pytest.raises(QuotaRefused, match="unlimited"):
            store.topup_group(1, 5, "me")
        apply(store, '[[group]]\npath = "second"\n')
        store.topup_group(3, 10**12, "me", note="invoice 7")
        with store.reading() as connection:
            assert quota.group_balance(connection, 3).granted == 10**12
            assert connection.execute("SELECT note FROM quota_entry WHERE group_id = 3").fetchall() == [
                ("invoice 7",)
            ]


def test_a_group_can_be_reclaimed_down_to_what_it_allocated(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        with pytest.raises(QuotaRefused, match="At most 400 parts can be reclaimed"):
            store.topup_group(2, -401, "me")
        store.topup_group(2, -400, "me")


def test_a_user_can_be_reclaimed_down_to_what_is_used_and_reserved(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        store.consolidate(19_000, {1: 100})
        with pytest.raises(QuotaRefused, match="150 of 600 are used or reserved") as refused:
            store.topup_user(1, -451, "me", in_flight=50)
        assert refused.value.available == 450
        store.topup_user(1, -450, "me", in_flight=50)
        assert store.balance(1, used_open=20, reserved_open=30).available == 0


def test_a_balance_is_limit_less_used_and_reserved_of_all_days(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        store.consolidate(19_000, {1: 100})
        balance = store.balance(1, used_open=7, reserved_open=5)
    assert (balance.limit, balance.used, balance.reserved, balance.available) == (600, 107, 5, 488)


def test_consolidating_a_day_again_changes_nothing_and_better_figures_replace(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, '[[user]]\nlogin = "other"\ngroup = "总公司"\n')
        store.consolidate(19_000, {1: 100, 2: 3})
        store.consolidate(19_001, {1: 10})
        store.consolidate(19_000, {1: 100, 2: 3})
        assert store.used() == {1: 110, 2: 3}
        store.consolidate(19_000, {1: 99})
        store.consolidate(19_002, {})
        assert store.used() == {1: 109}
        assert store.consolidated_days() == {19_000, 19_001, 19_002}


def test_a_moved_user_leaves_what_is_available_and_takes_what_is_spent(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, '[[group]]\npath = "总公司/上海"\ngranted = 5\n')
        store.consolidate(19_000, {1: 100})
        apply(store, '[[user]]\nlogin = "acme"\ngroup = "总公司/上海"\n')
        with store.reading() as connection:
            old, new = (quota.group_balance(connection, group) for group in (2, 3))
            assert quota.over_allocated(connection) == []
        assert (old.granted, old.allocated) == (900, 0)
        assert (new.granted, new.allocated, new.remaining) == (105, 100, 5)
        assert store.balance(1).limit == 100


def test_a_deleted_user_returns_what_is_available(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        store.consolidate(19_000, {1: 100})
        apply(store, '[[user]]\nlogin = "acme"\nstate = "deleted"\n', in_flight={1: 20})
        assert store.balance(1).limit == 120
        with store.reading() as connection:
            assert quota.group_balance(connection, 2).remaining == 880
        apply(store, '[[user]]\nlogin = "acme"\nstate = "active"\n')
        assert store.balance(1).limit == 120


def test_fifty_top_ups_at_once_never_exceed_the_grant(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        refused: list[QuotaRefused] = []

        def top_up() -> None:
            try:
                store.topup_user(1, 30, "me")
            except QuotaRefused as error:
                refused.append(error)

        threads = [Thread(target=top_up) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 50 - 400 // 30
        assert store.balance(1).limit == 600 + 30 * 13


class QuotaMachine(RuleBasedStateMachine):
    """Any order of grants, reclaims, moves and deletions keeps the rules and the ledger."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = ConfigStore.open(Path(self.folder.name) / "data")
        apply(
            self.store,
            '[[group]]\npath = "r"\ngranted = 1000\n[[group]]\npath = "r/a"\ngranted = 400\n'
            '[[group]]\npath = "r/a/b"\n[[group]]\npath = "s"\ngranted = "unlimited"\n'
            '[[user]]\nlogin = "u"\ngroup = "r/a"\nlimit = 100\n[[user]]\nlogin = "v"\ngroup = "s"\n',
        )
        self.used = {1: 0, 2: 0}
        self.day = 19_000

    @rule(group=st.integers(1, 4), parts=st.integers(-500, 500))
    def top_up_group(self, group: int, parts: int) -> None:
        try:
            self.store.topup_group(group, parts, "me")
        except QuotaRefused as refused:
            assert group == 4 or abs(parts) > refused.available

    @rule(user=st.integers(1, 2), parts=st.integers(-500, 500), in_flight=st.integers(0, 50))
    def top_up_user(self, user: int, parts: int, in_flight: int) -> None:
        try:
            self.store.topup_user(user, parts, "me", in_flight=in_flight)
        except QuotaRefused as refused:
            assert abs(parts) > refused.available

    @rule(user=st.sampled_from(["u", "v"]), path=st.sampled_from(["r", "r/a", "r/a/b", "s"]))
    def move(self, user: str, path: str) -> None:
        apply(self.store, f'[[user]]\nlogin = "{user}"\nstate = "active"\ngroup = "{path}"\n')

    @rule(user=st.sampled_from(["u", "v"]))
    def delete(self, user: str) -> None:
        apply(self.store, f'[[user]]\nlogin = "{user}"\nremove = true\n')

    @rule(user=st.integers(1, 2), share=st.integers(0, 100))
    def use(self, user: int, share: int) -> None:
        parts = max(self.store.balance(user).available, 0) * share // 100
        self.used[user] += parts
        self.day += 1
        self.store.consolidate(self.day, {user: parts})

    @invariant()
    def rules_hold(self) -> None:
        with self.store.reading() as connection:
            assert quota.over_allocated(connection) == []
            assert quota.recount(connection) == []
        for user, used in self.used.items():
            balance = self.store.balance(user)
            assert balance.used == used <= balance.limit

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


QuotaMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
test_quota_rules_hold_in_any_order = QuotaMachine.TestCase


def test_a_wrong_balance_is_found_by_recount(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        apply(store, '[[group]]\npath = "g"\ngranted = 10\n')
        with store.writing("thief") as transaction:
            transaction.run("UPDATE user_group SET granted = 99")
        with store.reading() as connection:
            assert quota.recount(connection) == ["user_group 1: granted 99, the ledger says 10"]
