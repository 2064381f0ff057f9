"""Sensitive words torn over two parts of a message that the customer cut itself.

The end of each part's text is kept until the next part comes, and looked at together with it. A word that
began in the part before is found: the message is refused, or what lies in the later part is masked (the earlier
one is accepted already). Parts that come out of order are each judged alone.
"""

from collections import OrderedDict

from filters.words import WORD_CHARACTERS_MAX, Hits, WordSet
from gateway.smpp.udh import Concat

MESSAGES_MAX = 10_000  # open messages remembered; the oldest is forgotten first: 3 MB

Key = tuple[int, bytes, int, int]


class TornWords:
    def __init__(self) -> None:
        self._ends: OrderedDict[Key, tuple[int, str]] = OrderedDict()

    def scan(self, words: WordSet, plain: str, account: int, dest: bytes, concat: Concat) -> Hits | None:
        """Hits in one part's text, with places in that text; those that began in the part before included."""
        key = (account, dest, concat.ref, concat.total)
        before, end = self._ends.pop(key, (0, ""))
        if before + 1 != concat.seq:
            end = ""
        joined = end + plain
        if concat.seq < concat.total:
            self._ends[key] = (concat.seq, joined[-(WORD_CHARACTERS_MAX - 1) :])
            if len(self._ends) > MESSAGES_MAX:
                self._ends.popitem(last=False)
        hits = words.scan(joined)
        if hits is None or not end:
            return hits
        spans = _behind(hits.spans, len(end))
        if not spans:
            return None  # all of it lies in the part before, which was judged when it came
        return Hits(spans, _behind(hits.masks, len(end)), hits.action, hits.words)


def _behind(spans: tuple[tuple[int, int], ...], start: int) -> tuple[tuple[int, int], ...]:
    """What of these spans lies behind `start`, counted from there."""
    return tuple((max(0, a - start), b - start) for a, b in spans if b > start)
