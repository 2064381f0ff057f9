"""Which part does a carrier's message id speak of: the map that every receipt is looked up in.

Keyed by carrier (one id space for all its binds) and the normal form of the answered id. The live part of the
map is in memory and bounded: over the bound the oldest entries move to the store's map (`evict`), where a
lookup that misses here goes on. An entry whose part is final stays for a while, so that a carrier's repeat is
known for one. How a carrier writes its ids is learned from the pairs that matched.
"""

from collections.abc import Collection

import msgspec

from gateway.smpp.message_ids import HabitLearner, response_key
from gateway.smpp.receipts import ReceiptFields
from store.model import Part, State

LIVE_ENTRIES_MAX = 150_000  # about 500 octets each with its part: 75 MB
EVICT_SHARE = 5  # a fifth of the bound at a time
FINAL_ENTRIES_MAX = 50_000  # a generation of finished ids, for recognising repeats: 7 MB each of two
SUBSCRIBER_DIGITS = 8  # receipts name numbers with and without country code; the end is the subscriber


class Match(msgspec.Struct, gc=False, frozen=True):
    """What a receipt's id matched: a live part, or the id of one that is final, or neither."""

    part: Part | None
    key: str = ""
    final_part_id: int = 0


MISS = Match(None)


class Correlation:
    """The map of one carrier."""

    def __init__(self, habits: HabitLearner, *, live_max: int = LIVE_ENTRIES_MAX) -> None:
        self.habits = habits
        self.live: dict[str, Part] = {}
        self._final: dict[str, int] = {}
        self._final_before: dict[str, int] = {}
        self.live_max = live_max

    def remember(self, smsc_message_id: str, part: Part) -> None:
        """A carrier answered ROK with this id."""
        self.live[smsc_message_id.lstrip("0").lower() or smsc_message_id[:1]] = part

    def key(self, smsc_message_id: str) -> str:
        """The one form under which an answered id is stored."""
        return response_key(smsc_message_id)

    def find(self, fields: ReceiptFields, dest: int) -> Match:
        """The part that a receipt speaks of; `dest` (0: unreadable) decides where its id is unclear."""
        receipt_id = fields.message_id
        if not receipt_id:
            return MISS
        for key in self.keys(receipt_id, from_tlv=bool(fields.message_id_from_tlv)):
            part = self.live.get(key)
            if part is not None:
                self._learn(key, fields)
                return Match(part, key)
            part_id = self._final.get(key) or self._final_before.get(key)
            if part_id is not None:
                return Match(None, key, part_id)
        for key in self.habits.trials(receipt_id):
            # A conversion that is not believed yet: only the destination can vouch for it.
            part = self.live.get(key)
            if part is not None and dest and same_subscriber(dest, part.dest):
                self._learn(key, fields)
                return Match(part, key)
        return MISS

    def _learn(self, key: str, fields: ReceiptFields) -> None:
        self.habits.matched(key, fields.message_id)
        if fields.message_id_from_tlv and fields.message_id_from_text:
            self.habits.matched(fields.message_id_from_tlv, fields.message_id_from_text)

    def keys(self, receipt_id: str, *, from_tlv: bool = False) -> tuple[str, ...]:
        """The keys that this receipt's id is believed to stand for."""
        if self.habits.rule == "same":
            # Answered ids are kept in one form whatever the rule: nothing is converted, but zeros and case go.
            return (response_key(receipt_id),) if receipt_id else ()
        return self.habits.keys(receipt_id, from_tlv=from_tlv)

    def candidates(self, receipt_id: str) -> tuple[str, ...]:
        """Every key that an answer for this receipt's id could come under."""
        return (*self.keys(receipt_id), *self.habits.trials(receipt_id))

    def key_of(self, part: Part, receipt_id: str) -> str:
        """The key under which `part` is, if this receipt's id can mean it."""
        for key in self.candidates(receipt_id):
            if self.live.get(key) is part:
                return key
        return self.key(receipt_id)

    def knows(self, fields: ReceiptFields, dest: int) -> bool:
        """Whether memory can say what a receipt's id means.

        Of a conversion that is not believed yet only a part to the same number counts: the id of another
        message may happen to look like it.
        """
        live = self.live
        for key in self.keys(fields.message_id, from_tlv=bool(fields.message_id_from_tlv)):
            if key in live or key in self._final or key in self._final_before:
                return True
        return any(
            key in live and same_subscriber(dest, live[key].dest)
            for key in self.habits.trials(fields.message_id)
        )

    def bring_back(self, key: str, part: Part, *, over: bool = False) -> None:
        """A part that the store's map knew; `over`: it is final. Memory knows better than a reading."""
        if key in self.live or self.is_final(key):
            return
        if over or part.state >= State.DELIVERED:
            self._final[key] = part.id
        else:
            self.live[key] = part

    def is_final(self, key: str) -> bool:
        """Whether the part under `key` is known to have ended."""
        return key in self._final or key in self._final_before

    def finish(self, key: str) -> None:
        """The part under `key` is final: remember only that it was, in two generations."""
        part = self.live.pop(key, None)
        if part is None:
            return
        final = self._final
        final[key] = part.id
        if len(final) >= FINAL_ENTRIES_MAX:
            self._final_before, self._final = final, {}

    def end(self, part_ids: Collection[int]) -> None:
        """These parts ended without a receipt: one that still comes is a repeat."""
        for key in [key for key, part in self.live.items() if part.id in part_ids]:
            self.finish(key)

    def evict(self) -> list[tuple[str, int]]:
        """Over the bound: the oldest entries as (key, part id), for the store's map."""
        if len(self.live) <= self.live_max:
            return []
        count = max(len(self.live) - self.live_max, self.live_max // EVICT_SHARE)
        keys = [key for key, _ in zip(self.live, range(count), strict=False)]
        return [(key, self.live.pop(key).id) for key in keys]


def same_subscriber(one: int, other: int) -> bool:
    """Whether two spellings of a number mean one subscriber: their ends agree."""
    if one == other:
        return True
    modulus: int = 10**SUBSCRIBER_DIGITS
    return one % modulus == other % modulus


def digits_of(address: bytes) -> int:
    """The number of an address as an int, 0 where it has none."""
    if address.isdigit() and len(address) <= 18:
        return int(address)
    digits = address.lstrip(b"+")
    return int(digits) if digits.isdigit() and len(digits) <= 18 else 0
