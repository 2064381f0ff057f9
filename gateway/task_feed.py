"""One task on its way: rows from its file through the gateway's one door, a pass at a time.

A pass is judged, made durable in the task's file, and only then committed as messages. After a crash the last pass
is looked up in the store by its ids: if none of its messages is there it never was, otherwise it is not sent again.
Little runs ahead of the carriers, so that a pause or stop is felt at once: what still waits in memory is taken out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog
import trio

from filters.verdict import Reason
from gateway.api.build import Recipe, recipe, submit
from gateway.api.shapes import Content
from gateway.ratelimit import TokenBucket
from store.files import StoreError
from store.model import FINAL_STATES, Changes, Part, State
from store.port import Applied
from store.task_file import ROWS, Figures, Pass, TaskFile, folder_of
from store.tasks import TaskRow

if TYPE_CHECKING:
    from gateway.tasks import TaskRunner

log = structlog.get_logger("tasks")

PASS_ROWS_MAX = 400  # judged in one go: 6 ms of the loop. Measured: 1,000 doubles the console's median
AHEAD_PARTS_MIN = 200  # in memory before the carriers, however slow they are
AHEAD_S = 0.5  # of what carriers take at the moment
BURST_S = 0.1  # of a task's own rate that may leave at once
ROOM_WAIT_S = 0.02
COUNT_S = 1.0  # between looks at what became of messages
COUNT_LATE_S = 30.0  # when the task has ended and only receipts are outstanding
COUNT_LATE_AFTER = 120  # looks
PASSES_COUNTED = 30  # in one look: some 100 ms of a reader thread
BULK_LANE = 0
_WAITING = frozenset({State.SCHEDULED, State.QUEUED, State.CLAIMED, State.HELD, State.REVIEW})


class CountingStore(Protocol):
    """What a task asks of the traffic store."""

    def parts(self, ids: Sequence[int]) -> list[Part]: ...

    def message_figures(
        self, task: int, first_id: int, last_id: int
    ) -> dict[tuple[int, int], tuple[int, int]]: ...


class TaskFailed(Exception):
    """A task that cannot go on. The text says why."""


class Feed:
    """A task that is executing or paused, and afterwards until every message has its end."""

    def __init__(self, runner: "TaskRunner", task: TaskRow) -> None:
        self._runner = runner
        self._core = runner.core
        self.task = task
        self.rate = 0.0  # messages a second that left, over the last second
        self.figures = Figures(task.valid)
        self._off_loop = runner.core.ports.off_loop
        self._path: Path = folder_of(runner.data, task.id) / ROWS
        self._wake = trio.Event()
        self._stale = True
        self._held_back: list[Part] = []
        self._position = 0
        self._cursor = 0
        self._made: Recipe | None = None
        self._bucket: TokenBucket | None = None  # of the task's own rate, in messages

    def look(self) -> None:
        """Somebody moved the task: see where it stands before the next pass."""
        self._stale = True
        self._wake.set()

    async def run(self) -> None:
        """Feed until the task is finished, then count until every message is."""
        try:
            file: TaskFile = await self._off_loop(lambda: TaskFile.open(self._path, writes=True))
        except StoreError as error:
            if self.task.state != "finished":
                await self._runner.fail(self.task.id, str(error))
            await self._runner.close_books(self.task.id, self.task.parts_sent)
            return
        try:
            if self.task.state != "finished":
                await self._mend(file)
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._keep_counting, file)
                        await self._feed(file)
                        nursery.cancel_scope.cancel()
                except* TaskFailed as failed:
                    await self._runner.fail(self.task.id, str(failed.exceptions[0]))
            await self._count_to_the_end(file)
        finally:
            with trio.CancelScope(shield=True):
                await self._off_loop(file.close)

    # -- sending ----------------------------------------------------------------------------------

    async def _feed(self, file: TaskFile) -> None:
        task = self.task.id
        self._position = await self._off_loop(file.position)
        while True:
            if self._stale:
                self._stale, self._wake = False, trio.Event()
                self.task = await self._runner.read(task)
                if self.task.state == "finished":
                    await self._take_back(file)
                    return
                if self._take_rate() or self.task.state == "paused":
                    self._hold_back()
            if self.task.state == "paused":
                await self._wake.wait()
                continue
            if self._held_back:
                if not self._let_go():
                    await trio.sleep(ROOM_WAIT_S)
                continue
            room = self._granted(self._room())
            if not room:
                await trio.sleep(ROOM_WAIT_S)
                continue
            numbers = await self._off_loop(file.numbers, self._position, room)
            if self._bucket is not None:
                self._bucket.give_back(room - len(numbers))
            if not numbers:
                if self.figures.fed == self._position and not self.figures.waiting:
                    await self._runner.move(task, "complete")
                    self._stale = True
                else:
                    with trio.move_on_after(COUNT_S / 4):
                        await self._wake.wait()
                continue
            if not self._stale and not await self._pass(file, numbers):
                await trio.sleep(COUNT_S)

    def _take_rate(self) -> bool:
        """Take the task's own rate as it is now; True when what waits must wait for it as well."""
        rate = self.task.rate
        before = self._bucket.rate if self._bucket else 0
        if rate == before:
            return False
        self._bucket = TokenBucket(rate, max(1.0, rate * BURST_S), self._core.clock.now()) if rate else None
        return bool(rate) and (not before or rate < before)

    def _granted(self, messages: int) -> int:
        """How many of so many messages the task's own rate lets leave now."""
        if self._bucket is None or not messages:
            return messages
        return self._bucket.take(messages, self._core.clock.now())

    def _let_go(self) -> int:
        """Offer held parts again, whole messages, as fast as the task may; how many messages."""
        heads = [n for n, part in enumerate(self._held_back) if part.part_no == 1]
        granted = self._granted(len(heads))
        if granted:
            end = heads[granted] if granted < len(heads) else len(self._held_back)
            some, self._held_back = self._held_back[:end], self._held_back[end:]
            self._core.offer(some, judged=-1)
        return granted

    def _room(self) -> int:
        """How many rows may go through the door now; 0 for none."""
        core = self._core
        if core.refusal_now():
            return 0
        carriers = core.carriers.values()
        waiting = sum(
            count
            for carrier in carriers
            for (_, account), count in carrier.queue.statistics().items()
            if account == self.task.account
        )
        ahead = max(AHEAD_PARTS_MIN, int(AHEAD_S * sum(carrier.accepted_rate for carrier in carriers)))
        if waiting > ahead // 2:
            return 0
        return max(1, min(PASS_ROWS_MAX, (ahead - waiting) // self.task.parts_each))

    async def _pass(self, file: TaskFile, numbers: list[int]) -> bool:
        """One pass through the door; False when the disk had no room for it."""
        core, task = self._core, self.task
        planned = len(numbers) * task.parts_each
        changes, refused, generation = self._judge(numbers, planned)
        first_row, last_row = self._position + 1, self._position + len(numbers)
        parts = changes.parts
        one = Pass(
            first_row,
            last_row,
            parts[0].id if parts else 0,
            parts[-1].id if parts else 0,
            len(numbers) - len(refused),
            core.clock.wall_ms(),
        )
        await self._off_loop(file.record, one, refused)
        if parts:
            stored: list[Applied] = []

            def durable(applied: Applied) -> None:
                stored.append(applied)
                core.offer(parts, judged=generation)

            await core.committer.submit(
                changes, durable, lambda: core.intake.give_back(changes)
            ).settled.wait()
            if not stored:
                await self._off_loop(file.forget, one)
                self._runner.book.hold(task.id, task.user, planned)
                return False
        self._position = last_row
        return True

    def _judge(self, numbers: list[int], planned: int) -> tuple[Changes, list[tuple[int, int]], int]:
        """What the task held becomes what its messages hold, without a wait in between."""
        core, task = self._core, self.task
        account = core.accounts.get(task.account)
        if account is None:
            raise TaskFailed("The task's account is gone.")
        sms_type = core.directory.sms_types.get(task.sms_type)
        if sms_type is None:
            raise TaskFailed(f'There is no SMS type "{task.sms_type}" any more.')
        if self._made is None:
            content = Content(text=task.text, from_=task.sender or None, dlr=False)
            self._made = recipe(content, core.clock.wall_ms(), task.sms_type)
        made = self._made
        submits = [submit(made, f"+{number}") for number in numbers]
        self._runner.book.take(task.id, planned)
        changes = Changes()
        results = core.intake.accept_batch(account, submits, core.clock.wall_ms(), changes, sms_type=sms_type)
        for part in changes.parts:
            part.task = task.id
        account.accepted += sum(result > 0 for result in results)
        refused = [(self._position + 1 + n, -result) for n, result in enumerate(results) if result < 0]
        for _, reason in refused:
            account.count_refused(reason)
        return changes, refused, core.generation

    # -- taking back ------------------------------------------------------------------------------

    def _withdraw(self) -> list[Part]:
        """Whole messages of this task out of the carriers' queues; what has begun to leave goes on."""
        task = self.task.id
        taken: list[Part] = []
        for carrier in self._core.carriers.values():
            found = carrier.remove(lambda part: part.task == task and part.state == State.QUEUED)
            by_head: dict[int, list[Part]] = {}
            for part in found:
                by_head.setdefault(part.id - part.part_no + 1, []).append(part)
            begun: list[Part] = []
            for some in by_head.values():
                (taken if len(some) == some[0].parts else begun).extend(some)
            if begun:
                carrier.put_back(begun)
        return taken

    def _hold_back(self) -> None:
        self._held_back += self._withdraw()

    async def _take_back(self, file: TaskFile) -> None:
        """Stopped: what waits in memory is cancelled, its parts are available again."""
        held, self._held_back = self._held_back, []
        taken = [part for part in (*held, *self._withdraw()) if part.state not in FINAL_STATES]
        if taken:
            self._core.withdrawn |= {part.id for part in taken}
            self._core.end(taken, State.CANCELLED, Reason.CANCELLED)
        await self._core.committer.commit(Changes())

    async def _mend(self, file: TaskFile) -> None:
        """The last pass before a crash: was it stored?"""
        last: Pass | None = await self._off_loop(file.last_pass)
        if last is None:
            return
        ids = range(last.first_id, last.last_id + 1) if last.accepted else range(0)
        parts: list[Part] = await self._core.ports.store.read(lambda s: s.parts(ids))
        rows = last.last_row - last.first_row + 1
        if last.accepted and not parts:
            log.info("a pass that was never stored is sent again", task=self.task.id, rows=last.accepted)
            await self._off_loop(file.forget, last)
            rows = 0
        elif parts and parts[-1].id < last.last_id:
            row = await self._off_loop(file.row_of, parts[-1].dest)
            heads = sum(part.part_no == 1 for part in parts)
            await self._off_loop(file.shorten, last, row, parts[-1].id, heads)
            rows = row - last.first_row + 1
        # `restore` held these rows as well, not knowing yet; their messages hold their own.
        self._runner.book.take(self.task.id, rows * self.task.parts_each)

    # -- counting ---------------------------------------------------------------------------------

    async def _keep_counting(self, file: TaskFile) -> None:
        while True:
            before = self.figures
            await self.count(file)
            left = (self.figures.fed - self.figures.waiting) - (before.fed - before.waiting)
            self.rate = max(0.0, left / COUNT_S)
            await trio.sleep(COUNT_S)

    async def _count_to_the_end(self, file: TaskFile) -> None:
        self.rate = 0.0
        looks = 0
        self._cursor = 0
        closed = False
        while await self.count(file) or self._cursor:
            if not closed and not self._cursor and not self.figures.waiting:
                # All passes were looked at since it ended, and no message can be taken by a carrier any more.
                await self._runner.close_books(self.task.id, self.figures.parts_sent)
                closed = True
            looks += 1
            await trio.sleep(COUNT_S if looks < COUNT_LATE_AFTER else COUNT_LATE_S)
        if not closed:
            await self._runner.close_books(self.task.id, self.figures.parts_sent)

    async def count(self, file: TaskFile) -> int:
        """Look at the next passes that are not over; how many there were."""
        task, cursor = self.task.id, self._cursor
        # A connection of its own: the other one may be in a transaction at this moment.
        passes: list[Pass] = await self._off_loop(self._read, lambda f: f.unsettled(cursor, PASSES_COUNTED))
        rows = await self._core.ports.store.read(lambda s: count_passes(s, task, passes))
        valid = self.task.valid

        def write(own: TaskFile) -> Figures:
            if rows:
                own.count(rows)
            return own.figures(valid)

        figures: Figures = await self._off_loop(self._write, write)
        self._cursor = passes[-1].first_row if len(passes) == PASSES_COUNTED else 0
        if figures != self.figures:
            self.figures = figures
            await self._runner.keep_figures(task, figures)
        return len(passes)

    def _read(self, call: Any) -> Any:
        with TaskFile.open(self._path) as own:
            return call(own)

    def _write(self, call: Any) -> Any:
        with TaskFile.open(self._path, writes=True) as own:
            return call(own)


def count_passes(
    store: CountingStore, task: int, passes: Sequence[Pass]
) -> list[tuple[int, int, int, int, int, int, int, int, int]]:
    """Rows for `TaskFile.count`."""
    rows = []
    for one in passes:
        waiting = sent = delivered = failed = cancelled = unknown = parts_sent = 0
        found = store.message_figures(task, one.first_id, one.last_id) if one.accepted else {}
        for (state, _), (messages, parts) in found.items():
            parts_sent += parts
            if state in _WAITING:
                waiting += messages
            elif state == State.SENT:
                sent += messages
            elif state == State.DELIVERED:
                delivered += messages
            elif state == State.CANCELLED:
                cancelled += messages
            elif state == State.UNKNOWN:
                unknown += messages
            else:
                failed += messages
        # What is on its way to the disk yet counts as waiting.
        waiting += one.accepted - (waiting + sent + delivered + failed + cancelled + unknown)
        settled = int(waiting == sent == 0)
        rows.append(
            (waiting, sent, delivered, failed, cancelled, unknown, parts_sent, settled, one.first_row)
        )
    return rows
