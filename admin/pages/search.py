"""The search in the top bar: a number, a message's id, a task's number or name, a user; and straight there."""

import sqlite3
from urllib.parse import urlencode

import msgspec
from litestar import Response, get

from admin import sending
from admin.i18n import N_
from admin.lists import Cell
from admin.message_sight import find_message
from admin.permissions import Role, allow
from admin.rendering import Page
from admin.view import FromView, View
from store import tasks
from store.listing import Cut
from store.people_list import UserFilter, UserRow, list_users
from store.tasks import TaskFilter, TaskRow

SHOWN_MAX = 10
QUERY_CHARACTERS_MAX = 100
NUMBER_DIGITS_MIN = 4  # fewer begin too many numbers
TASK_DIGITS_MAX = 18


class Hit(msgspec.Struct, frozen=True):
    """Something that fits, and where it is."""

    href: str
    title: str
    note: str
    state: Cell | None = None


class SearchPage(Page, kw_only=True):
    """What fits, by kind; nothing: what may be asked."""

    template = "search.html"
    query: str
    tasks: list[Hit]
    users: list[Hit]
    numbers_href: str


@get("/search", **allow("messages.read"))
async def search(view: FromView) -> Response[str]:
    """Lead to what is asked for, or show what fits."""
    query = str(view.request.query_params.get("q", "")).strip()[:QUERY_CHARACTERS_MAX]
    number = view.console.operations.message_number(query) if query else 0
    if number:
        known = await view.console.off_loop(find_message, view, number)
        if known is not None:
            return view.go(f"/reports/messages/{known.life.id}")
    page = await view.read(lambda connection: _found(view, connection, query))
    hits = [*page.tasks, *page.users]
    if page.numbers_href and not hits:
        return view.go(page.numbers_href)
    if len(hits) == 1 and not page.numbers_href:
        return view.go(hits[0].href)
    return await view.show(page)


def _found(view: View, connection: sqlite3.Connection, query: str) -> SearchPage:
    page = SearchPage(title=view.t(N_("Search")), query=query, tasks=[], users=[], numbers_href="")
    if not query:
        return page
    own = view.me.id if view.role == Role.USER else 0
    within = view.within("tasks.read")
    digits = query.removeprefix("#")
    if digits.isdecimal() and digits.isascii() and len(digits) <= TASK_DIGITS_MAX:
        one = tasks.read_task(connection, within, int(digits), owner=own)
        if one is not None:
            page.tasks.append(_task(view, one))
        if query.startswith("#"):
            return page
    plain = "".join(query.split()).replace("-", "").removeprefix("+").removesuffix("*")
    if plain.isdecimal() and plain.isascii() and NUMBER_DIGITS_MIN <= len(plain) < TASK_DIGITS_MAX:
        page.numbers_href = f"/reports/messages?{urlencode({'number': query})}"
    named = tasks.list_tasks(connection, within, TaskFilter(owner=own, search=query), Cut(SHOWN_MAX)).rows
    known = {hit.href for hit in page.tasks}
    page.tasks += [hit for row in named if (hit := _task(view, TaskRow(*row))).href not in known]
    if view.may("users.read"):
        wanted = UserFilter(search=query)
        users = list_users(connection, view.within("users.read"), wanted, Cut(SHOWN_MAX)).rows
        found = [UserRow(*row) for row in users]
        page.users += [Hit(f"/users/{one.id}", one.login, f"{one.name} · {one.group_path}") for one in found]
    return page


def _task(view: View, task: TaskRow) -> Hit:
    href = f"/tasks/{task.id}/preview" if task.state == "preview" else f"/tasks/{task.id}"
    return Hit(href, task.name, f"#{task.id} · {task.login}", sending.state_cell(view, task))


ROUTES = (search,)
