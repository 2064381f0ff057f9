"""The messages of one task (P25): listed, filtered and exported as message details are; and rows that became none."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from litestar import Response, get

from admin import lists
from admin.i18n import N_
from admin.lists import Cell, Column, Empty, Listing, ListSpec, Row
from admin.message_list import EXPORT_BUDGET_S, LAST_ID, MessageList
from admin.message_sight import is_clear, number_shown
from admin.pages.messages import masks_of, show_list
from admin.permissions import allow
from admin.rendering import Page
from admin.view import FromView, View
from filters.verdict import explain
from store.files import StoreError
from store.listing import Cut
from store.listing import Page as Rows
from store.owners import Owner
from store.task_file import ROWS, TaskFile, folder_of
from store.tasks import TaskRow

FILTERED = "filter"  # what a resend of a filter's result says of itself
FILTERED_MAX = 100_000
FILTERED_TOO_MANY = N_(
    "More than %(limit)s messages fit. Narrow the filter, or send to all that failed instead."
)
STEP = 1_000
SHOWS = {
    "": N_("Messages"),
    "refused": N_("Refused at the door"),
    "unsent": N_("Not sent"),
}


class TaskMessagesPage(Page, kw_only=True):
    """One of the three lists."""

    template = "task_messages.html"
    task: TaskRow
    shows: Mapping[str, str]
    show: str
    listing: Listing
    notes: list[str]
    reached_ms: int
    masks: bool
    revealed_until: int
    resend_fields: Mapping[str, str]


def path_of(task: TaskRow) -> str:
    return f"/tasks/{task.id}/messages"


@get("/tasks/{task_id:int}/messages", **allow("tasks.read", about="task"))
async def messages(view: FromView) -> Response[Any]:
    """What became of the task's rows."""
    about = view.about_task
    show = view.query("show")
    if show in ("refused", "unsent"):
        return await _rows(view, about, show)

    def page(*, listing: Listing, **said: Any) -> TaskMessagesPage:
        given = {key: value for key, value in listing.values.items() if value}
        return TaskMessagesPage(
            title=about.name, task=about, shows=SHOWS, show="", listing=listing, resend_fields=given, **said
        )

    return await show_list(
        view, lambda connection: MessageList(view, connection, task=about, path=path_of(about)), page
    )


async def _rows(view: View, task: TaskRow, show: str) -> Response[Any]:
    """Rows that are no messages, by their number in the task."""
    path = folder_of(view.console.data, task.id) / ROWS
    owner = Owner(task.account, "", task.user, task.login, task.group, task.group_path)
    clear = is_clear(view, owner)

    def fetch(_: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        after = cut.after[0] if cut.after and isinstance(cut.after[0], int) else 0
        try:
            with TaskFile.open(path) as file:
                if show == "refused":
                    found = file.refused_rows(after, cut.limit + 1)
                else:
                    after = max(after, file.position())
                    numbers = file.numbers(after, cut.limit + 1)
                    found = [(after + place, number, 0) for place, number in enumerate(numbers, 1)]
        except StoreError:
            found = []
        some = found[: cut.limit]
        return Rows([*some], (some[-1][0],) if len(found) > cut.limit else (), -1)

    def row(columns: tuple[Any, ...]) -> Row:
        number, dest, reason = columns
        why = explain(reason, view.language) if reason else ""
        return Row((Cell(number), Cell(dest if clear else number_shown(dest, clear=False)), Cell(why)))

    refused = show == "refused"
    spec = ListSpec(
        name=f"task-{task.id}-{show}",
        path=path_of(task),
        columns=(
            Column("row", N_("Row"), "number"),
            Column("number", N_("Number"), "code"),
            Column("reason", N_("Reason")),
        ),
        filters=(),
        fetch=fetch,
        row=row,
        empty=Empty(
            N_("Nobody was refused") if refused else N_("Nobody is left"),
            N_("Every row that came to the door became a message.")
            if refused
            else N_("Every row has gone through the door."),
        ),
        fixed={"show": show},
    )

    def page(listing: Listing, _: sqlite3.Connection) -> TaskMessagesPage:
        return TaskMessagesPage(
            title=task.name, task=task, shows=SHOWS, show=show, listing=listing, notes=[], reached_ms=0,
            resend_fields={}, **masks_of(view),
        )  # fmt: skip

    return await lists.answer(view, spec, page)


async def numbers_of_filter(view: View, task: TaskRow) -> list[int]:
    """The numbers of a filter's result, each once, in the order of sending; one more than `FILTERED_MAX` at most."""

    def read(connection: sqlite3.Connection) -> list[int]:
        made = MessageList(view, connection, task=task, path=path_of(task))
        asked = made.ask(
            connection, {one.key: view.field(f"f-{one.key}").strip()[:200] for one in made.filters()}
        )
        numbers: dict[int, None] = {}
        before = min(asked.before_id, LAST_ID)
        while asked.wanted is not None and before and len(numbers) <= FILTERED_MAX:
            found = view.console.operations.traffic().find_messages(
                asked.wanted, before, STEP, budget_s=EXPORT_BUDGET_S
            )
            numbers.update(dict.fromkeys(row.parts[0].dest for row in found.rows))
            before = found.before_id
        return list(reversed(numbers))

    return await view.read(read)


ROUTES = (messages,)
