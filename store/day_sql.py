"""The SQL that writes a day file, many rows a statement."""

from store.bulk import Bulk, row_of, row_without
from store.day_schema import PART_COLUMNS, attempt_key_sql
from store.model import Part

PART_FIELDS = Part.__struct_fields__
IDS_A_STATEMENT = 192

# -- what passes through --------------------------------------------------------------------------

INSERT_PARTS = Bulk(
    "INSERT INTO part VALUES ",
    row_without(len(PART_FIELDS), {at for at, f in enumerate(PART_FIELDS) if f not in PART_COLUMNS}),
)
INSERT_RECEIPTS = Bulk("INSERT INTO receipt VALUES ", row_of(10))
INSERT_OUTCOMES = Bulk("INSERT INTO outcome(part_id, state, done_at, error, receipt) VALUES ", row_of(5))
INSERT_EXTRA_RECEIPTS = Bulk("INSERT INTO extra_receipt VALUES ", row_of(2))
INSERT_INBOUND = Bulk("INSERT INTO inbound VALUES ", row_of(15))
INSERT_NOTICES = Bulk("INSERT INTO notice VALUES ", row_of(5))
INSERT_EVENT_LOG = Bulk("INSERT INTO event_log VALUES ", row_of(4))
INSERT_PARKED = Bulk("INSERT INTO parked VALUES ", row_of(10))
DELETE_PARKED = Bulk("DELETE FROM parked WHERE id IN (VALUES ", "(?)", ")", rows_max=IDS_A_STATEMENT)
INSERT_DELIVERED = Bulk(
    "INSERT INTO delivered(account, bind, at, status, event_ids, done) VALUES ", row_of(6)
)
REMEMBER_SMSC_IDS = Bulk("INSERT OR IGNORE INTO carrier_map VALUES ", row_of(3))


def insert_attempts(first_id: int) -> Bulk:
    """An attempt may be told twice (an answer after its timeout): the later telling stands."""
    return Bulk("INSERT OR REPLACE INTO attempt VALUES ", f"({attempt_key_sql(first_id)},?,?,?,?,?,?,?,?)")


# -- what a part is, while it waits ---------------------------------------------------------------

MOVE_PARTS = Bulk(
    "WITH v(id, state, carrier) AS (VALUES ",
    row_of(3),
    ") UPDATE part SET state = v.state, carrier = v.carrier FROM v WHERE part.id = v.id",
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

# -- what is open and old -------------------------------------------------------------------------

INSERT_OPEN_PARTS = Bulk("INSERT INTO open_part VALUES ", row_of(8))
INDEX_UNSENT = Bulk(
    "INSERT INTO open_part SELECT id, account, carrier, lane, sms_type, part_no = 1, state, expires_at"
    " FROM part WHERE id IN (VALUES ",
    "(?)",
    ")",
    rows_max=IDS_A_STATEMENT,
)
INDEX_SENT = Bulk(
    "INSERT INTO open_part SELECT id, account, carrier, lane, sms_type, part_no = 1, 5, expires_at"
    " FROM part WHERE id IN (VALUES ",
    "(?)",
    ")",
    rows_max=IDS_A_STATEMENT,
)
MARK_SENT = Bulk("UPDATE open_part SET state = 5 WHERE id IN (VALUES ", "(?)", ")", rows_max=IDS_A_STATEMENT)
MOVE_OPEN_PARTS = Bulk(
    "WITH v(id, state, carrier) AS (VALUES ",
    row_of(3),
    ") UPDATE open_part SET state = v.state, carrier = v.carrier,"
    " due_at = (SELECT CASE WHEN v.state = 2 THEN p.deliver_at ELSE p.expires_at END"
    " FROM part p WHERE p.id = v.id) FROM v WHERE open_part.id = v.id",
)
OPEN_PARTS = Bulk(
    "SELECT id, account, carrier, lane, sms_type, first, state FROM open_part WHERE id IN (VALUES ",
    "(?)",
    ")",
    rows_max=IDS_A_STATEMENT,
)
TAKE_OPEN_PARTS = Bulk(
    "DELETE FROM open_part WHERE id IN (VALUES ",
    "(?)",
    ") RETURNING id, account, carrier, lane, sms_type, first, state",
    rows_max=IDS_A_STATEMENT,
)
INSERT_OPEN_EVENTS = Bulk("INSERT OR IGNORE INTO open_event VALUES ", row_of(2), rows_max=IDS_A_STATEMENT)
EVENTS_HERE = Bulk(
    "WITH v(id) AS (VALUES ",
    "(?)",
    ") SELECT account, id FROM receipt WHERE id IN (SELECT id FROM v)"
    " UNION ALL SELECT account, id FROM inbound WHERE id IN (SELECT id FROM v)",
    rows_max=IDS_A_STATEMENT,
)
TAKE_OPEN_EVENTS = Bulk(
    "WITH v(account, id) AS (VALUES ",
    row_of(2),
    ") DELETE FROM open_event WHERE (account, id) IN (SELECT account, id FROM v) RETURNING account, id",
    rows_max=IDS_A_STATEMENT,
)

# -- figures --------------------------------------------------------------------------------------

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
