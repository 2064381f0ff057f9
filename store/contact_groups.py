"""Contact groups as paths, `客户/福建`: a group holds those whose paths go on from its own.

The path is the group's name in the table, so that depth has no limit and a subtree is one condition.
"""

import sqlite3
from typing import TYPE_CHECKING

from store.refusals import Refused

if TYPE_CHECKING:
    from store.config_db import Writing

STEP_CHARACTERS_MAX = 64
PATH_CHARACTERS_MAX = 255
# Those below a path come right behind it: "/" is followed by "0".
BELOW = "(g.name = ? OR (g.name > ? || '/' AND g.name < ? || '0'))"


def problem_with_path(path: str) -> bool:
    """Whether this is no path: empty, too long, or with an empty step."""
    steps = path.split("/")
    return (
        len(path) > PATH_CHARACTERS_MAX
        or not path.isprintable()
        or any(not step.strip() or step != step.strip() or len(step) > STEP_CHARACTERS_MAX for step in steps)
    )


def below(path: str) -> tuple[str, str, str]:
    """The parameters of `BELOW`."""
    return path, path, path


def group_of(transaction: "Writing", owner: int, path: str) -> int:
    """The group with this path, made if it is new, with all that stand above it; gives its id."""
    identifier = 0
    steps = path.split("/")
    for depth in range(1, len(steps) + 1):
        name = "/".join(steps[:depth])
        row = transaction.run(
            "SELECT id FROM contact_group WHERE user_id = ? AND name = ?", (owner, name)
        ).fetchone()
        identifier = (
            row[0]
            if row
            else transaction.insert("INSERT INTO contact_group (user_id, name) VALUES (?, ?)", (owner, name))
        )
    return identifier


def move_contact_group(transaction: "Writing", owner: int, group: int, path: str) -> None:
    """Give a group another path, and all below it along. Raises Refused for a taken path or one inside it."""
    old = _path_of(transaction, owner, group)
    if path == old:
        return
    if path.startswith(f"{old}/"):
        raise Refused("group-inside", "A group cannot be put under itself. Choose another place.")
    if transaction.run(
        "SELECT 1 FROM contact_group WHERE user_id = ? AND name = ?", (owner, path)
    ).fetchone():
        raise Refused("group-taken", f'There is a group "{path}" already. Choose another name.', path=path)
    above = path.rpartition("/")[0]
    if above:
        group_of(transaction, owner, above)
    transaction.run(
        "UPDATE contact_group SET name = ? || substr(name, ?)"
        " WHERE user_id = ? AND (name = ? OR substr(name, 1, ?) = ? || '/')",
        (path, len(old) + 1, owner, old, len(old) + 1, old),
    )
    drop_empty(transaction, owner)
    transaction.audit("contact.group", f"contact group {group}", changes=False, path=[old, path])


def empty_into_above(transaction: "Writing", owner: int, group: int) -> int:
    """Delete a group with those below it; their contacts go to the group above, where those that are there
    already stay as they are. How many there were. Raises Refused where nothing stands above.
    """
    path = _path_of(transaction, owner, group)
    above = path.rpartition("/")[0]
    if not above:
        raise Refused(
            "group-top", "There is no group above this one. Move its contacts first, or delete them."
        )
    ids = groups_with_below(transaction.connection, owner, (group,))
    marks = ", ".join(map(str, ids))
    target = group_of(transaction, owner, above)
    count = len(contacts_below(transaction, owner, group))
    transaction.run(
        f"UPDATE OR IGNORE contact SET group_id = ? WHERE group_id IN ({marks})",  # noqa: S608
        (target,),
    )
    transaction.run(f"DELETE FROM contact WHERE group_id IN ({marks})")  # noqa: S608
    transaction.run(f"DELETE FROM contact_group WHERE id IN ({marks})")  # noqa: S608
    transaction.audit("contact.group", f"contact group {group}", changes=False, path=[path, above])
    return count


def contacts_below(transaction: "Writing", owner: int, group: int) -> list[int]:
    """Ids of the contacts in a group and all below it. Raises Refused for a group that is not the owner's."""
    _path_of(transaction, owner, group)
    ids = groups_with_below(transaction.connection, owner, (group,))
    marks = ", ".join(map(str, ids))
    return [
        row[0]
        for row in transaction.run(f"SELECT id FROM contact WHERE group_id IN ({marks})")  # noqa: S608
    ]


def _path_of(transaction: "Writing", owner: int, group: int) -> str:
    row = transaction.run(
        "SELECT name FROM contact_group WHERE id = ? AND user_id = ?", (group, owner)
    ).fetchone()
    if row is None:
        raise Refused("group-gone", "That group is deleted. Choose another.")
    return str(row[0])


def drop_empty(transaction: "Writing", owner: int) -> None:
    """Groups without contacts in them or below them go."""
    transaction.run(
        "DELETE FROM contact_group WHERE user_id = ?1 AND id IN (SELECT e.id FROM contact_group e"
        " WHERE e.user_id = ?1 AND NOT EXISTS (SELECT 1 FROM contact c JOIN contact_group g ON g.id = c.group_id"
        " WHERE g.user_id = ?1 AND (g.name = e.name OR (g.name > e.name || '/' AND g.name < e.name || '0'))))",
        (owner,),
    )


def groups_with_below(connection: sqlite3.Connection, owner: int, groups: tuple[int, ...]) -> list[int]:
    """Ids of groups of the owner and of all below them, each once."""
    found: dict[int, None] = {}
    for one in groups:
        for (name,) in connection.execute(
            "SELECT name FROM contact_group WHERE id = ? AND user_id = ?", (one, owner)
        ).fetchall():
            rows = connection.execute(
                f"SELECT g.id FROM contact_group g WHERE g.user_id = ? AND {BELOW} ORDER BY g.name",  # noqa: S608
                (owner, *below(name)),
            )
            found.update((row[0], None) for row in rows)
    return list(found)
