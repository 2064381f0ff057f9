"""Endpoints of accounts changed one at a time, as the API does; `sluice apply` has `apply_webhooks.py`.

Each call belongs in a transaction of `ConfigStore.writing` and writes its audit row there. Ids are the rows';
an endpoint is found only under the account that owns it.
"""

from typing import TYPE_CHECKING, Any

from store.directory import Webhook
from store.refusals import Refused
from store.settings_json import merge_settings
from store.webhook_secrets import Kept, rotated, sealed, unsealed

if TYPE_CHECKING:
    from store.config_db import Writing

OMIT = ("account", "name", "state", "secret", "secrets", "user", "remove")
ENDPOINTS_OF_ACCOUNT_MAX = 20


def add_webhook(transaction: "Writing", account: int, name: str, secret: str, given: dict[str, Any]) -> int:
    """Add an endpoint; its id. Raises Refused: the name is taken, or the account has too many."""
    rows = transaction.run("SELECT name FROM webhook WHERE account_id = ? AND state <> 'deleted'", (account,))
    names = [row[0] for row in rows]
    if name in names:
        raise Refused(
            "webhook-taken", f'There is an endpoint "{name}" already. Choose another name.', name=name
        )
    if len(names) >= ENDPOINTS_OF_ACCOUNT_MAX:
        raise Refused(
            "webhooks-many",
            f"An account has at most {ENDPOINTS_OF_ACCOUNT_MAX} endpoints. Remove one first.",
            most=ENDPOINTS_OF_ACCOUNT_MAX,
        )
    _, settings = merge_settings(Webhook, "{}", given, OMIT)
    identifier = transaction.insert(
        "INSERT INTO webhook (account_id, name, secrets_sealed, settings, created_at, state)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            account,
            name,
            sealed(transaction.sealer, account, name, [Kept(secret)]),
            settings,
            transaction.at,
            given.get("state", "active"),
        ),
    )
    transaction.audit("webhook.added", f"webhook {name}", account=account)
    return identifier


def change_webhook(transaction: "Writing", account: int, identifier: int, given: dict[str, Any]) -> None:
    """Set fields of an endpoint. Raises Refused when the account has no such endpoint."""
    name, state, settings = _row(transaction, account, identifier, "name, state, settings")
    fields, merged = merge_settings(Webhook, settings, given, OMIT)
    new_state = given.get("state", state)
    if new_state != state:
        fields.append(("state", state, new_state))
    if fields:
        transaction.run(
            "UPDATE webhook SET settings = ?, state = ? WHERE id = ?", (merged, new_state, identifier)
        )
        # A URL may hold a secret: only which fields changed is told.
        transaction.audit(
            "webhook.changed", f"webhook {name}", account=account, fields=[key for key, _, _ in fields]
        )


def remove_webhook(transaction: "Writing", account: int, identifier: int) -> None:
    """Remove an endpoint for good. Raises Refused when the account has no such endpoint."""
    (name,) = _row(transaction, account, identifier, "name")
    transaction.run("UPDATE webhook SET state = 'deleted' WHERE id = ?", (identifier,))
    transaction.audit("webhook.removed", f"webhook {name}", account=account)


def rotate_secret(
    transaction: "Writing", account: int, identifier: int, secret: str, overlap_ms: int
) -> None:
    """Put a new secret in front; the one before it signs as well for `overlap_ms` more. Raises Refused."""
    name, column = _row(transaction, account, identifier, "name, secrets_sealed")
    kept = unsealed(transaction.sealer, account, name, column)
    transaction.run(
        "UPDATE webhook SET secrets_sealed = ? WHERE id = ?",
        (
            sealed(transaction.sealer, account, name, rotated(kept, secret, transaction.at, overlap_ms)),
            identifier,
        ),
    )
    transaction.audit("webhook.rotated", f"webhook {name}", account=account, overlap_ms=overlap_ms)


def end_overlap(transaction: "Writing", now_ms: int) -> bool:
    """Forget secrets whose time is over; True if there were any."""
    found = False
    for identifier, account, name, column in transaction.run(
        "SELECT id, account_id, name, secrets_sealed FROM webhook WHERE state <> 'deleted'"
    ).fetchall():
        kept = unsealed(transaction.sealer, account, name, column)
        good = [one for one in kept if one.until_ms > now_ms]
        if len(good) < len(kept):
            found = True
            transaction.run(
                "UPDATE webhook SET secrets_sealed = ? WHERE id = ?",
                (sealed(transaction.sealer, account, name, good), identifier),
            )
    return found


def _row(transaction: "Writing", account: int, identifier: int, columns: str) -> Any:
    row = transaction.run(
        f"SELECT {columns} FROM webhook WHERE id = ? AND account_id = ? AND state <> 'deleted'",  # noqa: S608
        (identifier, account),
    ).fetchone()
    if row is None:
        raise Refused("webhook-gone", "There is no such endpoint.")
    return row
