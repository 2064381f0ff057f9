"""Content review (P23): tasks of reviewed users and reviewed words wait for somebody's yes or no."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence

import msgspec
from litestar import Response, get, post
from litestar.exceptions import ClientException

from admin.console import Flash
from admin.i18n import N_
from admin.operations import TextFigures
from admin.pages.preview import SHOWN_RECIPIENTS, ClassRow, class_rows
from admin.permissions import allow
from admin.rendering import Page, format_time
from admin.view import FromView, View
from store import tasks
from store.config_db import Writing
from store.files import StoreError
from store.listing import Cut, rows_of
from store.refusals import Refused
from store.task_file import ROWS, TaskFile, drop_sources, folder_of
from store.tasks import Decision, TaskFilter, TaskRow

SHOWN_MAX = 100
DECISIONS_SHOWN = 5
NOTE_CHARACTERS_MAX = 500
LONG_MS = 60 * 60_000  # a task that waits longer than this is marked


KEYS = (
    ("j", N_("Next task")),
    ("k", N_("Task before")),
    ("a", N_("Approve")),
    ("r", N_("Reject, with a reason")),
)


class Waiting(msgspec.Struct, frozen=True):
    """A task in the queue, with how long it waits. `alike` are those that say the same, where it is their first."""

    task: TaskRow
    minutes: int
    long: bool
    may_decide: bool
    question: str
    alike: list[int]


class ReviewsPage(Page, kw_only=True):
    """The queue, the oldest first."""

    template = "reviews.html"
    queue: list[Waiting]


class ReviewPage(Page, kw_only=True):
    """One task, with everything that a reviewer needs."""

    template = "review.html"
    task: TaskRow
    figures: TextFigures
    classes: list[ClassRow]
    recipients: list[int]
    history: Mapping[str, int]
    decisions: list[Decision]
    question: str
    alike: list[int]
    before: int
    after: int
    reject: bool
    own: bool
    may_decide: bool
    start_passed: bool
    errors: dict[str, str]
    values: dict[str, str]


@get("/review/tasks", **allow("review"))
async def reviews(view: FromView) -> Response[str]:
    """What waits."""
    now_ms = view.console.wall_ms()

    def read(connection: sqlite3.Connection) -> list[Waiting]:
        rows = _queue(view, connection)
        decidable = {row.id for row in rows if may_decide(view, connection, row)}
        return [
            Waiting(
                task=row,
                minutes=(now_ms - row.created_at) // 60_000,
                long=now_ms - row.created_at > LONG_MS,
                may_decide=row.id in decidable,
                question=_question(view, row),
                alike=_alike(row, rows, decidable),
            )
            for row in rows
        ]

    page = ReviewsPage(title=view.t(N_("Content review")), queue=await view.read(read), keys=KEYS)
    return await view.show(page)


def _queue(view: View, connection: sqlite3.Connection) -> Sequence[TaskRow]:
    """What waits, the oldest first."""
    wanted = TaskFilter(states=("review",))
    cut = Cut(SHOWN_MAX, sort="oldest")
    return rows_of(tasks.list_tasks(connection, view.within("review"), wanted, cut), TaskRow)


def alike(one: TaskRow, other: TaskRow) -> bool:
    """Whether two tasks say the same, from the same sender."""
    return (one.text, one.sender, one.sms_type) == (other.text, other.sender, other.sms_type)


def _alike(task: TaskRow, rows: Sequence[TaskRow], decidable: Collection[int]) -> list[int]:
    """The tasks that can be approved along with one, itself among them; [] for fewer than two, and for all but
    the first of them."""
    found = [row.id for row in rows if row.id in decidable and alike(row, task)]
    return found if len(found) > 1 and found[0] == task.id else []


def _question(view: View, task: TaskRow) -> str:
    """What is asked before an approval: what happens then."""
    if task.start_at > view.console.wall_ms():
        return view.t(
            N_("Approve “%(name)s”? It begins at %(time)s; until then it can be cancelled."),
            name=task.name, time=format_time(task.start_at, view.zone),
        )  # fmt: skip
    return view.t(
        N_("Approve “%(name)s”? It begins at once, and what has been sent is not called back."),
        name=task.name,
    )


def may_decide(view: View, connection: sqlite3.Connection, task: TaskRow) -> bool:
    """Whether the viewer may: by default nobody reviews themself, unless there is nobody else who could."""
    allowed = view.console.options.review_allow_self
    own = task.user == view.me.id
    if not own or allowed != "auto":
        return not own or allowed == "yes"
    row = connection.execute("SELECT count(*) FROM user WHERE role = 'admin' AND state = 'active'").fetchone()
    return bool(row[0] <= 1)


async def _show(view: View, errors: dict[str, str] | None = None, status: int = 200) -> Response[str]:
    task = view.about_task
    if task.state != "review" and not errors:
        return view.go(f"/tasks/{task.id}")

    def read(connection: sqlite3.Connection) -> ReviewPage:
        try:
            with TaskFile.open(folder_of(view.console.data, task.id) / ROWS) as file:
                numbers = file.numbers(0, SHOWN_RECIPIENTS)
        except StoreError:
            numbers = []
        rows = _queue(view, connection)
        decidable = {row.id for row in rows if may_decide(view, connection, row)}
        return ReviewPage(
            title=task.name,
            keys=KEYS,
            task=task,
            figures=view.console.text_figures(task.text),
            classes=class_rows(view, task),
            recipients=numbers,
            history=tasks.rejections(connection, task.user),
            decisions=tasks.decisions_on(connection, view.within("review"), task.user, DECISIONS_SHOWN),
            question=_question(view, task),
            alike=[
                task.id,
                *(row.id for row in rows if row.id in decidable - {task.id} and alike(row, task)),
            ],
            before=max((row.id for row in rows if row.id < task.id), default=0),
            after=min((row.id for row in rows if row.id > task.id), default=0),
            reject=bool(view.query("reject")),
            own=view.owns_task,
            may_decide=may_decide(view, connection, task) and task.state == "review",
            start_passed=bool(task.start_at) and task.start_at <= view.console.wall_ms(),
            errors=errors or {},
            values={"note": view.field("note")},
        )

    return await view.show(await view.read(read), status=status)


@get("/review/tasks/{task_id:int}", **allow("review", about="task"))
async def review(view: FromView) -> Response[str]:
    """One task that waits."""
    return await _show(view)


@post("/review/tasks/{task_id:int}", **allow("review", about="task"))
async def decide(view: FromView) -> Response[str]:
    """Approve or reject. Whoever comes second is told who was first."""
    task = view.about_task
    move = {"approve": "approve", "reject": "reject"}.get(view.field("decision"))
    if move is None:
        raise ClientException
    if not await view.read(lambda c: may_decide(view, c, task)):
        text = view.t(N_("This is your own task: another administrator has to review it."))
        return await _show(view, {"": text}, 403)
    note = view.field("note").strip()[:NOTE_CHARACTERS_MAX]
    if move == "reject" and not note:
        return await _show(view, {"note": view.t(N_("Give a reason."))}, 422)
    if move == "approve" and task.end_at and task.end_at <= view.console.wall_ms():
        text = view.t(N_("The end of the task has passed: it can only be rejected."))
        return await _show(view, {"": text}, 422)

    def write(transaction: Writing) -> None:
        tasks.move_task(transaction, task.id, move, note=note)
        if view.owns_task:
            transaction.audit("task.self-review", f"task {task.id}", changes=False)

    try:
        await view.write(write, reload=False)
    except Refused as error:
        view.task = await view.read(lambda c: tasks.any_task(c, task.id))
        return await _show(view, {"": view.refusal(error)}, 409)
    view.console.operations.task_changed(task.id)
    if move == "reject":
        await view.console.off_loop(drop_sources, view.console.data, task.id)
    said = N_("“%(name)s” is approved.") if move == "approve" else N_("“%(name)s” is rejected.")
    return view.go("/review/tasks", flash=Flash(view.t(said, name=task.name)))


ROUTES = (reviews, review, decide)
