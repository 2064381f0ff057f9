"""Jobs: work that takes longer than a page, kept in `config.db` so that a restart loses none of them silently.

What a job reads and what it makes lies in a folder of its own, `jobs/ID/`. The table here says whose it is, how far
it is and how it ended; who runs it is not the store's business.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import msgspec

from store.listing import Cut, Order, Page, fetch
from store.refusals import Refused
from store.scope import Within, groups_within

if TYPE_CHECKING:
    from store.config_db import Writing

FOLDER = "jobs"
KEPT_MS = 7 * 24 * 3_600_000  # a result can be fetched so long
OPEN_MAX = 20  # of one person, waiting or running
TITLE_CHARACTERS_MAX = 200

JOB_TABLES = (
    """CREATE TABLE job (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id INTEGER NOT NULL REFERENCES user(id),
        kind TEXT NOT NULL,
        title TEXT NOT NULL,
        orders TEXT NOT NULL CHECK (json_valid(orders)),
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN
            ('waiting', 'running', 'done', 'failed', 'cancelled', 'interrupted')),
        created_at INTEGER NOT NULL,
        started_at INTEGER NOT NULL DEFAULT 0,
        ended_at INTEGER NOT NULL DEFAULT 0,
        done INTEGER NOT NULL DEFAULT 0,
        total INTEGER NOT NULL DEFAULT 0,
        counts TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(counts)),
        result TEXT NOT NULL DEFAULT '',
        result_name TEXT NOT NULL DEFAULT '',
        error TEXT NOT NULL DEFAULT '',
        error_values TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(error_values)),
        swept INTEGER NOT NULL DEFAULT 0 CHECK (swept IN (0, 1))
    ) STRICT""",
    "CREATE INDEX job_of_user ON job(user_id, id)",
    "CREATE INDEX job_open ON job(state, id) WHERE state IN ('waiting', 'running')",
    "CREATE INDEX job_unswept ON job(ended_at) WHERE swept = 0 AND ended_at > 0",
)

# name: (from which states, to which)
MOVES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "start": (("waiting",), "running"),
    "finish": (("running",), "done"),
    "fail": (("waiting", "running"), "failed"),
    "cancel": (("waiting", "running"), "cancelled"),
    "interrupt": (("running",), "interrupted"),
    "retry": (("failed", "cancelled", "interrupted"), "waiting"),
}
OPEN = ("waiting", "running")


class JobRow(msgspec.Struct, frozen=True):
    """A job. Times are UTC ms, 0 for not yet; `total` 0 is not known; `error` is English, for translation."""

    id: int
    user: int
    login: str
    group: int
    kind: str
    title: str
    orders: str  # JSON: all that the work needs, so that it can be done again
    state: str
    created_at: int
    started_at: int
    ended_at: int
    done: int
    total: int
    counts: str  # JSON
    result: str  # a file in the job's folder, "" for none
    result_name: str  # as people save it
    error: str
    error_values: str  # JSON


_COLUMNS = (
    "j.id, j.user_id, u.login, u.group_id, j.kind, j.title, j.orders, j.state, j.created_at, j.started_at,"
    " j.ended_at, j.done, j.total, j.counts, j.result, j.result_name, j.error, j.error_values"
)
_TABLES = "job j JOIN user u ON u.id = j.user_id"


def folder_of(data: Path, job: int) -> Path:
    """Where a job keeps its files; made by `make_folder`."""
    return data / FOLDER / str(job)


def make_folder(data: Path, job: int) -> Path:
    """The folder, for its owner's process only."""
    folder = folder_of(data, job)
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def remove_folders(data: Path, jobs: Sequence[int]) -> None:
    """All files of these jobs."""
    for job in jobs:
        rmtree(folder_of(data, job), ignore_errors=True)


def create_job(transaction: "Writing", user: int, kind: str, title: str, orders: object) -> int:
    """A job that waits; gives its id.

    Args:
      orders: everything that the work needs to know, as JSON can hold it.
    Raises Refused ("too-many-jobs") when that person has too many that are not over.
    """
    open_now = transaction.run(
        "SELECT count(*) FROM job WHERE user_id = ? AND state IN ('waiting', 'running')", (user,)
    ).fetchone()[0]
    if open_now >= OPEN_MAX:
        raise Refused("too-many-jobs", f"{OPEN_MAX} jobs are not over yet.", limit=OPEN_MAX)
    identifier = transaction.insert(
        "INSERT INTO job (user_id, kind, title, orders, created_at) VALUES (?, ?, ?, ?, ?)",
        (user, kind, title[:TITLE_CHARACTERS_MAX], msgspec.json.encode(orders).decode(), transaction.at),
    )
    transaction.audit("job.create", f"job {identifier}", changes=False, kind=kind, title=title)
    return identifier


def move_job(
    transaction: "Writing",
    job: int,
    move: str,
    *,
    counts: Mapping[str, int] | None = None,
    done: int | None = None,
    result: str = "",
    result_name: str = "",
    error: str = "",
    error_values: Mapping[str, Any] | None = None,
) -> bool:
    """Compare and set by the table of moves; False when the job is in another state by now."""
    before, after = MOVES[move]
    over = after not in OPEN
    moved = transaction.run(
        "UPDATE job SET state = ?, started_at = CASE ? WHEN 'start' THEN ? WHEN 'retry' THEN 0"
        " ELSE started_at END, ended_at = ?, result = ?, result_name = ?, counts = ?, error = ?,"
        " error_values = ?, done = ifnull(?, done), swept = 0"
        " WHERE id = ? AND state IN (SELECT value FROM json_each(?))",
        (
            after,
            move,
            transaction.at,
            transaction.at if over else 0,
            result,
            result_name,
            msgspec.json.encode(counts or {}).decode(),
            error,
            msgspec.json.encode(error_values or {}).decode(),
            0 if move in ("start", "retry") else done,
            job,
            msgspec.json.encode(before).decode(),
        ),
    ).rowcount
    if moved and move != "start":
        transaction.audit(f"job.{move}", f"job {job}", changes=False, **({"error": error} if error else {}))
    return bool(moved)


def set_progress(transaction: "Writing", job: int, done: int, total: int) -> None:
    """How far a running job is; written now and then, for the day after a crash."""
    transaction.run(
        "UPDATE job SET done = ?, total = ? WHERE id = ? AND state = 'running'", (done, total, job)
    )


def read_job(connection: sqlite3.Connection, job: int) -> JobRow | None:
    """One job."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM {_TABLES} WHERE j.id = ?", (job,)).fetchone()  # noqa: S608
    return JobRow(*row) if row else None


def job_in_reach(
    connection: sqlite3.Connection, within: Within, job: int, *, owner: int = 0
) -> JobRow | None:
    """One job, if it is the owner's, or of somebody in scope."""
    found = read_job(connection, job)
    if found is None or (owner and found.user != owner):
        return None
    return found if found.group in groups_within(connection, within) else None


def jobs_in(connection: sqlite3.Connection, state: str) -> list[int]:
    """Ids of the jobs that wait, or that run, in order."""
    return [row[0] for row in connection.execute("SELECT id FROM job WHERE state = ? ORDER BY id", (state,))]


def interrupt_jobs(transaction: "Writing") -> list[int]:
    """Whatever ran when the process ended did not end itself: say so; gives their ids."""
    ids = jobs_in(transaction.connection, "running")
    for job in ids:
        move_job(transaction, job, "interrupt")
    return ids


def outlived_jobs(connection: sqlite3.Connection, now_ms: int) -> list[int]:
    """Jobs that ended so long ago that their files go."""
    rows = connection.execute(
        "SELECT id FROM job WHERE swept = 0 AND ended_at > 0 AND ended_at < ?", (now_ms - KEPT_MS,)
    )
    return [row[0] for row in rows]


def forget_files(transaction: "Writing", jobs: Sequence[int]) -> None:
    """The files of these jobs are gone."""
    for job in jobs:
        transaction.run("UPDATE job SET swept = 1, result = '' WHERE id = ?", (job,))


class JobFilter(msgspec.Struct, frozen=True):
    """Which jobs: of one person (0: of everybody in scope), of a kind, in a state."""

    owner: int = 0
    kind: str = ""
    state: str = ""
    login: str = ""


def list_jobs(connection: sqlite3.Connection, within: Within, wanted: JobFilter, cut: Cut) -> Page:
    """A page of jobs as `JobRow` columns, the newest first."""
    where = within.where()
    where.add("u.group_id IN subtree")
    if wanted.owner:
        where.add("j.user_id = ?", wanted.owner)
    if wanted.kind:
        where.add("j.kind = ? OR j.kind LIKE ? || '.%'", wanted.kind, wanted.kind)
    if wanted.state:
        where.add("j.state = ?", wanted.state)
    where.add_search(wanted.login, "u.login")
    return fetch(
        connection, _COLUMNS, _TABLES, where, Order(("j.id",), descending=True), cut, prefix=within.sql
    )
