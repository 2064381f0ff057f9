"""The preview (P24): every row in exactly one class, the text as it will be sent, what happens next, and confirm."""

import sqlite3
from collections import Counter
from typing import Any

import msgspec
from litestar import Response, get, post

from admin import sending
from admin.console import Flash
from admin.i18n import N_
from admin.jobs import Job
from admin.operations import TextFigures
from admin.pages.send import available
from admin.permissions import allow
from admin.refusals import SENTENCES
from admin.rendering import Page
from admin.row_export import Cells, rows_as_file
from admin.undo import undo_flash
from admin.view import FromView, View
from store import task_ledger, tasks
from store.config_db import Writing
from store.files import StoreError
from store.task_file import ROWS, Blocked, TaskFile, folder_of
from store.tasks import TaskRow
from store.trash import discard_tasks

FRESH_MS = 15 * 60_000  # older ones are judged anew before they are confirmed
TYPED_CONFIRM_ROWS = 10_000
TYPED_CONFIRM_SHARE = 0.2  # of what is available
SHOWN_RECIPIENTS = 20
SHOWN_BLOCKED = 100
BLOCKED_HEADS = (N_("Source"), N_("Row"), N_("Original"), N_("Number"), N_("Class"), N_("Reason"))


class ClassRow(msgspec.Struct, frozen=True):
    """One line of the table of classes; `detail` tells reasons."""

    kind: str
    title: str
    tone: str
    count: int
    detail: str


class PreviewPage(Page, kw_only=True):
    """The preview, or how far its preparation is."""

    template = "preview.html"
    task: TaskRow
    job: Job | None
    error: str
    figures: TextFigures
    classes: list[ClassRow]
    sources: list[tuple[str, int]]
    recipients: list[int]
    available: int
    review: bool
    start_passed: bool
    must_type: bool
    owner: bool
    errors: dict[str, str]
    type_title: str


class ProgressPage(Page, kw_only=True):
    """Only how far the preparation is."""

    template = "preview_progress.html"
    task: TaskRow
    job: Job | None


class BlockedPage(Page, kw_only=True):
    """Rows of one class that are not sent to."""

    template = "blocked.html"
    task: TaskRow
    kind: str
    rows: list[tuple[Blocked, str, str]]


class Confirmed(msgspec.Struct, frozen=True):
    """What came of a confirmation. Neither errors nor moved: somebody else was first."""

    errors: dict[str, str]
    moved: bool = False
    review: bool = False


def class_rows(view: View, task: TaskRow) -> list[ClassRow]:
    """The classes, each row of every source in exactly one of them."""
    counts: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    for one in task.classes:
        counts[one.kind] += one.count
        if one.reason:
            reasons.setdefault(one.kind, Counter())[one.reason] += one.count
    rows = []
    for kind, (title, tone) in sending.KINDS.items():
        if counts[kind] or kind == "valid":
            detail = "、".join(
                f"{view.t(sending.REASONS.get(reason, reason))} {count:,}"
                for reason, count in reasons.get(kind, Counter()).most_common()
            )
            rows.append(ClassRow(kind, view.t(title), tone, counts[kind], detail))
    return rows


async def _show(view: View, errors: dict[str, str] | None = None, status: int = 200) -> Response[str]:
    task = view.about_task
    if task.state != "preview":
        return view.go(f"/tasks/{task.id}")
    if task.stage == "binding":
        return view.go(f"/tasks/{task.id}/file")
    job = sending.job_of(view, task)
    if task.stage == "preparing" and job is None and view.owns_task:
        await sending.prepare(view, task.id)  # the daemon was restarted meanwhile
        return view.go(f"/tasks/{task.id}/preview")
    ready = task.stage == "ready"
    free = await available(view, task.user)

    def read(connection: sqlite3.Connection) -> tuple[bool, list[int], str]:
        first: list[int] = []
        if ready:
            with TaskFile.open(folder_of(view.console.data, task.id) / ROWS) as file:
                first = file.numbers(0, SHOWN_RECIPIENTS)
        return sending.needs_review(connection, task), first, sending.type_title(connection, task)

    review, recipients, type_title = await view.read(read)
    sources: Counter[str] = Counter()
    for one in task.classes:
        sources[one.source] += one.count
    page = PreviewPage(
        title=view.t(N_("Preview")),
        task=task,
        job=None if ready else job,
        error=view.t(sending.JOB_ERRORS[job.error]) if job and job.error and not ready else "",
        figures=view.console.text_figures(task.text),
        classes=class_rows(view, task),
        sources=[(view.t(sending.SOURCES[source]), count) for source, count in sources.items()],
        recipients=recipients,
        available=free,
        review=review,
        start_passed=bool(task.start_at) and task.start_at <= view.console.wall_ms(),
        must_type=must_type(task, free),
        owner=view.owns_task,
        errors=errors or {},
        type_title=type_title,
    )
    return await view.show(page, status=status)


def must_type(task: TaskRow, free: int) -> bool:
    """Whether a task is so large that its count has to be typed."""
    return task.valid > TYPED_CONFIRM_ROWS or (task.valid > 1 and task.parts > free * TYPED_CONFIRM_SHARE)


@get("/tasks/{task_id:int}/preview", **allow("tasks.read", about="task"))
async def preview(view: FromView) -> Response[str]:
    """The preview of a task."""
    return await _show(view)


@get("/tasks/{task_id:int}/preview/live", **allow("tasks.read", about="task", quiet=True))
async def progress(view: FromView) -> Response[str]:
    """How far the preparation is; when it is done the page loads itself anew."""
    task = view.about_task
    job = sending.job_of(view, task)
    page = ProgressPage(title=view.t(N_("Preview")), task=task, job=job)
    response = await view.show(page)
    if task.stage == "ready" or task.state != "preview" or (job and job.error):
        response.headers["hx-refresh"] = "true"
    return response


@get("/tasks/{task_id:int}/blocked", **allow("tasks.read", about="task"))
async def blocked(view: FromView) -> Response[Any]:
    """The first hundred rows of a class, or all of them as a file."""
    task = view.about_task
    kind = str(view.request.query_params.get("kind", ""))
    kind = kind if kind in sending.KINDS else ""
    path = folder_of(view.console.data, task.id) / ROWS

    def read(after: int, limit: int) -> list[tuple[Blocked, str, str]]:
        try:
            with TaskFile.open(path) as file:
                rows = file.blocked(kind, after, limit)
        except StoreError:
            return []
        return [
            (
                one,
                view.t(sending.KINDS[one.kind][0]),
                view.t(sending.REASONS.get(one.reason, one.reason)) if one.reason else "",
            )
            for one in rows
        ]

    if view.request.query_params.get("format") in ("csv", "xlsx"):

        def cells(after: int, limit: int) -> list[tuple[int, Cells]]:
            return [
                (
                    one.id,
                    (
                        view.t(sending.SOURCES[one.source]), one.line, one.original, one.number or "", title,
                        reason,
                    ),
                )
                for one, title, reason in read(after, limit)
            ]  # fmt: skip

        return await rows_as_file(
            view, f"task-{task.id}-blocked", f"task {task.id} blocked", BLOCKED_HEADS, cells
        )
    page = BlockedPage(
        title=view.t(N_("Rows that are not sent to")),
        task=task,
        kind=kind,
        rows=await view.console.off_loop(read, 0, SHOWN_BLOCKED),
    )
    return await view.show(page)


@post("/tasks/{task_id:int}/confirm", **allow("sms.send", about="task"))
async def confirm(view: FromView) -> Response[str]:
    """Hold the parts, and send: to review, or on its way."""
    task, console = view.about_task, view.console
    if task.state != "preview" or task.stage != "ready":
        return await _refuse(view, task)
    if console.wall_ms() - task.prepared_at > FRESH_MS:
        await view.write(lambda w: tasks.set_stage(w, task.id, "preparing"), reload=False)
        await sending.prepare(view, task.id)
        text = view.t(N_("The numbers were checked anew, as the preview was old. Look again, then confirm."))
        return view.go(f"/tasks/{task.id}/preview", flash=Flash(text))
    done = await confirm_task(view, task)
    if done.errors:
        return await _show(view, done.errors, 422)
    if not done.moved:
        return await _refuse(view, task)
    said = (
        N_("Confirmed. It waits for its review now.") if done.review else N_("Confirmed. It is on its way.")
    )
    return view.go(f"/tasks/{task.id}", flash=Flash(view.t(said)))


async def confirm_task(view: View, task: TaskRow) -> Confirmed:
    """The one door of a task that is ready: judged once more, its parts held, then to review or on its way."""
    console = view.console
    errors: dict[str, str] = {}
    now_ms = console.wall_ms()
    free = await available(view, task.user)
    typed = view.field("count").replace(",", "").replace("，", "").strip()
    types = dict(await view.read(lambda c: tasks.types_of(c, task.user)))
    if task.sms_type not in types:
        errors[""] = view.t(SENTENCES["type-not-allowed"])
    elif not task.valid:
        errors[""] = view.t(N_("There is nobody to send to: no row has a valid number."))
    elif task.end_at and task.end_at <= max(now_ms, task.start_at):
        errors[""] = view.t(N_("The end of the task has passed. Edit it."))
    elif console.text_figures(task.text).action == "reject":
        errors[""] = view.t(N_("The text contains a word that is forbidden by now. Edit it."))
    elif must_type(task, free) and typed != str(task.valid):
        errors["count"] = view.t(N_("Type the number of recipients: %(count)s."), count=task.valid)
    if errors:
        return Confirmed(errors)
    if not console.operations.reserve(task.id, task.user, task.parts):
        missing = max(task.parts - free, 1)
        errors[""] = view.t(
            N_("%(missing)s parts are missing: the task needs %(needed)s, %(free)s are available."),
            missing=f"{missing:,}", needed=f"{task.parts:,}", free=f"{free:,}",
        )  # fmt: skip
        return Confirmed(errors)
    review = [False]
    taken = sum(console.operations.balances().get(task.user, (0, task.parts)))

    def write(transaction: Writing) -> None:
        review[0] = sending.needs_review(transaction.connection, task)
        tasks.move_task(transaction, task.id, "ask-review" if review[0] else "confirm")
        task_ledger.reserve(transaction, task.id, task.user, task.parts, taken=taken)

    done = False
    try:
        await view.write(write, reload=False)
        done = True
    except StoreError:
        return Confirmed({})
    finally:
        if not done:
            console.operations.release(task.id)
    console.operations.task_changed(task.id)
    return Confirmed({}, moved=True, review=review[0])


async def _refuse(view: View, task: TaskRow) -> Response[str]:
    text = view.t(N_("The task is confirmed already, or not ready yet. This is where it stands."))
    return view.go(f"/tasks/{task.id}", flash=Flash(text, "bad"))


@post("/tasks/{task_id:int}/discard", **allow("sms.send", about="task"))
async def discard(view: FromView) -> Response[str]:
    """Drop a task that was not confirmed; for thirty days it can be put back with its recipients."""
    task = view.about_task
    try:
        gone = await view.write(lambda w: discard_tasks(w, view.me.id, [task.id]), reload=False)
    except StoreError as error:
        return view.go(f"/tasks/{task.id}", flash=Flash(view.refusal(error), "bad"))
    return view.go("/sms/pending", flash=undo_flash(view.t(N_("Discarded.")), gone))


ROUTES = (preview, progress, blocked, confirm, discard)
