"""Who may send, through whom: the directory of a plan, as a `ConfigStore` that the daemon reads, and its operators.

Operators change it while everything runs. A change is acknowledged once the daemon has taken it in.
"""

import sqlite3
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import msgspec
from argon2 import PasswordHasher
from sqlite_utils import Database

from store.config_schema import config_migrations
from store.directory import Account, BlacklistScope, Carrier, Directory, Group, Number, Route, User, Word
from tests.simulation.plan import Plan

PASSWORD = "geheim-8"  # a canary as well: no log line may show it
CARRIER_PASSWORD = "geheim-c"
# The cheapest parameters there are: what is tested is who gets in, not how long a guess takes.
CHEAP_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(
    PASSWORD, salt=b"simulation-salt!"
)
SMS_TYPE = "api"
GLOBAL = BlacklistScope("global")


@lru_cache(maxsize=1)
def _empty_tables() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    config_migrations.apply(Database(connection))
    connection.execute("PRAGMA query_only = 1")
    return connection


class Organisation:
    """`store/config_db.py`'s ConfigStore as far as the daemon reads it."""

    def __init__(self, plan: Plan) -> None:
        self._version = 1
        self.carrier_ids = {spec.name: at for at, spec in enumerate(plan.carriers, 1)}
        self.account_ids = {spec.name: at for at, spec in enumerate(plan.accounts, 1)}
        self.user_of_account = {at: at for at in self.account_ids.values()}
        self.blacklist: set[int] = set()
        self._words = [Word(text) for text in plan.settings.words]
        self._used_by_day: dict[int, dict[int, int]] = {}
        self._habits: dict[int, dict[str, Any]] = {}
        carriers = {
            at: Carrier(
                id=at,
                name=spec.name,
                host=spec.name,
                port=2775,
                system_id=f"gw-{spec.name}",
                password=CARRIER_PASSWORD,
                mode=spec.mode,  # type: ignore[arg-type]
                bind=spec.bind,  # type: ignore[arg-type]
                binds=spec.binds,
                window=spec.window,
                rate=spec.rate,
                on_unknown=spec.on_unknown,  # type: ignore[arg-type]
                message_id=spec.message_id,  # type: ignore[arg-type]
                response_timeout_s=spec.response_timeout_s,
                enquire_link_s=spec.enquire_link_s,
                reconnect_s_min=0.5,
                reconnect_s_max=4.0,
            )
            for at, spec in enumerate(plan.carriers, 1)
        }
        self._directory = Directory(
            version=1,
            groups={1: Group(1, "all", unlimited=True, review="trust")},
            users={
                at: User(at, f"user-{spec.name}", 1, spec.limit) for at, spec in enumerate(plan.accounts, 1)
            },
            accounts={
                at: Account(
                    id=at,
                    user=at,
                    system_id=spec.name,
                    password_hash=CHEAP_HASH,
                    binds=len(spec.binds) + 1,
                    window=spec.window,
                    rate=spec.rate,
                    senders=spec.senders,
                    receipts=spec.receipts,  # type: ignore[arg-type]
                    priority=spec.priority,
                )
                for at, spec in enumerate(plan.accounts, 1)
            },
            carriers=carriers,
            routes={1: Route(1, "", tuple(carriers), policy=plan.settings.policy)},  # type: ignore[arg-type]
            numbers={at: Number(at, f"900{at}*", at) for at in self.account_ids.values()},
            sms_types={SMS_TYPE: 1},
        )

    # -- what the daemon reads --------------------------------------------------------------------

    def directory(self) -> Directory:
        return self._directory

    def words(self) -> list[Word]:
        return list(self._words)

    def blacklists(self) -> dict[BlacklistScope, "array[int]"]:
        return {GLOBAL: array("Q", sorted(self.blacklist))}

    def habits(self) -> dict[int, dict[str, Any]]:
        return dict(self._habits)

    def set_habits(self, carrier: int, habits: dict[str, Any]) -> None:
        self._habits[carrier] = habits

    def consolidate(self, day: int, used: Mapping[int, int]) -> None:
        self._used_by_day[day] = {user: parts for user, parts in used.items() if parts}

    def consolidated_days(self) -> set[int]:
        return set(self._used_by_day)

    def used(self) -> dict[int, int]:
        total: dict[int, int] = {}
        for users in self._used_by_day.values():
            for user, parts in users.items():
                total[user] = total.get(user, 0) + parts
        return total

    def add_word_hits(self, hits: Mapping[str, int]) -> None:
        """Nobody asks how often a word was found."""

    def blacklist_expire(self) -> int:
        """No entry here has an end."""
        return 0

    def audit_problems(self) -> list[str]:
        return []

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The tables of what the simulation does without (console tasks, webhooks), empty."""
        yield _empty_tables()

    def close(self) -> None:
        """Nothing to close: the real one has a file."""

    # -- what operators change --------------------------------------------------------------------

    def limit(self, user: int) -> int:
        return self._directory.users[user].limit

    def list_number(self, number: int) -> None:
        self.blacklist.add(number)

    def unlist_number(self, number: int) -> None:
        self.blacklist.discard(number)

    def change_carrier(self, name: str, **changes: Any) -> None:
        self._change("carriers", self.carrier_ids[name], changes)

    def change_account(self, name: str, **changes: Any) -> None:
        self._change("accounts", self.account_ids[name], changes)

    def top_up(self, name: str, parts: int) -> None:
        user = self.user_of_account[self.account_ids[name]]
        self._change("users", user, {"limit": self.limit(user) + parts})

    def _change(self, table: str, key: int, changes: dict[str, Any]) -> None:
        rows = dict(getattr(self._directory, table))
        rows[key] = msgspec.structs.replace(rows[key], **changes)
        self._version += 1
        self._directory = msgspec.structs.replace(self._directory, version=self._version, **{table: rows})
