"""What the files of a data directory say, read from a copy: whole parts, attempts, parked receipts, their proofs."""

import shutil
import sqlite3
from array import array
from collections import Counter
from pathlib import Path

import msgspec

from store.config_db import ConfigStore
from store.day_files import day_of_name
from store.day_schema import ATTEMPT_BITS, first_id_of
from store.model import Part
from store.part_rows import part_sql
from store.port import StoreOptions
from store.traffic import SqliteStore

INTEGRITY_OK = [("ok",)]
NEVER_GIVEN = "4000000000"  # the id that a simulated carrier's `unknown_receipts` name


class Stored(msgspec.Struct):
    """Everything of one data directory that the laws are about."""

    parts: dict[int, list[Part]] = {}  # by destination, in order of id
    attempts: Counter[int] = msgspec.field(default_factory=Counter)  # part id -> submit_sm that are recorded
    accepted_attempts: Counter[int] = msgspec.field(default_factory=Counter)  # part id -> answered with ROK
    tried_again: set[int] = (
        set()
    )  # destinations of which a receipt was refused for now, or not answered in time
    parked: list[int] = []  # destinations of receipts that match nothing
    problems: list[str] = []


def copy_of(data: Path, scratch: Path) -> Path:
    """The data directory's files as they are now, to be opened without touching them."""
    shutil.rmtree(scratch, ignore_errors=True)
    ignored = shutil.ignore_patterns("*.sock", "*-shm", "ballast")
    shutil.copytree(data, scratch, ignore=ignored)
    return scratch


def day_paths(data: Path) -> list[tuple[int, Path]]:
    """(day, file) of every day file."""
    found = [(day_of_name(path.stem), path) for path in sorted((data / "days").glob("????-??-??.db"))]
    return [(day, path) for day, path in found if day is not None]


def stored_destinations(data: Path, after_id: int) -> dict[int, int]:
    """part id -> destination of the parts above an id, in a copied directory."""
    found: dict[int, int] = {}
    for _, path in day_paths(data):
        connection = sqlite3.connect(path)
        try:
            found |= dict(
                connection.execute("SELECT id, dest FROM part WHERE id > ?", (after_id,)).fetchall()
            )
        finally:
            connection.close()
    return found


def read_stored(data: Path) -> Stored:
    """Everything, from a copied directory (which this opens as a daemon would)."""
    stored = Stored()
    for day, path in day_paths(data):
        _read_day(stored, day, path)
    stored.problems += [f"set aside as damaged: {path.name}" for path in (data / "days").glob("*.damaged*")]
    with ConfigStore.open(data) as configuration:
        user_of = {account.id: account.user for account in configuration.directory().accounts.values()}
    store = SqliteStore.open(
        data,
        now_ms=(max(day for day, _ in day_paths(data))) * 86_400_000,
        options=StoreOptions(ballast_octets=0),
    )
    try:
        store.recover()
        stored.problems += store.verify(user_of)
    finally:
        store.close()
    return stored


def _read_day(stored: Stored, day: int, path: Path) -> None:
    connection = sqlite3.connect(path)
    try:
        if connection.execute("PRAGMA integrity_check").fetchall() != INTEGRITY_OK:
            stored.problems.append(f"{path.name} is damaged (P15)")
        for row in connection.execute(part_sql(day, "ORDER BY p.id")):
            part = Part(*row)
            stored.parts.setdefault(part.dest, []).append(part)
        for key, status in connection.execute("SELECT key, status FROM attempt"):
            part_id = (key >> ATTEMPT_BITS) + first_id_of(day)
            stored.attempts[part_id] += 1
            if status == 0:
                stored.accepted_attempts[part_id] += 1
        tries: set[int] = set()
        for (event_ids,) in connection.execute("SELECT event_ids FROM delivered WHERE done = 0"):
            tries.update(array("q", event_ids))
        told = connection.execute("SELECT r.id, p.dest FROM receipt r JOIN part p ON p.id = r.part_id")
        stored.tried_again |= {dest for receipt_id, dest in told if receipt_id in tries}
        sql = "SELECT dest FROM parked WHERE smsc_message_id != ?"
        stored.parked += [row[0] for row in connection.execute(sql, (NEVER_GIVEN,))]
    finally:
        connection.close()
