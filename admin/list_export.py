"""Lists as files: CSV and XLSX, streamed in constant memory; the large ones as a job.

A job asks for the same address again, in the background and as the same person (`Asked`): the same permissions hold,
and it can be tried again after a restart.
"""

import csv
import io
import re
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol
from urllib.parse import quote

import msgspec
import trio
import xlsxwriter
from litestar import Response
from litestar.response import Stream

from admin.background import Done, JobFailed, Kind, Run
from admin.i18n import N_
from admin.list_spec import Cell, Column, ListSpec, asked
from admin.rendering import Page, format_time
from admin.view import ASKED, View
from store import jobs
from store.config_db import Writing
from store.listing import ROWS_MAX, Cut

NOW_ROWS_MAX = 100_000  # more than that is made in the background
STEP = 1000
WALK_S = 2.0  # a list that is not counted and longer to read than this is made in the background
PAUSE_SHARE = 1.0  # a job rests as long as it worked: messages come first
BYTE_ORDER_MARK = "\ufeff"  # Excel takes CSV for UTF-8 only with it
SHEET_ROWS_MAX = 1_048_576  # of Excel, the heads among them
CELL_CHARACTERS_MAX = 32_767  # of Excel
EXACT_MAX = 999_999_999_999_999  # Excel keeps 15 digits of a number
PIECE_OCTETS = 262_144
MEDIA_TYPES = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_PLUS_NUMBER = re.compile(r"\+\d{3,20}")
_REFUSED = N_("You may no longer see this list, or it does not exist any more.")
_DISK = N_("The file could not be written: the disk of the gateway is full or failing.")

Form = Literal["csv", "xlsx"]


class Options(msgspec.Struct, frozen=True):
    """How a file is wanted: `keys` heads it with the stable English keys, `raw` leaves every value as it is in
    JSON: codes for words, times in UTC, no guard against formulas."""

    form: Form = "csv"
    keys: bool = False
    raw: bool = False


class ListOrders(msgspec.Struct, frozen=True):
    """A list to be made into a file in the background."""

    path: str
    query: str
    language: str


class LargePage(Page, kw_only=True):
    """Asks whether a large file is to be made in the background."""

    template = "list_large.html"
    path: str
    query: str
    back: str
    limit: int = NOW_ROWS_MAX


class Asked:
    """A request that a job makes of the console itself; `rows` when it was answered."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.user = run.job.user
        self.done: Done | None = None
        self.problem: JobFailed | None = None


class Writer(Protocol):
    """A file in the making."""

    def add(self, rows: Sequence[Sequence[str | int]]) -> None:
        """Some rows."""

    def close(self) -> None:
        """No more of them."""


def options_of(view: View) -> Options:
    """What the address asks for."""
    query = view.request.query_params
    form: Form = "xlsx" if query.get("format") == "xlsx" else "csv"
    return Options(form, query.get("head") == "keys", query.get("raw") == "1")


async def export(view: View, spec: ListSpec) -> Response[Any]:
    """The file, or the question whether a large one is to be made in the background."""
    values, cut = asked(view, spec)
    options = options_of(view)
    found = await view.read(lambda c: spec.fetch(c, values, Cut(1, (), cut.sort, NOW_ROWS_MAX + 1)).count)
    if found < 0:
        found = await _walk(view, spec)
    if found > NOW_ROWS_MAX:
        query = view.request.scope["query_string"].decode("ascii", "replace")
        page = LargePage(title=view.t(N_("Large export")), path=spec.path, query=query, back=spec.path)
        return await view.show(page)
    await view.write(lambda w: _note(w, view, spec, found), reload=False)
    name = file_name(view, spec, options)
    pieces = _csv_pieces(view, spec, options) if options.form == "csv" else _xlsx_pieces(view, spec, options)
    headers = {"content-disposition": attachment(name)}
    media_type = MEDIA_TYPES[options.form]
    return view.answer(Stream(pieces, status_code=200, media_type=media_type, headers=headers))


async def _walk(view: View, spec: ListSpec) -> int:
    """How many rows a list has that nobody counts; what takes longer than `WALK_S` counts as many."""
    values, cut = asked(view, spec)
    until = time.monotonic() + WALK_S
    found, at = 0, Cut(STEP, (), cut.sort, 0)
    while found <= NOW_ROWS_MAX:
        page = await view.read(lambda c, at=at: spec.fetch(c, values, at))  # type: ignore[misc]
        found += len(page.rows)
        if not page.after:
            return found
        if time.monotonic() > until:
            break
        at = Cut(STEP, page.after, cut.sort, 0)
    return NOW_ROWS_MAX + 1


def _note(transaction: Writing, view: View, spec: ListSpec, rows: int) -> None:
    values, _ = asked(view, spec)
    given = {key: value for key, value in {**spec.fixed, **values}.items() if value}
    options = msgspec.to_builtins(options_of(view))
    transaction.audit("export", spec.name, changes=False, filter=given, rows=rows, **options)


def file_name(view: View, spec: ListSpec, options: Options) -> str:
    """`users-2026-11-23-120000.csv`."""
    moment = format_time(view.console.wall_ms(), view.zone).replace(":", "").replace(" ", "-")
    return f"{spec.name}-{moment}.{options.form}"


def attachment(name: str) -> str:
    """The header that makes browsers save an answer under a name, in any script (RFC 6266)."""
    plain = "".join(one if one.isascii() and (one.isalnum() or one in "-_.") else "_" for one in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


# -- rows ---------------------------------------------------------------------------------------------


async def batches(
    view: View, spec: ListSpec, add: Callable[[list[list[str | int]]], Any], options: Options
) -> AsyncGenerator[tuple[Any, int, float], None]:
    """All rows that the filters leave, step by step: what `add` made of some, how many, seconds of work."""
    values, cut = asked(view, spec)
    columns = _columns(spec)
    at = Cut(STEP, (), cut.sort, 0)
    for _ in range(ROWS_MAX // STEP):

        def step(at: Cut = at) -> tuple[Any, int, tuple[str | int, ...], float]:
            began = time.perf_counter()
            with view.console.store.reading() as connection:
                page = spec.fetch(connection, values, at)
                rows = [spec.row(row).cells for row in page.rows]
            shown = [[written(view, column, cells[i], options) for i, column in columns] for cells in rows]
            return add(shown), len(shown), page.after, time.perf_counter() - began

        made, count, after, seconds = await view.console.off_loop(step)
        yield made, count, seconds
        if not after:
            return
        at = Cut(STEP, after, cut.sort, 0)


def _columns(spec: ListSpec) -> list[tuple[int, Column]]:
    return [(i, column) for i, column in enumerate(spec.columns) if column.kind != "actions"]


def heads(view: View, spec: ListSpec, options: Options) -> list[str]:
    """The first line: words with the zone beside times, or keys."""
    columns = [column for _, column in _columns(spec)]
    if options.keys:
        return [column.key for column in columns]
    zone = "UTC" if options.raw else view.zone
    return [f"{view.t(one.title)} ({zone})" if one.kind == "time" else view.t(one.title) for one in columns]


def written(view: View, column: Column, cell: Cell, options: Options) -> str | int:
    """One value as it stands in a file; a number only where it is a figure of ours."""
    value = cell.value
    if column.kind == "time" and isinstance(value, int):
        return _utc(value) if options.raw else format_time(value, view.zone)
    if isinstance(value, int) and not isinstance(value, bool):
        if column.kind == "number":
            return value
        if column.kind == "code" or options.raw:
            return str(value)
    if options.raw:
        return "" if value is None else str(value)
    text = cell.shown
    if column.kind == "code" and _PLUS_NUMBER.fullmatch(text):
        text = text[1:]
    return guarded(text) if options.form == "csv" else text


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds") if at_ms else ""


def guarded(text: str) -> str:
    """Text that a spreadsheet would take for a formula gets a ' before it."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def csv_line(cells: Any) -> str:
    """One line, quoted where it must be, ended as Excel likes it."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()


# -- files --------------------------------------------------------------------------------------------


class CsvFile:
    """Rows as CSV."""

    def __init__(self, file: BinaryIO, first: list[str], raw: bool) -> None:
        self._file = file
        file.write(csv_start(first, raw))

    def add(self, rows: Sequence[Sequence[str | int]]) -> None:
        self._file.write("".join(csv_line(row) for row in rows).encode())

    def close(self) -> None:
        self._file.close()


def csv_start(first: list[str], raw: bool) -> bytes:
    """The mark that Excel needs, and the heads, which nothing but a program reads when they are raw."""
    return (("" if raw else BYTE_ORDER_MARK) + csv_line(first)).encode()


class XlsxFile:
    """Rows as a workbook, row by row to the disk; when a sheet is full the next one begins."""

    def __init__(self, file: BinaryIO, first: list[str], name: str, scratch: Path) -> None:
        self._file = file
        self._first = first
        self._name = name[:25]
        self._book = xlsxwriter.Workbook(
            file,
            {
                "constant_memory": True,
                "tmpdir": str(scratch),
                "strings_to_formulas": False,
                "strings_to_numbers": False,
                "strings_to_urls": False,
            },
        )
        self._bold = self._book.add_format({"bold": True})
        self._sheets = 0
        self._begin_sheet()

    def _begin_sheet(self) -> None:
        self._sheets += 1
        self._sheet = self._book.add_worksheet(
            self._name if self._sheets == 1 else f"{self._name}-{self._sheets}"
        )
        self._sheet.freeze_panes(1, 0)
        for column, head in enumerate(self._first):
            self._sheet.set_column(column, column, max(12, min(2 * len(head), 40)))
        for column, head in enumerate(self._first):
            self._sheet.write_string(0, column, head, self._bold)
        self._row = 1

    def add(self, rows: Sequence[Sequence[str | int]]) -> None:
        for cells in rows:
            if self._row == SHEET_ROWS_MAX:
                self._begin_sheet()
            for column, value in enumerate(cells):
                if isinstance(value, int) and abs(value) <= EXACT_MAX:
                    self._sheet.write_number(self._row, column, value)
                else:
                    text = str(value)
                    if len(text) > CELL_CHARACTERS_MAX:
                        text = text[: CELL_CHARACTERS_MAX - 1] + "…"
                    self._sheet.write_string(self._row, column, text)
            self._row += 1

    def close(self) -> None:
        self._book.close()
        self._file.flush()


def make_file(view: View, spec: ListSpec, options: Options, file: BinaryIO, scratch: Path) -> Writer:
    """A file with its heads."""
    first = heads(view, spec, options)
    if options.form == "csv":
        return CsvFile(file, first, options.raw)
    return XlsxFile(file, first, spec.name, scratch)


async def _csv_pieces(view: View, spec: ListSpec, options: Options) -> AsyncIterator[bytes]:
    def lines(rows: list[list[str | int]]) -> bytes:
        return "".join(csv_line(row) for row in rows).encode()

    yield csv_start(heads(view, spec, options), options.raw)
    async with aclosing(batches(view, spec, lines, options)) as steps:
        async for piece, _, _ in steps:
            yield piece


async def _xlsx_pieces(view: View, spec: ListSpec, options: Options) -> AsyncIterator[bytes]:
    # A workbook ends with its table of contents, so it is whole on the disk before the first octet leaves.
    scratch = view.console.data / jobs.FOLDER
    await view.console.off_loop(lambda: scratch.mkdir(mode=0o700, exist_ok=True))
    with tempfile.TemporaryFile(dir=scratch) as file:
        book = await view.console.off_loop(make_file, view, spec, options, file, scratch)
        async with aclosing(batches(view, spec, book.add, options)) as steps:
            async for _ in steps:
                pass
        await view.console.off_loop(book.close)
        file.seek(0)
        while piece := await view.console.off_loop(file.read, PIECE_OCTETS):
            yield piece


# -- in the background --------------------------------------------------------------------------------


async def fill(view: View, spec: ListSpec, wanted: Asked) -> None:
    """The list as a file in the job's folder, or why there is none."""
    try:
        wanted.done = await _fill(view, spec, wanted.run)
    except OSError:
        wanted.problem = JobFailed(_DISK)


async def _fill(view: View, spec: ListSpec, run: Run) -> Done:
    options = options_of(view)
    values, cut = asked(view, spec)
    total = await view.read(lambda c: spec.fetch(c, values, Cut(1, (), cut.sort, ROWS_MAX)).count)
    run.told(0, max(total, 0))
    result = f"export.{options.form}"
    with (run.folder / result).open("wb") as file:
        made = await view.console.off_loop(make_file, view, spec, options, file, run.folder)
        rows = 0
        async with aclosing(batches(view, spec, made.add, options)) as steps:
            async for _, count, seconds in steps:
                rows += count
                run.told(rows)
                await trio.sleep(seconds * PAUSE_SHARE)
        await view.console.off_loop(made.close)
    await view.write(lambda w: _note(w, view, spec, rows), reload=False)
    return Done(result=result, name=file_name(view, spec, options))


async def export_list(run: Run) -> Done:
    """A job: ask for the list's address as its owner."""
    orders = run.orders(ListOrders)
    wanted = Asked(run)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": orders.path,
        "raw_path": orders.path.encode(),
        "query_string": orders.query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"accept-language", orders.language.encode())],
        "client": ("job", run.job.id),
        "server": ("localhost", 80),
        ASKED: wanted,
    }
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    assert run.console.app is not None
    await run.console.app(scope, receive, send)
    if wanted.problem is not None:
        raise wanted.problem
    if wanted.done is None and status < 500:
        raise JobFailed(_REFUSED)
    if wanted.done is None:
        raise RuntimeError("the list could not be read")
    return wanted.done


EXPORT_LIST = Kind("export.list", N_("Export of a list"), export_list)
