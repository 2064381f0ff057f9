"""What people deleted, as it was, for thirty days: for the undo beside the message, and for a page of it.

Deleting goes through here: in one transaction the thing goes, and what it was is kept. Putting back goes by the
rules of adding; who may do it is the caller's to judge. Users are not here: they are never removed.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from store import groups_edit, rules
from store.address_book import add_contacts, contacts_by_id, remove_contacts
from store.contact_groups import contacts_below
from store.directory import BlacklistScope, Word
from store.listing import Cut, Order, Page, Where, fetch
from store.phrases import add_phrase, remove_phrases
from store.rules_list import add_words, remove_words
from store.tasks import any_task, move_task

if TYPE_CHECKING:
    from store.config_db import Writing

KEPT_MS = 30 * 24 * 3_600_000
TITLE_ITEMS = 3  # named in a title
Kind = Literal["contact", "phrase", "word", "blacklist", "group", "task"]


class ContactItem(msgspec.Struct, frozen=True, array_like=True):
    """A contact that was."""

    group: str
    name: str
    mobile: int


class PhraseItem(msgspec.Struct, frozen=True, array_like=True):
    """A phrase that was."""

    group: str
    shared: bool
    text: str


class NumberItem(msgspec.Struct, frozen=True, array_like=True):
    """An entry of a blacklist that was."""

    kind: Literal["global", "group", "type"]
    key: int | str
    number: int
    source: str
    note: str
    expires_at: int

    @property
    def scope(self) -> BlacklistScope:
        return BlacklistScope(self.kind, self.key)


class GroupItem(msgspec.Struct, frozen=True, array_like=True):
    """A user group that was; its row is still there."""

    id: int
    parent: int


class TaskItem(msgspec.Struct, frozen=True, array_like=True):
    """A preview that was discarded; its row and its folder are still there."""

    id: int


class Deleted(msgspec.Struct, frozen=True):
    """How much went, and where it is kept (0: there was nothing)."""

    count: int
    trash: int


class TrashRow(msgspec.Struct, frozen=True):
    """Something that can be put back."""

    id: int
    user: int
    kind: Kind
    title: str
    count: int
    items: str
    at: int


_COLUMNS = "id, user_id, kind, title, count, items, at"


def _keep(
    transaction: "Writing", user: int, kind: Kind, names: Sequence[str], items: Sequence[Any]
) -> Deleted:
    if not items:
        return Deleted(0, 0)
    title = "、".join(names[:TITLE_ITEMS]) + (" …" if len(names) > TITLE_ITEMS else "")
    row = transaction.insert(
        "INSERT INTO trash (user_id, kind, title, count, items, at) VALUES (?, ?, ?, ?, ?, ?)",
        (user, kind, title[:200], len(items), msgspec.json.encode(items).decode(), transaction.at),
    )
    return Deleted(len(items), row)


# -- deleting -----------------------------------------------------------------------------------------


def delete_contacts(transaction: "Writing", user: int, ids: Sequence[int]) -> Deleted:
    """Delete contacts of a user's own."""
    found = contacts_by_id(transaction.connection, user, ids)
    items = [ContactItem(group, name, mobile) for _, name, mobile, group in found]
    remove_contacts(transaction, user, [row[0] for row in found])
    return _keep(transaction, user, "contact", [one.name or str(one.mobile) for one in items], items)


def delete_contact_group(transaction: "Writing", user: int, group: int) -> Deleted:
    """Delete a contact group with all in it and below it."""
    return delete_contacts(transaction, user, contacts_below(transaction, user, group))


def delete_phrases(transaction: "Writing", user: int, ids: Sequence[int]) -> Deleted:
    """Delete phrases of a user's own groups."""
    query = (
        "SELECT f.id, p.name, p.shared, f.text FROM phrase f JOIN phrase_group p ON p.id = f.phrase_group_id"
        " WHERE f.id = ? AND p.user_id = ?"
    )
    found = [row for one in ids for row in transaction.run(query, (one, user))]
    remove_phrases(transaction, user, [row[0] for row in found])
    items = [PhraseItem(group, bool(shared), text) for _, group, shared, text in found]
    return _keep(transaction, user, "phrase", [one.text[:20] for one in items], items)


def delete_words(transaction: "Writing", user: int, ids: Sequence[int]) -> Deleted:
    """Delete sensitive words."""
    gone = remove_words(transaction, ids)
    return _keep(transaction, user, "word", [word.text for word in gone], gone)


def delete_numbers(
    transaction: "Writing", user: int, chosen: Mapping[BlacklistScope, Sequence[int]]
) -> Deleted:
    """Take numbers off their lists."""
    items = [
        NumberItem(scope.kind, scope.key, number, listed.source, listed.note, listed.expires_at)
        for scope, numbers in chosen.items()
        for number in numbers
        for listed in rules.why_listed(transaction.connection, number)
        if listed.scope == scope
    ]
    for scope, numbers in chosen.items():
        rules.blacklist_remove(transaction, scope, numbers)
    return _keep(transaction, user, "blacklist", [str(one.number) for one in items], items)


def delete_group(transaction: "Writing", user: int, group: int) -> Deleted:
    """Delete a user group that nobody is in; see `groups_edit.delete_group`."""
    row = transaction.run("SELECT path, ifnull(parent, 0) FROM user_group WHERE id = ?", (group,)).fetchone()
    groups_edit.delete_group(transaction, group)
    return _keep(transaction, user, "group", [row[0]], [GroupItem(group, row[1])])


def discard_tasks(transaction: "Writing", user: int, ids: Sequence[int]) -> Deleted:
    """Discard previews of a user's own; their folders stay as long as they can be put back.

    Raises Refused ("task-state") where one is a preview no more; then none of them is discarded.
    """
    found = [row for one in ids if (row := any_task(transaction.connection, one)) and row.user == user]
    for row in found:
        move_task(transaction, row.id, "discard")
    return _keep(transaction, user, "task", [row.name for row in found], [TaskItem(row.id) for row in found])


# -- putting back -------------------------------------------------------------------------------------


def read_trash(connection: sqlite3.Connection, user: int, identifier: int) -> TrashRow | None:
    """Something that this person deleted."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM trash WHERE id = ? AND user_id = ?",  # noqa: S608
        (identifier, user),
    ).fetchone()
    return TrashRow(*row) if row else None


def numbers_in(row: TrashRow) -> list[NumberItem]:
    """Which entries of blacklists something holds."""
    return msgspec.json.decode(row.items, type=list[NumberItem])


def groups_in(row: TrashRow) -> list[GroupItem]:
    """Which user groups something holds."""
    return msgspec.json.decode(row.items, type=list[GroupItem])


def restore(transaction: "Writing", row: TrashRow) -> int:
    """Put it back, as far as it is not there again already; gives how much came back.

    Raises Refused where a rule of adding stands against it; then it stays kept.
    """
    back = _RESTORE[row.kind](transaction, row)
    transaction.run("DELETE FROM trash WHERE id = ?", (row.id,))
    transaction.audit("restore", f"trash {row.id}", changes=False, kind=row.kind, count=back)
    return back


def _contacts_back(transaction: "Writing", row: TrashRow) -> int:
    by_group: dict[str, list[tuple[str, int]]] = {}
    for one in msgspec.json.decode(row.items, type=list[ContactItem]):
        by_group.setdefault(one.group, []).append((one.name, one.mobile))
    return sum(add_contacts(transaction, row.user, group, some)[0] for group, some in by_group.items())


def _phrases_back(transaction: "Writing", row: TrashRow) -> int:
    items = msgspec.json.decode(row.items, type=list[PhraseItem])
    for one in reversed(items):  # the newest stands first in the list
        known = transaction.run(
            "SELECT shared FROM phrase_group WHERE user_id = ? AND name = ?", (row.user, one.group)
        ).fetchone()
        shared = bool(known[0]) if known else one.shared
        add_phrase(transaction, row.user, one.group, one.text, shared=shared)
    return len(items)


def _words_back(transaction: "Writing", row: TrashRow) -> int:
    return add_words(transaction, msgspec.json.decode(row.items, type=list[Word]))[0]


def _numbers_back(transaction: "Writing", row: TrashRow) -> int:
    alike: dict[tuple[BlacklistScope, str, str, int], list[int]] = {}
    for one in numbers_in(row):
        if not one.expires_at or one.expires_at > transaction.at:
            alike.setdefault((one.scope, one.source, one.note, one.expires_at), []).append(one.number)
    return sum(
        len(rules.blacklist_add(transaction, scope, numbers, source=source, note=note, expires_at=expires_at))
        for (scope, source, note, expires_at), numbers in alike.items()
    )


def _groups_back(transaction: "Writing", row: TrashRow) -> int:
    for one in groups_in(row):
        groups_edit.restore_group(transaction, one.id)
    return row.count


def _tasks_back(transaction: "Writing", row: TrashRow) -> int:
    items = msgspec.json.decode(row.items, type=list[TaskItem])
    for one in items:
        (stage,) = transaction.run("SELECT stage FROM task WHERE id = ?", (one.id,)).fetchone()
        # Blacklists may have changed meanwhile: the rows are judged anew.
        move_task(transaction, one.id, "restore", stage="preparing" if stage == "ready" else stage)
    return len(items)


_RESTORE: Mapping[str, Callable[["Writing", TrashRow], int]] = {
    "contact": _contacts_back,
    "phrase": _phrases_back,
    "word": _words_back,
    "blacklist": _numbers_back,
    "group": _groups_back,
    "task": _tasks_back,
}


def sweep_trash(transaction: "Writing") -> int:
    """Drop for good what was deleted thirty days ago; gives how many there were."""
    return transaction.run("DELETE FROM trash WHERE at < ?", (transaction.at - KEPT_MS,)).rowcount


def list_trash(connection: sqlite3.Connection, user: int, cut: Cut, *, kind: str = "") -> Page:
    """A page of what a person deleted, as `TrashRow` columns, the newest first."""
    where = Where()
    where.add("user_id = ?", user)
    if kind:
        where.add("kind = ?", kind)
    return fetch(connection, _COLUMNS, "trash", where, Order(("id",), descending=True), cut)
