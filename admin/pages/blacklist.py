"""Blacklists (P19): three tabs, check a number, add and remove."""

import sqlite3
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, get, post
from litestar.exceptions import NotFoundException, PermissionDeniedException
from msgspec import Meta

from admin import lists
from admin.console import Flash
from admin.i18n import N_
from admin.import_rows import read_expiry
from admin.lists import Cell, Column, Empty, Filter, Listing, ListSpec, Row
from admin.message_sight import find_messages, is_clear
from admin.pages.messages import CHOSEN_MAX, write_down
from admin.permissions import Reach, Role, allow, reach
from admin.rendering import Page
from admin.undo import undo_flash
from admin.view import FromView, View
from filters.numbers import split_numbers
from store.address_book import ContactGroup, contact_groups, numbers_of
from store.directory import BlacklistScope
from store.listing import Cut
from store.listing import Page as Rows
from store.people_list import GroupRow, list_groups
from store.rules import Listed, blacklist_add, why_listed
from store.rules_list import list_blacklist, list_sms_types
from store.trash import delete_numbers

KINDS = {"global": N_("Global"), "group": N_("User group"), "type": N_("SMS type")}
SOURCES = {
    "manual": N_("by hand"),
    "import": N_("file"),
    "apply": N_("sluice apply"),
    "complaint": N_("complaint"),
    "opt-out": N_("opt-out reply"),
    "API": N_("API"),
}
NUMBERS_AT_ONCE_MAX = 20_000
BAD_SHOWN_MAX = 5


class Found(msgspec.Struct, frozen=True):
    """A list that a number is on."""

    title: str
    listed: Listed
    can_remove: bool


class BlacklistPage(Page, kw_only=True):
    """One tab."""

    template = "blacklist.html"
    listing: Listing
    kind: str
    kinds: Mapping[str, str]
    groups: list[GroupRow]
    types: list[tuple[str, str]]
    values: Mapping[str, str]
    errors: Mapping[str, str]
    contacts: list[ContactGroup]
    can_add: bool
    checked: str
    check_error: str
    found: list[Found]


class AddForm(msgspec.Struct, frozen=True):
    """Numbers for one list."""

    numbers: Annotated[str, Meta(max_length=900_000, extra={"lines": True})] = ""
    contacts: Annotated[int, Meta(ge=0)] = 0  # a contact group of one's own: all in it and below
    expiry: Annotated[str, Meta(max_length=40)] = ""
    group: Annotated[int, Meta(ge=0)] = 0
    sms_type: str = ""
    note: Annotated[str, Meta(max_length=200)] = ""
    source: Literal["manual", "complaint"] = "manual"


def may_write(view: View, scope: BlacklistScope, groups: set[int]) -> bool:
    """Whether this list is the viewer's to change: the global one is the system administrators'."""
    if view.role == Role.SYSTEM:
        return True
    if scope.kind == "global":
        return False
    if scope.kind == "type":
        return reach(view.role, "blacklist.write") > Reach.NONE
    return scope.key in groups


def _groups(view: View, connection: sqlite3.Connection) -> list[GroupRow]:
    """Groups whose lists the viewer may change: a plain user's own, an administrator's subtree."""
    rows = list_groups(connection, view.within("blacklist.write"))
    return [row for row in rows if view.role > Role.USER or row.id == view.me.group]


def spec_of(view: View, kind: str, types: Mapping[str, str], groups: list[GroupRow]) -> ListSpec:
    """The list behind one tab. A plain user sees own entries, and the whole list of the own group."""
    writable = {row.id for row in groups}
    own = view.role == Role.USER

    def fetch(connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        number = 0
        if values["number"]:
            try:
                number = view.console.operations.canonical_number(values["number"])
            except ValueError:
                number = -1
        return list_blacklist(
            connection,
            view.within("blacklist.read"),
            kind,
            cut,
            group=view.me.group if own and kind == "group" else 0,
            sms_type=values.get("type", ""),
            number=number,
            creator=view.me.login if own and kind != "group" else values["creator"],
        )

    def row(columns: tuple[Any, ...]) -> Row:
        _, number, group, path, sms_type, source, note, actor, at, expires_at = columns
        where = {"global": view.t(KINDS["global"]), "group": path, "type": types.get(sms_type, sms_type)}[
            kind
        ]
        scope = BlacklistScope(kind, group if kind == "group" else sms_type if kind == "type" else 0)  # type: ignore[arg-type]
        key = f"{scope.kind}:{scope.key}:{number}"
        return Row(
            (
                Cell(number),
                Cell(where),
                Cell(source, view.t(SOURCES.get(source, source))),
                Cell(note),
                Cell(actor.removeprefix("console:")),
                Cell(at),
                Cell(expires_at),
            ),
            id=key if may_write(view, scope, writable) else "",
        )

    filters = [
        Filter("number", N_("Number"), placeholder=N_("138 0000 0000")),
        Filter("creator", N_("Added by"), placeholder=N_("Login")),
    ]
    if kind == "type":
        filters.append(Filter("type", N_("SMS type"), "choice", tuple(types.items())))
    return ListSpec(
        name=f"blacklist-{kind}",
        path="/settings/blacklist",
        columns=(
            Column("number", N_("Number"), "code"),
            Column("list", N_("List")),
            Column("source", N_("Source")),
            Column("note", N_("Note"), wide=False),
            Column("creator", N_("Added by")),
            Column("at", N_("Since"), "time", wide=False),
            Column("until", N_("Until"), "time", wide=False),
        ),
        filters=tuple(filters),
        fetch=fetch,
        row=row,
        empty=Empty(
            N_("Nobody is on this list"),
            N_("Numbers on it are treated as invalid: nothing is sent to them."),
        ),
        fixed={"tab": kind} if kind != "global" else {},
    )


async def _show(
    view: View,
    kind: str,
    *,
    values: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response[Any]:
    groups = await view.read(lambda c: _groups(view, c))
    types = {name: view.t(title) for name, title in await view.read(list_sms_types)}
    checked = str(view.request.query_params.get("check", "")).strip()[:64]
    number, check_error = 0, ""
    if checked:
        try:
            number = view.console.operations.canonical_number(checked)
        except ValueError:
            check_error = view.t(N_("This is no phone number."))
    contacts = await view.read(lambda c: contact_groups(c, view.me.id))
    prefilled = await _prefilled(view) if values is None else {}
    spec = spec_of(view, kind, types, groups)
    writable = {row.id for row in groups}
    can_add = view.role == Role.SYSTEM or kind != "global"

    def page(listing: Listing, connection: sqlite3.Connection) -> BlacklistPage:
        return BlacklistPage(
            title=view.t(N_("Blacklists")),
            listing=listing,
            kind=kind,
            kinds=KINDS,
            groups=groups,
            types=list(types.items()),
            values={
                "numbers": "",
                "group": "",
                "sms_type": "",
                "note": "",
                "contacts": "",
                "expiry": "",
                "source": "manual",
                "check": checked,
                **prefilled,
                **(values or {}),
            },
            errors=errors or {},
            contacts=contacts,
            can_add=can_add,
            checked=str(number) if number else "",
            check_error=check_error,
            found=_found(view, connection, number, types, writable) if number else [],
        )

    if status != 200:
        return await view.show(await view.read(lambda c: page(lists.build(view, spec, c), c)), status=status)
    return await lists.answer(view, spec, page)


async def _prefilled(view: View) -> dict[str, str]:
    """What the form holds when it is about messages: whoever got them does not want another."""
    ids = [one for one in view.query("message").split(",") if one.isdecimal() and len(one) <= 19][:CHOSEN_MAX]
    if not ids:
        return {}
    known = await view.console.off_loop(find_messages, view, [int(one) for one in ids])
    if known is None:
        raise NotFoundException
    masked = [one.life.id for one in known if not is_clear(view, one.owner, one.life.id)]
    if masked:
        await write_down(
            view, f"message {masked[0]}" if len(masked) == 1 else f"{len(masked)} messages", masked
        )
    groups = {one.owner.group for one in known if one.owner}
    note = (
        N_("Complaint about message %(id)s") if len(known) == 1 else N_("Complaints about %(count)s messages")
    )
    return {
        "numbers": "\n".join(dict.fromkeys(str(one.life.parts[0].dest) for one in known)),
        "group": str(groups.pop()) if len(groups) == 1 else "",
        "note": view.t(note, id=known[0].life.id, count=len(known)),
        "source": "complaint",
    }


def _found(
    view: View, connection: sqlite3.Connection, number: int, types: Mapping[str, str], writable: set[int]
) -> list[Found]:
    """The lists in the viewer's sight that a number is on."""
    visible = {row.id: row.path for row in list_groups(connection, view.within("blacklist.read"))}
    found = []
    for listed in why_listed(connection, number):
        kind, key = listed.scope.kind, listed.scope.key
        if kind == "group" and key not in visible:
            continue
        detail = {
            "group": visible.get(int(key), "") if kind == "group" else "",
            "type": types.get(str(key), ""),
        }
        title = view.t(KINDS[kind]) + (f" · {detail[kind]}" if kind in detail else "")
        found.append(Found(title, listed, may_write(view, listed.scope, writable)))
    return found


@get("/settings/blacklist", **allow("blacklist.read"))
async def blacklist(view: FromView) -> Response[Any]:
    """One of the three lists."""
    kind = str(view.request.query_params.get("tab", "global"))
    return await _show(view, kind if kind in KINDS else "global")


@post("/settings/blacklist/{kind:str}", **allow("blacklist.write"))
async def add(view: FromView) -> Response[Any]:
    """Add typed or pasted numbers to one list."""
    kind = view.at("kind")
    if kind not in KINDS:
        raise NotFoundException
    form, errors = view.parse(AddForm)
    given = {name: sent[0] for name, sent in view.form.items() if sent}
    if form is None:
        return await _show(view, kind, values=given, errors=errors, status=422)
    groups = {row.id for row in await view.read(lambda c: _groups(view, c))}
    types = dict(await view.read(list_sms_types))
    if kind == "group" and form.group not in groups:
        errors["group"] = view.t(N_("Choose one of those offered."))
    if kind == "type" and form.sms_type not in types:
        errors["sms_type"] = view.t(N_("Choose one of those offered."))
    expires_at = read_expiry(form.expiry, view.zone) if form.expiry else 0
    if expires_at is None:
        errors["expiry"] = view.t(N_("Give a date, such as 2030-12-31."))
    elif expires_at and expires_at <= view.console.wall_ms():
        errors["expiry"] = view.t(N_("That time has passed."))
    numbers, bad = _numbers(view, form.numbers)
    if not bad and not numbers and not form.contacts:
        errors["numbers"] = view.t(N_("Fill this in."))
    if bad:
        errors["numbers"] = view.t(
            N_("These are no phone numbers: %(numbers)s"), numbers="、".join(bad[:BAD_SHOWN_MAX])
        )
    elif len(numbers) > NUMBERS_AT_ONCE_MAX:
        errors["numbers"] = view.t(N_("At most %(limit)s at once."), limit=NUMBERS_AT_ONCE_MAX)
    if form.contacts:
        chosen = form.contacts
        picked = await view.read(lambda c: numbers_of(c, view.me.id, (), (chosen,)))
        if not picked:
            errors["contacts"] = view.t(N_("Choose one of those offered."))
        numbers += picked
    if errors:
        return await _show(view, kind, values=given, errors=errors, status=422)
    key: int | str = form.group if kind == "group" else form.sms_type if kind == "type" else 0
    scope = BlacklistScope(kind, key)  # type: ignore[arg-type]
    if not may_write(view, scope, groups):
        raise PermissionDeniedException
    note, source = form.note, form.source
    new = await view.write(
        lambda w: blacklist_add(w, scope, numbers, source=source, note=note, expires_at=expires_at or 0)
    )
    text = view.t(
        N_("%(added)s numbers added; %(known)s were on the list already."),
        added=len(new),
        known=len(set(numbers)) - len(new),
    )
    return view.go(_tab(kind), flash=Flash(text))


def _numbers(view: View, text: str) -> tuple[list[int], list[str]]:
    numbers, bad = [], []
    for one in split_numbers(text):
        try:
            numbers.append(view.console.operations.canonical_number(one))
        except ValueError:
            bad.append(one[:40])
    return numbers, bad


@post("/settings/blacklist/{kind:str}/remove", **allow("blacklist.write"))
async def remove(view: FromView) -> Response[Any]:
    """Take the chosen entries off their lists."""
    kind = view.at("kind")
    if kind not in KINDS:
        raise NotFoundException
    groups = {row.id for row in await view.read(lambda c: _groups(view, c))}
    by_scope: dict[BlacklistScope, list[int]] = {}
    for one in view.form.get("ids", ()):
        found_kind, _, rest = one.partition(":")
        key, _, number = rest.rpartition(":")
        if found_kind not in KINDS or not number.isdecimal() or len(number) > 18:
            continue
        scope = BlacklistScope(found_kind, int(key) if found_kind == "group" and key.isdecimal() else key)  # type: ignore[arg-type]
        if found_kind == "global":
            scope = BlacklistScope("global")
        if not may_write(view, scope, groups):
            raise PermissionDeniedException
        by_scope.setdefault(scope, []).append(int(number))

    gone = await view.write(lambda w: delete_numbers(w, view.me.id, by_scope))
    flash = undo_flash(view.t(N_("%(count)s numbers removed."), count=gone.count), gone)
    return view.go(_tab(kind), flash=flash)


def _tab(kind: str) -> str:
    return "/settings/blacklist" if kind == "global" else f"/settings/blacklist?tab={kind}"


ROUTES = (blacklist, add, remove)
