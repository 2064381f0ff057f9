"""The console's tasks in the daemon: which of them run, what they hold of their users' quota, when they end.

`config.db` says where a task stands; whoever moves one calls `changed`, and within the same second it stops, goes on
or starts. Without tasks nothing here wakes up.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog
import trio

from gateway.task_feed import Feed
from store import task_ledger, tasks
from store.config_db import ConfigStore
from store.files import StoreError
from store.refusals import Refused
from store.task_file import ROWS, Figures, TaskFile, folder_of, folders_in, remove_folder
from store.task_states import RESERVED
from store.tasks import TaskRow

if TYPE_CHECKING:
    from gateway.core import Core
    from gateway.quota import QuotaBook

log = structlog.get_logger("tasks")

EXECUTING_MAX = 8  # tasks at once; the others wait their turn
LOOK_S_MAX = 5.0  # between looks at a schedule: the wall clock may be put right
AFTERLIFE_MS = 5 * 86_400_000  # receipts of a finished task are counted this long
PREVIEW_KEPT_MS = 7 * 86_400_000  # a task that nobody confirms
SWEEP_S = 3600.0


class Held(msgspec.Struct):
    """Parts of a user's that a task will use. `sure` once the task is confirmed on disk."""

    user: int
    parts: int
    sure: bool = False


class TaskBook:
    """What tasks hold of quota: reserved in memory, known again at start from the tasks' positions."""

    def __init__(self, quota: "QuotaBook") -> None:
        self._quota = quota
        self.held: dict[int, Held] = {}

    def reserve(self, task: int, user: int, parts: int) -> bool:
        """Hold parts for a task; False when the user has not that many, or it holds some already."""
        if task in self.held or not self._quota.reserve(user, parts):
            return False
        self.held[task] = Held(user, parts)
        return True

    def hold(self, task: int, user: int, parts: int) -> None:
        """Hold parts that are the task's already: at start, or when the disk was full."""
        held = self.held.setdefault(task, Held(user, 0, sure=True))
        held.parts += parts
        self._quota.of(user).reserved += parts

    def take(self, task: int, parts: int) -> None:
        """So many are about to be reserved by messages instead."""
        held = self.held.get(task)
        if held is not None:
            parts = min(parts, held.parts)
            held.parts -= parts
            self._quota.of(held.user).reserved -= parts

    def release(self, task: int) -> None:
        """What is left is available again; again is fine."""
        held = self.held.pop(task, None)
        if held is not None:
            self._quota.of(held.user).reserved -= held.parts


class TaskRunner:
    """One for the daemon. `restore` before anything is accepted, then `run`."""

    def __init__(self, core: "Core", configuration: ConfigStore, data: Path) -> None:
        self.core = core
        self.data = data
        self.book = TaskBook(core.quota)
        self._configuration = configuration
        self._feeds: dict[int, Feed] = {}
        self._changed = trio.Event()

    # -- asked by the console ---------------------------------------------------------------------

    def reserve(self, task: int, user: int, parts: int) -> bool:
        """Hold a task's parts before it is confirmed; `changed` afterwards, or `release`."""
        return self.book.reserve(task, user, parts)

    def changed(self, task: int) -> None:
        """A task stands elsewhere now: act on it."""
        held = self.book.held.get(task)
        if held is not None:
            held.sure = True
        feed = self._feeds.get(task)
        if feed is not None:
            feed.look()
        self._changed.set()

    def rate(self, task: int) -> float:
        """Messages of a task that leave in a second, at the moment."""
        feed = self._feeds.get(task)
        return feed.rate if feed else 0.0

    # -- running ----------------------------------------------------------------------------------

    async def restore(self) -> None:
        """Hold again what tasks held when the process ended."""

        def read() -> list[tuple[TaskRow, int]]:
            with self._configuration.reading() as connection:
                rows = tasks.reserved_tasks(connection)
            return [(row, row.valid - self._position(row)) for row in rows]

        for row, left in await self.core.ports.off_loop(read):
            self.book.hold(row.id, row.user, left * row.parts_each)

    def _position(self, task: TaskRow) -> int:
        try:
            with TaskFile.open(folder_of(self.data, task.id) / ROWS) as file:
                position = file.position()
                last = file.last_pass()
        except StoreError:
            return task.valid  # its feed will say that the rows are lost
        # The last pass may turn out never to have been stored; its feed takes from here what it reserves.
        return last.first_row - 1 if last is not None and task.state in ("executing", "paused") else position

    async def run(self) -> None:
        """Start, end and feed tasks until cancelled."""
        for task in self._left_open():  # one small read, once
            await self.close_books(task, 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sweep)
            await self._resume_counting(nursery)
            while True:
                self._changed = trio.Event()
                wait_s = await self._look(nursery)
                with trio.move_on_after(wait_s):
                    await self._changed.wait()

    async def _look(self, nursery: trio.Nursery) -> float:
        """Do what is due; seconds until something may be."""
        rows: list[TaskRow] = await self._read_all(*RESERVED)
        now_ms = self.core.wall.believed_ms()
        wait_s = math.inf
        executing = sum(row.state == "executing" for row in rows)
        open_tasks = {row.id for row in rows}
        for row in rows:
            if row.end_at and row.end_at <= now_ms:
                await self.move(row.id, "expire")
                open_tasks.discard(row.id)
                continue
            due = row.state in ("executing", "paused")
            if row.state == "waiting" and row.start_at <= now_ms and executing < EXECUTING_MAX:
                user = self.core.directory.users.get(row.user)
                due = user is not None and user.state == "active" and await self.move(row.id, "start")
                executing += due
            if due:
                if row.id not in self._feeds:
                    self._start(row, nursery)
            elif row.state == "waiting":
                wait_s = min(wait_s, LOOK_S_MAX, max(0.0, (row.start_at - now_ms) / 1000) or LOOK_S_MAX)
            if row.end_at:
                wait_s = min(wait_s, LOOK_S_MAX, (row.end_at - now_ms) / 1000)
        for task in [task for task, held in self.book.held.items() if held.sure and task not in open_tasks]:
            self.book.release(task)
            if task not in self._feeds:  # a feed closes the books itself, when it has counted
                await self.close_books(task, 0)
        return wait_s

    def _start(self, row: TaskRow, nursery: trio.Nursery) -> None:
        feed = self._feeds[row.id] = Feed(self, row)

        async def run() -> None:
            try:
                await feed.run()
            finally:
                del self._feeds[row.id]
                self._changed.set()

        nursery.start_soon(run)

    async def _resume_counting(self, nursery: trio.Nursery) -> None:
        """Tasks that finished lately may have messages without an end."""
        since_ms = self.core.clock.wall_ms() - AFTERLIFE_MS
        for row in await self._read_all("finished"):
            if row.finished_at > since_ms and row.started_at and row.id not in self._feeds:
                self._start(row, nursery)

    async def _sweep(self) -> None:
        """Drop what nobody confirmed in a week, and folders of what was discarded along with its owner."""
        while True:
            before_ms = self.core.clock.wall_ms() - PREVIEW_KEPT_MS

            def read(before_ms: int = before_ms) -> list[int]:
                with self._configuration.reading() as connection:
                    return tasks.stale_previews(connection, before_ms)

            for task in await self.core.ports.off_loop(read):
                if await self.move(task, "discard"):
                    await self.core.ports.off_loop(remove_folder, self.data, task)
            await self.core.ports.off_loop(self._drop_folders)
            await trio.sleep(SWEEP_S)

    def _drop_folders(self) -> None:
        with self._configuration.reading() as connection:
            for task in tasks.discarded_among(connection, folders_in(self.data)):
                remove_folder(self.data, task)

    # -- config.db --------------------------------------------------------------------------------

    async def read(self, task: int) -> TaskRow:
        """A task as it stands."""

        def call() -> TaskRow:
            with self._configuration.reading() as connection:
                row = tasks.any_task(connection, task)
            assert row is not None, task
            return row

        found: TaskRow = await self.core.ports.off_loop(call)
        return found

    async def _read_all(self, *states: str) -> list[TaskRow]:
        def call() -> list[TaskRow]:
            with self._configuration.reading() as connection:
                return tasks.tasks_in(connection, states)

        found: list[TaskRow] = await self.core.ports.off_loop(call)
        return found

    async def move(self, task: int, name: str, note: str = "") -> bool:
        """A move of the system's own; False when somebody was faster."""

        def call() -> bool:
            try:
                with self._configuration.writing("gateway") as write:
                    tasks.move_task(write, task, name, note=note)
            except Refused:
                return False
            return True

        done: bool = await self.core.ports.off_loop(call)
        if done:
            log.info("task", task=task, move=name)
            feed = self._feeds.get(task)
            if feed is not None:
                feed.look()
            self._changed.set()
        return done

    async def fail(self, task: int, why: str) -> None:
        """A task that cannot go on."""
        log.error("a task failed", task=task, because=why)
        await self.move(task, "fail", why)

    def _left_open(self) -> list[int]:
        with self._configuration.reading() as connection:
            return task_ledger.left_open(connection)

    async def close_books(self, task: int, used: int) -> None:
        """The ledger says what a task used and what came back; again is fine."""
        row = await self.read(task)
        balance = self.core.quota.of(row.user)
        taken = balance.used + balance.reserved

        def call() -> None:
            with self._configuration.writing("gateway") as write:
                task_ledger.close(write, task, used, taken=taken)

        await self.core.ports.off_loop(call)

    async def keep_figures(self, task: int, figures: Figures) -> None:
        """For lists: what came of the messages so far."""

        def call() -> None:
            with self._configuration.writing("gateway") as write:
                failed = figures.failed + figures.refused
                tasks.set_figures(write, task, figures.delivered, failed, figures.parts_sent)

        await self.core.ports.off_loop(call)
