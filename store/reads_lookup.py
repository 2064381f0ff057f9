"""Reads that look something up: a message's whole life, the parts to a number, inbound messages."""
# ruff: noqa: S608 - names and numbers put into SQL are ours; every value is a parameter

from collections.abc import Sequence

from store.day_schema import first_id_of
from store.ids import SECOND_BITS, id_day
from store.model import Delivered, Inbound, Outcome, Part, Receipt
from store.part_rows import ATTEMPT_COLUMNS, attempt_keys, attempt_of_row, delivered_of_row
from store.port import MessageLife
from store.reads import DayReads, ids_of
from store.search import search_path, segments_of

ANSWERED_PARTS_MAX = 500  # how many of the newest parts to a number an MO may answer


class LookupReads(DayReads):
    """The reads of one message, one number, one account."""

    def message(self, message_id: int) -> MessageLife | None:
        """Everything that is known of one message; the id may be that of any of its parts."""
        some = self.parts([message_id])
        if not some:
            return None
        head = message_id - (some[0].part_no - 1)
        life = MessageLife(head, self.parts(range(head, head + some[0].parts)), [], [], [], [])
        for part in life.parts:
            self._add_part_life(part, life)
        life.deliveries = self._deliveries([told for told in life.receipts if told.event])
        return life

    def _add_part_life(self, part: Part, life: MessageLife) -> None:
        day = id_day(part.id)
        with self._reader(day) as connection:
            rows = connection.execute(
                f"SELECT {ATTEMPT_COLUMNS} FROM attempt WHERE key BETWEEN ? AND ? ORDER BY key",
                attempt_keys(day, part.id),
            )
            life.attempts += [attempt_of_row(day, row) for row in rows]
            outcome = connection.execute(
                "SELECT state, done_at, error FROM outcome WHERE part_id = ?", (part.id,)
            ).fetchone()
            if outcome is not None:
                life.outcomes.append(Outcome(part.id, part.account, *outcome))
            rows = connection.execute(
                "SELECT * FROM receipt WHERE id IN (SELECT receipt FROM extra_receipt WHERE part_id = ?1"
                " UNION ALL SELECT receipt FROM outcome WHERE part_id = ?1) ORDER BY id",
                (part.id,),
            )
            life.receipts += [Receipt(*row) for row in rows]

    def _deliveries(self, events: Sequence[Receipt]) -> list[Delivered]:
        """Tries to hand these receipts to the customer, by receipt and time.

        Looks through the batches of the days in which they were on the log.
        """
        found: list[Delivered] = []
        for told in events:
            born = id_day(told.part_id)
            for day in self._files.days:
                if not born <= day <= born + self.options.lookback_days:
                    continue
                with self._reader(day) as connection:
                    rows = connection.execute(
                        "SELECT account, bind, at, status, event_ids, done FROM delivered"
                        " WHERE account = ? AND instr(event_ids, ?) > 0 ORDER BY seq",
                        (told.account, told.id.to_bytes(8, "little")),
                    ).fetchall()
                for row in rows:
                    delivered = delivered_of_row(row)
                    if told.id in delivered.event_ids:
                        delivered.event_ids = [told.id]
                        found.append(delivered)
        return found

    def recent_part_to(self, dest: int, source: bytes, *, since_ms: int) -> Part | None:
        """The newest part sent to `dest` from `source` after a time: which MT an MO answers.

        Looks into search files, and through the newest parts that are in none yet (`index_recent`).
        """
        since_id = since_ms // 1000 << SECOND_BITS
        for part in self._search("dest", dest, 1 << 62, ANSWERED_PARTS_MAX, since_id):
            if part.source == source:
                return part
        return None

    def parts_to(self, dest: int, before_id: int, limit: int) -> list[Part]:
        """Parts to a number, newest first."""
        return self._search("dest", dest, before_id, limit, 0)

    def parts_of(self, account: int, before_id: int, limit: int) -> list[Part]:
        """Parts of an account, newest first."""
        return self._search("account", account, before_id, limit, 0)

    def _search(self, column: str, value: int, before_id: int, limit: int, since_id: int) -> list[Part]:
        found: list[Part] = []
        for day in reversed(self._files.days):
            if first_id_of(day) >= before_id:
                continue
            if first_id_of(day + 1) <= since_id:
                break
            ids = self._search_day(day, column, value, before_id, limit - len(found), since_id)
            found += reversed(self._parts_of_day(day, sorted(ids)))
            if len(found) >= limit:
                break
        return found

    def _search_day(
        self, day: int, column: str, value: int, before_id: int, limit: int, since_id: int
    ) -> list[int]:
        """The newest ids of a day: first those that are in no search file, then segment by segment."""
        segments: list[tuple[int, int]] = []
        indexed: list[int] = []
        search = search_path(self._files.path(day))
        if search.exists():
            with self._lend(search) as connection:
                segments = segments_of(connection)
                for segment, _ in segments:
                    if len(indexed) < limit:
                        indexed += ids_of(
                            connection.execute(
                                f"SELECT id FROM by_{column} WHERE segment = ? AND {column} = ? AND id < ?"
                                " AND id >= ? ORDER BY id DESC LIMIT ?",
                                (segment, value, before_id, since_id, limit - len(indexed)),
                            )
                        )
        through_id = max([since_id - 1, *(through for _, through in segments)])
        with self._reader(day) as connection:
            newer = ids_of(
                connection.execute(
                    f"SELECT id FROM part WHERE id > ? AND id < ? AND {column} = ? ORDER BY id DESC LIMIT ?",
                    (through_id, before_id, value, limit),
                )
            )
        return (newer + indexed)[:limit]

    def inbound(self, account: int | None, before_id: int, limit: int) -> list[Inbound]:
        """MO segments, newest first; `account` None for all, 0 for those without an owner."""
        found: list[Inbound] = []
        for day in reversed(self._files.days):
            if first_id_of(day) >= before_id:
                continue
            with self._reader(day) as connection:
                rows = connection.execute(
                    "SELECT * FROM inbound WHERE id < ?1 AND (?2 IS NULL OR account = ?2)"
                    " ORDER BY id DESC LIMIT ?3",
                    (before_id, account, limit - len(found)),
                )
                found += [Inbound(*row) for row in rows]
            if len(found) >= limit:
                break
        return found
