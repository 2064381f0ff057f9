"""`sluice export`: `config.db` as a document that `sluice apply` takes back unchanged.

Values at their defaults are left out. Accounts come with their password hashes, API keys with theirs, so the
document makes the same customers elsewhere; it deserves the care of a secret all the same. Carriers'
passwords come only when asked for. Deleted users are not exported.
"""

import datetime as dt
import sqlite3
from array import array
from collections.abc import Iterator
from typing import Any

import msgspec

from store import config_read
from store.directory import ApiKey, Carrier, Group, Route, User, Webhook, Word
from store.document_checks import IMPLIED_PREFIXES
from store.rules import expiring, scope_text
from store.secrets import Sealer

NUMBERS_A_LINE = 8
BUILT_IN_TYPES = 4  # sms_types that every config.db has
_ABSENT = object()
Table = dict[str, Any]


def export_document(
    connection: sqlite3.Connection, sealer: Sealer, *, secrets: bool = False
) -> Iterator[str]:
    """The document as lines of TOML, without their line ends.

    Args:
      secrets: also write carriers' passwords, in clear.
    """
    yield "# What `sluice export` wrote; `sluice apply` takes it back."
    if not secrets:
        yield "# Carriers' passwords and webhooks' secrets are not in it: apply keeps the ones it has (--secrets"
        yield "# writes them)."
    for name, table in _tables(connection, sealer, secrets):
        yield ""
        yield f"[[{name}]]"
        for key, value in table.items():
            yield from _lines(key, value)


def _tables(connection: sqlite3.Connection, sealer: Sealer, secrets: bool) -> Iterator[tuple[str, Table]]:
    directory = config_read.directory(connection, sealer)
    for name, title in connection.execute(
        "SELECT name, title FROM sms_type WHERE id > ? ORDER BY id", (BUILT_IN_TYPES,)
    ):
        yield "sms_type", _without_defaults({"name": name, "title": title}, {"title": ""})
    for carrier in directory.carriers.values():
        table = _struct(carrier, Carrier, ("name",))
        if not secrets:
            table.pop("password", None)
        yield "carrier", table
    for group in sorted(directory.groups.values(), key=lambda group: (group.path.count("/"), group.id)):
        table = _struct(group, Group, ("path",), omit=("parent", "unlimited"))
        yield "group", {**table, "granted": "unlimited"} if group.unlimited else table
    for user in directory.users.values():
        if user.state != "deleted":
            path = directory.groups[user.group].path
            yield "user", {**_struct(user, User, ("login",), omit=("group",)), "group": path}
    for identifier, user_id, system_id, password_hash, state, settings in connection.execute(
        "SELECT id, user_id, system_id, password_hash, state, settings FROM account"
        " WHERE state <> 'deleted' ORDER BY id"
    ):
        owner = directory.users[user_id]
        own = msgspec.json.decode(settings)
        implied = system_id in _implied(owner) and not own and not password_hash
        if owner.state != "deleted" and not (implied and _has_key(directory, identifier)):
            table = {
                "system_id": system_id,
                "user": owner.login,
                "password_hash": password_hash,
                "state": state,
            }
            yield "account", {**_without_defaults(table, {"password_hash": "", "state": "active"}), **own}
    for digest, key in directory.api_keys.items():
        account = directory.accounts[key.account]
        owner = directory.users[account.user]
        if owner.state != "deleted":
            table = {"user": owner.login, "account": account.system_id, "key_hash": f"sha256:{digest.hex()}"}
            if account.system_id == IMPLIED_PREFIXES[key.test] + owner.login:
                del table["account"]
            table |= {"hint": key.hint, **_struct(key, ApiKey, (), omit=("account", "hint"))}
            yield "api_key", _without_defaults(table, {"hint": ""})
    for webhook in directory.webhooks.values():
        account = directory.accounts[webhook.account]
        if directory.users[account.user].state != "deleted":
            table = {"account": account.system_id}
            table |= _struct(webhook, Webhook, ("name",), omit=("account", "secrets", "overlap_until"))
            if secrets and webhook.secrets:
                table["secret"] = webhook.secrets[0]
            yield "webhook", table
    for template in directory.templates.values():
        if template.group in directory.groups:
            table = {"name": template.name, "group": directory.groups[template.group].path}
            table |= {"text": template.text, "variables": list(template.variables)}
            yield "template", _without_defaults(table, {"variables": []})
    live = {a.id for a in directory.accounts.values() if directory.users[a.user].state != "deleted"}
    for number in directory.numbers.values():
        if number.account in live:
            system_id = directory.accounts[number.account].system_id
            yield "number", {"address": number.address, "account": system_id}
    for route in directory.routes.values():
        if not route.account or route.account in live:
            table = _struct(route, Route, ("prefix",), omit=("carriers", "account"))
            table["carriers"] = [directory.carriers[carrier].name for carrier in route.carriers]
            if route.account:
                table["account"] = directory.accounts[route.account].system_id
            yield "route", table
    for word in config_read.words(connection):
        yield "word", _struct(word, Word, ("text",))
    for scope, numbers in config_read.blacklists(connection).items():
        if scope.kind != "group" or scope.key in directory.groups:
            name = scope_text(connection, scope)
            ends = expiring(connection, scope)
            lasting = array("Q", (n for n in numbers if n not in ends)) if ends else numbers
            if lasting:
                yield "blacklist", {"scope": name, "numbers": lasting}
            for end in sorted(set(ends.values())):
                moment = dt.datetime.fromtimestamp(end / 1000, dt.UTC).isoformat()
                some = array("Q", (n for n in numbers if ends.get(n) == end))
                yield "blacklist", {"scope": name, "expires": moment, "numbers": some}


def _struct(value: msgspec.Struct, kind: Any, first: tuple[str, ...], omit: tuple[str, ...] = ()) -> Table:
    table = {key: getattr(value, key) for key in first}
    for field in msgspec.structs.fields(kind):
        if field.name not in ("id", *first, *omit):
            found = getattr(value, field.name)
            if found != field.default:
                table[field.name] = found
    return table


def _implied(owner: User) -> tuple[str, ...]:
    """The system_ids of accounts that the user's keys brought with them."""
    return tuple(prefix + owner.login for prefix in IMPLIED_PREFIXES.values())


def _without_defaults(table: Table, defaults: Table) -> Table:
    return {key: value for key, value in table.items() if value != defaults.get(key, _ABSENT)}


def _has_key(directory: Any, account: int) -> bool:
    return any(key.account == account for key in directory.api_keys.values())


def _lines(key: str, value: Any) -> Iterator[str]:
    if not isinstance(value, array):
        yield f"{key} = {_toml(value)}"
        return
    yield f"{key} = ["
    for start in range(0, len(value), NUMBERS_A_LINE):
        yield "  " + ", ".join(f'"{number}"' for number in value[start : start + NUMBERS_A_LINE]) + ","
    yield "]"


def _toml(value: Any) -> str:
    """A scalar or list as TOML. Its basic strings are JSON's, but for DEL, which must be escaped."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
