"""The part of the tree that somebody may see: their own group and all below it, or everything.

Every list and every look-up of the console goes through here, with the group that `Within` names; 0 is all.
"""

import sqlite3

import msgspec

from store.listing import Where

# Deleted groups keep their parent, so what happened in them stays in sight of who stood above them.
SUBTREE = (
    "WITH RECURSIVE subtree(id) AS (SELECT ? UNION"
    " SELECT g.id FROM user_group g JOIN subtree s ON g.parent = s.id)"
)
ALL = "WITH subtree(id) AS (SELECT id FROM user_group WHERE ? = 0)"


class Within(msgspec.Struct, frozen=True):
    """A subtree by its top group, 0 for all groups."""

    group: int = 0

    @property
    def sql(self) -> str:
        """A WITH clause that names the table `subtree`; its one parameter is `group`."""
        return SUBTREE if self.group else ALL

    def where(self) -> Where:
        """Conditions to begin with: the parameter of `sql` stands first."""
        where = Where()
        where.parameters.append(self.group)
        return where


def groups_within(connection: sqlite3.Connection, within: Within) -> set[int]:
    """Ids of all groups in sight, deleted ones too."""
    return {
        row[0]
        for row in connection.execute(f"{within.sql} SELECT id FROM subtree", (within.group,))  # noqa: S608
    }
