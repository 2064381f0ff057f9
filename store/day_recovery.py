"""From a day file as a crash left it to one in which nothing is young: what lies behind the marks is indexed.

Little is behind them: half a minute of traffic, unless `maintain` was not called. A million parts there take
some two seconds; a million indexed ones are only counted.
"""

import sqlite3
from array import array
from collections.abc import Iterable, Mapping, Sequence

from store import day_schema, day_sql
from store.day_file import DayFile
from store.model import State
from store.part_rows import accepted_sql
from store.port import QueueKey, Recovery


def index_open_parts(file: DayFile) -> None:
    """Index every open part behind the mark, and note which of the indexed ones were sent since."""
    with file.transaction() as connection:
        connection.execute(
            f"UPDATE open_part AS p SET state = {int(State.SENT)}"  # noqa: S608 - numbers of ours
            f" WHERE state != {int(State.SENT)} AND {accepted_sql(file.day)}"
        )
        newest = file.newest_part()
        if newest > file.part_mark:
            connection.execute(
                "INSERT OR IGNORE INTO open_part"  # noqa: S608 - numbers of ours
                " SELECT id, account, carrier, lane, sms_type, part_no = 1,"
                f" CASE WHEN {accepted_sql(file.day)} THEN {int(State.SENT)} ELSE state END,"
                f" CASE WHEN state = {int(State.SCHEDULED)} THEN deliver_at ELSE expires_at END"
                " FROM part p WHERE id > ? AND NOT EXISTS(SELECT 1 FROM outcome o WHERE o.part_id = p.id)",
                (file.part_mark,),
            )
            file.set_mark(day_schema.PART_THROUGH, newest)
    file.part_mark = max(file.part_mark, newest)


def index_pending_events(files: Sequence[DayFile]) -> int:
    """Index every undelivered event behind the marks, whichever file its delivery was written to; the
    highest event id there is."""
    behind = {file.day: _events_behind_mark(file) for file in files}
    gone = [pair for file in files for pair in _delivered_behind_mark(file)]
    done = {event for _, event in gone}
    newest = max((event for events in behind.values() for event in events), default=0)
    newest = max([newest, *(file.event_mark for file in files)])
    for file in files:
        pending = [(account, event) for event, account in behind[file.day].items() if event not in done]
        with file.transaction() as connection:
            if file.old_events:
                file.take_old_events(gone)
            day_sql.INSERT_OPEN_EVENTS.run(connection, sorted(pending))
            if behind[file.day] or file.delivered_seq > file.delivered_mark:
                file.set_mark(day_schema.EVENT_THROUGH, newest)
                file.set_mark(day_schema.DELIVERED_THROUGH, file.delivered_seq)
        file.event_mark = newest
        file.delivered_mark = file.delivered_seq
        file.old_events.clear()
        file.old_events.update(file.count_old_events())
    return newest


def _events_behind_mark(file: DayFile) -> Mapping[int, int]:
    """event id -> account, delivered or not."""
    return dict(
        file.connection.execute(
            "SELECT id, account FROM receipt WHERE id > ?1 AND event & 1"
            " UNION ALL SELECT id, account FROM inbound WHERE id > ?1 AND event & 1",
            (file.event_mark,),
        )
    )


def _delivered_behind_mark(file: DayFile) -> Iterable[tuple[int, int]]:
    """(account, event id) of the deliveries since the mark."""
    for account, packed in file.connection.execute(
        "SELECT account, event_ids FROM delivered WHERE seq > ? AND done = 1", (file.delivered_mark,)
    ).fetchall():
        ids = array("q")
        ids.frombytes(packed)
        for event in ids:
            yield account, event


def count_open(connection: sqlite3.Connection, recovery: Recovery) -> None:
    """Add what is open in one file to the report."""
    for carrier, lane, account, count in connection.execute(
        "SELECT carrier, lane, account, count(*) FROM open_part WHERE state = 3 GROUP BY 1, 2, 3"
    ):
        key = QueueKey(carrier, lane, account)
        recovery.queued[key] = recovery.queued.get(key, 0) + count
        recovery.open_parts[account] = recovery.open_parts.get(account, 0) + count
    for account, state, count in connection.execute(
        "SELECT account, state, count(*) FROM open_part WHERE state != 3 GROUP BY 1, 2"
    ):
        recovery.open_parts[account] = recovery.open_parts.get(account, 0) + count
        if state == State.SENT:
            recovery.awaiting_receipt += count
        elif state == State.CLAIMED:
            recovery.claimed += count
    recovery.parked += connection.execute("SELECT count(*) FROM parked").fetchone()[0]
