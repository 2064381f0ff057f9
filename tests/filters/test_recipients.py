"""The dry run: every row in one class, in a fixed order, and the counts add up."""

from hypothesis import given
from hypothesis import strategies as st

from filters.blacklist import GLOBAL, GROUP, TYPE, Blacklists, Scope
from filters.numbers import NotANumber, Numbering
from filters.recipients import Recipients, Row, RowClass

LISTED = 8613900139000


def recipients(existing: tuple[int, ...] = ()) -> Recipients:
    blacklists = Blacklists()
    blacklists.add(Scope(GROUP, 3), [LISTED])
    return Recipients(Numbering("86"), lambda number: blacklists.check(number, (9, 3), "api"), existing)


def test_each_class_has_its_row() -> None:
    dry_run = recipients(existing=(8613700137000,))
    assert dry_run.judge("  ") == Row(RowClass.BLANK)
    assert dry_run.judge("1.38E+10") == Row(RowClass.INVALID, reason=NotANumber.SCIENTIFIC)
    assert dry_run.judge("13800138000") == Row(RowClass.VALID, 8613800138000)
    assert dry_run.judge("+86 138 0013 8000") == Row(RowClass.DUPLICATE, 8613800138000)
    assert dry_run.judge("13700137000") == Row(RowClass.DUPLICATE_ELSEWHERE, 8613700137000)
    assert dry_run.judge("13900139000") == Row(RowClass.BLACKLISTED, LISTED, GROUP)
    assert dry_run.judge("13600136000", "姓名") == Row(RowClass.VARIABLE_MISSING, 8613600136000, "姓名")
    assert dict(dry_run.counts) == dict.fromkeys(RowClass, 1)
    assert dry_run.reasons == {
        (RowClass.INVALID, "scientific-notation"): 1,
        (RowClass.BLACKLISTED, "group"): 1,
        (RowClass.VARIABLE_MISSING, "姓名"): 1,
    }


def test_the_first_class_in_order_counts() -> None:
    dry_run = recipients()
    assert dry_run.judge("", "姓名").kind is RowClass.BLANK
    assert dry_run.judge("abc", "姓名").kind is RowClass.INVALID
    assert dry_run.judge("13900139000", "姓名").kind is RowClass.BLACKLISTED
    assert dry_run.judge("13900139000", "姓名").kind is RowClass.DUPLICATE


def test_a_number_of_two_sources_is_sent_to_once() -> None:
    dry_run = recipients()
    dry_run.begin("typed")
    assert dry_run.judge("13800138000").kind is RowClass.VALID
    dry_run.begin("file")
    assert dry_run.judge("8613800138000").kind is RowClass.DUPLICATE_ELSEWHERE
    assert dry_run.judge("13700137000").kind is RowClass.VALID
    assert dry_run.judge("13700137000").kind is RowClass.DUPLICATE
    assert dry_run.counts_by_source == {
        "typed": {RowClass.VALID: 1},
        "file": {RowClass.DUPLICATE_ELSEWHERE: 1, RowClass.VALID: 1, RowClass.DUPLICATE: 1},
    }


def test_each_list_is_a_reason_of_its_own() -> None:
    blacklists = Blacklists()
    blacklists.add(Scope(GLOBAL), [8613800138000])
    blacklists.add(Scope(TYPE, "api"), [8613800138001])
    dry_run = Recipients(Numbering("86"), lambda number: blacklists.check(number, (), "api"))
    for number in ("13800138000", "13800138001", "13800138002"):
        dry_run.judge(number)
    assert dry_run.reasons == {(RowClass.BLACKLISTED, "global"): 1, (RowClass.BLACKLISTED, "type"): 1}


rows = st.lists(
    st.tuples(
        st.text("0123+８ -e.a", max_size=12) | st.just("13900139000"), st.sampled_from(["", "", "姓名"])
    ),
    max_size=30,
)


@given(st.lists(rows, max_size=3))
def test_every_row_is_counted_exactly_once(sources: list[list[tuple[str, str]]]) -> None:
    dry_run = recipients(existing=(123,))
    seen: list[Row] = []
    for number, source in enumerate(sources):
        dry_run.begin(str(number))
        seen += [dry_run.judge(text, missing) for text, missing in source]
    assert dry_run.counts.total() == sum(map(len, sources)) == len(seen)
    valid = [row.number for row in seen if row.kind is RowClass.VALID]
    assert len(set(valid)) == len(valid)
    assert LISTED not in valid
    assert 123 not in valid
