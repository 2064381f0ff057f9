"""Lists, once for all pages: filters and order in the address, pages by key, the same rows as JSON and CSV.

A `ListSpec` says what a list is; `answer` turns it into whichever form `?format=` asks for. Addresses hold
`q`-like filter names, `sort`, `size` and `after`, the key of the last row seen.
"""

import base64
import csv
import io
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec
from litestar import Response
from litestar.response import Stream

from admin.rendering import Page, format_time
from admin.view import View
from store.listing import COUNTED_MAX, ROWS_MAX, Cut
from store.listing import Page as Rows

Kind = Literal["text", "code", "number", "time", "badge", "link", "progress", "actions"]
EXPORT_STEP = 1000
SIZES = (20, 50, 100, 200)
MEDIA_TYPES = {
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
BYTE_ORDER_MARK = "\ufeff"  # Excel takes CSV for UTF-8 only with it
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


class Act(msgspec.Struct, frozen=True):
    """A button in a row: a form that is posted, or a link. `title` and `question` are translated."""

    title: str
    href: str
    icon: str
    post: bool = True
    question: str = ""


class Cell(msgspec.Struct, frozen=True):
    """One value, and how people see it. `text` is translated; `tone` colours a badge.

    `percent` of a progress column, -1 without a bar; `actions` of an actions column.
    """

    value: str | int | bool | None
    text: str = ""
    href: str = ""
    tone: str = ""
    note: str = ""  # a second, quieter line
    percent: int = -1
    actions: tuple[Act, ...] = ()

    @property
    def shown(self) -> str:
        return self.text or ("" if self.value is None else str(self.value))


class Column(msgspec.Struct, frozen=True):
    """A column: its key in JSON, its head, how its cells look, the order that its head offers."""

    key: str
    title: str
    kind: Kind = "text"
    sort: str = ""
    wide: bool = True  # False: left out on narrow screens


class Filter(msgspec.Struct, frozen=True):
    """A field of the filter bar. `choices` are (value, title)."""

    key: str
    title: str
    kind: Literal["search", "choice"] = "search"
    choices: tuple[tuple[str, str], ...] = ()
    placeholder: str = ""


class Row(msgspec.Struct, frozen=True):
    """One row. `id` names it in forms, "" where it cannot be chosen."""

    cells: tuple[Cell, ...]
    id: str = ""
    dim: bool = False


class Empty(msgspec.Struct, frozen=True):
    """What an empty list says: why, and the next step."""

    title: str
    text: str
    href: str = ""
    action: str = ""


class ListSpec(msgspec.Struct, frozen=True):
    """A list as data. `fetch` gives rows for filter values; `row` shows one of them."""

    name: str
    path: str
    columns: tuple[Column, ...]
    filters: tuple[Filter, ...]
    fetch: Callable[[sqlite3.Connection, Mapping[str, str], Cut], Rows]
    row: Callable[[tuple[Any, ...]], Row]
    empty: Empty
    sort: str = ""  # the order without a choice
    fixed: Mapping[str, str] = {}  # of the address, kept through everything


class Chip(msgspec.Struct, frozen=True):
    """A filter that is set: what it says, and the address without it."""

    text: str
    href: str


class Listing(msgspec.Struct, frozen=True):
    """A page of a list, ready for its template."""

    spec: ListSpec
    rows: Sequence[Row]
    values: Mapping[str, str]
    chips: Sequence[Chip]
    count_text: str
    next_href: str
    first_href: str
    sort_hrefs: Mapping[str, str]
    sort: str
    clear_href: str
    here_href: str
    export_href: str
    size: int

    @property
    def filtered(self) -> bool:
        return bool(self.chips)


def asked(view: View, spec: ListSpec) -> tuple[dict[str, str], Cut]:
    """What the address asks for; what makes no sense in it is as if it were not there."""
    query = view.request.query_params
    values = {}
    for one in spec.filters:
        value = str(query.get(one.key, "")).strip()[:200]
        if one.kind == "choice" and value not in {choice for choice, _ in one.choices}:
            value = ""
        values[one.key] = value
    size = str(query.get("size", ""))
    limit = int(size) if size.isdecimal() and int(size) in SIZES else view.preferences.page_size
    sorts = {column.sort for column in spec.columns if column.sort}
    sort = str(query.get("sort", ""))
    return values, Cut(limit, read_key(str(query.get("after", ""))), sort if sort in sorts else spec.sort)


def write_key(key: Sequence[str | int]) -> str:
    """A key as it stands in an address."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(key))).decode().rstrip("=")


def read_key(text: str) -> tuple[str | int, ...]:
    """The key again; () for what nobody wrote here."""
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return tuple(msgspec.json.decode(octets, type=list[int | str])) if text else ()
    except (ValueError, msgspec.MsgspecError):
        return ()


def build(view: View, spec: ListSpec, connection: sqlite3.Connection) -> Listing:
    """The page of the list that the address asks for."""
    values, cut = asked(view, spec)
    page = spec.fetch(connection, values, cut)
    given = {key: value for key, value in values.items() if value}
    size = {"size": str(cut.limit)} if cut.limit != view.preferences.page_size else {}
    sort = {"sort": cut.sort} if cut.sort != spec.sort else {}

    here = {"after": write_key(cut.after)} if cut.after else {}

    def href(**parameters: str) -> str:
        query = urlencode({**spec.fixed, **parameters})
        return f"{spec.path}?{query}" if query else spec.path

    chips = [
        Chip(
            f"{view.t(one.title)}: {view.t(dict(one.choices).get(values[one.key], values[one.key]))}",
            href(**{k: v for k, v in given.items() if k != one.key}, **sort, **size),
        )
        for one in spec.filters
        if values[one.key]
    ]
    return Listing(
        spec=spec,
        rows=[spec.row(row) for row in page.rows],
        values=values,
        chips=chips,
        count_text=f"{COUNTED_MAX:,}+" if page.count > COUNTED_MAX else f"{page.count:,}",
        next_href=href(**given, **sort, **size, after=write_key(page.after)) if page.after else "",
        first_href=href(**given, **sort, **size) if cut.after else "",
        sort_hrefs={
            column.sort: href(**given, **size, sort=column.sort) for column in spec.columns if column.sort
        },
        sort=cut.sort,
        clear_href=href(),
        here_href=href(**given, **sort, **size, **here),
        export_href=href(**given, **sort, format="csv"),
        size=cut.limit,
    )


async def answer(
    view: View, spec: ListSpec, show: Callable[[Listing, sqlite3.Connection], Page]
) -> Response[Any]:
    """The list as the address wants it. `show` makes the page (a `rendering.Page`) of a listing."""
    form = str(view.request.query_params.get("format", ""))
    if form == "csv":
        return await export(view, spec)
    if form == "json":
        return view.answer(Response(await view.read(lambda c: _as_json(view, spec, c)), status_code=200))
    return await view.show(await view.read(lambda c: show(build(view, spec, c), c)))


def _as_json(view: View, spec: ListSpec, connection: sqlite3.Connection) -> dict[str, Any]:
    listing = build(view, spec, connection)
    keys = [column.key for column in spec.columns]
    return {
        "rows": [dict(zip(keys, (cell.value for cell in row.cells), strict=True)) for row in listing.rows],
        "next": f"{listing.next_href}&format=json" if listing.next_href else None,
    }


async def export(view: View, spec: ListSpec) -> Response[Any]:
    """All rows that the filters leave, as CSV, in constant memory; who took them is written down."""
    values, cut = asked(view, spec)
    given = {key: value for key, value in values.items() if value}
    await view.console.off_loop(
        lambda: view.console.store.record(
            f"console:{view.me.login}", "export", spec.name, address=view.address, filter=given
        )
    )

    async def lines() -> AsyncIterator[bytes]:
        yield (BYTE_ORDER_MARK + csv_line(_head(view, column) for column in spec.columns)).encode()
        at = Cut(EXPORT_STEP, (), cut.sort)
        for _ in range(ROWS_MAX // EXPORT_STEP):
            page = await view.read(lambda c, at=at: spec.fetch(c, values, at))  # type: ignore[misc]
            rows = [spec.row(row) for row in page.rows]
            text = "".join(
                csv_line(
                    _exported(view, column, cell)
                    for column, cell in zip(spec.columns, row.cells, strict=True)
                )
                for row in rows
            )
            yield text.encode()
            if not page.after:
                return
            at = Cut(EXPORT_STEP, page.after, cut.sort)

    name = (
        f"{spec.name}-{format_time(view.console.wall_ms(), view.zone).replace(':', '').replace(' ', '-')}.csv"
    )
    return view.answer(
        Stream(
            lines(),
            status_code=200,
            media_type="text/csv",
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )
    )


def csv_line(cells: Any) -> str:
    """One line, quoted where it must be, ended as Excel likes it."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()


def attachment(name: str) -> str:
    """The header that makes browsers save an answer under a name, in any script (RFC 6266)."""
    plain = "".join(one if one.isascii() and (one.isalnum() or one in "-_.") else "_" for one in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def guarded(text: str) -> str:
    """Text that a spreadsheet would take for a formula gets a ' before it."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _head(view: View, column: Column) -> str:
    title = view.t(column.title)
    return f"{title} ({view.zone})" if column.kind == "time" else title


def _exported(view: View, column: Column, cell: Cell) -> str:
    if isinstance(cell.value, int) and not isinstance(cell.value, bool) and column.kind in ("number", "code"):
        return str(cell.value)  # ours, digits only
    if column.kind == "time" and isinstance(cell.value, int):
        return format_time(cell.value, view.zone)
    return guarded(cell.shown)
