"""The traffic store in memory: the calls of `store/port.py` on dictionaries, one transaction a call.

It holds what the real one holds and refuses what the real one refuses; `test_memory_store.py` runs both through
the same lives and compares their answers. Rows are copied on the way in and out: the daemon's own objects change.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from store.ids import id_day
from store.model import (
    FINAL_STATES,
    NO_ERROR,
    Attempt,
    Changes,
    Delivered,
    EventFor,
    Inbound,
    Notice,
    Outcome,
    ParkedReceipt,
    Part,
    Receipt,
    State,
)
from store.port import Applied, Event, Maintenance, MessageLife, QueueKey, Recovery, StoreOptions

MS_A_DAY = 86_400_000
SETTLE_MS = 5 * 60_000
FINAL_ERRORS_MAX = 4095  # attempts of a part

# The id that says on which day a row belongs, for every list of `Changes` but `usage` and `delivered`.
ID_OF: dict[str, Callable[[Any], int]] = {
    "parts": lambda row: row.id,
    "attempts": lambda row: row.part_id,
    "receipts": lambda row: row.part_id,
    "outcomes": lambda row: row.part_id,
    "parked": lambda row: row.id,
    "unparked": lambda row: row,
    "inbound": lambda row: row.id,
    "moved": lambda row: row[0],
    "flagged": lambda row: row[0],
    "replaced": lambda row: row.id,
    "notices": lambda row: row.id,
}

Row = TypeVar("Row", bound=msgspec.Struct)


def copied(row: Row) -> Row:
    return msgspec.structs.replace(row)


def shares(changes: Changes, newest_day: int) -> list[tuple[int, Changes]]:
    """A round by day, in the order in which the days are committed: the newest first."""
    by_day: dict[int, Changes] = {}

    def share(day: int) -> Changes:
        found = by_day.get(day)
        if found is None:
            found = by_day[day] = Changes()
        return found

    for name, id_of in ID_OF.items():
        for row in getattr(changes, name):
            getattr(share(id_day(id_of(row))), name).append(row)
    for usage in changes.usage:
        share(usage.day).usage.append(usage)
    if changes.delivered:
        share(newest_day).delivered = changes.delivered
    return sorted(by_day.items(), reverse=True)


class MemoryStore:
    """A `TrafficStore`. Every method is one moment; `gateway/ports.py`'s StorePort puts time around them."""

    def __init__(self, options: StoreOptions, now_ms: int) -> None:
        self.options = options
        self.disk = "ok"
        self.clean = True
        self._days: set[int] = {now_ms // MS_A_DAY}
        self._parts: dict[int, Part] = {}
        self._attempts: dict[int, dict[int, Attempt]] = defaultdict(dict)
        self._outcomes: dict[int, Outcome] = {}
        self._receipts: dict[int, Receipt] = {}
        self._inbound: dict[int, Inbound] = {}
        self._parked: dict[int, ParkedReceipt] = {}
        self._delivered: list[Delivered] = []
        self._usage: dict[int, dict[int, list[int]]] = defaultdict(dict)
        self._map: dict[tuple[int, str], int] = {}
        self._open: dict[int, None] = {}  # part ids without an outcome
        self._events: dict[int, dict[int, None]] = defaultdict(dict)  # account -> event ids on the log
        self._notices: dict[int, Notice] = {}
        self._logs: dict[int, list[int]] = defaultdict(list)  # account -> events for readers with a cursor
        self._searchable: set[int] = set()
        self._sealed: set[int] = set()
        self._seal_next: set[int] = set()

    # -- the write path ---------------------------------------------------------------------------

    def newest_day(self) -> int:
        return max(self._days)

    def apply(self, changes: Changes) -> Applied:
        """One round, every day of it."""
        applied = Applied()
        for _, share in shares(changes, self.newest_day()):
            self.apply_share(share, applied)
        return applied

    def apply_share(self, changes: Changes, applied: Applied) -> None:
        """One day's transaction."""
        self._check(changes)
        for part in changes.parts:
            self._days.add(id_day(part.id))
            self._sealed.discard(id_day(part.id))
            self._parts[part.id] = copied(part)
            if part.state >= State.DELIVERED:
                self._outcomes[part.id] = Outcome(part.id, part.account, part.state, part.done_at, part.error)
            else:
                self._open[part.id] = None
        for attempt in changes.attempts:
            self._attempts[attempt.part_id][attempt.n] = copied(attempt)
        for part_id, state, carrier in changes.moved:
            if not self._waits(part_id):
                applied.refused_parts.append(part_id)
                continue
            part = self._parts[part_id]
            part.state, part.carrier = state, carrier
        for part_id, flags in changes.flagged:
            if part_id in self._parts:
                self._parts[part_id].flags = flags
        for part in changes.replaced:
            self._replace(part, applied)
        self._end(changes, applied)
        for receipt in changes.receipts:
            self._receipts[receipt.id] = copied(receipt)
            self._note(receipt)
        for parked in changes.parked:
            self._parked[parked.id] = copied(parked)
        for parked_id in changes.unparked:
            self._parked.pop(parked_id, None)
        for inbound in changes.inbound:
            self._inbound[inbound.id] = copied(inbound)
            self._note(inbound)
        for notice in changes.notices:
            self._notices[notice.id] = copied(notice)
            self._logs[notice.account].append(notice.id)
        for row in changes.delivered:
            self._delivered.append(copied(row))
            if row.done:
                log = self._events[row.account]
                applied.delivered += sum(1 for event in row.event_ids if log.pop(event, 0) is None)
        for usage in changes.usage:
            total = self._usage[usage.day].setdefault(usage.user, [0, 0])
            total[0] += usage.reserved
            total[1] += usage.used
        applied.parts += len(changes.parts)
        applied.attempts += len(changes.attempts)
        applied.receipts += len(changes.receipts)

    def _note(self, row: Receipt | Inbound) -> None:
        """An event, for whom it is one."""
        if row.event & EventFor.BINDS:
            self._events[row.account][row.id] = None
        if row.event & EventFor.CURSORS:
            self._logs[row.account].append(row.id)

    def _check(self, changes: Changes) -> None:
        for name, table in (
            ("parts", self._parts),
            ("receipts", self._receipts),
            ("inbound", self._inbound),
            ("parked", self._parked),
        ):
            ids = [row.id for row in getattr(changes, name)]
            if len(set(ids)) != len(ids) or any(row_id in table for row_id in ids):
                raise ValueError(f"A row of this round is there already: {name}.")
        if any(not 1 <= attempt.n <= FINAL_ERRORS_MAX for attempt in changes.attempts):
            raise ValueError("An attempt's n is 1 to 4095.")
        if any(outcome.state < State.DELIVERED for outcome in changes.outcomes):
            raise ValueError("An outcome's state is final.")

    def _replace(self, part: Part, applied: Applied) -> None:
        if not self._waits(part.id):
            applied.refused_parts.append(part.id)
            return
        kept = self._parts[part.id]
        for name in (
            "state", "registered_delivery", "data_coding", "deliver_at", "expires_at", "flags", "body",
            "detail", "carrier",
        ):  # fmt: skip
            setattr(kept, name, getattr(part, name))

    def _end(self, changes: Changes, applied: Applied) -> None:
        for outcome in changes.outcomes:
            if outcome.part_id not in self._open:
                applied.refused_outcomes.append(outcome)
                continue
            del self._open[outcome.part_id]
            self._outcomes[outcome.part_id] = copied(outcome)
            applied.outcomes += 1

    def remember_smsc_ids(self, entries: Sequence[tuple[int, str, int]]) -> None:
        for carrier, smsc_id, part_id in entries:
            key = (carrier, smsc_id)
            self._map[key] = max(part_id, self._map.get(key, 0))

    def maintain(self, now_ms: int) -> Maintenance:
        today = now_ms // MS_A_DAY
        self._days |= {today} if today > max(self._days) else set()
        report = Maintenance(disk=self.disk, free_octets=1 << 40)  # type: ignore[arg-type]
        settled = (now_ms - SETTLE_MS) // MS_A_DAY
        for day in sorted(self._days):
            if day >= settled or day in self._sealed:
                continue
            if self._is_finished(day):
                if day in self._seal_next:
                    self._sealed.add(day)
                    self._seal_next.discard(day)
                else:
                    report.days_to_seal.append(day)
            elif day not in self._searchable:
                report.days_to_seal.append(day)
        return report

    def _is_finished(self, day: int) -> bool:
        return not any(id_day(part_id) == day for part_id in self._open) and not any(
            id_day(event) == day for log in self._events.values() for event in log
        )

    def seal(self, day: int) -> None:
        self._searchable.add(day)
        if self._is_finished(day):
            self._seal_next.add(day)

    def index_recent(self) -> int:
        return 0

    def disk_state(self) -> str:
        return self.disk

    def close(self) -> None:
        self.clean = True

    def recover(self, consolidated_days: Collection[int] = ()) -> Recovery:
        usage: dict[int, tuple[int, int]] = {}
        for day, users in self._usage.items():
            if day not in consolidated_days:
                for user, (reserved, used) in users.items():
                    before = usage.get(user, (0, 0))
                    usage[user] = (before[0] + reserved, before[1] + used)
        queued: Counter[QueueKey] = Counter()
        open_parts: Counter[int] = Counter()
        states: Counter[int] = Counter()
        for part_id in self._open:
            part, state = self._parts[part_id], self._state(part_id)
            open_parts[part.account] += 1
            states[state] += 1
            if state == State.QUEUED:
                queued[QueueKey(part.carrier, part.lane, part.account)] += 1
        tables = (self._parts, self._receipts, self._inbound, self._parked, self._notices)
        return Recovery(
            last_id=max((max(table, default=0) for table in tables), default=0),
            usage=usage,
            queued=dict(queued),
            open_parts=dict(open_parts),
            awaiting_receipt=states[State.SENT],
            claimed=states[State.CLAIMED],
            pending_events=self.accounts_with_pending_events(),
            parked=len(self._parked),
            clean=self.clean,
            quarantined=[],
            notes=[],
        )

    # -- what a part is now -----------------------------------------------------------------------

    def _state(self, part_id: int) -> int:
        outcome = self._outcomes.get(part_id)
        if outcome is not None:
            return outcome.state
        if any(attempt.status == 0 for attempt in self._attempts.get(part_id, {}).values()):
            return State.SENT
        return self._parts[part_id].state

    def _waits(self, part_id: int) -> bool:
        return part_id in self._open and self._state(part_id) != State.SENT

    def _now(self, part_id: int) -> Part:
        part = copied(self._parts[part_id])
        outcome = self._outcomes.get(part_id)
        part.state = self._state(part_id)
        part.done_at = outcome.done_at if outcome else part.accepted_at
        part.error = outcome.error if outcome else NO_ERROR
        return part

    def _opens(self, state: int) -> Iterable[int]:
        return (part_id for part_id in sorted(self._open) if self._state(part_id) == state)

    # -- reads ------------------------------------------------------------------------------------

    def queued(self, carrier: int, lane: int, account: int, after_id: int, limit: int) -> list[Part]:
        found = [
            part_id
            for part_id in self._opens(State.QUEUED)
            if part_id > after_id
            and (part := self._parts[part_id]).carrier == carrier
            and part.lane == lane
            and part.account == account
        ]
        return [self._now(part_id) for part_id in found[:limit]]

    def claimed(self, after_id: int, limit: int) -> list[Part]:
        return [self._now(i) for i in self._opens(State.CLAIMED) if i > after_id][:limit]

    def held(self, after_id: int, limit: int) -> list[Part]:
        return [self._now(i) for i in self._opens(State.HELD) if i > after_id][:limit]

    def scheduled_due(self, now_ms: int, limit: int) -> list[Part]:
        found = [self._now(i) for i in self._opens(State.SCHEDULED) if self._parts[i].deliver_at <= now_ms]
        return sorted(found, key=lambda part: (part.deliver_at, part.id))[:limit]

    def overdue(self, now_ms: int, limit: int) -> list[Part]:
        late = now_ms - self.options.receipt_grace_ms
        young = now_ms - self.options.young_age_ms
        found: list[Part] = []
        for part_id in sorted(self._open):
            state, part = self._state(part_id), self._parts[part_id]
            due = late if state in (State.SENT, State.HELD) else now_ms
            if part.expires_at < due and part.accepted_at < young and state != State.SCHEDULED:
                found.append(self._now(part_id))
        return found[:limit]

    def awaiting_receipt(self, before_id: int, limit: int) -> list[tuple[Part, Attempt]]:
        found = [i for i in self._opens(State.SENT) if i < before_id]
        return [
            (
                self._now(i),
                copied(max((a for a in self._attempts[i].values() if a.status == 0), key=lambda a: a.n)),
            )
            for i in sorted(found, reverse=True)[:limit]
        ]

    def pending_events(self, account: int, after_event: int, limit: int) -> list[Event]:
        return self._load(sorted(event for event in self._events[account] if event > after_event)[:limit])

    def logged_events(self, account: int, after_event: int, through_event: int, limit: int) -> list[Event]:
        return self._load(sorted(i for i in self._logs[account] if after_event < i <= through_event)[:limit])

    def logged_range(self, account: int) -> tuple[int, int]:
        log = self._logs[account] or [0]
        return min(log), max(log)

    def _load(self, ids: Iterable[int]) -> list[Event]:
        events = []
        for event in ids:
            receipt = self._receipts.get(event)
            if receipt is not None:
                events.append(
                    Event(event, receipt.account, part=self._now(receipt.part_id), receipt=copied(receipt))
                )
            elif event in self._notices:
                notice = self._notices[event]
                events.append(Event(event, notice.account, notice=copied(notice)))
            else:
                inbound = self._inbound[event]
                events.append(Event(event, inbound.account, inbound=copied(inbound)))
        return events

    def accounts_with_pending_events(self) -> dict[int, int]:
        return {account: len(log) for account, log in self._events.items() if log}

    def parked(self, after_id: int, limit: int) -> list[ParkedReceipt]:
        return [copied(self._parked[i]) for i in sorted(self._parked) if i > after_id][:limit]

    def parked_for(self, carrier: int, smsc_message_ids: Sequence[str]) -> list[ParkedReceipt]:
        return [
            copied(p)
            for _, p in sorted(self._parked.items())
            if p.carrier == carrier and p.smsc_message_id in smsc_message_ids
        ]

    def find_by_smsc_id(self, carrier: int, smsc_message_ids: Sequence[str]) -> dict[str, int]:
        return {
            smsc_id: self._map[carrier, smsc_id]
            for smsc_id in smsc_message_ids
            if (carrier, smsc_id) in self._map
        }

    def parts(self, ids: Sequence[int]) -> list[Part]:
        return [self._now(part_id) for part_id in sorted(set(ids)) if part_id in self._parts]

    def message(self, message_id: int) -> MessageLife | None:
        some = self._parts.get(message_id)
        if some is None:
            return None
        head = message_id - some.part_no + 1
        parts = self.parts(range(head, head + some.parts))
        ids = {part.id for part in parts}
        receipts = [copied(r) for _, r in sorted(self._receipts.items()) if r.part_id in ids]
        return MessageLife(
            head,
            parts,
            [copied(a) for i in sorted(ids) for _, a in sorted(self._attempts.get(i, {}).items())],
            receipts,
            [copied(self._outcomes[i]) for i in sorted(ids) if i in self._outcomes],
            [
                Delivered(row.account, row.bind, row.at, row.status, [receipt.id], row.done)
                for receipt in receipts
                for row in self._delivered
                if receipt.event and receipt.id in row.event_ids
            ],
        )

    def find_pending(self, account: int, source: bytes, dest: int, *, limit: int = 100) -> list[Part]:
        found = [
            self._now(i)
            for i in sorted(self._open, reverse=True)
            if (part := self._parts[i]).account == account
            and part.dest == dest
            and source in (b"", part.source)
        ]
        return found[:limit]

    def recent_part_to(self, dest: int, source: bytes, *, since_ms: int) -> Part | None:
        since = since_ms // 1000 << 30
        for part in self.parts_to(dest, 1 << 62, 500):
            if part.id >= since and part.source == source:
                return part
        return None

    def parts_to(self, dest: int, before_id: int, limit: int) -> list[Part]:
        found = [
            i for i in sorted(self._parts, reverse=True) if i < before_id and self._parts[i].dest == dest
        ]
        return [self._now(i) for i in found[:limit]]

    def parts_of(self, account: int, before_id: int, limit: int) -> list[Part]:
        found = [
            i
            for i in sorted(self._parts, reverse=True)
            if i < before_id and self._parts[i].account == account
        ]
        return [self._now(i) for i in found[:limit]]

    def inbound(self, account: int | None, before_id: int, limit: int) -> list[Inbound]:
        found = [
            copied(row)
            for i, row in sorted(self._inbound.items(), reverse=True)
            if i < before_id and account in (None, row.account)
        ]
        return found[:limit]

    # -- figures ----------------------------------------------------------------------------------

    def days(self) -> list[int]:
        return sorted(self._days)

    def usage(self, day: int) -> dict[int, tuple[int, int]]:
        return {user: (reserved, used) for user, (reserved, used) in self._usage.get(day, {}).items()}

    def recount_usage(self, day: int, user_of_account: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        total: dict[int, tuple[int, int]] = {}
        for part_id, part in self._parts.items():
            if id_day(part_id) != day:
                continue
            accepted = any(attempt.status == 0 for attempt in self._attempts.get(part_id, {}).values())
            user = user_of_account.get(part.account, 0)
            reserved, used = total.get(user, (0, 0))
            total[user] = (reserved + (part_id in self._open and not accepted), used + accepted)
        return total

    def verify(self, user_of_account: Mapping[int, int] | None = None) -> list[str]:
        problems = []
        if user_of_account is not None:
            for day in self.days():
                counted = {u: v for u, v in self.recount_usage(day, user_of_account).items() if v != (0, 0)}
                kept = {u: v for u, v in self.usage(day).items() if v != (0, 0)}
                if counted != kept:
                    problems.append(f"usage differs from a recount (I7): {kept}, counted {counted}")
        for receipt in self._receipts.values():
            if receipt.part_id not in self._parts:
                problems.append(f"receipt {receipt.id} without its part (I9)")
        for part_id in self._attempts:
            if part_id not in self._parts:
                problems.append(f"attempt of {part_id} without its part (I1)")
        for part_id, part in self._parts.items():
            head = self._parts.get(part_id - part.part_no + 1)
            if head is None or head.part_no != 1 or head.parts != part.parts:
                problems.append(f"part {part_id} of a message whose other parts are not there (I1)")
        return problems

    def open_parts(self) -> list[Part]:
        """Every part without an end: for the simulation's own questions."""
        return [self._now(part_id) for part_id in sorted(self._open)]

    def states(self, state: int) -> int:
        return sum(1 for _ in self._opens(state))


assert not {State.SENT} & FINAL_STATES
