"""Proofs on a day file: what must hold whatever happened (invariants I1, I2, I10 of the test plan)."""

# ruff: noqa: S608 - names and numbers put into SQL are ours; every value is a parameter

import sqlite3

from store.day_schema import ATTEMPT_BITS, PART_THROUGH, first_id_of

# (what is wrong, SQL that finds its ids). {first}: the day's first id.
LAWS = (
    (
        "a final state without its part (I1)",
        "SELECT part_id FROM outcome o WHERE NOT EXISTS(SELECT 1 FROM part p WHERE p.id = o.part_id)",
    ),
    (
        "an attempt without its part (I1)",
        f"SELECT (key >> {ATTEMPT_BITS}) + {{first}} FROM attempt a WHERE NOT EXISTS("
        f"SELECT 1 FROM part p WHERE p.id = (a.key >> {ATTEMPT_BITS}) + {{first}})",
    ),
    (
        "a receipt without its part (I9)",
        "SELECT id FROM receipt r WHERE NOT EXISTS(SELECT 1 FROM part p WHERE p.id = r.part_id)",
    ),
    ("an outcome that is not final (I2)", "SELECT part_id FROM outcome WHERE state < 10"),
    (
        "a part that is final and open (I2)",
        "SELECT q.id FROM open_part q JOIN outcome o ON o.part_id = q.id",
    ),
    (
        "a receipt that neither ended its part nor is kept as an extra one",
        "SELECT r.id FROM receipt r LEFT JOIN outcome o ON o.part_id = r.part_id AND o.receipt = r.id"
        " LEFT JOIN extra_receipt x ON x.part_id = r.part_id AND x.receipt = r.id"
        " WHERE (o.receipt IS NULL) = (x.receipt IS NULL)",
    ),
    (
        "a part of a message whose other parts are not there (I1)",
        "SELECT id FROM part p WHERE parts > 1 AND NOT EXISTS("
        "SELECT 1 FROM part f WHERE f.id = p.id - p.part_no + 1 AND f.part_no = 1 AND f.parts = p.parts)",
    ),
    (
        "an old part that is neither final nor indexed as open (I1)",
        "SELECT p.id FROM part p WHERE p.id <= (SELECT value FROM mark WHERE name = '" + PART_THROUGH + "')"
        " AND NOT EXISTS(SELECT 1 FROM outcome o WHERE o.part_id = p.id)"
        " AND NOT EXISTS(SELECT 1 FROM open_part q WHERE q.id = p.id)",
    ),
    (
        "an indexed event that is no event (I9)",
        "SELECT e.id FROM open_event e WHERE NOT EXISTS("
        "SELECT 1 FROM receipt r WHERE r.id = e.id AND r.event & 1 AND r.account = e.account)"
        " AND NOT EXISTS(SELECT 1 FROM inbound i WHERE i.id = e.id AND i.event & 1)",
    ),
    (
        "an account whose log for readers with a cursor has more or fewer events than it should (I9)",
        "SELECT account FROM (SELECT account, 1 AS n FROM receipt WHERE event & 2"
        " UNION ALL SELECT account, 1 FROM inbound WHERE event & 2"
        " UNION ALL SELECT account, 1 FROM notice"
        " UNION ALL SELECT account, -length(ids) / 8 FROM event_log) GROUP BY account HAVING sum(n) != 0",
    ),
)
SHOWN_MAX = 5


def verify_day(connection: sqlite3.Connection, day: int) -> list[str]:
    """Contradictions in a day file, each with the first few ids."""
    problems = []
    for wrong, sql in LAWS:
        sql = sql.replace("{first}", str(first_id_of(day)))
        rows = connection.execute(f"{sql} LIMIT {SHOWN_MAX}").fetchall()
        if rows:
            problems.append(f"day {day}: {wrong}: {', '.join(str(row[0]) for row in rows)}")
    return problems
