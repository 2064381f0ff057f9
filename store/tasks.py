"""Tasks of the console: made, moved, listed. A move compares and sets, with its history and audit row beside it."""
# ruff: noqa: S608 - names put into SQL are ours; every value is a parameter

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from store.document_checks import CONSOLE_PREFIX
from store.listing import Cut, Order, Page, Where, fetch, order_of
from store.refusals import Refused
from store.scope import Within
from store.task_states import MOVES, RESERVED

if TYPE_CHECKING:
    from store.config_db import Writing

NAME_CHARACTERS_MAX = 64
TASK_RATE_MAX = 100_000
SMS_TYPE = "business"  # what the console sends as, unless somebody chooses another
OTHER_DOORS = ("check", "api")  # types of number checks and of the API: no task of a text is one


class Input(msgspec.Struct, frozen=True):
    """Where a task's recipients come from; typed numbers and the file lie in the task's folder."""

    typed: bool = False
    file: str = ""  # its name as the browser gave it, "" for none
    contacts: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    resent: str = ""  # of the task that this one resends: "all", "failed", "unknown", "not-sent", "filter"
    encoding: str = ""  # "" is as detected; so are the two below
    sheet: str = ""
    header: bool | None = None
    column: int = -1
    delimiter: str = ""
    test: bool = False  # one message to the owner's own phone, to see the text on it


class TaskRow(msgspec.Struct, frozen=True):
    """One task. Times are UTC ms, 0 for none; `start_at` 0 is at once."""

    id: int
    user: int
    login: str
    group: int
    group_path: str
    account: int
    sms_type: str
    name: str
    state: str
    outcome: str
    created_at: int
    start_at: int
    end_at: int
    started_at: int
    finished_at: int
    sender: str
    text: str
    masked: str
    word_action: str
    parts_each: int
    stage: str
    prepared_at: int
    input: str
    total: int
    valid: int
    counts: str
    resend_of: int
    delivered: int
    failed: int
    parts_sent: int
    rate: int = 0  # messages a second at most, 0 for what the carriers take

    @property
    def parts(self) -> int:
        """Parts that the whole task takes."""
        return self.valid * self.parts_each

    @property
    def source(self) -> Input:
        return msgspec.json.decode(self.input, type=Input)

    @property
    def classes(self) -> list["Counted"]:
        return msgspec.json.decode(self.counts, type=list[Counted])


class Counted(msgspec.Struct, frozen=True, array_like=True):
    """How many rows of one source are of one class, for one reason."""

    source: str  # "typed", "file", "contacts", "resent"
    kind: str  # filters.recipients.RowClass
    reason: str
    count: int


COLUMNS = (
    "t.id, u.id, u.login, g.id, g.path, t.account_id, t.sms_type, t.name, t.state, t.outcome, t.created_at,"
    " t.start_at, t.end_at, t.started_at, t.finished_at, t.sender, t.text, t.masked, t.word_action, t.parts_each,"
    " t.stage, t.prepared_at, t.input, t.total, t.valid, t.counts, ifnull(t.resend_of, 0), t.delivered, t.failed,"
    " t.parts_sent, t.rate"
)
TABLES = "task t JOIN user u ON u.id = t.user_id JOIN user_group g ON g.id = t.group_id"


class Draft(msgspec.Struct, frozen=True):
    """What a form says of a task, and what screening said of its text."""

    name: str
    text: str
    masked: str
    parts_each: int
    word_action: str = ""
    sender: str = ""
    start_at: int = 0
    end_at: int = 0
    sms_type: str = SMS_TYPE


def console_account(transaction: "Writing", user: int) -> tuple[int, bool]:
    """(id, whether it is new) of the account that the user's tasks send as: `console:LOGIN`."""
    login = transaction.run("SELECT login FROM user WHERE id = ?", (user,)).fetchone()[0]
    row = transaction.run(
        "SELECT id FROM account WHERE system_id = ? AND state <> 'deleted'", (CONSOLE_PREFIX + login,)
    ).fetchone()
    if row:
        return row[0], False
    settings = msgspec.json.encode({"sms_type": SMS_TYPE, "priority": 0}).decode()
    identifier = transaction.insert(
        "INSERT INTO account (user_id, system_id, settings) VALUES (?, ?, ?)",
        (user, CONSOLE_PREFIX + login, settings),
    )
    transaction.audit("account.create", f"account console:{login}")
    return identifier, True


def create_task(
    transaction: "Writing", user: int, draft: Draft, source: Input, *, stage: str, resend_of: int = 0
) -> int:
    """A new task in preview; gives its id. Its account must be there (`console_account`)."""
    login, group = transaction.run("SELECT login, group_id FROM user WHERE id = ?", (user,)).fetchone()
    _may_send(transaction, user, draft.sms_type)
    account = console_account(transaction, user)[0]
    task = transaction.insert(
        "INSERT INTO task (user_id, group_id, account_id, sms_type, name, created_at, start_at, end_at, sender,"
        " text, masked, word_action, parts_each, stage, input, resend_of)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            user, group, account, draft.sms_type, draft.name, transaction.at, draft.start_at, draft.end_at,
            draft.sender, draft.text, draft.masked, draft.word_action, draft.parts_each, stage,
            msgspec.json.encode(source).decode(), resend_of or None,
        ),
    )  # fmt: skip
    _note(transaction, task, "create", "preview", "")
    transaction.audit("task.create", f"task {task}", changes=False, name=draft.name, owner=login)
    return task


def types_of(connection: sqlite3.Connection, user: int) -> list[tuple[str, str]]:
    """(name, title) of the SMS types that a user's tasks may have, the one that is meant without a word first."""
    settings = connection.execute("SELECT settings FROM user WHERE id = ?", (user,)).fetchone()[0]
    allowed = msgspec.json.decode(settings).get("sms_types")
    marks = ", ".join("?" * len(OTHER_DOORS))
    rows = connection.execute(
        "SELECT name, CASE title WHEN '' THEN name ELSE title END FROM sms_type"
        f" WHERE name NOT IN ({marks}) ORDER BY name <> ?, id",
        (*OTHER_DOORS, SMS_TYPE),
    )
    return [row for row in rows if not allowed or row[0] in allowed]


def _may_send(transaction: "Writing", user: int, sms_type: str) -> None:
    if sms_type not in dict(types_of(transaction.connection, user)):
        raise Refused("type-not-allowed", f'You may not send as type "{sms_type}". Ask your administrator.')


def edit_task(transaction: "Writing", task: int, draft: Draft, source: Input, *, stage: str) -> None:
    """Other content for a task in preview."""
    row = transaction.run("SELECT user_id FROM task WHERE id = ?", (task,)).fetchone()
    if row:
        _may_send(transaction, row[0], draft.sms_type)
    move_task(
        transaction, task, "edit", name=draft.name, start_at=draft.start_at, end_at=draft.end_at,
        sender=draft.sender, text=draft.text, masked=draft.masked, word_action=draft.word_action,
        parts_each=draft.parts_each, sms_type=draft.sms_type, stage=stage, input=msgspec.json.encode(source).decode(),
    )  # fmt: skip


def set_input(transaction: "Writing", task: int, source: Input, *, stage: str) -> None:
    """How the file is to be read; the rows are to be prepared anew."""
    move_task(transaction, task, "edit", input=msgspec.json.encode(source).decode(), stage=stage)


def set_stage(transaction: "Writing", task: int, stage: str) -> bool:
    """How far the preparation is; False when the task is in preview no more."""
    return bool(
        transaction.run(
            "UPDATE task SET stage = ? WHERE id = ? AND state = 'preview'", (stage, task)
        ).rowcount
    )


def set_prepared(
    transaction: "Writing", task: int, total: int, valid: int, counts: Sequence[Counted]
) -> bool:
    """The rows are judged; False when the task is in preview no more."""
    return bool(
        transaction.run(
            "UPDATE task SET stage = 'ready', prepared_at = ?, total = ?, valid = ?, counts = ?"
            " WHERE id = ? AND state = 'preview'",
            (transaction.at, total, valid, msgspec.json.encode(counts).decode(), task),
        ).rowcount
    )


def move_task(transaction: "Writing", task: int, name: str, /, *, note: str = "", **values: Any) -> None:
    """Move a task, if it stands where this move begins.

    Args:
      values: further columns to be set with it.
    Raises Refused ("task-state") with the state in which it is, and whose move it was that led there.
    """
    move = MOVES[name]
    if move.needs_note and not note.strip():
        raise Refused("task-note", "Give a reason.")
    changes: dict[str, Any] = {"state": move.after, "outcome": move.outcome, **values}
    if move.after == "finished":
        changes["finished_at"] = transaction.at
    if name == "start":
        changes["started_at"] = transaction.at
    assignments = ", ".join(f"{column} = ?" for column in changes)
    marks = ", ".join("?" * len(move.before))
    done = transaction.run(
        f"UPDATE task SET {assignments} WHERE id = ? AND state IN ({marks})",
        (*changes.values(), task, *move.before),
    ).rowcount
    if not done:
        row = transaction.run(
            "SELECT t.state, e.actor, e.at FROM task t LEFT JOIN task_event e ON e.id ="
            " (SELECT max(id) FROM task_event WHERE task_id = t.id) WHERE t.id = ?",
            (task,),
        ).fetchone()
        state, actor, at = row or ("discarded", "", 0)
        raise Refused(
            "task-state", f"The task is {state} already, by {actor}.", state=state, actor=actor or "", at=at
        )
    _note(transaction, task, name, move.after, note)
    transaction.audit(f"task.{name}", f"task {task}", changes=False, **({"note": note} if note else {}))


def set_task_rate(transaction: "Writing", task: int, rate: int) -> None:
    """At most so many messages a second from now on, 0 for what the carriers take.

    Raises Refused ("task-rate", or "task-state" for a task that is over or in preview).
    """
    if not 0 <= rate <= TASK_RATE_MAX:
        raise Refused("task-rate", f"The rate is 0 (no limit) to {TASK_RATE_MAX:,} messages a second.")
    row = transaction.run("SELECT rate, state FROM task WHERE id = ?", (task,)).fetchone()
    before, state = row or (0, "discarded")
    if state not in RESERVED:
        raise Refused("task-state", f"The task is {state}.", state=state, actor="")
    if before != rate:
        transaction.run("UPDATE task SET rate = ? WHERE id = ?", (rate, task))
        _note(transaction, task, "rate", state, f"{before} → {rate}")
        transaction.audit("task.rate", f"task {task}", rate=[before, rate])


def set_figures(transaction: "Writing", task: int, delivered: int, failed: int, parts_sent: int) -> None:
    """What came of the messages so far."""
    transaction.run(
        "UPDATE task SET delivered = ?, failed = ?, parts_sent = ? WHERE id = ?",
        (delivered, failed, parts_sent, task),
    )


def _note(transaction: "Writing", task: int, move: str, state: str, note: str) -> None:
    transaction.insert(
        "INSERT INTO task_event (task_id, at, actor, move, state, note) VALUES (?, ?, ?, ?, ?, ?)",
        (task, transaction.at, transaction.actor, move, state, note),
    )


# -- reading ------------------------------------------------------------------------------------------


class TaskFilter(msgspec.Struct, frozen=True):
    """Which tasks. `owner` 0: of everybody in scope."""

    owner: int = 0
    search: str = ""
    login: str = ""
    group: str = ""
    states: tuple[str, ...] = ()
    outcome: str = ""
    since: int = 0  # created at or after, UTC ms
    before: int = 0
    by_start: bool = False  # these two are about the start instead, the real one or the one that is planned


ORDERS = {"newest": Order(("t.id",), descending=True), "oldest": Order(("t.id",))}


def list_tasks(connection: sqlite3.Connection, within: Within, wanted: TaskFilter, cut: Cut) -> Page:
    """A page of tasks in scope, as `TaskRow` columns, the newest first, or the oldest."""
    where = _where(within, wanted)
    return fetch(connection, COLUMNS, TABLES, where, order_of(ORDERS, cut), cut, prefix=within.sql)


def count_tasks(connection: sqlite3.Connection, within: Within, wanted: TaskFilter) -> int:
    """How many tasks in scope."""
    where = _where(within, wanted)
    row = connection.execute(
        f"{within.sql} SELECT count(*) FROM {TABLES} WHERE {where.sql}", where.parameters
    ).fetchone()
    return int(row[0])


def _where(within: Within, wanted: TaskFilter) -> Where:
    where = within.where()
    where.add("t.group_id IN subtree")
    if wanted.states:
        where.add(f"t.state IN ({', '.join('?' * len(wanted.states))})", *wanted.states)
    else:
        where.add("t.state <> 'discarded'")
    if wanted.owner:
        where.add("t.user_id = ?", wanted.owner)
    if wanted.outcome:
        where.add("t.outcome = ?", wanted.outcome)
    # What is to begin at once has no time of its own before it has begun.
    moment = "coalesce(nullif(t.started_at, 0), t.start_at)" if wanted.by_start else "t.created_at"
    if wanted.since:
        where.add(f"{moment} >= ?", wanted.since)
    if wanted.before:
        where.add(f"{moment} < ?", wanted.before)
    where.add_search(wanted.search, "t.name")
    where.add_search(wanted.login, "u.login", "u.name")
    where.add_search(wanted.group, "g.path")
    return where


def read_task(connection: sqlite3.Connection, within: Within, task: int, *, owner: int = 0) -> TaskRow | None:
    """One task in scope (and of one owner); None if there is none in sight."""
    row = connection.execute(
        f"{within.sql} SELECT {COLUMNS} FROM {TABLES} WHERE t.group_id IN subtree AND t.id = ?"
        " AND t.state <> 'discarded' AND (? = 0 OR t.user_id = ?)",
        (within.group, task, owner, owner),
    ).fetchone()
    return TaskRow(*row) if row else None


def any_task(connection: sqlite3.Connection, task: int) -> TaskRow | None:
    """A task by id, whoever asks: for the daemon."""
    row = connection.execute(f"SELECT {COLUMNS} FROM {TABLES} WHERE t.id = ?", (task,)).fetchone()
    return TaskRow(*row) if row else None


def tasks_in(connection: sqlite3.Connection, states: Sequence[str]) -> list[TaskRow]:
    """All tasks in these states, oldest first: for the daemon."""
    marks = ", ".join("?" * len(states))
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM {TABLES} WHERE t.state IN ({marks}) ORDER BY t.id", tuple(states)
    )
    return [TaskRow(*row) for row in rows]


def reserved_tasks(connection: sqlite3.Connection) -> list[TaskRow]:
    """Tasks that hold quota."""
    return tasks_in(connection, RESERVED)


def task_events(connection: sqlite3.Connection, task: int) -> list[tuple[int, str, str, str, str]]:
    """(at, actor, move, state, note) of everything that happened to a task, oldest first."""
    return connection.execute(
        "SELECT at, actor, move, state, note FROM task_event WHERE task_id = ? ORDER BY id", (task,)
    ).fetchall()


class Review(msgspec.Struct, frozen=True):
    """A reviewer's decision on a task. `entry`: its place in the history of all tasks."""

    entry: int
    move: Literal["approve", "reject"]
    reviewer: str
    note: str
    task: int
    name: str
    user: int
    recipients: int
    parts: int


def reviews_after(connection: sqlite3.Connection, after: int, limit: int) -> list[Review]:
    """The next decisions behind an entry of the history, oldest first."""
    rows = connection.execute(
        "SELECT e.id, e.move, e.actor, e.note, t.id, t.name, t.user_id, t.valid, t.valid * t.parts_each"
        " FROM task_event e JOIN task t ON t.id = e.task_id"
        " WHERE e.id > ? AND e.move IN ('approve', 'reject') ORDER BY e.id LIMIT ?",
        (after, limit),
    )
    return [Review(*row) for row in rows]


def newest_entry(connection: sqlite3.Connection) -> int:
    """The newest entry of the history of all tasks, 0 for none."""
    found: int = connection.execute("SELECT coalesce(max(id), 0) FROM task_event").fetchone()[0]
    return found


def resends_of(connection: sqlite3.Connection, task: int) -> list[int]:
    """Tasks that resend this one."""
    rows = connection.execute(
        "SELECT id FROM task WHERE resend_of = ? AND state <> 'discarded' ORDER BY id", (task,)
    )
    return [row[0] for row in rows]


def rejections(connection: sqlite3.Connection, user: int) -> Mapping[str, int]:
    """How many tasks of a user were approved or rejected: what a reviewer may want to know."""
    rows = connection.execute(
        "SELECT e.move, count(*) FROM task_event e JOIN task t ON t.id = e.task_id"
        " WHERE t.user_id = ? AND e.move IN ('approve', 'reject') GROUP BY 1",
        (user,),
    )
    return dict(rows.fetchall())


class Decision(msgspec.Struct, frozen=True):
    """What a reviewer said of a task."""

    at: int
    move: Literal["approve", "reject"]
    reviewer: str
    note: str
    task: int
    name: str


def decisions_on(connection: sqlite3.Connection, within: Within, user: int, limit: int) -> list[Decision]:
    """The newest decisions on a user's tasks in scope, the newest first."""
    where = within.where()
    where.add("t.group_id IN subtree")
    where.add("t.user_id = ?", user)
    where.add("e.move IN ('approve', 'reject')")
    rows = connection.execute(
        f"{within.sql} SELECT e.at, e.move, e.actor, e.note, t.id, t.name FROM task_event e"
        f" JOIN task t ON t.id = e.task_id WHERE {where.sql} ORDER BY e.id DESC LIMIT ?",
        (*where.parameters, limit),
    )
    return [Decision(*row) for row in rows]


def discarded_among(connection: sqlite3.Connection, tasks: Sequence[int]) -> list[int]:
    """Those of some tasks that were discarded and cannot be put back."""
    rows = connection.execute(
        "SELECT id FROM task WHERE state = 'discarded' AND id IN (SELECT value FROM json_each(?))"
        " AND id NOT IN (SELECT json_extract(one.value, '$[0]') FROM trash, json_each(trash.items) one"
        " WHERE trash.kind = 'task')",
        (msgspec.json.encode(list(tasks)).decode(),),
    )
    return [row[0] for row in rows]


def stale_previews(connection: sqlite3.Connection, before_ms: int) -> list[int]:
    """Tasks that nobody has confirmed since long, nor put back since then."""
    rows = connection.execute(
        "SELECT id FROM task WHERE state = 'preview' AND created_at < ? AND NOT EXISTS"
        " (SELECT 1 FROM task_event e WHERE e.task_id = task.id AND e.move = 'restore' AND e.at >= ?)",
        (before_ms, before_ms),
    )
    return [row[0] for row in rows]
