"""Work that takes longer than a page: one child process each, with progress that survives a reload.

A job belongs to a key (`task 7`). Its process reads hostile files under limits of its own (`admin/prepare.py`); what
breaks in it becomes a sentence, never a failure of the console.
"""

import subprocess
import sys
from collections.abc import Awaitable, Callable

import msgspec
import structlog
import trio

from admin.prepare_lines import AnyOrder, Judged, Line, Progress, Refused, Seen

log = structlog.get_logger("console")

JOBS_AT_ONCE = 2
WALL_S_MAX = 600.0
LINE_OCTETS_MAX = 4_194_304


class Job(msgspec.Struct):
    """A job as pages see it. `error` is a code of `Unreadable`, "broken" or "cancelled"."""

    rows: int = 0
    share: float = 0.0
    error: str = ""
    running: bool = True
    scope: trio.CancelScope = msgspec.field(default_factory=trio.CancelScope)
    over: trio.Event = msgspec.field(default_factory=trio.Event)


class Jobs:
    """All jobs of the console. Without a nursery (`run`) a job is done while its page waits."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._nursery: trio.Nursery | None = None
        self._turn = trio.CapacityLimiter(JOBS_AT_ONCE)

    async def run(self) -> None:
        """Where jobs live until the console ends."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await trio.sleep_forever()

    def of(self, key: str) -> Job | None:
        """A job that runs, or ended with an error."""
        return self._jobs.get(key)

    def numbers(self, prefix: str) -> list[int]:
        """What stands behind this prefix in the keys of all that run or ended with an error."""
        return [int(key.removeprefix(prefix)) for key in self._jobs if key.startswith(prefix)]

    async def begin(self, key: str, work: Callable[[Job], Awaitable[str]]) -> None:
        """Let `work` run as the job of a key, unless it has one that runs.

        It gives the code of what went wrong, "" if all is well: then the job is forgotten.
        """
        known = self._jobs.get(key)
        if known is not None and known.running:
            return
        job = self._jobs[key] = Job()
        if self._nursery is None:
            await self._run(key, job, work)
        else:
            self._nursery.start_soon(self._run, key, job, work)

    async def _run(self, key: str, job: Job, work: Callable[[Job], Awaitable[str]]) -> None:
        try:
            with job.scope:
                job.error = await work(job)
            if job.scope.cancelled_caught:
                job.error = "cancelled"
        except Exception as error:
            # A job must not take the console with it, whatever a child or a disk did to it.
            log.error("a job failed", job=key, error=type(error).__name__)
            job.error = "broken"
        finally:
            job.running = False
            job.over.set()
        if not job.error and self._jobs.get(key) is job:
            del self._jobs[key]

    def cancel(self, key: str) -> bool:
        """Kill the process of a job; False when none runs."""
        job = self._jobs.get(key)
        if job is None or not job.running:
            return False
        job.scope.cancel()
        return True

    def forget(self, key: str) -> None:
        """Drop what is known of a job that has ended."""
        job = self._jobs.get(key)
        if job is not None and not job.running:
            del self._jobs[key]

    async def start(self, key: str, order: AnyOrder, done: Callable[[Judged], Awaitable[None]]) -> None:
        """Judge the rows of an order; `done` keeps what came of it. A second one of a key waits for the first."""

        async def work(job: Job) -> str:
            last: Line | None = None

            def hear(line: Line) -> None:
                nonlocal last
                last = line
                if isinstance(line, Progress):
                    job.rows, job.share = line.rows, line.share

            async with self._turn:
                await _ask(order, hear)
            if isinstance(last, Judged):
                await done(last)
                return ""
            return last.code if isinstance(last, Refused) else "broken"

        await self.begin(key, work)

    async def look(self, order: AnyOrder) -> Seen | str:
        """What an upload is, or the code of why it cannot be read."""
        heard: list[Line] = []
        async with self._turn:
            await _ask(order, heard.append)
        last = heard[-1] if heard else None
        return last if isinstance(last, Seen) else last.code if isinstance(last, Refused) else "broken"


async def _ask(order: AnyOrder, hear: Callable[[Line], None]) -> None:
    """Run the program over an order; kill it when it takes too long."""
    with trio.move_on_after(WALL_S_MAX):
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(_run)
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                async with process.stdin as stdin:
                    await stdin.send_all(msgspec.json.encode(order))
                pending = b""
                async for chunk in process.stdout:
                    *lines, pending = (pending + chunk).split(b"\n")
                    for line in lines:
                        hear(msgspec.json.decode(line, type=Line))
                    if len(pending) > LINE_OCTETS_MAX:
                        break
                if await process.wait() < 0:
                    # Aborted by its own allocator, or killed by a limit: the file asked for too much.
                    hear(Refused("too-large"))
            except trio.BrokenResourceError:
                log.warning("a child process died before it had read its order")
            nursery.cancel_scope.cancel()


async def _run(task_status: trio.TaskStatus[trio.Process]) -> None:
    # Cancelled, it is killed: `run_process` sees to it.
    await trio.run_process(
        [sys.executable, "-m", "admin.prepare"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
        task_status=task_status,
    )
