"""Applying groups, users, accounts and API keys: one function a kind, called by `store/apply.py`."""

from typing import TYPE_CHECKING

import msgspec

from store import quota
from store.directory import Account, ApiKey, User
from store.document import HIDDEN, Entry
from store.document_checks import IMPLIED_PREFIXES, UNLIMITED, is_implied
from store.groups_edit import GROUP_REVIEW, review_columns
from store.owner_tasks import discard_previews
from store.settings_json import merge_settings

if TYPE_CHECKING:
    from store.apply import Applying, FieldChange

_LIVE_GROUP = "state = 'active'"
_LIVE_ACCOUNT = "state <> 'deleted'"
NOTE = "sluice apply"
_LOW = ("quota_low_parts", "quota_low_percent")
_SIMPLE = ("review", "role", "state", *_LOW)  # columns of users that take what the entry says


def group(work: "Applying", entry: Entry) -> None:
    """Add or change a group; ancestors that do not exist are made, the root of them unlimited."""
    values = entry.values
    unlimited = values.get("unlimited")
    granted = values.get("granted")
    if granted == UNLIMITED:
        granted, unlimited = None, True
    elif granted is not None:
        unlimited = bool(unlimited)
    row = work.transaction.run(
        f"SELECT id, granted, unlimited, {GROUP_REVIEW}, quota_low_parts, quota_low_percent FROM user_group"  # noqa: S608
        " WHERE path = ? AND state = 'active'",
        (values["path"],),
    ).fetchone()
    added = row is None
    identifier, old_granted, old_unlimited, old_review, *low = row or (
        _new_group(work, entry),
        0,
        0,
        "inherit",
        -1,
        10,
    )
    old_low = dict(zip(_LOW, low, strict=True))
    fields: list[FieldChange] = []
    if unlimited is not None and unlimited != bool(old_unlimited):
        fields.append(("unlimited", bool(old_unlimited), unlimited))
    if values.get("review", old_review) != old_review:
        fields.append(("review", old_review, values["review"]))
    fields += [
        (key, old_low[key], values[key]) for key in _LOW if values.get(key, old_low[key]) != old_low[key]
    ]
    if granted is not None and granted != old_granted:
        fields.append(("granted", old_granted, granted))
    if not work.update(entry, fields, added=added):
        return
    work.raised.setdefault(identifier, entry)
    work.transaction.run(
        "UPDATE user_group SET unlimited = ?, review = ?, review_lock = ?, quota_low_parts = ?, quota_low_percent = ?"
        " WHERE id = ?",
        (
            old_unlimited if unlimited is None else unlimited,
            *review_columns(values.get("review", old_review)),
            *(values.get(key, old_low[key]) for key in _LOW),
            identifier,
        ),
    )
    if granted is not None:
        _grant(work, entry, identifier, granted)


def user(work: "Applying", entry: Entry) -> None:
    """Add or change a user; a deleted one comes back to life only when `state` says so."""
    values = entry.values
    row = work.transaction.run(
        "SELECT id, group_id, granted, review, role, state, quota_low_parts, quota_low_percent, settings"
        " FROM user WHERE login = ?",
        (values["login"],),
    ).fetchone()
    if row is None and "group" not in values:
        return work.problem(entry, "", 'a new user needs a "group". Add it')
    if row is not None and row[5] == "deleted" and "state" not in values:
        return work.problem(
            entry, "", 'this user was deleted. Add state = "active" to restore it, or use another login'
        )
    chosen = row[1] if row else 0
    if "group" in values:
        found = work.find(entry, "group", "user_group", "path", values["group"], _LIVE_GROUP)
        if found is None:
            return None
        chosen = found
    if row is None:
        identifier = work.transaction.insert(
            "INSERT INTO user (login, group_id) VALUES (?, ?)", (values["login"], chosen)
        )
        old = dict(zip(("limit", *_SIMPLE), (0, "inherit", "user", "active", -1, 10), strict=True))
    else:
        identifier = row[0]
        old = dict(zip(("limit", *_SIMPLE), row[2:-1], strict=True))
    fields: list[FieldChange] = [
        (key, old[key], values[key]) for key in old if key in values and values[key] != old[key]
    ]
    for name in values.get("sms_types", ()):
        if work.find(entry, "sms_types", "sms_type", "name", name) is None:
            return None
    rules, settings = merge_settings(
        User, row[-1] if row else "{}", values, ("login", "group", "remove", *old)
    )
    fields += rules
    if row is not None and chosen != row[1]:
        fields.insert(0, ("group", _path(work, row[1]), values["group"]))
        quota.move_user(work.transaction, identifier, chosen, in_flight=work.in_flight.get(identifier, 0))
        left = quota.user_balance(work.transaction.connection, identifier).limit
        if left != old["limit"] and "limit" not in values:
            fields.append(("limit", old["limit"], left))
    if not work.update(entry, fields, added=row is None):
        return None
    if old["role"] == "admin":
        work.unseated = entry
    work.transaction.run(
        "UPDATE user SET review = ?, role = ?, state = ?, quota_low_parts = ?, quota_low_percent = ?, settings = ?"
        " WHERE id = ?",
        (*(values.get(key, old[key]) for key in _SIMPLE), settings, identifier),
    )
    if values.get("state", "active") != "active":
        discard_previews(work.transaction, identifier)
    if "limit" in values:
        _limit(work, entry, identifier, chosen, values["limit"])
    return None


def account(work: "Applying", entry: Entry) -> None:
    """Add or change an SMPP login, or what a user's API keys send as (`api:LOGIN`)."""
    values = entry.values
    system_id = values["system_id"]
    row = work.transaction.run(
        "SELECT id, user_id, password_hash, state, settings FROM account"
        " WHERE system_id = ? AND state <> 'deleted'",
        (system_id,),
    ).fetchone()
    owner = None if row is None else row[1]
    if "user" in values:
        owner = work.find(entry, "user", "user", "login", values["user"])
    elif row is None:
        work.problem(entry, "", 'a new account needs a "user". Add it')
    if "sms_type" in values and work.find(entry, "sms_type", "sms_type", "name", values["sms_type"]) is None:
        return
    new_hash = values.get("password_hash") or work.hashes.get(system_id, "")
    if row is None and not new_hash and not is_implied(system_id):
        work.problem(entry, "", 'a new account needs a "password" (or a "password_hash"). Add it')
    if owner is None:
        return
    _, old_owner, old_hash, old_state, old_settings = row or (0, owner, "", "active", "{}")
    fields, settings = merge_settings(
        Account, old_settings, values, ("user", "system_id", "password", "password_hash", "state", "remove")
    )
    if owner != old_owner:
        fields.insert(0, ("user", _login(work, old_owner), values["user"]))
    if new_hash and new_hash != old_hash:
        fields.append(("password", HIDDEN, HIDDEN))
    state = values.get("state", old_state)
    if state != old_state:
        fields.append(("state", old_state, state))
    if not work.update(entry, fields, added=row is None):
        return
    columns = (owner, new_hash or old_hash, state, settings)
    if row is None:
        work.transaction.insert(
            "INSERT INTO account (user_id, password_hash, state, settings, system_id) VALUES (?, ?, ?, ?, ?)",
            (*columns, system_id),
        )
    else:
        work.transaction.run(
            "UPDATE account SET user_id = ?, password_hash = ?, state = ?, settings = ? WHERE id = ?",
            (*columns, row[0]),
        )


def api_key(work: "Applying", entry: Entry) -> None:
    """Add or change a key of the HTTP API. Without `account` it sends as its user's `api:LOGIN`
    (or `test:LOGIN`)."""
    values = entry.values
    target = _api_account(work, entry)
    if target is None:
        return
    digest = _digest(entry)
    row = work.transaction.run(
        "SELECT id, account_id, state, settings FROM api_key WHERE hash = ?", (digest,)
    ).fetchone()
    own, settings = merge_settings(
        ApiKey,
        "{}" if row is None else row[3],
        values,
        ("account", "user", "hint", "key_hash", "state", "remove"),
    )
    if row is None:
        work.changed(entry, "added")
        work.transaction.insert(
            "INSERT INTO api_key (account_id, hash, hint, created_at, state, settings)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                target,
                digest,
                values.get("hint", ""),
                work.transaction.at,
                values.get("state", "active"),
                settings,
            ),
        )
        return
    if row[2] == "deleted":
        return work.problem(entry, "", "this key was revoked and stays so. Make a new one")
    fields: list[FieldChange] = []
    if target != row[1]:
        fields.append(("account", _system_id(work, row[1]), _system_id(work, target)))
    if values.get("state", row[2]) != row[2]:
        fields.append(("state", row[2], values["state"]))
    if work.update(entry, fields + own, added=False):
        work.transaction.run(
            "UPDATE api_key SET account_id = ?, state = ?, settings = ? WHERE id = ?",
            (target, values.get("state", row[2]), settings, row[0]),
        )


def remove_api_key(work: "Applying", entry: Entry) -> None:
    """Revoke a key for good."""
    done = work.transaction.run(
        "UPDATE api_key SET state = 'deleted' WHERE hash = ? AND state <> 'deleted'", (_digest(entry),)
    )
    work.changed(entry, "removed" if done.rowcount else "unchanged")


def remove_account(work: "Applying", entry: Entry) -> None:
    """Remove an account with its keys and inbound numbers, unless a route names it."""
    row = work.transaction.run(
        "SELECT id FROM account WHERE system_id = ? AND state <> 'deleted'",
        (entry.values["system_id"],),
    ).fetchone()
    if row is None:
        return work.changed(entry, "unchanged")
    if work.transaction.run("SELECT 1 FROM route WHERE account_id = ? AND state = 'active'", row).fetchone():
        return work.problem(entry, "remove", "a route is for this account. Remove that route first")
    work.transaction.run("UPDATE account SET state = 'deleted' WHERE id = ?", row)
    work.transaction.run("UPDATE api_key SET state = 'deleted' WHERE account_id = ?", row)
    work.transaction.run("DELETE FROM number WHERE account_id = ?", row)
    return work.changed(entry, "removed")


def remove_user(work: "Applying", entry: Entry) -> None:
    """Delete a user: the login stays taken and can be restored, the parts left return to the group."""
    row = work.transaction.run(
        "SELECT id, state FROM user WHERE login = ?", (entry.values["login"],)
    ).fetchone()
    if row is None or row[1] == "deleted":
        return work.changed(entry, "unchanged")
    work.unseated = entry
    quota.return_available(work.transaction, row[0], in_flight=work.in_flight.get(row[0], 0))
    work.transaction.run("UPDATE user SET state = 'deleted' WHERE id = ?", (row[0],))
    discard_previews(work.transaction, row[0])
    return work.changed(entry, "removed")


def remove_group(work: "Applying", entry: Entry) -> None:
    """Delete a group that has no users and no child groups; what is left of its grant returns."""
    row = work.transaction.run(
        "SELECT id FROM user_group WHERE path = ? AND state = 'active'",
        (entry.values["path"],),
    ).fetchone()
    if row is None:
        return work.changed(entry, "unchanged")
    users = work.transaction.run("SELECT login FROM user WHERE group_id = ? AND state <> 'deleted'", row)
    children = work.transaction.run("SELECT path FROM user_group WHERE parent = ? AND state = 'active'", row)
    inside = [name for (name,) in (*users, *children)]
    if inside:
        return work.problem(
            entry, "remove", f"the group still has {', '.join(inside[:5])}. Remove or move them first"
        )
    balance = quota.group_balance(work.transaction.connection, row[0])
    quota.set_group_granted(
        work.transaction, row[0], min(balance.granted, balance.allocated), kind="return", note="group deleted"
    )
    work.transaction.run("UPDATE user_group SET state = 'deleted' WHERE id = ?", row)
    return work.changed(entry, "removed")


def _new_group(work: "Applying", entry: Entry) -> int:
    parent = None
    names = entry.values["path"].split("/")
    for depth in range(1, len(names)):
        path = "/".join(names[:depth])
        row = work.transaction.run(
            "SELECT id FROM user_group WHERE path = ? AND state = 'active'",
            (path,),
        ).fetchone()
        if row is None:
            row = (
                work.transaction.insert(
                    "INSERT INTO user_group (path, parent, unlimited) VALUES (?, ?, ?)",
                    (path, parent, parent is None),
                ),
            )
            work.implied.add(row[0])
            work.changed(entry, "added", (("unlimited", False, True),) if parent is None else (), name=path)
        parent = row[0]
    return work.transaction.insert(
        "INSERT INTO user_group (path, parent) VALUES (?, ?)", (entry.values["path"], parent)
    )


def _grant(work: "Applying", entry: Entry, identifier: int, granted: int) -> None:
    quota.set_group_granted(work.transaction, identifier, granted, note=NOTE)
    parent = work.transaction.run("SELECT parent FROM user_group WHERE id = ?", (identifier,)).fetchone()[0]
    while parent is not None:
        work.raised[parent] = entry
        balance = quota.group_balance(work.transaction.connection, parent)
        if parent not in work.implied or balance.unlimited or balance.remaining >= 0:
            break
        # Nobody declared this ancestor, so it is granted just what was asked for below it.
        quota.set_group_granted(work.transaction, parent, balance.allocated, note=NOTE)
        parent = work.transaction.run("SELECT parent FROM user_group WHERE id = ?", (parent,)).fetchone()[0]


def _limit(work: "Applying", entry: Entry, identifier: int, group_id: int, limit: int) -> None:
    balance = quota.user_balance(
        work.transaction.connection, identifier, reserved_open=work.in_flight.get(identifier, 0)
    )
    spent = balance.used + balance.reserved
    if limit < balance.limit and limit < spent:
        return work.problem(
            entry, "limit", f"the user has used or reserved {spent} parts already. Give {spent} at least"
        )
    quota.set_user_limit(work.transaction, identifier, limit, note=NOTE)
    work.raised[group_id] = entry
    return None


def _api_account(work: "Applying", entry: Entry) -> int | None:
    values = entry.values
    if "account" in values:
        found = work.find(entry, "account", "account", "system_id", values["account"], _LIVE_ACCOUNT)
        owner = (
            None
            if found is None
            else work.transaction.run(
                "SELECT login FROM user WHERE id = (SELECT user_id FROM account WHERE id = ?)", (found,)
            ).fetchone()[0]
        )
        if found is not None and values.get("user", owner) != owner:
            work.problem(
                entry, "user", f'account "{values["account"]}" belongs to user "{owner}". Name that one'
            )
        return found
    owner_id = work.find(entry, "user", "user", "login", values["user"])
    if owner_id is None:
        return None
    system_id = IMPLIED_PREFIXES[_is_for_tests(work, entry)] + values["user"]
    row = work.transaction.run(
        "SELECT id FROM account WHERE system_id = ? AND state <> 'deleted'",
        (system_id,),
    ).fetchone()
    if row:
        return int(row[0])
    return work.transaction.insert(
        "INSERT INTO account (user_id, system_id) VALUES (?, ?)", (owner_id, system_id)
    )


def _is_for_tests(work: "Applying", entry: Entry) -> bool:
    """Whether a key is for tests: as the entry says, else as it is already."""
    if "test" in entry.values:
        return bool(entry.values["test"])
    row = work.transaction.run("SELECT settings FROM api_key WHERE hash = ?", (_digest(entry),)).fetchone()
    return row is not None and bool(msgspec.json.decode(row[0]).get("test"))


def _digest(entry: Entry) -> bytes:
    return bytes.fromhex(entry.values["key_hash"].removeprefix("sha256:"))


def _path(work: "Applying", identifier: int) -> str:
    return str(work.transaction.run("SELECT path FROM user_group WHERE id = ?", (identifier,)).fetchone()[0])


def _login(work: "Applying", identifier: int) -> str:
    return str(work.transaction.run("SELECT login FROM user WHERE id = ?", (identifier,)).fetchone()[0])


def _system_id(work: "Applying", identifier: int) -> str:
    return str(
        work.transaction.run("SELECT system_id FROM account WHERE id = ?", (identifier,)).fetchone()[0]
    )
