"""Long messages over time: putting inbound parts together, and giving outbound ones their references.

Parts arrive in any order, twice, on any bind of a carrier, or never. A group is keyed by (source,
destination, reference, total) and complete when it has all its parts, whichever came last. It lives
`window_s` seconds from its first part; memory is bounded by parts held, and the oldest group makes room.
"""

import hashlib
from array import array
from typing import Generic, TypeVar
from zlib import crc32

import msgspec

from gateway.smpp.udh import Concat

Part = TypeVar("Part")

Key = tuple[bytes, bytes, int, int]


class Group(msgspec.Struct, Generic[Part]):
    """The parts of one long message seen so far: `parts` by sequence number."""

    key: Key
    first_at: float
    parts: dict[int, Part]
    fingerprints: dict[int, int]

    @property
    def missing(self) -> list[int]:
        """Sequence numbers that have not come."""
        return [seq for seq in range(1, self.key[3] + 1) if seq not in self.parts]


class Joiner(Generic[Part]):
    """Puts inbound parts together across all binds of a carrier.

    A part is whatever the caller wants back; its octets only serve to know a repetition from a new message
    that reuses the reference. Deterministic; `now` is monotonic seconds.
    """

    def __init__(self, *, window_s: float = 1800.0, parts_max: int = 50_000) -> None:
        """`window_s`: 30 minutes is the shortest that carriers publish. `parts_max`: over all groups."""
        self.window_s = window_s
        self.parts_max = parts_max
        self.parts_held = 0
        self.duplicates = 0
        self._groups: dict[Key, Group[Part]] = {}
        self._finished: dict[Key, tuple[float, dict[int, int]]] = {}
        self._given_up: list[Group[Part]] = []

    def __len__(self) -> int:
        """Groups that wait for parts."""
        return len(self._groups)

    def add(
        self, source: bytes, dest: bytes, concat: Concat, octets: bytes, part: Part, now: float
    ) -> list[Part] | None:
        """Take one part; the whole message in order if it was the last to come, else None.

        A repetition (same sequence number, same octets) is counted and ignored, also after completion. The
        same sequence number with other octets is a new message under an old reference: the old group is given
        up (see `expire`) and a new one begun.
        """
        key = (source, dest, concat.ref, concat.total)
        seq = concat.seq
        fingerprint = crc32(octets)
        finished = self._finished.get(key)
        if finished is not None:
            if finished[1].get(seq) == fingerprint and now - finished[0] < self.window_s:
                self.duplicates += 1
                return None
            del self._finished[key]
        group = self._groups.get(key)
        if group is not None and seq in group.fingerprints:
            if group.fingerprints[seq] == fingerprint:
                self.duplicates += 1
                return None
            self._give_up(group)
            group = None
        if group is None:
            group = self._groups[key] = Group(key, now, {}, {})
        group.parts[seq] = part
        group.fingerprints[seq] = fingerprint
        self.parts_held += 1
        if len(group.parts) == concat.total:
            self._forget(group)
            self._remember(group, now)
            return [group.parts[number] for number in range(1, concat.total + 1)]
        while self.parts_held > self.parts_max:
            self._give_up(next(iter(self._groups.values())))
        return None

    def expire(self, now: float) -> list[Group[Part]]:
        """Groups given up since the last call: too old, displaced, or their reference reused."""
        # Both dicts are in order of time, so each call looks at what it removes and at one more.
        while self._groups:
            group = next(iter(self._groups.values()))
            if now - group.first_at < self.window_s:
                break
            self._give_up(group)
        while self._finished:
            key, (finished_at, _) = next(iter(self._finished.items()))
            if now - finished_at < self.window_s:
                break
            del self._finished[key]
        given_up, self._given_up = self._given_up, []
        return given_up

    def _forget(self, group: Group[Part]) -> None:
        del self._groups[group.key]
        self.parts_held -= len(group.parts)

    def _give_up(self, group: Group[Part]) -> None:
        self._forget(group)
        self._given_up.append(group)

    def _remember(self, group: Group[Part], now: float) -> None:
        self._finished[group.key] = (now, group.fingerprints)
        if len(self._finished) > self.parts_max:
            del self._finished[next(iter(self._finished))]


class ReferenceSource:
    """References for outbound long messages that do not meet again at one handset within its window.

    Each (source, destination) falls on one of `slots` counters, each started at its own point. A pair can
    only repeat a reference after its counter went all the way round: 256 (or 65,536) long messages to the
    numbers of one slot, 67 million over all 8-bit slots. Fixed memory (256 or 512 KiB), nothing to expire.
    """

    def __init__(self, seed: int, *, bits: int = 8, slots: int = 1 << 18) -> None:
        """`seed`: anything new at each start, so that a restart does not walk the same references again."""
        self.bits = bits
        self._slots = slots
        self._salt = crc32(b"%d" % seed)
        start = hashlib.shake_256(b"references %d" % seed).digest(slots * bits // 8)
        self._next = array("B" if bits == 8 else "H", start)
        self._mask = (1 << bits) - 1

    def next(self, source: bytes, dest: bytes) -> int:
        """The reference for the next long message from `source` to `dest`."""
        slot = crc32(dest, crc32(source, self._salt)) % self._slots
        reference = self._next[slot]
        self._next[slot] = (reference + 1) & self._mask
        return reference
