"""Our unanswered requests: sequence numbers, slots, response timers, and a memory for late responses.

The idea: one dict from sequence number to slot. A session has one response timeout and time does not run
back, so the order of insertion is the order of sending *and* of expiry; no timer per slot, no second index.
Every operation is O(1) a request, a batch is filled by one C-level `dict.update`, and the memory is bounded
by the slots themselves.

A request leaves the window exactly once: answered (`pending.pop`), expired (`expire`) or handed back
(`drain`). An expired one is remembered for a while, since a late response still tells the message's id.
"""

from collections.abc import Sequence
from itertools import repeat
from math import inf
from typing import Final

from gateway.smpp.constants import SEQUENCE_NUMBER_MAX

Slot = tuple[object, type, float]
"""(token, class of the response that answers it, when it expires or is forgotten)."""

TOKEN: Final = 0
KIND: Final = 1
UNTIL: Final = 2


class Window:
    """The outgoing half of a session's requests.

    Args:
      slots_max: requests that may be unanswered; may be changed at any time, also below what is used.
      response_s: time to answer one; 0 for ever.
      late_s, late_slots_max: how long, and how many, expired requests are remembered.
      first: the first sequence number.
    """

    __slots__ = (
        "_late_s",
        "_late_slots_max",
        "_next",
        "_next_expiry",
        "_response_s",
        "_wrapped",
        "late",
        "pending",
        "slots_max",
        "used_max",
    )

    def __init__(
        self, slots_max: int, response_s: float, *, late_s: float, late_slots_max: int, first: int = 1
    ) -> None:
        self.adopt(slots_max, response_s)
        self.used_max = 0
        self.pending: dict[int, Slot] = {}
        self.late: dict[int, Slot] = {}
        self._late_s = late_s
        self._late_slots_max = late_slots_max
        self._next = first
        self._wrapped = False
        self._next_expiry = inf

    def adopt(self, slots_max: int, response_s: float) -> None:
        """Other bounds, for what is sent from now on."""
        self.slots_max = slots_max
        self._response_s = response_s if response_s > 0 else inf

    @property
    def used(self) -> int:
        """Requests that are unanswered."""
        return len(self.pending)

    @property
    def free(self) -> int:
        """Requests that may be sent now; never negative."""
        return max(0, self.slots_max - len(self.pending))

    def take_sequence_number(self) -> int:
        """The next number, for a PDU that takes no slot (enquire_link, unbind, outbind)."""
        return self._numbers(1)[0]

    def fill(self, kind: type, tokens: Sequence[object], now: float) -> Sequence[int]:
        """Take one slot a token and give their sequence numbers, in order.

        `kind` is the class of the response that will answer them. The caller has looked at `free`.
        """
        numbers = self._numbers(len(tokens))
        pending = self.pending
        until = now + self._response_s
        if not pending:
            self._next_expiry = until
        slots = zip(tokens, repeat(kind), repeat(until), strict=False)  # ends with the tokens
        pending.update(zip(numbers, slots, strict=True))
        if len(pending) > self.used_max:
            self.used_max = len(pending)
        return numbers

    def expire(self, now: float) -> list[object]:
        """Free the slots whose time is up and give their tokens, oldest first."""
        if now < self._next_expiry:
            return []
        pending = self.pending
        expired = []
        self._next_expiry = inf
        for number, slot in pending.items():
            if slot[UNTIL] > now:
                self._next_expiry = slot[UNTIL]
                break
            expired.append((number, slot))
        for number, (token, kind, _) in expired:
            del pending[number]
            self.late[number] = (token, kind, now + self._late_s)
        self._forget(now)
        return [slot[TOKEN] for _, slot in expired]

    def take_late(self, number: int, now: float) -> Slot | None:
        """The expired request that a late response answers, once."""
        slot = self.late.pop(number, None)
        return slot if slot is not None and slot[UNTIL] > now else None

    def next_expiry(self) -> float:
        """When `expire` should be called next: never too late, at times early; inf when nothing waits."""
        return self._next_expiry if self.pending else inf

    def drain(self) -> list[object]:
        """Free every slot and give the tokens in the order of sending."""
        tokens = [slot[TOKEN] for slot in self.pending.values()]
        self.pending.clear()
        self.late.clear()
        return tokens

    def _forget(self, now: float) -> None:
        """Drop remembered requests that are too old or too many; they lie in order of age."""
        late = self.late
        excess = len(late) - self._late_slots_max
        stale = []
        for index, (number, slot) in enumerate(late.items()):
            if index >= excess and slot[UNTIL] > now:
                break
            stale.append(number)
        for number in stale:
            del late[number]

    def _numbers(self, count: int) -> Sequence[int]:
        """`count` numbers from 1..SEQUENCE_NUMBER_MAX, then 1 again, none of them waiting for a response.

        Before the first wrap no number can be taken. After it a clash needs a request that waits through
        two thousand million others; it is checked all the same, a batch at a time.
        """
        first = self._next
        after = first + count
        if after <= SEQUENCE_NUMBER_MAX + 1:
            numbers = range(first, after)
            if not self._wrapped or self._unused(numbers):
                self._next = after
                return numbers
        return self._numbers_one_by_one(count)

    def _numbers_one_by_one(self, count: int) -> list[int]:
        numbers: list[int] = []
        number = self._next
        while len(numbers) < count:
            if number > SEQUENCE_NUMBER_MAX:
                number = 1
                self._wrapped = True
            if number not in self.pending and number not in self.late:
                numbers.append(number)
            number += 1
        self._next = number
        return numbers

    def _unused(self, numbers: range) -> bool:
        return self.pending.keys().isdisjoint(numbers) and self.late.keys().isdisjoint(numbers)
