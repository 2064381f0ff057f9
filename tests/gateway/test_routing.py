"""Routes: the longest prefix, the most specific of equal ones, failover in order, balance by weight."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing import NO_ROUTE, Router
from store.directory import Directory, Route


def router(*routes: Route, up: set[int] | None = None) -> Router:
    """`up`: carriers that are; it may change while the router lives. None: all."""
    directory = Directory(routes={route.id: route for route in routes})
    return Router(directory, lambda carrier: up is None or carrier in up)


def carrier(of: Router, digits: str, account: int = 1, sms_type: str = "api") -> int:
    """The choice, which is the same one by one, in a batch, and by the matching route."""
    return of.choose(digits, account, sms_type).carrier


prefixes = st.text("012", max_size=5)


@given(
    st.sets(prefixes, min_size=1, max_size=12), st.lists(st.text("012", min_size=3, max_size=8), max_size=10)
)
def test_the_longest_prefix_wins(known: set[str], numbers: list[str]) -> None:
    by_prefix = {prefix: n for n, prefix in enumerate(sorted(known), 1)}
    of = router(*(Route(n, prefix, (n,)) for prefix, n in by_prefix.items()))
    in_batch = of.chooser(1, "api")
    for digits in numbers:
        fitting = [prefix for prefix in known if digits.startswith(prefix)]
        expected = by_prefix[max(fitting, key=len)] if fitting else 0
        assert carrier(of, digits) == expected
        assert in_batch(digits).carrier == expected
        match = of.match(digits, 1, "api")
        assert (match.route.carriers[0] if match else 0) == expected


SCOPES = [(5, "otp"), (5, ""), (0, "otp"), (0, "")]


@pytest.mark.parametrize("known", range(1, 16))
@pytest.mark.parametrize(("account", "sms_type"), [(5, "otp"), (5, "ad"), (6, "otp"), (6, "ad")])
def test_of_equal_prefixes_the_most_specific_route_wins(known: int, account: int, sms_type: str) -> None:
    routes = [
        Route(n, "86", (n,), account=SCOPES[n - 1][0], sms_type=SCOPES[n - 1][1])
        for n in range(1, 5)
        if known >> (n - 1) & 1
    ]
    fitting = [r.id for r in routes if r.account in (0, account) and r.sms_type in ("", sms_type)]
    expected = min(fitting, default=0)
    of = router(*routes)
    assert carrier(of, "86138", account, sms_type) == expected
    assert of.chooser(account, sms_type)("86138").carrier == expected


def test_a_longer_general_prefix_beats_a_shorter_one_of_the_account() -> None:
    of = router(Route(1, "86", (1,), account=5), Route(2, "86138", (2,)))
    assert carrier(of, "86138", 5) == 2
    assert carrier(of, "86139", 5) == 1
    assert carrier(of, "86139", 6) == 0


def test_failover_takes_the_first_that_is_up_in_order_and_says_that_it_did() -> None:
    up = {1, 2, 3}
    of = router(Route(1, "", (1, 2, 3)), up=up)
    assert of.choose("86", 1, "api").first
    for gone, expected in ((1, 2), (2, 3)):
        up.discard(gone)
        choice = of.choose("86", 1, "api")
        assert (choice.carrier, choice.first) == (expected, False)
        assert of.again(1) == choice == of.chooser(1, "api")("86")
    up.add(1)
    assert carrier(of, "86") == 1


def test_with_all_down_a_message_waits_for_the_first() -> None:
    of = router(Route(1, "", (7, 8)), up=set())
    choice = of.choose("86", 1, "api")
    assert (choice.carrier, choice.first, choice.route) == (7, True, 1)


weights = st.lists(st.integers(1, 9), min_size=2, max_size=4)


@given(weights, st.integers(1, 200))
def test_balance_stays_within_one_of_the_exact_proportion(weight: list[int], turns: int) -> None:
    carriers = tuple(range(1, len(weight) + 1))
    of = router(Route(1, "", carriers, tuple(weight), "balance"))
    counts: Counter[int] = Counter()
    in_batch = of.chooser(1, "api")
    for turn in range(1, turns + 1):
        counts[in_batch("86").carrier if turn % 2 else carrier(of, "86")] += 1
        for number, one in zip(carriers, weight, strict=True):
            assert abs(counts[number] - turn * one / sum(weight)) <= 1
    whole = turns - turns % sum(weight)
    if whole == turns:
        assert counts == {n: w * turns // sum(weight) for n, w in zip(carriers, weight, strict=True)}


def test_balance_without_weights_is_even_and_leaves_out_who_is_down() -> None:
    up = {1, 2, 3}
    of = router(Route(1, "", (1, 2, 3), policy="balance"), up=up)
    assert Counter(carrier(of, "86") for _ in range(30)) == {1: 10, 2: 10, 3: 10}
    up.discard(2)
    assert Counter(carrier(of, "86") for _ in range(30)) == {1: 15, 3: 15}
    up.clear()
    assert set(Counter(carrier(of, "86") for _ in range(30))) == {1, 2, 3}, "none is up: they share the wait"


def test_a_carrier_that_comes_back_does_not_catch_up() -> None:
    up = {1}
    of = router(Route(1, "", (1, 2), policy="balance"), up=up)
    for _ in range(100):
        assert carrier(of, "86") == 1
    up.add(2)
    assert Counter(carrier(of, "86") for _ in range(20)) == {1: 10, 2: 10}


def test_no_route_is_said_so() -> None:
    of = router(Route(1, "1", (1,)), Route(2, "7", ()))
    assert of.choose("86", 1, "api") == NO_ROUTE == of.chooser(1, "api")("86")
    assert of.choose("7", 1, "api").carrier == 0
    assert of.again(99) == NO_ROUTE
    assert router().choose("86", 1, "api") == NO_ROUTE == router().chooser(1, "api")("86")
