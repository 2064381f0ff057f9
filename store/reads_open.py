"""Reads of what is open: the queues, what was claimed or held, what is due, what awaits its receipt."""
# ruff: noqa: S608 - names and numbers put into SQL are ours; every value is a parameter

from collections.abc import Callable, Sequence

from store.day_schema import first_id_of
from store.model import FINAL_STATES, Attempt, Part, State
from store.part_rows import ATTEMPT_COLUMNS, accepted_sql, attempt_keys, attempt_of_row
from store.reads import DayReads, ids_of

OVERDUE_QUEUED = (
    "SELECT id FROM open_part p WHERE state = 3 AND due_at > 0 AND due_at < ? AND NOT {accepted} LIMIT ?"
)
OVERDUE = "SELECT id FROM open_part WHERE state = {state} AND due_at > 0 AND due_at < ? LIMIT ?"


class OpenReads(DayReads):
    """The reads about parts that are not final.

    What is found as open may end before its row is read; such rows are left out and the reading goes on, so
    that fewer rows than `limit` always mean that there are no more.
    """

    def queued(self, carrier: int, lane: int, account: int, after_id: int, limit: int) -> list[Part]:
        """Parts that wait to be sent, by id: QUEUED, and no carrier accepted them yet."""

        def ids_after(day: int, after: int, wanted: int) -> list[int]:
            file = self._files.open.get(day)
            young = file.young.queued_ids(carrier, lane, account, after, wanted) if file else []
            with self._reader(day) as connection:
                old = ids_of(
                    connection.execute(
                        "SELECT id FROM open_part p WHERE state = 3 AND carrier = ? AND lane = ?"
                        f" AND account = ? AND id > ? AND NOT {accepted_sql(day)} ORDER BY id LIMIT ?",
                        (carrier, lane, account, after, wanted),
                    )
                )
            return sorted({*young, *old})[:wanted]

        return self._by_id(State.QUEUED, ids_after, after_id, limit)

    def claimed(self, after_id: int, limit: int) -> list[Part]:
        """CLAIMED parts without a ROK answer, by id: after a crash their outcome is unknown (P3)."""
        return self._by_id(State.CLAIMED, self._ids_in(State.CLAIMED), after_id, limit)

    def held(self, after_id: int, limit: int) -> list[Part]:
        """HELD parts, by id."""
        return self._by_id(State.HELD, self._ids_in(State.HELD), after_id, limit)

    def _ids_in(self, state: State) -> Callable[[int, int, int], list[int]]:
        def ids_after(day: int, after: int, wanted: int) -> list[int]:
            file = self._files.open.get(day)
            young = file.young.ids_in(state, after) if file else []
            with self._reader(day) as connection:
                old = ids_of(
                    connection.execute(
                        f"SELECT id FROM open_part p WHERE state = ? AND id > ? AND NOT {accepted_sql(day)}"
                        " ORDER BY id LIMIT ?",
                        (state, after, wanted),
                    )
                )
            return sorted({*young, *old})[:wanted]

        return ids_after

    def _by_id(
        self, state: State, ids_after: Callable[[int, int, int], list[int]], after_id: int, limit: int
    ) -> list[Part]:
        """Parts in a state, by id, from what `ids_after(day, after, wanted)` finds."""
        found: list[Part] = []
        for day in self._files.unsealed():
            after = after_id
            while len(found) < limit and after < first_id_of(day + 1):
                ids = ids_after(day, after, limit - len(found))
                if not ids:
                    break
                found += [part for part in self._parts_of_day(day, ids) if part.state == state]
                after = ids[-1]
        return found

    def scheduled_due(self, now_ms: int, limit: int) -> list[Part]:
        """SCHEDULED parts whose `deliver_at` has come, earliest first."""
        found: list[Part] = []
        for day in self._files.unsealed():
            with self._reader(day) as connection:
                ids = ids_of(
                    connection.execute(
                        "SELECT id FROM open_part WHERE state = 2 AND due_at <= ? ORDER BY due_at, id LIMIT ?",
                        (now_ms, limit),
                    )
                )
            found += [part for part in self._parts_of_day(day, ids) if part.state == State.SCHEDULED]
        found.sort(key=lambda part: (part.deliver_at, part.id))
        return found[:limit]

    def overdue(self, now_ms: int, limit: int) -> list[Part]:
        """Open parts past their validity (not sent), or past validity and grace (sent, or held).

        Not the young ones: a part is seen here from `young_age_ms` after its acceptance. Parts that wait for
        their time (SCHEDULED) are not looked at either.
        """
        found: list[Part] = []
        late = now_ms - self.options.receipt_grace_ms
        bounds = {State.CLAIMED: now_ms, State.SENT: late, State.HELD: late, State.REVIEW: now_ms}
        for day in self._files.unsealed():
            with self._reader(day) as connection:
                sql = OVERDUE_QUEUED.format(accepted=accepted_sql(day))
                ids = ids_of(connection.execute(sql, (now_ms, limit)))
                for state, bound in bounds.items():
                    ids += ids_of(connection.execute(OVERDUE.format(state=int(state)), (bound, limit)))
            found += [
                part
                for part in self._parts_of_day(day, sorted(ids))
                if part.state not in FINAL_STATES and part.expires_at < bounds.get(State(part.state), now_ms)
            ]
            if len(found) >= limit:
                break
        return found[:limit]

    def awaiting_receipt(self, before_id: int, limit: int) -> list[tuple[Part, Attempt]]:
        """Sent parts without an end and the attempt that was accepted, newest first, below `before_id`."""
        found: list[tuple[Part, Attempt]] = []
        for day in reversed(self._files.unsealed()):
            before = before_id
            while len(found) < limit and before > first_id_of(day):
                ids = self._sent_ids(day, before, limit - len(found))
                if not ids:
                    break
                found += self._with_attempts(day, ids)
                before = ids[-1]
        return found

    def _sent_ids(self, day: int, before: int, wanted: int) -> list[int]:
        file = self._files.open.get(day)
        young = file.young.sent_ids(before) if file else []
        with self._reader(day) as connection:
            old = ids_of(
                connection.execute(
                    "SELECT id FROM open_part WHERE +state = 5 AND id < ? ORDER BY id DESC LIMIT ?",
                    (before, wanted),
                )
            )
        return sorted({*young, *old}, reverse=True)[:wanted]

    def _with_attempts(self, day: int, ids: Sequence[int]) -> list[tuple[Part, Attempt]]:
        found = []
        parts = self._parts_of_day(day, ids)
        with self._reader(day) as connection:
            for part in reversed(parts):
                if part.state == State.SENT:
                    row = connection.execute(
                        f"SELECT {ATTEMPT_COLUMNS} FROM attempt WHERE key BETWEEN ? AND ? AND status = 0"
                        " ORDER BY key DESC LIMIT 1",
                        attempt_keys(day, part.id),
                    ).fetchone()
                    found.append((part, attempt_of_row(day, row)))
        return found

    def find_pending(self, account: int, source: bytes, dest: int, *, limit: int = 100) -> list[Part]:
        """Open parts of an account from `source` (b"": any) to `dest`, newest first: cancel_sm, replace.

        Reads half a minute of parts, and the open older ones of the account: milliseconds for an account with
        few, a second for one with a million.
        """
        found: list[Part] = []
        for day in reversed(self._files.unsealed()):
            file = self._files.open.get(day)
            mark = file.part_mark if file is not None else first_id_of(day + 1)
            with self._reader(day) as connection:
                young = ids_of(
                    connection.execute(
                        "SELECT id FROM part WHERE id > ? AND dest = ? AND account = ?", (mark, dest, account)
                    )
                )
                old = ids_of(
                    connection.execute(
                        "SELECT p.id FROM open_part q CROSS JOIN part p ON p.id = q.id"
                        " WHERE q.account = ? AND p.dest = ?",
                        (account, dest),
                    )
                )
            found += [
                part
                for part in reversed(self._parts_of_day(day, sorted({*young, *old})))
                if part.state not in FINAL_STATES and source in (b"", part.source)
            ]
            if len(found) >= limit:
                break
        return found[:limit]
