"""Quota: what is reserved, used and given back adds up, and is never more than there was."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.quota import QuotaBook, UsageTally
from store.directory import User
from store.model import Usage


def book_of(limit: int = 100) -> QuotaBook:
    book = QuotaBook()
    book.set_users({1: User(1, "u", 1, limit=limit)})
    return book


@given(st.integers(0, 50), st.lists(st.integers(1, 20), max_size=20))
def test_reserving_never_overspends_and_takes_all_or_nothing(limit: int, wanted: list[int]) -> None:
    book, taken = book_of(limit), 0
    for parts in wanted:
        fits = taken + parts <= limit
        assert book.reserve(1, parts) is fits
        taken += parts if fits else 0
        assert book.balances[1].reserved == taken
        assert book.balances[1].available == limit - taken >= 0


moves = st.lists(
    st.tuples(
        st.sampled_from(["settle", "release", "use"]), st.integers(1, 3), st.integers(0, 2), st.integers(1, 4)
    ),
    max_size=30,
)


@given(st.lists(moves, max_size=5))
def test_the_book_equals_a_recount_of_the_rows_for_the_store(batches: list[list[tuple]]) -> None:
    book = QuotaBook()
    book.set_users({n: User(n, f"u{n}", 1, limit=1000) for n in (1, 2, 3)})
    for user in (1, 2, 3):
        book.reserve(user, 500)
    recount: Counter[tuple[int, str]] = Counter({(n, "reserved"): 500 for n in (1, 2, 3)})
    for batch in batches:
        tally = UsageTally(book)
        for kind, user, day, parts in batch:
            getattr(tally, kind)(user, day, parts)
        rows = tally.rows()
        assert len({(row.user, row.day) for row in rows}) == len(rows), "one row a user and day"
        for row in rows:
            recount[row.user, "reserved"] += row.reserved
            recount[row.user, "used"] += row.used
        assert tally.rows() == [], "told once"
    for user, balance in book.balances.items():
        assert (balance.reserved, balance.used) == (recount[user, "reserved"], recount[user, "used"])
        assert balance.available == balance.limit - balance.reserved - balance.used


def test_settling_uses_what_was_reserved_and_releasing_gives_it_back() -> None:
    book = book_of(10)
    book.reserve(1, 4)
    tally = UsageTally(book)
    tally.settle(1, 7)
    tally.release(1, 7, 2)
    assert tally.rows() == [Usage(1, 7, -3, 1)]
    balance = book.balances[1]
    assert (balance.reserved, balance.used, balance.available) == (1, 1, 8)


def test_the_book_moves_only_when_the_rows_are_taken() -> None:
    book = book_of(10)
    book.reserve(1, 1)
    tally = UsageTally(book)
    tally.settle(1, 7)
    assert (book.balances[1].reserved, book.balances[1].used) == (1, 0)
    tally.rows()
    assert (book.balances[1].reserved, book.balances[1].used) == (0, 1)


def test_a_new_limit_keeps_what_is_used_and_reserved() -> None:
    book = book_of(10)
    book.restore({1: (3, 2)})
    book.set_users({1: User(1, "u", 1, limit=6), 2: User(2, "v", 1, limit=5)})
    assert book.balances[1].available == 1 and book.balances[2].available == 5
    book.set_users({1: User(1, "u", 1, limit=4)})
    assert book.balances[1].available == -1 and not book.reserve(1, 1)


def test_what_was_counted_at_the_start_is_added_up() -> None:
    book = book_of(100)
    book.restore({1: (3, 2), 9: (1, 0)})
    book.restore({1: (10, 0)})
    assert (book.balances[1].used, book.balances[1].reserved) == (13, 2)
    assert book.balances[9].limit == 0


def test_a_user_that_left_the_directory_is_still_settled() -> None:
    book = book_of()
    tally = UsageTally(book)
    tally.release(7, 1)
    assert tally.rows() == [Usage(7, 1, -1, 0)]
    assert book.of(7).reserved == -1
