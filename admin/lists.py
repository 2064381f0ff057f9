"""Lists, once for all pages: the same rows as page, as JSON (`/users.json`) and as a file.

A `ListSpec` (`list_spec.py`) says what a list is; `answer` turns it into whichever form the address or the Accept
header asks for.
"""

import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from litestar import Response

from admin.i18n import N_
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
from store.list_views import Density, list_view
from store.listing import COUNTED_MAX, ROWS_MAX, Cut, within_time

FACETS_S = 0.05  # a page waits no longer for the counts beside choices
FACET_MAX = 1000
FACET_CHOICES_MAX = 12
COUNT_S = 0.05  # nor for the count of a long list
NO_FILTER = "all"  # in an address: not even the filter that comes first


class Chip(msgspec.Struct, frozen=True):
    """A filter that is set: what it says, and the address without it."""

    text: str
    href: str


class Saved(msgspec.Struct, frozen=True):
    """A kept filter as a link. `owner` is whose, "" for one's own; `first`: the list begins with it."""

    id: int
    name: str
    href: str
    owner: str
    shared: bool
    first: bool
    current: bool


class Listing(msgspec.Struct, frozen=True):
    """A page of a list, ready for its template. `columns` are (place in a row, column) of those that are shown."""

    spec: ListSpec
    columns: Sequence[tuple[int, Column]]
    rows: Sequence[Row]
    values: Mapping[str, str]
    chips: Sequence[Chip]
    facets: Mapping[str, Mapping[str, str]]
    count: int
    count_text: str
    next_href: str
    first_href: str
    sort_hrefs: Mapping[str, str]
    size_hrefs: Mapping[int, str]
    sort: str
    clear_href: str
    here_href: str
    query: str
    export_fields: Mapping[str, str]
    export_limit: int
    size: int
    saved: Sequence[Saved]
    hidden: Collection[str]
    density: Density
    chosen: bool

    @property
    def filtered(self) -> bool:
        return bool(self.chips)

    @property
    def has_more(self) -> bool:
        """Whether a filter is set that is folded away."""
        return any(one.more and self.values[one.key] for one in self.spec.filters)


class Address:
    """What the address asks of a list, and addresses that ask for something a little different."""

    def __init__(self, view: View, spec: ListSpec) -> None:
        self._spec = spec
        self.values, self.cut = asked(view, spec)
        self.given = {key: value for key, value in self.values.items() if value}
        size = self.cut.limit
        self.size = {"size": str(size)} if size != view.preferences.page_size else {}
        self.sort = {"sort": self.cut.sort} if self.cut.sort != spec.sort else {}
        self.page_size = view.preferences.page_size

    def href(self, **parameters: str) -> str:
        """The list's address with these parameters."""
        query = urlencode({**self._spec.fixed, **parameters})
        return f"{self._spec.path}?{query}" if query else self._spec.path

    def without(self, key: str, bare: Mapping[str, str]) -> str:
        """The same without one filter; `bare` says that there is none when it was the last."""
        rest = {name: value for name, value in self.given.items() if name != key}
        return self.href(**(rest or bare), **self.sort, **self.size)

    def sized(self, size: int) -> str:
        """The same with so many rows a page."""
        return self.href(**self.given, **self.sort, **({} if size == self.page_size else {"size": str(size)}))


def build(view: View, spec: ListSpec, connection: sqlite3.Connection) -> Listing:
    """The page of the list that the address asks for."""
    address = Address(view, spec)
    values, cut, given, sort, size = address.values, address.cut, address.given, address.sort, address.size
    href = address.href
    page = spec.fetch(connection, values, cut)
    wanted = list_view(connection, view.me.id, spec.name)
    here = {"after": write_key(cut.after)} if cut.after else {}
    bare = {NO_FILTER: "1"} if wanted.first_query else {}
    query = urlencode({**given, **sort})
    columns = [
        (place, column)
        for place, column in enumerate(spec.columns)
        if place == 0 or column.kind == "actions" or column.key not in wanted.hidden
    ]
    return Listing(
        spec=spec,
        columns=columns,
        rows=[spec.row(row) for row in page.rows],
        values=values,
        chips=[
            Chip(
                f"{view.t(one.title)}: {view.t(dict(one.choices).get(values[one.key], values[one.key]))}",
                address.without(one.key, bare),
            )
            for one in spec.filters
            if values[one.key]
        ],
        facets=_facets(spec, connection, values)
        if page.count >= 0
        else {one.key: {} for one in spec.filters},
        count=min(page.count, COUNTED_MAX + 1),
        count_text=_in_all(view, spec, connection, values, page.count),
        next_href=href(**given, **sort, **size, after=write_key(page.after)) if page.after else "",
        first_href=href(**given, **sort, **size) if cut.after else "",
        sort_hrefs={
            column.sort: href(**given, **size, sort=column.sort) for column in spec.columns if column.sort
        },
        size_hrefs={one: address.sized(one) for one in SIZES},
        sort=cut.sort,
        clear_href=href(**bare),
        here_href=href(**given, **sort, **size, **here),
        query=query,
        export_fields={**spec.fixed, **given, **sort},
        export_limit=NOW_ROWS_MAX,
        size=cut.limit,
        saved=[
            Saved(
                id=one.id,
                name=one.name,
                href=href(**dict(parse_qsl(one.query))),
                owner="" if one.user == view.me.id else one.owner,
                shared=one.shared,
                first=one.id == wanted.first,
                current=bool(query) and one.query == query,
            )
            for one in wanted.filters
        ],
        hidden=wanted.hidden,
        density=wanted.density,
        chosen=wanted.chosen,
    )


def _facets(
    spec: ListSpec, connection: sqlite3.Connection, values: Mapping[str, str]
) -> Mapping[str, Mapping[str, str]]:
    """How many rows each choice would leave beside the other filters, as far as that is known in good time."""
    until = time.monotonic() + FACETS_S
    found: dict[str, dict[str, str]] = {one.key: {} for one in spec.filters}
    for one in spec.filters:
        if one.kind != "choice" or not one.facet or len(one.choices) > FACET_CHOICES_MAX:
            continue
        for choice, _ in one.choices:
            asking = {**values, one.key: choice}
            page = within_time(
                connection,
                until,
                lambda asking=asking: spec.fetch(connection, asking, Cut(0, counted=FACET_MAX + 1)),  # type: ignore[misc]
                time.monotonic,
            )
            if page is None:
                return found
            count = page.count
            found[one.key][choice] = f"{FACET_MAX:,}+" if count > FACET_MAX else f"{count:,}"
    return found


def _in_all(
    view: View, spec: ListSpec, connection: sqlite3.Connection, values: Mapping[str, str], count: int
) -> str:
    """How many rows there are: exactly while they are few, else about, and where counting takes long, at least;
    "" where nobody counts them (-1)."""
    if count < 0:
        return ""
    if count <= COUNTED_MAX:
        return view.t(N_("%(count)s in all"), count=f"{count:,}")
    page = within_time(
        connection,
        time.monotonic() + COUNT_S,
        lambda: spec.fetch(connection, values, Cut(0, counted=ROWS_MAX)),
        time.monotonic,
    )
    if page is None or page.count >= ROWS_MAX:
        return view.t(N_("more than %(count)s in all"), count=f"{COUNTED_MAX:,}")
    digits = len(str(page.count)) - 3
    return view.t(N_("about %(count)s in all"), count=f"{round(page.count, -digits):,}")


def _first(view: View, spec: ListSpec, connection: sqlite3.Connection) -> str:
    """Where an address without any filter leads a person who has one that comes first; "" for nowhere."""
    if set(view.request.query_params) - set(spec.fixed) or view.is_fragment:
        return ""
    query = list_view(connection, view.me.id, spec.name).first_query
    return f"{spec.path}?{urlencode({**spec.fixed, **dict(parse_qsl(query))})}" if query else ""


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

    def page(connection: sqlite3.Connection) -> Page | str:
        return _first(view, spec, connection) or show(build(view, spec, connection), connection)

    shown = await view.read(page)
    return view.go(shown) if isinstance(shown, str) else await view.show(shown)


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
