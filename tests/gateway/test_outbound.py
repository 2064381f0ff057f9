"""The queue of one carrier: fair, whole messages, order kept, and nothing lost between memory and store."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.outbound import LANE_WEIGHTS, LANES, MESSAGE_PARTS_MAX, TURN_PARTS, OutboundQueue, Refill
from gateway.smpp.segments import build_concat_udh
from gateway.withheld import Withheld
from store.model import Part, PartFlag
from tests.gateway.core_world import make_body, make_part


def message(first_id: int, parts: int = 1, **fields: Any) -> list[Part]:
    """One message that we split."""
    flags = PartFlag.SPLIT_BY_US if parts > 1 else 0
    return [make_part(first_id + n, part_no=n + 1, parts=parts, flags=flags, **fields) for n in range(parts)]


def segments(first_id: int, ref: int, total: int, **fields: Any) -> list[Part]:
    """One message that the customer split: messages of one part each, for us."""
    return [
        make_part(
            first_id + n,
            flags=PartFlag.CONCATENATED,
            body=make_body(build_concat_udh(ref, total, n + 1) + b"x", esm_class=0x40),
            **fields,
        )
        for n in range(total)
    ]


def ids(parts: Sequence[Part]) -> list[int]:
    return [part.id for part in parts]


def queue_with(*messages: list[Part], parts_max: int = 5000) -> OutboundQueue:
    queue = OutboundQueue(1, queue_parts_max=parts_max)
    for one in messages:
        queue.offer(one)
    return queue


# -- order and fairness -------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_one_account_gets_its_parts_in_the_order_of_acceptance(grants: list[int]) -> None:
    queue = queue_with([make_part(n) for n in range(1, 101)])
    taken: list[int] = []
    for grant in grants:
        got = queue.take(grant)
        assert len(got) == min(grant, 100 - len(taken))
        taken += ids(got)
    assert taken == list(range(1, len(taken) + 1))
    assert queue.length == 100 - len(taken)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=40),
    st.integers(1, 4),
    st.lists(st.integers(1, 5), min_size=1, max_size=30),
)
def test_a_flood_delays_no_other_account_beyond_its_turns(
    grants: list[int], floods: int, messages: list[int]
) -> None:
    # Before its n-th part leave no more than n turns of each other account, each with the rest of a message.
    queue = OutboundQueue(1)
    for account in range(2, 2 + floods):
        queue.offer(
            [part for n in range(200) for part in message(account * 10_000 + n * 3, 3, account=account)]
        )
    at = 1_000_000
    for parts in messages:
        queue.offer(message(at, parts, account=1))
        at += parts
    out: list[Part] = []
    while any(key[1] == 1 for key in queue.statistics()):
        out += queue.take(grants[len(out) % len(grants)])
    own = others = 0
    for part in out:
        if part.account == 1:
            own += 1
            assert others <= own * floods * (TURN_PARTS + 2)
        else:
            others += 1
    assert own == sum(messages)


def test_accounts_take_turns_of_a_few_parts() -> None:
    queue = queue_with(*([make_part(a * 1000 + n, account=a) for n in range(100)] for a in (1, 2, 3)))
    turns = [part.account for part in queue.take(6 * TURN_PARTS)]
    assert turns == [a for a in (1, 2, 3, 1, 2, 3) for _ in range(TURN_PARTS)]


def test_an_account_that_comes_later_waits_for_one_turn_of_each_other() -> None:
    queue = queue_with([make_part(n, account=1) for n in range(1, 1000)])
    queue.take(5)
    queue.offer([make_part(5000, account=2)])
    assert [part.account for part in queue.take(TURN_PARTS + 1)] == [1] * TURN_PARTS + [2]


@cache
def lane_parts(lane: int) -> list[Part]:
    return [make_part(lane * 10_000 + n + 1, lane=lane) for n in range(1500)]


def lanes_full(lanes: Sequence[int] = LANES) -> OutboundQueue:
    return queue_with(*map(lane_parts, lanes))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_lanes_share_by_weight_however_small_the_grants(grants: list[int]) -> None:
    # Windows free one slot at a time, and low rates grant one part: no lane may starve then either.
    queue, taken = lanes_full(), Counter[int]()
    for grant in grants:
        got = queue.take(grant)
        assert len(got) == grant
        taken.update(part.lane for part in got)
    total = sum(grants)
    for lane in LANES:
        exact = total * LANE_WEIGHTS[lane] / sum(LANE_WEIGHTS.values())
        assert abs(taken[lane] - exact) <= 2


def test_an_empty_lane_saves_up_nothing_and_leaves_its_share_to_the_others() -> None:
    queue = lanes_full(lanes=(1, 0))
    assert Counter(part.lane for part in queue.take(400)) == {1: 300, 0: 100}
    queue.offer([make_part(30_000 + n, lane=2) for n in range(100)])
    assert Counter(part.lane for part in queue.take(12)) == {2: 8, 1: 3, 0: 1}


def test_a_grant_is_filled_from_whatever_lane_has_parts() -> None:
    queue = queue_with(
        [make_part(1, lane=2)], [make_part(2, lane=1)], [make_part(n, lane=0) for n in range(10, 40)]
    )
    assert len(queue.take(20)) == 20
    assert len(queue.take(20)) == 12
    assert queue.take(20) == [] and queue.length == 0


# -- messages stay whole ------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=20), st.lists(st.integers(1, 9), min_size=1, max_size=9)
)
def test_the_parts_of_a_message_are_taken_together(messages: list[int], grants: list[int]) -> None:
    queue, at = OutboundQueue(1), 1
    for n, parts in enumerate(messages):
        queue.offer(message(at, parts, account=n % 3 + 1, lane=n % 2))
        at += parts
    out: list[Part] = []
    turn = 0
    while queue.length:
        got = queue.take(grants[turn % len(grants)])
        turn += 1
        assert got[-1].part_no == got[-1].parts, "a message is never left half-taken"
        assert len(got) < grants[(turn - 1) % len(grants)] + 6
        out += got
    assert len(out) == sum(messages)
    for before, after in pairwise(out):
        if after.part_no > 1:
            assert after.id == before.id + 1


def test_a_message_at_the_bound_is_not_torn_between_memory_and_store() -> None:
    queue = queue_with(message(1, 1), message(2, 3), message(5, 2), parts_max=2)
    assert ids(queue.take(10)) == [1, 2, 3, 4]
    (refill,) = queue.refills()
    assert refill.after_id == 4


def test_segments_that_the_customer_cut_stay_together() -> None:
    queue = queue_with(segments(1, 7, 3), segments(4, 8, 3), [make_part(9)])
    assert ids(queue.take(2)) == [1, 2, 3]
    assert ids(queue.take(1)) == [4, 5, 6]
    assert ids(queue.take(2)) == [9]


def test_segments_to_others_or_of_others_do_not_hold_on_to_each_other() -> None:
    queue = queue_with(
        [segments(1, 7, 2)[0]], [segments(2, 7, 2, dest=8613900000000)[1]], [segments(3, 7, 2, account=2)[1]]
    )
    assert ids(queue.take(1)) == [1]


def test_a_segment_without_a_readable_header_stands_alone() -> None:
    plain = [make_part(n, flags=PartFlag.CONCATENATED, body=make_body(b"", esm_class=0x40)) for n in (1, 2)]
    assert ids(queue_with(plain).take(1)) == [1]


def test_segments_without_end_do_not_hold_up_everybody() -> None:
    # A hundred thousand "segments of one message": a bound on what one turn may take beyond its grant.
    flood = [segments(1 + n, 7, 2)[0] for n in range(1000)]
    queue = queue_with(flood, [make_part(5000, account=2)])
    assert len(queue.take(1)) <= MESSAGE_PARTS_MAX
    assert ids(queue.take(1)) == [5000]


# -- going back ---------------------------------------------------------------------------------------


@given(st.data())
def test_what_is_put_back_leaves_again_first_and_in_its_order(data: st.DataObject) -> None:
    queue = queue_with([make_part(n) for n in range(1, 41)])
    flying: list[Part] = []
    left: list[int] = []
    for _ in range(data.draw(st.integers(1, 12))):
        flying += queue.take(data.draw(st.integers(1, 10)))
        # Answers come back in any order and in any number of passes; some are put back, some are done.
        back = data.draw(st.lists(st.sampled_from(flying), unique_by=id) if flying else st.just([]))
        queue.put_back(back)
        waiting = {part.id for part in back}
        done = data.draw(st.booleans())
        if done:
            left += [part.id for part in flying if part.id not in waiting]
            flying = []
        else:
            flying = [part for part in flying if part.id not in waiting]
    rest = ids(queue.take(1000))
    assert rest == sorted(rest), "acceptance order is kept through any put-backs"
    assert sorted(rest + left + ids(flying)) == list(range(1, 41))


def test_throttled_answers_of_two_passes_keep_their_order() -> None:
    queue = queue_with([make_part(n) for n in range(1, 10)])
    flying = queue.take(6)
    queue.put_back(flying[:3])
    queue.put_back(flying[3:])
    assert ids(queue.take(9)) == list(range(1, 10))


def test_what_is_put_back_into_an_empty_queue_has_its_turn() -> None:
    queue = queue_with(message(1, 2))
    queue.put_back(queue.take(1))
    assert queue.length == 2 and ids(queue.take(1)) == [1, 2]
    queue.put_back([])
    assert queue.length == 0


def test_parts_are_removed_wherever_they_wait() -> None:
    queue = queue_with(
        [make_part(n, lane=n % 3, account=n % 2 + 1, dest=8613800000000 + n) for n in range(1, 31)]
    )
    removed = queue.remove(lambda part: part.id % 5 == 0)
    assert sorted(ids(removed)) == [5, 10, 15, 20, 25, 30]
    assert queue.length == 24
    assert sorted(ids(queue.take(100))) == [n for n in range(1, 31) if n % 5]
    assert queue.remove(lambda part: True) == []


def test_statistics_say_what_waits_where() -> None:
    queue = queue_with(message(1, 3), message(10, account=2, lane=0))
    assert queue.statistics() == {(1, 1): 3, (0, 2): 1}
    queue.take(10)
    assert queue.statistics() == {}


def test_where_a_part_is() -> None:
    queue = queue_with([make_part(1), make_part(2), make_part(3)], parts_max=2)
    assert [queue.where(make_part(n)) for n in (1, 3)] == ["memory", "store"]
    queue.take(2)
    assert [queue.where(make_part(n)) for n in (1, 3)] == ["gone", "store"]
    queue.refills()
    queue.offer([make_part(4)])
    assert queue.where(make_part(4)) == "memory", "kept beside the reading"


def test_there_is_room_for_older_parts_up_to_the_bound() -> None:
    queue = queue_with([make_part(10), make_part(11)], parts_max=3)
    assert queue.room() == 1
    queue.offer([make_part(12), make_part(13)])
    assert queue.room() == 0


# -- memory and store ---------------------------------------------------------------------------------


def test_an_older_part_is_kept_in_memory_as_nothing_is_fetched_behind_the_mark() -> None:
    queue = queue_with([make_part(n) for n in (10, 11, 12)], parts_max=2)
    queue.offer([make_part(5)])
    assert sorted(ids(queue.take(10))) == [5, 10, 11]


def test_a_part_whose_time_comes_while_the_store_is_read_is_not_passed_over() -> None:
    # 15 was SCHEDULED when the reading began, which therefore brings 12 and 20 only.
    queue = queue_with([make_part(n) for n in (10, 11, 12)], parts_max=2)
    assert ids(queue.take(2)) == [10, 11]
    (refill,) = queue.refills()
    queue.offer([make_part(15)])
    queue.refilled(refill, [make_part(12), make_part(20)], high_id=20, more=False)
    assert ids(queue.take(10)) == [12, 20, 15]


def test_what_is_taken_out_beside_a_reading_does_not_come_back_with_it() -> None:
    queue = queue_with([make_part(n) for n in (10, 11, 12)], parts_max=2)
    queue.take(2)
    (refill,) = queue.refills()
    queue.offer([make_part(13)])
    assert ids(queue.remove(lambda part: part.id == 13)) == [13]
    queue.refilled(refill, [make_part(12), make_part(13)], high_id=13, more=False)
    assert ids(queue.take(10)) == [12]


def test_a_restart_tells_of_what_the_store_holds() -> None:
    queue = OutboundQueue(1, queue_parts_max=4)
    queue.spill(1, 7)
    assert queue.refills() == [Refill(1, 1, 7, 0, 4)]
    assert queue.refills() == [], "asked once until it is answered"


def test_what_comes_beside_a_reading_is_bounded() -> None:
    queue = OutboundQueue(1, queue_parts_max=3)
    queue.spill(1, 1)
    (refill,) = queue.refills()
    queue.offer([make_part(n) for n in range(10, 30)])
    queue.refilled(refill, [], high_id=0, more=False)
    assert queue.length <= 3
    queue.take(9)
    (refill,) = queue.refills()
    assert refill.after_id < 13, "what was not kept is read next"


class QueueAndStore(RuleBasedStateMachine):
    """The queue beside a store: whatever is offered, taken, put back and read, nothing is lost or sent twice.

    The model is the store: parts that are QUEUED and whether they left. A reading takes its snapshot at once
    and is handed over later, with anything happening in between.
    """

    def __init__(self) -> None:
        super().__init__()
        self.withheld = Withheld()
        self.queue = OutboundQueue(1, queue_parts_max=6, withheld=self.withheld)
        self.queued: dict[int, Part] = {}  # QUEUED in the store: in memory, on a wire, or nowhere else
        self.scheduled: dict[int, Part] = {}
        self.flying: dict[int, Part] = {}
        self.left: list[int] = []
        self.withdrawn: set[int] = set()  # cancelled lately: a reading may still bring them
        self.next_id = 1
        self.readings: list[tuple[Refill, list[Part], bool]] = []

    @initialize(kept=st.integers(0, 20))
    def restart(self, kept: int) -> None:
        for part in (p for _ in range(kept) for p in self.new_message(1, 1)):
            self.queued[part.id] = part
        if kept:
            self.queue.spill(1, 1)

    def new_message(self, account: int, parts: int) -> list[Part]:
        made = message(self.next_id, parts, account=account)
        self.next_id += parts
        return made

    @rule(account=st.integers(1, 2), parts=st.integers(1, 3), many=st.integers(1, 5))
    def accept(self, account: int, parts: int, many: int) -> None:
        for _ in range(many):
            made = self.new_message(account, parts)
            self.queued |= {part.id: part for part in made}
            self.queue.offer(made)

    @rule(account=st.integers(1, 2))
    def schedule(self, account: int) -> None:
        (part,) = self.new_message(account, 1)
        self.scheduled[part.id] = part

    @precondition(lambda self: self.scheduled)
    @rule(data=st.data())
    def fire(self, data: st.DataObject) -> None:
        part = self.scheduled.pop(data.draw(st.sampled_from(sorted(self.scheduled))))
        self.queued[part.id] = part
        self.queue.offer([part])

    @rule(count=st.integers(1, 8))
    def send(self, count: int) -> None:
        for part in self.queue.take(count):
            assert part.id in self.queued, "sent after its end"
            assert part.id not in self.flying, "sent twice"
            assert part.id not in self.withheld.paused, "sent while paused"
            self.flying[part.id] = part

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), accepted=st.booleans())
    def answer(self, data: st.DataObject, accepted: bool) -> None:
        some = data.draw(st.lists(st.sampled_from(sorted(self.flying)), min_size=1, unique=True))
        parts = [self.flying.pop(i) for i in some]
        if accepted:
            for part in parts:
                del self.queued[part.id]
                self.left.append(part.id)
        else:
            self.queue.put_back(parts)

    @rule()
    def begin_reading(self) -> None:
        for refill in self.queue.refills():
            behind = sorted(
                i for i, p in self.queued.items() if i > refill.after_id and p.account == refill.account
            )
            page = [self.copy_of(i) for i in behind[: refill.limit]]
            while page and page[-1].part_no < page[-1].parts and len(page) < len(behind):
                page.append(self.copy_of(behind[len(page)]))
            self.readings.append((refill, page, len(page) < len(behind)))

    def copy_of(self, part_id: int) -> Part:
        part = self.queued[part_id]
        return make_part(
            part_id, account=part.account, part_no=part.part_no, parts=part.parts, flags=part.flags
        )

    @precondition(lambda self: self.readings)
    @rule()
    def end_reading(self) -> None:
        refill, page, more = self.readings.pop(0)
        high_id = page[-1].id if page else 0
        page = [part for part in page if part.id not in self.withdrawn]
        self.queue.refilled(refill, page, high_id=high_id, more=more)

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        part_id = data.draw(st.sampled_from(sorted(self.queued)))
        part = self.queued[part_id]
        where = self.queue.where(part)
        assert (where == "gone") == (part_id in self.flying)
        assert self.queue.gone([part]) == ({part_id} if where == "gone" else set())
        if where == "gone":
            return
        removed = self.queue.remove(lambda p: p.id == part_id)
        assert ids(removed) == ([part_id] if where == "memory" else [])
        self.withheld.forget([part_id])
        del self.queued[part_id]
        self.withdrawn.add(part_id)

    @rule(first=st.integers(1, 40), many=st.integers(1, 10))
    def pause(self, first: int, many: int) -> None:
        self.withheld.pause(1, [(first, first + many)])
        self.queue.withhold()

    @rule()
    def resume(self) -> None:
        self.withheld.paused.clear()

    @rule(limit=st.integers(1, 5))
    def go_on(self, limit: int) -> None:
        for part_id in self.withheld.ready(0, limit):
            self.withheld.forget([part_id])
            self.queue.offer([self.copy_of(part_id)])

    @invariant()
    def nothing_that_is_paused_waits_in_memory(self) -> None:
        for part_id in self.withheld.paused:
            part = self.queued.get(part_id)
            assert part is None or self.queue.where(part) != "memory" or part in self.late()

    def late(self) -> list[Part]:
        """What waits beside a reading, which will bring it or let it go."""
        return [part for queue in self.queue._queues.values() for part in queue.late]

    @invariant()
    def the_length_is_right(self) -> None:
        assert self.queue.length == sum(self.queue.statistics().values())

    def teardown(self) -> None:
        # In the end everything that is QUEUED leaves, once.
        self.resume()
        turns = 0
        while self.queued and (turns := turns + 1) < 200:
            while self.readings:
                self.end_reading()
            self.go_on(50)
            for part in self.queue.take(50):
                self.flying[part.id] = part
            self.answer_all()
            self.begin_reading()
        assert not self.queued, f"lost: {sorted(self.queued)}"
        assert len(self.left) == len(set(self.left))

    def answer_all(self) -> None:
        for part_id in list(self.flying):
            del self.flying[part_id]
            self.left.append(part_id)
            assert self.queued.pop(part_id, None) is not None, f"{part_id} was sent after its end or twice"


TestQueueAndStore = QueueAndStore.TestCase
TestQueueAndStore.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("lane", LANES)
def test_every_lane_has_a_weight(lane: int) -> None:
    assert LANE_WEIGHTS[lane] > 0
