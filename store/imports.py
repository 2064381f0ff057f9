"""Imports of people, words, numbers and contacts from files: what was uploaded, how it is read, how far it is.

The row is the job: it survives a restart. Judged rows lie in the import's own folder (`store/import_file.py`);
nothing of them is anywhere else before `begin_writing`, which compares and sets, so that two clicks are one.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from store.files import make_data_directory
from store.refusals import Refused
from store.tasks import Counted

if TYPE_CHECKING:
    from store.config_db import Writing

IMPORT_TABLES = (
    """CREATE TABLE file_import (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id INTEGER NOT NULL REFERENCES user(id),
        kind TEXT NOT NULL,
        file TEXT NOT NULL,
        options TEXT NOT NULL CHECK (json_valid(options)),
        input TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(input)),
        state TEXT NOT NULL DEFAULT 'binding' CHECK (state IN
            ('binding', 'judging', 'ready', 'writing', 'done', 'cancelled')),
        total INTEGER NOT NULL DEFAULT 0,
        valid INTEGER NOT NULL DEFAULT 0,
        written INTEGER NOT NULL DEFAULT 0,
        counts TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(counts)),
        error TEXT NOT NULL DEFAULT '',
        created_at INTEGER NOT NULL,
        judged_at INTEGER NOT NULL DEFAULT 0,
        ended_at INTEGER NOT NULL DEFAULT 0,
        authority TEXT NOT NULL DEFAULT '',
        job INTEGER NOT NULL DEFAULT 0,
        secret BLOB
    ) STRICT""",
    "CREATE INDEX file_import_of_user ON file_import(user_id, id)",
)
FOLDER = "imports"
KEPT_MS = 7 * 86_400_000  # uploads and judged rows, whatever became of them


class ImportInput(msgspec.Struct, frozen=True):
    """How the file is read, and which column holds what; empty is as detected."""

    encoding: str = ""
    delimiter: str = ""
    sheet: str = ""
    header: bool | None = None
    columns: Mapping[str, int] = {}  # by field; a field that is not there has no column


class ImportRow(msgspec.Struct, frozen=True):
    """One import. `written` rows of `valid` are in the tables; with `has_secret` passwords wait to be fetched."""

    id: int
    user: int
    kind: str
    file: str
    options_json: str
    input_json: str
    state: str
    total: int
    valid: int
    written: int
    counts_json: str
    error: str
    created_at: int
    judged_at: int
    ended_at: int
    authority: str  # fingerprint of what its owner might write to when the rows were judged
    job: int  # that writes it (`store/jobs.py`), 0 before
    has_secret: int

    @property
    def options(self) -> dict[str, str]:
        return msgspec.json.decode(self.options_json, type=dict[str, str])

    @property
    def input(self) -> ImportInput:
        return msgspec.json.decode(self.input_json, type=ImportInput)

    @property
    def classes(self) -> list[Counted]:
        return msgspec.json.decode(self.counts_json, type=list[Counted])


_COLUMNS = (
    "id, user_id, kind, file, options, input, state, total, valid, written, counts, error, created_at,"
    " judged_at, ended_at, authority, job, secret IS NOT NULL"
)


def folder_of(data: Path, identifier: int) -> Path:
    """The import's private folder."""
    return data / FOLDER / str(identifier)


def make_folder(data: Path, identifier: int) -> Path:
    """The folder, made."""
    folder = folder_of(data, identifier)
    make_data_directory(folder.parent)
    make_data_directory(folder)
    return folder


def create_import(transaction: "Writing", user: int, kind: str, file: str, options: Mapping[str, str]) -> int:
    """A new import whose columns are to be bound; gives its id."""
    return transaction.insert(
        "INSERT INTO file_import (user_id, kind, file, options, created_at) VALUES (?, ?, ?, ?, ?)",
        (user, kind, file, msgspec.json.encode(options).decode(), transaction.at),
    )


def read_import(connection: sqlite3.Connection, user: int, identifier: int) -> ImportRow | None:
    """One import of a user's; None if it is not theirs, or was never made."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM file_import WHERE id = ? AND user_id = ?",  # noqa: S608
        (identifier, user),
    ).fetchone()
    return ImportRow(*row) if row else None


def move_import(
    transaction: "Writing", identifier: int, before: Sequence[str], state: str, **columns: Any
) -> None:
    """Compare and set: the state, and whatever goes with it. Raises Refused when the state is another by now."""
    names = "".join(f", {name} = ?" for name in columns)
    marks = ", ".join("?" * len(before))
    done = transaction.run(
        f"UPDATE file_import SET state = ?{names} WHERE id = ? AND state IN ({marks})",  # noqa: S608
        (state, *columns.values(), identifier, *before),
    )
    if not done.rowcount:
        raise Refused("import-state", "This import has gone on meanwhile.")


def bind_import(
    transaction: "Writing", identifier: int, read: ImportInput, state: str, authority: str = ""
) -> None:
    """Say how the file is read; `state` is `binding` to look again, `judging` to judge every row."""
    move_import(
        transaction, identifier, ("binding", "judging", "ready"), state,
        input=msgspec.json.encode(read).decode(), error="", authority=authority,
    )  # fmt: skip


def set_judged(
    transaction: "Writing", identifier: int, total: int, valid: int, counts: Sequence[Counted]
) -> None:
    """Every row is judged. Nothing happens when somebody has cancelled meanwhile."""
    transaction.run(
        "UPDATE file_import SET state = 'ready', total = ?, valid = ?, counts = ?, judged_at = ?"
        " WHERE id = ? AND state = 'judging'",
        (total, valid, msgspec.json.encode(counts).decode(), transaction.at, identifier),
    )


def fail_writing(transaction: "Writing", identifier: int, error: str) -> None:
    """Nothing was written: back to where it can be judged anew, with the reason."""
    move_import(transaction, identifier, ("writing",), "ready", error=error)


def end_import(
    transaction: "Writing", identifier: int, written: int, *, action: str, secret: bytes | None = None
) -> None:
    """Everything is written; one audit row says so."""
    move_import(
        transaction, identifier, ("writing",), "done",
        written=written, ended_at=transaction.at, secret=secret,
    )  # fmt: skip
    row = transaction.run("SELECT kind, file FROM file_import WHERE id = ?", (identifier,)).fetchone()
    transaction.audit(action, f"import {identifier}", kind=row[0], file=row[1], count=written)


def set_job(transaction: "Writing", identifier: int, job: int) -> None:
    """Which job writes it."""
    transaction.run("UPDATE file_import SET job = ? WHERE id = ?", (job, identifier))


def still_writing(transaction: "Writing", identifier: int) -> bool:
    """Whether nobody has cancelled since the last piece."""
    row = transaction.run("SELECT state FROM file_import WHERE id = ?", (identifier,)).fetchone()
    return bool(row and row[0] == "writing")


def set_written(transaction: "Writing", identifier: int, written: int) -> None:
    """How far the writing is, in the transaction that wrote so far: after a crash it goes on from there."""
    transaction.run("UPDATE file_import SET written = ? WHERE id = ?", (written, identifier))


def take_secret(transaction: "Writing", user: int, identifier: int) -> bytes | None:
    """What waits to be fetched, and is gone with this call."""
    row = transaction.run(
        "SELECT secret FROM file_import WHERE id = ? AND user_id = ?", (identifier, user)
    ).fetchone()
    if row is None or row[0] is None:
        return None
    transaction.run("UPDATE file_import SET secret = NULL WHERE id = ?", (identifier,))
    transaction.audit("import.passwords", f"import {identifier}", changes=False)
    return bytes(row[0])


def purge_imports(transaction: "Writing") -> None:
    """Forget what is older than it may be kept."""
    transaction.run(
        "DELETE FROM file_import WHERE created_at < ? AND state <> 'writing'", (transaction.at - KEPT_MS,)
    )


def known_imports(connection: sqlite3.Connection) -> set[str]:
    """Names of the folders of all imports that there are."""
    return {str(row[0]) for row in connection.execute("SELECT id FROM file_import")}
