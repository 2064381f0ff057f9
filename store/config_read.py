"""`config.db` as values: the directory, words and blacklists on one read connection."""

import sqlite3
from array import array
from typing import Any

import msgspec

from store.directory import (
    Account,
    ApiKey,
    BlacklistScope,
    Carrier,
    Directory,
    Group,
    Number,
    Route,
    Template,
    User,
    UserRules,
    Webhook,
    Word,
)
from store.groups_edit import GROUP_REVIEW
from store.secrets import Sealer
from store.webhook_secrets import active_secrets


def version(connection: sqlite3.Connection) -> int:
    """The number of the newest change."""
    return int(connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()[0])


def directory(connection: sqlite3.Connection, sealer: Sealer, now_ms: int = 0) -> Directory:
    """All rows that are not deleted. Deleted users stay, as `state` says: they can be restored.

    Args:
      now_ms: secrets of webhooks whose time is over by then are left out.
    """
    rows = connection.execute
    groups = {
        row[0]: Group(row[0], row[1], row[2] or 0, row[3], bool(row[4]), *row[5:])
        for row in rows(
            f"SELECT id, path, parent, granted, unlimited, {GROUP_REVIEW}, quota_low_parts, quota_low_percent"  # noqa: S608
            " FROM user_group WHERE state = 'active' ORDER BY id"
        )
    }
    users = {
        row[0]: User(*row[:-1], **msgspec.convert(msgspec.json.decode(row[-1]), UserRules).fields)
        for row in rows(
            "SELECT id, login, group_id, granted, review, state, role, quota_low_parts, quota_low_percent,"
            " settings FROM user ORDER BY id"
        )
    }
    accounts = {
        row[0]: _struct(
            Account, row[5], id=row[0], user=row[1], system_id=row[2], password_hash=row[3], state=row[4]
        )
        for row in rows(
            "SELECT id, user_id, system_id, password_hash, state, settings FROM account"
            " WHERE state <> 'deleted' ORDER BY id"
        )
    }
    carriers = {
        row[0]: _struct(
            Carrier,
            row[4],
            id=row[0],
            name=row[1],
            password=carrier_password(sealer, row[1], row[2]),
            state=row[3],
        )
        for row in rows(
            "SELECT id, name, password_sealed, state, settings FROM carrier WHERE state <> 'deleted' ORDER BY id"
        )
    }
    hops: dict[int, list[tuple[int, int | None]]] = {}
    for route, carrier, weight in rows(
        "SELECT route_id, carrier_id, weight FROM route_carrier ORDER BY route_id, position"
    ):
        hops.setdefault(route, []).append((carrier, weight))
    routes = {
        row[0]: Route(
            row[0],
            row[1],
            tuple(carrier for carrier, _ in hops.get(row[0], ())),
            tuple(weight for _, weight in hops.get(row[0], ()) if weight is not None),
            row[4],
            row[2],
            row[3] or 0,
        )
        for row in rows(
            "SELECT id, prefix, sms_type, account_id, policy FROM route WHERE state = 'active' ORDER BY id"
        )
    }
    return Directory(
        version=version(connection),
        groups=groups,
        users=users,
        accounts=accounts,
        carriers=carriers,
        routes=routes,
        numbers={
            row[0]: Number(*row) for row in rows("SELECT id, address, account_id FROM number ORDER BY id")
        },
        sms_types=dict(rows("SELECT name, id FROM sms_type ORDER BY id")),
        api_keys={
            row[0]: _struct(ApiKey, row[5], id=row[1], account=row[2], hint=row[3], state=row[4])
            for row in rows(
                "SELECT hash, id, account_id, hint, state, settings FROM api_key"
                " WHERE state <> 'deleted' ORDER BY id"
            )
        },
        webhooks={
            row[0]: _webhook(sealer, now_ms, *row)
            for row in rows(
                "SELECT id, account_id, name, secrets_sealed, state, settings FROM webhook"
                " WHERE state <> 'deleted' AND account_id IN (SELECT id FROM account WHERE state <> 'deleted')"
                " ORDER BY id"
            )
        },
        templates={
            row[0]: Template(row[0], row[1], row[2], row[3], tuple(msgspec.json.decode(row[4])))
            for row in rows(
                "SELECT id, group_id, name, text, variables FROM template WHERE state = 'active' ORDER BY id"
            )
        },
    )


def _webhook(
    sealer: Sealer,
    now_ms: int,
    identifier: int,
    account: int,
    name: str,
    column: bytes,
    state: str,
    settings: str,
) -> Webhook:
    secrets, until = active_secrets(sealer, account, name, column, now_ms)
    webhook: Webhook = _struct(
        Webhook,
        settings,
        id=identifier,
        account=account,
        name=name,
        state=state,
        secrets=secrets,
        overlap_until=until,
    )
    return webhook


def carrier_password(sealer: Sealer, name: str, sealed: bytes | None) -> str:
    """A carrier's password in clear, "" if it has none."""
    return sealer.unseal(sealed, carrier_context(name)) if sealed else ""


def carrier_context(name: str) -> str:
    """Whose secret it is: a sealed password copied to another carrier's row does not open."""
    return f"carrier {name}"


def words(connection: sqlite3.Connection) -> list[Word]:
    """All sensitive words, by text."""
    return [
        Word(text, action, bool(substring), category, note)
        for text, action, substring, category, note in connection.execute(
            "SELECT text, action, substring, category, note FROM word ORDER BY text"
        )
    ]


def blacklists(connection: sqlite3.Connection) -> dict[BlacklistScope, "array[int]"]:
    """Numbers of every scope that has any, ascending."""
    lists: dict[BlacklistScope, array[int]] = {}
    for scope, kind, group, sms_type in connection.execute(
        "SELECT id, kind, group_id, sms_type FROM blacklist_scope ORDER BY id"
    ).fetchall():
        numbers = connection.execute(
            "SELECT number FROM blacklist_number WHERE scope_id = ? ORDER BY number", (scope,)
        )
        found = array("Q", (row[0] for row in numbers))
        if found:
            lists[BlacklistScope(kind, scope_key(kind, group, sms_type))] = found
    return lists


def scope_key(kind: str, group: int | None, sms_type: str) -> int | str:
    """The key of a `BlacklistScope` from its columns."""
    return sms_type if kind == "type" else group or 0


def _struct(kind: Any, settings: str, **columns: Any) -> Any:
    return msgspec.convert({**msgspec.json.decode(settings), **columns}, kind)
