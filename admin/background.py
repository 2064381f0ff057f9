"""Jobs that outlive a page: exports, imports. Their rows are in `store/jobs.py`; here is who runs them.

A `Kind` says what a job does; `admin/job_kinds.py` names them all. A page calls `begin`; the work gets a `Run`, in
which it says how far it is and finds its folder. What ran when the daemon ended is marked interrupted at the next
start, and can be tried again; what only waited begins then.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import structlog
import trio

from admin.i18n import N_
from admin.refusals import SENTENCES
from store import jobs
from store.config_db import Writing
from store.files import StoreError
from store.jobs import JobRow
from store.refusals import Refused
from store.trash import sweep_trash

if TYPE_CHECKING:
    from admin.console import Console

log = structlog.get_logger("console")

AT_ONCE = 2
PROGRESS_WRITTEN_S = 5.0
SWEEP_S = 3600.0
NEWS_MAX = 20  # of one person who does not come back
BROKEN = N_("It failed for a reason that is ours; the log has it. Try again.")
Value = TypeVar("Value")


class JobFailed(Exception):
    """The work cannot be done. `text` is marked with `N_`, and tells its owner why and what to do."""

    def __init__(self, text: str, **values: object) -> None:
        super().__init__(text)
        self.text = text
        self.values = values


class Done(msgspec.Struct, frozen=True):
    """What came of a job.

    Args:
      counts: figures for people, by marked words.
      result: a file in the job's folder, to be fetched for seven days as `name`; "" for none.
    """

    counts: Mapping[str, int] = {}
    result: str = ""
    name: str = ""


class Run:
    """A job while it runs. `told` may be called from any thread; the rest belongs to the event loop."""

    def __init__(self, console: "Console", job: JobRow) -> None:
        self.console = console
        self.job = job
        self.folder = jobs.make_folder(console.data, job.id)
        self.done = 0
        self.total = job.total
        self.stopped = False  # somebody cancelled: a thread that works long looks at it
        self.scope = trio.CancelScope()
        self.over = trio.Event()

    def orders(self, kind: type[Value]) -> Value:
        """What `begin` was given."""
        return msgspec.json.decode(self.job.orders, type=kind)

    def told(self, done: int, total: int = 0) -> None:
        """So many rows are done, of so many; 0 is not known."""
        self.done = done
        self.total = total or self.total

    async def write(self, call: Callable[[Writing], Value]) -> Value:
        """`call` in one write transaction under the owner's name."""

        def run() -> Value:
            with self.console.store.writing(f"console:{self.job.login}", job=self.job.id) as transaction:
                return call(transaction)

        return await self.console.off_loop(run)


class Kind(msgspec.Struct, frozen=True):
    """A kind of job. `name` begins with "export" or "import"; `title` is marked."""

    name: str
    title: str
    work: Callable[[Run], Awaitable[Done]]
    resumes: bool = False  # goes on where it was cut short, by itself


class News(msgspec.Struct, frozen=True):
    """Something that a person is told on the next page."""

    text: str
    values: Mapping[str, object]
    good: bool


class Background:
    """All jobs of the console. Without a nursery (`run`) a job is done while its page waits."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._kinds: dict[str, Kind] = {}
        self._running: dict[int, Run] = {}
        self._news: dict[int, list[News]] = {}
        self._nursery: trio.Nursery | None = None
        self._turn = trio.CapacityLimiter(AT_ONCE)
        self._sweepers: tuple[Callable[[Console], None], ...] = ()

    def learn(self, kinds: Mapping[str, Kind], sweepers: Sequence[Callable[["Console"], None]] = ()) -> None:
        """The kinds that there are, and what else is swept once an hour, in a worker."""
        self._kinds |= kinds
        self._sweepers = tuple(sweepers)

    def kinds(self) -> Mapping[str, Kind]:
        """By name."""
        return self._kinds

    async def run(self) -> None:
        """Where jobs live until the console ends; begins with what the last process left."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            with self._reported("jobs were not looked at"):
                cut_short = await self._read(lambda connection: jobs.jobs_in(connection, "running"))
                await self._write(jobs.interrupt_jobs)
                for old in cut_short:
                    kept = await self._read(lambda connection, old=old: jobs.read_job(connection, old))  # type: ignore[misc]
                    if kept is not None and kept.kind in self._kinds and self._kinds[kept.kind].resumes:
                        await self._write(lambda w, old=old: jobs.move_job(w, old, "retry"), _actor(kept))  # type: ignore[misc]
                for job in await self._read(lambda connection: jobs.jobs_in(connection, "waiting")):
                    nursery.start_soon(self._work, job)
            while True:
                with self._reported("old results were not removed"):
                    await self.sweep()
                await trio.sleep(SWEEP_S)

    async def begin(
        self,
        user: int,
        login: str,
        kind: str,
        title: str,
        orders: object,
        *,
        files: Mapping[str, Path] | None = None,
        address: str = "",
    ) -> int:
        """Make a job and start it; gives its id. It shows on the jobs page at once.

        Args:
          orders: a struct with all that the work needs (`Run.orders`), so that it can be done again.
          files: moved into the job's folder under these names before it starts.
          title: what people call it: a file's name, a list's.
        Raises Refused when that person has too many that are not over.
        """
        assert kind in self._kinds, kind

        def make() -> int:
            with self._console.store.writing(f"console:{login}", address=address) as transaction:
                job = jobs.create_job(transaction, user, kind, title, orders)
            folder = jobs.make_folder(self._console.data, job)
            for name, path in (files or {}).items():
                path.replace(folder / name)
            return job

        job = await self._console.off_loop(make)
        await self._start(job)
        return job

    async def retry(self, job: int, actor: str) -> bool:
        """Do it again with the same orders; False when it is not one that ended badly."""
        moved = await self._write(lambda w: jobs.move_job(w, job, "retry"), actor)
        if moved:
            await self._start(job)
        return moved

    async def cancel(self, job: int, actor: str) -> bool:
        """End it before its time; False when it is over already."""
        moved = await self._write(lambda w: jobs.move_job(w, job, "cancel"), actor)
        run = self._running.get(job)
        if moved and run is not None:
            run.stopped = True
            run.scope.cancel()
        return moved

    def progress(self, job: int) -> tuple[int, int] | None:
        """(done, total) of a job that runs now."""
        run = self._running.get(job)
        return (run.done, run.total) if run else None

    def take_news(self, user: int) -> list[News]:
        """What ended since that person last looked; told once."""
        return self._news.pop(user, [])

    async def sweep(self) -> None:
        """Drop the files of jobs that ended a week ago, and what was deleted a month ago."""
        console = self._console
        old = await self._read(lambda connection: jobs.outlived_jobs(connection, console.wall_ms()))
        if old:
            await console.off_loop(jobs.remove_folders, console.data, old)
            await self._write(lambda w: jobs.forget_files(w, old))
        await self._write(sweep_trash)
        for sweeper in self._sweepers:
            await console.off_loop(sweeper, console)

    # -- running --------------------------------------------------------------------------------------

    async def _start(self, job: int) -> None:
        if self._nursery is None:
            await self._work(job)
        else:
            self._nursery.start_soon(self._work, job)

    async def _work(self, identifier: int) -> None:
        if earlier := self._running.get(identifier):
            await earlier.over.wait()  # tried again while its thread still comes to its end
        async with self._turn:
            with self._reported("a job could not be kept", identifier):
                job = await self._read(lambda connection: jobs.read_job(connection, identifier))
                if job is None:
                    return
                actor = _actor(job)
                if await self._write(lambda w: jobs.move_job(w, identifier, "start"), actor):
                    try:
                        await self._do(job)
                    finally:
                        if run := self._running.pop(identifier, None):
                            run.over.set()

    @contextmanager
    def _reported(self, what: str, job: int = 0) -> Iterator[None]:
        """A disk that fails costs jobs, never the daemon."""
        try:
            yield
        except (StoreError, sqlite3.Error, OSError) as error:
            log.error(what, job=job, error=type(error).__name__)

    async def _do(self, job: JobRow) -> None:
        run = self._running[job.id] = Run(self._console, job)
        kind = self._kinds.get(job.kind)
        done: Done | None = None
        problem: tuple[str, Mapping[str, Any]] = (BROKEN, {})
        try:
            with run.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_progress, run)
                    if kind is None:
                        raise JobFailed(BROKEN)
                    done = await kind.work(run)
                    nursery.cancel_scope.cancel()
        except Exception as error:
            # A job must not take the console with it, whatever a file or a disk did to it.
            problem = self._problem(job, error)
        if run.stopped:
            return
        if done is not None:
            ended = done
            moved = await self._write(
                lambda w: jobs.move_job(
                    w, job.id, "finish", counts=ended.counts, done=run.done, result=ended.result,
                    result_name=ended.name,
                ),
                _actor(job),
            )  # fmt: skip
        else:
            moved = await self._write(
                lambda w: jobs.move_job(
                    w, job.id, "fail", error=problem[0], error_values=problem[1], done=run.done
                ),
                _actor(job),
            )
        if moved:
            self._tell(job, done is not None)

    def _problem(self, job: JobRow, error: BaseException) -> tuple[str, Mapping[str, Any]]:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, JobFailed):
            return error.text, error.values
        if isinstance(error, Refused) and error.code in SENTENCES:
            return SENTENCES[error.code], error.values
        if isinstance(error, StoreError):
            return "%(text)s", {"text": str(error)}
        log.error("a job failed", job=job.id, kind=job.kind, error=type(error).__name__)
        return BROKEN, {}

    def _tell(self, job: JobRow, good: bool) -> None:
        text = N_("“%(title)s” is ready: see Jobs.") if good else N_("“%(title)s” has failed: see Jobs.")
        news = self._news.setdefault(job.user, [])
        news.append(News(text, {"title": job.title}, good))
        del news[:-NEWS_MAX]

    async def _keep_progress(self, run: Run) -> None:
        written = (-1, -1)
        while True:
            await trio.sleep(PROGRESS_WRITTEN_S)
            now = (run.done, run.total)
            if now != written:
                await self._write(lambda w, at=now: jobs.set_progress(w, run.job.id, *at))  # type: ignore[misc]
                written = now

    async def _read(self, call: Callable[[Any], Value]) -> Value:
        def read() -> Value:
            with self._console.store.reading() as connection:
                return call(connection)

        return await self._console.off_loop(read)

    async def _write(self, call: Callable[[Writing], Value], actor: str = "gateway") -> Value:
        def write() -> Value:
            with self._console.store.writing(actor) as transaction:
                return call(transaction)

        return await self._console.off_loop(write)


def _actor(job: JobRow) -> str:
    return f"console:{job.login}"
