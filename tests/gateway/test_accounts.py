"""A customer's account: settings change in place, who may connect, whose review counts, who gets events."""

from typing import Any

import pytest

from gateway.accounts import AccountState, effective_review, group_chain, in_networks, parse_networks
from gateway.delivery import Event
from store.directory import Account, Directory, Group, User
from tests.gateway.core_world import make_part

GROUPS = {
    1: Group(1, "root", review="trust"),
    2: Group(2, "root/a", 1, review="inherit"),
    3: Group(3, "root/a/b", 2, review="review"),
    4: Group(4, "root/a/b/c", 3),
}


def directory(group: int = 4, **user: Any) -> Directory:
    return Directory(groups=GROUPS, users={1: User(1, "u", group, **user)}, sms_types={"api": 1, "otp": 2})


def state(**account: Any) -> AccountState:
    return AccountState(Account(1, 1, "u", "", **account), directory(), 0.0, events_max=10)


def test_a_group_and_its_ancestors_nearest_first() -> None:
    assert group_chain(directory(), 4) == (4, 3, 2, 1)
    assert group_chain(directory(), 1) == (1,)
    assert group_chain(directory(), 9) == ()


@pytest.mark.parametrize(
    ("group", "own", "expected"),
    [(4, "inherit", "review"), (4, "trust", "trust"), (2, "inherit", "trust"), (2, "review", "review"),
     (3, "inherit", "review"), (9, "inherit", "review")],
)  # fmt: skip
def test_the_nearest_word_on_review_counts_and_without_one_there_is_a_review(
    group: int, own: str, expected: str
) -> None:
    assert effective_review(directory(group, review=own), 1) == expected


def test_below_a_group_that_is_always_reviewed_no_trust_counts() -> None:
    groups = GROUPS | {
        2: Group(2, "root/a", 1, review="always"),
        4: Group(4, "root/a/b/c", 3, review="trust"),
        5: Group(5, "root/d", 1),
    }
    for group, own, expected in (
        (4, "inherit", "review"), (4, "trust", "review"), (2, "trust", "review"), (5, "inherit", "trust"),
    ):  # fmt: skip
        users = {1: User(1, "u", group, review=own)}  # type: ignore[arg-type]
        assert effective_review(Directory(groups=groups, users=users, sms_types={}), 1) == expected


def test_settings_change_in_place_and_the_log_survives() -> None:
    of = state(rate=10, default_sender="a", senders=("1",))
    of.bucket.take(10, 0.0)
    box, bucket = of.outbox, of.bucket
    of.apply(Account(1, 1, "u", "", rate=10, sms_type="otp", senders=("2",)), directory(), 0.0)
    assert of.outbox is box and of.bucket is bucket, "what was taken stays taken"
    assert (of.sms_type, of.default_sender) == (2, b"")
    assert of.senders.allowed(b"2") and not of.senders.allowed(b"1")
    of.apply(Account(1, 1, "u", "", rate=20), directory(), 0.0)
    assert of.bucket.take(99, 0.0) == 20, "a new rate begins with a full bucket"
    of.apply(Account(1, 1, "u", "", rate=20, burst=30), directory(), 0.0)
    assert of.bucket.take(99, 0.0) == 30


@pytest.mark.parametrize(
    ("account", "user", "active"),
    [
        ("active", "active", True),
        ("disabled", "active", False),
        ("active", "disabled", False),
        ("active", "deleted", False),
    ],
)
def test_an_account_is_as_active_as_its_user(account: Any, user: Any, active: bool) -> None:
    of = AccountState(Account(1, 1, "u", "", state=account), directory(state=user), 0.0, events_max=10)
    assert of.active is active


@pytest.mark.parametrize(
    ("own", "of_user", "taken"), [(0, 0, 99), (10, 0, 10), (0, 7, 7), (10, 7, 7), (5, 7, 5)]
)
def test_the_smaller_of_the_account_s_and_its_owner_s_rate_counts(own: int, of_user: int, taken: int) -> None:
    of = AccountState(Account(1, 1, "u", "", rate=own), directory(rate=of_user), 0.0, events_max=10)
    assert of.bucket.take(99, 0.0) == taken
    bucket = of.bucket
    of.apply(Account(1, 1, "u", "", rate=own), directory(rate=of_user), 0.0)
    assert of.bucket is bucket


def test_an_account_whose_type_its_owner_may_not_send_is_closed_and_its_senders_are_both_lists() -> None:
    account = Account(1, 1, "u", "", sms_type="otp", senders=("Bank", "Shop"))
    of = AccountState(account, directory(sms_types=("otp",), senders=("Bank",)), 0.0, events_max=10)
    assert of.active
    assert of.senders.allowed(b"Bank") and not of.senders.allowed(b"Shop")
    of.apply(account, directory(sms_types=("api",)), 0.0)
    assert not of.active


@pytest.mark.parametrize(
    ("allow", "address", "admitted"),
    [
        ((), "203.0.113.9", True),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "11.1.2.3", False),
        (("10.0.0.0/8", "2001:db8::/32"), "2001:db8::1", True),
        (("10.0.0.1",), "10.0.0.1", True),
        (("10.0.0.1/8",), "10.9.9.9", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:11.1.2.3", False),
        (("10.0.0.0/8",), "a unix socket", False),
        (("fe80::/10",), "fe80::1%eth0", True),
    ],
)
def test_who_may_connect(allow: tuple[str, ...], address: str, admitted: bool) -> None:
    assert in_networks(parse_networks(allow), address) is admitted
    assert state(allow=allow).may_connect_from(address) is admitted


def test_refusals_are_counted_by_reason() -> None:
    of = state()
    of.count_refused(0x4001)
    of.count_refused(0x4001, 3)
    of.count_refused(0x58)
    assert of.refused == {0x4001: 4, 0x58: 1}


class Receiver:
    """A bind with a window."""

    def __init__(self, of: AccountState, window: int, can_receive: bool = True) -> None:
        self.of, self.window, self.can_receive = of, window, can_receive
        self.number = len(of.binds)
        self.got: list[int] = []
        of.binds.append(self)

    def pump_events(self) -> None:
        self.got += [event.id for event in self.of.outbox.take(self.window - len(self.got))]


def offer(of: AccountState, *ids: int) -> None:
    for event_id in ids:
        of.outbox.offer(Event(event_id, 1, 1, make_part(event_id), 2, 0, 0, b""))


def test_events_go_to_the_binds_that_can_take_them_in_turn() -> None:
    of = state()
    first, deaf, second = Receiver(of, 1), Receiver(of, 9, can_receive=False), Receiver(of, 2)
    offer(of, 1, 2, 3, 4)
    of.pump()
    assert (first.got, deaf.got, second.got) == ([1], [], [2, 3])
    first.got, second.got = [], []
    of.pump()
    assert second.got + first.got == [4]


def test_with_several_binds_each_has_its_turn_to_be_first() -> None:
    of = state()
    binds = [Receiver(of, 100) for _ in range(3)]
    for event_id in range(1, 7):
        offer(of, event_id)
        of.pump()
    assert [bind.got for bind in binds] == [[1, 4], [2, 5], [3, 6]]


def test_without_events_or_binds_nothing_happens() -> None:
    of = state()
    of.pump()
    offer(of, 1)
    of.pump()
    assert of.outbox.waiting() == 1
