"""Many tasks at once: cancel what is pending (P3), approve what says the same (P23). Each is told of by itself."""

from collections.abc import Sequence

import msgspec
from litestar import Response, post

from admin import sending
from admin.console import Flash
from admin.i18n import N_
from admin.pages.review import alike, may_decide
from admin.pages.task import sides
from admin.permissions import allow
from admin.undo import undo_flash
from admin.view import FromView, View
from store import tasks
from store.config_db import Writing
from store.task_file import drop_sources
from store.task_states import possible
from store.tasks import TaskRow
from store.trash import Deleted, discard_tasks

AT_ONCE_MAX = 200  # as many as a page of a list has
NAMED_MAX = 5


class Cancelled(msgspec.Struct):
    """What became of the chosen tasks."""

    cancelled: list[TaskRow] = []
    discarded: Deleted = Deleted(0, 0)
    begun: list[TaskRow] = []
    over: list[TaskRow] = []
    foreign: list[TaskRow] = []
    gone: int = 0


class Approved(msgspec.Struct):
    """What became of tasks that were to be approved together."""

    approved: list[TaskRow] = []
    elsewhere: list[TaskRow] = []
    ended: list[TaskRow] = []
    own: list[TaskRow] = []
    differ: list[TaskRow] = []
    gone: int = 0


def chosen(view: View) -> list[int]:
    """The ids that were ticked, each once."""
    ids = [int(one) for one in view.form.get("ids", ()) if one.isdecimal() and len(one) < 18]
    return list(dict.fromkeys(ids))[:AT_ONCE_MAX]


def named(view: View, rows: Sequence[TaskRow]) -> str:
    """Which tasks, with where they stand."""
    shown = [f"{row.name} #{row.id} ({sending.state_cell(view, row).shown})" for row in rows[:NAMED_MAX]]
    return "、".join(shown) + (" …" if len(rows) > NAMED_MAX else "")


def cancel_all(view: View, transaction: Writing, ids: Sequence[int]) -> Cancelled:
    """Cancel or discard each that has not begun; nobody moves one between the look and the move."""
    done, previews = Cancelled(), []
    for identifier in ids:
        row = sending.task_in_sight(view, transaction.connection, identifier)
        if row is None:
            done.gone += 1
            continue
        moves = possible(row.state, sides(view, row))
        if "cancel" in moves:
            tasks.move_task(transaction, row.id, "cancel")
            done.cancelled.append(row)
        elif "discard" in moves:
            previews.append(row.id)
        elif row.state == "preview":
            done.foreign.append(row)
        else:
            (done.over if row.state == "finished" else done.begun).append(row)
    done.discarded = discard_tasks(transaction, view.me.id, previews)
    return done


@post("/sms/pending/cancel", **allow("tasks.act"))
async def cancel(view: FromView) -> Response[str]:
    """Cancel the chosen tasks, and say of each what became of it. Previews can be put back."""
    ids = chosen(view)
    if not ids:
        return view.go("/sms/pending", flash=Flash(view.t(N_("Choose at least one task.")), "bad"))
    done = await view.write(lambda w: cancel_all(view, w, ids), reload=False)
    for row in done.cancelled:
        view.console.operations.task_changed(row.id)
        await view.console.off_loop(drop_sources, view.console.data, row.id)
    said = []
    if done.cancelled:
        text = N_("%(count)s cancelled: nothing of them is sent, and they do not come back.")
        said.append(view.t(text, count=len(done.cancelled)))
    if done.discarded.count:
        said.append(view.t(N_("%(count)s previews discarded."), count=done.discarded.count))
    for rows, text in (
        (done.begun, N_("%(count)s had begun already: %(names)s.")),
        (done.over, N_("%(count)s were over already: %(names)s.")),
        (done.foreign, N_("%(count)s are somebody else's previews, who alone discards them: %(names)s.")),
    ):
        if rows:
            said.append(view.t(text, count=len(rows), names=named(view, rows)))
    if done.gone:
        said.append(view.t(N_("%(count)s are not there any more."), count=done.gone))
    flash = undo_flash(" ".join(said), done.discarded)
    if not done.cancelled and not done.discarded.count:
        flash = Flash(flash.text, "bad")
    return view.go("/sms/pending", flash=flash)


def approve_all(view: View, transaction: Writing, ids: Sequence[int]) -> Approved:
    """Approve each that waits for review and says what the first of them says."""
    done, first = Approved(), None
    for identifier in ids:
        row = tasks.read_task(transaction.connection, view.within("review"), identifier)
        if row is None:
            done.gone += 1
            continue
        first = first or row
        if not alike(first, row):
            done.differ.append(row)
        elif row.state != "review":
            done.elsewhere.append(row)
        elif not may_decide(view, transaction.connection, row):
            done.own.append(row)
        elif row.end_at and row.end_at <= transaction.at:
            done.ended.append(row)
        else:
            tasks.move_task(transaction, row.id, "approve")
            if row.user == view.me.id:
                transaction.audit("task.self-review", f"task {row.id}", changes=False)
            done.approved.append(row)
    return done


@post("/review/tasks/approve", **allow("review"))
async def approve(view: FromView) -> Response[str]:
    """Approve tasks that say the same, those that were seen and no others; says of each what became of it."""
    ids = chosen(view)
    if not ids:
        return view.go("/review/tasks", flash=Flash(view.t(N_("Choose at least one task.")), "bad"))
    done = await view.write(lambda w: approve_all(view, w, ids), reload=False)
    for row in done.approved:
        view.console.operations.task_changed(row.id)
    said = []
    if done.approved:
        said.append(view.t(N_("%(count)s approved."), count=len(done.approved)))
    for rows, text in (
        (done.elsewhere, N_("%(count)s were decided already: %(names)s.")),
        (done.ended, N_("%(count)s can only be rejected, as their end has passed: %(names)s.")),
        (done.own, N_("%(count)s are your own, for another administrator: %(names)s.")),
        (done.differ, N_("%(count)s say something else and were left: %(names)s.")),
    ):
        if rows:
            said.append(view.t(text, count=len(rows), names=named(view, rows)))
    if done.gone:
        said.append(view.t(N_("%(count)s are not there any more."), count=done.gone))
    return view.go("/review/tasks", flash=Flash(" ".join(said), "good" if done.approved else "bad"))


ROUTES = (cancel, approve)
