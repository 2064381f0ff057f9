"""What became of a task's messages, counted by the store: a million of them without one leaving it."""
# ruff: noqa: S608 - names and numbers put into SQL are ours; every value is a parameter

from store.ids import id_day
from store.model import State
from store.part_rows import accepted_sql
from store.reads import DayReads


class TaskReads(DayReads):
    """The reads of tasks."""

    def message_figures(
        self, task: int, first_id: int, last_id: int
    ) -> dict[tuple[int, int], tuple[int, int]]:
        """(state, error) -> (messages, parts that a carrier accepted) of a task's messages within a range of ids.

        A message is as bad as its worst part, open while one of its parts is, and delivered when all are.
        """
        found: dict[tuple[int, int], tuple[int, int]] = {}
        for day in range(id_day(first_id), id_day(last_id) + 1):
            if day not in self._files.days:
                continue
            state = (
                f"CASE WHEN o.state IS NOT NULL THEN o.state WHEN {accepted_sql(day)}"
                f" THEN {int(State.SENT)} ELSE p.state END"
            )
            # Failed ends stand above all, open states above delivered: the highest of its parts is the message's.
            end = int(State.DELIVERED)
            rank = f"CASE WHEN s = {end} THEN 0 WHEN s > {end} THEN s + 100 ELSE s END"
            query = (
                f"SELECT CASE r WHEN 0 THEN {end} ELSE r % 100 END, e, count(*), sum(a) FROM"
                f" (SELECT max({rank}) AS r, max(e) AS e, sum(a) AS a FROM"
                f" (SELECT p.id - p.part_no AS head, {state} AS s, coalesce(o.error, 0) AS e,"
                f" {accepted_sql(day)} AS a FROM part p LEFT JOIN outcome o ON o.part_id = p.id"
                " WHERE p.id BETWEEN ? AND ? AND p.task = ?) GROUP BY head) GROUP BY 1, 2"
            )
            with self._reader(day) as connection:
                for state_, error, messages, accepted in connection.execute(query, (first_id, last_id, task)):
                    before = found.get((state_, error), (0, 0))
                    found[state_, error] = (before[0] + messages, before[1] + accepted)
        return found

    def message_carriers(
        self, task: int, first_id: int, last_id: int
    ) -> dict[int, tuple[int, int, int, int]]:
        """carrier -> (messages, accepted, delivered, failed) of a task's messages within a range of ids.

        A message is counted where its first part is.
        """
        found: dict[int, tuple[int, int, int, int]] = {}
        for day in range(id_day(first_id), id_day(last_id) + 1):
            if day not in self._files.days:
                continue
            end = int(State.DELIVERED)
            query = (
                f"SELECT p.carrier, count(*), sum({accepted_sql(day)}), ifnull(sum(o.state = {end}), 0),"
                f" ifnull(sum(o.state > {end} AND o.state <> {int(State.CANCELLED)}), 0)"
                " FROM part p LEFT JOIN outcome o ON o.part_id = p.id"
                " WHERE p.id BETWEEN ? AND ? AND p.task = ? AND p.part_no = 1 GROUP BY 1"
            )
            with self._reader(day) as connection:
                for carrier, *counts in connection.execute(query, (first_id, last_id, task)):
                    before = found.get(carrier, (0, 0, 0, 0))
                    found[carrier] = tuple(map(sum, zip(before, counts, strict=True)))  # type: ignore[assignment]
        return found

    def numbers_in_states(self, task: int, first_id: int, last_id: int, states: tuple[int, ...]) -> list[int]:
        """Destinations of a task's messages within a range of ids of which a part has ended in these states."""
        found: dict[int, None] = {}
        marks = ", ".join("?" * len(states))
        for day in range(id_day(first_id), id_day(last_id) + 1):
            if day not in self._files.days:
                continue
            with self._reader(day) as connection:
                rows = connection.execute(
                    "SELECT p.dest FROM part p JOIN outcome o ON o.part_id = p.id"
                    f" WHERE p.id BETWEEN ? AND ? AND p.task = ? AND o.state IN ({marks}) ORDER BY p.id",
                    (first_id, last_id, task, *states),
                )
                found.update(dict.fromkeys(row[0] for row in rows))
        return list(found)
