"""The life of a task as data: which move leads from where to where, whose move it is, what it needs.

    preview → review → waiting → executing ⇄ paused → finished
       └──────────────────↗

A finished task has an outcome. Whoever moves a task compares and sets in one transaction (`store/tasks.py`), so of
two people who press at once one moves it, and the other is told where it stands.
"""

from typing import Literal, get_args

import msgspec

TaskState = Literal["preview", "review", "waiting", "executing", "paused", "finished", "discarded"]
Outcome = Literal["completed", "rejected", "cancelled", "expired", "stopped", "failed"]
By = Literal[
    "owner", "admin", "reviewer", "system"
]  # an admin is one above the owner; a reviewer may be the owner

STATES: tuple[TaskState, ...] = get_args(TaskState)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
PENDING: tuple[TaskState, ...] = ("preview", "review", "waiting")  # nothing has been sent yet
RESERVED: tuple[TaskState, ...] = ("review", "waiting", "executing", "paused")  # quota is held for these


class Move(msgspec.Struct, frozen=True):
    """One arrow of the diagram."""

    name: str
    before: tuple[TaskState, ...]
    after: TaskState
    by: tuple[By, ...]
    outcome: str = ""
    needs_note: bool = False


MOVES: dict[str, Move] = {
    move.name: move
    for move in (
        Move("edit", ("preview",), "preview", ("owner",)),
        Move("discard", ("preview",), "discarded", ("owner", "system")),
        Move("restore", ("discarded",), "preview", ("owner",)),
        Move("confirm", ("preview",), "waiting", ("owner",)),
        Move("ask-review", ("preview",), "review", ("owner",)),
        Move("approve", ("review",), "waiting", ("reviewer",)),
        Move("reject", ("review",), "finished", ("reviewer",), "rejected", needs_note=True),
        Move("withdraw", ("review",), "preview", ("owner",)),
        Move("pull-back", ("waiting",), "review", ("system",)),
        Move("cancel", ("review", "waiting"), "finished", ("owner", "admin"), "cancelled"),
        Move("send-now", ("waiting",), "waiting", ("owner", "admin")),
        Move("reschedule", ("waiting",), "waiting", ("owner", "admin")),
        Move("start", ("waiting",), "executing", ("system",)),
        Move("pause", ("executing",), "paused", ("owner", "admin")),
        Move("resume", ("paused",), "executing", ("owner", "admin")),
        Move("stop", ("executing", "paused"), "finished", ("owner", "admin"), "stopped"),
        Move("complete", ("executing",), "finished", ("system",), "completed"),
        Move("expire", ("review", "waiting", "executing", "paused"), "finished", ("system",), "expired"),
        Move("fail", ("waiting", "executing", "paused"), "finished", ("system",), "failed"),
    )
}


def possible(state: str, by: frozenset[By]) -> tuple[str, ...]:
    """Names of the moves that somebody has from a state."""
    return tuple(move.name for move in MOVES.values() if state in move.before and by & set(move.by))
