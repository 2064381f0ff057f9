"""SQL that reads parts, attempts and receipts of a day file back as the rows of `store/model.py`."""

# ruff: noqa: S608 - names and numbers put into SQL are ours; every value is a parameter

from array import array
from typing import Any

from store.day_schema import ATTEMPT_BITS, first_id_of
from store.model import NO_ERROR, Attempt, Delivered, Part, State

ATTEMPT_MASK = (1 << ATTEMPT_BITS) - 1


def part_sql(day: int, where: str, *, source: str = "part p") -> str:
    """SELECT of whole `Part` rows: state, done_at and error come from the outcome where there is one.

    `source` names what follows FROM and has an alias `p` for the part table.
    """
    first = first_id_of(day)
    accepted = (
        f"EXISTS(SELECT 1 FROM attempt a WHERE a.key BETWEEN (p.id - {first}) << {ATTEMPT_BITS}"
        f" AND ((p.id - {first}) << {ATTEMPT_BITS}) + {ATTEMPT_MASK} AND a.status = 0)"
    )
    columns = []
    for name in Part.__struct_fields__:
        match name:
            case "state":
                columns.append(
                    f"CASE WHEN o.state IS NOT NULL THEN o.state WHEN {accepted} THEN {int(State.SENT)}"
                    " ELSE p.state END"
                )
            case "done_at":
                columns.append("coalesce(o.done_at, p.accepted_at)")
            case "error":
                columns.append(f"coalesce(o.error, {NO_ERROR})")
            case _:
                columns.append(f"p.{name}")
    return f"SELECT {', '.join(columns)} FROM {source} LEFT JOIN outcome o ON o.part_id = p.id {where}"


ATTEMPT_COLUMNS = "key, carrier, bind, sequence_number, sent_at, answered_at, status, smsc_message_id, pdu"


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
