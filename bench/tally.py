"""The load client's books: every accepted message must get exactly one final receipt, with its own id.

Also what a benchmark needs of time: latencies, and the moments between which the load was steady.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from operator import itemgetter

import msgspec

from gateway.sim.figures import Percentiles, percentiles

STEADY_FROM, STEADY_TO = 0.1, 0.9


class Report(msgspec.Struct, frozen=True):
    """What one run of the load client found. Moments are of CLOCK_MONOTONIC, which all processes share."""

    sent: int
    accepted: int
    refused: dict[str, int]
    unanswered: int
    receipts: int
    receipts_by_state: dict[str, int]
    lost: int  # accepted, no final receipt
    duplicates: int  # second final receipts of one message
    unmatched: int  # receipts for ids never given
    wrong_destination: int  # receipts whose source is not the message's destination
    accept_ms: Percentiles
    receipt_ms: Percentiles
    started_at: float
    steady_from: float
    steady_to: float
    finished_at: float
    accepted_per_s: float
    lifecycle_per_s: float
    steady_messages: int
    cpu_user_s: float
    cpu_system_s: float


class Tally:
    """Filled by the binds of one client, in batches. `receipts_expected` is False for submit only."""

    def __init__(self, wanted: int, *, receipts_expected: bool) -> None:
        self.wanted = wanted  # messages to send
        self.receipts_expected = receipts_expected
        self.sent = 0
        self.accepted = 0
        self.answered = 0
        self.finals = 0
        self.wrong_destination = 0
        self.refused: Counter[int] = Counter()
        self.states: Counter[bytes] = Counter()
        self.waiting: dict[bytes, tuple[int, float]] = {}  # id -> destination number, when accepted
        self.strays: Counter[bytes] = Counter()  # receipts for ids that are not waiting (yet)
        self.done = array("q")  # hashes of ids that have their receipt: 8 octets a message
        self.accept_latencies = array("f")
        self.receipt_latencies = array("f")
        self.marks: list[tuple[float, int, int]] = []  # moment, accepted so far, final receipts so far
        self.started_at = 0.0

    def stray(self, message_id: bytes) -> None:
        """A final receipt for an id that does not wait: early, twice, or nobody's."""
        self.strays[message_id] += 1

    def claim(self, message_id: bytes) -> bool:
        """Was there an early receipt for this id? Then it is used up."""
        if self.strays[message_id] == 1:
            del self.strays[message_id]
        else:
            self.strays[message_id] -= 1
        self.done.append(hash(message_id))
        return True

    @property
    def complete(self) -> bool:
        """Is every message that was sent answered, and every accepted one receipted?"""
        if self.answered < self.sent:
            return False
        return not self.receipts_expected or not self.waiting

    def _moment(self, column: int, count: float) -> float:
        """When the running count of a column of marks reached `count`."""
        if not self.marks or not count:
            return 0.0
        at = bisect_left(self.marks, count, key=itemgetter(column))
        return self.marks[min(at, len(self.marks) - 1)][0]

    def _rate(self, column: int, total: int) -> float:
        a, b = self._moment(column, total * STEADY_FROM), self._moment(column, total * STEADY_TO)
        return round(total * (STEADY_TO - STEADY_FROM) / (b - a), 1) if b > a else 0.0

    def report(self, *, cpu_user_s: float, cpu_system_s: float) -> Report:
        """The figures. Rates are of the steady middle: the first and last tenth do not count."""
        done = set(self.done) if self.strays else set()
        duplicates = sum(n for message_id, n in self.strays.items() if hash(message_id) in done)
        column, total = (2, self.finals) if self.receipts_expected else (1, self.accepted)
        return Report(
            sent=self.sent,
            accepted=self.accepted,
            refused={f"{status:08X}": n for status, n in sorted(self.refused.items())},
            unanswered=self.sent - self.answered,
            receipts=self.finals,
            receipts_by_state={state.decode("latin-1"): n for state, n in sorted(self.states.items())},
            lost=len(self.waiting) if self.receipts_expected else 0,
            duplicates=duplicates,
            unmatched=self.strays.total() - duplicates,
            wrong_destination=self.wrong_destination,
            accept_ms=percentiles(self.accept_latencies),
            receipt_ms=percentiles(self.receipt_latencies),
            started_at=self.started_at,
            steady_from=self._moment(column, total * STEADY_FROM),
            steady_to=self._moment(column, total * STEADY_TO),
            finished_at=self.marks[-1][0] if self.marks else 0.0,
            accepted_per_s=self._rate(1, self.accepted),
            lifecycle_per_s=self._rate(2, self.finals),
            steady_messages=round(total * (STEADY_TO - STEADY_FROM)),
            cpu_user_s=cpu_user_s,
            cpu_system_s=cpu_system_s,
        )
