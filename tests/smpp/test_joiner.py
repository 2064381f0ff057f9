"""Long messages put together over time, and the references that keep them apart."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smpp.segments import Concat, Joiner, ReferenceSource

SOURCE, DEST = b"8613800138000", b"1065"


def joiner(**limits: float) -> Joiner[str]:
    return Joiner(**limits)  # type: ignore[arg-type]


def add(
    to: Joiner[str], seq: int, octets: bytes | None = None, *, ref: int = 7, total: int = 3, now: float = 0.0
) -> list[str] | None:
    text = octets if octets is not None else b"part %d" % seq
    return to.add(SOURCE, DEST, Concat(ref, total, seq), text, text.decode(), now)


def test_parts_out_of_order_and_twice_make_one_message() -> None:
    parts = joiner()
    assert add(parts, 3) is None
    assert add(parts, 1) is None
    assert add(parts, 3) is None  # again, on another bind
    assert add(parts, 2) == ["part 1", "part 2", "part 3"]
    assert parts.duplicates == 1
    assert (len(parts), parts.parts_held) == (0, 0)


@given(st.permutations(range(1, 6)), st.integers(0, 4))
def test_completion_is_by_count_whichever_part_is_last(order: list[int], repeated: int) -> None:
    parts = joiner()
    results = []
    for index, seq in enumerate(order):
        results.append(add(parts, seq, total=5))
        if index == repeated:
            results.append(add(parts, seq, total=5))
    assert [result for result in results if result] == [[f"part {seq}" for seq in range(1, 6)]]


def test_a_repetition_after_completion_starts_nothing() -> None:
    parts = joiner()
    assert [add(parts, seq) for seq in (1, 2, 3)][-1] is not None
    assert add(parts, 2) is None
    assert (len(parts), parts.duplicates) == (0, 1)


def test_a_new_message_under_a_finished_reference_is_joined() -> None:
    parts = joiner()
    for seq in (1, 2, 3):
        add(parts, seq)
    again = [add(parts, seq, b"next %d" % seq) for seq in (1, 2, 3)]
    assert again == [None, None, ["next 1", "next 2", "next 3"]]


def test_a_reference_reused_before_completion_gives_up_the_old_group() -> None:
    parts = joiner()
    add(parts, 1)
    add(parts, 1, b"another")
    (old,) = parts.expire(0.0)
    assert (old.parts, old.missing) == ({1: "part 1"}, [2, 3])
    assert len(parts) == 1


def test_other_sources_destinations_references_and_totals_are_other_messages() -> None:
    parts = joiner()
    add(parts, 1)
    for source, dest, concat in (
        (b"x", DEST, Concat(7, 3, 2)),
        (SOURCE, b"x", Concat(7, 3, 2)),
        (SOURCE, DEST, Concat(8, 3, 2)),
        (SOURCE, DEST, Concat(7, 2, 2)),
    ):
        assert parts.add(source, dest, concat, b"", "", 0.0) is None
    assert len(parts) == 5


def test_an_incomplete_message_is_handed_over_after_the_window() -> None:
    parts = joiner(window_s=1800.0)
    add(parts, 1, now=0.0)
    add(parts, 2, now=1000.0)  # the window counts from the first part
    add(parts, 1, ref=8, now=1700.0)
    assert parts.expire(1799.0) == []
    (given_up,) = parts.expire(1800.0)
    assert (given_up.parts, given_up.missing) == ({1: "part 1", 2: "part 2"}, [3])
    assert parts.parts_held == 1


def test_memory_is_bounded_and_the_oldest_makes_room() -> None:
    parts = joiner(parts_max=10)
    for ref in range(100):
        add(parts, 1, ref=ref)
    assert parts.parts_held == 10
    assert [group.key[2] for group in parts.expire(0.0)] == list(range(90))


def test_finished_messages_are_remembered_for_the_window_only() -> None:
    parts = joiner(window_s=10.0)
    for seq in (1, 2, 3):
        add(parts, seq, now=0.0)
    parts.expire(11.0)
    assert add(parts, 1, now=11.0) is None
    assert len(parts) == 1


@pytest.mark.parametrize("bits", [8, 16])
def test_references_to_one_number_do_not_meet_before_they_wrap(bits: int) -> None:
    references = ReferenceSource(1, bits=bits)
    seen = [references.next(b"1065", b"8613800138000") for _ in range(1 << bits)]
    assert len(set(seen)) == 1 << bits
    assert max(seen) == (1 << bits) - 1
    assert references.next(b"1065", b"8613800138000") == seen[0]


def test_traffic_to_other_numbers_leaves_a_pair_s_references_apart() -> None:
    references = ReferenceSource(1, slots=4096)
    first = references.next(b"1065", b"8613800138000")
    for number in range(20_000):
        references.next(b"1065", b"%d" % (8613900000000 + number))
    assert references.next(b"1065", b"8613800138000") != first


def test_references_depend_on_the_seed_and_on_nothing_else() -> None:
    def start(seed: int) -> list[int]:
        references = ReferenceSource(seed, slots=1024)
        return [references.next(b"1065", b"%d" % number) for number in range(200)]

    assert start(1) == start(1)
    assert start(1) != start(2)
    assert len(Counter(start(3))) > 100  # not every number starts at 0
