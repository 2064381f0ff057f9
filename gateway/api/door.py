"""Messages from HTTP through the one door: what arrived in the same turn of the scheduler, on any connection,
shares one judgement an account and one commit.

`submit` is synchronous. Each `Submission` is told its results once they are durable (or refused), by `done`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from filters.verdict import Reason
from gateway.accounts import AccountState
from gateway.api.ledger import Ledger, Recorded
from gateway.api.sandbox import end_tests, hold_tests, is_test
from gateway.latency import Latency
from gateway.smpp.pdu import SubmitSm
from store.api_db import ApiChanges
from store.model import Changes, Part
from store.port import Applied

if TYPE_CHECKING:
    from gateway.core import Core

MESSAGES_MAX = 100_000  # on their way to the disk at once: 100 MB; beyond it 503
TURN_MESSAGES_MAX = 4_000  # judged in one go, 60 ms; the rest waits for the next turn


class Submission(msgspec.Struct, gc=False, eq=False):
    """Messages of one request.

    `done(results, firsts)`: a result for each, the message id or `-reason`, and the first part of each that was
    accepted, in order.
    """

    account: AccountState
    submits: Sequence[SubmitSm]
    details: Sequence[dict[str, Any] | None] | None  # to be kept with the parts; None: nothing for any
    done: Callable[[Sequence[int], Sequence[Part]], None]
    began: float
    # Asked between judgement and commit, with the same: rows that must be durable before the messages are.
    before: Callable[[Sequence[int], Sequence[Part]], ApiChanges | None] | None = None
    test: bool = False


Judged = tuple[Submission, Sequence[int], list[Part]]
_NO_ROWS = ApiChanges()


class Door:
    """One for the daemon. `run` must be running."""

    def __init__(self, core: "Core", ledger: Ledger, latency: Latency) -> None:
        self._core = core
        self._ledger = ledger
        self._latency = latency
        self._queue: deque[Submission] = deque()
        self._work = trio.Event()
        self.waiting = 0  # messages that are not answered yet

    @property
    def full(self) -> bool:
        """Whether new messages must be refused for now (P12)."""
        return self.waiting >= MESSAGES_MAX

    def submit(self, submission: Submission) -> None:
        """Take messages; bounded by the caller asking `full` first."""
        self.waiting += len(submission.submits)
        self._queue.append(submission)
        self._work.set()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                await self._work.wait()
                self._work = trio.Event()
                while self._queue:
                    self._turn(nursery)
                    if self._queue:
                        await trio.lowlevel.checkpoint()

    def _turn(self, nursery: trio.Nursery) -> None:
        """Judge what has come and hand it to the committer."""
        core = self._core
        refusal = core.refusal_now()
        generation = core.generation
        plain: list[Submission] = []
        recorded: list[Submission] = []
        count = 0
        while self._queue and count < TURN_MESSAGES_MAX:
            submission = self._queue.popleft()
            count += len(submission.submits)
            if refusal:
                submission.account.count_refused(refusal, len(submission.submits))
                self._answer(submission, [-refusal] * len(submission.submits), [])
            else:
                (plain if submission.before is None else recorded).append(submission)
        if plain:
            self._commit(*self._judge_all(plain), generation)
        if recorded:
            judged, changes = self._judge_all(recorded)
            rows = ApiChanges()
            for submission, results, firsts in judged:
                assert submission.before is not None
                own = submission.before(results, firsts)
                if own is not None:
                    rows.add(own)
            if rows == _NO_ROWS:
                self._commit(judged, changes, generation)
            else:
                recording = self._ledger.submit(rows)
                nursery.start_soon(self._commit_behind, recording, judged, changes, generation)

    async def _commit_behind(
        self, recorded: Recorded, judged: list[Judged], changes: Changes, generation: int
    ) -> None:
        """Once the records are durable, the messages may be."""
        if await recorded.stored():
            self._commit(judged, changes, generation)
        else:
            self._give_back(judged, changes)

    def _judge_all(self, some: Sequence[Submission]) -> tuple[list[Judged], Changes]:
        """Judge submissions of any accounts into one `Changes`, each account's in one pass."""
        by_account: dict[int, list[Submission]] = {}
        for submission in some:
            # Messages of test keys are marked a submission at a time; nobody sends many.
            key = -id(submission) if submission.test else submission.account.id
            by_account.setdefault(key, []).append(submission)
        judged: list[Judged] = []
        changes = Changes()
        for own in by_account.values():
            judged += self._judge(own, changes)
        return judged, changes

    def _judge(self, some: Sequence[Submission], changes: Changes) -> list[Judged]:
        """Judge submissions of one account in one pass; each with its results and first parts."""
        core, account = self._core, some[0].account
        at = len(changes.parts)
        if len(some) == 1:
            submits = some[0].submits
        else:
            submits = [submit for submission in some for submit in submission.submits]
        results = core.intake.accept_batch(account, submits, core.clock.wall_ms(), changes)
        parts = changes.parts
        if some[0].test:
            hold_tests(parts[at:])
        if account.bucket.rate and (further := len(parts) - at - len(submits)) > 0:
            # Rates count parts; a long message pays for its further ones after the fact.
            account.bucket.take(further, core.clock.now())
        judged: list[Judged] = []
        start = 0
        for submission in some:
            end = start + len(submission.submits)
            own = results if len(some) == 1 else results[start:end]
            start = end
            firsts: list[Part] = []
            details = submission.details
            for index, result in enumerate(own):
                if result > 0:
                    part = parts[at]
                    firsts.append(part)
                    detail = details[index] if details is not None else None
                    if detail is not None:
                        for one in parts[at : at + part.parts]:
                            keep_detail(one, detail)
                    at += part.parts
                else:
                    account.count_refused(-result)
            judged.append((submission, own, firsts))
        return judged

    def _commit(self, judged: list[Judged], changes: Changes, generation: int) -> None:
        """`generation` of the blacklists under which all of it was judged."""
        core = self._core
        if not changes.parts:
            for submission, results, _ in judged:
                self._answer(submission, results, [])
            return

        def durable(applied: Applied) -> None:
            now = core.clock.now()
            for submission, results, firsts in judged:
                submission.account.accepted += len(firsts)
                self._latency.observe((now - submission.began) * 1000, len(results))
                self._answer(submission, results, firsts)
            if any(submission.test for submission, _, _ in judged):
                end_tests(core, [part for part in changes.parts if is_test(part)])
                parts = [part for part in changes.parts if not is_test(part)]
            else:
                parts = changes.parts
            if parts:
                core.offer(parts, judged=generation)

        core.committer.submit(changes, durable, lambda: self._give_back(judged, changes))

    def _give_back(self, judged: list[Judged], changes: Changes) -> None:
        """The disk is full: nothing of this was stored."""
        self._core.intake.give_back(changes)
        for submission, results, firsts in judged:
            submission.account.count_refused(Reason.DISK_FULL, len(firsts))
            self._answer(submission, [-Reason.DISK_FULL if r > 0 else r for r in results], [])

    def _answer(self, submission: Submission, results: Sequence[int], firsts: Sequence[Part]) -> None:
        self.waiting -= len(submission.submits)
        submission.done(results, firsts)


_encode = msgspec.msgpack.Encoder().encode


def keep_detail(part: Part, detail: dict[str, Any]) -> None:
    """Add to what is kept with a part: the customer's reference, metadata, the batch."""
    if part.detail is None:
        part.detail = _encode(detail)
    else:
        part.detail = _encode(msgspec.msgpack.decode(part.detail) | detail)
