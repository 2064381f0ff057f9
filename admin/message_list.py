"""The list of messages (P12), for the whole scope or for one task: filters as data, rows with state and reason.

On the page a row has what fits; exported it has everything. There is no count: a page knows only whether it goes on.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from admin import sending
from admin.i18n import N_
from admin.list_export import STEP
from admin.lists import Act, Cell, Column, Empty, Filter, ListSpec, Row
from admin.message_sight import Sight, is_clear, number_shown, sight_of, text_shown
from admin.message_words import (
    CHOICES,
    FAILURES,
    NO_REASON,
    code_of,
    read_code,
    reason_of,
    shown_as,
    states_of,
)
from admin.permissions import Role
from admin.rendering import format_time
from admin.view import View
from store import tasks
from store.files import StoreError
from store.ids import SECOND_BITS
from store.listing import COUNTED_MAX, Cut
from store.listing import Page as Rows
from store.model import Part
from store.owners import Owner, carrier_names, names_of_tasks, sms_type_titles
from store.reads_messages import MessageFilter, MessageRow
from store.rules import why_listed
from store.scope import groups_within
from store.task_file import ROWS, TaskFile, folder_of
from store.tasks import TaskFilter, TaskRow

TEXT_DAYS_MAX = 93  # a text is looked for so far back, as there is no index of texts
MS_A_DAY = 86_400_000
BUDGET_S = 0.2  # of a page
EXPORT_BUDGET_S = 3.0  # of a thousand rows
LAST_ID = 1 << 62
EXACT_DIGITS = 11
NUMBER_DIGITS_MAX = 15  # E.164
SHOWN_CHARACTERS = 60
LISTS = {"global": N_("Global"), "type": N_("SMS type"), "group": N_("User group")}  # in their order


class Asked(msgspec.Struct):
    """What the filters come to: which messages, below which id; and what is to be said about it."""

    wanted: MessageFilter | None
    before_id: int = LAST_ID
    notes: list[str] = []


class Told(msgspec.Struct):
    """One message with the names that its row shows."""

    message: MessageRow
    owner: Owner | None
    task: str
    group_path: str
    clear: bool
    listed: str = ""  # the lists in sight that its number is on


class MessageList:
    """The list for one request: makes the spec, and keeps what the page says beside the table."""

    def __init__(
        self,
        view: View,
        connection: sqlite3.Connection,
        *,
        task: TaskRow | None = None,
        path: str = "/reports/messages",
        complaints: bool = False,
    ) -> None:
        self._view = view
        self._task = task
        self._complaints = complaints  # rows can be chosen, and say whether their number is on a list
        self._path = path
        self._full = bool(view.query("format")) or view.wants_json or view.asked_by_job is not None
        self._sight = sight_of(view, connection)
        self._types = sms_type_titles(connection)
        self._carriers = carrier_names(connection) if view.may("messages.carriers") else {}
        if task is not None and task.account not in self._sight.owners:
            # Seen by the task, whose owner has moved to another group since.
            owner = Owner(
                task.account, f"console:{task.login}", task.user, task.login, task.group, task.group_path
            )
            self._sight = Sight({**self._sight.owners, task.account: owner}, self._sight.everything)
        self.notes: list[str] = []
        self.reached_ms = 0  # how far back a page that is not full was searched

    # -- the filters ------------------------------------------------------------------------------

    def filters(self) -> tuple[Filter, ...]:
        """The manual's five in sight, the others folded away."""
        own, in_task = self._view.role == Role.USER, self._task is not None
        types = tuple((str(number), title) for number, title in self._types.items())
        found = [
            Filter("number", N_("Number"), placeholder=N_("13800138000, or 1380 for all that begin so")),
            Filter("text", N_("Message"), placeholder=N_("A piece of the text")),
            Filter("state", N_("State"), "choice", CHOICES),
            Filter("from", N_("From time"), "moment", more=in_task),
            Filter("to", N_("To time"), "moment", more=in_task),
        ]
        if self._complaints:
            return (*found, Filter("type", N_("SMS type"), "choice", types))
        found.append(Filter("reason", N_("Reason or code"), placeholder="ESME_RTHROTTLED, err 27", more=True))
        if not in_task:
            found.append(Filter("type", N_("SMS type"), "choice", types, more=True))
            found.append(Filter("task", N_("Task"), placeholder=N_("Its number or name"), more=True))
            found.append(Filter("account", N_("Account"), placeholder=N_("Part of its name"), more=True))
        if self._carriers:
            carriers = tuple((str(number), name) for number, name in self._carriers.items())
            found.append(Filter("carrier", N_("Carrier"), "choice", carriers, more=True))
        if not own and not in_task:
            found.append(Filter("user", N_("User"), placeholder=N_("Login"), more=True))
            found.append(Filter("group", N_("User group"), placeholder=N_("Part of its path"), more=True))
        return tuple(found)

    def ask(self, connection: sqlite3.Connection, values: Mapping[str, str]) -> Asked:
        """Filter values as what the store is asked; `wanted` None where nothing can fit."""
        asked = Asked(MessageFilter())
        narrowed: dict[str, Any] = {"accounts": self._accounts(values)}
        task = self._task
        if task is None and values.get("task"):
            task = self._task_named(connection, values["task"])
            if task is None:
                asked.notes.append(self._view.t(N_("There is no task “%(name)s”."), name=values["task"]))
                asked.wanted = None
        if task is not None:
            narrowed["task"] = task.id
            narrowed["since_id"], last_id = self._range_of(task)
            asked.before_id = last_id + 1
        if values.get("number"):
            narrowed["dests"] = self._numbers(values["number"])
            if not narrowed["dests"]:
                said = N_("“%(given)s” is no phone number and no beginning of one.")
                asked.notes.append(self._view.t(said, given=values["number"]))
                asked.wanted = None
        narrowed["states"], narrowed["taken"] = states_of(values.get("state", ""))
        if values.get("reason"):
            code = read_code(values["reason"])
            if code is None:
                said = N_(
                    "“%(given)s” is no reason. Give a code such as ESME_RTHROTTLED, 0x58, err 27 or no-route."
                )
                asked.notes.append(self._view.t(said, given=values["reason"]))
                asked.wanted = None
            else:
                narrowed["errors"], taken = code
                narrowed["taken"] = narrowed["taken"] if taken is None else taken
                narrowed["states"] = narrowed["states"] or frozenset(int(state) for state in FAILURES)
        for key, column in (("type", "sms_type"), ("carrier", "carrier")):
            chosen = values.get(key, "")
            narrowed[column] = int(chosen) if chosen.isdecimal() and len(chosen) < 10 else 0
        self._times(values, asked, narrowed)
        if values.get("text"):
            self._texts(values["text"], asked, narrowed)
        if asked.wanted is not None:
            asked.wanted = MessageFilter(**narrowed)
        return asked

    def _accounts(self, values: Mapping[str, str]) -> frozenset[int] | None:
        if self._task is not None:
            return frozenset({self._task.account})
        user, group, account = (values.get(key, "").lower() for key in ("user", "group", "account"))
        if self._sight.everything and not (user or group or account):
            return None
        return frozenset(
            owner.account
            for owner in self._sight.owners.values()
            if user in owner.login.lower()
            and group in owner.group_path.lower()
            and account in owner.system_id.lower()
        )

    def _task_named(self, connection: sqlite3.Connection, text: str) -> TaskRow | None:
        """A task in sight by its number or name, the newest of that name."""
        own = self._view.me.id if self._view.role == Role.USER else 0
        within = self._view.within("tasks.read")
        number = text.removeprefix("#")
        if number.isdecimal() and len(number) < 18:
            found = tasks.read_task(connection, within, int(number), owner=own)
            if found is not None:
                return found
        page = tasks.list_tasks(connection, within, TaskFilter(owner=own, search=text), Cut(1))
        return TaskRow(*page.rows[0]) if page.rows else None

    def _range_of(self, task: TaskRow) -> tuple[int, int]:
        """The ids between which a task's messages lie: those of its passes, else of its time."""
        try:
            with TaskFile.open(folder_of(self._view.console.data, task.id) / ROWS) as file:
                return file.id_range()
        except StoreError:
            ended = task.finished_at or self._view.console.wall_ms()
            return task.created_at // 1000 << SECOND_BITS, ended // 1000 + 1 << SECOND_BITS

    def _numbers(self, text: str) -> tuple[tuple[int, int], ...]:
        """Ranges of numbers: one, or all that begin so; () for what is no number."""
        plain = "".join(text.split()).replace("-", "")
        digits = plain.removesuffix("*").removeprefix("+").removeprefix("00")
        if not (digits.isdecimal() and digits.isascii() and len(digits) <= NUMBER_DIGITS_MAX):
            return ()
        if len(digits) >= EXACT_DIGITS and not plain.endswith("*"):
            try:
                number = self._view.console.operations.canonical_number(plain)
            except ValueError:
                return ()
            return tuple((one, one) for one in sorted({number, int(digits)}))
        beginnings = {digits}
        if not plain.startswith(("+", "00")):
            beginnings.add(self._view.console.operations.home_country() + digits)
        ranges = []
        for beginning in sorted(beginnings):
            for more in range(NUMBER_DIGITS_MAX - len(beginning) + 1):
                scale = 10**more
                ranges.append((int(beginning) * scale, (int(beginning) + 1) * scale - 1))
        return tuple(ranges)

    def _times(self, values: Mapping[str, str], asked: Asked, narrowed: dict[str, Any]) -> None:
        for key in ("from", "to"):
            moment = sending.read_moment(values.get(key, ""), self._view.zone)
            if moment is None:
                said = N_("“%(given)s” is no date and time.")
                asked.notes.append(self._view.t(said, given=values[key]))
                asked.wanted = None
            elif moment and key == "from":
                narrowed["since_id"] = max(narrowed.get("since_id", 0), moment // 1000 << SECOND_BITS)
            elif moment:
                asked.before_id = min(asked.before_id, moment // 1000 + 1 << SECOND_BITS)

    def _texts(self, text: str, asked: Asked, narrowed: dict[str, Any]) -> None:
        operations = self._view.console.operations

        def reads(parts: Sequence[Part]) -> bool:
            return text in operations.message_text(parts)

        narrowed["needles"] = operations.message_needles(text)
        narrowed["reads_as"] = reads
        if self._task is None:
            now_s = self._view.console.wall_ms() // 1000
            ends_s = min(asked.before_id >> SECOND_BITS, now_s)
            oldest = ends_s - TEXT_DAYS_MAX * MS_A_DAY // 1000
            if narrowed.get("since_id", 0) >> SECOND_BITS < oldest:
                narrowed["since_id"] = oldest << SECOND_BITS
                said = N_("Texts are searched back to %(at)s: %(days)s days at most.")
                at = format_time(oldest * 1000, self._view.zone)
                asked.notes.append(self._view.t(said, at=at, days=TEXT_DAYS_MAX))

    # -- the rows ---------------------------------------------------------------------------------

    def fetch(self, connection: sqlite3.Connection, values: Mapping[str, str], cut: Cut) -> Rows:
        """A page of the list, as `Told`."""
        asked = self.ask(connection, values)
        self.notes = asked.notes
        if asked.wanted is None:
            return Rows([], (), -1)
        if cut.counted > COUNTED_MAX + 1:  # an export asks whether it is a large one
            traffic = self._view.console.operations.traffic()
            return Rows([], (), traffic.count_messages(asked.wanted, asked.before_id, cut.counted))
        before = cut.after[0] if cut.after and isinstance(cut.after[0], int) else LAST_ID
        budget_s = EXPORT_BUDGET_S if cut.limit >= STEP else BUDGET_S
        found = self._view.console.operations.traffic().find_messages(
            asked.wanted, min(asked.before_id, max(before, 0)), cut.limit, budget_s=budget_s
        )
        if found.unreadable:
            said = N_("%(count)s days could not be read: their files are damaged or gone.")
            self.notes.append(self._view.t(said, count=len(found.unreadable)))
        if found.before_id and len(found.rows) < cut.limit:
            self.reached_ms = (found.before_id >> SECOND_BITS) * 1000
        told = self._tell(connection, found.rows)
        return Rows([(one,) for one in told], (found.before_id,) if found.before_id else (), -1)

    def _tell(self, connection: sqlite3.Connection, rows: Sequence[MessageRow]) -> list[Told]:
        wanted = {row.parts[0].task for row in rows} - {0}
        named = names_of_tasks(connection, wanted) if wanted else {}
        told = []
        for row in rows:
            first = row.parts[0]
            owner = self._sight.owners.get(first.account)
            name, path = named.get(first.task, ("", owner.group_path if owner else ""))
            told.append(Told(row, owner, name, path, is_clear(self._view, owner, row.id)))
        if self._complaints:
            groups = groups_within(connection, self._view.within("blacklist.read"))
            for one in told:
                found = why_listed(connection, one.message.parts[0].dest)
                kinds = {at.scope.kind for at in found if at.scope.kind != "group" or at.scope.key in groups}
                one.listed = "、".join(self._view.t(title) for kind, title in LISTS.items() if kind in kinds)
        return told

    @property
    def _name(self) -> str:
        if self._task is not None:
            return f"task-{self._task.id}-messages"
        return "complaints" if self._complaints else "messages"

    def spec(self) -> ListSpec:
        """The list as data."""
        in_task = self._task is not None
        return ListSpec(
            name=self._name,
            path=self._path,
            columns=self._every_column() if self._full else self._columns(),
            filters=self.filters(),
            fetch=self.fetch,
            row=lambda row: self._whole_row(*row) if self._full else self._row(*row),
            empty=Empty(
                N_("No message yet"),
                N_("Every message that is accepted stands here, with its state and the reason if it failed.")
                if not in_task
                else N_("Messages stand here as the task sends them."),
                "" if in_task else "/sms/send",
                "" if in_task else N_("Send SMS"),
            ),
        )

    def _columns(self) -> tuple[Column, ...]:
        own, in_task = self._view.role == Role.USER, self._task is not None
        return (
            Column("time", N_("Sent at"), "time"),
            Column("number", N_("Number"), "link"),
            Column("text", N_("Message")),
            *([] if own or in_task else [Column("user", N_("User"), wide=True)]),
            *([] if in_task else [Column("type", N_("SMS type"), wide=False)]),
            Column("state", N_("State"), "badge"),
            *(
                [Column("listed", N_("On a blacklist"))]
                if self._complaints
                else [Column("reason", N_("Reason")), Column("parts", N_("Parts"), "number", wide=False)]
            ),
            Column("act", N_("Complaint"), "actions"),
        )

    def _row(self, told: Told) -> Row:
        view, message, first = self._view, told.message, told.message.parts[0]
        own, in_task = view.role == Role.USER, self._task is not None
        text = view.console.operations.message_text(message.parts)
        if len(text) > SHOWN_CHARACTERS:
            text = text[: SHOWN_CHARACTERS - 1] + "…"
        key, shown = shown_as(message.state, taken=message.taken)
        code = code_of(message.state, message.error, taken=message.taken)
        why = reason_of(message.state, message.error, taken=message.taken, language=view.language)
        href = f"/reports/messages/{message.id}"
        listing = f"/settings/blacklist?tab=group&message={message.id}"
        user = Cell(told.owner.login if told.owner else f"#{first.account}", note=told.group_path)
        return Row(
            (
                Cell(first.accepted_at),
                Cell(
                    first.dest if told.clear else None,
                    number_shown(first.dest, clear=told.clear),
                    href=href,
                    note=_sender(first),
                ),
                Cell(text_shown(text, clear=told.clear), note=told.task if not in_task else ""),
                *([] if own or in_task else [user]),
                *([] if in_task else [Cell(first.sms_type, self._types.get(first.sms_type, str(first.sms_type)))]),
                Cell(key, view.t(shown.title), tone=shown.tone),
                *(
                    [Cell(told.listed)]
                    if self._complaints
                    else [Cell(why, note="" if code == NO_REASON or code in why else code), Cell(first.parts)]
                ),
                Cell("", actions=(Act(view.t(N_("Blacklist")), listing, "ban", post=False),)),
            ),
            id=str(message.id) if self._complaints else "",
        )  # fmt: skip

    def _every_column(self) -> tuple[Column, ...]:
        return (
            Column("id", N_("Message id"), "code"),
            Column("time", N_("Accepted"), "time"),
            Column("sent_at", N_("Submitted"), "time"),
            Column("done_at", N_("Finished at"), "time"),
            Column("group", N_("User group")),
            Column("user", N_("User")),
            Column("account", N_("Account")),
            Column("type", N_("SMS type")),
            Column("task", N_("Task")),
            Column("number", N_("Number"), "code"),
            Column("sender", N_("Sender")),
            Column("text", N_("Message")),
            Column("parts", N_("Parts"), "number"),
            Column("state", N_("State"), "badge"),
            Column("reason", N_("Reason")),
            Column("code", N_("Code")),
            *([Column("carrier", N_("Carrier"))] if self._carriers else []),
            Column("smsc_message_id", N_("Carrier's message id")),
        )

    def _whole_row(self, told: Told) -> Row:
        view, message, first = self._view, told.message, told.message.parts[0]
        key, shown = shown_as(message.state, taken=message.taken)
        text = text_shown(view.console.operations.message_text(message.parts), clear=told.clear)
        number: str | int = first.dest if told.clear else number_shown(first.dest, clear=False)
        return Row(
            (
                Cell(view.console.operations.shown_message_id(message.id)),
                Cell(first.accepted_at),
                Cell(message.sent_at),
                Cell(message.done_at),
                Cell(told.group_path),
                Cell(told.owner.login if told.owner else ""),
                Cell(told.owner.system_id if told.owner else f"#{first.account}"),
                Cell(self._types.get(first.sms_type, str(first.sms_type))),
                Cell(told.task),
                Cell(number),
                Cell(_sender(first)),
                Cell(text),
                Cell(first.parts),
                Cell(key, view.t(shown.title), tone=shown.tone),
                Cell(reason_of(message.state, message.error, taken=message.taken, language=view.language)),
                Cell(code_of(message.state, message.error, taken=message.taken)),
                *([Cell(self._carriers.get(first.carrier, ""))] if self._carriers else []),
                Cell(message.smsc_message_id),
            )
        )


def _sender(part: Part) -> str:
    return part.source.decode("utf-8", "replace")
