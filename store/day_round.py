"""One round's share of one day file: what it means for the parts, as SQL, and what is young afterwards.

`write` only reads what is young and runs SQL inside the file's transaction; `settle` changes what is young
and is called once the transaction is committed. A failed round therefore leaves nothing to undo.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any

from store.bulk import Bulk, row_of, row_without
from store.day_file import DayFile, minute_of
from store.day_schema import ATTEMPTS_A_PART_MAX, PART_COLUMNS
from store.model import (
    Attempt,
    Changes,
    Delivered,
    Inbound,
    Outcome,
    Part,
    Receipt,
    State,
)
from store.young import PartKey

YOUNG_STATES = frozenset({State.QUEUED, State.CLAIMED})

PART_FIELDS = Part.__struct_fields__
key_fields_of = attrgetter("account", "carrier", "lane", "state", "part_no", "sms_type")
part_id_of = attrgetter("part_id")
id_of = attrgetter("id")
n_of = attrgetter("n")
status_of = attrgetter("status")
state_of = attrgetter("state")

INSERT_PARTS = Bulk(
    "INSERT INTO part VALUES ",
    row_without(len(PART_FIELDS), {at for at, f in enumerate(PART_FIELDS) if f not in PART_COLUMNS}),
)
INSERT_RECEIPTS = Bulk("INSERT INTO receipt VALUES ", row_of(10))
INSERT_OUTCOMES = Bulk(
    "INSERT INTO outcome(part_id, state, done_at, error, receipt) VALUES ", row_of(5), rows_max=100
)
INSERT_EXTRA = Bulk("INSERT INTO extra_receipt VALUES ", row_of(2))
INSERT_INBOUND = Bulk("INSERT INTO inbound VALUES ", row_of(15))
INSERT_PARKED = Bulk("INSERT INTO parked VALUES ", row_of(10))
DELETE_PARKED = Bulk("DELETE FROM parked WHERE id IN (VALUES ", "(?)", ")", rows_max=192)
INSERT_DELIVERED = Bulk(
    "INSERT INTO delivered(account, bind, at, status, event_ids, done) VALUES ", row_of(6)
)
INSERT_OPEN_PARTS = Bulk("INSERT INTO open_part VALUES ", row_of(8))
INSERT_OPEN_EVENTS = Bulk("INSERT OR IGNORE INTO open_event VALUES ", row_of(2))
DELETE_OPEN_PARTS = Bulk(
    "DELETE FROM open_part WHERE id IN (VALUES ",
    "(?)",
    ") RETURNING id, account, carrier, lane, sms_type, first, state",
    rows_max=192,
)
MOVE_PARTS = Bulk(
    "WITH v(id, state, carrier) AS (VALUES ",
    row_of(3),
    ") UPDATE part SET state = v.state, carrier = v.carrier FROM v WHERE part.id = v.id",
)
MOVE_OPEN_PARTS = Bulk(
    "WITH v(id, state, carrier) AS (VALUES ",
    row_of(3),
    ") UPDATE open_part SET state = v.state, carrier = v.carrier,"
    " due_at = (SELECT CASE WHEN v.state = 2 THEN p.deliver_at ELSE p.expires_at END"
    " FROM part p WHERE p.id = v.id) FROM v WHERE open_part.id = v.id",
)
FLAG_PARTS = Bulk(
    "WITH v(id, flags) AS (VALUES ",
    row_of(2),
    ") UPDATE part SET flags = v.flags FROM v WHERE part.id = v.id",
)
REPLACE_PART = (
    "UPDATE part SET state = ?, registered_delivery = ?, data_coding = ?, deliver_at = ?, expires_at = ?,"
    " flags = ?, body = ?, detail = ? WHERE id = ?"
)
ADD_USAGE = Bulk(
    "INSERT INTO usage VALUES ",
    row_of(3),
    " ON CONFLICT(user) DO UPDATE SET reserved = reserved + excluded.reserved, used = used + excluded.used",
)
ADD_ROLLUPS = Bulk(
    "INSERT INTO rollup VALUES ",
    row_of(7),
    " ON CONFLICT(minute, account, carrier, sms_type, state) DO UPDATE SET"
    " messages = messages + excluded.messages, parts = parts + excluded.parts",
)

# Which day's file a row belongs to, for every list of `Changes` but `delivered` (the newest file).
ID_OF: dict[str, Callable[[Any], int]] = {
    "parts": attrgetter("id"),
    "attempts": attrgetter("part_id"),
    "receipts": attrgetter("part_id"),
    "outcomes": attrgetter("part_id"),
    "parked": attrgetter("id"),
    "unparked": int,
    "inbound": attrgetter("id"),
    "moved": itemgetter(0),
    "flagged": itemgetter(0),
    "replaced": attrgetter("id"),
}


class Round:
    """One share on its way. Make it, `write` it, commit, `settle` it."""

    def __init__(self, file: DayFile, changes: Changes, ids: Mapping[str, list[int]]) -> None:
        """`ids`: the ids by which rows belong to this day, of any lists of `changes` (`ID_OF`)."""
        self.file = file
        self.changes = changes
        self.settled = False
        self._ids = ids
        self.new: dict[int, PartKey] = {}  # young parts of this round
        self.moved: dict[int, PartKey] = {}  # young parts as they are after `moved`
        self.left: list[int] = []  # young parts that went to open_part
        self.sent: dict[int, PartKey] = {}
        self.sent_old: dict[int, PartKey] = {}
        self.ended: list[int] = []
        self.events: dict[int, list[int]] = {}  # account -> young event ids
        self.old_events: Counter[int] = Counter()
        self.dropped_events: list[tuple[int, int]] = []  # indexed events that were delivered
        self.refused_outcomes: list[Outcome] = []
        self.refused_parts: list[int] = []
        self._rollup: dict[tuple[int, int, int, int, int], list[int]] = {}

    def write(self) -> None:
        """Run the SQL of everything in this share, in the order in which one part can live through it."""
        changes = self.changes
        if changes.parts:
            self._parts(changes.parts)
        if changes.attempts:
            self._attempts(changes.attempts)
        if changes.moved:
            self._moved(changes.moved)
        if changes.flagged:
            FLAG_PARTS.run(self.file.connection, sorted(changes.flagged))
        for part in changes.replaced:
            self._replaced(part)
        if changes.outcomes or changes.receipts:
            self._outcomes(changes.outcomes, changes.receipts)
        if changes.parked:
            INSERT_PARKED.run_structs(self.file.connection, changes.parked)
        if changes.unparked:
            DELETE_PARKED.run(self.file.connection, [(parked,) for parked in changes.unparked])
        if changes.inbound:
            self._inbound(changes.inbound)
        if changes.delivered:
            self._delivered(changes.delivered)
        if changes.usage:
            ADD_USAGE.run(self.file.connection, [(u.user, u.reserved, u.used) for u in changes.usage])
        if self._rollup:
            rows = [(*key, messages, parts) for key, (messages, parts) in sorted(self._rollup.items())]
            ADD_ROLLUPS.run(self.file.connection, rows)

    def _ids_of(self, name: str, rows: Sequence[Any]) -> list[int]:
        ids = self._ids.get(name)
        return list(map(ID_OF[name], rows)) if ids is None else ids

    # -- parts ------------------------------------------------------------------------------------

    def _parts(self, parts: Sequence[Part]) -> None:
        file = self.file
        ids = self._ids_of("parts", parts)
        ascending = sorted(ids)
        if ids != ascending:
            ids = ascending
            parts = sorted(parts, key=id_of)
        keys = self._keys_of(ids, parts)
        INSERT_PARTS.run_structs(file.connection, parts)
        self._count(keys, State.QUEUED)
        if ids[0] > file.part_mark and all(key.state in YOUNG_STATES for key in set(keys)):
            self.new = dict(zip(ids, keys, strict=True))
            return
        by_id = {part.id: part for part in parts}
        open_rows = []
        ended = []
        for part_id, key in zip(ids, keys, strict=True):
            part = by_id[part_id]
            if key.state >= State.DELIVERED:
                ended.append((part_id, part.state, part.done_at, part.error, None))
                self._count([key], part.state)
            elif part_id > file.part_mark and key.state in YOUNG_STATES:
                self.new[part_id] = key
            else:
                due_at = part.deliver_at if part.state == State.SCHEDULED else part.expires_at
                open_rows.append(
                    (part_id, key.account, key.carrier, key.lane, key.sms_type, key.first, key.state, due_at)
                )
        INSERT_OPEN_PARTS.run(file.connection, open_rows)
        INSERT_OUTCOMES.run(file.connection, ended)

    def _keys_of(self, ids: Sequence[int], parts: Sequence[Part]) -> list[PartKey]:
        get = self.file.keys.get
        values = list(map(key_fields_of, parts))
        minute = minute_of(ids[0])
        if minute == minute_of(ids[-1]):
            known = {
                v: get(minute, v[0], v[1], v[2], v[5], v[4] == 1, v[3]) for v in set(values)
            }  # fmt: skip
            return list(map(known.__getitem__, values))
        return [
            get(minute_of(part_id), v[0], v[1], v[2], v[5], v[4] == 1, v[3])
            for part_id, v in zip(ids, values, strict=True)
        ]

    def _count(self, keys: Iterable[PartKey], state: int, sign: int = 1) -> None:
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

    # -- attempts ---------------------------------------------------------------------------------

    def _attempts(self, attempts: Sequence[Attempt]) -> None:
        file = self.file
        file.insert_attempts.run_structs(file.connection, attempts)
        if any(map(status_of, attempts)):
            ids = [attempt.part_id for attempt in attempts if attempt.status == 0]
            if not ids:
                return
        else:
            ids = self._ids_of("attempts", attempts)
        young = file.young
        keys = list(map(young.unsent.get, ids))
        if None not in keys:
            self.sent = dict(zip(ids, keys, strict=True))  # type: ignore[arg-type]
        else:
            self._sent_slowly(ids)
        self._count(self.sent.values(), State.SENT)
        self._count(self.sent_old.values(), State.SENT)

    def _sent_slowly(self, ids: Sequence[int]) -> None:
        young = self.file.young
        unknown = []
        for part_id in ids:
            key = young.unsent.get(part_id) or self.new.get(part_id)
            if key is not None:
                self.sent[part_id] = key
            elif part_id not in young.sent and part_id not in young.sent_old:
                unknown.append(part_id)
        for part_id, key in self.file.old_keys(unknown).items():
            if key.state != State.SENT:
                self.sent_old[part_id] = key

    # -- moves ------------------------------------------------------------------------------------

    def _moved(self, moved: Sequence[tuple[int, int, int]]) -> None:
        file = self.file
        young = file.young
        last = {part_id: (state, carrier) for part_id, state, carrier in moved}
        rows: list[tuple[int, int, int]] = []
        old: list[int] = []
        leaving: list[tuple[int, int, int]] = []
        for part_id, (state, carrier) in last.items():
            key = None
            if part_id not in self.sent and part_id not in young.sent:
                key = young.unsent.get(part_id) or self.new.get(part_id)
            if key is None:
                old.append(part_id)
                continue
            rows.append((part_id, state, carrier))
            self._moved_carrier(key, carrier)
            self.moved[part_id] = file.keys.moved(key, state, carrier)
            if state not in YOUNG_STATES:
                leaving.append((part_id, state, carrier))
                self.left.append(part_id)
        if old:
            keys = file.old_keys(old)
            for part_id in old:
                key = keys.get(part_id)
                if (
                    key is None
                    or key.state == State.SENT
                    or part_id in young.sent_old
                    or part_id in self.sent_old
                ):
                    self.refused_parts.append(part_id)
                    continue
                state, carrier = last[part_id]
                rows.append((part_id, state, carrier))
                leaving.append((part_id, state, carrier))
                self._moved_carrier(key, carrier)
        rows.sort()
        MOVE_PARTS.run(file.connection, rows)
        if self.left:
            open_rows = []
            for part_id in self.left:
                key = self.moved[part_id]
                open_rows.append(
                    (part_id, key.account, key.carrier, key.lane, key.sms_type, key.first, key.state, 0)
                )
            INSERT_OPEN_PARTS.run(file.connection, open_rows)
        MOVE_OPEN_PARTS.run(file.connection, leaving)

    def _moved_carrier(self, key: PartKey, carrier: int) -> None:
        if carrier != key.carrier:
            self._count([key], State.QUEUED, -1)
            self._count([self.file.keys.moved(key, key.state, carrier)], State.QUEUED)

    def _replaced(self, part: Part) -> None:
        """A part as it is now (replace_sm), unless it was sent or is final."""
        file = self.file
        young = file.young
        is_young = part.id in young.unsent or part.id in self.new
        if part.id in self.sent or part.id in young.sent or part.id in young.sent_old:
            self.refused_parts.append(part.id)
            return
        if not is_young:
            key = file.old_keys([part.id]).get(part.id)
            if key is None or key.state == State.SENT:
                self.refused_parts.append(part.id)
                return
        file.connection.execute(
            REPLACE_PART,
            (
                part.state,
                part.registered_delivery,
                part.data_coding,
                part.deliver_at,
                part.expires_at,
                part.flags,
                part.body,
                part.detail,
                part.id,
            ),
        )
        if is_young:
            self._moved([(part.id, part.state, part.carrier)])
        else:
            MOVE_OPEN_PARTS.run(file.connection, [(part.id, part.state, part.carrier)])

    # -- ends -------------------------------------------------------------------------------------

    def _outcomes(self, outcomes: Sequence[Outcome], receipts: Sequence[Receipt]) -> None:
        """Final states where the part is open, and the receipts, linked to the end they brought."""
        file = self.file
        receipt_of = dict(zip(self._ids_of("receipts", receipts), map(id_of, receipts), strict=True))
        applied = self._ends(outcomes) if outcomes else []
        if applied:
            applied.sort(key=part_id_of)
            ids = [outcome.part_id for outcome in applied]
            self.ended = ids
            rows = [
                (o.part_id, o.state, o.done_at, o.error, receipt)
                for o, receipt in zip(applied, map(receipt_of.get, ids), strict=True)
            ]
            INSERT_OUTCOMES.run(file.connection, rows)
        if receipts:
            self._receipts(receipts, receipt_of)

    def _ends(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The outcomes whose part is open; they are counted."""
        young = self.file.young
        ids = self._ids_of("outcomes", outcomes)
        keys = list(map(young.sent.get, ids))
        if None in keys or len(set(ids)) != len(ids):
            return self._ends_slowly(outcomes)
        states = set(map(state_of, outcomes))
        if len(states) == 1:
            self._count(keys, states.pop())  # type: ignore[arg-type]
        else:
            self._count_states(keys, outcomes)  # type: ignore[arg-type]
        return list(outcomes)

    def _count_states(self, keys: Sequence[PartKey], outcomes: Sequence[Outcome]) -> None:
        by_state: dict[int, list[PartKey]] = {}
        for key, outcome in zip(keys, outcomes, strict=True):
            by_state.setdefault(outcome.state, []).append(key)
        for state, some in by_state.items():
            self._count(some, state)

    def _ends_slowly(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        young = self.file.young
        first: dict[int, Outcome] = {}
        for outcome in outcomes:
            if first.setdefault(outcome.part_id, outcome) is not outcome:
                self.refused_outcomes.append(outcome)
        found: dict[int, PartKey] = {}
        old: list[int] = []
        for part_id in first:
            key = (
                self.moved.get(part_id)
                or young.sent.get(part_id)
                or young.unsent.get(part_id)
                or self.new.get(part_id)
            )
            if key is None or key.state not in YOUNG_STATES:
                old.append(part_id)
            else:
                found[part_id] = key
        if old:
            rows = DELETE_OPEN_PARTS.fetch(self.file.connection, [(part_id,) for part_id in sorted(old)])
            for row in rows:
                found[row[0]] = self.file.key_of_row(row)
        applied = []
        for part_id, outcome in first.items():
            if part_id in found:
                applied.append(outcome)
            else:
                self.refused_outcomes.append(outcome)
        self._count_states([found[o.part_id] for o in applied], applied)
        return applied

    def _receipts(self, receipts: Sequence[Receipt], receipt_of: dict[int, int]) -> None:
        file = self.file
        INSERT_RECEIPTS.run_structs(file.connection, sorted(receipts, key=id_of))
        if len(receipt_of) != len(receipts) or not receipt_of.keys() <= set(self.ended):
            ended = set(self.ended)
            extra = [
                (r.part_id, r.id) for r in receipts if r.part_id not in ended or receipt_of[r.part_id] != r.id
            ]
            INSERT_EXTRA.run(file.connection, sorted(extra))
        events = self.events
        for receipt in receipts:
            if receipt.event:
                ids = events.get(receipt.account)
                if ids is None:
                    ids = events[receipt.account] = []
                ids.append(receipt.id)
        self._keep_old_events_apart()

    def _keep_old_events_apart(self) -> None:
        """Events numbered before the mark are indexed at once: nobody would look for them behind it."""
        mark = self.file.event_mark
        for account, ids in self.events.items():
            if min(ids, default=mark + 1) <= mark:
                old = [event for event in ids if event <= mark]
                self.events[account] = [event for event in ids if event > mark]
                INSERT_OPEN_EVENTS.run(self.file.connection, [(account, event) for event in sorted(old)])
                self.old_events[account] += len(old)

    # -- the rest ---------------------------------------------------------------------------------

    def _inbound(self, inbound: Sequence[Inbound]) -> None:
        INSERT_INBOUND.run_structs(self.file.connection, sorted(inbound, key=id_of))
        for message in inbound:
            if message.event:
                self.events.setdefault(message.account, []).append(message.id)
        self._keep_old_events_apart()

    def _delivered(self, delivered: Sequence[Delivered]) -> None:
        INSERT_DELIVERED.run(
            self.file.connection,
            [
                (d.account, d.bind, d.at, d.status, array("q", d.event_ids).tobytes(), d.done)
                for d in delivered
            ],
        )

    # -- afterwards -------------------------------------------------------------------------------

    def settle(self) -> None:
        """The transaction is committed: bring what is young up to date."""
        self.settled = True
        young = self.file.young
        with young.lock:
            if self.new:
                young.unsent.update(self.new)
                young.queue(list(self.new), list(self.new.values()))
            for part_id, key in self.moved.items():
                young.unsent[part_id] = key
                if key.state == State.QUEUED:
                    young.queue([part_id], [key])
            for part_id in self.left:
                young.unsent.pop(part_id, None)
            unsent_pop, sent_pop = young.unsent.pop, young.sent.pop
            for part_id in self.sent:
                unsent_pop(part_id, None)
            young.sent.update(self.sent)
            young.sent_old.update(self.sent_old)
            for part_id in self.ended:
                if sent_pop(part_id, None) is None:
                    unsent_pop(part_id, None)
                    young.sent_old.pop(part_id, None)
        file = self.file
        if self.events or self.changes.delivered:
            file.events_dirty = True
        file.old_events.update(self.old_events)
        changes = self.changes
        file.delivered_seq += len(changes.delivered)
        file.rows_since_checkpoint += 1 + len(changes.parts) + len(changes.attempts) + len(changes.receipts)


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
