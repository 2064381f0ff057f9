"""Blacklists: who must not be sent to, as one bitmap of canonical numbers per list.

Three kinds of list: `global` is for everybody; `type` for one SMS type, whoever sends; `group` for the
users of a group and of the groups below it. The first list that holds a number names the reason: global,
type, group (of several groups the nearest). Changes act in place and are seen by the next check. Not for
use from several threads at once.

How it is fast: a random look-up in a bitmap of a million telephone numbers is two or three cache misses,
0.6 us. All lists together also share one small, dense bitmap of their numbers' last bits; who is not in
there, and that is nearly everybody, is on no list (0.13 us). A removed number leaves its bit behind, which
costs nothing but a second look.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence

import msgspec
from pyroaring import BitMap, BitMap64

GLOBAL, TYPE, GROUP = "global", "type", "group"
KINDS = (GLOBAL, TYPE, GROUP)  # in the order of checking

_HEADER = struct.Struct(">4sIQQ")  # magic, CRC-32 of the rest, numbers, octets of the first bitmap
_MAGIC = b"SLB1"

# 27 bits: 16 MB if a hundred million numbers are listed, 2 MB for a million, of whose neighbours 1 % look
# twice.
_LAST_BITS = (1 << 27) - 1


class Scope(msgspec.Struct, frozen=True):
    """Which list: `key` is 0 for the global one, a group's id, or an SMS type's name or number."""

    kind: str
    key: int | str = 0


class DamagedBlacklist(ValueError):
    """A serialized list that is cut short or changed. Build the list from its entries instead."""


class BlacklistStatistics(msgspec.Struct, frozen=True):
    numbers_by_scope: dict[Scope, int]
    octets: int  # serialized, which is about what they take in memory


class Blacklists:
    """All blacklists of a gateway."""

    def __init__(self) -> None:
        self._last_bits = BitMap()  # of every number on any list, and of some that were
        self._global = BitMap64()
        self._types: dict[int | str, BitMap64] = {}
        self._groups: dict[int | str, BitMap64] = {}
        self._scopes: dict[str, dict[int | str, BitMap64]] = {
            GLOBAL: {0: self._global},
            TYPE: self._types,
            GROUP: self._groups,
        }

    def check(self, number: int, group_chain: Sequence[int] = (), sms_type: int | str = 0) -> Scope | None:
        """The list that forbids this number, or None.

        Args:
          number: canonical.
          group_chain: ids of the sender's group and the groups above it, nearest first.
          sms_type: the key under which the type's list was filled.
        Cost: 0.2 us for a number on no list, however many lists there are.
        """
        if number & _LAST_BITS not in self._last_bits:
            return None
        if number in self._global:
            return Scope(GLOBAL)
        if sms_type in self._types and number in self._types[sms_type]:
            return Scope(TYPE, sms_type)
        for group in group_chain:
            if group in self._groups and number in self._groups[group]:
                return Scope(GROUP, group)
        return None

    def check_many(
        self, numbers: Sequence[int], group_chain: Sequence[int] = (), sms_type: int | str = 0
    ) -> dict[int, Scope]:
        """The forbidden ones among these numbers, each with the list that forbids it."""
        last_bits = self._last_bits
        forbidden: dict[int, Scope] = {}
        for number in numbers:
            if number & _LAST_BITS in last_bits and (scope := self.check(number, group_chain, sms_type)):
                forbidden[number] = scope
        return forbidden

    def where(self, number: int) -> list[Scope]:
        """Every list that holds this number."""
        return [
            Scope(kind, key)
            for kind in KINDS
            for key, listed in self._scopes[kind].items()
            if number in listed
        ]

    def add(self, scope: Scope, numbers: Iterable[int]) -> int:
        """Put numbers on a list; how many were not there before."""
        listed = self._list(scope)
        before = len(listed)
        numbers = list(numbers)
        self._last_bits.update([number & _LAST_BITS for number in numbers])
        listed.update(numbers)
        return len(listed) - before

    def remove(self, scope: Scope, numbers: Iterable[int]) -> int:
        """Take numbers off a list; how many were there."""
        listed = self._list(scope)
        before = len(listed)
        listed -= BitMap64(numbers)
        return before - len(listed)

    def replace(self, scope: Scope, numbers: Iterable[int]) -> int:
        """Make a list hold exactly these numbers; how many that are."""
        numbers = list(numbers)
        return self._put(scope, BitMap64(numbers), BitMap([number & _LAST_BITS for number in numbers]))

    def drop(self, scope: Scope) -> None:
        """Forget a list, as when its group is deleted."""
        if scope.kind == GLOBAL:
            self._global.clear()
        else:
            self._scopes[scope.kind].pop(scope.key, None)

    def serialize(self, scope: Scope) -> bytes:
        """A list as octets for `deserialize`, with a checksum."""
        listed = self._list(scope)
        numbers: bytes = listed.serialize()
        last_bits: bytes = BitMap([number & _LAST_BITS for number in listed]).serialize()
        checksum = zlib.crc32(last_bits, zlib.crc32(numbers))
        return _HEADER.pack(_MAGIC, checksum, len(listed), len(numbers)) + numbers + last_bits

    def deserialize(self, scope: Scope, blob: bytes) -> int:
        """Make a list hold what `serialize` wrote; how many numbers that are.

        Raises: DamagedBlacklist, and then the list is as it was.
        """
        if len(blob) < _HEADER.size:
            raise DamagedBlacklist(
                f"blacklist snapshot of {scope} has only {len(blob)} octets; build it again"
            )
        magic, checksum, count, octets = _HEADER.unpack_from(blob)
        payload = memoryview(blob)[_HEADER.size :]
        if magic != _MAGIC or zlib.crc32(payload) != checksum:
            raise DamagedBlacklist(
                f"blacklist snapshot of {scope} is damaged; build it again from its entries"
            )
        listed = BitMap64.deserialize(bytes(payload[:octets]))
        if len(listed) != count:
            raise DamagedBlacklist(f"blacklist snapshot of {scope} holds {len(listed)} numbers, not {count}")
        return self._put(scope, listed, BitMap.deserialize(bytes(payload[octets:])))

    def statistics(self) -> BlacklistStatistics:
        lists = {
            Scope(kind, key): listed for kind, keyed in self._scopes.items() for key, listed in keyed.items()
        }
        return BlacklistStatistics(
            numbers_by_scope={scope: len(listed) for scope, listed in lists.items()},
            octets=sum(len(listed.serialize()) for listed in lists.values())
            + len(self._last_bits.serialize()),
        )

    def _list(self, scope: Scope) -> BitMap64:
        keyed = self._scopes[scope.kind]
        if scope.key not in keyed:
            if scope.kind == GLOBAL:
                raise ValueError(f"the global blacklist has no key, got {scope.key!r}")
            keyed[scope.key] = BitMap64()
        return keyed[scope.key]

    def _put(self, scope: Scope, listed: BitMap64, last_bits: BitMap) -> int:
        self._list(scope)
        self._last_bits |= last_bits
        self._scopes[scope.kind][scope.key] = listed
        if scope.kind == GLOBAL:
            self._global = listed
        return len(listed)
