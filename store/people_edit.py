"""One user at a time, as the console changes people: every rule that holds whoever asks stands here.

Whether the one who asks may see or change that user at all is the console's to know (`admin/permissions.py`).
Each call is part of a write transaction and writes its audit row there. Raises Refused or QuotaRefused.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from store import quota
from store.directory import Review, UserRules
from store.owner_tasks import discard_previews
from store.preferences import Preferences, preferences_column
from store.refusals import Refused
from store.sessions import end_sessions

if TYPE_CHECKING:
    from store.config_db import Writing

LOGIN = re.compile(r"[A-Za-z0-9._-]{3,32}")


class Profile(msgspec.Struct, frozen=True):
    """What a person is, beside login, password and parts."""

    name: str = ""
    mobile: str = ""
    email: str = ""
    note: str = ""
    review: Review = "inherit"
    sms_types: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    rate: int = 0

    @property
    def columns(self) -> tuple[str, str, str, str, str, str]:
        """name, mobile, email, note, review, settings."""
        rules = UserRules(self.sms_types, self.senders, self.rate)
        settings = msgspec.json.encode(rules).decode()
        return self.name, self.mobile, self.email, self.note, self.review, settings


PROFILE_COLUMNS = "name, mobile, email, note, review, settings"


def profile_of_columns(columns: Sequence[Any]) -> Profile:
    """The profile in the columns of `PROFILE_COLUMNS`."""
    *texts, settings = columns
    return Profile(*texts, **msgspec.json.decode(settings, type=UserRules).fields)


def create_user(
    transaction: "Writing",
    login: str,
    group: int,
    profile: Profile,
    password_hash: str,
    *,
    parts: int = 0,
    role: str = "user",
) -> int:
    """A new active user with a temporary password; gives the id. A login is never used twice."""
    if not LOGIN.fullmatch(login):
        raise Refused("login-form", f'"{login}" is no login: 3 to 32 of A-Z, a-z, 0-9, ".", "_" and "-".')
    if transaction.run("SELECT 1 FROM user WHERE lower(login) = lower(?)", (login,)).fetchone():
        raise Refused("login-taken", f'The login "{login}" is taken. Choose another.', login=login)
    _live_group(transaction, group)
    identifier = transaction.insert(
        f"INSERT INTO user (login, group_id, {PROFILE_COLUMNS}, password_hash,"  # noqa: S608
        " password_temporary, created_at, role) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
        (login, group, *profile.columns, password_hash, transaction.at, role),
    )
    transaction.audit(
        "user.create", f"user {login}", group=_path(transaction, group), review=profile.review, role=role
    )
    if parts:
        quota.topup_user(transaction, identifier, parts, note="")
    return identifier


def edit_user(
    transaction: "Writing",
    user: int,
    profile: Profile,
    group: int,
    *,
    seen: Profile,
    seen_group: int = 0,
    in_flight: int = 0,
) -> None:
    """Change what a person is and where they belong.

    Args:
      seen, seen_group: the profile and the group (0: any) as the form showed them: somebody else's change in
        between is not overwritten.
    """
    login, now, old_group = _read(transaction, user)
    if now != seen or seen_group not in (0, old_group):
        raise Refused("stale", f"{login} was changed by somebody else meanwhile. Look at it again.")
    changed: dict[str, Any] = {
        field: [getattr(now, field), getattr(profile, field)]
        for field in Profile.__struct_fields__
        if getattr(now, field) != getattr(profile, field)
    }
    if group != old_group:
        _live_group(transaction, group)
        _keep_one_system_admin(transaction, user, group=group)
        quota.move_user(transaction, user, group, in_flight=in_flight)
        end_sessions(transaction, user)
        changed["group"] = [_path(transaction, old_group), _path(transaction, group)]
    if not changed:
        return
    transaction.run(
        "UPDATE user SET name = ?, mobile = ?, email = ?, note = ?, review = ?, settings = ? WHERE id = ?",
        (*profile.columns, user),
    )
    transaction.audit("user.edit", f"user {login}", **changed)


def set_state(transaction: "Writing", user: int, state: str, *, by: int, in_flight: int = 0) -> str:
    """`active`, `disabled` or `deleted`; gives the state before.

    Disabled and deleted users are signed out at once, and their previews are discarded. A deleted user's available
    parts return to the group; a restored one comes back disabled, with nothing available.
    """
    login, _, _ = _read(transaction, user)
    before = str(transaction.run("SELECT state FROM user WHERE id = ?", (user,)).fetchone()[0])
    if state == before:
        return before
    if user == by:
        raise Refused("self", "Nobody can disable or delete themself. Ask another administrator.")
    if before == "deleted":
        if transaction.run("SELECT anonymised_at FROM user WHERE id = ?", (user,)).fetchone()[0]:
            raise Refused("anonymous", f"{login} was made anonymous, for good. Make a new user.")
        state = "disabled"
        _back_into_a_group(transaction, user, by)
    if state != "active":
        _keep_one_system_admin(transaction, user)
        end_sessions(transaction, user)
        discard_previews(transaction, user)
    if state == "deleted":
        quota.return_available(transaction, user, in_flight=in_flight)
    transaction.run(
        "UPDATE user SET state = ?, deleted_at = ? WHERE id = ?",
        (state, transaction.at if state == "deleted" else 0, user),
    )
    transaction.audit("user.state", f"user {login}", state=[before, state])
    return before


def anonymise(transaction: "Writing", user: int) -> None:
    """Forget for good who a deleted user was. Messages, parts and the audit log stay, under the login.

    Raises Refused for one that is not deleted.
    """
    login, _, _ = _read(transaction, user)
    done = transaction.run(
        "UPDATE user SET name = '', mobile = '', email = '', note = '', password_hash = '', preferences = '{}',"
        " totp_sealed = NULL, anonymised_at = ? WHERE id = ? AND state = 'deleted'",
        (transaction.at, user),
    )
    if not done.rowcount:
        raise Refused("not-deleted", f"{login} is not deleted. Only a deleted user can be made anonymous.")
    end_sessions(transaction, user)
    for table in (
        "contact", "contact_group", "recovery_code", "file_import", "trash", "list_view", "list_filter",
        "send_draft",
    ):  # fmt: skip
        transaction.run(f"DELETE FROM {table} WHERE user_id = ?", (user,))  # noqa: S608
    for sql in (
        "DELETE FROM phrase WHERE phrase_group_id IN"
        " (SELECT id FROM phrase_group WHERE user_id = ? AND shared = 0)",
        "DELETE FROM phrase_group WHERE user_id = ? AND shared = 0",
    ):
        transaction.run(sql, (user,))
    transaction.audit("user.anonymise", f"user {login}")


def set_role(transaction: "Writing", user: int, role: str, *, by: int) -> None:
    """`user` or `admin`. The change counts for the next request; the sessions end, so ids are new (S6)."""
    login, _, _ = _read(transaction, user)
    before = transaction.run("SELECT role FROM user WHERE id = ?", (user,)).fetchone()[0]
    if role == before:
        return
    if user == by:
        raise Refused("self", "Nobody can change their own role. Ask another administrator.")
    if role != "admin":
        _keep_one_system_admin(transaction, user)
    transaction.run("UPDATE user SET role = ? WHERE id = ?", (role, user))
    end_sessions(transaction, user)
    transaction.audit("user.role", f"user {login}", role=[before, role])


def set_password(
    transaction: "Writing", user: int, password_hash: str, *, temporary: bool, keep: bytes = b""
) -> None:
    """A new password; every session but `keep` ends. Temporary: chosen by another, to be replaced at sign-in."""
    login, _, _ = _read(transaction, user)
    transaction.run(
        "UPDATE user SET password_hash = ?, password_temporary = ? WHERE id = ?",
        (password_hash, temporary, user),
    )
    end_sessions(transaction, user, but=keep)
    transaction.audit("user.password", f"user {login}", changes=False, temporary=temporary)


def rehash_password(transaction: "Writing", user: int, password_hash: str) -> None:
    """The same password under today's parameters."""
    transaction.run("UPDATE user SET password_hash = ? WHERE id = ?", (password_hash, user))


def set_preferences(transaction: "Writing", user: int, preferences: Preferences) -> None:
    """How the console looks to this person; nobody's business, so not audited."""
    transaction.run("UPDATE user SET preferences = ? WHERE id = ?", (preferences_column(preferences), user))


def _read(transaction: "Writing", user: int) -> tuple[str, Profile, int]:
    row = transaction.run(
        f"SELECT login, group_id, {PROFILE_COLUMNS} FROM user WHERE id = ?",  # noqa: S608
        (user,),
    ).fetchone()
    if row is None:
        raise Refused("gone", f"There is no user number {user}.")
    return row[0], profile_of_columns(row[2:]), row[1]


def _live_group(transaction: "Writing", group: int) -> None:
    if not transaction.run("SELECT 1 FROM user_group WHERE id = ? AND state = 'active'", (group,)).fetchone():
        raise Refused("group-gone", "That group is deleted. Choose another.")


def _back_into_a_group(transaction: "Writing", user: int, by: int) -> None:
    """The old group, or that of the one who restores if it is gone."""
    transaction.run(
        "UPDATE user SET group_id = (SELECT group_id FROM user WHERE id = ?) WHERE id = ?"
        " AND (SELECT state FROM user_group g WHERE g.id = user.group_id) = 'deleted'",
        (by, user),
    )


def _keep_one_system_admin(transaction: "Writing", user: int, *, group: int = 0) -> None:
    """Somebody must be left who can administer everything: an active admin of a root group."""
    if (
        group
        and transaction.run("SELECT parent IS NULL FROM user_group WHERE id = ?", (group,)).fetchone()[0]
    ):
        return
    others = transaction.run(
        "SELECT count(*), total(u.id = ?) FROM user u JOIN user_group g ON g.id = u.group_id"
        " WHERE u.role = 'admin' AND u.state = 'active' AND g.parent IS NULL",
        (user,),
    ).fetchone()
    if others[1] and others[0] == 1:
        raise Refused("last-admin", "This is the last system administrator. Make another one first.")


def _path(transaction: "Writing", group: int) -> str:
    return str(transaction.run("SELECT path FROM user_group WHERE id = ?", (group,)).fetchone()[0])
