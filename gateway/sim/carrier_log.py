"""What a simulated carrier saw, for tests to judge a gateway by: windows, rates, copies, order.

Counts and maxima are complete; the lists of single parts and receipts keep the newest LOG_ENTRIES_MAX.
"""

from collections import Counter, deque

import msgspec

from gateway.sim.message import Message

LOG_ENTRIES_MAX = 200_000

CopyKey = tuple[
    bytes, bytes, tuple[int, int, int]
]  # destination, text, (reference, total, number) of the part


class PartSeen(msgspec.Struct):
    """One submit_sm as it came. `at` is in the carrier's monotonic seconds."""

    at: float
    link: int
    sequence_number: int
    message: Message
    copy: int  # 1 for the first of this destination and text
    status: int = -1  # of its answer; -1 while unanswered
    message_id: str = ""


class ReceiptSeen(msgspec.Struct):
    """One deliver_sm (receipt or MO) that we sent."""

    at: float
    link: int
    message_id: str
    state: str
    status: int = -1


class CarrierLog:
    """Fed by the carrier; read by tests. `window_max` is by link number."""

    def __init__(self) -> None:
        self.parts: deque[PartSeen] = deque(maxlen=LOG_ENTRIES_MAX)
        self.receipts: deque[ReceiptSeen] = deque(maxlen=LOG_ENTRIES_MAX)
        self.window_max: dict[int, int] = {}
        self.rate_max = 0  # most parts within any second (sliding)
        self.copies: Counter[CopyKey] = Counter()
        self._second: deque[float] = deque()

    def unanswered(self, link: int, count: int) -> None:
        """So many submit_sm of a link were unanswered at once: no smaller window would have done.

        Counted when octets are read, so a batch counts whole, even if each of its messages is answered at once.
        """
        if count > self.window_max.get(link, 0):
            self.window_max[link] = count

    def arrived(self, now: float, link: int, sequence_number: int, message: Message) -> PartSeen:
        """Record one submit_sm."""
        key = (message.destination, message.text, message.part)
        self.copies[key] += 1
        second = self._second
        second.append(now)
        while second[0] <= now - 1.0:
            second.popleft()
        self.rate_max = max(self.rate_max, len(second))
        part = PartSeen(now, link, sequence_number, message, self.copies[key])
        self.parts.append(part)
        return part

    @property
    def parts_last_second(self) -> int:
        """Parts within the second that ended with the newest one."""
        return len(self._second)

    def duplicates(self) -> dict[CopyKey, int]:
        """What came more than once, with how often."""
        return {key: times for key, times in self.copies.items() if times > 1}

    def destinations(self) -> list[str]:
        """Destination addresses in the order of arrival."""
        return [part.message.destination_addr for part in self.parts]

    def broken_orders(self) -> list[PartSeen]:
        """Parts of long messages that are not the successor, on the same link, of the part before them."""
        last: dict[tuple[bytes, bytes, int, int], PartSeen] = {}
        broken: list[PartSeen] = []
        for part in self.parts:
            reference, total, number = part.message.part
            if total <= 1 or part.copy > 1:
                continue
            key = (part.message.source, part.message.destination, reference, total)
            before = last.pop(key, None)
            expected = before.message.part[2] + 1 if before else 1
            if number != expected or (before and part.link != before.link):
                broken.append(part)
            if number < total:
                last[key] = part
        return broken
