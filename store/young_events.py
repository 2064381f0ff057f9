"""Events (receipts and inbound messages for customers) that are young: written in the last half minute and
not delivered yet. Which day file holds an event does not matter here; one set of ids an account."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from threading import Lock

import msgspec

from store.model import Delivered


class Tick(msgspec.Struct, frozen=True):
    """True at one time: every delivery up to `delivered_seq[day]` speaks of events up to `newest`."""

    at_ms: int
    newest: int
    delivered_seq: dict[int, int]


class Removal(msgspec.Struct):
    """What a round's deliveries take off the log."""

    young: list[tuple[int, set[int]]]  # (account, event ids)
    others: list[tuple[int, int]]  # (account, event id), not young: indexed, or delivered before


class YoungEvents:
    def __init__(self) -> None:
        self.lock = Lock()
        self.ids: dict[int, set[int]] = {}
        self.newest = 0
        self.ticks: deque[Tick] = deque()

    def count(self) -> int:
        return sum(map(len, self.ids.values()))

    def counts(self) -> dict[int, int]:
        with self.lock:
            return {account: len(ids) for account, ids in self.ids.items() if ids}

    def add(self, events: Mapping[int, Sequence[int]]) -> None:
        """account -> event ids, just committed."""
        with self.lock:
            for account, ids in events.items():
                if ids:
                    self.ids.setdefault(account, set()).update(ids)
                    self.newest = max(self.newest, max(ids))

    def plan_removal(self, delivered: Sequence[Delivered]) -> Removal:
        removal = Removal([], [])
        for row in delivered:
            if not row.done:
                continue
            wanted = set(row.event_ids)
            known = self.ids.get(row.account, set())
            if wanted <= known:
                removal.young.append((row.account, wanted))
            else:
                removal.young.append((row.account, wanted & known))
                removal.others += [(row.account, event) for event in sorted(wanted - known)]
        return removal

    def remove(self, removal: Removal) -> int:
        """Take these off, now that their delivery is committed; how many there were."""
        removed = 0
        with self.lock:
            for account, ids in removal.young:
                known = self.ids.get(account)
                if known is None:
                    continue
                before = len(known)
                known -= ids
                removed += before - len(known)
            for account, event in removal.others:  # told and taken in one round
                known = self.ids.get(account)
                if known is not None and event in known:
                    known.discard(event)
                    removed += 1
        return removed

    def drop(self, pairs: Sequence[tuple[int, int]]) -> None:
        """These (account, event id) are indexed on disk now."""
        with self.lock:
            for account, event in pairs:
                self.ids[account].discard(event)

    def after(self, account: int, after_event: int, limit: int) -> list[int]:
        """Young event ids of an account, in order."""
        with self.lock:
            ids = [event for event in self.ids.get(account, ()) if event > after_event]
        ids.sort()
        return ids[:limit]

    def up_to(self, newest: int, limit: int) -> tuple[list[int], bool]:
        """The oldest young event ids up to one; whether these are all."""
        ids = sorted(event for some in self.ids.values() for event in some if event <= newest)
        return ids[:limit], len(ids) <= limit


def merged(counts: Sequence[Mapping[int, int]]) -> dict[int, int]:
    """Sums by account, without the zeros."""
    total: Counter[int] = Counter()
    for some in counts:
        total.update(dict(some))  # a copy: the writer may change it meanwhile
    return {account: count for account, count in total.items() if count > 0}
