"""`sluice apply`: make `config.db` be as a document says, all of it or nothing, and say what changed.

Entries are taken kind by kind, those that others name first; what is removed goes last and backwards. Limits
and grants are set as written, in any order, and judged together at the end, so that parts can be moved from
one user to another in one document. Applying the same document again changes nothing and writes nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from store import apply_people, apply_rules, apply_webhooks, quota
from store.document import Document, DocumentError, Entry
from store.files import StoreError
from store.rules import unknown
from store.secrets import hash_password, password_matches

if TYPE_CHECKING:
    from store.config_db import Writing

Action = Literal["added", "changed", "removed", "unchanged"]
FieldChange = tuple[str, Any, Any]  # key, old, new


class Change(msgspec.Struct, frozen=True):
    """What applying did to one thing. `fields` are (key, old, new) of a change; secrets show as dots."""

    table: str
    name: str
    action: Action
    fields: tuple[FieldChange, ...] = ()


class Applying:
    """A document being applied in one transaction: names to ids, changes and problems so far."""

    def __init__(
        self,
        transaction: "Writing",
        document: Document,
        number: Callable[[str], int],
        in_flight: Mapping[int, int],
        hashes: Mapping[str, str],
    ) -> None:
        self.transaction = transaction
        self.document = document
        self.number = number
        self.in_flight = in_flight
        self.hashes = hashes
        self.changes: list[Change] = []
        self.problems: list[str] = []
        self.implied: set[int] = set()  # groups made because a path below them was declared
        self.unseated: Entry | None = None  # the entry that last took an administrator's rights
        self.raised: dict[int, Entry] = {}  # group id -> the entry that last raised what it has allocated

    def changed(
        self, entry: Entry, action: Action, fields: Iterable[FieldChange] = (), *, name: str | None = None
    ) -> None:
        """Report a change, and write it to the audit log unless nothing changed."""
        change = Change(entry.table, entry.name if name is None else name, action, tuple(fields))
        self.changes.append(change)
        if action != "unchanged":
            self.transaction.audit(
                f"apply.{action}",
                f"{change.table} {change.name}",
                fields=change.fields,
                file=self.document.source,
            )

    def update(self, entry: Entry, fields: Iterable[FieldChange], *, added: bool) -> bool:
        """Report what an upsert did; True if anything is to be written."""
        fields = tuple(fields)
        self.changed(entry, "added" if added else "changed" if fields else "unchanged", fields)
        return added or bool(fields)

    def problem(self, entry: Entry, key: str, text: str) -> None:
        """Remember what is wrong with an entry; the whole document is then refused."""
        self.problems.append(f"{self.document.where(entry, key)}: {text}.")

    def find(
        self, entry: Entry, key: str, table: str, column: str, name: str, where: str = "1"
    ) -> int | None:
        """The id of what an entry names; None, with the problem noted, if there is no such thing."""
        row = self.transaction.run(
            f"SELECT id FROM {table} WHERE {column} = ? AND {where}",  # noqa: S608
            (name,),
        ).fetchone()
        if row:
            return int(row[0])
        names = self.transaction.run(f"SELECT {column} FROM {table} WHERE {where}")  # noqa: S608
        self.problem(entry, key, unknown(WORDS.get(table, table), name, [known for (known,) in names]))
        return None


WORDS = {"user_group": "group"}  # tables whose name is not the document's


_UPSERTS: tuple[tuple[str, Callable[[Applying, Entry], None]], ...] = (
    ("sms_type", apply_rules.sms_type),
    ("carrier", apply_rules.carrier),
    ("group", apply_people.group),
    ("user", apply_people.user),
    ("account", apply_people.account),
    ("api_key", apply_people.api_key),
    ("webhook", apply_webhooks.webhook),
    ("template", apply_rules.template),
    ("number", apply_rules.number),
    ("route", apply_rules.route),
    ("word", apply_rules.word),
    ("blacklist", apply_rules.blacklist),
)
_REMOVALS: tuple[tuple[str, Callable[[Applying, Entry], None]], ...] = (
    ("blacklist", apply_rules.blacklist),
    ("word", apply_rules.remove_word),
    ("route", apply_rules.remove_route),
    ("number", apply_rules.remove_number),
    ("template", apply_rules.remove_template),
    ("webhook", apply_webhooks.remove_webhook),
    ("api_key", apply_people.remove_api_key),
    ("account", apply_people.remove_account),
    ("user", apply_people.remove_user),
    ("group", apply_people.remove_group),
    ("carrier", apply_rules.remove_carrier),
)


def apply_document(
    transaction: "Writing",
    document: Document,
    *,
    number: Callable[[str], int],
    in_flight: Mapping[int, int],
    hashes: Mapping[str, str],
) -> list[Change]:
    """Apply within the caller's transaction; the caller rolls back on any exception.

    Args:
      number: makes a blacklisted number canonical; raises ValueError with a sentence.
      in_flight: by user id, used and reserved parts of days that are not consolidated.
      hashes: by system_id, from `password_hashes`.
    Returns: one Change an entry, unchanged ones too, in the order of application.
    Raises DocumentError with every problem found.
    """
    work = Applying(transaction, document, number, in_flight, hashes)
    seated = _system_administrators(work)
    for table, upsert in _UPSERTS:
        entries = [entry for entry in document.of(table) if not entry.removed]
        if table == "group":
            entries.sort(key=lambda entry: entry.values["path"].count("/"))
        for entry in entries:
            upsert(work, entry)
    for table, remove in _REMOVALS:
        entries = [entry for entry in document.of(table) if entry.removed]
        if table == "group":
            entries.sort(key=lambda entry: -entry.values["path"].count("/"))
        for entry in entries:
            remove(work, entry)
    if not work.problems:
        _judge_grants(work)
        _judge_administrators(work, seated)
    if work.problems:
        raise DocumentError(work.problems)
    return work.changes


def password_hashes(document: Document, current: Mapping[str, str]) -> dict[str, str]:
    """The hash to store for each account that a document gives a password, by system_id.

    Args:
      current: stored hashes by system_id; one that matches is kept, so that nothing changes.
    Costs some 30 ms of CPU an account, on two threads: call it before the transaction, not inside.
    """

    def hash_of(entry: Entry) -> str:
        password, old = entry.values["password"], current.get(entry.values["system_id"], "")
        return old if old and password_matches(old, password) else hash_password(password)

    entries = [entry for entry in document.of("account") if "password" in entry.values and not entry.removed]
    with ThreadPoolExecutor(max_workers=2) as threads:
        return {
            entry.values["system_id"]: made
            for entry, made in zip(entries, threads.map(hash_of, entries), strict=True)
        }


def _system_administrators(work: Applying) -> int:
    count: int = work.transaction.run(
        "SELECT count(*) FROM user u JOIN user_group g ON g.id = u.group_id"
        " WHERE u.role = 'admin' AND u.state = 'active' AND g.parent IS NULL"
    ).fetchone()[0]
    return count


def _judge_administrators(work: Applying, seated: int) -> None:
    if seated and not _system_administrators(work):
        text = "this would leave no active administrator of a root group. Make another one first"
        if work.unseated is None:
            raise StoreError(f"{work.document.source}: {text}.")
        work.problem(work.unseated, "", text)


def _judge_grants(work: Applying) -> None:
    for identifier, path, granted, allocated in quota.over_allocated(work.transaction.connection):
        text = (
            f"group {path} is granted {granted} parts, and its users and child groups would have {allocated}."
            f" Grant the group {allocated - granted} more, or give less"
        )
        entry = work.raised.get(identifier)
        if entry is None:
            raise StoreError(f"{work.document.source}: {text}.")
        key = {"user": "limit", "group": "granted"}[entry.table]
        work.problem(entry, key, text)
