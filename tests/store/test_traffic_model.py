"""The store against a dict: any sequence of rounds, upkeep, failures and restarts, and the same answers."""

import shutil
import sqlite3
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from store.ids import IdSource
from store.model import NO_ANSWER, Changes, Delivered, Outcome, State, Usage
from store.port import StoreFull
from store.traffic import SqliteStore
from tests.store.traffic_world import (
    NOON_MS,
    SMALL,
    attempt,
    failing_connect,
    part,
    receipt,
    sqlite_error,
)

ALL = 1 << 62
USERS = {7: 1, 8: 1, 9: 2}
FULL = (sqlite3.SQLITE_FULL, "SQLITE_FULL", "database or disk is full")
WAITING = (State.QUEUED, State.CLAIMED, State.HELD, State.SCHEDULED)
FINAL = (State.DELIVERED, State.FAILED, State.EXPIRED, State.UNKNOWN)

picks = st.lists(st.integers(0, 39), min_size=1, max_size=6)


class Known(msgspec.Struct):
    """What the model knows of a part."""

    account: int
    lane: int
    carrier: int
    state: int
    sent: bool = False
    attempts: int = 0
    end: Outcome | None = None


class TrafficModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="sluice-model-"))
        self.now_ms = NOON_MS + 11 * 3_600_000  # an hour before midnight, so that runs cross it
        self.ids = IdSource(lambda: self.now_ms / 1000)
        self.parts: dict[int, Known] = {}
        self.pending: dict[int, int] = {}  # event id -> account
        self.fail_at = 0
        self.connect = failing_connect(self.fault)
        # Small bounds, so that the few rows of a run meet every branch of growing old.
        self.options = msgspec.structs.replace(
            SMALL, age_rows_max=4, young_rows_max=12, checkpoint_rows=20, page_octets=4096
        )
        self.open()

    def fault(self, sql: str) -> sqlite3.Error | None:
        if self.fail_at and sql.startswith(("COMMIT", "INSERT", "UPDATE", "DELETE", "WITH")):
            self.fail_at -= 1
            if not self.fail_at:
                return sqlite_error(*FULL)
        return None

    def open(self) -> None:
        self.store = SqliteStore.open(
            self.directory, now_ms=self.now_ms, options=self.options, connect=self.connect
        )
        self.recovery = self.store.recover()

    @initialize()
    def first(self) -> None:
        self.accept(2, 7, 1, State.QUEUED)

    def apply(self, changes: Changes) -> bool:
        """Apply; False when it failed, in which case the model must not follow."""
        try:
            self.applied = self.store.apply(changes)
        except StoreFull as full:
            assert self.fail_at == 0
            self.fail_at = 0
            if full.applied.parts or full.rest != changes:
                self.applied = self.store.apply(full.rest)
                return True
            return False
        self.fail_at = 0
        return True

    def some(self, numbers: list[int]) -> list[int]:
        """Ids of known parts, picked by number, each once; parts of the last minutes likelier."""
        ids = list(self.parts)
        return list(dict.fromkeys(ids[-1 - number % min(len(ids), 40)] for number in numbers))

    def day(self, part_id: int) -> int:
        return (part_id >> 30) // 86_400

    # -- rounds -----------------------------------------------------------------------------------

    @rule(
        count=st.integers(1, 5),
        account=st.sampled_from(list(USERS)),
        carrier=st.integers(1, 2),
        state=st.sampled_from([State.QUEUED, State.QUEUED, State.SCHEDULED, State.REVIEW]),
    )
    def accept(self, count: int, account: int, carrier: int, state: State) -> None:
        first = self.ids.mint(count)
        new = [
            part(n, id=first + n, account=account, carrier=carrier, state=state, part_no=n + 1, parts=count)
            for n in range(count)
        ]
        usage = [Usage(USERS[account], self.day(first), count, 0)]
        if self.apply(Changes(parts=new, usage=usage)):
            for each in new:
                self.parts[each.id] = Known(account, 1, carrier, state)

    @rule(numbers=picks, status=st.sampled_from([0, 0, 0, NO_ANSWER, 0x58]))
    def answer(self, numbers: list[int], status: int) -> None:
        ids = [i for i in self.some(numbers) if self.parts[i].end is None]
        rows = [attempt(i, n=self.parts[i].attempts + 1, status=status) for i in ids]
        newly = [i for i in ids if status == 0 and not self.parts[i].sent]
        usage = [Usage(USERS[self.parts[i].account], self.day(i), -1, 1) for i in newly]
        if self.apply(Changes(attempts=rows, usage=usage)):
            for i in ids:
                self.parts[i].attempts += 1
                self.parts[i].sent |= status == 0

    @rule(
        numbers=picks,
        state=st.sampled_from(FINAL),
        told=st.sampled_from([True, True, True, False]),
        event=st.sampled_from([1, 1, 0]),
    )
    def end(self, numbers: list[int], state: State, told: bool, event: int) -> None:
        ids = self.some(numbers)
        outcomes = [Outcome(i, self.parts[i].account, state, self.now_ms, 5) for i in ids]
        receipts = []
        if told:
            for i in ids:
                row = receipt(part(0, id=i, account=self.parts[i].account), 0, event=event)
                row.id = self.ids.mint()
                receipts.append(row)
        released = [i for i in ids if self.parts[i].end is None and not self.parts[i].sent]
        usage = [Usage(USERS[self.parts[i].account], self.day(i), -1, 0) for i in released]
        if self.apply(Changes(outcomes=outcomes, receipts=receipts, usage=usage)):
            refused = {outcome.part_id for outcome in self.applied.refused_outcomes}
            assert refused == {i for i in ids if self.parts[i].end is not None}
            for outcome in outcomes:
                if outcome.part_id not in refused:
                    self.parts[outcome.part_id].end = outcome
            self.pending |= {row.id: row.account for row in receipts if row.event}

    @rule(numbers=picks, state=st.sampled_from(WAITING), carrier=st.integers(1, 2))
    def move(self, numbers: list[int], state: State, carrier: int) -> None:
        ids = self.some(numbers)
        if self.apply(Changes(moved=[(i, state, carrier) for i in ids])):
            refused = {i for i in ids if self.parts[i].sent or self.parts[i].end is not None}
            assert set(self.applied.refused_parts) == refused
            for i in set(ids) - refused:
                self.parts[i].state, self.parts[i].carrier = state, carrier

    @rule(numbers=picks, done=st.sampled_from([True, True, False]))
    def deliver(self, numbers: list[int], done: bool) -> None:
        events = list(self.pending)
        if not events:
            return
        by_account: dict[int, list[int]] = {}
        for event in dict.fromkeys(events[number % len(events)] for number in numbers):
            by_account.setdefault(self.pending[event], []).append(event)
        rows = [Delivered(a, "smpp:1", self.now_ms, 0, ids, done) for a, ids in by_account.items()]
        if self.apply(Changes(delivered=rows)) and done:
            assert self.applied.delivered == sum(map(len, by_account.values()))
            for ids in by_account.values():
                for event in ids:
                    del self.pending[event]

    @rule(number=st.integers(1, 12))
    def let_a_statement_fail(self, number: int) -> None:
        self.fail_at = number

    # -- time, upkeep, death ----------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0, 1, 10, 40, 1200]))
    def maintain(self, seconds: int) -> None:
        self.now_ms += seconds * 1000
        report = self.store.maintain(self.now_ms)
        self.fail_at = 0
        for day in report.days_to_seal:
            self.store.seal(day)

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        self.fail_at = 0
        if clean:
            self.store.close()
        else:
            self.store._files.close_all(clean=False)
        self.open()
        assert self.recovery.clean == clean
        open_parts = [known for known in self.parts.values() if known.end is None]
        assert sum(self.recovery.open_parts.values()) == len(open_parts)
        assert self.recovery.awaiting_receipt == sum(known.sent for known in open_parts)
        queued = [k for k in open_parts if not k.sent and k.state == State.QUEUED]
        assert sum(self.recovery.queued.values()) == len(queued)
        assert sum(self.recovery.pending_events.values()) == len(self.pending)

    # -- what must hold ---------------------------------------------------------------------------

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        self.fail_at, fail_at = 0, self.fail_at
        waiting = {i: k for i, k in self.parts.items() if k.end is None and not k.sent}
        for account in USERS:
            for carrier in (1, 2):
                expected = [
                    i
                    for i, k in sorted(waiting.items())
                    if (k.account, k.carrier, k.state) == (account, carrier, State.QUEUED)
                ]
                found = self.store.queued(carrier, 1, account, 0, 1000)
                assert [p.id for p in found] == expected
            events = [event for event, owner in sorted(self.pending.items()) if owner == account]
            assert [e.id for e in self.store.pending_events(account, 0, 1000)] == events
        claimed = [i for i, k in sorted(waiting.items()) if k.state == State.CLAIMED]
        assert [p.id for p in self.store.claimed(0, 1000)] == claimed
        assert [p.id for p in self.store.held(0, 1000)] == [
            i for i, k in sorted(waiting.items()) if k.state == State.HELD
        ]
        assert {p.id for p in self.store.scheduled_due(ALL, 1000)} == {
            i for i, k in waiting.items() if k.state == State.SCHEDULED
        }
        sent = [i for i, k in sorted(self.parts.items(), reverse=True) if k.sent and k.end is None]
        assert [p.id for p, _ in self.store.awaiting_receipt(ALL, 1000)] == sent
        for each in self.store.parts(list(self.parts)):
            known = self.parts[each.id]
            state = known.end.state if known.end else State.SENT if known.sent else known.state
            assert (each.state, each.carrier) == (state, known.carrier)
        assert self.store.accounts_with_pending_events().keys() == set(self.pending.values())
        self.fail_at = fail_at

    def teardown(self) -> None:
        self.fail_at = 0
        assert self.store.verify(USERS) == []
        self.store.close()
        shutil.rmtree(self.directory)


TestTrafficModel = TrafficModel.TestCase
TestTrafficModel.settings = settings(
    derandomize=True,
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
pytestmark = pytest.mark.filterwarnings("error")
