"""Task log (P2), pending and scheduled (P3): the same tasks, all of them or those that were not sent yet."""

import sqlite3
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from litestar import Response, get

from admin import lists, sending
from admin.i18n import N_
from admin.lists import Cell, Column, Empty, Filter, Listing, ListSpec, Row
from admin.live import Figures, Moment, Topic, by_user
from admin.pages.task import sides
from admin.permissions import Role, allow
from admin.rendering import Page, zone_of
from admin.view import FromView, View
from store import tasks
from store.listing import Cut
from store.listing import Page as Rows
from store.task_states import PENDING, possible
from store.tasks import TaskFilter, TaskRow

PERIODS = {
    "today": N_("Today"),
    "7": N_("Last 7 days"),
    "30": N_("Last 30 days"),
    "month": N_("This month"),
}
PERIOD_OF = {"start": N_("Start, as planned or as it was")}


class TasksPage(Page, kw_only=True):
    """A list of tasks."""

    template = "tasks.html"
    listing: Listing
    can_send: bool
    pending: bool


def period_of(view: View, period: str) -> tuple[int, int]:
    """When a period begins and when it is over, UTC ms, in the viewer's zone; (0, 0) for none."""
    zone = zone_of(view.zone)
    now = datetime.fromtimestamp(view.console.wall_ms() // 1000, zone)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow = midnight + timedelta(days=1)
    first = midnight.replace(day=1)
    found = {
        "today": (midnight, tomorrow),
        "7": (midnight - timedelta(days=6), tomorrow),
        "30": (midnight - timedelta(days=29), tomorrow),
        "month": (first, (first + timedelta(days=32)).replace(day=1)),
    }.get(period)
    return (int(found[0].timestamp() * 1000), int(found[1].timestamp() * 1000)) if found else (0, 0)


def _rows(view: View, moment: Moment, connection: sqlite3.Connection, ids: tuple[int, ...]) -> Figures:
    """Where the tasks of a list stand."""
    figures: Figures = {}
    for identifier in ids:
        task = sending.task_in_sight(view, connection, identifier)
        if task is not None:
            state = sending.state_cell(view, task)
            figures[f"row.{task.id}.state"] = [state.shown, state.tone or "plain"]
            figures[f"row.{task.id}.left"] = sending.countdown(view, task)
    return figures


TOPICS = (Topic("tasks", "tasks.read", _rows, by_user, about=True),)


def spec_of(view: View, *, pending: bool) -> ListSpec:
    """The list behind one of the two pages; a plain user sees own tasks only."""
    own = view.role == Role.USER

    def fetch(connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        state = values["state"]
        states: tuple[str, ...] = (state,) if state else PENDING if pending else ()
        since, before = period_of(view, values["period"])
        wanted = TaskFilter(
            owner=view.me.id if own else 0,
            search=values["q"],
            login=values.get("user", ""),
            group=values.get("group", ""),
            states=states,
            outcome=values.get("outcome", ""),
            since=since,
            before=before,
            by_start=values["by"] == "start",
        )
        return tasks.list_tasks(connection, view.within("tasks.read"), wanted, cut)

    def row(columns: tuple[Any, ...]) -> Row:
        task = TaskRow(*columns)
        href = f"/tasks/{task.id}/preview" if task.state == "preview" else f"/tasks/{task.id}"
        cells = [
            Cell(task.name, href=href, note=f"#{task.id}"),
            *([] if own else [Cell(task.login, note=task.group_path)]),
            msgspec.structs.replace(sending.state_cell(view, task), live=f"row.{task.id}.state"),
            Cell(
                task.start_at or task.created_at if pending else task.created_at,
                note=sending.countdown(view, task),
                live=f"row.{task.id}.left" if pending else "",
            ),
            Cell(task.valid),
            Cell(task.parts),
        ]
        if not pending:
            share = f"{100 * task.delivered / task.valid:.1f} %" if task.started_at and task.valid else "—"
            cells += [Cell(task.parts_sent), Cell(task.delivered, share)]
        chosen = pending and {"cancel", "discard"} & set(possible(task.state, sides(view, task)))
        return Row(tuple(cells), id=str(task.id) if chosen else "")

    chosen = PENDING if pending else tuple(state for state in sending.STATES if state != "discarded")
    filters = [
        Filter("q", N_("Task name"), placeholder=N_("Part of the name")),
        Filter("period", N_("Period"), "choice", tuple(PERIODS.items())),
        Filter("by", N_("Period of"), "choice", tuple(PERIOD_OF.items()), facet=False, every=N_("Creation")),
        Filter("state", N_("State"), "choice", tuple((key, sending.STATES[key][0]) for key in chosen)),
    ]
    if not pending:
        outcomes = tuple((key, title) for key, (title, _) in sending.OUTCOMES.items())
        filters.append(Filter("outcome", N_("Outcome"), "choice", outcomes))
    if not own:
        filters += [
            Filter("user", N_("User"), placeholder=N_("Login or name")),
            Filter("group", N_("User group"), placeholder=N_("Part of its path")),
        ]
    columns = [
        Column("task", N_("Task"), "link"),
        *([] if own else [Column("user", N_("User"))]),
        Column("state", N_("State"), "badge"),
        Column("start" if pending else "created", N_("Start") if pending else N_("Created"), "time"),
        Column("recipients", N_("Recipients"), "number"),
        Column("parts", N_("Parts"), "number"),
    ]
    if not pending:
        columns += [
            Column("sent", N_("Parts sent"), "number", wide=False),
            Column("delivered", N_("Delivered"), "text"),
        ]
    return ListSpec(
        name="tasks-pending" if pending else "tasks",
        path="/sms/pending" if pending else "/sms/tasks",
        columns=tuple(columns),
        filters=tuple(filters),
        fetch=fetch,
        row=row,
        empty=Empty(
            N_("Nothing is pending") if pending else N_("No task yet"),
            N_("Tasks in preview, in review or waiting for their time stand here.")
            if pending
            else N_("A task is one text to many numbers. Send the first one."),
            "/sms/send",
            N_("Send SMS"),
        ),
    )


async def _list(view: View, *, pending: bool) -> Response[Any]:
    title = N_("Pending and scheduled") if pending else N_("Task log")

    def page(listing: Listing, _: sqlite3.Connection) -> TasksPage:
        shown = ",".join(str(row.cells[0].note).removeprefix("#") for row in listing.rows)
        return TasksPage(
            title=view.t(title),
            topics=(f"tasks:{shown}",) if shown else (),
            listing=listing,
            can_send=view.may("sms.send"),
            pending=pending,
        )

    return await lists.answer(view, spec_of(view, pending=pending), page)


@get("/sms/tasks", **allow("tasks.read"))
async def log(view: FromView) -> Response[Any]:
    """All tasks in reach."""
    return await _list(view, pending=False)


@get("/sms/pending", **allow("tasks.read"))
async def waiting(view: FromView) -> Response[Any]:
    """Those of which nothing was sent yet."""
    return await _list(view, pending=True)


ROUTES = (log, waiting)
