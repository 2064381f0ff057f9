"""One task (P25): where it stands, live; what may be done with it; why messages failed; and sending it again."""

import sqlite3
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.exceptions import ClientException

from admin import sending
from admin.console import Flash
from admin.i18n import N_
from admin.live import Figures as FiguresShown
from admin.live import Moment, Topic, by_user
from admin.message_words import NO_REASON, code_of, reason_of, shown_as
from admin.pages.preview import ClassRow, class_rows
from admin.pages.task_messages import FILTERED, FILTERED_MAX, FILTERED_TOO_MANY, numbers_of_filter
from admin.permissions import allow
from admin.rendering import Page, format_number, format_time
from admin.view import FromView, View
from filters.verdict import explain, name_of
from store import tasks
from store.config_db import Writing
from store.files import StoreError
from store.task_file import (
    RESENT,
    ROWS,
    Figures,
    TaskFile,
    drop_sources,
    folder_of,
    make_folder,
    write_private,
)
from store.task_states import MOVES, By, possible
from store.tasks import NAME_CHARACTERS_MAX, TASK_RATE_MAX, Draft, Input, TaskRow

FAILURES_SHOWN = 10
CHART_POINTS_MAX = 120
Series = list[tuple[int, float]]  # (UTC s, messages a second)
RESENDS = {
    "all": N_("Everybody"),
    "failed": N_("Those that failed"),
    "unknown": N_("Those whose end is not known"),
    "not-sent": N_("Those that were not sent"),
}
ACTIONS = {
    "pause": (N_("Pause"), "pause", ""),
    "resume": (N_("Go on"), "play", ""),
    "send-now": (N_("Send now"), "send", ""),
    "withdraw": (N_("Withdraw to edit"), "undo-2", ""),
    "cancel": (N_("Cancel the task"), "x", N_("Cancel this task? Nothing of it is sent.")),
    "stop": (N_("Stop"), "ban", N_("Stop this task for good? What has left is not called back.")),
}


class RateForm(msgspec.Struct, frozen=True):
    rate: Annotated[int, msgspec.Meta(ge=0, le=TASK_RATE_MAX)]


class Share(msgspec.Struct, frozen=True):
    """One part of the bar: how many messages, as a share of all."""

    key: str
    title: str
    count: int
    percent: float


class Action(msgspec.Struct, frozen=True):
    """A button."""

    move: str
    title: str
    icon: str
    question: str


class Failure(msgspec.Struct, frozen=True):
    """A reason why messages failed, how many, and where they are listed."""

    why: str
    code: str
    count: int
    href: str


class LivePage(Page, kw_only=True):
    """What moves."""

    template = "task_live.html"
    task: TaskRow
    figures: Figures
    shares: list[Share]
    actions: list[Action]
    live: FiguresShown


class TaskPage(LivePage, kw_only=True):
    """Everything about a task."""

    template = "task.html"
    classes: list[ClassRow]
    events: list[tuple[int, str, str, str]]
    failures: list[Failure]
    carriers: list[tuple[str, int, int, int, int]]  # name, messages, accepted, delivered, failed
    series: Series
    resends: list[tuple[str, str, int]]
    copies: list[int]
    reserved: int
    owner_active: bool
    type_title: str
    errors: dict[str, str]
    values: dict[str, str]


def sides(view: View, task: TaskRow) -> frozenset[By]:
    """As what the viewer stands to a task."""
    mine: set[By] = {"owner"} if task.user == view.me.id else set()
    if view.may("review"):
        mine |= {"admin"}
    return frozenset(mine)


def _figures(view: View, task: TaskRow) -> tuple[Figures, Series]:
    """What became of the rows, and how many a second left over time."""
    try:
        with TaskFile.open(folder_of(view.console.data, task.id) / ROWS) as file:
            return file.figures(task.valid), file.pace(CHART_POINTS_MAX)
    except StoreError:
        return Figures(task.valid), []


def _live(view: View, task: TaskRow, figures: Figures, series: Series) -> dict[str, Any]:
    not_sent = figures.not_sent if task.state == "finished" else 0
    left = 0 if task.state == "finished" else figures.not_sent
    pieces = (
        ("delivered", N_("Delivered"), figures.delivered),
        ("sent", N_("Submitted, awaiting receipt"), figures.sent),
        ("failed", N_("Failed"), figures.failed + figures.refused),
        ("unknown", N_("Unknown"), figures.unknown),
        ("waiting", N_("Waiting"), figures.waiting + left),
        ("not-sent", N_("Not sent"), not_sent),
    )
    total = max(task.valid, 1)
    rate = view.console.operations.task_rate(task.id)
    done = task.valid - left - figures.waiting
    state = sending.state_cell(view, task)
    moves = possible(task.state, sides(view, task))
    return {
        "task": task,
        "figures": figures,
        "shares": [Share(key, view.t(title), count, 100 * count / total) for key, title, count in pieces],
        "live": {
            "t.state": [state.shown, state.tone],
            "t.rate": format_number(round(rate)),
            "t.eta": sending.time_left(view, (task.valid - done) / rate)
            if rate and task.state == "executing"
            else "",
            "t.bar": [[key, round(100 * count / total, 3)] for key, _, count in pieces],
            "t.series": series,
            "shape.live": task.state,
            **{f"t.count.{key}": format_number(count) for key, _, count in pieces},
            **{f"t.percent.{key}": f"{100 * count / total:.1f} %" for key, _, count in pieces},
        },
        "actions": [
            Action(move, view.t(title), icon, view.t(question) if question else "")
            for move, (title, icon, question) in ACTIONS.items()
            if move in moves and not (move == "send-now" and not task.start_at)
        ],
    }


def _one(view: View, moment: Moment, connection: sqlite3.Connection, ids: tuple[int, ...]) -> FiguresShown:
    """The figures of a task that is in the viewer's sight."""
    task = sending.task_in_sight(view, connection, ids[0]) if ids else None
    if task is None:
        return {"shape.live": "gone"}
    shown: FiguresShown = _live(view, task, *_figures(view, task))["live"]
    return shown


TOPICS = (Topic("task", "tasks.read", _one, by_user, about=True),)


async def _show(view: View, errors: dict[str, str] | None = None, status: int = 200) -> Response[str]:
    task = view.about_task
    if task.state == "preview":
        return view.go(f"/tasks/{task.id}/preview")

    def read(
        connection: sqlite3.Connection,
    ) -> tuple[tuple[Figures, Series], list[tuple[int, str, str, str, str]], list[int], bool, str]:
        owner = connection.execute("SELECT state FROM user WHERE id = ?", (task.user,)).fetchone()
        return (
            _figures(view, task),
            tasks.task_events(connection, task.id),
            tasks.resends_of(connection, task.id),
            owner == ("active",),
            sending.type_title(connection, task),
        )

    (figures, series), events, copies, owner_active, type_title = await view.read(read)
    failed = figures.failed + figures.refused + figures.unknown
    counted = await view.console.operations.failures(task.id) if failed else {}
    counts = {
        "all": task.valid,
        "failed": figures.failed + figures.refused,
        "unknown": figures.unknown,
        "not-sent": figures.not_sent if task.state == "finished" else 0,
    }
    carriers = await view.console.operations.task_carriers(task.id) if task.started_at else []
    page = TaskPage(
        title=task.name,
        topics=(f"task:{task.id}",),
        carriers=carriers,
        series=series,
        classes=class_rows(view, task),
        events=[
            (at, actor.removeprefix("console:"), view.t(sending.MOVES.get(move, move)), note)
            for at, actor, move, _, note in events
        ],
        failures=_failures(view, task, counted),
        resends=[(key, view.t(title), counts[key]) for key, title in RESENDS.items() if counts[key]],
        copies=copies,
        reserved=task.parts - figures.parts_sent if task.state != "finished" else 0,
        owner_active=owner_active,
        type_title=type_title,
        errors=errors or {},
        values={
            "rate": view.field("rate") or str(task.rate),
            "start_at": view.field("start_at") or sending.write_moment(task.start_at, view.zone),
        },
        **_live(view, task, figures, series),
    )
    return await view.show(page, status=status)


def _failures(view: View, task: TaskRow, counted: Mapping[tuple[int, int, bool], int]) -> list[Failure]:
    """The most frequent reasons, each leading to its messages."""
    found = []
    for (state, error, taken), count in sorted(counted.items(), key=lambda one: -one[1])[:FAILURES_SHOWN]:
        base = f"/tasks/{task.id}/messages"
        if not state:  # refused at the door
            why, code = explain(error, view.language), name_of(error)
            found.append(Failure(why, code, count, f"{base}?show=refused"))
            continue
        why = reason_of(state, error, taken=taken, language=view.language)
        code = code_of(state, error, taken=taken)
        query = urlencode({"state": shown_as(state, taken=taken)[0], "reason": code})
        found.append(Failure(why, "" if code == NO_REASON else code, count, f"{base}?{query}"))
    return found


@get("/tasks/{task_id:int}", **allow("tasks.read", about="task"))
async def task(view: FromView) -> Response[str]:
    """Everything about a task."""
    return await _show(view)


@get("/tasks/{task_id:int}/live", **allow("tasks.read", about="task", quiet=True))
async def live(view: FromView) -> Response[str]:
    """Only what moves. When it stands elsewhere the whole page comes anew."""
    about = view.about_task
    figures, series = await view.console.off_loop(_figures, view, about)
    page = LivePage(title=about.name, **_live(view, about, figures, series))
    response = await view.show(page)
    if view.request.query_params.get("state", about.state) != about.state:
        response.headers["hx-refresh"] = "true"
    return response


@post("/tasks/{task_id:int}/move", **allow("tasks.act", about="task"))
async def move(view: FromView) -> Response[str]:
    """Pause, go on, stop, cancel, withdraw, send now, reschedule. 409 with the state when somebody was faster."""
    about = view.about_task
    name = view.field("move")
    if name not in (*ACTIONS, "reschedule") or not sides(view, about) & set(MOVES[name].by):
        raise ClientException
    values: dict[str, Any] = {}
    if name == "send-now":
        values["start_at"] = 0
    if name == "reschedule":
        moment = sending.read_moment(view.field("start_at"), view.zone)
        if not moment:
            text = view.t(N_("Give a date and time, such as 2025-10-10 09:30:05."))
            return await _show(view, {"start_at": text}, 422)
        values["start_at"] = moment
    try:
        await view.write(lambda w: tasks.move_task(w, about.id, name, **values), reload=False)
    except StoreError as error:
        view.task = await view.read(lambda c: tasks.any_task(c, about.id))
        return await _show(view, {"": view.refusal(error)}, 409)
    view.console.operations.task_changed(about.id)
    if MOVES[name].after == "finished":
        await view.console.off_loop(drop_sources, view.console.data, about.id)
    # What is paused goes on again with one click.
    undo = f"/tasks/{about.id}/move" if name == "pause" else ""
    said = Flash(view.t(sending.MOVES[name]), undo=undo, fields={"move": "resume"} if undo else {})
    return view.go(f"/tasks/{about.id}/preview" if name == "withdraw" else f"/tasks/{about.id}", flash=said)


@post("/tasks/{task_id:int}/resend", **allow("tasks.act", about="task"))
async def resend(view: FromView) -> Response[str]:
    """A new task of the viewer's with the same text, for those that are chosen; charged anew."""
    about, console = view.about_task, view.console
    wanted = view.field("which")
    if (wanted not in RESENDS and wanted != FILTERED) or about.state == "preview":
        raise ClientException
    chosen: list[int] = []
    if wanted == FILTERED:
        chosen = await numbers_of_filter(view, about)
        if not 0 < len(chosen) <= FILTERED_MAX:
            said = N_("No message fits the filter.") if not chosen else FILTERED_TOO_MANY
            return await _show(view, {"": view.t(said, limit=f"{FILTERED_MAX:,}")}, 422)
    figures = console.text_figures(about.text)
    name = f"{about.name[: NAME_CHARACTERS_MAX - 3]} +1"
    draft = Draft(
        name, about.text, figures.masked, figures.parts, figures.action,
        about.sender if view.owns_task else "", sms_type=about.sms_type,
    )  # fmt: skip
    new_account = [False]

    def write(transaction: Writing) -> int:
        new_account[0] = tasks.console_account(transaction, view.me.id)[1]
        return tasks.create_task(
            transaction, view.me.id, draft, Input(resent=wanted), stage="preparing", resend_of=about.id
        )

    try:
        copy = await view.write(write, reload=False)
    except StoreError as error:
        return await _show(view, {"": view.refusal(error)}, 422)
    if new_account[0]:
        await console.operations.reload()
    folder = await console.off_loop(make_folder, console.data, copy)
    if wanted == FILTERED:
        lines = "".join(f"{number}\n" for number in chosen)
        await console.off_loop(write_private, folder / RESENT, lines.encode())
    else:
        await console.operations.choose_numbers(about.id, wanted, folder / RESENT)
    await sending.prepare(view, copy)
    text = view.t(N_("A copy of the task “%(name)s” of %(at)s. Look at it, then confirm."), name=about.name,
                  at=format_time(about.created_at, view.zone))  # fmt: skip
    return view.go(f"/tasks/{copy}/preview", flash=Flash(text))


@post("/tasks/{task_id:int}/rate", **allow("tasks.act", about="task"))
async def set_rate(view: FromView) -> Response[str]:
    """How many messages a second the task may send from now on; 0 is what the carriers take."""
    about = view.about_task
    form, errors = view.parse(RateForm)
    if form is None:
        return await _show(view, errors, 422)
    rate = form.rate
    try:
        await view.write(lambda w: tasks.set_task_rate(w, about.id, rate), reload=False)
    except StoreError as error:
        return await _show(view, {"": view.refusal(error)}, 409)
    view.console.operations.task_changed(about.id)
    text = (
        view.t(N_("At most %(rate)s messages a second from now on."), rate=f"{rate:,}")
        if rate
        else view.t(N_("As fast as the carriers take it."))
    )
    undo = {"rate": str(about.rate)}
    return view.go(f"/tasks/{about.id}", flash=Flash(text, undo=f"/tasks/{about.id}/rate", fields=undo))


ROUTES = (set_rate, task, live, move, resend)
