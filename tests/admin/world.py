"""A console to ask: a real store with a small tree of groups, a daemon that only counts, a client per person.

总公司 (1): sys (system administrator)
  a (2): adm, peer (administrators), usr
    deep (3): low
  b (4): sibling7
"""

import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from admin.app import create_app
from admin.console import Console, ConsoleOptions
from admin.operations import Account, Bind, Carrier, Live, RouteAnswer, TextFigures, WebhookNews
from filters.verdict import Reason
from store import groups_edit, imports, people_edit, quota, tasks
from store.config_db import ConfigStore
from store.model import Changes, Part, Receipt, State
from store.people import make_admin
from store.people_edit import Profile
from store.rules import canonical_number
from store.secrets import hash_password
from store.sessions import begin_session
from store.task_file import ROWS, UPLOAD, Pass, TaskFile, make_folder
from store.tasks import Counted, Draft, Input
from store.traffic import SqliteStore
from tests.store.config_world import apply
from tests.store.traffic_world import attempt, open_store, outcome, part

BASE = "http://console.test"
PASSWORD = "a right good password"
HASH = hash_password(PASSWORD)
GROUPS = {"root": 1, "a": 2, "deep": 3, "b": 4}
USERS = {"sys": 1, "adm": 2, "peer": 3, "usr": 4, "low": 5, "sibling7": 6}
TASKS = {"sys": 1, "adm": 2, "peer": 3, "usr": 4, "low": 5, "sibling7": 6}  # whose, in preview
IMPORTS = TASKS  # whose, with columns to be bound
SHOWN = (7, 8)  # usr's: one that was stopped, one in review
CARRIERS = """
[[carrier]]
name = "carrier-a"
host = "127.0.0.1"
port = 12775
system_id = "a"
password = "p"
[[route]]
prefix = "86"
carriers = ["carrier-a"]
[[account]]
user = "usr"
system_id = "usr-smpp"
password = "secret12"
[[account]]
user = "sibling7"
system_id = "sibling7-smpp"
password = "secret12"
[[word]]
text = "敏感"
[[blacklist]]
scope = "global"
numbers = ["8613800000000"]
"""


class Said(msgspec.Struct, frozen=True):
    """A receipt as its carrier wrote it."""

    stat: str = ""
    err: str = ""
    smsc_message_id: str = ""
    submit_date: str = ""
    done_date: str = ""
    text: str = ""


def _no_messages() -> SqliteStore:
    raise AssertionError


class FakeDaemon:
    """What the console needs of a daemon; counts what it was asked."""

    def __init__(self) -> None:
        self.reloads = 0
        self.used: dict[int, tuple[int, int]] = {}
        self.held: dict[int, int] = {}
        self.changed: list[int] = []
        self.limit = 100
        self.messages: SqliteStore | None = None
        self.open_messages: Callable[[], SqliteStore] = _no_messages
        self.rebound: list[int] = []
        self.seconds: list[tuple[int, int, int, int, int]] = []
        self.asked_days: list[tuple[int, int, Collection[int] | None]] = []
        self.days: tuple[dict[str, int], dict[str, int]] = ({}, {})

    async def reload(self) -> None:
        self.reloads += 1

    def live(self) -> Live:
        carrier = Carrier(
            "carrier-a", True, "window", "", 5, 100, 90, 12.5, {88: 1}, 1, 80, 10, 0, "dec",
            [Bind(1, "bound_trx", 5, 10, "127.0.0.1:12775")],
        )  # fmt: skip
        accounts = [Account(name, 1, 100, 2, 3, 4, 500) for name in ("usr-smpp", "sibling7-smpp")]
        return Live({}, False, "ok", 1, 2, 3.5, 0, 0, 0, 0, [carrier], accounts)

    async def reload_directory(self) -> None:
        self.reloads += 1

    def rebind(self, carrier: int) -> bool:
        self.rebound.append(carrier)
        return carrier == 1

    def throughput(self, since: int) -> list[tuple[int, int, int, int, int]]:
        return [second for second in self.seconds if second[0] > since]

    async def day_sums(
        self, from_minute: int, to_minute: int, accounts: Collection[int] | None
    ) -> dict[str, int]:
        self.asked_days.append((from_minute, to_minute, accounts))
        return self.days[len(self.asked_days) % 2]

    async def task_carriers(self, task: int) -> list[tuple[str, int, int, int, int]]:
        return [("carrier-a", 2, 2, 1, 1)]

    def balances(self) -> Mapping[int, tuple[int, int]]:
        return self.used

    def route_of(self, number: int, account: int, sms_type: str) -> RouteAnswer:
        return RouteAnswer("86", "carrier-a", True) if str(number).startswith("86") else RouteAnswer()

    def canonical_number(self, text: str) -> int:
        return canonical_number(text)

    def text_figures(self, text: str) -> TextFigures:
        masked = text.replace("敏感", "**")
        action = next(
            (word for word in ("reject", "review") if word in text), "mask" if masked != text else ""
        )
        pieces = [(text, False)]
        return TextFigures(
            masked,
            "ucs2",
            len(text),
            70 - len(text) % 70,
            1 + len(text) // 70,
            [],
            pieces,
            action,
            ["敏感"] if action else [],
        )

    def sender_allowed(self, account: str, sender: str) -> bool:
        return sender != "FORBIDDEN"

    def home_country(self) -> str:
        return "86"

    def reserve(self, task: int, user: int, parts: int) -> bool:
        used, reserved = self.used.get(user, (0, 0))
        if task in self.held or parts > self.limit - used - reserved:
            return False
        self.held[task] = parts
        self.used[user] = (used, reserved + parts)
        return True

    def release(self, task: int) -> None:
        self.held.pop(task, None)

    def task_changed(self, task: int) -> None:
        self.changed.append(task)

    def task_rate(self, task: int) -> float:
        return 12.5

    async def choose_numbers(self, task: int, wanted: str, target: Path) -> int:
        target.write_text("8613700000001\n8613700000002\n")
        return 2

    async def failures(self, task: int) -> Mapping[tuple[int, int, bool], int]:
        return {(State.FAILED, 27, True): 3, (State.FAILED, 0x58, False): 2, (0, Reason.NO_ROUTE, False): 1}

    # -- what was sent ----------------------------------------------------------------------------

    def traffic(self) -> SqliteStore:
        """The messages; the store is opened when somebody asks."""
        if self.messages is None:
            self.messages = self.open_messages()
        return self.messages

    def message_text(self, parts: Sequence[Part]) -> str:
        return "".join(part.body.decode() for part in parts)

    def message_needles(self, text: str) -> tuple[bytes, ...]:
        return (text.encode(),)

    def receipt_said(self, receipt: Receipt) -> Said:
        return Said(
            stat="UNDELIV", err=f"{receipt.error:03}", done_date="2311142214", text=receipt.raw.decode()
        )

    def message_number(self, text: str) -> int:
        digits = text.removeprefix("msg_")
        return int(digits) if len(digits) == 19 and digits.isdecimal() else 0

    def shown_message_id(self, message_id: int) -> str:
        return f"msg_{message_id}"

    async def webhook_news(self, account: int, events: Sequence[int]) -> list[WebhookNews]:
        return [WebhookNews("hook", event, "again", 3, 500, "", clock.at + 5000) for event in events]

    def route_title(self, route: int) -> str:
        return "86"


class Person:
    """A signed-in (or anonymous) browser."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.get(path, **options)

    async def token(self, path: str = "/login") -> str:
        """The token of the forms on a page."""
        page = await self.client.get(path)
        found = re.search(r'name="csrf" content="(\w+)"', page.text)
        assert found, page.text
        return found[1]

    async def post(
        self, path: str, fields: Mapping[str, Any] | None = None, *, page: str = "/me"
    ) -> httpx.Response:
        """Send a form as the page would."""
        return await self.client.post(path, data={"_csrf": await self.token(page), **(fields or {})})


class World:
    """The console and its parts, with clocks that tests turn."""

    def __init__(self, store: ConfigStore, options: ConsoleOptions | None = None) -> None:
        self.store = store
        self.daemon = FakeDaemon()
        self.now = 0.0
        self.console = Console(store, self.daemon, options, now=lambda: self.now, wall_ms=lambda: clock.at)
        self.app = create_app(self.console)

    def session(self, login: str) -> str:
        """A new session of somebody; gives its id."""
        session_id = f"session-{login}-{len(login)}-{clock.at}"
        with self.store.writing("test") as write:
            write.run("DELETE FROM console_session WHERE user_id = ?", (USERS[login],))
            begin_session(write, session_id, USERS[login], address="127.0.0.1", agent="test")
        return session_id

    @asynccontextmanager
    async def person(self, login: str = "", *, address: str = "192.0.2.1") -> AsyncIterator[Person]:
        """Somebody's browser; "" is a stranger's."""
        transport = httpx.ASGITransport(app=self.app, client=(address, 40000))  # type: ignore[arg-type]
        cookies = {"sid": self.session(login)} if login else {}
        async with httpx.AsyncClient(transport=transport, base_url=BASE, cookies=cookies) as client:
            client.headers["accept-language"] = "en"
            yield Person(client)

    def audit(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        """(actor, action, target, detail) of everything that was written down."""
        with self.store.reading() as connection:
            rows = connection.execute("SELECT actor, action, target, detail FROM audit ORDER BY id")
            return [(*row[:3], msgspec.json.decode(row[3])) for row in rows]


# Each person's message, and their account's: `console:LOGIN`, numbered as the tasks were made.
MESSAGE_SECOND = 1_700_000_000
MESSAGES = {login: (MESSAGE_SECOND << 30) | number for login, number in USERS.items()}


def messages_of(world: "World", path: Path) -> SqliteStore:
    """A message of everybody; usr's was refused, the others are delivered."""
    with world.store.reading() as connection:
        accounts = dict(connection.execute("SELECT system_id, id FROM account").fetchall())
    store = open_store(path, now_ms=clock.at)
    parts = [
        part(id=MESSAGES[login], account=accounts[f"console:{login}"], dest=8613700000000 + number,
             body=f"text of {login}".encode(), registered_delivery=1, task=7 if login == "usr" else 0)
        for login, number in USERS.items()
    ]  # fmt: skip
    store.apply(Changes(parts=parts))
    store.apply(
        Changes(attempts=[attempt(one, status=0x58 if one.id == MESSAGES["usr"] else 0) for one in parts])
    )
    store.apply(
        Changes(
            outcomes=[
                outcome(one, State.FAILED, 0x58) if one.id == MESSAGES["usr"] else outcome(one)
                for one in parts
            ]
        )
    )
    return store


class Clock(msgspec.Struct):
    at: int = 1_700_000_000_000


clock = Clock()


@contextmanager
def world(path: Path, options: ConsoleOptions | None = None) -> Iterator[World]:
    """The tree above, everybody with the same password and some parts."""
    clock.at = Clock().at
    with ConfigStore.open(path, wall_ms=lambda: clock.at) as store:
        with store.writing("test") as write:
            make_admin(write, "sys", HASH, first_group="总公司")
            for parent, name in ((1, "a"), (2, "deep"), (1, "b")):
                groups_edit.create_group(write, parent, name)
            for group, parts in ((2, 1000), (4, 500), (3, 300)):
                quota.topup_group(write, group, parts)
            for login, group, parts in (
                ("adm", 2, 0), ("peer", 2, 0), ("usr", 2, 100), ("low", 3, 50), ("sibling7", 4, 70),
            ):  # fmt: skip
                user = people_edit.create_user(write, login, group, Profile(), HASH, parts=parts)
                assert user == USERS[login]
                people_edit.set_password(write, user, HASH, temporary=False)
            for login in ("adm", "peer"):
                people_edit.set_role(write, USERS[login], "admin", by=1)
            for login in (*TASKS, *["usr"] * len(SHOWN)):
                tasks.create_task(
                    write,
                    USERS[login],
                    Draft(f"task of {login}", "text", "text", 1),
                    Input(typed=True),
                    stage="ready",
                )
            for login in IMPORTS:
                imports.create_import(
                    write, USERS[login], "contacts", "list.csv", {"group": "friends", "doubles": "skip"}
                )
        apply(store, CARRIERS)
        for identifier in IMPORTS.values():
            (imports.make_folder(path, identifier) / UPLOAD).write_bytes(b"13800138001\n")
        for task in (*TASKS.values(), *SHOWN):
            file = TaskFile.make(make_folder(path, task) / ROWS)
            file.add_recipients([(1, 8613700000001, 0), (2, 8613700000002, 0)])
            file.add_blocked([(None, 0, 3, "abc", 0, "invalid", "letters")])
            file.finish()
        with TaskFile.open(make_folder(path, SHOWN[0]) / ROWS, writes=True) as file:
            file.record(Pass(1, 1, MESSAGES["usr"], MESSAGES["usr"], 1, clock.at), [])
        with store.writing("test") as write:
            counts = [Counted("typed", "valid", "", 2), Counted("typed", "invalid", "letters", 1)]
            for task in (*TASKS.values(), *SHOWN):
                tasks.set_prepared(write, task, 3, 2, counts)
            write.run("UPDATE task SET state = 'finished', outcome = 'stopped', started_at = 1 WHERE id = 7")
            write.run("UPDATE task SET state = 'review' WHERE id = 8")
        made = World(store, options)
        made.daemon.open_messages = lambda: messages_of(made, path)
        yield made
        if made.daemon.messages is not None:
            made.daemon.messages.close()
