"""Words and blacklists as the data plane uses them, from what the configuration store holds."""

import pytest

from filters.blacklist import Scope
from gateway.screening import Screens, build_blacklists, build_words, filter_scope
from store.directory import BlacklistScope, Word
from tests.gateway.core_world import DEST


def test_without_words_there_is_nothing_to_scan_with() -> None:
    assert build_words([]) is None and build_words(iter(())) is None
    assert Screens().words is None and Screens().blacklists.check(DEST) is None


def test_words_keep_their_actions() -> None:
    words = build_words([Word("one"), Word("two", "review"), Word("three", "reject")])
    assert words is not None
    for text, action in (("one", "mask"), ("one two", "review"), ("one two three", "reject")):
        hits = words.scan(text)
        assert hits is not None and hits.action == action


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (BlacklistScope("global"), Scope("global")),
        (BlacklistScope("type", "otp"), Scope("type", "otp")),
        (BlacklistScope("group", 7), Scope("group", 7)),
    ],
)
def test_a_list_is_found_under_the_key_that_the_door_asks_for(scope: BlacklistScope, expected: Scope) -> None:
    assert filter_scope(scope) == expected
    lists = build_blacklists({scope: [DEST, DEST + 1]})
    assert lists.check(DEST, (7,), "otp") == expected
    assert lists.check(DEST + 2, (7,), "otp") is None


def test_lists_stand_beside_each_other() -> None:
    lists = build_blacklists({BlacklistScope("group", 7): [1001], BlacklistScope("type", "otp"): [1002]})
    assert lists.check(1001, (8,), "otp") is None and lists.check(1002, (7,), "ad") is None
    assert lists.check(1001, (8, 7), "") == Scope("group", 7)


def test_screens_do_not_share_their_lists() -> None:
    one, other = Screens(), Screens()
    one.blacklists.add(Scope("global"), [DEST])
    assert other.blacklists.check(DEST) is None
