"""The reads of the traffic store: each on a lent `mode=ro` connection, short, going on from a key.

What is open is found in two places: indexed on disk (`open_part`, `open_event`) and young in memory. Memory
is looked at first: what grows old in between is then seen twice, never not at all.
"""

# ruff: noqa: S608 - names and numbers put into SQL are ours; every value is a parameter

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from store.day_file import DayFile, quick_check
from store.day_schema import ATTEMPT_BITS, first_id_of
from store.files import StoreError
from store.ids import id_day
from store.model import (
    FINAL_STATES,
    Attempt,
    Delivered,
    Inbound,
    Outcome,
    ParkedReceipt,
    Part,
    Receipt,
    State,
)
from store.part_rows import ATTEMPT_COLUMNS, attempt_keys, attempt_of_row, delivered_of_row, part_sql
from store.port import Event, MessageLife, Rollup, StoreOptions
from store.readers import ReaderPool
from store.search import search_path
from store.young_events import YoungEvents, merged

IDS_A_STATEMENT = 500


class Reads:
    """The reading half of `SqliteStore`, which fills in these attributes."""

    options: StoreOptions
    _pool: ReaderPool
    _files: dict[int, DayFile]  # days open for writing
    _days: list[int]  # every day there is, ascending
    _young_events: YoungEvents
    _old_events: dict[int, Counter[int]]  # day -> account -> events in open_event

    def _path(self, day: int) -> Path:
        raise AssertionError

    @contextmanager
    def _reader(self, day: int) -> Iterator[sqlite3.Connection]:
        try:
            with self._pool.lend(self._path(day)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise StoreError(f"{self._path(day)} cannot be read: {error}.") from error

    def days(self) -> list[int]:
        """The days there are files of, ascending."""
        return list(self._days)

    # -- parts by id ------------------------------------------------------------------------------

    def _parts_of_day(self, day: int, ids: Sequence[int]) -> list[Part]:
        found: list[Part] = []
        with self._reader(day) as connection:
            for start in range(0, len(ids), IDS_A_STATEMENT):
                some = ids[start : start + IDS_A_STATEMENT]
                holes = ",".join("?" * len(some))
                sql = part_sql(day, f"WHERE p.id IN ({holes}) ORDER BY p.id")
                found += [Part(*row) for row in connection.execute(sql, tuple(some))]
        return found

    def parts(self, ids: Sequence[int]) -> list[Part]:
        """The parts there are, by id."""
        found: list[Part] = []
        for day, some in by_day(ids).items():
            if day in self._days:
                found += self._parts_of_day(day, some)
        found.sort(key=lambda part: part.id)
        return found

    # -- the queues -------------------------------------------------------------------------------

    def queued(self, carrier: int, lane: int, account: int, after_id: int, limit: int) -> list[Part]:
        """Parts that wait to be sent, by id: QUEUED, and no carrier accepted them yet."""
        found: list[Part] = []
        for day in self._open_days():
            if first_id_of(day + 1) <= after_id:
                continue
            wanted = limit - len(found)
            file = self._files.get(day)
            ids = set(file.young.queued_ids(carrier, lane, account, after_id, wanted) if file else ())
            with self._reader(day) as connection:
                ids.update(
                    row[0]
                    for row in connection.execute(
                        "SELECT id FROM open_part p WHERE state = 3 AND carrier = ? AND lane = ?"
                        f" AND account = ? AND id > ? AND NOT {accepted_sql(day)} ORDER BY id LIMIT ?",
                        (carrier, lane, account, after_id, wanted),
                    )
                )
            parts = self._parts_of_day(day, sorted(ids)[:wanted])
            found += [part for part in parts if part.state == State.QUEUED]
            if len(found) >= limit:
                break
        return found

    def claimed(self, after_id: int, limit: int) -> list[Part]:
        """CLAIMED parts without a ROK answer, by id: after a crash their outcome is unknown (P3)."""
        return self._in_state(State.CLAIMED, after_id, limit)

    def held(self, after_id: int, limit: int) -> list[Part]:
        """HELD parts, by id."""
        return self._in_state(State.HELD, after_id, limit)

    def _in_state(self, state: State, after_id: int, limit: int) -> list[Part]:
        found: list[Part] = []
        for day in self._open_days():
            if first_id_of(day + 1) <= after_id:
                continue
            ids: set[int] = set()
            file = self._files.get(day)
            if file is not None:
                with file.young.lock:
                    ids.update(
                        part_id
                        for part_id, key in file.young.unsent.items()
                        if key.state == state and part_id > after_id
                    )
            with self._reader(day) as connection:
                ids.update(
                    row[0]
                    for row in connection.execute(
                        f"SELECT id FROM open_part p WHERE state = ? AND id > ? AND NOT {accepted_sql(day)}"
                        " ORDER BY id LIMIT ?",
                        (state, after_id, limit),
                    )
                )
            parts = self._parts_of_day(day, sorted(ids)[:limit])
            found += [part for part in parts if part.state == state]
            if len(found) >= limit:
                break
        return found[:limit]

    def scheduled_due(self, now_ms: int, limit: int) -> list[Part]:
        """SCHEDULED parts whose `deliver_at` has come, earliest first."""
        found: list[Part] = []
        for day in self._open_days():
            with self._reader(day) as connection:
                ids = [
                    row[0]
                    for row in connection.execute(
                        "SELECT id FROM open_part WHERE state = 2 AND due_at <= ?"
                        " ORDER BY due_at, id LIMIT ?",
                        (now_ms, limit),
                    )
                ]
            found += [part for part in self._parts_of_day(day, ids) if part.state == State.SCHEDULED]
        found.sort(key=lambda part: (part.deliver_at, part.id))
        return found[:limit]

    def overdue(self, now_ms: int, limit: int) -> list[Part]:
        """Open parts past their validity (not sent), or past validity and grace (sent). Not the young ones:
        a part is seen here from `young_age_ms` after its acceptance."""
        found: list[Part] = []
        late = now_ms - self.options.receipt_grace_ms
        for day in self._open_days():
            ids: list[int] = []
            with self._reader(day) as connection:
                for sql, due in (
                    (
                        f"SELECT id FROM open_part p WHERE state = 3 AND due_at > 0 AND due_at < ?"
                        f" AND NOT {accepted_sql(day)} LIMIT ?",
                        now_ms,
                    ),
                    (
                        "SELECT id FROM open_part WHERE state = 4 AND due_at > 0 AND due_at < ? LIMIT ?",
                        now_ms,
                    ),
                    ("SELECT id FROM open_part WHERE state = 5 AND due_at > 0 AND due_at < ? LIMIT ?", late),
                    ("SELECT id FROM open_part WHERE state = 6 AND due_at > 0 AND due_at < ? LIMIT ?", late),
                    (
                        "SELECT id FROM open_part WHERE state = 7 AND due_at > 0 AND due_at < ? LIMIT ?",
                        now_ms,
                    ),
                ):
                    ids += [row[0] for row in connection.execute(sql, (due, limit))]
            for part in self._parts_of_day(day, sorted(ids)):
                due = late if part.state in (State.SENT, State.HELD) else now_ms
                if part.state not in FINAL_STATES and part.expires_at < due:
                    found.append(part)
            if len(found) >= limit:
                break
        return found[:limit]

    def awaiting_receipt(self, before_id: int, limit: int) -> list[tuple[Part, Attempt]]:
        """Sent parts without an end and the attempt that was accepted, newest first, below `before_id`."""
        found: list[tuple[Part, Attempt]] = []
        for day in reversed(self._open_days()):
            if first_id_of(day) >= before_id:
                continue
            wanted = limit - len(found)
            ids: set[int] = set()
            file = self._files.get(day)
            if file is not None:
                with file.young.lock:
                    ids.update(part_id for part_id in file.young.sent if part_id < before_id)
                    ids.update(part_id for part_id in file.young.sent_old if part_id < before_id)
            with self._reader(day) as connection:
                ids.update(
                    row[0]
                    for row in connection.execute(
                        "SELECT id FROM open_part WHERE +state = 5 AND id < ? ORDER BY id DESC LIMIT ?",
                        (before_id, wanted),
                    )
                )
                newest = sorted(ids, reverse=True)[:wanted]
                parts = self._parts_of_day(day, newest)
                for part in reversed(parts):
                    if part.state != State.SENT:
                        continue
                    row = connection.execute(
                        f"SELECT {ATTEMPT_COLUMNS} FROM attempt WHERE key BETWEEN ? AND ? AND status = 0"
                        " ORDER BY key DESC LIMIT 1",
                        attempt_keys(day, part.id),
                    ).fetchone()
                    found.append((part, attempt_of_row(day, row)))
            if len(found) >= limit:
                break
        return found

    def find_pending(self, account: int, source: bytes, dest: int, *, limit: int = 100) -> list[Part]:
        """Open parts of an account from `source` (b"": any) to `dest`, newest first: cancel_sm, replace."""
        found: list[Part] = []
        for day in reversed(self._open_days()):
            file = self._files.get(day)
            mark = file.part_mark if file is not None else first_id_of(day + 1)
            with self._reader(day) as connection:
                ids = {
                    row[0]
                    for row in connection.execute(
                        "SELECT id FROM part WHERE id > ? AND dest = ? AND account = ?", (mark, dest, account)
                    )
                }
                ids.update(
                    row[0]
                    for row in connection.execute(
                        "SELECT p.id FROM open_part q CROSS JOIN part p ON p.id = q.id"
                        " WHERE q.account = ? AND p.dest = ?",
                        (account, dest),
                    )
                )
            found += [
                part
                for part in reversed(self._parts_of_day(day, sorted(ids)))
                if part.state not in FINAL_STATES and source in (b"", part.source)
            ]
            if len(found) >= limit:
                break
        return found[:limit]

    # -- the log of events ------------------------------------------------------------------------

    def pending_events(self, account: int, after_event: int, limit: int) -> list[Event]:
        """Events of an account that are not delivered, by id."""
        ids = set(self._young_events.after(account, after_event, limit))
        days = self._open_days()
        for day in days:
            if not self._old_events[day][account]:
                continue
            with self._reader(day) as connection:
                ids.update(
                    row[0]
                    for row in connection.execute(
                        "SELECT id FROM open_event WHERE account = ? AND id > ? ORDER BY id LIMIT ?",
                        (account, after_event, limit),
                    )
                )
        wanted = sorted(ids)[:limit]
        events: dict[int, Event] = {}
        for day in reversed(days):
            missing = [event for event in wanted if event not in events]
            if not missing:
                break
            self._load_events(day, missing, events)
        return [events[event] for event in wanted if event in events]

    def _load_events(self, day: int, ids: Sequence[int], events: dict[int, Event]) -> None:
        receipts: list[Receipt] = []
        with self._reader(day) as connection:
            for start in range(0, len(ids), IDS_A_STATEMENT):
                some = tuple(ids[start : start + IDS_A_STATEMENT])
                holes = ",".join("?" * len(some))
                receipts += [
                    Receipt(*row)
                    for row in connection.execute(f"SELECT * FROM receipt WHERE id IN ({holes})", some)
                ]
                for row in connection.execute(f"SELECT * FROM inbound WHERE id IN ({holes})", some):
                    inbound = Inbound(*row)
                    events[inbound.id] = Event(inbound.id, inbound.account, inbound=inbound)
        parts = {part.id: part for part in self._parts_of_day(day, sorted({r.part_id for r in receipts}))}
        for receipt in receipts:
            events[receipt.id] = Event(
                receipt.id, receipt.account, part=parts.get(receipt.part_id), receipt=receipt
            )

    def accounts_with_pending_events(self) -> dict[int, int]:
        """account -> number of undelivered events."""
        return merged([self._young_events.counts(), *list(self._old_events.values())])

    # -- receipts that match nothing, and those that match late -----------------------------------

    def parked(self, after_id: int, limit: int) -> list[ParkedReceipt]:
        """Parked receipts, by id."""
        found: list[ParkedReceipt] = []
        for day in self._open_days():
            with self._reader(day) as connection:
                found += [
                    ParkedReceipt(*row)
                    for row in connection.execute(
                        "SELECT * FROM parked WHERE id > ? ORDER BY id LIMIT ?",
                        (after_id, limit - len(found)),
                    )
                ]
            if len(found) >= limit:
                break
        return found

    def parked_for(self, carrier: int, smsc_message_ids: Sequence[str]) -> list[ParkedReceipt]:
        """Parked receipts of a carrier that name one of these ids."""
        found: list[ParkedReceipt] = []
        for day in self._open_days():
            with self._reader(day) as connection:
                for some in chunks(smsc_message_ids):
                    holes = ",".join("?" * len(some))
                    found += [
                        ParkedReceipt(*row)
                        for row in connection.execute(
                            f"SELECT * FROM parked WHERE carrier = ? AND smsc_message_id IN ({holes})"
                            " ORDER BY id",
                            (carrier, *some),
                        )
                    ]
        return found

    def find_by_smsc_id(self, carrier: int, smsc_message_ids: Sequence[str]) -> dict[str, int]:
        """smsc_message_id -> newest part id, for those that `remember_smsc_ids` or a sealed day knows."""
        found: dict[str, int] = {}
        missing = list(dict.fromkeys(smsc_message_ids))
        for day in reversed(self._days):
            places = [(self._path(day), "carrier_map")]
            if (search := search_path(self._path(day))).exists():
                places.append((search, "by_smsc_id"))
            for path, table in places:
                for some in chunks(missing):
                    holes = ",".join("?" * len(some))
                    with self._pool.lend(path) as connection:
                        for smsc_id, part_id in connection.execute(
                            f"SELECT smsc_message_id, max(part_id) FROM {table}"
                            f" WHERE carrier = ? AND smsc_message_id IN ({holes}) GROUP BY smsc_message_id",
                            (carrier, *some),
                        ):
                            found[smsc_id] = max(part_id, found.get(smsc_id, 0))
            missing = [smsc_id for smsc_id in missing if smsc_id not in found]
            if not missing:
                break
        return found

    # -- looking up -------------------------------------------------------------------------------

    def message(self, message_id: int) -> MessageLife | None:
        """Everything that is known of one message; the id may be that of any of its parts."""
        day = id_day(message_id)
        some = self.parts([message_id])
        if not some:
            return None
        head = message_id - (some[0].part_no - 1)
        parts = self.parts(range(head, head + some[0].parts))
        life = MessageLife(head, parts, [], [], [], [])
        with self._reader(day) as connection:
            for part in parts:
                life.attempts += [
                    attempt_of_row(day, row)
                    for row in connection.execute(
                        f"SELECT {ATTEMPT_COLUMNS} FROM attempt WHERE key BETWEEN ? AND ? ORDER BY key",
                        attempt_keys(day, part.id),
                    )
                ]
                outcome = connection.execute(
                    "SELECT state, done_at, error, receipt FROM outcome WHERE part_id = ?", (part.id,)
                ).fetchone()
                receipts = [
                    row[0]
                    for row in connection.execute(
                        "SELECT receipt FROM extra_receipt WHERE part_id = ?", (part.id,)
                    )
                ]
                if outcome is not None:
                    life.outcomes.append(Outcome(part.id, part.account, *outcome[:3]))
                    if outcome[3] is not None:
                        receipts.append(outcome[3])
                for receipt in sorted(receipts):
                    row = connection.execute("SELECT * FROM receipt WHERE id = ?", (receipt,)).fetchone()
                    life.receipts.append(Receipt(*row))
        life.deliveries = self._deliveries(life.receipts)
        return life

    def _deliveries(self, receipts: Sequence[Receipt]) -> list[Delivered]:
        """Tries to hand these receipts to the customer, by time. Reads the batches since they came."""
        found: list[Delivered] = []
        events = [receipt for receipt in receipts if receipt.event]
        for day in self._days:
            if not events or day < id_day(events[0].part_id):
                continue
            with self._reader(day) as connection:
                for receipt in events:
                    for row in connection.execute(
                        "SELECT account, bind, at, status, event_ids, done FROM delivered"
                        " WHERE account = ? AND instr(event_ids, ?) > 0 ORDER BY seq",
                        (receipt.account, receipt.id.to_bytes(8, "little")),
                    ):
                        delivered = delivered_of_row(row)
                        if receipt.id in delivered.event_ids:
                            delivered.event_ids = [receipt.id]
                            found.append(delivered)
        return found

    def recent_part_to(self, dest: int, source: bytes, *, since_ms: int) -> Part | None:
        """The newest part sent to `dest` from `source` after a time: which MT an MO answers.

        Looks into search files, and into the newest parts that are in none yet.
        """
        since = since_ms // 1000 << 30
        for part in self.parts_to(dest, before_id=1 << 62, limit=IDS_A_STATEMENT):
            if part.id < since:
                break
            if part.source == source:
                return part
        return None

    def parts_to(self, dest: int, before_id: int, limit: int) -> list[Part]:
        """Parts to a number, newest first."""
        return self._search("by_dest", "dest", dest, before_id, limit)

    def parts_of(self, account: int, before_id: int, limit: int) -> list[Part]:
        """Parts of an account, newest first."""
        return self._search("by_account", "account", account, before_id, limit)

    def _search(self, table: str, column: str, value: int, before_id: int, limit: int) -> list[Part]:
        found: list[Part] = []
        for day in reversed(self._days):
            if first_id_of(day) >= before_id:
                continue
            wanted = limit - len(found)
            through = 0
            ids: list[int] = []
            search = search_path(self._path(day))
            if search.exists():
                with self._pool.lend(search) as connection:
                    segments = connection.execute("SELECT segment, through_id FROM segment").fetchall()
                    through = max((row[1] for row in segments), default=0)
                    for segment, _ in sorted(segments, reverse=True):
                        ids += [
                            row[0]
                            for row in connection.execute(
                                f"SELECT id FROM {table} WHERE segment = ? AND {column} = ? AND id < ?"
                                " ORDER BY id DESC LIMIT ?",
                                (segment, value, before_id, wanted - len(ids)),
                            )
                        ]
                        if len(ids) >= wanted:
                            break
            with self._reader(day) as connection:
                newer = [
                    row[0]
                    for row in connection.execute(
                        f"SELECT id FROM part WHERE id > ? AND id < ? AND {column} = ?"
                        " ORDER BY id DESC LIMIT ?",
                        (through, before_id, value, wanted),
                    )
                ]
            newest = (newer + ids)[:wanted]
            found += reversed(self._parts_of_day(day, sorted(newest)))
            if len(found) >= limit:
                break
        return found

    def inbound(self, account: int | None, before_id: int, limit: int) -> list[Inbound]:
        """MO segments, newest first; `account` None for all, 0 for those without an owner."""
        found: list[Inbound] = []
        for day in reversed(self._days):
            if first_id_of(day) >= before_id:
                continue
            with self._reader(day) as connection:
                found += [
                    Inbound(*row)
                    for row in connection.execute(
                        "SELECT * FROM inbound WHERE id < ?1 AND (?2 IS NULL OR account = ?2)"
                        " ORDER BY id DESC LIMIT ?3",
                        (before_id, account, limit - len(found)),
                    )
                ]
            if len(found) >= limit:
                break
        return found

    # -- figures ----------------------------------------------------------------------------------

    def rollups(self, from_minute: int, to_minute: int) -> list[Rollup]:
        """Rows of minutes in [from_minute, to_minute), in order of minute."""
        found: list[Rollup] = []
        for day in self._days:
            if day * 1440 < to_minute and (day + 1) * 1440 > from_minute:
                with self._reader(day) as connection:
                    found += [
                        Rollup(*row)
                        for row in connection.execute(
                            "SELECT * FROM rollup WHERE minute >= ? AND minute < ?", (from_minute, to_minute)
                        )
                    ]
        return found

    def recount_rollups(self, day: int) -> list[Rollup]:
        """The same rows of a day, counted from its parts, attempts and outcomes."""
        minute = "(p.id >> 30) / 60"
        group = "GROUP BY 1, 2, 3, 4, 5"
        columns = f"{minute}, p.account, p.carrier, p.sms_type"
        counts = "sum(p.part_no = 1), count(*)"
        with self._reader(day) as connection:
            rows = connection.execute(
                f"SELECT {columns}, {int(State.QUEUED)}, {counts} FROM part p {group}"
                f" UNION ALL SELECT {columns}, {int(State.SENT)}, {counts} FROM part p"
                f" WHERE {accepted_sql(day)} {group}"
                f" UNION ALL SELECT {columns}, o.state, {counts} FROM part p"
                f" JOIN outcome o ON o.part_id = p.id {group}"
                " ORDER BY 1, 2, 3, 4, 5"
            ).fetchall()
        return [Rollup(*row) for row in rows]

    def usage(self, day: int) -> dict[int, tuple[int, int]]:
        """user -> (reserved, used) of the parts born on a day."""
        with self._reader(day) as connection:
            rows = connection.execute("SELECT user, reserved, used FROM usage").fetchall()
        return {user: (reserved, used) for user, reserved, used in rows}

    def recount_usage(self, day: int, user_of_account: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        """The same from the part rows: open and never sent are reserved, sent are used."""
        with self._reader(day) as connection:
            rows = connection.execute(
                f"SELECT account, sum(o.part_id IS NULL AND NOT {accepted_sql(day)}),"
                f" sum({accepted_sql(day)})"
                " FROM part p LEFT JOIN outcome o ON o.part_id = p.id GROUP BY account"
            ).fetchall()
        total: dict[int, tuple[int, int]] = {}
        for account, reserved, used in rows:
            user = user_of_account.get(account, 0)
            before = total.get(user, (0, 0))
            total[user] = (before[0] + reserved, before[1] + used)
        return total

    def _open_days(self) -> list[int]:
        """Days that may hold anything open, ascending."""
        raise AssertionError

    def check_day(self, day: int) -> list[str]:
        """Damage found in a day's file, [] when sound: half a second for 240 MB; any thread."""
        with self._reader(day) as connection:
            return quick_check(connection)


def accepted_sql(day: int) -> str:
    """SQL: whether a carrier accepted part `p`."""
    first = first_id_of(day)
    low = f"((p.id - {first}) << {ATTEMPT_BITS})"
    high = f"({low} + {(1 << ATTEMPT_BITS) - 1})"
    return f"EXISTS(SELECT 1 FROM attempt a WHERE a.key BETWEEN {low} AND {high} AND a.status = 0)"


def by_day(ids: Sequence[int]) -> dict[int, list[int]]:
    days: dict[int, list[int]] = {}
    for part_id in ids:
        days.setdefault(id_day(part_id), []).append(part_id)
    return days


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), IDS_A_STATEMENT):
        yield values[start : start + IDS_A_STATEMENT]
