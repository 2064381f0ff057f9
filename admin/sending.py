"""What the pages of sending share: words for states, how a task's rows are prepared, times in forms."""

import math
import secrets
import shutil
import sqlite3
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from litestar.datastructures import UploadFile

from admin.i18n import N_
from admin.jobs import Job
from admin.lists import Cell
from admin.permissions import Role
from admin.prepare_lines import Judged, Order
from admin.rendering import format_number, zone_of
from admin.view import View
from store import tasks
from store.people_list import effective_review, list_groups, read_user
from store.rules_list import list_sms_types
from store.scope import Within
from store.task_file import FOLDER, UPLOAD, folder_of, make_folder
from store.tasks import TaskRow, read_task

STATES: Mapping[str, tuple[str, str]] = {
    "preview": (N_("Preview"), "plain"),
    "review": (N_("In review"), "warn"),
    "waiting": (N_("Waiting to start"), "info"),
    "executing": (N_("Executing"), "info"),
    "paused": (N_("Paused"), "warn"),
    "finished": (N_("Finished"), "plain"),
    "discarded": (N_("Discarded"), "plain"),
}
OUTCOMES: Mapping[str, tuple[str, str]] = {
    "completed": (N_("Completed"), "good"),
    "rejected": (N_("Rejected"), "bad"),
    "cancelled": (N_("Cancelled"), "plain"),
    "expired": (N_("Ended by its time"), "warn"),
    "stopped": (N_("Stopped"), "warn"),
    "failed": (N_("Failed"), "bad"),
}
KINDS: Mapping[str, tuple[str, str]] = {
    "valid": (N_("Valid"), "good"),
    "duplicate": (N_("Duplicate in the same source"), "plain"),
    "duplicate-elsewhere": (N_("Duplicate of another source"), "plain"),
    "blacklisted": (N_("Blacklisted"), "warn"),
    "invalid": (N_("Invalid"), "bad"),
    "variable-missing": (N_("Variable missing"), "warn"),
    "blank": (N_("Blank"), "plain"),
}
SOURCES: Mapping[str, str] = {
    "typed": N_("Typed"),
    "file": N_("File"),
    "contacts": N_("Contacts"),
    "resent": N_("Earlier task"),
}
REASONS: Mapping[str, str] = {
    "empty": N_("nothing in it"),
    "letters": N_("contains letters"),
    "symbols": N_("contains signs that no number has"),
    "decimals": N_("has decimals"),
    "scientific-notation": N_("scientific notation: digits were lost"),
    "too-short": N_("too few digits"),
    "too-long": N_("too many digits"),
    "no-country-code": N_("no country code"),
    "global": N_("on the global blacklist"),
    "type": N_("on the SMS type's blacklist"),
    "group": N_("on the user group's blacklist"),
}
JOB_ERRORS: Mapping[str, str] = {
    "empty": N_("The file is empty. Choose one with a number in each row."),
    "damaged": N_(
        "The file is damaged, locked by a password, or none of the kinds that can be read:"
        " XLSX, XLS, XLSB, ODS, CSV, TSV, TXT."
    ),
    "too-large": N_("The file unpacks to more than can be read. Save it as CSV and try again."),
    "encoding": N_(
        "The text is in an encoding that was not recognised. Choose another encoding, or save it as UTF-8."
    ),
    "rows": N_("There are more than 1,000,000 rows. Split the file."),
    "cancelled": N_(
        "The preparation was cancelled. Go back to the form and send it again, or discard the task."
    ),
    "rows-at-once": N_("The file has more rows than can be imported at once. Split it."),
    "binary": N_("This is neither a workbook nor text. Save it as XLSX or CSV and try again."),
    "columns": N_("There are more than 200 columns. Leave out those that are not needed."),
    "broken": N_("The file could not be read to its end. Save it as CSV and try again."),
}
MOVES: Mapping[str, str] = {
    "rate": N_("Rate changed"),
    "create": N_("Task made"),
    "edit": N_("Changed"),
    "discard": N_("Discarded"),
    "restore": N_("Put back"),
    "confirm": N_("Confirmed"),
    "ask-review": N_("Confirmed, sent to review"),
    "approve": N_("Approved"),
    "reject": N_("Rejected"),
    "withdraw": N_("Withdrawn"),
    "pull-back": N_("Pulled back to review"),
    "cancel": N_("Cancelled"),
    "send-now": N_("Sent without waiting"),
    "reschedule": N_("Rescheduled"),
    "start": N_("Started"),
    "pause": N_("Paused"),
    "resume": N_("Resumed"),
    "stop": N_("Stopped"),
    "complete": N_("Completed"),
    "expire": N_("Ended by its time"),
    "fail": N_("Failed"),
}
JOB_KEY = "task "
UPLOADS_KEPT_S = 24 * 3600


def state_cell(view: View, task: TaskRow) -> Cell:
    """The state as a badge; a finished task's outcome with it."""
    title, tone = STATES[task.state]
    if task.outcome:
        outcome, tone = OUTCOMES[task.outcome]
        return Cell(task.outcome, f"{view.t(title)} · {view.t(outcome)}", tone=tone)
    return Cell(task.state, view.t(title), tone=tone)


def task_in_sight(view: View, connection: sqlite3.Connection, task: int) -> TaskRow | None:
    """A task that the viewer may read; None for one that is not there for them."""
    if view.role == Role.USER:
        return read_task(connection, Within(), task, owner=view.me.id)
    return read_task(connection, view.within("tasks.read"), task)


def time_left(view: View, seconds: float) -> str:
    """How long it still takes, in words."""
    if seconds < 100:
        return view.t(N_("about %(seconds)s s left"), seconds=format_number(math.ceil(seconds)))
    if seconds < 6000:
        return view.t(N_("about %(minutes)s min left"), minutes=format_number(math.ceil(seconds / 60)))
    return view.t(N_("about %(hours)s h left"), hours=f"{seconds / 3600:.1f}")


def countdown(view: View, task: TaskRow) -> str:
    """How long until a task begins, in words; "" where nobody can say."""
    if task.state != "waiting" or not task.start_at:
        return ""
    return time_left(view, max(0, task.start_at - view.console.wall_ms()) / 1000)


# -- times --------------------------------------------------------------------------------------------


def read_moment(text: str, zone: str) -> int | None:
    """What a form's date field says, in the viewer's zone, as UTC ms; 0 for nothing, None for nonsense."""
    text = text.strip().replace("/", "-")
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone_of(zone))
    return int(moment.timestamp() * 1000)


def write_moment(at_ms: int, zone: str) -> str:
    """The value of a date field."""
    if not at_ms:
        return ""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone_of(zone))
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


# -- files -------------------------------------------------------------------------------------------

DELIMITERS = (
    (",", N_("comma")),
    ("tab", N_("tab")),
    (";", N_("semicolon")),
    ("|", "|"),
    ("none", N_("none")),
)


def delimiter_of_form(view: View) -> str:
    """What a form wants between the cells; "" is as detected."""
    delimiter = view.field("delimiter")[:4]
    return "\t" if delimiter == "tab" else delimiter


# -- uploads ------------------------------------------------------------------------------------------


async def keep_upload(view: View, file: UploadFile) -> str:
    """Put an upload aside until its task is made; the token that a form carries on."""
    token = secrets.token_hex(16)
    await view.console.off_loop(_keep, view.console.data, _aside(view, token), file)
    return token


def _aside(view: View, token: str) -> Path:
    return view.console.data / FOLDER / f"upload-{view.me.id}-{token}"


def _keep(data: Path, target: Path, file: UploadFile) -> None:
    folder = make_folder(data, 0).parent
    for old in folder.glob("upload-*"):
        if old.stat().st_mtime < time.time() - UPLOADS_KEPT_S:
            old.unlink(missing_ok=True)
    with target.open("wb") as out:
        target.chmod(0o600)
        file.file.seek(0)
        shutil.copyfileobj(file.file, out, 1 << 20)


def is_kept(view: View, token: str) -> bool:
    """Whether a token of this person's form stands for an upload."""
    return len(token) == 32 and token.isalnum() and token.isascii() and _aside(view, token).exists()


def take_upload(view: View, token: str, task: int) -> None:
    """The upload becomes the task's."""
    take_upload_to(view, token, make_folder(view.console.data, task))


def take_upload_to(view: View, token: str, folder: Path) -> None:
    """The upload goes into a folder."""
    _aside(view, token).replace(folder / UPLOAD)


# -- preparing ----------------------------------------------------------------------------------------


def order_for(view: View, connection: sqlite3.Connection, task: TaskRow, *, only_look: bool = False) -> Order:
    """What the process that judges the rows has to know."""
    groups = {group.id: group for group in list_groups(connection, Within())}
    chain, at = [], task.group
    while at in groups:
        chain.append(at)
        at = groups[at].parent
    return Order(
        str(folder_of(view.console.data, task.id)), str(view.console.store.path), task.user, tuple(chain),
        task.sms_type, view.console.operations.home_country(), task.source, only_look,
    )  # fmt: skip


async def prepare(view: View, task: int) -> None:
    """Judge the rows of a task anew; its page shows how far that is."""

    def begin(connection: sqlite3.Connection) -> Order:
        row = tasks.any_task(connection, task)
        assert row is not None
        return order_for(view, connection, row)

    order = await view.read(begin)
    store, actor, address, console = (
        view.console.store,
        f"console:{view.me.login}",
        view.address,
        view.console,
    )

    async def done(judged: Judged) -> None:
        def write() -> None:
            with store.writing(actor, address=address) as transaction:
                tasks.set_prepared(transaction, task, judged.total, judged.valid, judged.counts)

        await console.off_loop(write)

    await console.jobs.start(job_key(task), order, done)


def job_key(task: int) -> str:
    return f"{JOB_KEY}{task}"


def job_of(view: View, task: TaskRow) -> Job | None:
    """The job that prepares a task, running or broken."""
    return view.console.jobs.of(job_key(task.id))


def type_title(connection: sqlite3.Connection, task: TaskRow) -> str:
    """The SMS type of a task, as people call it."""
    return dict(list_sms_types(connection)).get(task.sms_type) or task.sms_type


def needs_review(connection: sqlite3.Connection, task: TaskRow) -> bool:
    """Whether somebody must approve the task: for its words, or because its owner is not trusted."""
    if task.word_action == "review":
        return True
    owner = read_user(connection, Within(), task.user)
    groups = {group.id: group for group in list_groups(connection, Within())}
    return owner is None or effective_review(groups, owner.review, owner.group)[0] == "review"
