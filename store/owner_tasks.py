"""What becomes of somebody's tasks when they may no longer sign in, or are trusted no longer.

Previews are discarded: nobody is there to confirm them. What waits stays and does not begin; what runs goes on
unless it is stopped along. Tasks that wait keep the decision of their confirmation unless they are pulled back
to review.
"""

import sqlite3
from typing import TYPE_CHECKING

import msgspec

from store.people_list import effective_review, list_groups
from store.scope import Within
from store.tasks import move_task

if TYPE_CHECKING:
    from store.config_db import Writing

RUNNING = ("executing", "paused")
OWNER_DISABLED = "owner disabled"
PULLED_BACK = "review was switched on"


class OpenTasks(msgspec.Struct, frozen=True):
    """How many tasks somebody has in each state that a change of theirs touches."""

    previews: int = 0
    waiting: int = 0  # without those that a reviewer approved
    running: int = 0


def open_tasks(connection: sqlite3.Connection, within: Within, *, user: int = 0) -> OpenTasks:
    """Of one user, or of everybody in scope."""
    return OpenTasks(
        previews=len(_ids(connection, within, user, ("preview",))),
        waiting=len(_unreviewed(connection, within, user)),
        running=len(_ids(connection, within, user, RUNNING)),
    )


def discard_previews(transaction: "Writing", user: int) -> list[int]:
    """Drop a user's previews; their folders are the caller's to remove, or the daemon's later."""
    found = _ids(transaction.connection, Within(), user, ("preview",))
    for task in found:
        move_task(transaction, task, "discard", note=OWNER_DISABLED)
    return found


def stop_running(transaction: "Writing", user: int) -> list[int]:
    """Stop what is on its way; the daemon is to be told of each."""
    found = _ids(transaction.connection, Within(), user, RUNNING)
    for task in found:
        move_task(transaction, task, "stop", note=OWNER_DISABLED)
    return found


def pull_back(transaction: "Writing", within: Within, *, user: int = 0) -> list[int]:
    """Send what waits to review where its owner is reviewed now; what a reviewer approved stays approved."""
    connection = transaction.connection
    groups = {group.id: group for group in list_groups(connection, Within())}
    moved = []
    for task, owner in _unreviewed(connection, within, user):
        review, group = connection.execute(
            "SELECT review, group_id FROM user WHERE id = ?", (owner,)
        ).fetchone()
        if effective_review(groups, review, group)[0] == "review":
            move_task(transaction, task, "pull-back", note=PULLED_BACK)
            moved.append(task)
    return moved


def _ids(connection: sqlite3.Connection, within: Within, user: int, states: tuple[str, ...]) -> list[int]:
    marks = ", ".join("?" * len(states))
    rows = connection.execute(
        f"{within.sql} SELECT t.id FROM task t JOIN user u ON u.id = t.user_id WHERE u.group_id IN subtree"  # noqa: S608
        f" AND (? = 0 OR u.id = ?) AND t.state IN ({marks}) ORDER BY t.id",
        (within.group, user, user, *states),
    )
    return [row[0] for row in rows]


def _unreviewed(connection: sqlite3.Connection, within: Within, user: int) -> list[tuple[int, int]]:
    return connection.execute(
        f"{within.sql} SELECT t.id, u.id FROM task t JOIN user u ON u.id = t.user_id"  # noqa: S608
        " WHERE u.group_id IN subtree AND (? = 0 OR u.id = ?) AND t.state = 'waiting' AND NOT EXISTS"
        " (SELECT 1 FROM task_event e WHERE e.task_id = t.id AND e.move = 'approve') ORDER BY t.id",
        (within.group, user, user),
    ).fetchall()
