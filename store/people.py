"""People as the command line makes them; groups, users and accounts otherwise come by `store/apply.py`."""

from typing import TYPE_CHECKING

from store import second_factor
from store.files import StoreError
from store.sessions import end_sessions

if TYPE_CHECKING:
    from store.config_db import Writing

FIRST_GROUP = "root"  # made when an administrator is wanted before there is any group


def make_admin(
    transaction: "Writing", login: str, password_hash: str, group: str = "", *, first_group: str = FIRST_GROUP
) -> str:
    """Make a user an administrator with this password; gives the path of their group.

    Args:
      group: its path; "" for the first root group, which is made (unlimited) if there is none.
      first_group: the name of the one that is made then.
    Raises StoreError for an unknown group, a deleted login, or a user of another group.
    """
    user = transaction.run(
        "SELECT u.id, u.state, g.path FROM user u JOIN user_group g ON g.id = u.group_id WHERE login = ?",
        (login,),
    ).fetchone()
    if user is None:
        group_id, path = _group(transaction, group, first_group)
        transaction.run(
            "INSERT INTO user (login, group_id, role, password_hash) VALUES (?, ?, 'admin', ?)",
            (login, group_id, password_hash),
        )
    else:
        identifier, state, path = user
        if state == "deleted":
            raise StoreError(
                f'User "{login}" was deleted. Restore it with `sluice apply`, or choose another login.'
            )
        if group and group != path:
            raise StoreError(
                f'User "{login}" is in group {path}. Leave out --group, or move it with `sluice apply`.'
            )
        transaction.run(
            "UPDATE user SET role = 'admin', state = 'active', password_hash = ? WHERE id = ?",
            (password_hash, identifier),
        )
        # Who stands at the machine itself is the way back in for somebody who lost their telephone.
        second_factor.remove(transaction, identifier, action="second-factor.reset")
        end_sessions(transaction, identifier)
    transaction.audit("admin.create", f"user {login}", group=path)
    return str(path)


def _group(transaction: "Writing", path: str, first_group: str) -> tuple[int, str]:
    if path:
        row = transaction.run(
            "SELECT id, path FROM user_group WHERE path = ? AND state = 'active'", (path,)
        ).fetchone()
        if row is None:
            raise StoreError(
                f'There is no group "{path}". Declare it with `sluice apply`, or correct the path.'
            )
    else:
        row = transaction.run(
            "SELECT id, path FROM user_group WHERE parent IS NULL AND state = 'active' ORDER BY id LIMIT 1"
        ).fetchone()
    if row:
        return int(row[0]), str(row[1])
    identifier = transaction.insert("INSERT INTO user_group (path, unlimited) VALUES (?, 1)", (first_group,))
    return identifier, first_group
