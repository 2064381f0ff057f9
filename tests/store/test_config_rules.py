"""Numbers and blacklists as rows."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.directory import BlacklistScope
from store.files import StoreError
from store.rules import blacklist_add, canonical_number, parse_scope, scope_text, why_listed
from store.word_hits import DAY_MS, word_hits
from tests.store.config_world import AT, apply, world


@pytest.mark.parametrize(
    "text",
    [
        "8613800138000",
        "+8613800138000",
        "008613800138000",
        "+86 138-0013-8000",
        "８６１３８００１３８０００",
        "+86 (138) 0013.8000",
    ],
)
def test_every_way_to_write_a_number_is_one_integer(text: str) -> None:
    assert canonical_number(text) == 8613800138000


@pytest.mark.parametrize("text", ["", "12", "1234567890123456", "86138x0138000", "٣٤٥٦", "+", "--"])
def test_what_is_no_number_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="no phone number"):
        canonical_number(text)


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= canonical_number(text) < 10**15


def test_a_scope_is_written_as_it_is_read(tmp_path: Path) -> None:
    with world(tmp_path) as store, store.reading() as connection:
        for text in ("global", "group:总公司/福建分公司", "type:business"):
            assert scope_text(connection, parse_scope(connection, text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("group:总公司/福建分公可", 'no group "总公司/福建分公可". Did you mean "总公司/福建分公司"'),
        ("type:busines", 'Did you mean "business"'),
        ("globl", 'write "global", "group:PATH" or "type:NAME"'),
    ],
)
def test_a_wrong_scope_names_the_nearest(tmp_path: Path, text: str, message: str) -> None:
    with world(tmp_path) as store, store.reading() as connection, pytest.raises(StoreError) as error:
        parse_scope(connection, text)
    assert message in str(error.value)


def test_a_number_tells_every_list_it_is_on_and_why(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        group = BlacklistScope("group", 2)
        store.blacklist_add(group, [8613800000000], "console:zhang", source="complaint", note="第三次投诉")
        with store.reading() as connection:
            listed = why_listed(connection, 8613800000000)
    assert [(one.scope, one.source, one.note, one.actor, one.at) for one in listed] == [
        (BlacklistScope("global"), "apply", "", "cli:test", AT),
        (group, "complaint", "第三次投诉", "console:zhang", AT),
    ]


def test_many_numbers_are_added_once_each(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        scope = BlacklistScope("type", "api")
        assert len(store.blacklist_add(scope, range(5000, 8000), "me")) == 3000
        assert store.blacklist_add(scope, range(7000, 9000), "me") == list(range(8000, 9000))
        assert len(store.blacklists()[scope]) == 4000


def test_words_keep_their_action_and_category(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        apply(store, '[[word]]\ntext = "sex"\naction = "reject"\nsubstring = true\ncategory = "adult"\n')
        words = {word.text: word for word in store.words()}
    assert (words["sex"].action, words["sex"].substring, words["sex"].category) == ("reject", True, "adult")
    assert words["敏感"].action == "mask"


def test_an_entry_stays_until_its_time_and_the_longest_time_counts(tmp_path: Path) -> None:
    scope = BlacklistScope("type", "business")
    with world(tmp_path) as store:

        def add(number: int, expires_at: int) -> list[int]:
            with store.writing("console:zhang") as write:
                return blacklist_add(write, scope, [number], source="manual", expires_at=expires_at)

        assert add(5001, AT + 10) == [5001]
        assert add(5002, AT) == [5002]
        assert add(5003, AT) == [5003]
        assert add(5002, AT + 10) == []  # longer than before
        assert add(5003, 0) == []  # for good
        assert add(5001, AT - 10) == []  # shorter: stays as long as it was to
        assert add(5004, AT - 1) == [5004]
        assert store.blacklist_expire() == 1
        assert store.blacklist_expire() == 0
        assert list(store.blacklists()[scope]) == [5001, 5002, 5003]
        with store.reading() as connection:
            assert [one.expires_at for one in why_listed(connection, 5002)] == [AT + 10]
            assert [one.expires_at for one in why_listed(connection, 5003)] == [0]
            said = connection.execute(
                "SELECT actor, detail FROM audit WHERE action = 'blacklist.expire'"
            ).fetchall()
        assert said == [("gateway", '{"numbers":{"all":[5004]}}')]


def test_hits_of_words_are_added_up_by_day_and_dropped_after_thirty(tmp_path: Path) -> None:
    with world(tmp_path) as store:
        day = AT // DAY_MS
        with store.writing("test") as write:
            for one, hits in ((day - 30, 100), (day - 29, 10), (day, 1)):
                write.run("INSERT INTO word_hit VALUES ('a', ?, ?)", (one, hits))
        store.add_word_hits({"a": 2, "b": 5})
        with store.reading() as connection:
            assert [word_hits(connection, one) for one in "abc"] == [13, 5, 0]
