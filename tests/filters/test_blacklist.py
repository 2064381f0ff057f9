"""Blacklists: three kinds of list, one order of reasons, changes at once, snapshots that cannot lie."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.blacklist import GLOBAL, GROUP, TYPE, Blacklists, DamagedBlacklist, Scope

EVERYBODY = Scope(GLOBAL)
NUMBER = 8613800138000
numbers = st.integers(100, 10**15 - 1) | st.integers(NUMBER, NUMBER + 5)


def test_a_number_on_no_list_is_free() -> None:
    assert Blacklists().check(NUMBER, (1,), "api") is None


def test_the_global_list_is_for_everybody() -> None:
    blacklists = Blacklists()
    blacklists.add(EVERYBODY, [NUMBER])
    assert blacklists.check(NUMBER) == EVERYBODY
    assert blacklists.check(NUMBER, (5, 1), "marketing") == EVERYBODY
    assert blacklists.check(NUMBER + 1) is None


def test_a_type_list_is_for_its_type_whoever_sends() -> None:
    blacklists = Blacklists()
    blacklists.add(Scope(TYPE, "marketing"), [NUMBER])
    assert blacklists.check(NUMBER, (1,), "marketing") == Scope(TYPE, "marketing")
    assert blacklists.check(NUMBER, (1,), "api") is None


def test_a_group_list_is_for_the_group_and_the_groups_below() -> None:
    blacklists = Blacklists()
    blacklists.add(Scope(GROUP, 1), [NUMBER])
    assert blacklists.check(NUMBER, (1,)) == Scope(GROUP, 1)
    assert blacklists.check(NUMBER, (7, 3, 1)) == Scope(GROUP, 1)
    assert blacklists.check(NUMBER, (7, 3)) is None
    assert blacklists.check(NUMBER) is None


def test_the_reason_is_the_first_of_global_type_group() -> None:
    blacklists = Blacklists()
    for scope in (Scope(GROUP, 3), Scope(GROUP, 7), Scope(TYPE, "api"), EVERYBODY):
        blacklists.add(scope, [NUMBER])
    assert blacklists.check(NUMBER, (7, 3), "api") == EVERYBODY
    blacklists.remove(EVERYBODY, [NUMBER])
    assert blacklists.check(NUMBER, (7, 3), "api") == Scope(TYPE, "api")
    blacklists.remove(Scope(TYPE, "api"), [NUMBER])
    assert blacklists.check(NUMBER, (7, 3), "api") == Scope(GROUP, 7)
    blacklists.drop(Scope(GROUP, 7))
    assert blacklists.check(NUMBER, (7, 3), "api") == Scope(GROUP, 3)


def test_changes_are_seen_by_the_next_check() -> None:
    blacklists = Blacklists()
    assert blacklists.add(EVERYBODY, [NUMBER, NUMBER, NUMBER + 1]) == 2
    assert blacklists.add(EVERYBODY, [NUMBER]) == 0
    assert blacklists.check(NUMBER) == EVERYBODY
    assert blacklists.remove(EVERYBODY, [NUMBER, 1]) == 1
    assert blacklists.check(NUMBER) is None
    assert blacklists.check(NUMBER + 1) == EVERYBODY
    assert blacklists.replace(EVERYBODY, [NUMBER]) == 1
    assert blacklists.check(NUMBER) == EVERYBODY
    assert blacklists.check(NUMBER + 1) is None
    blacklists.drop(EVERYBODY)
    assert blacklists.check(NUMBER) is None


def test_any_iterable_of_numbers_will_do() -> None:
    blacklists = Blacklists()
    assert blacklists.add(EVERYBODY, (number for number in range(200, 300))) == 100
    assert blacklists.replace(Scope(TYPE, "api"), iter([NUMBER])) == 1
    assert blacklists.check(250) == EVERYBODY
    assert blacklists.check(NUMBER, (), "api") == Scope(TYPE, "api")


def test_many_at_once_say_the_same_as_one_by_one() -> None:
    blacklists = Blacklists()
    blacklists.add(EVERYBODY, [200, 201])
    blacklists.add(Scope(TYPE, "api"), [201, 202])
    blacklists.add(Scope(GROUP, 4), [203])
    assert blacklists.check_many(range(199, 205), (9, 4), "api") == {
        200: EVERYBODY,
        201: EVERYBODY,
        202: Scope(TYPE, "api"),
        203: Scope(GROUP, 4),
    }


def test_where_names_every_list_of_a_number() -> None:
    blacklists = Blacklists()
    scopes = [EVERYBODY, Scope(TYPE, "api"), Scope(GROUP, 7)]
    for scope in scopes:
        blacklists.add(scope, [NUMBER])
    assert blacklists.where(NUMBER) == scopes
    assert blacklists.where(NUMBER + 1) == []


def test_the_global_list_has_no_key() -> None:
    with pytest.raises(ValueError, match="no key"):
        Blacklists().add(Scope(GLOBAL, 5), [NUMBER])


def test_numbers_that_share_their_last_bits_are_not_mistaken() -> None:
    """All lists share a bitmap of last bits; agreeing there proves nothing."""
    blacklists = Blacklists()
    blacklists.add(EVERYBODY, [NUMBER])
    for step in range(1, 200):
        assert blacklists.check(NUMBER + step * 2**27) is None


@pytest.mark.parametrize("scope", [EVERYBODY, Scope(TYPE, "marketing"), Scope(GROUP, 12)])
def test_a_snapshot_brings_a_list_back(scope: Scope) -> None:
    blacklists = Blacklists()
    blacklists.add(scope, range(NUMBER, NUMBER + 1000, 3))
    blob = blacklists.serialize(scope)
    other = Blacklists()
    assert other.deserialize(scope, blob) == 334
    for number in range(NUMBER - 1, NUMBER + 1001):
        assert other.check(number, (12,), "marketing") == blacklists.check(number, (12,), "marketing")
    assert other.add(scope, [NUMBER + 1]) == 1


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign", "longer"])
def test_a_damaged_snapshot_is_refused_and_changes_nothing(damage: str) -> None:
    blacklists = Blacklists()
    blacklists.add(EVERYBODY, range(NUMBER, NUMBER + 100))
    blob = blacklists.serialize(EVERYBODY)
    damaged = {
        "cut": blob[:-1],
        "flip": blob[:40] + bytes([blob[40] ^ 1]) + blob[41:],
        "empty": b"",
        "foreign": b"SQLite format 3\0" * 4,
        "longer": blob + b"\0",
    }[damage]
    with pytest.raises(DamagedBlacklist, match="build it again"):
        blacklists.deserialize(EVERYBODY, damaged)
    assert blacklists.check(NUMBER) == EVERYBODY


def test_statistics_count_numbers_by_list() -> None:
    blacklists = Blacklists()
    blacklists.add(EVERYBODY, [200, 201])
    blacklists.add(Scope(GROUP, 7), [202])
    statistics = blacklists.statistics()
    assert statistics.numbers_by_scope == {EVERYBODY: 2, Scope(GROUP, 7): 1}
    assert statistics.octets > 0


scopes = st.sampled_from([EVERYBODY, Scope(TYPE, "api"), Scope(TYPE, "ad"), Scope(GROUP, 1), Scope(GROUP, 2)])
operations = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "replace", "drop", "reload"]), scopes, st.lists(numbers, max_size=6)
    ),
    max_size=20,
)


@settings(max_examples=100)
@given(operations, st.lists(numbers, min_size=1, max_size=10))
def test_bitmaps_agree_with_sets(steps: list[tuple[str, Scope, list[int]]], probes: list[int]) -> None:
    blacklists = Blacklists()
    model: dict[Scope, set[int]] = {}
    for operation, scope, some in steps:
        listed = model.setdefault(scope, set())
        match operation:
            case "add":
                assert blacklists.add(scope, some) == len(set(some) - listed)
                listed |= set(some)
            case "remove":
                assert blacklists.remove(scope, some) == len(set(some) & listed)
                listed -= set(some)
            case "replace":
                assert blacklists.replace(scope, some) == len(set(some))
                model[scope] = set(some)
            case "drop":
                blacklists.drop(scope)
                model[scope] = set()
            case "reload":
                assert blacklists.deserialize(scope, blacklists.serialize(scope)) == len(listed)
    order = (EVERYBODY, Scope(TYPE, "api"), Scope(GROUP, 2), Scope(GROUP, 1))
    for number in {*probes, *(number for _, _, some in steps for number in some)}:
        expected = next((scope for scope in order if number in model.get(scope, ())), None)
        assert blacklists.check(number, (2, 1), "api") == expected
