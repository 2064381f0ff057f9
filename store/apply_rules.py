"""Applying carriers, routes, numbers, words, SMS types and blacklists, for `store/apply.py`."""

import datetime as dt
from typing import TYPE_CHECKING

import msgspec

from store.config_read import carrier_context, carrier_password
from store.directory import Carrier, Route, Word
from store.document import HIDDEN, Entry
from store.files import StoreError
from store.rules import blacklist_add, blacklist_remove, parse_scope
from store.settings_json import merge_settings

if TYPE_CHECKING:
    from store.apply import Applying, FieldChange

BAD_NUMBERS_SHOWN_MAX = 5  # of a list of thousands of bad lines, the first few say enough


def sms_type(work: "Applying", entry: Entry) -> None:
    """Add an SMS type, or change its title. Its number is stored with each part, so it stays for good."""
    name, title = entry.values["name"], entry.values.get("title")
    row = work.transaction.run("SELECT title FROM sms_type WHERE name = ?", (name,)).fetchone()
    fields = [("title", row[0], title)] if row and title is not None and title != row[0] else []
    if work.update(entry, fields, added=row is None):
        work.transaction.run(
            "INSERT INTO sms_type (name, title) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET title = excluded.title",
            (name, title or ""),
        )


def carrier(work: "Applying", entry: Entry) -> None:
    """Add or change a carrier. Its password is sealed; without one in the entry the old one stays."""
    values = entry.values
    name = values["name"]
    row = work.transaction.run(
        "SELECT id, password_sealed, state, settings FROM carrier WHERE name = ? AND state <> 'deleted'",
        (name,),
    ).fetchone()
    identifier, sealed, old_state, old_settings = row or (0, None, "active", "{}")
    fields, settings = merge_settings(Carrier, old_settings, values, ("name", "password", "state", "remove"))
    if "password" in values and values["password"] != _password_or_none(work, name, sealed):
        fields.append(("password", HIDDEN, HIDDEN))
        sealed = work.transaction.sealer.seal(values["password"], carrier_context(name))
    state = values.get("state", old_state)
    if state != old_state:
        fields.append(("state", old_state, state))
    merged = {"mode": "client", **msgspec.json.decode(settings)}
    if merged["mode"] == "client" and not (merged.get("host") and merged.get("port")):
        return work.problem(entry, "", 'a carrier that we connect to needs "host" and "port". Add them')
    if not work.update(entry, fields, added=row is None):
        return None
    if row is None:
        work.transaction.insert(
            "INSERT INTO carrier (name, password_sealed, state, settings) VALUES (?, ?, ?, ?)",
            (name, sealed, state, settings),
        )
    else:
        work.transaction.run(
            "UPDATE carrier SET password_sealed = ?, state = ?, settings = ? WHERE id = ?",
            (sealed, state, settings, identifier),
        )
    return None


def route(work: "Applying", entry: Entry) -> None:
    """Add or change a route; prefix, sms_type and account together are its name."""
    values = entry.values
    account = None
    if values.get("account"):
        account = work.find(entry, "account", "account", "system_id", values["account"], "state <> 'deleted'")
        if account is None:
            return
    kind = values.get("sms_type", "")
    if kind and work.find(entry, "sms_type", "sms_type", "name", kind) is None:
        return
    row = _route_row(work, values["prefix"], kind, account)
    if row is None and "carriers" not in values:
        return work.problem(entry, "", 'a new route needs "carriers". Add them')
    old_carriers: list[str] = []
    old_weights: list[int] = []
    if row is not None:
        hops = work.transaction.run(
            "SELECT c.name, weight FROM route_carrier r JOIN carrier c ON c.id = r.carrier_id"
            " WHERE route_id = ? ORDER BY position",
            (row[0],),
        ).fetchall()
        old_carriers = [name for name, _ in hops]
        old_weights = [weight for _, weight in hops if weight is not None]
    old_policy = row[1] if row else Route(0).policy
    carriers = list(values.get("carriers", old_carriers))
    # Other carriers, no weights given: the old weights belonged to others.
    weights = list(values.get("weights", old_weights if carriers == old_carriers else ()))
    ids = [work.find(entry, "carriers", "carrier", "name", name, "state <> 'deleted'") for name in carriers]
    if None in ids:
        return
    policy = values.get("policy", old_policy)
    pairs = (
        ("carriers", old_carriers, carriers),
        ("weights", old_weights, weights),
        ("policy", old_policy, policy),
    )
    fields: list[FieldChange] = [pair for pair in pairs if pair[1] != pair[2]]
    if not work.update(entry, fields, added=row is None):
        return
    if row is None:
        identifier = work.transaction.insert(
            "INSERT INTO route (prefix, sms_type, account_id, policy) VALUES (?, ?, ?, ?)",
            (values["prefix"], kind, account, policy),
        )
    else:
        identifier = row[0]
        work.transaction.run("UPDATE route SET policy = ? WHERE id = ?", (policy, identifier))
        work.transaction.run("DELETE FROM route_carrier WHERE route_id = ?", (identifier,))
    work.transaction.connection.executemany(
        "INSERT INTO route_carrier (route_id, position, carrier_id, weight) VALUES (?, ?, ?, ?)",
        [(identifier, n, one, weights[n] if weights else None) for n, one in enumerate(ids)],
    )


def number(work: "Applying", entry: Entry) -> None:
    """Say which account owns inbound messages to a number or a prefix of numbers."""
    values = entry.values
    if "account" not in values:
        return work.problem(entry, "", '"account" is missing. Add it')
    owner = work.find(entry, "account", "account", "system_id", values["account"], "state <> 'deleted'")
    if owner is None:
        return None
    row = work.transaction.run(
        "SELECT a.id, a.system_id FROM number n JOIN account a ON a.id = n.account_id WHERE address = ?",
        (values["address"],),
    ).fetchone()
    fields = [("account", row[1], values["account"])] if row and row[0] != owner else []
    if work.update(entry, fields, added=row is None):
        work.transaction.run(
            "INSERT INTO number (address, account_id) VALUES (?, ?)"
            " ON CONFLICT (address) DO UPDATE SET account_id = excluded.account_id",
            (values["address"], owner),
        )
    return None


def template(work: "Applying", entry: Entry) -> None:
    """Add or change a template of a group; its name there says which."""
    values = entry.values
    group = work.find(entry, "group", "user_group", "path", values["group"], "state = 'active'")
    if group is None:
        return None
    row = _template_row(work, group, values["name"])
    if row is None and "text" not in values:
        return work.problem(entry, "", 'a new template needs "text". Add it')
    old_text, old_variables = (row[1], msgspec.json.decode(row[2])) if row else ("", [])
    text, variables = values.get("text", old_text), list(values.get("variables", old_variables))
    absent = next((name for name in variables if f"【{name}】" not in text), None)
    if absent is not None:
        return work.problem(
            entry, "variables", f"the text has no 【{absent}】. Put it there, or leave it out"
        )
    pairs = (("text", old_text, text), ("variables", old_variables, variables))
    if work.update(entry, [pair for pair in pairs if pair[1] != pair[2]], added=row is None):
        if row is None:
            work.transaction.insert(
                "INSERT INTO template (group_id, name, text, variables) VALUES (?, ?, ?, ?)",
                (group, values["name"], text, msgspec.json.encode(variables).decode()),
            )
        else:
            work.transaction.run(
                "UPDATE template SET text = ?, variables = ? WHERE id = ?",
                (text, msgspec.json.encode(variables).decode(), row[0]),
            )
    return None


def word(work: "Applying", entry: Entry) -> None:
    """Add or change a sensitive word."""
    values = entry.values
    row = work.transaction.run(
        "SELECT action, substring, category, note FROM word WHERE text = ?", (values["text"],)
    ).fetchone()
    default = Word(values["text"])
    names = ("action", "substring", "category", "note")
    old = dict(zip(names, row, strict=True)) if row else {key: getattr(default, key) for key in names}
    old["substring"] = bool(old["substring"])
    fields = [(key, old[key], values[key]) for key in names if key in values and values[key] != old[key]]
    if work.update(entry, fields, added=row is None):
        new = {key: values.get(key, old[key]) for key in names}
        work.transaction.run(
            "INSERT INTO word (text, action, substring, category, note) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (text) DO UPDATE SET action = excluded.action, substring = excluded.substring,"
            " category = excluded.category, note = excluded.note",
            (values["text"], *(new[key] for key in names)),
        )


def blacklist(work: "Applying", entry: Entry) -> None:
    """Add an entry's numbers to a list (or, with `remove`, take them off); others on it stay."""
    values = entry.values
    try:
        scope = parse_scope(work.transaction.connection, values["scope"])
    except StoreError as error:
        return work.problem(entry, "scope", str(error))
    numbers: list[int] = []
    bad: list[str] = []
    for text in map(str, values["numbers"]):
        try:
            numbers.append(work.number(text))
        except ValueError as error:
            bad.append(f'"{text}": {str(error).rstrip(".")}')
    if bad:
        more = f"; and {len(bad) - BAD_NUMBERS_SHOWN_MAX} more" if len(bad) > BAD_NUMBERS_SHOWN_MAX else ""
        shown = "; ".join(bad[:BAD_NUMBERS_SHOWN_MAX]) + more
        return work.problem(entry, "numbers", f"{shown}. Correct or remove them")
    note = values.get("note", "")
    if entry.removed:
        gone = blacklist_remove(work.transaction, scope, numbers, note=note)
        return work.changed(
            entry, "removed" if gone else "unchanged", (("numbers", len(gone), 0),) if gone else ()
        )
    expires_at = 0
    if values.get("expires"):
        expires_at = int(dt.datetime.fromisoformat(values["expires"]).timestamp() * 1000)
    source = values.get("source", "apply")
    new = blacklist_add(work.transaction, scope, numbers, source=source, note=note, expires_at=expires_at)
    return work.changed(entry, "added" if new else "unchanged", (("numbers", 0, len(new)),) if new else ())


def remove_word(work: "Applying", entry: Entry) -> None:
    """Take a word off the list."""
    done = work.transaction.run("DELETE FROM word WHERE text = ?", (entry.values["text"],))
    work.changed(entry, "removed" if done.rowcount else "unchanged")


def remove_template(work: "Applying", entry: Entry) -> None:
    """Nobody can send it any more."""
    found = work.transaction.run(
        "SELECT id FROM user_group WHERE path = ? AND state = 'active'", (entry.values["group"],)
    ).fetchone()
    row = _template_row(work, found[0], entry.values["name"]) if found else None
    if row is None:
        return work.changed(entry, "unchanged")
    work.transaction.run("UPDATE template SET state = 'deleted' WHERE id = ?", (row[0],))
    return work.changed(entry, "removed")


def _template_row(work: "Applying", group: int, name: str) -> tuple[int, str, str] | None:
    row: tuple[int, str, str] | None = work.transaction.run(
        "SELECT id, text, variables FROM template WHERE group_id = ? AND name = ? AND state = 'active'",
        (group, name),
    ).fetchone()
    return row


def remove_number(work: "Applying", entry: Entry) -> None:
    """Nobody owns the number any more."""
    done = work.transaction.run("DELETE FROM number WHERE address = ?", (entry.values["address"],))
    work.changed(entry, "removed" if done.rowcount else "unchanged")


def remove_route(work: "Applying", entry: Entry) -> None:
    """Remove a route; waiting messages that it chose keep their carrier."""
    values = entry.values
    account = None
    if values.get("account"):
        found = work.transaction.run(
            "SELECT id FROM account WHERE system_id = ? AND state <> 'deleted'", (values["account"],)
        ).fetchone()
        if found is None:
            return work.changed(entry, "unchanged")
        account = found[0]
    row = _route_row(work, values["prefix"], values.get("sms_type", ""), account)
    if row is None:
        return work.changed(entry, "unchanged")
    work.transaction.run("DELETE FROM route_carrier WHERE route_id = ?", (row[0],))
    work.transaction.run("UPDATE route SET state = 'deleted' WHERE id = ?", (row[0],))
    return work.changed(entry, "removed")


def remove_carrier(work: "Applying", entry: Entry) -> None:
    """Remove a carrier that no route uses; its password and habits go, its name in reports stays."""
    row = work.transaction.run(
        "SELECT id FROM carrier WHERE name = ? AND state <> 'deleted'", (entry.values["name"],)
    ).fetchone()
    if row is None:
        return work.changed(entry, "unchanged")
    used = work.transaction.run(
        "SELECT prefix FROM route JOIN route_carrier ON route_id = id WHERE carrier_id = ? LIMIT 1", row
    ).fetchone()
    if used:
        return work.problem(
            entry,
            "remove",
            f'the route with prefix "{used[0]}" uses it. Remove that route, or give it another',
        )
    work.transaction.run("UPDATE carrier SET state = 'deleted', password_sealed = NULL WHERE id = ?", row)
    work.transaction.run("DELETE FROM carrier_habit WHERE carrier_id = ?", row)
    return work.changed(entry, "removed")


def _route_row(work: "Applying", prefix: str, kind: str, account: int | None) -> tuple[int, str] | None:
    row: tuple[int, str] | None = work.transaction.run(
        "SELECT id, policy FROM route"
        " WHERE prefix = ? AND sms_type = ? AND account_id IS ? AND state = 'active'",
        (prefix, kind, account),
    ).fetchone()
    return row


def _password_or_none(work: "Applying", name: str, sealed: bytes | None) -> str | None:
    # A password that cannot be unsealed any more (another key file) is replaced by the one applied.
    try:
        return carrier_password(work.transaction.sealer, name, sealed)
    except StoreError:
        return None
