"""Octets of the peer that are not PDUs yet, or not yet to be looked at.

Before a bind PDUs are taken one at a time, because each may change what the next one means (a bind, its
response, an unbind). Afterwards a whole buffer is decoded in one pass. What a peer pipelines behind a bind
that nobody has answered yet is set aside as it came and put back in front afterwards, so it is never lost and
never out of order.
"""

from gateway.smpp.constants import HEADER_OCTETS, CommandId
from gateway.smpp.decode import decode_pdus
from gateway.smpp.pdu import Decoded

_ENQUIRE_LINK = int(CommandId.ENQUIRE_LINK).to_bytes(4, "big")


class Inbox:
    """The receive buffer of one session. Deleting from the front of a bytearray moves no octets."""

    __slots__ = ("_held", "_octets")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._held = bytearray()

    def __len__(self) -> int:
        """Octets of the PDU that is not complete yet, once everything whole was taken."""
        return len(self._octets)

    def feed(self, data: bytes) -> None:
        """Append what the socket gave."""
        self._octets += data

    def decode_all(self, octets_max: int) -> Decoded:
        """Every whole PDU, consumed."""
        decoded = decode_pdus(self._octets, octets_max=octets_max)
        del self._octets[: decoded.octets_consumed]
        return decoded

    def decode_one(self, octets_max: int) -> Decoded:
        """The first PDU, consumed, if it is whole; judged by its length as soon as that is known."""
        length = self._length()
        if len(self._octets) < length <= octets_max and length >= HEADER_OCTETS:
            return Decoded([], 0)
        octets = length if HEADER_OCTETS <= length <= octets_max else HEADER_OCTETS
        decoded = decode_pdus(self._octets[:octets], octets_max=octets_max)
        del self._octets[: decoded.octets_consumed]
        return decoded

    @property
    def octets_held(self) -> int:
        """Octets set aside."""
        return len(self._held)

    def set_aside(self, octets_max: int) -> bool:
        """Put whole PDUs by until an enquire_link, which cannot wait, comes first: then True.

        Behind a length that is no PDU's nothing can be read, ever, so nothing of it is kept.
        """
        octets = self._octets
        while len(octets) >= 4:
            length = self._length()
            if not HEADER_OCTETS <= length <= octets_max:
                del octets[HEADER_OCTETS:]
                return False
            if length > len(octets):
                return False
            if octets[4:8] == _ENQUIRE_LINK:
                return True
            self._held += octets[:length]
            del octets[:length]
        return False

    def put_back(self) -> None:
        """What was set aside comes first again."""
        self._octets[:0] = self._held
        self._held.clear()

    def clear(self) -> None:
        """Forget everything: the session has ended."""
        self._octets.clear()
        self._held.clear()

    def _length(self) -> int:
        """command_length of the first PDU; 2**32, more than any PDU, while it is not known."""
        return int.from_bytes(self._octets[:4], "big") if len(self._octets) >= 4 else 1 << 32
