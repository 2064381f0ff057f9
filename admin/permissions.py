"""Who may do what, as data: the checks, the menu and the tests read this table, and nothing else decides.

A route names one permission (`allow`); one that names none fails when the app is built. Where a route is about
a user or a group, the guard finds that object within the viewer's reach first: outside, it does not exist.
"""

from enum import IntEnum
from typing import Any

import msgspec

from store.scope import Within
from store.sessions import Viewer


class Role(IntEnum):
    """What somebody is, the least first."""

    ANYONE = 0  # not signed in
    USER = 1
    ADMIN = 2  # of a group, with all below it
    SYSTEM = 3  # of a root group


class Reach(IntEnum):
    """How far a permission goes."""

    NONE = 0
    OWN = 1  # what belongs to oneself
    BELOW = 2  # groups below the own one; in the own group, those that are no administrators
    SUBTREE = 3  # the own group and all below
    ALL = 4


class Permission(msgspec.Struct, frozen=True):
    """One row of the matrix: how far each role reaches."""

    name: str
    page: str
    user: Reach
    admin: Reach
    system: Reach = Reach.ALL
    anyone: bool = False


_NONE, _OWN, _BELOW, _SUBTREE, _ALL = Reach
MATRIX: dict[str, Permission] = {
    permission.name: permission
    for permission in (
        Permission("public", "P26", _ALL, _ALL, anyone=True),
        Permission("session", "P28", _OWN, _OWN, Reach.OWN),
        Permission("dashboard", "P27", _OWN, _SUBTREE),
        Permission("sms.send", "P1", _OWN, _OWN, Reach.OWN),
        Permission("tasks.read", "P2", _OWN, _SUBTREE),
        Permission("tasks.act", "P25", _OWN, _SUBTREE),
        Permission("complaints", "P4", _OWN, _SUBTREE),
        Permission("messages.read", "P12", _OWN, _SUBTREE),
        Permission("messages.reveal", "P12", _NONE, _SUBTREE),
        Permission("messages.carriers", "P12", _NONE, _SUBTREE),
        Permission("contacts", "P8", _OWN, _OWN, Reach.OWN),
        Permission("imports", "P8", _OWN, _OWN, Reach.OWN),
        Permission("phrases", "P20", _OWN, _OWN, Reach.OWN),
        Permission("review", "P23", _NONE, _SUBTREE),
        Permission("users.read", "P16", _NONE, _SUBTREE),
        Permission("users.write", "P16", _NONE, _BELOW),
        Permission("groups.read", "P16", _NONE, _SUBTREE),
        Permission("groups.write", "P16", _NONE, _BELOW),
        Permission("groups.root", "P16", _NONE, _NONE),
        Permission("users.deleted", "P17", _NONE, _SUBTREE),
        Permission("ledger.read", "P16", _NONE, _SUBTREE),
        Permission("words.read", "P18", _NONE, _ALL),
        Permission("words.write", "P18", _NONE, _NONE),
        Permission("blacklist.read", "P19", _OWN, _SUBTREE),
        Permission("blacklist.write", "P19", _OWN, _SUBTREE),
        Permission("gateway.read", "P30", _NONE, _NONE),
        Permission("gateway.write", "P30", _NONE, _NONE),
        Permission("jobs", "P31", _OWN, _SUBTREE),
        Permission("audit.read", "P32", _OWN, _SUBTREE),
    )
}


def role_of(viewer: Viewer | None) -> Role:
    """What a viewer is at this moment."""
    if viewer is None:
        return Role.ANYONE
    if viewer.role != "admin":
        return Role.USER
    return Role.SYSTEM if viewer.at_root else Role.ADMIN


def reach(role: Role, permission: str) -> Reach:
    """How far a role reaches by a permission."""
    row = MATRIX[permission]
    if role == Role.ANYONE:
        return Reach.ALL if row.anyone else Reach.NONE
    return (row.user, row.admin, row.system)[role - 1]


def may(viewer: Viewer | None, permission: str) -> bool:
    """Whether a viewer may do this at all, to something."""
    return reach(role_of(viewer), permission) > Reach.NONE


def within(viewer: Viewer, permission: str) -> Within:
    """The part of the tree that a permission opens to a viewer."""
    return Within(0 if reach(role_of(viewer), permission) == Reach.ALL else viewer.group)


def may_touch(viewer: Viewer, permission: str, *, group: int, is_admin: bool, is_group: bool) -> bool:
    """Whether an object that is in sight may be changed: `BELOW` leaves out the own level."""
    if reach(role_of(viewer), permission) != Reach.BELOW:
        return True
    return group != viewer.group or not (is_admin or is_group)


def allow(permission: str, *, about: str = "", quiet: bool = False, proof: bool = False) -> dict[str, Any]:
    """What a route says of itself.

    Args:
      about: "user", "group", "task", "import" or "message": the path parameter `user_id`, `group_id` … names one.
      quiet: a request that the page makes by itself, which does not keep a session alive.
      proof: something dangerous (parts, passwords, exports): who asks proves again who they are, unless they
        did so lately. A list that is asked for as a file does so in any case.
    """
    assert permission in MATRIX, permission
    return {"opt": {"permission": permission, "about": about, "quiet": quiet, "proof": proof}}
