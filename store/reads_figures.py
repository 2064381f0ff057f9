"""Figures: roll-ups and usage as kept, and recounted from the rows."""
# ruff: noqa: S608 - names and numbers put into SQL are ours; every value is a parameter

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from store.day_files import name_of_day
from store.day_schema import first_id_of
from store.ids import id_day
from store.model import State
from store.part_rows import accepted_sql
from store.port import Rollup
from store.reads import DayReads
from store.verify import verify_day


class FigureReads(DayReads):
    """The figures, and the proofs of them."""

    def rollups(self, from_minute: int, to_minute: int) -> list[Rollup]:
        """Rows of minutes in [from_minute, to_minute), in order of minute."""
        found: list[Rollup] = []
        for day in self._files.days:
            if day * 1440 < to_minute and (day + 1) * 1440 > from_minute:
                with self._reader(day) as connection:
                    found += [
                        Rollup(*row)
                        for row in connection.execute(
                            "SELECT * FROM rollup WHERE minute >= ? AND minute < ?", (from_minute, to_minute)
                        )
                    ]
        return found

    def rollup_sums(
        self, from_minute: int, to_minute: int, accounts: Collection[int] | None = None
    ) -> dict[int, int]:
        """state -> parts over minutes in [from_minute, to_minute), of some accounts or of all (None)."""
        sums: Counter[int] = Counter()
        mine = "" if accounts is None else " AND account IN (SELECT value FROM json_each(?3))"
        values: tuple[object, ...] = (from_minute, to_minute)
        if accounts is not None:
            values += (json.dumps(sorted(accounts)),)
        for day in self._files.days:
            if day * 1440 < to_minute and (day + 1) * 1440 > from_minute:
                with self._reader(day) as connection:
                    for state, parts in connection.execute(
                        f"SELECT state, sum(parts) FROM rollup WHERE minute >= ?1 AND minute < ?2{mine}"
                        " GROUP BY state",
                        values,
                    ):
                        sums[state] += parts
        return dict(sums)

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

    def message_states(self, ranges: Sequence[tuple[int, int]]) -> Counter[tuple[int, bool]]:
        """Messages whose parts lie in ranges of ids (both ends included): (state, whether a carrier had taken
        the part that decides it, told of FAILED only) -> count. On no carrier (tests) they count as taken.

        A message is delivered when all of its parts are; else the first part that failed decides, or, while
        none has, the one that is least far. 1.5 us a part.
        """
        counts: Counter[tuple[int, bool]] = Counter()
        for first, last in ranges:
            for day in range(id_day(first), id_day(last) + 1):
                if day not in self._files.days:
                    continue
                low, high = max(first, first_id_of(day)), min(last, first_id_of(day + 1) - 1)
                with self._reader(day) as connection:
                    for state, taken, count in connection.execute(_message_states_sql(day), (low, high)):
                        counts[state, bool(taken)] += count
        return counts

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

    def verify(self, user_of_account: Mapping[int, int] | None = None) -> list[str]:
        """Every contradiction found in the files; [] is as it must be. Reads everything."""
        problems: list[str] = []
        for day in self.days():
            name = name_of_day(day)
            with self._reader(day) as connection:
                problems += [f"{name}: {problem}" for problem in verify_day(connection, day)]
            kept_rollups = [r for r in self.rollups(day * 1440, (day + 1) * 1440) if r.parts]
            if self.recount_rollups(day) != kept_rollups:
                problems.append(f"{name}: roll-ups differ from a recount (I17)")
            if user_of_account is not None:
                counted = {u: v for u, v in self.recount_usage(day, user_of_account).items() if v != (0, 0)}
                kept = {u: v for u, v in self.usage(day).items() if v != (0, 0)}
                problems += [
                    f"{name}: usage of user {user}, (reserved, used): {kept.get(user)} is kept,"
                    f" {counted.get(user)} a recount finds (I7)"
                    for user in sorted(counted.keys() | kept.keys())
                    if counted.get(user) != kept.get(user)
                ]
        return problems


def _message_states_sql(day: int) -> str:
    """(state, taken, count) of the messages whose parts have ids from ? to ?."""
    accepted = accepted_sql(day)
    # SQLite takes the other columns from the row that has the lowest `rank`: failed by time, open by state, last
    # what was delivered.
    return f"""
        WITH s AS (
          SELECT p.id - p.part_no + 1 AS head,
            CASE WHEN o.state IS NOT NULL THEN o.state WHEN {accepted} THEN {int(State.SENT)} ELSE p.state END state,
            CASE WHEN o.state = {int(State.FAILED)} THEN p.carrier = 0 OR {accepted} ELSE 0 END taken, o.done_at
          FROM part p LEFT JOIN outcome o ON o.part_id = p.id WHERE p.id BETWEEN ? AND ?),
        m AS (
          SELECT state, taken, min(CASE WHEN state = {int(State.DELIVERED)} THEN {1 << 61}
            WHEN state < {int(State.DELIVERED)} THEN {1 << 60} + state ELSE done_at END) rank
          FROM s GROUP BY head)
        SELECT state, taken, count(*) FROM m GROUP BY 1, 2"""
