"""Lists, once for all pages: the same rows as page, as JSON (`/users.json`) and as a file.

A `ListSpec` (`list_spec.py`) says what a list is; `answer` turns it into whichever form the address or the Accept
header asks for.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response

from admin.list_export import BYTE_ORDER_MARK as BYTE_ORDER_MARK
from admin.list_export import MEDIA_TYPES as MEDIA_TYPES
from admin.list_export import NOW_ROWS_MAX, export, fill
from admin.list_export import attachment as attachment
from admin.list_export import csv_line as csv_line
from admin.list_export import guarded as guarded
from admin.list_spec import SIZES as SIZES
from admin.list_spec import Act as Act
from admin.list_spec import Cell as Cell
from admin.list_spec import Column as Column
from admin.list_spec import Empty as Empty
from admin.list_spec import Filter as Filter
from admin.list_spec import Kind as Kind
from admin.list_spec import ListSpec as ListSpec
from admin.list_spec import Row as Row
from admin.list_spec import asked
from admin.list_spec import read_key as read_key
from admin.list_spec import write_key as write_key
from admin.rendering import Page
from admin.view import View
from store.listing import COUNTED_MAX


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
    count: int
    count_text: str
    next_href: str
    first_href: str
    sort_hrefs: Mapping[str, str]
    sort: str
    clear_href: str
    here_href: str
    export_fields: Mapping[str, str]
    export_limit: int
    size: int

    @property
    def filtered(self) -> bool:
        return bool(self.chips)

    @property
    def has_more(self) -> bool:
        """Whether a filter is set that is folded away."""
        return any(one.more and self.values[one.key] for one in self.spec.filters)


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
        count=min(page.count, COUNTED_MAX + 1),
        count_text=counted(page.count),
        next_href=href(**given, **sort, **size, after=write_key(page.after)) if page.after else "",
        first_href=href(**given, **sort, **size) if cut.after else "",
        sort_hrefs={
            column.sort: href(**given, **size, sort=column.sort) for column in spec.columns if column.sort
        },
        sort=cut.sort,
        clear_href=href(),
        here_href=href(**given, **sort, **size, **here),
        export_fields={**spec.fixed, **given, **sort},
        export_limit=NOW_ROWS_MAX,
        size=cut.limit,
    )


def counted(count: int) -> str:
    """How many rows a list has, as it is said; "" where nobody counts them (-1)."""
    if count < 0:
        return ""
    return f"{COUNTED_MAX:,}+" if count > COUNTED_MAX else f"{count:,}"


async def answer(
    view: View, spec: ListSpec, show: Callable[[Listing, sqlite3.Connection], Page]
) -> Response[Any]:
    """The list as the address wants it. `show` makes the page (a `rendering.Page`) of a listing."""
    if view.asked_by_job is not None:
        await fill(view, spec, view.asked_by_job)
        return view.answer(Response("", status_code=200))
    form = str(view.request.query_params.get("format", ""))
    if form in MEDIA_TYPES:
        return await export(view, spec)
    if form == "json" or view.wants_json:
        return view.answer(Response(await view.read(lambda c: _as_json(view, spec, c)), status_code=200))
    return await view.show(await view.read(lambda c: show(build(view, spec, c), c)))


def _as_json(view: View, spec: ListSpec, connection: sqlite3.Connection) -> dict[str, Any]:
    """Rows by the keys of their columns, which are described beside them; `next` is the address that goes on."""
    listing = build(view, spec, connection)
    columns = [column for column in spec.columns if column.kind != "actions"]
    keys = [column.key for column in columns]
    rows = [
        [cell for column, cell in zip(spec.columns, row.cells, strict=True) if column.kind != "actions"]
        for row in listing.rows
    ]
    return {
        "columns": [
            {"key": one.key, "title": view.t(one.title), "kind": _JSON_KINDS.get(one.kind, "text")}
            for one in columns
        ],
        "rows": [dict(zip(keys, (cell.value for cell in cells), strict=True)) for cells in rows],
        "count": listing.count if listing.count >= 0 else None,
        "count_exact": 0 <= listing.count <= COUNTED_MAX,
        "next": listing.next_href.replace(spec.path, f"{spec.path}.json", 1) or None,
    }


_JSON_KINDS = {"number": "number", "time": "milliseconds since 1970, UTC", "badge": "code"}
