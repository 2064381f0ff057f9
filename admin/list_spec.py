"""What a list is, as data, and what an address says of it: filters, order, size, and the key of the last row seen."""

import base64
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from admin.i18n import N_
from admin.view import View
from store.listing import Cut
from store.listing import Page as Rows

Kind = Literal["text", "code", "number", "time", "badge", "link", "progress", "actions"]
SIZES = (20, 50, 100, 200)


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
    live: str = ""  # the name of the figure that this one is (`admin/live.py`)
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
    """A field of the filter bar. `choices` are (value, title); `facet`: say beside each how many rows it leaves."""

    key: str
    title: str
    kind: Literal["search", "choice", "moment"] = "search"
    choices: tuple[tuple[str, str], ...] = ()
    placeholder: str = ""
    more: bool = False  # folded away until it is wanted
    facet: bool = True
    every: str = N_("All")  # what a choice says while nothing is chosen


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
