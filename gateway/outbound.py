"""What waits in memory for one carrier: fair between accounts, urgent first, parts of a message together.

Three lanes (2 urgent, 1 normal, 0 bulk) share each grant by weight, so a flood in one starves none; within a
lane accounts take turns. Each (lane, account) has a bound: over it rows simply stay QUEUED in the store and
are fetched in id order when the queue has drained (`wants_refill`). All of it is synchronous and in memory;
nothing here knows sockets.
"""

from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from store.model import Part, PartFlag

LANES = (2, 1, 0)
LANE_WEIGHTS = {2: 8, 1: 3, 0: 1}
TURN_PARTS = 16  # what one account takes before the next has its turn
QUEUE_PARTS_MAX = 5_000  # in memory per (carrier, lane, account): a quarter second of the floor rate
REFILL_BELOW = QUEUE_PARTS_MAX // 2


class _AccountQueue:
    """One account's parts in one lane."""

    __slots__ = ("account", "high_id", "lane", "missed", "parts", "refilling", "spilled")

    def __init__(self, account: int, lane: int) -> None:
        self.account = account
        self.lane = lane
        self.parts: deque[Part] = deque()
        self.spilled = False  # the store holds more than this queue
        self.refilling = False
        self.missed = False  # something was left to the store since the last reading began
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

    def __init__(self, carrier: int, *, queue_parts_max: int = QUEUE_PARTS_MAX) -> None:
        self.carrier = carrier
        self.parts_max = queue_parts_max
        self._queues: dict[tuple[int, int], _AccountQueue] = {}
        self._rings: dict[int, deque[_AccountQueue]] = {lane: deque() for lane in LANES}
        self.length = 0

    def _queue(self, lane: int, account: int) -> _AccountQueue:
        key = (lane, account)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _AccountQueue(account, lane)
        return queue

    def offer(self, parts: Iterable[Part]) -> None:
        """New parts, already durable, in acceptance order. Over the bound they stay in the store."""
        for part in parts:
            queue = self._queue(part.lane, part.account)
            full = queue.spilled or len(queue.parts) >= self.parts_max
            # Behind `high_id` nothing is fetched any more: an older part (its time came, or it was given up by
            # another carrier) stays in memory; who offers such parts looks at `room` first.
            if full and part.id > queue.high_id:
                queue.spilled = queue.missed = True
                continue
            if not queue.parts:
                self._rings[queue.lane].append(queue)
            queue.parts.append(part)
            if part.id > queue.high_id:
                queue.high_id = part.id
            self.length += 1

    def room(self) -> int:
        """How many parts with older ids may be offered without outgrowing the bound."""
        return max(0, self.parts_max - self.length)

    def put_back(self, parts: Iterable[Part]) -> None:
        """Parts that were taken and not sent, or refused for now: to the front, order kept."""
        for part in reversed(list(parts)):
            queue = self._queue(part.lane, part.account)
            if not queue.parts:
                self._rings[queue.lane].append(queue)
            queue.parts.appendleft(part)
            self.length += 1

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
        # What was offered while the reading was under way may have come too late for it.
        queue.spilled = more or queue.missed
        queue.high_id = max(queue.high_id, high_id)
        if not parts:
            return
        if not queue.parts:
            self._rings[queue.lane].append(queue)
        queue.parts.extend(parts)
        self.length += len(parts)

    def where(self, part: Part) -> str:
        """Where a QUEUED part of this carrier is: "memory", "store", or "gone" (on a wire, or answered)."""
        queue = self._queue(part.lane, part.account)
        if any(waiting.id == part.id for waiting in queue.parts):
            return "memory"
        return "store" if queue.spilled and part.id > queue.high_id else "gone"

    def take(self, count: int) -> list[Part]:
        """Up to `count` parts in fair order; a message's parts are never left half-taken.

        The last message may exceed `count` by its remaining parts: the caller keeps them for the same bind.
        """
        taken: list[Part] = []
        rings = [self._rings[lane] for lane in LANES if self._rings[lane]]
        if len(rings) == 1:
            self._take_from(rings[0], count, taken)
            return taken
        while rings and len(taken) < count:
            free = count - len(taken)
            weight_sum = sum(LANE_WEIGHTS[ring[0].lane] for ring in rings)
            for ring in rings:
                share = -(-free * LANE_WEIGHTS[ring[0].lane] // weight_sum)
                self._take_from(ring, min(share, count - len(taken)), taken)
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
            while parts and _same_message(last, parts[0]):
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
        return removed

    def statistics(self) -> dict[tuple[int, int], int]:
        """Parts in memory by (lane, account)."""
        return {key: len(queue.parts) for key, queue in self._queues.items() if queue.parts}


def _same_message(last: Part, following: Part) -> bool:
    """Whether `following` must go over the same bind right behind `last`."""
    if following.part_no > 1:
        return following.id == last.id + 1
    return bool(
        last.flags & following.flags & PartFlag.CONCATENATED
        and last.dest == following.dest
        and last.account == following.account
    )
