"""Live figures for open pages: one stream a page view, a few named topics in it, and no queue at all.

A page says which topics it shows. Once a second the figures of all topics that anybody watches are made, once for
everybody who sees the same; a stream then sends what differs from what it sent last. A browser that reads slowly is
waited for and gets the newest figures next, so nothing piles up for it. With the figures the hub reads whose session
goes on, for all streams at once: who is signed out or disabled hears so within a second.
"""

import traceback
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
import trio

from admin.permissions import Role, may
from store import sessions

if TYPE_CHECKING:
    import sqlite3

    from admin.console import Console
    from admin.operations import Live
    from admin.view import View

log = structlog.get_logger("console")

FRAMES_SHOWN = 4
TICK_S = 1.0
HEARTBEAT_S = 15.0
STREAMS_A_USER_MAX = 4  # browsers open six connections to a host over HTTP/1.1: two are left for pages
STREAMS_MAX = 200
SECONDS_KEPT = 900
RETRY_MS = 2000
TOPICS_A_PAGE_MAX = 8
ARGUMENTS_MAX = 200  # rows of a list

Figures = dict[str, Any]  # text, [text, tone], number or rows, by name
Scope = tuple[Any, ...]


class Moment(msgspec.Struct, frozen=True):
    """The daemon now: figures are made from it off its loop."""

    live: "Live"
    seconds: Sequence[tuple[int, int, int, int, int]]  # the chart's


class Topic(msgspec.Struct, frozen=True):
    """Something that pages show live.

    figures: made in a worker on a snapshot of config.db.
    scope: who sees the same figures; made once for all of them.
    about: the topic takes ids of tasks ("tasks:7,8").
    """

    name: str
    permission: str
    figures: Callable[["View", Moment, "sqlite3.Connection", tuple[int, ...]], Figures]
    scope: Callable[["View"], Scope]
    about: bool = False


class Watch(msgspec.Struct, frozen=True):
    """A topic as one viewer watches it."""

    topic: str
    arguments: tuple[int, ...]
    scope: Scope


class Snapshot(msgspec.Struct):
    """The figures of a watch; `version` is the tick at which each came to what it is."""

    figures: Figures
    version: dict[str, int]


class TooMany(Exception):
    """No stream for this page: it asks now and then instead."""


def by_user(view: "View") -> Scope:
    """Everybody sees their own."""
    return (view.me.id, view.language)


def by_reach(view: "View") -> Scope:
    """Administrators of one group see the same; the system's all do; a user their own."""
    if view.role == Role.SYSTEM:
        return ("system", view.language)
    return (view.role, view.me.group if view.role == Role.ADMIN else view.me.id, view.language)


def read_watches(view: "View", asked: Iterable[str], topics: Mapping[str, Topic]) -> list[Watch]:
    """What a page asks for ("counters", "tasks:7,8"), less what its viewer may not see or nobody knows."""
    watches = []
    for one in list(asked)[:TOPICS_A_PAGE_MAX]:
        name, _, ids = one.partition(":")
        topic = topics.get(name)
        if topic is None or not may(view.viewer, topic.permission):
            continue
        arguments = tuple(int(i) for i in ids.split(",") if i.isdecimal() and len(i) < 18)[:ARGUMENTS_MAX]
        watches.append(Watch(name, arguments if topic.about else (), topic.scope(view)))
    return list(dict.fromkeys(watches))


class LiveHub:
    """One for the console."""

    def __init__(self, console: "Console", topics: Mapping[str, Topic]) -> None:
        self.console = console
        self.topics = topics
        self._open: dict[object, tuple[View, list[Watch]]] = {}
        self._users: Counter[int] = Counter()
        self._snapshots: dict[Watch, Snapshot] = {}
        self._ended: set[bytes] = set()
        self._tick = -1
        self._busy = trio.Lock()
        self._rings: dict[Scope, Ring] = {}

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._open)

    def ring(self, scope: Scope) -> "Ring":
        """What went through lately, for those who see the same; forgotten when nobody has looked for long."""
        ring = self._rings.setdefault(scope, Ring())
        ring.looked_at = self._tick
        for gone in [key for key, one in self._rings.items() if one.looked_at < self._tick - SECONDS_KEPT]:
            del self._rings[gone]
        return ring

    def moment(self) -> Moment:
        """The daemon now. On the event loop."""
        return Moment(self.console.live(), self.console.operations.throughput(0))

    # -- one stream -------------------------------------------------------------------------------

    def enter(self, view: "View", watches: list[Watch]) -> object:
        """A place for a stream. Raises TooMany."""
        if len(self._open) >= STREAMS_MAX or self._users[view.me.id] >= STREAMS_A_USER_MAX:
            raise TooMany
        place = object()
        self._open[place] = (view, watches)
        self._users[view.me.id] += 1
        return place

    def leave(self, place: object) -> None:
        """The stream is over; again is fine."""
        found = self._open.pop(place, None)
        if found is None:
            return
        user = found[0].me.id
        self._users[user] -= 1
        if not self._users[user]:
            del self._users[user]
        if not self._open:
            self._snapshots.clear()
            self._ended.clear()

    async def stream(self, place: object, since: int) -> AsyncGenerator[bytes, None]:
        """The octets of one stream, from the newest figures on.

        Args:
          since: the second (UTC) up to which the page has the chart's; 0 for none.
        """
        view, watches = self._open[place]
        session = view.me.session
        seen = dict.fromkeys(watches, -1)
        quiet_since = trio.current_time()
        try:
            yield b"retry: %d\n\n" % RETRY_MS
            while True:
                await self.refresh()
                if session in self._ended:
                    yield b"event: end\ndata: {}\n\n"
                    return
                out = b""
                for watch in watches:
                    changed = self.changed(watch, seen[watch])
                    seen[watch] = self._tick
                    ticks = changed.pop("ticks", None)
                    if ticks is not None and (new := [row for row in ticks if row[0] > since]):
                        since = new[-1][0]
                        out += b"event: ticks\nid: %d\ndata: %s\n\n" % (since, msgspec.json.encode(new))
                    if changed:
                        out += b"event: figures\ndata: %s\n\n" % msgspec.json.encode(changed)
                now = trio.current_time()
                if out:
                    quiet_since = now
                    yield out
                elif now - quiet_since >= HEARTBEAT_S:
                    quiet_since = now
                    yield b": still here\n\n"
                await trio.sleep_until((self._tick + 1) * TICK_S)
        finally:
            self.leave(place)

    def changed(self, watch: Watch, since: int) -> Figures:
        """Figures of a watch that changed after a tick."""
        snapshot = self._snapshots.get(watch)
        if snapshot is None:
            return {}
        return {name: value for name, value in snapshot.figures.items() if snapshot.version[name] > since}

    # -- once a second ----------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Make the figures of this second, if nobody has yet."""
        async with self._busy:
            tick = int(trio.current_time() / TICK_S)
            if tick <= self._tick and all(w in self._snapshots for _, ws in self._open.values() for w in ws):
                return
            self._tick = max(tick, self._tick)
            wanted: dict[Watch, View] = {}
            viewers: dict[bytes, View] = {}
            for view, watches in self._open.values():
                viewers.setdefault(view.me.session, view)
                for watch in watches:
                    wanted.setdefault(watch, view)
            made, ended = await self._make(wanted, viewers)
            for gone in [watch for watch in self._snapshots if watch not in wanted]:
                del self._snapshots[gone]
            for watch, figures in made.items():
                self._take(watch, figures)
            self._ended = ended

    async def _make(
        self, wanted: Mapping[Watch, "View"], viewers: Mapping[bytes, "View"]
    ) -> tuple[dict[Watch, Figures], set[bytes]]:
        console = self.console
        moment, now_ms = self.moment(), console.wall_ms()

        def read() -> tuple[dict[Watch, Figures], set[bytes]]:
            with console.store.reading() as connection:
                ended = {
                    session
                    for session, view in viewers.items()
                    if not _goes_on(view, sessions.viewer(connection, session, now_ms))
                }
                return {
                    watch: self._figures(watch, view, moment, connection)
                    for watch, view in wanted.items()
                    if view.me.session not in ended
                }, ended

        return await console.off_loop(read)

    def _figures(
        self, watch: Watch, view: "View", moment: Moment, connection: "sqlite3.Connection"
    ) -> Figures:
        """The figures of one watch; a fault in them is ours and costs nobody else theirs."""
        try:
            return self.topics[watch.topic].figures(view, moment, connection, watch.arguments)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)[-FRAMES_SHOWN:]
            where = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
            log.error("figures of a page failed", topic=watch.topic, error=type(error).__name__, where=where)
            return {}

    def _take(self, watch: Watch, figures: Figures) -> None:
        before = self._snapshots.get(watch)
        if before is None:
            self._snapshots[watch] = Snapshot(figures, dict.fromkeys(figures, self._tick))
            return
        version = {
            name: before.version[name] if before.figures.get(name, _NOTHING) == value else self._tick
            for name, value in figures.items()
        }
        self._snapshots[watch] = Snapshot(figures, version)

    async def figures_now(self, view: "View", watches: list[Watch]) -> Figures:
        """The same for a page that cannot stream and asks."""
        made, _ = await self._make(dict.fromkeys(watches, view), {})
        return {name: value for figures in made.values() for name, value in figures.items()}


_NOTHING = object()


def _goes_on(view: "View", now: sessions.Viewer | None) -> bool:
    """Whether a viewer is who they were when the page was made; what they merely prefer may differ."""
    me = view.me
    return now is not None and (now.role, now.group, now.at_root, now.password_temporary) == (
        me.role,
        me.group,
        me.at_root,
        me.password_temporary,
    )


class Ring:
    """What went through in each second for those who see only some accounts; sampled while somebody looks."""

    def __init__(self) -> None:
        self.seconds: deque[tuple[int, int, int, int, int]] = deque(maxlen=SECONDS_KEPT)
        self._before: tuple[int, int] | None = None
        self.looked_at = 0

    def sample(
        self, at: int, accepted: int, delivered: int, waiting: int
    ) -> list[tuple[int, int, int, int, int]]:
        """Counters now; gives the seconds so far: (second, accepted, 0, delivered, waiting)."""
        before, self._before = self._before, (accepted, delivered)
        if before is not None and not (self.seconds and at <= self.seconds[-1][0]):
            self.seconds.append((at, max(0, accepted - before[0]), 0, max(0, delivered - before[1]), waiting))
        return list(self.seconds)
