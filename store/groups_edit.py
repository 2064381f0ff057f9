"""One user group at a time, as the console changes them. A group's name is the last step of its path."""

from typing import TYPE_CHECKING

from store import quota
from store.directory import Review
from store.refusals import Refused

if TYPE_CHECKING:
    from store.config_db import Writing

NAME_CHARACTERS_MAX = 64


def create_group(
    transaction: "Writing",
    parent: int | None,
    name: str,
    *,
    review: Review = "inherit",
    unlimited: bool = False,
) -> int:
    """A new group under `parent` (None: a root group); gives the id."""
    name = _checked(name)
    path = name if parent is None else f"{_live(transaction, parent)}/{name}"
    _free(transaction, path)
    identifier = transaction.insert(
        "INSERT INTO user_group (path, parent, review, unlimited) VALUES (?, ?, ?, ?)",
        (path, parent, review, unlimited and parent is None),
    )
    transaction.audit("group.create", f"group {path}", review=review, unlimited=unlimited)
    return identifier


def edit_group(transaction: "Writing", group: int, name: str, review: Review) -> None:
    """Rename a group (its child groups' paths follow) and say whether its tasks are reviewed."""
    path = _live(transaction, group)
    above, _, old_name = path.rpartition("/")
    name = _checked(name)
    if name != old_name:
        new = f"{above}/{name}" if above else name
        _free(transaction, new)
        transaction.run(
            "UPDATE user_group SET path = ? || substr(path, ?)"
            " WHERE path = ? OR substr(path, 1, ?) = ? || '/'",
            (new, len(path) + 1, path, len(path) + 1, path),
        )
        transaction.audit("group.rename", f"group {path}", path=[path, new])
        path = new
    before = transaction.run("SELECT review FROM user_group WHERE id = ?", (group,)).fetchone()[0]
    if review != before:
        transaction.run("UPDATE user_group SET review = ? WHERE id = ?", (review, group))
        transaction.audit("group.review", f"group {path}", review=[before, review])


def delete_group(transaction: "Writing", group: int) -> None:
    """Delete a group without users and child groups; what is left of its grant returns to its parent."""
    path = _live(transaction, group)
    users, children = transaction.run(
        "SELECT (SELECT count(*) FROM user WHERE group_id = ?1 AND state <> 'deleted'),"
        " (SELECT count(*) FROM user_group WHERE parent = ?1 AND state = 'active')",
        (group,),
    ).fetchone()
    if users or children:
        raise Refused(
            "group-in-use",
            f"The group still has {users} users and {children} child groups. Move or delete them first.",
            users=users,
            groups=children,
        )
    balance = quota.group_balance(transaction.connection, group)
    quota.set_group_granted(
        transaction, group, min(balance.granted, balance.allocated), kind="return", note="group deleted"
    )
    transaction.run("UPDATE user_group SET state = 'deleted' WHERE id = ?", (group,))
    transaction.audit("group.delete", f"group {path}")


def _live(transaction: "Writing", group: int) -> str:
    row = transaction.run(
        "SELECT path FROM user_group WHERE id = ? AND state = 'active'", (group,)
    ).fetchone()
    if row is None:
        raise Refused("group-gone", "That group is deleted. Choose another.")
    return str(row[0])


def _free(transaction: "Writing", path: str) -> None:
    if transaction.run("SELECT 1 FROM user_group WHERE path = ? AND state = 'active'", (path,)).fetchone():
        raise Refused("group-taken", f'There is a group "{path}" already. Choose another name.', path=path)


def _checked(name: str) -> str:
    name = name.strip()
    if not name or "/" in name or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise Refused("group-name", f'A group\'s name has 1 to {NAME_CHARACTERS_MAX} characters and no "/".')
    return name
