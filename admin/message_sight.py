"""Whose messages somebody sees, and whether numbers and texts are shown in the clear.

One's own are. Those of others are masked until one asks to see them, which is written down and lasts a quarter of an
hour: for one message, or for the lists.
"""

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from admin.message_words import masked_number, masked_text
from admin.permissions import Reach, reach
from store.owners import Owner, owners_within
from store.port import MessageLife
from store.scope import Within
from store.tasks import read_task

if TYPE_CHECKING:
    from admin.view import View

PERMISSION = "messages.read"
REVEALED_MS = 15 * 60_000
LISTS = "lists"


class Sight(msgspec.Struct, frozen=True):
    """The accounts whose messages are in sight; `everything`: those that nobody owns any more as well."""

    owners: dict[int, Owner]
    everything: bool


class Known(msgspec.Struct, frozen=True):
    """One message in sight, and whose it is; None for an account that is gone."""

    life: MessageLife
    owner: Owner | None


def sight_of(view: "View", connection: sqlite3.Connection) -> Sight:
    """What the viewer sees of messages."""
    how_far = reach(view.role, PERMISSION)
    own = view.me.id if how_far == Reach.OWN else 0
    within = Within() if own else view.within(PERMISSION)
    return Sight(owners_within(connection, within, user=own), how_far == Reach.ALL)


def find_message(view: "View", message_id: int) -> Known | None:
    """A message in the viewer's sight: its account's, or by its task. Reads both stores."""
    if not 0 < message_id < 1 << 63:
        return None
    life = view.console.operations.traffic().message(message_id)
    if life is None:
        return None
    first = life.parts[0]
    with view.console.store.reading() as connection:
        sight = sight_of(view, connection)
        owner = sight.owners.get(first.account)
        if owner is None and first.task and not sight.everything:
            own = view.me.id if reach(view.role, "tasks.read") == Reach.OWN else 0
            within = Within() if own else view.within("tasks.read")
            if read_task(connection, within, first.task, owner=own) is not None:
                owner = owners_within(connection, Within()).get(first.account)
    return Known(life, owner) if owner or sight.everything else None


def find_messages(view: "View", ids: Sequence[int]) -> list[Known] | None:
    """Several messages, all of which are in the viewer's sight; None when one is not."""
    found = [find_message(view, one) for one in ids]
    return None if None in found else [one for one in found if one is not None]


def is_clear(view: "View", owner: Owner | None, message_id: int = 0) -> bool:
    """Whether number and text of a message are shown as they are."""
    if owner is not None and owner.user == view.me.id:
        return True
    until, now_ms = view.console.revealed_until, view.console.wall_ms()
    return now_ms < max(until(view.me.id, LISTS), until(view.me.id, str(message_id)))


def number_shown(number: int, *, clear: bool) -> str:
    return str(number) if clear else masked_number(number)


def text_shown(text: str, *, clear: bool) -> str:
    return text if clear else masked_text(text)
