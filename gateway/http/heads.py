"""Request heads that were read before, so that equal octets need no second reading.

A client on a keep-alive connection sends the same head again and again, but for the length of the body. What is
between two requests has no state, so equal octets mean an equal request: a third of the cost of reading one
(measured 2026-11: 11 us with llhttp, 3 us so).
"""

import msgspec

HEADS_MAX = 1_024
HEAD_OCTETS_MAX = 1_024

# What makes a request more than its head and a body of a known length, or its id the client's.
UNUSUAL = frozenset((b"transfer-encoding", b"expect", b"upgrade", b"x-request-id"))


class Head(msgspec.Struct, frozen=True, gc=False):
    """What a head said. `length`: octets of the body behind it."""

    method: str
    target: bytes
    path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    length: int


class Heads:
    """At most `HEADS_MAX` of them, of all connections; all are forgotten when there are more."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def find(self, data: bytes) -> tuple[Head, int] | None:
        """The head at the beginning of `data` and where its body begins, if that ends where `data` ends."""
        end = data.find(b"\r\n\r\n", 0, HEAD_OCTETS_MAX) + 4
        head = self._known.get(data[:end])
        return (head, end) if head is not None and len(data) == end + head.length else None

    def keep(self, data: bytes, head: Head) -> None:
        """Remember what `data`, exactly one request, began with."""
        end = len(data) - head.length
        if end > HEAD_OCTETS_MAX or data.find(b"\r\n\r\n") + 4 != end or not UNUSUAL.isdisjoint(head.headers):
            return
        if len(self._known) >= HEADS_MAX:
            self._known.clear()
        self._known[data[:end]] = head
