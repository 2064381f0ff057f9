"""Imports, from the upload to the last row: orders for the process that reads the file, and the writing.

The dry run is a job of `admin/jobs.py`, the writing one of `admin/background.py`; the import's own row says how far it
is, so that a writing that was cut short goes on behind its last piece when the console begins anew.
"""

import hashlib
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec

from admin import passwords
from admin.background import Done, JobFailed, Kind, Run
from admin.i18n import N_
from admin.import_kinds import KINDS, ImportKind
from admin.import_rows import scope_of
from admin.jobs import Job
from admin.lists import BYTE_ORDER_MARK, csv_line, guarded
from admin.permissions import Reach, Role, reach
from admin.prepare_lines import ImportOrder, Judged
from admin.sending import delimiter_of_form
from admin.view import View
from store import imports, people_edit
from store.address_book import add_contacts
from store.config_db import Writing
from store.directory import Word
from store.files import StoreError
from store.import_file import ROWS, ImportFile
from store.imports import ImportInput, ImportRow
from store.people_edit import Profile
from store.people_list import list_groups
from store.quota import QuotaRefused
from store.refusals import Refused
from store.rules import blacklist_add, blacklist_remove
from store.rules_list import add_words

if TYPE_CHECKING:
    from admin.console import Console

PIECE_ROWS = 5_000  # of one write transaction: some tenths of a second
FRESH_MS = 15 * 60_000


def job_key(identifier: int) -> str:
    return f"import {identifier}"


def writable_groups(view: View, kind: ImportKind, connection: sqlite3.Connection) -> tuple[int, ...]:
    """Groups that this person may import into: users, or numbers for a group's blacklist."""
    if kind.key not in ("users", "blacklist"):
        return ()
    rows = list_groups(connection, view.within(kind.permission))
    if view.role == Role.USER:
        rows = [row for row in rows if row.id == view.me.group]
    return tuple(row.id for row in rows)


def may_write_list(view: View, scope: str, groups: Sequence[int]) -> bool:
    """Whether a list, as `global`, `group:2` or `type:business`, is this person's to change."""
    kind, _, key = scope.partition(":")
    if view.role == Role.SYSTEM:
        return True
    if kind == "group":
        return key.isdecimal() and int(key) in groups
    return kind == "type" and reach(view.role, "blacklist.write") > Reach.NONE


def authority(view: View, kind: ImportKind, connection: sqlite3.Connection) -> str:
    """What this person may import into, as a fingerprint: rows were judged under it, and hold only under the same."""
    groups = writable_groups(view, kind, connection)
    said = f"{view.role} {view.me.group} {groups}"
    return hashlib.sha256(said.encode()).hexdigest()


def order_for(
    view: View, connection: sqlite3.Connection, row: ImportRow, *, only_look: bool = False
) -> ImportOrder:
    """What the process that reads the file has to know."""
    kind = KINDS[row.kind]
    return ImportOrder(
        folder=str(imports.folder_of(view.console.data, row.id)),
        config=str(view.console.store.path),
        kind=row.kind,
        owner=row.user,
        groups=writable_groups(view, kind, connection),
        own_group=view.me.group,
        is_system=view.role == Role.SYSTEM,
        home_country=view.console.operations.home_country(),
        zone=view.zone,
        now_ms=view.console.wall_ms(),
        options=row.options,
        input=row.input,
        rows_max=kind.rows_max,
        only_look=only_look,
    )


async def judge(view: View, row: ImportRow) -> None:
    """Judge every row anew; the import's page shows how far that is."""
    console, actor, address = view.console, f"console:{view.me.login}", view.address
    order = await view.read(lambda c: order_for(view, c, row))

    async def done(judged: Judged) -> None:
        def write() -> None:
            with console.store.writing(actor, address=address) as transaction:
                imports.set_judged(transaction, row.id, judged.total, judged.valid, judged.counts)

        await console.off_loop(write)

    console.jobs.forget(job_key(row.id))
    await console.jobs.start(job_key(row.id), order, done)


# -- writing ------------------------------------------------------------------------------------------


class WriteOrders(msgspec.Struct, frozen=True):
    """What the job that writes an import is given."""

    import_id: int


async def write(view: View, row: ImportRow) -> None:
    """Write the judged rows, as a job that is told of on the next page when it is over. Raises Refused."""
    console, me = view.console, view.me
    job = await console.background.begin(
        me.id, me.login, KIND.name, row.file, WriteOrders(row.id), address=view.address
    )
    await view.write(lambda w: imports.set_job(w, row.id, job), reload=False)


async def _work(run: Run) -> Done:
    """Behind what is written already: a job that was cut short goes on."""
    console, user = run.console, run.job.user
    orders = run.orders(WriteOrders)

    def read() -> ImportRow | None:
        with console.store.reading() as connection:
            return imports.read_import(connection, user, orders.import_id)

    row = await console.off_loop(read)
    if row is None or row.state != "writing":
        raise JobFailed(N_("The import is over, or was cancelled."))
    run.told(row.written, row.valid)
    written = await _WRITERS[row.kind](run, row)
    await console.operations.reload()
    return Done({N_("rows written"): written})


KIND = Kind("import", N_("Import from a file"), _work, resumes=True)


def progress_of(view: View, row: ImportRow) -> Job | None:
    """How far the dry run or the writing is, None where none goes on."""
    if row.state != "writing":
        return view.console.jobs.of(job_key(row.id))
    found = view.console.background.progress(row.job)
    return Job(found[0], found[0] / max(found[1], 1)) if found else None


async def _users(run: Run, row: ImportRow) -> int:
    """All of them in one transaction or none; their passwords wait, sealed, to be fetched once."""
    console = run.console
    rows = await console.off_loop(_good, console, row, 0, KINDS["users"].rows_max)
    made: list[tuple[dict[str, Any], str, str]] = []
    for number, one in enumerate(rows, 1):
        password = passwords.temporary_password()
        made.append((one, password, await passwords.hash_password(password)))
        run.told(number, len(rows))
    lines = [csv_line(("login", "name", "password"))]
    lines += [csv_line((one["login"], guarded(one["name"]), password)) for one, password, _ in made]
    secret = console.store.sealer.seal((BYTE_ORDER_MARK + "".join(lines)), job_key(row.id))

    def store(transaction: Writing) -> None:
        for one, _, password_hash in made:
            profile = Profile(name=one["name"], mobile=one["mobile"])
            people_edit.create_user(
                    transaction, one["login"], one["group"], profile, password_hash,
                    parts=one["parts"], role=one["role"],
                )  # fmt: skip
        imports.end_import(transaction, row.id, len(made), action="user.import", secret=secret)

    try:
        await run.write(store)
    except StoreError as error:
        await _back(run, row, error)
        raise
    return len(made)


async def _words(run: Run, row: ImportRow) -> int:
    """All of them in one transaction."""
    rows = await run.console.off_loop(_good, run.console, row, 0, KINDS["words"].rows_max)
    new = [Word(one["word"], one["action"], False, one["category"]) for one in rows]

    def store(transaction: Writing) -> int:
        added, _ = add_words(transaction, new)
        imports.end_import(transaction, row.id, added, action="word.import")
        return added

    return await run.write(store)


Piece = Callable[[Writing, Sequence[Mapping[str, Any]]], None]


async def _in_pieces(run: Run, row: ImportRow, piece: Piece, action: str) -> int:
    """Piece by piece, each a transaction that says how far it is; cancelled between two of them."""
    written = row.written
    while written < row.valid:
        rows = await run.console.off_loop(_good, run.console, row, written, PIECE_ROWS)
        if not rows:
            break

        def store(transaction: Writing, rows: list[dict[str, Any]] = rows, before: int = written) -> None:
            if not imports.still_writing(transaction, row.id):
                raise Refused("import-state", "This import has gone on meanwhile.")
            piece(transaction, rows)
            imports.set_written(transaction, row.id, before + len(rows))

        await run.write(store)
        written += len(rows)
        run.told(written, row.valid)
    await run.write(lambda w: imports.end_import(w, row.id, written, action=action))
    return written


async def _blacklist(run: Run, row: ImportRow) -> int:
    removing = row.options["mode"] == "remove"

    def piece(transaction: Writing, rows: Sequence[Mapping[str, Any]]) -> None:
        for (scope, note, expires_at), some in _by(rows, "scope", "note", "expires_at"):
            numbers = [one["number"] for one in some]
            if removing:
                blacklist_remove(transaction, scope_of(scope), numbers, note=row.file)
            else:
                blacklist_add(
                    transaction, scope_of(scope), numbers, source="import", note=note, expires_at=expires_at
                )

    return await _in_pieces(run, row, piece, "blacklist.import")


async def _contacts(run: Run, row: ImportRow) -> int:
    update = row.options["doubles"] == "update"

    def piece(transaction: Writing, rows: Sequence[Mapping[str, Any]]) -> None:
        for (group,), some in _by(rows, "group"):
            people = [(one["name"], one["mobile"]) for one in some]
            add_contacts(transaction, row.user, group, people, update=update)

    return await _in_pieces(run, row, piece, "contact.import")


_WRITERS: Mapping[str, Callable[[Run, ImportRow], Awaitable[int]]] = {
    "users": _users,
    "words": _words,
    "blacklist": _blacklist,
    "contacts": _contacts,
}


def _by(
    rows: Sequence[Mapping[str, Any]], *keys: str
) -> Iterable[tuple[tuple[Any, ...], list[Mapping[str, Any]]]]:
    def key(one: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(one[name] for name in keys)

    return [(found, list(some)) for found, some in groupby(sorted(rows, key=key), key)]


def _good(console: "Console", row: ImportRow, after: int, limit: int) -> list[dict[str, Any]]:
    with ImportFile.open(imports.folder_of(console.data, row.id) / ROWS) as file:
        return file.good(after, limit)


async def _back(run: Run, row: ImportRow, error: StoreError) -> None:
    """Nothing was written; the page says why, and rows are judged anew before they are confirmed."""
    if isinstance(error, QuotaRefused):
        said = {"code": "quota", "available": error.available}
    else:
        said = {"code": getattr(error, "code", ""), **getattr(error, "values", {}), "text": str(error)}
    await run.write(lambda w: imports.fail_writing(w, row.id, msgspec.json.encode(said).decode()))


def error_of(row: ImportRow) -> StoreError | None:
    """What the store refused when the import was written."""
    if not row.error:
        return None
    said = msgspec.json.decode(row.error, type=dict[str, Any])
    if said["code"] == "quota":
        return QuotaRefused("", said["available"])
    return Refused(said.pop("code"), said.pop("text"), **said)


def purge(console: "Console") -> None:
    """Forget imports that are older than they may be kept, and the files of all that are forgotten."""
    with console.store.writing("gateway") as transaction:
        imports.purge_imports(transaction)
        kept = imports.known_imports(transaction.connection)
    for folder in (console.data / imports.FOLDER).glob("*"):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def read_input(view: View, kind: ImportKind) -> ImportInput:
    """How the form wants the file read."""
    columns = {}
    for field in kind.fields:
        at = view.field(f"column-{field.key}")
        if at.isdecimal() and len(at) < 4:
            columns[field.key] = int(at)
    return ImportInput(
        encoding=view.field("encoding")[:20],
        delimiter=delimiter_of_form(view),
        sheet=view.field("sheet")[:200],
        header={"yes": True, "no": False}.get(view.field("header")),
        columns=columns,
    )
