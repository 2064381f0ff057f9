"""One receipt for a message that the gateway cut: delivered when all are, failed at the first that fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.constants import MessageState
from gateway.split import SplitMessages
from store.model import Part, PartFlag, State
from tests.gateway.core_world import make_part

DELIVERED, FAILED, EXPIRED = MessageState.DELIVERED, MessageState.UNDELIVERABLE, MessageState.EXPIRED
STATE_OF = {DELIVERED: State.DELIVERED, FAILED: State.FAILED, EXPIRED: State.EXPIRED}


def parts_of(count: int, first: int = 100) -> list[Part]:
    return [
        make_part(first + n, part_no=n + 1, parts=count, flags=PartFlag.SPLIT_BY_US) for n in range(count)
    ]


def splits(each: bool = False) -> SplitMessages:
    return SplitMessages(lambda account: each)


endings = st.lists(st.sampled_from([DELIVERED, DELIVERED, FAILED, EXPIRED]), min_size=1, max_size=6)


@given(endings, st.randoms(use_true_random=False))
def test_a_message_has_exactly_one_receipt_in_whatever_order_its_parts_end(states: list[int], random) -> None:  # type: ignore[no-untyped-def]
    of = splits()
    order = list(zip(parts_of(len(states)), states, strict=True))
    random.shuffle(order)
    told = [of.finished(part, state, n) for n, (part, state) in enumerate(order)]
    failed = [n for n, (_, state) in enumerate(order) if state != DELIVERED]
    at = failed[0] if failed else len(order) - 1
    assert [n for n, one in enumerate(told) if one] == [at]
    assert told[at] == (order[at][1], at)
    assert len(of) == 0, "nothing is remembered of a message that is over"


@given(endings, st.integers(0, 5), st.booleans(), st.randoms(use_true_random=False))
def test_a_restart_at_any_moment_changes_nothing(states: list[int], at: int, twice: bool, random) -> None:  # type: ignore[no-untyped-def]
    parts = parts_of(len(states))
    order = list(zip(parts, states, strict=True))
    random.shuffle(order)
    at = min(at, len(order))
    whole, before, after = splits(), splits(), splits()
    expected = [whole.finished(part, state, 0) for part, state in order]
    told = []
    for part, state in order[:at]:
        told.append(before.finished(part, state, 0))
        part.state = STATE_OF[MessageState(state)]
    after.adopt(parts)
    if twice:
        after.adopt(parts)
    told += [after.finished(part, state, 0) for part, state in order[at:]]
    assert told == expected
    assert len(after) == 0


def test_what_ends_while_the_store_is_read_is_not_forgotten() -> None:
    # Part 1 was delivered before the restart, part 3 while its siblings were being read.
    parts = parts_of(3)
    of = splits()
    assert of.finished(parts[2], DELIVERED, 0) is None
    siblings = parts_of(3)
    siblings[0].state = State.DELIVERED
    of.adopt(siblings)
    assert of.finished(parts[1], DELIVERED, 0) == (DELIVERED, 0)


def test_accounts_that_want_each_get_each() -> None:
    of = splits(each=True)
    told = [of.finished(part, state, 1) for part, state in zip(parts_of(2), (FAILED, DELIVERED), strict=True)]
    assert told == [(FAILED, 1), (DELIVERED, 1)] and len(of) == 0


def test_messages_are_told_apart() -> None:
    of = splits()
    one, other = parts_of(2, first=100), parts_of(2, first=102)
    assert of.finished(one[0], DELIVERED, 0) is None
    assert of.finished(other[1], DELIVERED, 0) is None
    assert len(of) == 2
    assert of.finished(one[1], DELIVERED, 0) and of.finished(other[0], DELIVERED, 0)


@pytest.mark.parametrize("each", [False, True])
def test_after_its_receipt_a_message_is_reported(each: bool) -> None:
    of, parts = splits(each), parts_of(3)
    assert not of.is_reported(parts[0])
    of.finished(parts[0], DELIVERED, 0)
    assert not of.is_reported(parts[1])
    of.finished(parts[1], FAILED, 0)
    assert of.is_reported(parts[2]) is not each


def test_nothing_is_kept_of_messages_that_are_wholly_open_or_over() -> None:
    of, parts = splits(), parts_of(2)
    of.adopt(parts)
    for part in parts:
        part.state = State.DELIVERED
    of.adopt(parts)
    assert len(of) == 0
