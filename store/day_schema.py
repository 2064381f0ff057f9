"""The tables of a day file. What passes through quickly is only ever appended.

    part       one row an SMS segment, key = its id: append
    attempt    one row a submit_sm, key = (part, n) packed: append, nearly
    receipt    one row a delivery receipt, key = its own id: append
    outcome    one row a final state, key = the part: nearly in order; its primary key is promise P5
    delivered  one row a batch of events handed to a customer: append
  event_log  one row a round and account that has readers with a cursor: the ids of its events, packed

No row above is touched again on the ordinary way of a message, and none has a second index. `open_part` and
`open_event` index what stayed open for longer than half a minute (`mark` says up to which id); the younger
ones are known in memory and found again after a crash by reading the rows behind the mark.
"""

import sqlite3

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from store.ids import NODE_BITS, SECOND_BITS, SECONDS_A_DAY
from store.model import Part

ATTEMPT_BITS = 12
ATTEMPTS_A_PART_MAX = (1 << ATTEMPT_BITS) - 1  # retries every 15 minutes for 72 hours are 288

# Columns of table `part`: those of `Part` but the two that `outcome` holds once it is final.
PART_COLUMNS = tuple(f for f in Part.__struct_fields__ if f not in ("done_at", "error"))

TABLES = """
CREATE TABLE part(
  id INTEGER PRIMARY KEY, account INTEGER, carrier INTEGER, lane INTEGER, state INTEGER,
  part_no INTEGER, parts INTEGER, dest INTEGER, source BLOB, sms_type INTEGER, task INTEGER,
  route INTEGER, registered_delivery INTEGER, data_coding INTEGER, accepted_at INTEGER,
  deliver_at INTEGER, expires_at INTEGER, flags INTEGER, body BLOB, detail BLOB);
CREATE TABLE attempt(
  key INTEGER PRIMARY KEY, carrier INTEGER, bind INTEGER, sequence_number INTEGER, sent_at INTEGER,
  answered_at INTEGER, status INTEGER, smsc_message_id TEXT, pdu BLOB);
CREATE TABLE receipt(
  id INTEGER PRIMARY KEY, part_id INTEGER, account INTEGER, carrier INTEGER, bind INTEGER,
  received_at INTEGER, message_state INTEGER, error INTEGER, event INTEGER, raw BLOB);
CREATE TABLE outcome(
  part_id INTEGER PRIMARY KEY, state INTEGER, done_at INTEGER, error INTEGER, receipt INTEGER);
CREATE TABLE extra_receipt(
  part_id INTEGER, receipt INTEGER, PRIMARY KEY(part_id, receipt)) WITHOUT ROWID;
CREATE TABLE inbound(
  id INTEGER PRIMARY KEY, account INTEGER, carrier INTEGER, received_at INTEGER, source BLOB, dest BLOB,
  data_coding INTEGER, esm_class INTEGER, reference INTEGER, part_no INTEGER, parts INTEGER,
  answers INTEGER, event INTEGER, body BLOB, text TEXT);
CREATE TABLE parked(
  id INTEGER PRIMARY KEY, carrier INTEGER, bind INTEGER, received_at INTEGER, smsc_message_id TEXT,
  dest INTEGER, message_state INTEGER, error INTEGER, raw BLOB, reason TEXT);
CREATE INDEX parked_by_smsc_id ON parked(carrier, smsc_message_id);
CREATE TABLE delivered(
  seq INTEGER PRIMARY KEY, account INTEGER, bind TEXT, at INTEGER, status INTEGER, event_ids BLOB,
  done INTEGER);
CREATE TABLE usage(user INTEGER PRIMARY KEY, reserved INTEGER, used INTEGER);
CREATE TABLE rollup(
  minute INTEGER, account INTEGER, carrier INTEGER, sms_type INTEGER, state INTEGER, messages INTEGER,
  parts INTEGER, PRIMARY KEY(minute, account, carrier, sms_type, state)) WITHOUT ROWID;
CREATE TABLE open_part(
  id INTEGER PRIMARY KEY, account INTEGER, carrier INTEGER, lane INTEGER, sms_type INTEGER,
  first INTEGER, state INTEGER, due_at INTEGER);
CREATE INDEX open_part_queued ON open_part(carrier, lane, account, id) WHERE state = 3;
CREATE INDEX open_part_others ON open_part(state, due_at, id) WHERE state != 3;
CREATE TABLE open_event(account INTEGER, id INTEGER, PRIMARY KEY(account, id)) WITHOUT ROWID;
CREATE TABLE carrier_map(
  carrier INTEGER, smsc_message_id TEXT, part_id INTEGER,
  PRIMARY KEY(carrier, smsc_message_id, part_id)) WITHOUT ROWID;
CREATE TABLE mark(name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
"""

# Names in table `mark`.
PART_THROUGH = "part_through"  # parts up to this id are final or in open_part
EVENT_THROUGH = "event_through"  # events up to this id are delivered or in open_event
DELIVERED_THROUGH = "delivered_through"  # rows of `delivered` up to this seq speak of such events only
SEALED = "sealed"  # unix ms; 0: not sealed
LOGGED_THROUGH = "logged_through"  # the highest event id in event_log

day_migrations = Migrations("day")


@day_migrations()
def create_tables(db: Database) -> None:
    """Tables of 0.1."""
    for statement in TABLES.strip().split(";\n"):
        db.execute(statement)
    db.table("mark").insert_all(
        {"name": name, "value": 0} for name in (PART_THROUGH, EVENT_THROUGH, DELIVERED_THROUGH, SEALED)
    )


@day_migrations()
def add_event_log(db: Database) -> None:
    """The log of events for readers with a cursor."""
    db.execute(
        "CREATE TABLE event_log(account INTEGER, first INTEGER, last INTEGER, ids BLOB,"
        " PRIMARY KEY(account, first)) WITHOUT ROWID"
    )
    db.execute(
        "CREATE TABLE notice(id INTEGER PRIMARY KEY, account INTEGER, at INTEGER, kind TEXT, data BLOB)"
    )
    db.table("mark").insert({"name": LOGGED_THROUGH, "value": 0})


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a day file's tables up to date."""
    day_migrations.apply(Database(connection, execute_plugins=False, recursive_triggers=False))


def first_id_of(day: int) -> int:
    """The lowest id that can be born on a day (days since 1970)."""
    return day * SECONDS_A_DAY << SECOND_BITS


def attempt_key_sql(first_id: int, part_id: str = "?", n: str = "?") -> str:
    """SQL for the key of table `attempt`: 47 bits of the part's id within its day, 12 bits of n."""
    assert SECOND_BITS + 17 + ATTEMPT_BITS <= 63 and NODE_BITS <= SECOND_BITS
    return f"(({part_id}-{first_id})*{1 << ATTEMPT_BITS}+{n})"
