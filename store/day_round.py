"""One round's share of one day file: what it means for the parts, as SQL, and what is young afterwards.

`write` only reads what is young and runs SQL inside the file's transaction; `settle` changes what is young
and is called once the transaction is committed. A failed round therefore leaves nothing to undo.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any

from store import day_sql
from store.day_file import DayFile, minute_of
from store.day_moves import write_moves, write_replaced
from store.day_schema import ATTEMPTS_A_PART_MAX, LOGGED_THROUGH
from store.ids import id_day
from store.model import (
    Attempt,
    Changes,
    Delivered,
    EventFor,
    Inbound,
    Notice,
    Outcome,
    Part,
    Receipt,
    State,
)
from store.part_rows import attempt_keys
from store.young import YOUNG_STATES, PartKey

id_of = attrgetter("id")
part_id_of = attrgetter("part_id")
n_of = attrgetter("n")
state_of = attrgetter("state")
status_of = attrgetter("status")
key_fields_of = attrgetter("account", "carrier", "lane", "state", "part_no", "sms_type")

DAY_MAX = id_day((1 << 63) - 1)
FOR_BINDS = EventFor.BINDS

# The id that says in which day's file a row belongs, for every list of `Changes` but `usage` (it names its
# day) and `delivered` (the newest file).
ID_OF: dict[str, Callable[[Any], int]] = {
    "parts": id_of,
    "attempts": part_id_of,
    "receipts": part_id_of,
    "outcomes": part_id_of,
    "parked": id_of,
    "unparked": int,
    "inbound": id_of,
    "moved": itemgetter(0),
    "flagged": itemgetter(0),
    "replaced": id_of,
    "notices": id_of,
}


def check(changes: Changes) -> None:
    """Raise ValueError for a row that cannot be stored, before anything is written."""
    if changes.attempts:
        numbers = set(map(n_of, changes.attempts))
        if min(numbers) < 1 or max(numbers) > ATTEMPTS_A_PART_MAX:
            raise ValueError(f"An attempt's n is 1 to {ATTEMPTS_A_PART_MAX}, not {sorted(numbers)}.")
    if changes.outcomes:
        lowest = min(map(state_of, changes.outcomes))
        if lowest < State.DELIVERED:
            raise ValueError(f"An outcome's state is final, not {lowest}.")
    for usage in changes.usage:
        if not 0 <= usage.day <= DAY_MAX:
            raise ValueError(f"The day of a usage row counts days since 1970, not {usage.day}.")


class Round:
    """One share on its way. Make it, `write` it, commit, `settle` it."""

    def __init__(self, file: DayFile, changes: Changes, ids: Mapping[str, list[int]]) -> None:
        """`ids`: what `ID_OF` gives for some of the lists, where it is known already."""
        self.file = file
        self.changes = changes
        self.settled = False
        self._ids = ids
        self.new: dict[int, PartKey] = {}  # young parts of this round
        self.moved: dict[int, PartKey] = {}  # young parts as they are after `moved`
        self.left: list[int] = []  # young parts that went to open_part
        self.sent: dict[int, PartKey] = {}
        self.sent_old: dict[int, PartKey] = {}  # in open_part as not sent
        self.ended: list[int] = []
        self.events: dict[int, list[int]] = {}  # account -> young event ids
        self.old_events: Counter[int] = Counter()  # account -> events indexed at once
        self.logged: dict[int, list[int]] = {}  # account -> event ids for readers with a cursor
        self.taken_events: list[tuple[int, int]] = []  # indexed events that were delivered
        self.refused_outcomes: list[Outcome] = []
        self.refused_parts: list[int] = []
        self._rollup: dict[tuple[int, int, int, int, int], list[int]] = {}

    def write(self) -> None:
        """Run the SQL of everything in this share, in the order in which one part can live through it."""
        changes = self.changes
        connection = self.file.connection
        if changes.parts:
            self._parts(changes.parts)
        if changes.attempts:
            self._attempts(changes.attempts)
        if changes.moved:
            write_moves(self, changes.moved)
        if changes.flagged:
            day_sql.FLAG_PARTS.run(connection, sorted(dict(changes.flagged).items()))
        for part in changes.replaced:
            write_replaced(self, part)
        if changes.outcomes or changes.receipts:
            self._outcomes(changes.outcomes, changes.receipts)
        if changes.parked:
            day_sql.INSERT_PARKED.run_structs(connection, changes.parked)
        if changes.unparked:
            day_sql.DELETE_PARKED.run(connection, [(parked,) for parked in changes.unparked])
        if changes.inbound:
            self._inbound(changes.inbound)
        if changes.notices:
            self._notices(changes.notices)
        if self.logged:
            self._log()
        if changes.delivered:
            self._delivered(changes.delivered)
        if changes.usage:
            day_sql.ADD_USAGE.run(connection, [(u.user, u.reserved, u.used) for u in changes.usage])
        if self._rollup:
            rows = [(*key, messages, parts) for key, (messages, parts) in sorted(self._rollup.items())]
            day_sql.ADD_ROLLUPS.run(connection, rows)

    def _ids_of(self, name: str, rows: Sequence[Any]) -> list[int]:
        ids = self._ids.get(name)
        return list(map(ID_OF[name], rows)) if ids is None else ids

    def count(self, keys: Iterable[PartKey], state: int, sign: int = 1) -> None:
        """Roll up parts that came to a state."""
        rollup = self._rollup
        for key, count in Counter(keys).items():
            values = (key.minute, key.account, key.carrier, key.sms_type, state)
            row = rollup.get(values)
            if row is None:
                row = rollup[values] = [0, 0]
            if key.first:
                row[0] += count * sign
            row[1] += count * sign

    # -- parts ------------------------------------------------------------------------------------

    def _parts(self, parts: Sequence[Part]) -> None:
        file = self.file
        ids = self._ids_of("parts", parts)
        ascending = sorted(ids)
        if ids != ascending:
            ids = ascending
            parts = sorted(parts, key=id_of)
        keys = self._keys_of(ids, parts)
        day_sql.INSERT_PARTS.run_structs(file.connection, parts)
        self.count(keys, State.QUEUED)
        if ids[0] > file.part_mark and all(key.state in YOUNG_STATES for key in set(keys)):
            self.new = dict(zip(ids, keys, strict=True))
        else:
            self._unusual_parts(parts, keys)

    def _unusual_parts(self, parts: Sequence[Part], keys: Sequence[PartKey]) -> None:
        """Parts of which some are not young: they wait for long from the start, are final, or late."""
        file = self.file
        open_rows = []
        ended = []
        for part, key in zip(parts, keys, strict=True):
            if part.state >= State.DELIVERED:
                ended.append((part.id, part.state, part.done_at, part.error, None))
                self.count([key], part.state)
            elif part.id > file.part_mark and part.state in YOUNG_STATES:
                self.new[part.id] = key
            else:
                due_at = part.deliver_at if part.state == State.SCHEDULED else part.expires_at
                open_rows.append(
                    (part.id, key.account, key.carrier, key.lane, key.sms_type, key.first, key.state, due_at)
                )
        day_sql.INSERT_OPEN_PARTS.run(file.connection, open_rows)
        day_sql.INSERT_OUTCOMES.run(file.connection, ended)

    def _keys_of(self, ids: Sequence[int], parts: Sequence[Part]) -> list[PartKey]:
        get = self.file.keys.get
        values = list(map(key_fields_of, parts))
        minute = minute_of(ids[0])
        if minute == minute_of(ids[-1]):
            known = {v: get(minute, v[0], v[1], v[2], v[5], v[4] == 1, v[3]) for v in set(values)}
            return list(map(known.__getitem__, values))
        return [
            get(minute_of(part_id), v[0], v[1], v[2], v[5], v[4] == 1, v[3])
            for part_id, v in zip(ids, values, strict=True)
        ]

    # -- attempts ---------------------------------------------------------------------------------

    def _attempts(self, attempts: Sequence[Attempt]) -> None:
        """Store them; the parts that a carrier accepted for the first time are sent from now on."""
        file = self.file
        file.insert_attempts.run_structs(file.connection, attempts)
        ids = self._ids_of("attempts", attempts)
        if any(map(status_of, attempts)):
            ids = [attempt.part_id for attempt in attempts if attempt.status == 0]
            if not ids:
                return
        keys = list(map(file.young.unsent.get, ids))
        if None not in keys:
            self.sent = dict(zip(ids, keys, strict=True))  # type: ignore[arg-type]
        else:
            self._sent_of_any_age(ids)
        self.count(self.sent.values(), State.SENT)
        self.count(self.sent_old.values(), State.SENT)

    def _sent_of_any_age(self, ids: Sequence[int]) -> None:
        young = self.file.young
        others = []
        for part_id in ids:
            key = young.unsent.get(part_id) or self.new.get(part_id)
            if key is not None:
                self.sent[part_id] = key
            elif part_id not in young.sent and part_id not in young.sent_old:
                others.append(part_id)
        old = self.file.old_keys(others)
        for part_id, key in old.items():
            if key.state != State.SENT:
                self.sent_old[part_id] = key
        self.count(self._sent_after_their_end(i for i in others if i not in old), State.SENT)

    def _sent_after_their_end(self, ids: Iterable[int]) -> Iterator[PartKey]:
        """Keys of the ended parts of which no attempt was accepted before: they were sent, as a late answer
        shows."""
        for part_id, accepted in Counter(ids).items():
            rows = self.file.connection.execute(
                "SELECT id, account, carrier, lane, sms_type, part_no = 1, state FROM part WHERE id = ?"
                " AND (SELECT count(*) FROM attempt WHERE key BETWEEN ? AND ? AND status = 0) = ?",
                (part_id, *attempt_keys(self.file.day, part_id), accepted),
            )
            yield from map(self.file.key_of_row, rows)

    # -- ends -------------------------------------------------------------------------------------

    def _outcomes(self, outcomes: Sequence[Outcome], receipts: Sequence[Receipt]) -> None:
        """Final states where the part is open, and the receipts, linked to the end they brought."""
        receipt_of = dict(zip(self._ids_of("receipts", receipts), map(id_of, receipts), strict=True))
        applied = self._ends(outcomes) if outcomes else []
        if applied:
            applied.sort(key=part_id_of)
            self.ended = list(map(part_id_of, applied))
            day_sql.INSERT_OUTCOMES.run(
                self.file.connection,
                [
                    (o.part_id, o.state, o.done_at, o.error, receipt)
                    for o, receipt in zip(applied, map(receipt_of.get, self.ended), strict=True)
                ],
            )
        if receipts:
            self._receipts(receipts, receipt_of)

    def _ends(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The outcomes whose part is open; they are counted."""
        ids = self._ids_of("outcomes", outcomes)
        keys = list(map(self.file.young.sent.get, ids))
        if None in keys or len(set(ids)) != len(ids):
            return self._ends_of_any_age(outcomes)
        self._count_ends(outcomes, keys)  # type: ignore[arg-type]
        return list(outcomes)

    def _ends_of_any_age(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        young = self.file.young
        first: dict[int, Outcome] = {}
        for outcome in outcomes:
            if first.setdefault(outcome.part_id, outcome) is not outcome:
                self.refused_outcomes.append(outcome)
        found: dict[int, PartKey] = {}
        others: list[int] = []
        for part_id in first:
            key = (
                self.moved.get(part_id)
                or young.sent.get(part_id)
                or young.unsent.get(part_id)
                or self.new.get(part_id)
            )
            if key is None or key.state not in YOUNG_STATES:
                others.append(part_id)
            else:
                found[part_id] = key
        if others:
            found |= self.file.take_old_parts(others)
        applied = [outcome for part_id, outcome in first.items() if part_id in found]
        self.refused_outcomes += [outcome for part_id, outcome in first.items() if part_id not in found]
        self._count_ends(applied, [found[outcome.part_id] for outcome in applied])
        return applied

    def _count_ends(self, outcomes: Sequence[Outcome], keys: Sequence[PartKey]) -> None:
        states = set(map(state_of, outcomes))
        if len(states) == 1:
            self.count(keys, states.pop())
            return
        for state in states:
            self.count((k for o, k in zip(outcomes, keys, strict=True) if o.state == state), state)

    def _receipts(self, receipts: Sequence[Receipt], receipt_of: dict[int, int]) -> None:
        """Store them. Those that ended no part here are noted as extra, so that a message finds them."""
        connection = self.file.connection
        day_sql.INSERT_RECEIPTS.run_structs(connection, sorted(receipts, key=id_of))
        ended = set(self.ended)
        if len(receipt_of) != len(receipts) or not receipt_of.keys() <= ended:
            extra = [
                (r.part_id, r.id) for r in receipts if r.part_id not in ended or receipt_of[r.part_id] != r.id
            ]
            day_sql.INSERT_EXTRA_RECEIPTS.run(connection, sorted(extra))
        self._events(receipts)

    # -- events -----------------------------------------------------------------------------------

    def _events(self, rows: Sequence[Receipt] | Sequence[Inbound]) -> None:
        """Note what is an event. One numbered before the mark is indexed at once: nobody would look for it
        behind the mark."""
        events = self.events
        mark = self.file.event_mark
        old: list[tuple[int, int]] = []
        for row in rows:
            if row.event != FOR_BINDS and not self._for_binds(row):
                continue
            if row.id <= mark:
                old.append((row.account, row.id))
                continue
            ids = events.get(row.account)
            if ids is None:
                ids = events[row.account] = []
            ids.append(row.id)
        if old:
            day_sql.INSERT_OPEN_EVENTS.run(self.file.connection, sorted(old))
            self.old_events.update(account for account, _ in old)

    def _for_binds(self, row: Receipt | Inbound) -> bool:
        """Notes what is for readers with a cursor; whether it is for binds as well."""
        if row.event & EventFor.CURSORS:
            self.logged.setdefault(row.account, []).append(row.id)
        return bool(row.event & EventFor.BINDS)

    def _notices(self, notices: Sequence[Notice]) -> None:
        day_sql.INSERT_NOTICES.run_structs(self.file.connection, sorted(notices, key=id_of))
        for notice in notices:
            self.logged.setdefault(notice.account, []).append(notice.id)

    def _log(self) -> None:
        """One row an account: its events of this round, in order."""
        rows = []
        for account, ids in sorted(self.logged.items()):
            ids.sort()
            rows.append((account, ids[0], ids[-1], array("q", ids).tobytes()))
        day_sql.INSERT_EVENT_LOG.run(self.file.connection, rows)
        self.file.set_mark(LOGGED_THROUGH, max(self.file.logged_through, *(row[2] for row in rows)))

    def _inbound(self, inbound: Sequence[Inbound]) -> None:
        day_sql.INSERT_INBOUND.run_structs(self.file.connection, sorted(inbound, key=id_of))
        self._events(inbound)

    def _delivered(self, delivered: Sequence[Delivered]) -> None:
        day_sql.INSERT_DELIVERED.run(
            self.file.connection,
            [
                (d.account, d.bind, d.at, d.status, array("q", d.event_ids).tobytes(), int(d.done))
                for d in delivered
            ],
        )

    # -- afterwards -------------------------------------------------------------------------------

    def settle(self) -> None:
        """The transaction is committed: bring what is young up to date."""
        self.settled = True
        file = self.file
        file.young.settle(self.new, self.moved, self.left, self.sent, self.sent_old, self.ended)
        changes = self.changes
        if self.events or changes.delivered:
            file.events_dirty = True
        if self.logged:
            newest = max(ids[-1] for ids in self.logged.values())
            file.logged_through = max(file.logged_through, newest)
        file.old_events.update(self.old_events)
        file.old_events.subtract(account for account, _ in self.taken_events)
        file.delivered_seq += len(changes.delivered)
        file.unindexed_parts += len(changes.parts)
        file.rows_since_checkpoint += 1 + len(changes.parts) + len(changes.attempts) + len(changes.receipts)
