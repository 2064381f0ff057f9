"""“Send a test to my phone”: the text as a task of its own with one recipient, charged and logged like any other.

Nothing goes around the door of tasks: who needs a review waits for it with the test as well. The form comes back as
it was, so that the text can be mended and tried again.
"""

import sqlite3

import msgspec
import trio
from litestar import Response, post

from admin import sending
from admin.i18n import N_
from admin.pages.preview import Confirmed, confirm_task
from admin.pages.send import (
    UPLOAD_OCTETS_MAX,
    Tested,
    create,
    draft_from,
    own_mobile,
    read_sent,
    show_sent,
)
from admin.permissions import allow
from admin.view import FromView, View
from store import tasks
from store.files import StoreError
from store.task_file import remove_folder
from store.tasks import NAME_CHARACTERS_MAX, Input, TaskRow

JUDGED_WITHIN_S = 20.0


@post("/sms/test", **allow("sms.send"), request_max_body_size=UPLOAD_OCTETS_MAX)
async def test_new(view: FromView) -> Response[str]:
    """A test of a message that is no task yet."""
    return await _test(view, None)


@post("/tasks/{task_id:int}/test", **allow("sms.send", about="task"), request_max_body_size=UPLOAD_OCTETS_MAX)
async def test_edited(view: FromView) -> Response[str]:
    """A test of a task in preview, as its form stands."""
    return await _test(view, view.about_task)


async def _test(view: View, task: TaskRow | None) -> Response[str]:
    if task is not None and task.state != "preview":
        return view.go(f"/tasks/{task.id}")
    sent = await read_sent(view, task)
    at_once = msgspec.structs.replace(sent, values={**sent.values, "start_at": "", "end_at": ""})
    draft = await draft_from(view, at_once)
    number = await _number(view, sent.errors)
    if sent.errors or draft is None:
        return await show_sent(view, sent, status=422)
    name = view.t(N_("Test: %(name)s"), name=draft.name)[:NAME_CHARACTERS_MAX]
    draft = msgspec.structs.replace(draft, name=name)
    try:
        identifier = await create(
            view, None, draft, Input(typed=True, test=True), stage="preparing", typed=f"+{number}"
        )
    except StoreError as error:
        sent.errors[""] = view.refusal(error)
        return await show_sent(view, sent, status=422)
    done = await _confirm(view, identifier, number)
    if not done.moved:
        await view.write(lambda w: tasks.move_task(w, identifier, "discard"), reload=False)
        await view.console.off_loop(remove_folder, view.console.data, identifier)
        sent.errors.update(done.errors)
        return await show_sent(view, sent, status=422)
    # The page is the form, not another address: sent again by a reload, it leads to this task.
    if once := view.field("_once"):
        view.console.remember(view.me.session, once, f"/tasks/{identifier}")
    return await show_sent(view, sent, tested=Tested(identifier, number, done.review))


async def _number(view: View, errors: dict[str, str]) -> int:
    """The phone of whoever asks: as their profile says, else as the form says."""
    known = await own_mobile(view)
    given = view.field("test_number").strip()
    if known or not given:
        if not known:
            errors["test_number"] = view.t(N_("Give the number of your phone."))
        return known
    try:
        return view.console.operations.canonical_number(given)
    except ValueError:
        errors["test_number"] = view.t(N_("This is no mobile number."))
        return 0


async def _confirm(view: View, identifier: int, number: int) -> Confirmed:
    """Have the number judged, then through the door."""
    await sending.prepare(view, identifier)
    key = sending.job_key(identifier)
    job = view.console.jobs.of(key)
    if job is not None:
        with trio.move_on_after(JUDGED_WITHIN_S):
            await job.over.wait()
        view.console.jobs.cancel(key)

    def read(connection: sqlite3.Connection) -> TaskRow | None:
        return tasks.any_task(connection, identifier)

    row = await view.read(read)
    if row is None or row.stage != "ready":
        return Confirmed({"": view.t(N_("The test could not be prepared. Try it again."))})
    if not row.valid:
        said = N_("Nothing may be sent to %(number)s: it is on a blacklist, or no number.")
        return Confirmed({"test_number": view.t(said, number=number)})
    return await confirm_task(view, row)


ROUTES = (test_new, test_edited)
