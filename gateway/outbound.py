"""What waits in memory for one carrier: fair between accounts, urgent first, parts of a message together.

Three lanes (2 urgent, 1 normal, 0 bulk) share each grant by weight, so a flood in one starves none; within a
lane accounts take turns. Each (lane, account) has a bound: over it rows simply stay QUEUED in the store and
are fetched in id order when the queue has drained (`wants_refill`). All of it is synchronous and in memory;
nothing here knows sockets.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import attrgetter

import msgspec

from gateway.smpp.udh import Concat, parse_udh
from gateway.withheld import Withheld
from store.model import Part, PartFlag

LANES = (2, 1, 0)
LANE_WEIGHTS = {2: 8, 1: 3, 0: 1}
TURN_PARTS = 16  # what one account takes before the next has its turn
QUEUE_PARTS_MAX = 5_000  # in memory per (carrier, lane, account): a quarter second of the floor rate
MESSAGE_PARTS_MAX = 255  # concatenation's own bound


class _AccountQueue:
    """One account's parts in one lane."""

    __slots__ = (
        "account", "high_id", "lane", "late", "missed", "newest", "parts", "refilling", "removed", "spilled",
    )  # fmt: skip

    def __init__(self, account: int, lane: int) -> None:
        self.account = account
        self.lane = lane
        self.parts: deque[Part] = deque()
        self.spilled = False  # the store holds more than this queue
        self.refilling = False
        self.late: list[Part] = []  # offered while a reading is under way, which may not have seen them
        self.missed = False  # `late` was full, too
        self.newest = 0  # highest id that was ever `late`
        self.removed: set[int] = set()  # taken out of `late`: the reading may still bring them
        self.high_id = 0  # highest id that was ever offered or fetched: refill goes on behind it


class Refill(msgspec.Struct, frozen=True):
    """A queue that has drained while the store holds more: fetch up to `limit` behind `after_id`."""

    carrier: int
    lane: int
    account: int
    after_id: int
    limit: int


class OutboundQueue:
    """All parts of one carrier that wait in memory."""

    def __init__(
        self, carrier: int, *, queue_parts_max: int = QUEUE_PARTS_MAX, withheld: Withheld | None = None
    ) -> None:
        self.carrier = carrier
        self._withheld = withheld if withheld is not None else Withheld()  # what a pause keeps out
        self.parts_max = queue_parts_max
        self._queues: dict[tuple[int, int], _AccountQueue] = {}
        self._rings: dict[int, deque[_AccountQueue]] = {lane: deque() for lane in LANES}
        self._due: dict[int, float] = dict.fromkeys(LANES, 0.0)  # parts that a lane has coming
        self.length = 0

    def _queue(self, lane: int, account: int) -> _AccountQueue:
        key = (lane, account)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _AccountQueue(account, lane)
        return queue

    def offer(self, parts: Iterable[Part]) -> None:
        """New parts, already durable, in acceptance order. Over the bound they stay in the store."""
        paused = self._withheld.paused or None  # asked of every part, and nearly always empty
        for part in parts:
            queue = self._queue(part.lane, part.account)
            full = queue.spilled or len(queue.parts) >= self.parts_max
            # Behind `high_id` nothing is fetched any more: an older part (its time came, or it was given up by
            # another carrier) stays in memory; who offers such parts looks at `room` first.
            if full and part.id > queue.high_id and not self._continues(queue, part):
                queue.spilled = True
                if queue.refilling:
                    self._beside_a_reading(queue, part)
                continue
            if part.id > queue.high_id:
                queue.high_id = part.id
            if paused is not None and part.id in paused:
                self._withheld.left_out((part.id,))
                continue
            if not queue.parts:
                self._rings[queue.lane].append(queue)
            queue.parts.append(part)
            self.length += 1

    def _beside_a_reading(self, queue: _AccountQueue, part: Part) -> None:
        """Keep what the reading may not see. New parts lie behind all that it can bring: the next one has them."""
        is_new = part.id > queue.newest
        queue.newest = max(queue.newest, part.id)
        if is_new and len(queue.late) >= self.parts_max:
            queue.missed = True
        else:
            queue.late.append(part)

    @staticmethod
    def _continues(queue: _AccountQueue, part: Part) -> bool:
        """Whether the part before it, of the same message, was just taken in: a message is not torn."""
        return part.part_no > 1 and part.id == queue.high_id + 1 and not queue.spilled

    def room(self) -> int:
        """How many parts with older ids may be offered without outgrowing the bound."""
        return max(0, self.parts_max - self.length)

    def room_of(self, lane: int, account: int) -> int:
        """The same for one account's parts in a lane, however much of others waits."""
        return max(0, self.parts_max - len(self._queue(lane, account).parts))

    def withhold(self) -> None:
        """A pause has begun: let go what belongs to it. It is not withdrawn: it stays QUEUED in the store."""
        paused = self._withheld.paused
        for queue in self._queues.values():
            kept = deque(part for part in queue.parts if part.id not in paused)
            if len(kept) == len(queue.parts):
                continue
            self._withheld.left_out(part.id for part in queue.parts if part.id in paused)
            self.length -= len(queue.parts) - len(kept)
            queue.parts = kept
            if not kept:
                self._rings[queue.lane].remove(queue)

    def _not_paused(self, parts: Iterable[Part]) -> list[Part]:
        """Of parts that come back those that may go on."""
        paused = self._withheld.paused
        if not paused:
            return list(parts)
        good = []
        for part in parts:
            if part.id in paused:
                self._withheld.left_out((part.id,))
            else:
                good.append(part)
        return good

    def put_back(self, parts: Iterable[Part]) -> None:
        """Parts that were taken and not sent, or refused for now: to the front, in the order of acceptance.

        Answers come in several passes and from several binds; whatever their order, parts leave in theirs.
        """
        back_of: dict[tuple[int, int], list[Part]] = {}
        for part in self._not_paused(parts):
            back_of.setdefault((part.lane, part.account), []).append(part)
        for (lane, account), back in back_of.items():
            queue = self._queue(lane, account)
            if not queue.parts:
                self._rings[lane].append(queue)
            self.length += len(back)
            last_id = max(part.id for part in back)
            while queue.parts and queue.parts[0].id < last_id:
                back.append(queue.parts.popleft())
            back.sort(key=_id, reverse=True)
            queue.parts.extendleft(back)

    def spill(self, lane: int, account: int) -> None:
        """The store holds open parts of this account that were never offered (recovery)."""
        self._queue(lane, account).spilled = True

    def refills(self) -> list[Refill]:
        """Queues that ran low while the store holds more. Each is asked for once until `refilled`."""
        wanted = []
        for queue in self._queues.values():
            if queue.spilled and not queue.refilling and len(queue.parts) <= self.parts_max // 2:
                queue.refilling = True
                queue.missed = False
                limit = self.parts_max - len(queue.parts)
                wanted.append(Refill(self.carrier, queue.lane, queue.account, queue.high_id, limit))
        return wanted

    def refilled(self, refill: Refill, parts: list[Part], *, high_id: int, more: bool) -> None:
        """What the store had behind `after_id`, read up to `high_id`; `more`: it holds still more."""
        queue = self._queue(refill.lane, refill.account)
        queue.refilling = False
        queue.spilled = more or queue.missed
        queue.high_id = max(queue.high_id, high_id)
        removed, queue.removed = queue.removed, set()
        if removed:
            parts = [part for part in parts if part.id not in removed]
        free = self._not_paused(parts)
        if free:
            if not queue.parts:
                self._rings[queue.lane].append(queue)
            queue.parts.extend(free)
            self.length += len(free)
        late, queue.late = queue.late, []
        if late:
            fetched = {part.id for part in parts}
            self.offer(part for part in late if part.id not in fetched)

    def where(self, part: Part) -> str:
        """Where a QUEUED part of this carrier is: "memory", "store", "withheld" by a pause, or "gone" (on a
        wire, or answered)."""
        if part.id in self._withheld.waiting:
            return "withheld"
        queue = self._queue(part.lane, part.account)
        if any(waiting.id == part.id for waiting in chain(queue.parts, queue.late)):
            return "memory"
        return "store" if queue.spilled and part.id > queue.high_id else "gone"

    def gone(self, parts: Sequence[Part]) -> set[int]:
        """Ids of those of these QUEUED parts that are on a wire, or answered: `where` for many in one pass."""
        wanted = {part.id for part in parts}
        here: set[int] = set()
        for key in {(part.lane, part.account) for part in parts}:
            queue = self._queue(*key)
            here.update(part.id for part in chain(queue.parts, queue.late) if part.id in wanted)
        gone: set[int] = set()
        for part in parts:
            queue = self._queue(part.lane, part.account)
            in_store = queue.spilled and part.id > queue.high_id
            if not (part.id in here or in_store or part.id in self._withheld.waiting):
                gone.add(part.id)
        return gone

    def take(self, count: int) -> list[Part]:
        """Up to `count` parts in fair order; a message's parts are never left half-taken.

        The last message may exceed `count` by its remaining parts: the caller keeps them for the same bind.
        """
        taken: list[Part] = []
        rings = [self._rings[lane] for lane in LANES if self._rings[lane]]
        if len(rings) == 1:
            self._take_from(rings[0], count, taken)
            return taken
        # Smooth weighted round robin over parts: what a lane has coming is kept from one grant to the next, so
        # that a lane gets its share also where a grant is one part.
        due = self._due
        while rings and len(taken) < count:
            free = count - len(taken)
            weight_sum = sum(LANE_WEIGHTS[ring[0].lane] for ring in rings)
            for ring in rings:
                due[ring[0].lane] += free * LANE_WEIGHTS[ring[0].lane] / weight_sum
            shares = [min(free, int(due[ring[0].lane])) for ring in rings]
            if max(shares) <= 0:
                shares[max(range(len(rings)), key=lambda i: due[rings[i][0].lane])] = 1
            for ring, share in zip(rings, shares, strict=True):
                lane, before = ring[0].lane, len(taken)
                self._take_from(ring, min(share, count - before), taken)
                due[lane] -= len(taken) - before
                if not ring:
                    due[lane] = 0.0
            rings = [ring for ring in rings if ring]
        return taken

    def _take_from(self, ring: deque[_AccountQueue], count: int, taken: list[Part]) -> None:
        end = len(taken) + count
        while ring and len(taken) < end:
            queue = ring[0]
            parts = queue.parts
            # Alone in its lane an account need not stop for anybody.
            turn = end if len(ring) == 1 else min(end, len(taken) + TURN_PARTS)
            before = len(taken)
            while parts and len(taken) < turn:
                taken.append(parts.popleft())
            last = taken[-1]
            end_at = len(taken) + MESSAGE_PARTS_MAX - 1
            while parts and len(taken) < end_at and same_message(last, parts[0]):
                last = parts.popleft()
                taken.append(last)
            self.length -= len(taken) - before
            if parts:
                ring.rotate(-1)
            else:
                ring.popleft()

    def remove(self, wanted: Callable[[Part], bool]) -> list[Part]:
        """Take out what `wanted` says (cancel, replace, expiry, blacklist, failover)."""
        removed: list[Part] = []
        for queue in self._queues.values():
            if not queue.parts:
                continue
            kept: deque[Part] = deque()
            for part in queue.parts:
                (removed if wanted(part) else kept).append(part)
            if len(kept) != len(queue.parts):
                queue.parts = kept
                if not kept:
                    self._rings[queue.lane].remove(queue)
        self.length -= len(removed)
        return removed + self._remove_late(wanted)

    def _remove_late(self, wanted: Callable[[Part], bool]) -> list[Part]:
        removed: list[Part] = []
        for queue in self._queues.values():
            if queue.late:
                late, queue.late = queue.late, []
                for part in late:
                    (removed if wanted(part) else queue.late).append(part)
                queue.removed |= {part.id for part in late} - {part.id for part in queue.late}
        return removed

    def statistics(self) -> dict[tuple[int, int], int]:
        """Parts in memory by (lane, account)."""
        return {key: len(queue.parts) for key, queue in self._queues.items() if queue.parts}


_id = attrgetter("id")
# From the NUL of destination_addr to the first octet of short_message in a canonical body.
_FIXED_OCTETS = 11


def same_message(last: Part, following: Part) -> bool:
    """Whether `following` must go over the same bind right behind `last`."""
    if following.part_no > 1:
        return following.id == last.id + 1
    if not last.flags & following.flags & PartFlag.CONCATENATED or last.dest != following.dest:
        return False
    one, other = _concat(last), _concat(following)
    return one is not None and other is not None and (one.ref, one.total) == (other.ref, other.total)


def _concat(part: Part) -> Concat | None:
    """Which segment of which message a customer's own segment is."""
    body = part.body
    source_at = body.index(0) + 3
    dest_at = body.index(0, source_at) + 3
    udh = parse_udh(body[body.index(0, dest_at) + _FIXED_OCTETS :])
    return udh.concat if udh else None
