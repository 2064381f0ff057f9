"""Control operations that need only `config.db`: apply, export, check, admin.create.

The daemon registers them; the commands call the same functions themselves when no daemon runs.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import msgspec
import trio

from filters.numbers import SENTENCES, NotANumber, Numbering
from gateway.control import ControlError, Handler, actor
from gateway.settings import WebhookSettings
from gateway.webhooks.addresses import networks
from gateway.webhooks.targets import BadUrl, UrlRules, check_hosts, read_url
from store import audit, quota
from store.apply import Change
from store.config_db import ConfigStore
from store.document import Document, DocumentError, Entry, parse_document
from store.files import StoreError
from store.people import make_admin
from store.secrets import is_password_hash


def number_reader(home_country: str) -> Callable[[str], int]:
    """Reads a number as people write it under a home country; raises ValueError with a sentence."""
    numbering = Numbering(home_country)

    def read(text: str) -> int:
        number = numbering.canonical(text.encode())  # plain digits, which most are, take the quick way
        if number:
            return number
        found = numbering.canonical_text(text)
        if isinstance(found, NotANumber):
            raise ValueError(SENTENCES[found][0])
        return found

    return read


def tables_of(document: Document) -> dict[str, list[dict[str, Any]]]:
    """A checked document as it is sent to the daemon: number lists in it, API keys as hashes."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for entry in document.entries:
        tables.setdefault(entry.table, []).append(entry.values)
    return tables


def apply_tables(
    store: ConfigStore,
    tables: dict[str, Any],
    *,
    source: str,
    who: str,
    home_country: str,
    in_flight: Mapping[int, int],
    dry_run: bool = False,
    rules: UrlRules | None = None,
) -> list[Change]:
    """Check and apply a document; raises ControlError with every problem. Blocks: call it on a thread."""
    try:
        document = parse_document(tables, source)
        problems = [text for entry in document.of("webhook") for text in _objections(document, entry, rules)]
        if problems:
            raise DocumentError(problems)
        return store.apply(
            document, who, number=number_reader(home_country), in_flight=in_flight, dry_run=dry_run
        )
    except DocumentError as error:
        raise ControlError(str(error), kind="usage") from error
    except StoreError as error:
        raise ControlError(str(error)) from error


def webhook_rules(settings: WebhookSettings) -> UrlRules:
    """Where endpoints may lead."""
    return UrlRules(networks(settings.allow_private), settings.ports)


def _objections(document: Document, entry: Entry, rules: UrlRules | None) -> Iterator[str]:
    """What is wrong with the URL or the hosts of a declared endpoint."""
    for key, check in (
        ("url", lambda url: url and read_url(url, rules or UrlRules())),
        ("hosts", check_hosts),
    ):
        if key in entry.values and not entry.removed:
            try:
                check(entry.values[key])
            except BadUrl as error:
                yield f"{document.where(entry, key)}: {error}"


def create_admin(store: ConfigStore, *, who: str, login: str, password_hash: str, group: str) -> str:
    """Make an administrator; gives the path of their group. Raises ControlError."""
    if not login or not is_password_hash(password_hash):
        raise ControlError("An administrator needs a login and an argon2id hash.", kind="usage")
    with store.writing(who) as transaction:
        return make_admin(transaction, login, password_hash, group)


def check_store(store: ConfigStore) -> list[str]:
    """What is wrong inside `config.db`, as sentences; empty is as it should be."""
    with store.reading() as connection:
        damage = [row[0] for row in connection.execute("PRAGMA quick_check(5)") if row[0] != "ok"]
        found = [f"config.db is damaged: {text}. Put back a copy from `sluice backup`." for text in damage]
        broken = audit.first_break(connection)
        if broken:
            found.append(
                f"The audit log was changed from outside: row {broken} does not follow the one before it."
            )
        found += [f"The quota does not add up: {text}." for text in quota.recount(connection)]
        found += [
            f"Group {path} is granted {granted} parts and has allocated {allocated}."
            for _, path, granted, allocated in quota.over_allocated(connection)
        ]
    return found


def store_operations(
    store: ConfigStore,
    *,
    home_country: str,
    in_flight: Callable[[], Mapping[int, int]],
    rules: UrlRules | None = None,
    changed: Callable[[list[Change]], Awaitable[None]],
) -> dict[str, Handler]:
    """Handlers for a running daemon.

    Args:
      in_flight: by user id, parts used and reserved on days that are not consolidated.
      changed: called after an apply that changed something; when it returns, the daemon works by the new
        directory, and only then does the command get its answer.
    """

    async def apply(params: dict[str, Any]) -> Any:
        who, dry_run = actor(), bool(params.get("dry_run"))
        changes = await trio.to_thread.run_sync(
            lambda: apply_tables(
                store,
                params.get("tables", {}),
                source=str(params.get("source", "document")),
                who=who,
                home_country=home_country,
                in_flight=in_flight(),
                dry_run=dry_run,
                rules=rules,
            )
        )
        if not dry_run and any(change.action != "unchanged" for change in changes):
            await changed(changes)
        return msgspec.to_builtins(changes)

    async def export(params: dict[str, Any]) -> Any:
        who, secrets = actor(), bool(params.get("secrets"))
        await trio.to_thread.run_sync(lambda: store.record(who, "export", "config.db", secrets=secrets))
        return _Pieces(store.export(secrets=secrets))

    async def check(params: dict[str, Any]) -> Any:
        return await trio.to_thread.run_sync(check_store, store)

    async def admin_create(params: dict[str, Any]) -> Any:
        who = actor()
        given = {key: str(params.get(key, "")) for key in ("login", "password_hash", "group")}
        path = await trio.to_thread.run_sync(lambda: create_admin(store, who=who, **given))
        await changed([])
        return path

    return {"apply": apply, "export": export, "check": check, "admin.create": admin_create}


class _Pieces(AsyncIterator[str]):
    """A blocking iterator, one step a thread hop."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces

    async def __anext__(self) -> str:
        piece = await trio.to_thread.run_sync(next, self._pieces, None)
        if piece is None:
            raise StopAsyncIteration
        return piece
