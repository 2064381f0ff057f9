"""The second level: the real SQLite stores, inline, in a directory of their own.

A crash is what a crash is: the files as they are at that instant, copied and opened by a new process, while the
old one's connections lead nowhere. Of a round that was written and not synced a power cut may leave a piece: then
the log's newest octets are, from some point on, those from before.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from store import audit
from store.config_db import ConfigStore
from store.directory import BlacklistScope
from store.document import parse_document
from store.model import Changes
from store.port import Applied
from store.traffic import SqliteStore
from tests.simulation.disk import OPTIONS
from tests.simulation.organisation import CARRIER_PASSWORD, CHEAP_HASH, GLOBAL, SMS_TYPE, Organisation
from tests.simulation.plan import Plan

# Small caches: a run opens and closes many files.
SMALL = msgspec.structs.replace(OPTIONS, cache_kib=512, checkpoint_rows=40)
IN_MEMORY = Path("/dev/shm")
ACTOR = "cli:operator"


class Directory:
    """Where a run keeps its files; in memory where the machine has such a file system."""

    def __init__(self) -> None:
        where = IN_MEMORY if IN_MEMORY.is_dir() else None
        self.path = Path(tempfile.mkdtemp(prefix="sluice-simulation-", dir=where))

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


class SqliteBackend:
    """`disk.py`'s Backend on files."""

    def __init__(self, directory: Directory, rng: Random) -> None:
        self._rng = rng
        self._base = directory
        self._process = 0
        self._abandoned: list[SqliteStore] = []
        self._closed = True
        self._free_octets = 1 << 40
        self.store: SqliteStore | None = None

    @property
    def directory(self) -> Path:
        return self._base.path / f"process-{self._process}"

    def open(self, now_ms: int) -> SqliteStore:
        self.store = SqliteStore.open(
            self.directory, now_ms=now_ms, options=SMALL, free_octets=lambda path: self._free_octets
        )
        self._closed = False
        return self.store

    def set_disk(self, state: str) -> None:
        self._free_octets = {"ok": 1 << 40, "low": 1 << 30, "critical": 1 << 20}[state]

    def newest_day(self) -> int:
        assert self.store is not None
        return self.store.days()[-1]

    def apply(self, changes: Changes) -> Applied:
        assert self.store is not None
        return self.store.apply(changes)

    def crash(self, written: Changes | None, torn: Changes | None = None) -> None:
        store = self.store
        if store is None or self._closed:
            return
        logs = {path.name: path.read_bytes() for path in self.directory.rglob("*-wal")}
        if written is not None or torn is not None:
            store.apply(written or torn or Changes())
        old = self.directory
        self._process += 1
        shutil.copytree(old, self.directory)
        if torn is not None:
            self._tear(logs)
        self._abandoned.append(store)
        self._closed = True

    def _tear(self, before: dict[str, bytes]) -> None:
        """Put the logs back to what they were from a random octet of the round on."""
        for path in sorted(self.directory.rglob("*-wal")):
            now, then = path.read_bytes(), before.get(path.name, b"")
            changed = [at for at, (a, b) in enumerate(zip(now, then, strict=False)) if a != b]
            if len(now) > len(then):
                changed += (len(then), len(now) - 1)
            if changed:
                # Not behind the last octet that is new: then the round would be whole, and nobody told.
                at = self._rng.randint(changed[0], changed[-1])
                path.write_bytes(now[:at] + then[at:])

    def close(self) -> None:
        if self.store is not None and not self._closed:
            self.store.close()
            self._closed = True

    def remove(self) -> None:
        self.close()
        for store in self._abandoned:
            store.close()
        self._base.remove()


class RealOrganisation(Organisation):
    """The organisation in a real `config.db`: what operators change is applied, and must be in the audit log."""

    def __init__(self, plan: Plan, directory: Directory, clock: Any) -> None:
        super().__init__(plan)
        self._wall_ms: Callable[[], int] = clock.before
        self.store = ConfigStore.open(directory.path / "config", wall_ms=lambda: self._wall_ms())
        self.changes_made = 0
        self._apply(self._document(plan))
        found = self.store.directory()
        self.carrier_ids = {carrier.name: carrier.id for carrier in found.carriers.values()}
        self.account_ids = {account.system_id: account.id for account in found.accounts.values()}
        self.user_of_account = {account.id: account.user for account in found.accounts.values()}
        self._directory = found
        self._wall_ms = clock.wall_ms

    def _document(self, plan: Plan) -> dict[str, list[dict[str, Any]]]:
        carriers, accounts = self._directory.carriers.values(), self._directory.accounts.values()
        return {
            "sms_type": [{"name": SMS_TYPE}],
            "group": [{"path": "all", "granted": "unlimited", "review": "trust"}],
            "carrier": [{**_plain(carrier), "password": CARRIER_PASSWORD} for carrier in carriers],
            "user": [
                {"login": f"user-{spec.name}", "group": "all", "limit": spec.limit} for spec in plan.accounts
            ],
            "account": [
                {**_plain(account), "user": f"user-{account.system_id}", "password_hash": CHEAP_HASH}
                for account in accounts
            ],
            "number": [
                {"address": number.address, "account": plan.accounts[number.account - 1].name}
                for number in self._directory.numbers.values()
            ],
            "route": [{"prefix": "", "carriers": [c.name for c in carriers], "policy": plan.settings.policy}],
            "word": [{"text": text} for text in plan.settings.words],
        }

    def _apply(self, document: dict[str, Any]) -> None:
        changes = self.store.apply(parse_document(document, "plan"), ACTOR)
        self.changes_made += sum(1 for change in changes if change.action != "unchanged")
        self._directory = self.store.directory()

    def directory(self) -> Any:
        return self.store.directory()

    def words(self) -> Any:
        return self.store.words()

    def blacklists(self) -> Any:
        return self.store.blacklists()

    def habits(self) -> Any:
        return self.store.habits()

    def set_habits(self, carrier: int, habits: dict[str, Any]) -> None:
        self.store.set_habits(carrier, habits)

    def consolidate(self, day: int, used: Any) -> None:
        self.store.consolidate(day, used)

    def consolidated_days(self) -> set[int]:
        return self.store.consolidated_days()

    def used(self) -> dict[int, int]:
        return self.store.used()

    def reading(self) -> Any:
        return self.store.reading()

    def writing(self, actor: str) -> Any:
        return self.store.writing(actor)

    def list_number(self, number: int) -> None:
        if self.store.blacklist_add(BlacklistScope(GLOBAL.kind, GLOBAL.key), [number], ACTOR):
            self.changes_made += 1

    def unlist_number(self, number: int) -> None:
        if self.store.blacklist_remove(BlacklistScope(GLOBAL.kind, GLOBAL.key), [number], ACTOR):
            self.changes_made += 1

    def change_carrier(self, name: str, **changes: Any) -> None:
        self._apply({"carrier": [{"name": name, **changes}]})

    def change_account(self, name: str, **changes: Any) -> None:
        self._apply({"account": [{"system_id": name, **changes}]})

    def top_up(self, name: str, parts: int) -> None:
        self.store.topup_user(self.user_of_account[self.account_ids[name]], parts, ACTOR)
        self.changes_made += 1
        self._directory = self.store.directory()

    def audit_problems(self) -> list[str]:
        """What is wrong with the audit log (I18)."""
        with self.store.reading() as connection:
            rows = connection.execute("SELECT count(*) FROM audit WHERE actor = ?", (ACTOR,))
            written: int = rows.fetchone()[0]
            problems = []
            if broken := audit.first_break(connection):
                problems.append(f"the chain of the audit log breaks at row {broken}")
            if written < self.changes_made:
                problems.append(f"{self.changes_made} changes by operators, {written} in the audit log")
        return problems

    def close(self) -> None:
        self.store.close()


def _plain(row: Any) -> dict[str, Any]:
    """The fields that a document may name, without those that hold their default."""
    fields = {field.name: field.default for field in msgspec.structs.fields(row)}
    values = {name: getattr(row, name) for name in fields if name not in ("id", "user", "password_hash")}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value != fields[name]
    }
