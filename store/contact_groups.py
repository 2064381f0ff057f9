"""Contact groups as paths, `客户/福建`: a group holds those whose paths go on from its own.

The path is the group's name in the table, so that depth has no limit and a subtree is one condition.
"""

import sqlite3
from typing import TYPE_CHECKING

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
