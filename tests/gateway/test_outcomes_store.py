"""The core's changes in a real store: whatever happens to messages, a recount of the rows gives the same sums."""

import tempfile
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from filters.verdict import Reason
from gateway.carriers import Flight
from gateway.smpp.constants import Tag
from store.directory import Carrier
from store.model import Changes, Part, State
from store.port import StoreOptions
from store.traffic import SqliteStore
from tests.gateway.core_world import NOW_MS, FakeBind, World, ok, receipt, refusal
from tests.gateway.test_intake import submit

SMALL = StoreOptions(ballast_octets=0, cache_kib=2048, disk_low_octets=0, disk_critical_octets=0)

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "accept", "accept long", "pump", "pump", "ok", "ok", "refuse", "throttle", "time out", "lose",
                "late ok", "late refusal", "receipt", "receipt", "early receipt", "expire", "cancel", "give up", "wait",
            ]
        ),
        st.integers(0, 5),
    ),
    max_size=40,
)  # fmt: skip


class Life(World):
    """A world with a store behind it: every change is applied at once, in order."""

    def __init__(self, directory: Path, policy: Any) -> None:
        super().__init__(carriers=[Carrier(1, "a", on_unknown=policy)])
        self.store = SqliteStore.open(directory, now_ms=NOW_MS, options=SMALL)
        self.bind = FakeBind(self.carrier, window=4)
        self.silent: list[Flight] = []
        self.taken: list[bytes] = []
        self.numbers = count(1)
        self.told = 0

    def committed(self, changes: Changes) -> None:
        super().committed(changes)
        self.store.apply(changes)
        self.told += sum(row.event for row in changes.receipts)
        for part in changes.parts:
            if part.part_no == 1:
                self.carrier.queue.offer([p for p in changes.parts if p.id - p.part_no + 1 == part.id])

    def step(self, what: str, which: int) -> None:
        flights = self.bind.flights
        if what == "accept":
            self.accept(submit())
        elif what == "accept long":
            self.accept(submit(b"", tlvs=((Tag.MESSAGE_PAYLOAD, b"a" * 400),)))
        elif what == "pump":
            self.carrier.pump()
            while self.claims:
                parts = self.claims.pop(0)
                self.committed(Changes(moved=[(p.id, int(State.CLAIMED), 1) for p in parts]))
                self.carrier.claim_is_durable(parts)
        elif what == "wait":
            self.clock.advance(1.0)
        elif what in ("ok", "refuse", "throttle", "time out") and flights:
            flight = flights.pop(which % len(flights))
            if what == "ok":
                self.answer((flight, ok(self.smsc_id(flight))))
            elif what == "time out":
                self.silent.append(flight)
                self.unanswered(flight)
            else:
                self.answer((flight, refusal(0x45 if what == "refuse" else 0x58)))
        elif what == "lose":
            lost = list(flights)
            flights.clear()
            self.carrier.put_back(list(self.bind.carried))
            self.bind.carried.clear()
            self.unanswered(*lost, lost=True)
        elif what in ("late ok", "late refusal") and self.silent:
            flight = self.silent.pop(which % len(self.silent))
            response = ok(self.smsc_id(flight)) if what == "late ok" else refusal(0x45)
            self.answer((flight, response), late=True)
        elif what == "receipt" and self.taken:
            state = 2 if which % 2 else 5
            self.receive(receipt(self.taken[which % len(self.taken)], state))
        elif what == "early receipt" and flights:
            self.receive(receipt(b"%x.%d" % (flights[0].part.id, flights[0].n)))
        elif what in ("expire", "cancel"):
            ended = self.carrier.remove(lambda part: part.id % 3 == which % 3)
            self.end(ended, State.EXPIRED if what == "expire" else State.CANCELLED)
        elif what == "give up":
            page = [part for part, _ in self.store.awaiting_receipt(1 << 62, 2)] + self.store.held(0, 2)
            self.carrier.correlation.end({part.id for part in page})
            self.end(page, State.UNKNOWN)

    def smsc_id(self, flight: Flight) -> bytes:
        self.taken.append(b"%x.%d" % (flight.part.id, flight.n))
        return self.taken[-1]

    def end(self, parts: list[Part], state: State) -> None:
        changes = Changes()
        self.outcomes.end(parts, state, Reason.NO_RECEIPT, changes)
        self.committed(changes)


EXPIRED_AND_TAKEN_AFTER_ALL = [
    *(("accept", 0), ("pump", 0), ("time out", 0)),
    *(("expire", 0), ("expire", 1), ("expire", 2), ("late ok", 0), ("receipt", 1)),
]


@settings(max_examples=40)
@example(EXPIRED_AND_TAKEN_AFTER_ALL, "resend")
@example([("accept", 0), ("pump", 0), ("time out", 0), ("late ok", 0), ("receipt", 1)], "fail")
@given(STEPS, st.sampled_from(["resend", "resend", "hold", "fail"]))
def test_the_store_adds_up_whatever_happens(steps: list[tuple[str, int]], policy: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        life = Life(Path(directory), policy)
        try:
            for what, which in steps:
                life.step(what, which)
            assert life.store.verify({1: 1}) == []
            usage = [life.store.usage(day).get(1, (0, 0)) for day in life.store.days()]
            recounted = (sum(reserved for reserved, _ in usage), sum(used for _, used in usage))
            assert recounted == (life.balance.reserved, life.balance.used)
        finally:
            life.store.close()
