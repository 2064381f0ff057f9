"""The young generation of a day file: open parts of the last half minute, in memory.

Most parts are sent, receipted and delivered within seconds. They are followed here, by id, at 0.05 us a
step, and leave no trace in any index. What is still open after `young_age_ms` moves to table
`open_part`, in bulk (`DayFile.age_parts`). After a crash the young ones are read again from the
rows behind the mark.

One lock guards it: the writer changes it after each commit, readers look.
"""

from collections.abc import Iterable
from threading import Lock

from store.model import State

# Only these are young: parts in other states wait for long and are indexed at once.
YOUNG_STATES = frozenset({State.QUEUED, State.CLAIMED})


class PartKey:
    """What parts that are counted and queued alike have in common. One object serves many parts; compared
    by identity, which is what makes counting them cheap."""

    __slots__ = ("account", "carrier", "first", "lane", "minute", "sms_type", "state")

    def __init__(
        self, minute: int, account: int, carrier: int, lane: int, sms_type: int, first: bool, state: int
    ) -> None:
        self.minute = minute  # unix minutes of the id
        self.account = account
        self.carrier = carrier
        self.lane = lane
        self.sms_type = sms_type
        self.first = first  # part_no == 1: it stands for its message in counts of messages
        self.state = state  # QUEUED or CLAIMED while not sent


PART_KEYS_MAX = 20_000  # a minute of 1,000 accounts is some 4,000


class PartKeys:
    """Gives the one PartKey of its values. Forgetting them costs a second row in some count, no error."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int, int, int, bool, int], PartKey] = {}

    def get(
        self, minute: int, account: int, carrier: int, lane: int, sms_type: int, first: bool, state: int
    ) -> PartKey:
        values = (minute, account, carrier, lane, sms_type, first, state)
        key = self._known.get(values)
        if key is None:
            if len(self._known) >= PART_KEYS_MAX:
                self._known.clear()
            key = self._known[values] = PartKey(*values)
        return key

    def moved(self, key: PartKey, state: int, carrier: int) -> PartKey:
        return self.get(key.minute, key.account, carrier, key.lane, key.sms_type, key.first, state)


class Young:
    """Open parts above the mark, and sent parts of any age whose row in open_part does not say so yet."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.unsent: dict[int, PartKey] = {}
        self.sent: dict[int, PartKey] = {}
        self.sent_old: dict[int, PartKey] = {}  # in open_part as not sent
        self.queues: dict[tuple[int, int, int], list[int]] = {}  # (carrier, lane, account) -> part ids

    def parts(self) -> int:
        return len(self.unsent) + len(self.sent)

    def queue(self, ids: list[int], keys: list[PartKey]) -> None:
        """Note in which line parts wait. Lines keep ids that have left; readers look them up in `unsent`."""
        queues = self.queues
        last: PartKey | None = None
        line: list[int] = []
        for part_id, key in zip(ids, keys, strict=True):
            if key is not last:
                last = key
                line = queues.setdefault((key.carrier, key.lane, key.account), [])
            line.append(part_id)

    def settle(
        self,
        new: dict[int, PartKey],
        moved: dict[int, PartKey],
        left: list[int],
        sent: dict[int, PartKey],
        sent_old: dict[int, PartKey],
        ended: list[int],
    ) -> None:
        """Take over what a committed round did, in the order in which one part can live through it."""
        with self.lock:
            unsent_pop, sent_pop = self.unsent.pop, self.sent.pop
            if new:
                self.unsent.update(new)
                self.queue(list(new), list(new.values()))
            for part_id in sent:
                unsent_pop(part_id, None)
            self.sent.update(sent)
            self.sent_old.update(sent_old)
            for part_id, key in moved.items():
                self.unsent[part_id] = key
                if key.state == State.QUEUED:
                    self.queue([part_id], [key])
            for part_id in left:
                unsent_pop(part_id, None)
            for part_id in ended:
                if sent_pop(part_id, None) is None:
                    unsent_pop(part_id, None)
                    self.sent_old.pop(part_id, None)

    def queued_ids(self, carrier: int, lane: int, account: int, after_id: int, limit: int) -> list[int]:
        """Ids that wait in a line, in order."""
        with self.lock:
            line = self.queues.get((carrier, lane, account))
            if not line:
                return []
            unsent = self.unsent
            found = []
            for part_id in sorted(line):
                if part_id <= after_id:
                    continue
                key = unsent.get(part_id)
                if key is not None and key.state == State.QUEUED and key.carrier == carrier:
                    found.append(part_id)
                    if len(found) == limit:
                        break
            return found

    def ids_in(self, state: int, after_id: int) -> list[int]:
        """Ids of parts in a state that are not sent."""
        with self.lock:
            return [i for i, key in self.unsent.items() if key.state == state and i > after_id]

    def sent_ids(self, before_id: int) -> list[int]:
        """Ids of parts that are sent."""
        with self.lock:
            ids = [part_id for part_id in self.sent if part_id < before_id]
            return ids + [part_id for part_id in self.sent_old if part_id < before_id]

    def forget(self, unsent: Iterable[int], sent: Iterable[int], sent_old: Iterable[int]) -> None:
        """These are indexed on disk now. Lines drop every id that no longer waits."""
        with self.lock:
            for part_id in unsent:
                del self.unsent[part_id]
            for part_id in sent:
                del self.sent[part_id]
            for part_id in sent_old:
                del self.sent_old[part_id]
            for line_key, line in list(self.queues.items()):
                kept = [part_id for part_id in line if part_id in self.unsent]
                if kept:
                    self.queues[line_key] = kept
                else:
                    del self.queues[line_key]
