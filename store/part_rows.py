"""SQL that reads parts, attempts and deliveries of a day file back as the rows of `store/model.py`."""
# ruff: noqa: S608 - names and numbers put into SQL are ours; every value is a parameter

from array import array
from typing import Any

from store.day_schema import ATTEMPT_BITS, first_id_of
from store.model import NO_ERROR, Attempt, Delivered, Part, State

ATTEMPT_MASK = (1 << ATTEMPT_BITS) - 1
ATTEMPT_COLUMNS = "key, carrier, bind, sequence_number, sent_at, answered_at, status, smsc_message_id, pdu"


def accepted_sql(day: int) -> str:
    """SQL: whether a carrier accepted part `p`, which makes it SENT."""
    low = f"((p.id - {first_id_of(day)}) << {ATTEMPT_BITS})"
    return f"EXISTS(SELECT 1 FROM attempt a WHERE a.key BETWEEN {low} AND {low} + {ATTEMPT_MASK} AND a.status = 0)"


def part_sql(day: int, where: str) -> str:
    """SELECT of whole `Part` rows of table `part p`.

    State, done_at and error come from the outcome where there is one.
    """
    derived = {
        "state": f"CASE WHEN o.state IS NOT NULL THEN o.state WHEN {accepted_sql(day)}"
        f" THEN {int(State.SENT)} ELSE p.state END",
        "done_at": "coalesce(o.done_at, p.accepted_at)",
        "error": f"coalesce(o.error, {NO_ERROR})",
    }
    columns = ", ".join(derived.get(name, f"p.{name}") for name in Part.__struct_fields__)
    return f"SELECT {columns} FROM part p LEFT JOIN outcome o ON o.part_id = p.id {where}"


def attempt_of_row(day: int, row: tuple[Any, ...]) -> Attempt:
    return Attempt((row[0] >> ATTEMPT_BITS) + first_id_of(day), row[0] & ATTEMPT_MASK, *row[1:])


def attempt_keys(day: int, part_id: int) -> tuple[int, int]:
    """Lowest and highest key that attempts of a part can have."""
    low = (part_id - first_id_of(day)) << ATTEMPT_BITS
    return low, low + ATTEMPT_MASK


def delivered_of_row(row: tuple[Any, ...]) -> Delivered:
    account, bind, at, status, packed, done = row
    ids = array("q")
    ids.frombytes(packed)
    return Delivered(account, bind, at, status, list(ids), bool(done))
