"""Imports from files, the same way for users, words, blacklist numbers and contacts: upload, bind the columns, look at
what would happen to every row, confirm, and see it happen. Each step is a page; nothing is written before the last.
"""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException, PermissionDeniedException
from litestar.handlers import HTTPRouteHandler
from msgspec import Meta

from admin import importing, sending
from admin.console import Flash
from admin.i18n import N_
from admin.import_kinds import CLASSES, KINDS, REASONS, ImportKind, bind
from admin.import_rows import GOOD, read_expiry
from admin.jobs import Job
from admin.lists import BYTE_ORDER_MARK, csv_line
from admin.pages.preview import ClassRow
from admin.pages.send import ENCODINGS
from admin.permissions import allow
from admin.prepare_lines import Look, Seen
from admin.rendering import Page
from admin.row_export import Cells, rows_as_file
from admin.view import FromView, View
from store import imports
from store.contact_groups import problem_with_path
from store.files import StoreError
from store.import_file import ROWS, BadRow, ImportFile
from store.imports import ImportRow
from store.people_list import GroupRow, list_groups
from store.rules_list import list_sms_types

UPLOAD_OCTETS_MAX = 21 * 1024 * 1024  # a file of 20 MB, and the form around it
SHOWN_BAD = 100
BAD_HEADS = (N_("Row"), N_("Original"), N_("Class"), N_("Reason"))


class NewImportPage(Page, kw_only=True):
    """Choose a file, and what holds for all its rows."""

    template = "import_new.html"
    kind: ImportKind
    values: Mapping[str, str]
    errors: Mapping[str, str]
    groups: list[GroupRow]
    lists: list[tuple[str, str]]


class BindPage(Page, kw_only=True):
    """What the file is, and which column holds what."""

    template = "import_bind.html"
    kind: ImportKind
    row: ImportRow
    look: Look | None
    bound: Mapping[str, int]
    error: str
    errors: Mapping[str, str]
    encodings: Sequence[str] = ENCODINGS
    delimiters: Sequence[tuple[str, str]] = sending.DELIMITERS


class ImportPage(Page, kw_only=True):
    """How far it is: judging, judged, writing, done."""

    template = "import.html"
    kind: ImportKind
    row: ImportRow
    job: Job | None
    classes: list[ClassRow]
    error: str
    can_confirm: bool


class ImportProgressPage(Page, kw_only=True):
    """Only how far it is."""

    template = "import_progress.html"
    row: ImportRow
    job: Job | None


class BadRowsPage(Page, kw_only=True):
    """Rows of one class that are not written."""

    template = "import_rows.html"
    kind: ImportKind
    row: ImportRow
    chosen: str
    rows: list[tuple[BadRow, str, str]]


class UsersOptions(msgspec.Struct, frozen=True):
    group: int


class WordsOptions(msgspec.Struct, frozen=True):
    action: Literal["mask", "review", "reject"] = "mask"
    category: Annotated[str, Meta(max_length=64)] = ""


class BlacklistOptions(msgspec.Struct, frozen=True):
    list: str
    mode: Literal["add", "remove"] = "add"
    note: Annotated[str, Meta(max_length=200)] = ""
    expiry: str = ""


class ContactsOptions(msgspec.Struct, frozen=True):
    group: Annotated[str, Meta(max_length=255)]
    doubles: Literal["skip", "update"] = "skip"


OPTIONS: Mapping[str, type[msgspec.Struct]] = {
    "users": UsersOptions,
    "words": WordsOptions,
    "blacklist": BlacklistOptions,
    "contacts": ContactsOptions,
}


# -- upload -------------------------------------------------------------------------------------------


async def _lists(view: View, kind: ImportKind) -> tuple[list[GroupRow], list[tuple[str, str]]]:
    """Groups to choose from, and blacklists as (`group:2`, title)."""

    def read(connection: sqlite3.Connection) -> tuple[list[GroupRow], list[tuple[str, str]]]:
        ids = importing.writable_groups(view, kind, connection)
        groups = [row for row in list_groups(connection, view.within(kind.permission)) if row.id in ids]
        if kind.key != "blacklist":
            return groups, []
        lists = [("global", view.t(N_("Global")))]
        lists += [
            (f"type:{name}", f"{view.t(N_('SMS type'))} · {title}")
            for name, title in list_sms_types(connection)
        ]
        lists += [(f"group:{row.id}", f"{view.t(N_('User group'))} · {row.path}") for row in groups]
        return groups, [one for one in lists if importing.may_write_list(view, one[0], ids)]

    return await view.read(read)


async def _new(
    view: View, kind: ImportKind, values: Mapping[str, str], errors: Mapping[str, str]
) -> Response[str]:
    groups, lists = await _lists(view, kind)
    page = NewImportPage(
        title=view.t(kind.title), kind=kind, values=values, errors=errors, groups=groups, lists=lists
    )
    return await view.show(page, status=422 if errors else 200)


async def _upload(view: View, kind: ImportKind) -> Response[str]:
    form, errors = view.parse(OPTIONS[kind.key])
    values = {name: sent[0] for name, sent in view.form.items() if sent}
    options: dict[str, str] = {}
    if form is not None:
        options = {name: str(value) for name, value in msgspec.to_builtins(form).items()}
        groups, lists = await _lists(view, kind)
        if kind.key == "users" and int(options["group"]) not in {one.id for one in groups}:
            errors["group"] = view.t(N_("Choose one of those offered."))
        if kind.key == "contacts" and problem_with_path(options["group"]):
            errors["group"] = view.t(REASONS["path-form"])
        if kind.key == "blacklist":
            _check_list(view, options, lists, errors)
    file = view.files.get("file")
    if file is None:
        errors["file"] = view.t(N_("Choose a file."))
    if form is None or errors or file is None:
        return await _new(view, kind, values, errors)
    token = await sending.keep_upload(view, file)
    name = file.filename[:200]
    identifier = await view.write(
        lambda w: imports.create_import(w, view.me.id, kind.key, name, options), reload=False
    )
    folder = await view.console.off_loop(imports.make_folder, view.console.data, identifier)
    await view.console.off_loop(sending.take_upload_to, view, token, folder)
    return view.go(f"/imports/{identifier}")


def _check_list(
    view: View, options: dict[str, str], lists: list[tuple[str, str]], errors: dict[str, str]
) -> None:
    if options["list"] not in dict(lists):
        errors["list"] = view.t(N_("Choose one of those offered."))
    expiry = options.pop("expiry")
    moment = read_expiry(expiry, view.zone) if expiry else 0
    if moment is None:
        errors["expiry"] = view.t(N_("Give a date, such as 2030-12-31."))
    elif moment and moment <= view.console.wall_ms():
        errors["expiry"] = view.t(N_("That time has passed."))
    options["expires_at"] = str(moment or 0)


def _sample(view: View, kind: ImportKind) -> Response[bytes]:
    """A file as it may look, in the reader's language; Excel opens it."""
    out = BYTE_ORDER_MARK + csv_line(view.t(field.title) for field in kind.fields)
    out += "".join(csv_line(row) for row in kind.samples[view.language])
    headers = {"content-disposition": f'attachment; filename="{kind.key}-sample.csv"'}
    return view.answer(Response(out.encode(), media_type="text/csv", headers=headers))


def _routes_of(kind: ImportKind) -> list[HTTPRouteHandler]:
    """Upload and sample of one kind, under its own permission."""

    @get(kind.path, **allow(kind.permission), name=f"import-{kind.key}")
    async def form(view: FromView) -> Response[str]:
        values = {"group": "", "list": "", "mode": "add", "action": "mask", "doubles": "skip"}
        if kind.key == "users":
            values["group"] = str(view.request.query_params.get("group", view.me.group))
        values["list"] = str(view.request.query_params.get("list", ""))
        values["mode"] = str(view.request.query_params.get("mode", "add"))
        return await _new(view, kind, values, {})

    @post(kind.path, **allow(kind.permission), request_max_body_size=UPLOAD_OCTETS_MAX)
    async def upload(view: FromView) -> Response[str]:
        return await _upload(view, kind)

    @get(f"{kind.path}/sample", **allow(kind.permission))
    async def sample(view: FromView) -> Response[bytes]:
        return _sample(view, kind)

    return [form, upload, sample]


# -- one import ---------------------------------------------------------------------------------------


def _about(view: View) -> tuple[ImportRow, ImportKind]:
    """The import that the route is about, and its kind, if that is still open to its owner."""
    row = view.about_import
    kind = KINDS[row.kind]
    if not view.may(kind.permission):
        raise PermissionDeniedException
    return row, kind


def class_rows(view: View, row: ImportRow) -> list[ClassRow]:
    """The classes, each row of the file in exactly one of them."""
    counts: Counter[str] = Counter()
    reasons: dict[str, list[str]] = {}
    for one in row.classes:
        counts[one.kind] += one.count
        if one.reason:
            said = reason_text(view, one.kind, one.reason)
            reasons.setdefault(one.kind, []).append(f"{said} {one.count:,}")
    return [
        ClassRow(kind, view.t(title), tone, counts[kind], "；".join(reasons.get(kind, ())))
        for kind, (title, tone) in CLASSES.items()
        if counts[kind] or kind == "valid"
    ]


def reason_text(view: View, kind: str, reason: str) -> str:
    """A reason in words; of a group without parts, its path."""
    if kind == "quota" or not reason:
        return reason
    return view.t(REASONS.get(reason) or sending.REASONS.get(reason, reason))


async def _bind_page(
    view: View, row: ImportRow, kind: ImportKind, errors: Mapping[str, str] | None = None
) -> Response[str]:
    order = await view.read(lambda c: importing.order_for(view, c, row, only_look=True))
    seen = await view.console.jobs.look(order)
    look = seen.look if isinstance(seen, Seen) else None
    error = (
        "" if isinstance(seen, Seen) else view.t(sending.JOB_ERRORS.get(seen, sending.JOB_ERRORS["broken"]))
    )
    bound = bind(kind, look.names, look.shares) if look else {}
    page = BindPage(
        title=view.t(kind.title),
        kind=kind,
        row=row,
        look=look,
        bound=bound | {k: v for k, v in row.input.columns.items() if look and v < len(look.names)},
        error=error,
        errors=errors or {},
    )
    return await view.show(page, status=200 if look and not errors else 422)


@get("/imports/{import_id:int}", **allow("imports", about="import"))
async def one_import(view: FromView) -> Response[str]:
    """Where an import stands."""
    row, kind = _about(view)
    if row.state == "binding":
        return await _bind_page(view, row, kind)
    job = importing.progress_of(view, row)
    if row.state == "judging" and job is None:
        await importing.judge(view, row)  # the daemon was restarted meanwhile
        return view.go(f"/imports/{row.id}")
    refused = importing.error_of(row)
    error = view.refusal(refused) if refused else ""
    if job and job.error and row.state == "judging":
        error = view.t(sending.JOB_ERRORS.get(job.error, sending.JOB_ERRORS["broken"]))
    bad = sum(one.count for one in row.classes if one.kind not in (*GOOD, "blank"))
    page = ImportPage(
        title=view.t(kind.title),
        kind=kind,
        row=row,
        job=job,
        classes=class_rows(view, row),
        error=error,
        can_confirm=row.state == "ready" and row.valid > 0 and not (kind.whole and bad),
    )
    return await view.show(page)


@post("/imports/{import_id:int}", **allow("imports", about="import"))
async def bind_columns(view: FromView) -> Response[str]:
    """Read the file in another way, or take the columns and judge every row."""
    row, kind = _about(view)
    read = importing.read_input(view, kind)
    again = view.field("do") == "again"
    missing = [field for field in kind.fields if field.required and field.key not in read.columns]
    errors = {}
    if missing and not again:
        errors = {f"column-{field.key}": view.t(N_("Choose the column.")) for field in missing}
    elif len(set(read.columns.values())) < len(read.columns) and not again:
        errors = {"": view.t(N_("Two fields have the same column. Choose one for each."))}
    if errors:
        return await _bind_page(view, msgspec.structs.replace(row, input_json=_json(read)), kind, errors)
    if again:
        read = msgspec.structs.replace(read, columns={})
    state = "binding" if again else "judging"
    fingerprint = await view.read(lambda c: importing.authority(view, kind, c))
    try:
        await view.write(lambda w: imports.bind_import(w, row.id, read, state, fingerprint), reload=False)
    except StoreError as error:
        return view.go(f"/imports/{row.id}", flash=Flash(view.refusal(error), "bad"))
    if not again:
        await importing.judge(view, msgspec.structs.replace(row, input_json=_json(read)))
    return view.go(f"/imports/{row.id}")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


@get("/imports/{import_id:int}/live", **allow("imports", about="import", quiet=True))
async def live(view: FromView) -> Response[str]:
    """How far it is; when it is done the page loads itself anew."""
    row, _ = _about(view)
    job = importing.progress_of(view, row)
    response = await view.show(ImportProgressPage(title="", row=row, job=job))
    if row.state not in ("judging", "writing") or (job and job.error):
        response.headers["hx-refresh"] = "true"
    return response


@get("/imports/{import_id:int}/rows", **allow("imports", about="import"))
async def bad_rows(view: FromView) -> Response[Any]:
    """The first hundred rows of a class that are not written, or all of them as a file."""
    row, kind = _about(view)
    asked = str(view.request.query_params.get("kind", ""))
    chosen = asked if asked in CLASSES else ""
    path = imports.folder_of(view.console.data, row.id) / ROWS

    def read(after: int, limit: int) -> list[tuple[BadRow, str, str]]:
        if row.state in ("binding", "judging") or not path.exists():
            return []
        with ImportFile.open(path) as file:
            rows = file.bad(chosen, after, limit)
        return [(one, view.t(CLASSES[one.kind][0]), reason_text(view, one.kind, one.reason)) for one in rows]

    if view.request.query_params.get("format") in ("csv", "xlsx"):

        def cells(after: int, limit: int) -> list[tuple[int, Cells]]:
            return [
                (one.id, (one.line, one.original, title, reason)) for one, title, reason in read(after, limit)
            ]

        return await rows_as_file(view, f"import-{row.id}-rows", f"import {row.id} rows", BAD_HEADS, cells)
    page = BadRowsPage(
        title=view.t(N_("Rows that are not written")),
        kind=kind,
        row=row,
        chosen=chosen,
        rows=await view.console.off_loop(read, 0, SHOWN_BAD),
    )
    return await view.show(page)


@post("/imports/{import_id:int}/confirm", **allow("imports", about="import", proof=True))
async def confirm(view: FromView) -> Response[str]:
    """Write it, once: a second click finds that it is under way."""
    row, kind = _about(view)
    fingerprint = await view.read(lambda c: importing.authority(view, kind, c))
    old = (
        view.console.wall_ms() - row.judged_at > importing.FRESH_MS
        or fingerprint != row.authority
        or row.error
    )
    bad = sum(one.count for one in row.classes if one.kind not in (*GOOD, "blank"))
    try:
        if row.state == "ready" and old:
            await view.write(
                lambda w: imports.bind_import(w, row.id, row.input, "judging", fingerprint), reload=False
            )
            await importing.judge(view, row)
            text = view.t(N_("The rows were judged anew, as things have changed. Look again, then confirm."))
            return view.go(f"/imports/{row.id}", flash=Flash(text))
        if not row.valid or (kind.whole and bad):
            text = view.t(N_("There is nothing to write as the file is now."))
            return view.go(f"/imports/{row.id}", flash=Flash(text, "bad"))
        await view.write(lambda w: imports.move_import(w, row.id, ("ready",), "writing"), reload=False)
    except StoreError as error:
        return view.go(f"/imports/{row.id}", flash=Flash(view.refusal(error), "bad"))
    try:
        await importing.write(view, row)
    except StoreError as error:
        await view.write(lambda w: imports.fail_writing(w, row.id, ""), reload=False)
        return view.go(f"/imports/{row.id}", flash=Flash(view.refusal(error), "bad"))
    return view.go(f"/imports/{row.id}")


@post("/imports/{import_id:int}/cancel", **allow("imports", about="import"))
async def cancel(view: FromView) -> Response[str]:
    """Stop here: what is written stays written, and the page says how much that is."""
    row, kind = _about(view)
    try:
        await view.write(
            lambda w: imports.move_import(
                w, row.id, ("binding", "judging", "ready", "writing"), "cancelled", ended_at=w.at
            ),
            reload=False,
        )
    except StoreError as error:
        return view.go(f"/imports/{row.id}", flash=Flash(view.refusal(error), "bad"))
    view.console.jobs.cancel(importing.job_key(row.id))
    if row.job:
        await view.console.background.cancel(row.job, f"console:{view.me.login}")
    if row.state == "writing":
        return view.go(f"/imports/{row.id}")
    return view.go(kind.back, flash=Flash(view.t(N_("The import is cancelled; nothing was written."))))


@post("/imports/{import_id:int}/passwords", **allow("imports", about="import", proof=True))
async def fetch_passwords(view: FromView) -> Response[Any]:
    """The one-time passwords of imported users, as a file, once."""
    row, _ = _about(view)
    sealed = await view.write(lambda w: imports.take_secret(w, view.me.id, row.id), reload=False)
    if sealed is None:
        raise NotFoundException
    text = view.console.store.sealer.unseal(sealed, importing.job_key(row.id))
    headers = {"content-disposition": f'attachment; filename="import-{row.id}-passwords.csv"'}
    return view.answer(Response(text.encode(), status_code=200, media_type="text/csv", headers=headers))


ROUTES: tuple[HTTPRouteHandler, ...] = (
    *(handler for kind in KINDS.values() for handler in _routes_of(kind)),
    one_import,
    bind_columns,
    live,
    bad_rows,
    confirm,
    cancel,
    fetch_passwords,
)
