"""Applying endpoints of accounts, for `store/apply.py`."""

from typing import TYPE_CHECKING

from store.directory import Webhook
from store.document import HIDDEN, Entry
from store.document_checks import IMPLIED_PREFIXES
from store.settings_json import merge_settings
from store.webhook_secrets import OVERLAP_MS, Kept, rotated, sealed, unsealed
from store.webhooks_edit import OMIT

if TYPE_CHECKING:
    from store.apply import Applying

_FIND = (
    "SELECT id, secrets_sealed, state, settings FROM webhook"
    " WHERE account_id = ? AND name = ? AND state <> 'deleted'"
)


def webhook(work: "Applying", entry: Entry) -> None:
    """Add or change an endpoint. Another secret than before signs beside the old one for a day."""
    values, transaction = entry.values, work.transaction
    account, name = _account(work, entry), values["name"]
    if account is None:
        return
    row = transaction.run(_FIND, (account, name)).fetchone()
    secret = values.get("secret")
    if row is None and secret is None:
        work.problem(entry, "", 'a new endpoint needs a "secret" ("whsec_" and base64). Add it')
        return
    identifier, column, old_state, old_settings = row or (0, b"", "active", "{}")
    kept = unsealed(transaction.sealer, account, name, column) if row else []
    fields, settings = merge_settings(Webhook, old_settings, values, OMIT)
    fields = [(key, _told(key, old), _told(key, new)) for key, old, new in fields]
    if secret is not None and secret != (kept[0].secret if kept else ""):
        kept = rotated(kept, secret, transaction.at, OVERLAP_MS) if kept else [Kept(secret)]
        fields.append(("secret", HIDDEN, HIDDEN))
    state = values.get("state", old_state)
    if state != old_state:
        fields.append(("state", old_state, state))
    if not work.update(entry, fields, added=row is None):
        return
    columns = (sealed(transaction.sealer, account, name, kept), settings, state)
    if row is None:
        transaction.insert(
            "INSERT INTO webhook (secrets_sealed, settings, state, account_id, name, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (*columns, account, name, transaction.at),
        )
    else:
        transaction.run(
            "UPDATE webhook SET secrets_sealed = ?, settings = ?, state = ? WHERE id = ?",
            (*columns, identifier),
        )


def remove_webhook(work: "Applying", entry: Entry) -> None:
    """Remove an endpoint; what it has not heard yet it never will."""
    account = work.transaction.run(
        "SELECT id FROM account WHERE system_id = ? AND state <> 'deleted'", (entry.values["account"],)
    ).fetchone()
    row = account and work.transaction.run(_FIND, (account[0], entry.values["name"])).fetchone()
    if row:
        work.transaction.run("UPDATE webhook SET state = 'deleted' WHERE id = ?", (row[0],))
    work.changed(entry, "removed" if row else "unchanged")


def _account(work: "Applying", entry: Entry) -> int | None:
    """The account that an entry names; that behind a user's API keys is made where it is not there yet."""
    system_id = entry.values["account"]
    row = work.transaction.run(
        "SELECT id FROM account WHERE system_id = ? AND state <> 'deleted'", (system_id,)
    ).fetchone()
    prefix = IMPLIED_PREFIXES[False]
    if row is None and system_id.startswith(prefix):
        owner = work.find(entry, "user", "user", "login", system_id.removeprefix(prefix))
        if owner is None:
            return None
        return work.transaction.insert(
            "INSERT INTO account (user_id, system_id) VALUES (?, ?)", (owner, system_id)
        )
    return work.find(entry, "account", "account", "system_id", system_id, "state <> 'deleted'")


def _told(key: str, value: object) -> object:
    """A field's value for the report and the audit log: a URL without its query, which may hold a secret."""
    if key == "url" and isinstance(value, str) and "?" in value:
        return value.partition("?")[0] + "?…"
    return value
