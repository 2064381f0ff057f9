"""Send SMS (P1): name, time, text, numbers in four ways; then what a file is, and on to the preview.

Counting and phrases work by plain buttons of the form; script only makes them quicker. A file survives every detour:
it is put aside at once and the form carries its token.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from litestar import Response, get, post
from msgspec import Meta

from admin import contact_picker, sending
from admin.cleaning import clean
from admin.console import Flash
from admin.contact_picker import Picker
from admin.i18n import N_
from admin.operations import TextFigures
from admin.permissions import allow
from admin.prepare_lines import Look, Seen
from admin.refusals import SENTENCES
from admin.rendering import Page, format_time
from admin.view import FromView, View
from filters.numbers import DIGITS_MAX
from store import tasks
from store.address_book import ContactGroup
from store.config_db import Writing
from store.files import StoreError
from store.phrases import Phrase, phrases_for
from store.send_drafts import draft_of, drop_draft
from store.task_file import TYPED, folder_of, make_folder, write_private
from store.tasks import NAME_CHARACTERS_MAX, Draft, Input, TaskRow

UPLOAD_OCTETS_MAX = 21 * 1024 * 1024  # a file of 20 MB, and the form around it
PARTS_EACH_MAX = 10
AHEAD_MS_MAX = 30 * 86_400_000
ENCODINGS = ("utf-8", "gb18030", "big5", "utf-16")


class SendForm(msgspec.Struct, frozen=True):
    """What P1 sends, file and text aside."""

    name: Annotated[str, Meta(max_length=NAME_CHARACTERS_MAX)] = ""
    sms_type: Annotated[str, Meta(max_length=64)] = ""
    start_at: str = ""
    end_at: str = ""
    sender: Annotated[str, Meta(max_length=21)] = ""
    typed: Annotated[str, Meta(max_length=16_000_000, extra={"lines": True})] = ""
    upload: str = ""
    upload_name: Annotated[str, Meta(max_length=200)] = ""
    groups: tuple[int, ...] = ()


class SendPage(Page, kw_only=True):
    """The form."""

    template = "send.html"
    task: int  # 0: a new one
    values: Mapping[str, str]
    errors: Mapping[str, str]
    figures: TextFigures | None
    phrases: list[Phrase]
    groups: list[ContactGroup]
    chosen_groups: set[int]
    picker: Picker
    picking: bool
    available: int
    types: list[tuple[str, str]]
    resent: int = 0  # numbers that come from an earlier task
    mobile: int = 0  # the viewer's own, for a test; 0 asks for it
    begun_at: int = 0  # when the draft that the form shows was left, UTC ms
    keeps: bool = False  # script saves it while somebody types
    tested: "Tested | None" = None


class Tested(msgspec.Struct, frozen=True):
    """A test that was sent just now."""

    task: int
    number: int
    review: bool


class PickPage(Page, kw_only=True):
    """The picker of contacts alone."""

    template = "contacts_pick.html"
    picker: Picker


class FiguresPage(Page, kw_only=True):
    """The counter below the text."""

    template = "send_figures.html"
    figures: TextFigures | None


class FilePage(Page, kw_only=True):
    """What an upload is, and which column holds the numbers."""

    template = "send_file.html"
    task: TaskRow
    look: Look | None
    error: str
    column: int
    encodings: Sequence[str] = ENCODINGS
    delimiters: Sequence[tuple[str, str]] = sending.DELIMITERS


def text_of(view: View) -> str:
    """The text as it is sent: no control characters but line ends; blanks around it stay."""
    sent = view.form.get("text", ("",))
    return clean(f"|{sent[0] if sent else ''}|", lines=True)[1:-1].replace("\t", " ")


class Sent(msgspec.Struct):
    """What a form says, as far as it can be read; `errors` by field, in the reader's language."""

    form: SendForm | None
    values: dict[str, str]
    errors: dict[str, str]
    text: str
    contacts: tuple[int, ...]
    task: int
    resent: int
    kept: bool  # the file is the task's already

    @property
    def groups(self) -> tuple[int, ...]:
        return self.form.groups if self.form else ()


async def show_form(
    view: View,
    *,
    task: int = 0,
    values: Mapping[str, str],
    errors: Mapping[str, str] | None = None,
    groups: Sequence[int] = (),
    contacts: Sequence[int] = (),
    resent: int = 0,
    do: str = "",
    status: int = 200,
    begun_at: int = 0,
    keeps: bool = True,
    tested: Tested | None = None,
) -> Response[str]:
    """The form with what it holds already."""
    values = dict.fromkeys(("upload", "upload_name"), "") | dict(values)
    text = values.get("text", "")

    def read(connection: sqlite3.Connection) -> tuple[list[Phrase], Picker, list[tuple[str, str]]]:
        picker = contact_picker.build(connection, view.me.id, values, contacts, do)
        phrases = phrases_for(connection, view.me.id, view.me.group)
        return phrases, picker, tasks.types_of(connection, view.me.id)

    phrases, picker, types = await view.read(read)
    page = SendPage(
        title=view.t(N_("Send SMS")),
        task=task,
        values=values,
        errors=errors or {},
        figures=view.console.text_figures(text) if text else None,
        phrases=phrases,
        groups=picker.groups,
        chosen_groups=set(groups),
        picker=picker,
        picking=do == "find" or do.startswith("pick-"),
        available=await available(view, view.me.id),
        resent=resent,
        types=types,
        mobile=await own_mobile(view),
        begun_at=begun_at,
        keeps=keeps and not task,
        tested=tested,
    )
    return await view.show(page, status=status)


async def show_sent(
    view: View, sent: Sent, *, do: str = "", status: int = 200, tested: Tested | None = None
) -> Response[str]:
    """The form again as it was sent, with what is wrong beside each field."""
    return await show_form(
        view, task=sent.task, values=sent.values, errors=sent.errors, resent=sent.resent, groups=sent.groups,
        contacts=sent.contacts, do=do, status=status, keeps=bool(sent.values.get("draft")), tested=tested,
    )  # fmt: skip


async def own_mobile(view: View) -> int:
    """The viewer's own mobile number as their profile has it, 0 for none."""

    def read(connection: sqlite3.Connection) -> str:
        row = connection.execute("SELECT mobile FROM user WHERE id = ?", (view.me.id,)).fetchone()
        return str(row[0])

    mobile = await view.read(read)
    try:
        return view.console.operations.canonical_number(mobile) if mobile.strip() else 0
    except ValueError:
        return 0


async def available(view: View, user: int) -> int:
    """Parts that a user may still send."""
    balances = view.console.operations.balances()

    def read(connection: sqlite3.Connection) -> int:
        limit, used = connection.execute("SELECT granted, used FROM user WHERE id = ?", (user,)).fetchone()
        return int(limit - sum(balances.get(user, (used, 0))))

    return await view.read(read)


@get("/sms/send", **allow("sms.send"))
async def send(view: FromView) -> Response[str]:
    """An empty form, or the draft that was left; the name is the moment, and `?to=` a number to begin with."""
    to = str(view.request.query_params.get("to", ""))
    typed = f"+{to}" if to.isascii() and to.isdigit() and len(to) <= DIGITS_MAX else ""
    draft = await view.read(lambda c: draft_of(c, view.me.id))
    if draft and not typed:
        values = {name: sent[0] for name, sent in draft.form.items() if sent}
        if not sending.is_kept(view, values.get("upload", "")):
            values["upload"] = values["upload_name"] = ""
        groups = [int(one) for one in draft.form.get("groups", ()) if one.isdecimal()]
        return await show_form(
            view, values=values, groups=groups, contacts=contact_picker.picked_in(draft.form),
            begun_at=draft.at,
        )  # fmt: skip
    # A draft that waits is not written over by a message that begins with a number.
    values = {"name": format_time(view.console.wall_ms(), view.zone), "typed": typed}
    return await show_form(view, values=values, keeps=draft is None)


@get("/tasks/{task_id:int}/edit", **allow("sms.send", about="task"))
async def edit_form(view: FromView) -> Response[str]:
    """A task in preview, to be changed; its file is kept."""
    task = view.about_task
    if task.state != "preview":
        return view.go(f"/tasks/{task.id}")
    typed = folder_of(view.console.data, task.id) / TYPED
    source = task.source
    values = {
        "name": task.name,
        "sms_type": task.sms_type,
        "text": task.text,
        "sender": task.sender,
        "start_at": sending.write_moment(task.start_at, view.zone),
        "end_at": sending.write_moment(task.end_at, view.zone),
        "typed": typed.read_text(encoding="utf-8") if source.typed and typed.exists() else "",
        "upload_name": source.file,
        "upload": "kept" if source.file else "",
    }
    return await show_form(
        view, task=task.id, values=values, groups=source.groups, contacts=source.contacts,
        resent=task.resend_of if source.resent else 0,
    )  # fmt: skip


@post("/sms/send", **allow("sms.send"), request_max_body_size=UPLOAD_OCTETS_MAX)
async def submit(view: FromView) -> Response[str]:
    """Make a task of the form, or come back to it with what was asked for."""
    return await _submit(view, None)


@post("/tasks/{task_id:int}/edit", **allow("sms.send", about="task"), request_max_body_size=UPLOAD_OCTETS_MAX)
async def edit(view: FromView) -> Response[str]:
    """Change a task in preview."""
    return await _submit(view, view.about_task)


async def read_sent(view: View, task: TaskRow | None) -> Sent:
    """The form of a request; an upload is put aside at once."""
    form, errors = view.parse(SendForm)
    values = {name: sent[0] for name, sent in view.form.items() if sent}
    values["text"] = text_of(view)
    file = view.files.get("file")
    if file is not None:
        values["upload"] = await sending.keep_upload(view, file)
        values["upload_name"] = file.filename[:200]
    if view.field("do") == "drop-file":
        values["upload"] = values["upload_name"] = ""
    kept = values.get("upload", "") == "kept" and task is not None and bool(task.source.file)
    if values.get("upload") and not kept and not sending.is_kept(view, values["upload"]):
        values["upload"] = values["upload_name"] = ""
    return Sent(
        form, values, errors, values["text"], tuple(contact_picker.picked_in(view.form)),
        task.id if task else 0, task.resend_of if task and task.source.resent else 0, kept,
    )  # fmt: skip


async def _submit(view: View, task: TaskRow | None) -> Response[str]:
    sent = await read_sent(view, task)
    values, errors, form, kept = sent.values, sent.errors, sent.form, sent.kept
    do = view.field("do")
    if do.startswith("phrase:"):
        offered = await view.read(lambda c: phrases_for(c, view.me.id, view.me.group))
        values["text"] = sent.text + next((one.text for one in offered if str(one.id) == do[7:]), "")
    if do and do != "submit":
        errors.clear()
        return await show_sent(view, sent, do=do)
    made = await draft_from(view, sent)
    numbered = values.get("upload") or sent.groups or sent.contacts or sent.resent
    if form is not None and not (form.typed or numbered):
        errors["typed"] = view.t(N_("Give at least one number: typed, from a file or from your contacts."))
    if form is None or errors or made is None:
        return await show_sent(view, sent, status=422)
    source = Input(
        typed=bool(form.typed),
        file=values.get("upload_name", "") if values.get("upload") else "",
        contacts=sent.contacts,
        groups=form.groups,
        resent=task.source.resent if task else "",
    )
    if kept and task:
        old = task.source
        source = msgspec.structs.replace(
            source, encoding=old.encoding, sheet=old.sheet, header=old.header, column=old.column,
            delimiter=old.delimiter,
        )  # fmt: skip
    stage = "binding" if source.file else "preparing"
    upload = "" if kept else values.get("upload", "")
    try:
        identifier = await create(
            view, task, made, source, stage=stage, typed=form.typed, upload=upload,
            from_draft=bool(values.get("draft")),
        )  # fmt: skip
    except StoreError as error:
        return view.go(f"/tasks/{task.id}" if task else "/sms/send", flash=Flash(view.refusal(error), "bad"))
    if stage == "binding":
        return view.go(f"/tasks/{identifier}/file")
    await sending.prepare(view, identifier)
    return view.go(f"/tasks/{identifier}/preview")


async def create(
    view: View,
    task: TaskRow | None,
    draft: Draft,
    source: Input,
    *,
    stage: str,
    typed: str,
    upload: str = "",
    from_draft: bool = False,
) -> int:
    """Write a task, new or changed, and what it is made from; gives its id.

    Args:
      from_draft: the form was the viewer's draft, which is needed no more.
    Raises StoreError with what the store refuses.
    """
    new_account = [False]

    def write(transaction: Writing) -> int:
        if task is not None:
            tasks.edit_task(transaction, task.id, draft, source, stage=stage)
            return task.id
        new_account[0] = tasks.console_account(transaction, view.me.id)[1]
        if from_draft:
            drop_draft(transaction, view.me.id)
        return tasks.create_task(transaction, view.me.id, draft, source, stage=stage)

    identifier = await view.write(write, reload=False)
    if new_account[0]:
        await view.console.operations.reload()

    def files() -> None:
        folder = make_folder(view.console.data, identifier)
        if source.typed:
            write_private(folder / TYPED, typed.encode())
        if upload and source.file:
            sending.take_upload(view, upload, identifier)

    await view.console.off_loop(files)
    return identifier


async def draft_from(view: View, sent: Sent) -> Draft | None:
    """The content of a form, or None with what is wrong in its `errors`."""
    values, errors, text = sent.values, sent.errors, sent.text
    now_ms, figures = view.console.wall_ms(), view.console.text_figures(text)
    types = [name for name, _ in await view.read(lambda c: tasks.types_of(c, view.me.id))]
    sms_type = values.get("sms_type", "") or next(iter(types), "")
    if sms_type not in types:
        errors["sms_type"] = view.t(SENTENCES["type-not-allowed"])
    if not text.strip():
        errors["text"] = view.t(N_("Fill this in."))
    elif figures.action == "reject":
        errors["text"] = view.t(
            N_("This text may not be sent; it contains: %(words)s"), words="、".join(figures.words)
        )
    elif figures.parts > PARTS_EACH_MAX:
        errors["text"] = view.t(
            N_("The text takes %(parts)s parts; at most %(limit)s are allowed. Shorten it."),
            parts=figures.parts,
            limit=PARTS_EACH_MAX,
        )
    moments = {}
    for name in ("start_at", "end_at"):
        moment = sending.read_moment(values.get(name, ""), view.zone)
        if moment is None:
            errors[name] = view.t(N_("Give a date and time, such as 2025-10-10 09:30:05."))
        moments[name] = moment or 0
    if moments["start_at"] > now_ms + AHEAD_MS_MAX:
        errors["start_at"] = view.t(N_("A task can begin at most 30 days ahead."))
    if moments["end_at"] and moments["end_at"] <= max(moments["start_at"], now_ms):
        errors["end_at"] = view.t(N_("The end must lie behind the start."))
    sender = values.get("sender", "").strip()
    if not view.console.operations.sender_allowed(f"console:{view.me.login}", sender):
        errors["sender"] = view.t(
            N_("You may not send from this address. Leave it empty, or ask your administrator.")
        )
    if errors:
        return None
    name = values.get("name", "").strip() or format_time(now_ms, view.zone)
    return Draft(
        name[:NAME_CHARACTERS_MAX], text, figures.masked, figures.parts, figures.action, sender,
        moments["start_at"], moments["end_at"], sms_type,
    )  # fmt: skip


@post("/sms/figures", **allow("sms.send", quiet=True))
async def count(view: FromView) -> Response[str]:
    """The counter of a text, as the preview and the gateway will count it."""
    text = text_of(view)
    figures = view.console.text_figures(text) if text else None
    return await view.show(FiguresPage(title="", figures=figures))


@post("/sms/contacts", **allow("sms.send", quiet=True))
async def pick(view: FromView) -> Response[str]:
    """The picker after one of its buttons; without script the whole form comes back instead."""
    values = {name: sent[0] for name, sent in view.form.items() if sent}
    picked, do, owner = contact_picker.picked_in(view.form), view.field("do"), view.me.id
    picker = await view.read(lambda c: contact_picker.build(c, owner, values, picked, do))
    return await view.show(PickPage(title="", picker=picker))


# -- the file -----------------------------------------------------------------------------------------


@get("/tasks/{task_id:int}/file", **allow("sms.send", about="task"))
async def file_page(view: FromView) -> Response[str]:
    """What was detected, five rows of it, and the choice of the column."""
    return await _file(view, view.about_task)


async def _file(view: View, task: TaskRow) -> Response[str]:
    if task.state != "preview" or not task.source.file:
        return view.go(f"/tasks/{task.id}/preview")
    order = await view.read(lambda c: sending.order_for(view, c, task, only_look=True))
    seen = await view.console.jobs.look(order)
    look = seen.look if isinstance(seen, Seen) else None
    error = (
        "" if isinstance(seen, Seen) else view.t(sending.JOB_ERRORS.get(seen, sending.JOB_ERRORS["broken"]))
    )
    column = task.source.column
    if look is not None and not 0 <= column < len(look.names):
        column = look.column
    page = FilePage(title=view.t(N_("The file")), task=task, look=look, error=error, column=column)
    return await view.show(page, status=200 if look else 422)


@post("/tasks/{task_id:int}/file", **allow("sms.send", about="task"))
async def bind_file(view: FromView) -> Response[str]:
    """Read it in another way, or take the column and judge every row."""
    task = view.about_task
    header = {"yes": True, "no": False}.get(view.field("header"))
    column = view.field("column")
    encoding = view.field("encoding")
    source = msgspec.structs.replace(
        task.source,
        encoding=encoding if encoding in ENCODINGS else "",
        sheet=view.field("sheet")[:200],
        header=header,
        column=int(column) if column.isdecimal() and len(column) < 4 else -1,
        delimiter=sending.delimiter_of_form(view),
    )
    again = view.field("do") == "again"
    stage = "binding" if again else "preparing"
    try:
        await view.write(lambda w: tasks.set_input(w, task.id, source, stage=stage), reload=False)
    except StoreError as error:
        return view.go(f"/tasks/{task.id}", flash=Flash(view.refusal(error), "bad"))
    if again:
        return view.go(f"/tasks/{task.id}/file")
    await sending.prepare(view, task.id)
    return view.go(f"/tasks/{task.id}/preview")


ROUTES = (send, submit, edit_form, edit, count, pick, file_page, bind_file)
