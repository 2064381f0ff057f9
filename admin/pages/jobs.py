"""Jobs (P31): exports, imports and preparations with their progress; cancel, try again, fetch what came of them."""

import sqlite3
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec
import trio
from litestar import Response, get, post
from litestar.exceptions import ClientException, NotFoundException
from litestar.response import Stream
from msgspec import Meta

from admin import lists, sending
from admin.console import Flash
from admin.i18n import N_
from admin.list_export import EXPORT_LIST, ListOrders
from admin.lists import Act, Cell, Column, Empty, Filter, Listing, ListSpec, Row
from admin.menu import current
from admin.permissions import Reach, allow, reach
from admin.rendering import Page, format_number
from admin.view import FromView, View
from store import jobs, tasks
from store.files import StoreError
from store.jobs import JobFilter, JobRow
from store.listing import Cut
from store.listing import Page as Rows

STATES = {
    "waiting": (N_("Waiting"), "plain"),
    "running": (N_("Running"), "info"),
    "done": (N_("Done"), "good"),
    "failed": (N_("Failed"), "bad"),
    "cancelled": (N_("Cancelled"), "plain"),
    "interrupted": (N_("Interrupted"), "warn"),
}
GROUPS = {"export": N_("Exports"), "import": N_("Imports")}
INTERRUPTED = N_("Sluice was restarted while it ran. Nothing of it counts; try again.")
FETCH_OCTETS = 262_144


class Preparing(msgspec.Struct, frozen=True):
    """A task whose rows are being judged."""

    task: int
    name: str
    login: str
    rows: int
    percent: int
    error: str
    can_cancel: bool


class JobsPage(Page, kw_only=True):
    """The list, and above it the preparations that run."""

    template = "jobs.html"
    listing: Listing
    preparing: list[Preparing]
    moving: bool


def spec_of(view: View) -> ListSpec:
    """Jobs in reach: a plain user's own."""
    own = reach(view.role, "jobs") == Reach.OWN
    background = view.console.background

    def fetch(connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        wanted = JobFilter(view.me.id if own else 0, values["kind"], values["state"], values.get("user", ""))
        return jobs.list_jobs(connection, view.within("jobs"), wanted, cut)

    def row(columns: tuple[Any, ...]) -> Row:
        job = JobRow(*columns)
        kind = background.kinds().get(job.kind)
        title, tone = STATES[job.state]
        cells = [
            Cell(job.title, note=view.t(kind.title) if kind else job.kind),
            *([] if own else [Cell(job.login)]),
            Cell(job.state, view.t(title), tone=tone, note=_why(view, job)),
            _progress(view, job),
            Cell(job.created_at),
            Cell(job.ended_at),
            Cell(None, actions=_actions(view, job)),
        ]
        return Row(tuple(cells))

    filters = [
        Filter("kind", N_("Kind"), "choice", tuple(GROUPS.items())),
        Filter("state", N_("State"), "choice", tuple((key, title) for key, (title, _) in STATES.items())),
    ]
    if not own:
        filters.append(Filter("user", N_("User"), placeholder=N_("Login")))
    return ListSpec(
        name="jobs",
        path="/jobs",
        columns=(
            Column("title", N_("Job")),
            *(() if own else (Column("user", N_("User")),)),
            Column("state", N_("State"), "badge"),
            Column("progress", N_("Progress"), "progress"),
            Column("created_at", N_("Created"), "time"),
            Column("ended_at", N_("Ended"), "time", wide=False),
            Column("actions", N_("Actions"), "actions"),
        ),
        filters=tuple(filters),
        fetch=fetch,
        row=row,
        empty=Empty(
            N_("No jobs yet"),
            N_("Large exports and imports work here while you go on; their files wait for seven days."),
        ),
    )


def _why(view: View, job: JobRow) -> str:
    if job.state == "interrupted":
        return view.t(INTERRUPTED)
    if job.error:
        return view.t(job.error, **msgspec.json.decode(job.error_values))
    counts = msgspec.json.decode(job.counts, type=dict[str, int])
    return " · ".join(f"{view.t(word)} {format_number(count)}" for word, count in counts.items())


def _progress(view: View, job: JobRow) -> Cell:
    done, total = view.console.background.progress(job.id) or (job.done, job.total)
    if job.state == "waiting":
        return Cell(0, "—")
    percent = 100 if job.state == "done" else min(100 * done // total, 99) if total else -1
    text = view.t(N_("%(count)s rows"), count=format_number(done))
    if job.state == "running" and total:
        text = view.t(N_("%(done)s of %(total)s rows"), done=format_number(done), total=format_number(total))
    seconds = (view.console.wall_ms() - job.started_at) / 1000
    pace = ""
    if job.state == "running" and done and seconds > 0:
        pace = view.t(N_("%(rate)s a second"), rate=format_number(round(done / seconds)))
        if total > done:
            left = format_number(round((total - done) * seconds / done))
            pace += " · " + view.t(N_("about %(seconds)s s left"), seconds=left)
    return Cell(done, text, percent=percent if job.state == "running" else -1, note=pace)


def _actions(view: View, job: JobRow) -> tuple[Act, ...]:
    mine = job.user == view.me.id
    acts = []
    if job.result and mine:
        acts.append(Act(view.t(N_("Download")), f"/jobs/{job.id}/file", "download", post=False))
    if job.state in jobs.OPEN:
        question = view.t(N_("Cancel this job? What it has made so far is thrown away."))
        acts.append(Act(view.t(N_("Cancel")), f"/jobs/{job.id}/cancel", "x", question=question))
    if job.state in jobs.MOVES["retry"][0] and mine:
        acts.append(Act(view.t(N_("Try again")), f"/jobs/{job.id}/retry", "undo-2"))
    return tuple(acts)


def _preparing(view: View, connection: sqlite3.Connection) -> list[Preparing]:
    own = reach(view.role, "jobs") == Reach.OWN
    shown = []
    within, owner = view.within("tasks.read"), view.me.id if own else 0
    for identifier in view.console.jobs.numbers(sending.JOB_KEY):
        task = tasks.read_task(connection, within, identifier, owner=owner)
        job = sending.job_of(view, task) if task else None
        if task is None or job is None:
            continue
        error = view.t(sending.JOB_ERRORS[job.error]) if job.error else ""
        shown.append(
            Preparing(
                task.id, task.name, task.login, job.rows, int(100 * job.share), error,
                job.running and task.user == view.me.id,
            )
        )  # fmt: skip
    return shown


@get("/jobs", **allow("jobs"))
async def all_jobs(view: FromView) -> Response[Any]:
    """The jobs in reach, the newest first."""

    def page(listing: Listing, connection: sqlite3.Connection) -> JobsPage:
        preparing = _preparing(view, connection)
        moving = any(row.cells[-1].actions and row.cells[-1].actions[-1].icon == "x" for row in listing.rows)
        return JobsPage(
            title=view.t(N_("Jobs")),
            listing=listing,
            preparing=preparing,
            moving=moving or any(not one.error for one in preparing),
        )

    return await lists.answer(view, spec_of(view), page)


async def _job(view: View, *, mine: bool) -> JobRow:
    own = mine or reach(view.role, "jobs") == Reach.OWN
    identifier = int(view.at("job_id"))
    found = await view.read(
        lambda c: jobs.job_in_reach(c, view.within("jobs"), identifier, owner=view.me.id if own else 0)
    )
    if found is None:
        raise NotFoundException
    return found


class ExportForm(msgspec.Struct, frozen=True):
    """A list's address."""

    path: Annotated[str, Meta(max_length=200, pattern="^/")]
    query: Annotated[str, Meta(max_length=4000)] = ""


@post("/jobs/export", **allow("jobs", proof=True))
async def export(view: FromView) -> Response[str]:
    """Make a list into a file in the background."""
    form, _ = view.parse(ExportForm)
    if form is None:
        raise ClientException
    entry = next((e for c in view.chapters for e in c.entries if e.path == current(form.path)), None)
    name = view.t(entry.title) if entry else form.path
    name += " · XLSX" if "xlsx" in parse_qs(form.query).get("format", ()) else " · CSV"
    orders = ListOrders(form.path, form.query, view.language)
    try:
        await view.console.background.begin(
            view.me.id, view.me.login, EXPORT_LIST.name, name, orders, address=view.address
        )
    except StoreError as error:
        return view.go("/jobs", flash=Flash(view.refusal(error), "bad"))
    return view.go("/jobs")


@post("/jobs/{job_id:int}/cancel", **allow("jobs"))
async def cancel(view: FromView) -> Response[str]:
    """End a job before its time."""
    job = await _job(view, mine=False)
    done = await view.console.background.cancel(job.id, f"console:{view.me.login}")
    text = N_("“%(title)s” is cancelled.") if done else N_("“%(title)s” was over already.")
    return view.go("/jobs", flash=Flash(view.t(text, title=job.title)))


@post("/jobs/{job_id:int}/retry", **allow("jobs"))
async def retry(view: FromView) -> Response[str]:
    """The same work once more."""
    job = await _job(view, mine=True)
    done = await view.console.background.retry(job.id, f"console:{view.me.login}")
    text = N_("“%(title)s” begins anew.") if done else N_("“%(title)s” cannot be tried again.")
    return view.go("/jobs", flash=Flash(view.t(text, title=job.title)))


@get("/jobs/{job_id:int}/file", **allow("jobs", proof=True))
async def fetch_result(view: FromView) -> Response[Any]:
    """What a job made, for its owner, for seven days."""
    job = await _job(view, mine=True)
    path = jobs.folder_of(view.console.data, job.id) / job.result
    if not job.result or not await trio.Path(path).is_file():
        raise NotFoundException
    await view.console.off_loop(
        lambda: view.console.store.record(
            f"console:{view.me.login}", "export.fetch", f"job {job.id}", address=view.address
        )
    )

    async def pieces() -> AsyncIterator[bytes]:
        async with await trio.open_file(path, "rb") as file:
            while piece := await file.read(FETCH_OCTETS):
                yield piece

    return view.answer(
        Stream(
            pieces(),
            status_code=200,
            media_type=lists.MEDIA_TYPES.get(path.suffix.lstrip("."), "application/octet-stream"),
            headers={
                "content-disposition": lists.attachment(job.result_name),
                "content-length": str(path.stat().st_size),
            },
        )
    )


@post("/jobs/preparations/{task_id:int}/cancel", **allow("tasks.act", about="task"))
async def cancel_preparation(view: FromView) -> Response[str]:
    """Kill the process that judges a task's rows; the task stays, unprepared."""
    view.console.jobs.cancel(sending.job_key(view.about_task.id))
    return view.go("/jobs", flash=Flash(view.t(N_("The preparation was cancelled."))))


ROUTES = (all_jobs, export, cancel, retry, fetch_result, cancel_preparation)
