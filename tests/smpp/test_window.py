"""The window: sequence numbers, slots, expiry, and the memory for late responses."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.constants import SEQUENCE_NUMBER_MAX
from gateway.smpp.pdu import DeliverSmResp, SubmitSmResp
from gateway.smpp.window import Window


def window(slots_max: int = 10, response_s: float = 60, *, first: int = 1, late: int = 100) -> Window:
    return Window(slots_max, response_s, late_s=600, late_slots_max=late, first=first)


def fill(w: Window, tokens: list[object], now: float = 0.0) -> list[int]:
    return list(w.fill(SubmitSmResp, tokens, now))


def test_numbers_start_at_one_and_go_up() -> None:
    w = window()
    assert fill(w, ["a", "b"]) == [1, 2]
    assert w.take_sequence_number() == 3
    assert fill(w, ["c"]) == [4]


def test_numbers_wrap_to_one_and_never_to_zero() -> None:
    w = window(first=SEQUENCE_NUMBER_MAX - 1)
    assert fill(w, [*"abcd"]) == [SEQUENCE_NUMBER_MAX - 1, SEQUENCE_NUMBER_MAX, 1, 2]
    assert w.take_sequence_number() == 3


def test_the_last_number_before_the_wrap_is_used_alone_too() -> None:
    w = window(first=SEQUENCE_NUMBER_MAX)
    assert [w.take_sequence_number() for _ in range(3)] == [SEQUENCE_NUMBER_MAX, 1, 2]


def test_numbers_that_wait_for_a_response_are_skipped_after_the_wrap() -> None:
    w = window(slots_max=100)
    fill(w, [*"abcdef"])  # 1..6
    for number in (2, 5):
        del w.pending[number]
    w._next = SEQUENCE_NUMBER_MAX
    assert fill(w, ["g", "h", "i", "j"]) == [SEQUENCE_NUMBER_MAX, 2, 5, 7]
    assert fill(w, ["k", "l"]) == [8, 9]
    assert w.drain() == [*"acdfghijkl"]


def test_numbers_of_expired_requests_are_skipped_while_they_are_remembered() -> None:
    w = window()
    fill(w, ["a"])
    assert w.expire(60.0) == ["a"]
    w._next = SEQUENCE_NUMBER_MAX
    assert fill(w, ["b", "c"], 61.0) == [SEQUENCE_NUMBER_MAX, 2]
    w._next = 1
    assert fill(w, ["d"], 61.0) == [3], "1 is remembered and 2 waits, also in a batch that does not wrap"


def test_free_is_what_is_left_and_never_negative() -> None:
    w = window(slots_max=3)
    fill(w, ["a", "b"])
    assert (w.used, w.free) == (2, 1)
    w.slots_max = 1
    assert w.free == 0
    assert w.used_max == 2


def test_a_request_expires_at_its_time_and_not_before() -> None:
    w = window(response_s=60)
    fill(w, ["a"], now=0.0)
    fill(w, ["b"], now=10.0)
    assert w.next_expiry() == 60.0
    assert w.expire(59.9) == []
    assert w.expire(60.0) == ["a"]
    assert w.next_expiry() == 70.0
    assert w.expire(1000.0) == ["b"]
    assert w.next_expiry() == inf


def test_the_next_expiry_is_never_too_late_when_slots_come_and_go() -> None:
    w = window(response_s=60)
    fill(w, ["a"], now=0.0)
    fill(w, ["b"], now=30.0)
    del w.pending[1]
    assert w.next_expiry() <= 90.0
    assert w.expire(60.0) == []
    assert w.next_expiry() == 90.0
    del w.pending[2]
    assert w.next_expiry() == inf
    fill(w, ["c"], now=200.0)
    assert w.next_expiry() == 260.0


def test_without_a_response_timer_nothing_expires() -> None:
    w = window(response_s=0)
    fill(w, ["a"])
    assert w.next_expiry() == inf
    assert w.expire(1e9) == []


def test_an_expired_request_is_remembered_once_and_for_a_while() -> None:
    w = window(response_s=60)
    fill(w, ["a", "b", "c"])
    w.expire(60.0)
    slot = w.take_late(1, 100.0)
    assert slot is not None
    assert slot[:2] == ("a", SubmitSmResp)
    assert w.take_late(1, 100.0) is None
    assert w.take_late(2, 60.0 + 600.0) is None


def test_the_memory_for_late_responses_is_bounded_and_forgets_the_oldest() -> None:
    w = window(slots_max=10, response_s=1, late=3)
    fill(w, [*"abcde"])
    w.expire(1.0)
    assert list(w.late) == [3, 4, 5]
    fill(w, ["f"], now=2.0)
    w.expire(3.0)
    assert list(w.late) == [4, 5, 6]
    fill(w, ["g"], now=1000.0)
    w.expire(1001.0)
    assert list(w.late) == [7], "what is too old goes too"


def test_draining_gives_the_order_of_sending_across_commands_and_the_wrap() -> None:
    w = window(first=SEQUENCE_NUMBER_MAX)
    w.fill(SubmitSmResp, ["a", "b"], 0.0)
    w.fill(DeliverSmResp, ["c"], 0.0)
    w.fill(SubmitSmResp, ["d"], 0.0)
    assert w.drain() == [*"abcd"]
    assert w.drain() == []
    assert w.used == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(1, 5)),
            st.tuples(st.just("answer"), st.integers(0, 20)),
            st.tuples(st.just("wait"), st.integers(0, 40)),
        ),
        max_size=60,
    ),
    st.sampled_from([1, SEQUENCE_NUMBER_MAX - 7]),
)
def test_every_token_leaves_the_window_exactly_once(steps: list[tuple[str, int]], first: int) -> None:
    w = window(slots_max=12, response_s=60, first=first, late=5)
    now = 0.0
    sent: list[object] = []
    left: list[object] = []
    for action, amount in steps:
        if action == "send":
            tokens = list(range(len(sent), len(sent) + min(amount, w.free)))
            numbers = fill(w, tokens, now)
            assert len(set(numbers)) == len(numbers) == len(tokens)
            sent += tokens
        elif action == "answer" and w.pending:
            number = list(w.pending)[amount % len(w.pending)]
            left.append(w.pending.pop(number)[0])
        elif action == "wait":
            now += amount
            due = [slot[0] for slot in w.pending.values() if slot[2] <= now]
            assert not due or w.next_expiry() <= now
            assert w.expire(now) == due
            left += due
        assert w.used <= 12
        assert len(w.late) <= 5
    remaining = w.drain()
    assert remaining == sorted(remaining), "tokens were numbered in the order of sending"
    assert sorted(left + remaining) == sent
