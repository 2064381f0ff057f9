"""What lives as long as the console: the store, the daemon's operations, and a little memory of its own."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, TypeVar
from weakref import WeakValueDictionary

import msgspec
import structlog
import trio

from admin.background import Background
from admin.backoff import LoginBackoff
from admin.jobs import Jobs
from admin.live import LiveHub
from admin.operations import Live, Operations, RouteAnswer, TextFigures
from admin.proofs import HALF_S, ForAWhile, Half
from admin.setup import SetupLink
from admin.unsent import KEPT_S, Kept
from store import sessions
from store.config_db import ConfigStore

log = structlog.get_logger("console")

READS_AT_ONCE = 4
REMEMBERED_MAX = 5000
UNSENT_MAX = 200  # forms of at most 64 KiB
Result = TypeVar("Result")


class Flash(msgspec.Struct, frozen=True):
    """Something to tell at the top of the next page. `undo` is a path to post to, with `fields`."""

    text: str
    tone: str = "good"
    undo: str = ""
    fields: dict[str, str] = {}


class ConsoleOptions(msgspec.Struct, frozen=True):
    """What the configuration says of the console."""

    public_url: str = ""  # https address behind a proxy; "" is plain HTTP as asked
    trusted_proxies: tuple[str, ...] = ()
    second_factor: Literal["optional", "administrators", "everybody"] = "optional"  # who must have one
    review_allow_self: Literal["auto", "yes", "no"] = "auto"

    @property
    def secure(self) -> bool:
        return self.public_url.startswith("https://")


class Console:
    """Handed to every request as `View.console`."""

    def __init__(
        self,
        store: ConfigStore,
        operations: Operations,
        options: ConsoleOptions | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.store = store
        self.operations = operations
        self.options = options or ConsoleOptions()
        self.now = now
        self.wall_ms = wall_ms
        self.backoff = LoginBackoff()
        self.setup = SetupLink()
        self.half_sign_ins: ForAWhile[Half] = ForAWhile(HALF_S)
        self.unsent: ForAWhile[Kept] = ForAWhile(KEPT_S, UNSENT_MAX)
        self.new_secrets: ForAWhile[str] = ForAWhile(HALF_S * 3)  # an app may have to be installed first
        self.jobs = Jobs()
        self.hub: LiveHub = LiveHub(self, {})
        self.background = Background(self)
        self.app: Callable[..., Awaitable[None]] | None = None  # the pages themselves: a job asks one of them
        self._limiter = trio.CapacityLimiter(READS_AT_ONCE)
        self._flashes: OrderedDict[bytes, list[Flash]] = OrderedDict()
        self._done: OrderedDict[tuple[bytes, str], str] = OrderedDict()
        self._revealed: OrderedDict[tuple[int, str], int] = OrderedDict()
        self._locks: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()

    async def run(self) -> None:
        """What works beside the pages: preparations and jobs, until the console ends."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.jobs.run)
            nursery.start_soon(self.background.run)

    async def off_loop(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Run what blocks on the disk, or takes long, in a worker thread."""
        return await trio.to_thread.run_sync(call, *arguments, limiter=self._limiter)

    async def setup_path(self) -> str:
        """The path that makes the first administrator, "" if there is one."""

        def has_admin() -> bool:
            with self.store.reading() as connection:
                return sessions.has_admin(connection)

        if await self.off_loop(has_admin):
            return ""
        return f"/setup/{self.setup.make(self.now())}"

    def live(self) -> Live:
        """The daemon at this moment."""
        return msgspec.convert(self.operations.live(), Live, from_attributes=True)

    def route_of(self, number: int, sms_type: str) -> RouteAnswer:
        """Where a message to a number would go now."""
        found = self.operations.route_of(number, 0, sms_type)
        return msgspec.convert(found, RouteAnswer, from_attributes=True)

    @property
    def data(self) -> Path:
        """The data directory: tasks keep their recipients in it."""
        return self.store.path.parent

    def text_figures(self, text: str) -> TextFigures:
        """What a text costs, as the gateway's door will see it."""
        return msgspec.convert(self.operations.text_figures(text), TextFigures, from_attributes=True)

    def flash(self, session: bytes, flash: Flash) -> None:
        """Say something on that session's next page."""
        self._flashes.setdefault(session, []).append(flash)
        while len(self._flashes) > REMEMBERED_MAX:
            self._flashes.popitem(last=False)

    def take_flashes(self, session: bytes) -> list[Flash]:
        """What is to be said now."""
        return self._flashes.pop(session, [])

    def remember(self, session: bytes, token: str, location: str) -> None:
        """A form was done; sent once more, it only leads there again."""
        self._done[(session, token)] = location
        while len(self._done) > REMEMBERED_MAX:
            self._done.popitem(last=False)

    def done(self, session: bytes, token: str) -> str:
        """Where a form that is done already led, or ""."""
        return self._done.get((session, token), "")

    def reveal(self, user: int, what: str, until_ms: int) -> None:
        """From now on a person sees something unmasked, until a time; 0 ends it."""
        self._revealed[(user, what)] = until_ms
        while len(self._revealed) > REMEMBERED_MAX:
            self._revealed.popitem(last=False)

    def revealed_until(self, user: int, what: str) -> int:
        """Until when a person sees something unmasked, UTC ms; 0 for never."""
        return self._revealed.get((user, what), 0)

    def lock(self, cookie: str) -> trio.Lock:
        """Changes of one session come one after the other, so that a double click is two requests in a row."""
        found = self._locks.get(cookie)
        if found is None:
            found = self._locks[cookie] = trio.Lock()
        return found
