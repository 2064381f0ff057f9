"""One user group at a time, as the console changes them. A group's name is the last step of its path."""

from typing import TYPE_CHECKING

from store import quota
from store.directory import GroupReview
from store.refusals import Refused
from store.scope import Within, groups_within

if TYPE_CHECKING:
    from store.config_db import Writing

NAME_CHARACTERS_MAX = 64

# A group's review setting is two columns of `user_group`; "always" is the word for a `review` that is locked.
GROUP_REVIEW = "CASE review_lock WHEN 1 THEN 'always' ELSE review END"


def review_columns(review: GroupReview) -> tuple[str, bool]:
    """`review` and `review_lock` of a group."""
    return ("review", True) if review == "always" else (review, False)


def create_group(
    transaction: "Writing",
    parent: int | None,
    name: str,
    *,
    review: GroupReview = "inherit",
    unlimited: bool = False,
) -> int:
    """A new group under `parent` (None: a root group); gives the id."""
    name = _checked(name)
    path = name if parent is None else f"{_live(transaction, parent)}/{name}"
    _free(transaction, path)
    identifier = transaction.insert(
        "INSERT INTO user_group (path, parent, review, review_lock, unlimited) VALUES (?, ?, ?, ?, ?)",
        (path, parent, *review_columns(review), unlimited and parent is None),
    )
    transaction.audit("group.create", f"group {path}", review=review, unlimited=unlimited)
    return identifier


def edit_group(
    transaction: "Writing", group: int, name: str, review: GroupReview, *, seen: tuple[str, str] | None = None
) -> None:
    """Rename a group (its child groups' paths follow) and say whether its tasks are reviewed.

    Args:
      seen: name and review as the form showed them: somebody else's change in between is not overwritten.
    """
    path = _live(transaction, group)
    above, _, old_name = path.rpartition("/")
    old_review = transaction.run(
        f"SELECT {GROUP_REVIEW} FROM user_group WHERE id = ?",  # noqa: S608
        (group,),
    ).fetchone()[0]
    if seen is not None and seen != (old_name, old_review):
        raise Refused("stale", f"{path} was changed by somebody else meanwhile. Look at it again.")
    name = _checked(name)
    if name != old_name:
        new = f"{above}/{name}" if above else name
        _free(transaction, new)
        _repath(transaction, path, new)
        transaction.audit("group.rename", f"group {path}", path=[path, new])
        path = new
    if review != old_review:
        transaction.run(
            "UPDATE user_group SET review = ?, review_lock = ? WHERE id = ?", (*review_columns(review), group)
        )
        transaction.audit("group.review", f"group {path}", review=[old_review, review])


def move_group(transaction: "Writing", group: int, parent: int | None) -> None:
    """Put a group, with all below it, under another one (None: make it a root group).

    What it is granted is drawn from the new parent's remaining parts, and is free again in the old one's.
    Raises Refused for a place in its own subtree, a taken path, or the last system administrator; QuotaRefused
    when its parts do not fit.
    """
    path = _live(transaction, group)
    old, granted, unlimited = transaction.run(
        "SELECT parent, granted, unlimited FROM user_group WHERE id = ?", (group,)
    ).fetchone()
    if parent == old:
        return
    above = "" if parent is None else _live(transaction, parent)
    if parent is not None and parent in groups_within(transaction.connection, Within(group)):
        raise Refused("group-inside", "A group cannot be put under itself. Choose another place.")
    if unlimited:
        raise Refused(
            "group-unlimited", "An unlimited group stays a root group: nothing above could hold it."
        )
    name = path.rpartition("/")[2]
    new = f"{above}/{name}" if above else name
    _free(transaction, new)
    if old is None:
        _keep_a_system_admin(transaction, group)
    if parent is not None:
        quota.draw(transaction, parent, granted)
    transaction.run("UPDATE user_group SET parent = ? WHERE id = ?", (parent, group))
    _repath(transaction, path, new)
    transaction.audit("group.move", f"group {path}", path=[path, new], granted=granted)


def _keep_a_system_admin(transaction: "Writing", group: int) -> None:
    """Somebody must be left in another root group who can administer everything."""
    other = transaction.run(
        "SELECT 1 FROM user u JOIN user_group g ON g.id = u.group_id WHERE u.role = 'admin'"
        " AND u.state = 'active' AND g.parent IS NULL AND g.state = 'active' AND g.id <> ?",
        (group,),
    ).fetchone()
    if other is None:
        raise Refused("last-admin", "This is the last system administrator. Make another one first.")


def _repath(transaction: "Writing", path: str, new: str) -> None:
    """Paths of a group and of all below it begin anew."""
    transaction.run(
        "UPDATE user_group SET path = ? || substr(path, ?) WHERE path = ? OR substr(path, 1, ?) = ? || '/'",
        (new, len(path) + 1, path, len(path) + 1, path),
    )


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


def restore_group(transaction: "Writing", group: int) -> None:
    """A deleted group is there again, without parts.

    Raises Refused when the group above is gone, or another one has its name by now.
    """
    row = transaction.run(
        "SELECT path, parent FROM user_group WHERE id = ? AND state = 'deleted'", (group,)
    ).fetchone()
    if row is None:
        raise Refused("group-gone", "That group is not there any more.")
    path, parent = row
    if parent is not None:
        path = f"{_live(transaction, parent)}/{path.rpartition('/')[2]}"
    _free(transaction, path)
    transaction.run("UPDATE user_group SET state = 'active', path = ? WHERE id = ?", (path, group))
    transaction.audit("group.restore", f"group {path}")


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
