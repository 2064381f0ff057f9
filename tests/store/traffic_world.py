"""Rows for tests of the traffic store, in the smallest form, and stores whose disk can be made to fail."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from store.ids import SECOND_BITS
from store.model import NO_ERROR, Attempt, Inbound, Outcome, ParkedReceipt, Part, Receipt, State
from store.port import StoreOptions
from store.traffic import MS_A_DAY, SqliteStore

NOON_S = 20_000 * 86_400 + 43_200  # some day, at noon UTC
NOON_MS = NOON_S * 1000
TODAY = 20_000
SMALL = StoreOptions(ballast_octets=0, cache_kib=2048, disk_low_octets=0, disk_critical_octets=0)


def id_at(number: int, *, second: int = NOON_S) -> int:
    """The id of that number within a second."""
    return (second << SECOND_BITS) | number


def part(number: int = 0, **changes: Any) -> Part:
    """A queued part of account 7 on carrier 1."""
    part_id = changes.pop("id", id_at(number))
    now_ms = (part_id >> SECOND_BITS) * 1000
    values: dict[str, Any] = dict(  # noqa: C408
        id=part_id, account=7, carrier=1, lane=1, state=State.QUEUED, part_no=1, parts=1,
        dest=8_613_800_000_000 + number, source=b"10690001", sms_type=2, task=0, route=1,
        registered_delivery=1, data_coding=8, accepted_at=now_ms, deliver_at=now_ms,
        expires_at=now_ms + MS_A_DAY, done_at=now_ms, error=NO_ERROR, flags=0, body=b"body", detail=None,
    )  # fmt: skip
    return Part(**(values | changes))


def parts(count: int, *, start: int = 0, **changes: Any) -> list[Part]:
    return [part(start + n, **changes) for n in range(count)]


def attempt(of: Part | int, *, n: int = 1, status: int = 0, smsc_id: str | None = None) -> Attempt:
    part_id = of if isinstance(of, int) else of.id
    name = f"s{part_id & 0xFFFFF}" if smsc_id is None else smsc_id
    return Attempt(part_id, n, 1, 0, 100 + n, NOON_MS, NOON_MS + 5, status, name if status == 0 else "", None)


def receipt(of: Part, number: int, *, event: int = 1, message_state: int = 2) -> Receipt:
    return Receipt(
        id_at(number), of.id, of.account, of.carrier, 0, NOON_MS, message_state, NO_ERROR, event, b"raw"
    )


def outcome(of: Part, state: int = State.DELIVERED, error: int = NO_ERROR) -> Outcome:
    return Outcome(of.id, of.account, state, NOON_MS + 9, error)


def parked(number: int, smsc_id: str = "x") -> ParkedReceipt:
    return ParkedReceipt(id_at(number), 1, 0, NOON_MS, smsc_id, 0, 2, NO_ERROR, b"raw", "unknown id")


def inbound(number: int, *, account: int = 7, event: int = 1) -> Inbound:
    return Inbound(
        id_at(number), account, 1, NOON_MS, b"8613800000001", b"1069", 8, 0, -1, 1, 1, 0, event, b"b", "你好"
    )


def open_store(directory: Path, *, now_ms: int = NOON_MS, **more: Any) -> SqliteStore:
    """A recovered store with small options."""
    more.setdefault("options", SMALL)
    store = SqliteStore.open(directory, now_ms=now_ms, **more)
    store.recover()
    return store


class Failing(sqlite3.Connection):
    """A connection that raises what `fail` gives for a statement, instead of running it."""

    fail: Callable[[str], sqlite3.Error | None] = staticmethod(lambda sql: None)

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:  # type: ignore[override]
        error = type(self).fail(sql)
        if error is not None:
            raise error
        return super().execute(sql, *parameters)


def failing_connect(fail: Callable[[str], sqlite3.Error | None]) -> Callable[..., sqlite3.Connection]:
    """A `connect` for `SqliteStore.open`: its connections ask `fail` before each statement."""

    class Connection(Failing):
        pass

    Connection.fail = staticmethod(fail)

    def connect(*arguments: Any, **more: Any) -> sqlite3.Connection:
        return sqlite3.connect(*arguments, factory=Connection, **more)

    return connect


def sqlite_error(code: int, name: str, text: str) -> sqlite3.OperationalError:
    """What sqlite3 raises for a result code."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error
