"""What customers know for certain: each submit_sm with its answer, each receipt with where it went.

Kept in memory for the checks and written line by line to `journal.txt` for people, as it happens.
"""

from collections import Counter
from pathlib import Path

import msgspec

INTERMEDIATE = frozenset(("ENROUTE", "ACCEPTD"))


class Sent(msgspec.Struct):
    """One submit_sm. Its destination is nobody else's, so a receipt's number tells whose it is."""

    account: str
    number: int
    destination: str
    asked: int  # registered_delivery
    parts: int  # submit_sm to the carrier that it becomes
    sent_at: float
    status: int = -1  # of the answer; -1: none came, and the message may be stored or not
    message_id: str = ""
    states: list[str] = []  # of its receipts, in the order they came
    binds: list[int] = []  # over which of its customer's binds each came

    @property
    def accepted(self) -> bool:
        return self.status == 0

    @property
    def finals(self) -> list[str]:
        return [state for state in self.states if state not in INTERMEDIATE]

    @property
    def told_again(self) -> bool:
        """Whether one bind brought two final receipts."""
        pairs = zip(self.binds, self.states, strict=True)
        over = [bind for bind, state in pairs if state not in INTERMEDIATE]
        return len(over) > len(set(over))


class Books:
    """All customers of one world."""

    def __init__(self, journal: Path) -> None:
        self.sent: list[Sent] = []
        self.by_destination: dict[str, Sent] = {}
        self.by_id: dict[str, Sent] = {}
        self.refused: Counter[int] = Counter()
        self.problems: list[str] = []  # what no answer or receipt may be, as it was seen
        self.receipts = 0
        self.early: dict[str, list[str]] = {}  # destination -> ids of receipts before the answer
        self._journal = journal.open("w", encoding="utf-8", buffering=1 << 16)

    def close(self) -> None:
        self._journal.close()

    def submitted(self, sent: Sent) -> None:
        self.sent.append(sent)
        self.by_destination[sent.destination] = sent

    def answered(self, sent: Sent, now: float, status: int, message_id: str) -> None:
        """The answer to a submit_sm, over the bind that sent it."""
        self._journal.write(f"{now:.4f} answer {sent.account} {sent.destination} {status:x} {message_id}\n")
        if sent.status >= 0:
            self.problems.append(f"{sent.destination}: a second answer (I14)")
            return
        sent.status, sent.message_id = status, message_id
        if status:
            self.refused[status] += 1
            return
        other = self.by_id.setdefault(message_id, sent)
        if other is not sent:
            self.problems.append(
                f"{message_id} was given to {other.destination} and {sent.destination} (I16)"
            )
        for told in self.early.pop(sent.destination, ()):
            if told != message_id:
                self.problems.append(
                    f"{sent.destination}: a receipt said {told}, the answer {message_id} (I10)"
                )

    def receipt(
        self, account: str, now: float, message_id: str, destination: str, state: str, bind: int = 0
    ) -> None:
        """A receipt that reached a customer, over its nth bind."""
        self._journal.write(f"{now:.4f} receipt {account} {destination} {message_id} {state}\n")
        self.receipts += 1
        sent = self.by_destination.get(destination)
        if sent is None or sent.account != account:
            self.problems.append(f"{account} got a receipt for {destination}, which it never sent to (I9)")
            return
        if sent.status > 0:
            self.problems.append(f"{destination}: a receipt though it was refused with {sent.status:x}")
        elif sent.status == 0 and message_id != sent.message_id:
            self.problems.append(f"{destination}: its receipt says {message_id}, not {sent.message_id} (I10)")
        elif sent.status < 0:
            self.early.setdefault(destination, []).append(message_id)
        if not sent.asked:
            self.problems.append(f"{destination}: a receipt that nobody asked for")
        if sent.finals and state != sent.finals[-1]:
            self.problems.append(f"{destination}: {state} after {sent.finals[-1]} (P4)")
        sent.states.append(state)
        sent.binds.append(bind)

    @property
    def accepted(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.accepted]

    @property
    def missing(self) -> list[Sent]:
        """Accepted with a receipt asked for, and no final one came."""
        return [sent for sent in self.sent if sent.accepted and sent.asked and not sent.finals]
