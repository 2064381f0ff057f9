"""Figures: roll-ups and usage as kept, and recounted from the rows."""
# ruff: noqa: S608 - names and numbers put into SQL are ours; every value is a parameter

from collections.abc import Mapping

from store.day_files import name_of_day
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
