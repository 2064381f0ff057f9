"""What must hold once everything is healed: each law looks at all the evidence and names what breaks it.

The evidence is independent of the daemon: what customers were told (`books`), what carriers saw (their logs),
and what the files say. Letters and numbers are those of the README's promises and of the test plan's invariants.
"""

from collections import Counter
from collections.abc import Callable

import msgspec

from gateway.sim.carrier_log import PartSeen
from store.model import PartFlag, State
from tests.faults.books import Books
from tests.faults.stored import Stored

WORD_OF = {
    State.DELIVERED: "DELIVRD",
    State.FAILED: "UNDELIV",
    State.EXPIRED: "EXPIRED",
    State.REJECTED: "REJECTD",
    State.CANCELLED: "DELETED",
    State.UNKNOWN: "UNKNOWN",
}
SHOWN_MAX = 5


class Evidence(msgspec.Struct):
    """All that is known of one run."""

    books: Books
    seen: list[PartSeen]  # by all carriers
    stored: Stored
    window_max: int  # the largest that a carrier saw on a bind
    window: int  # what a bind may have
    starts: int = 1  # of the daemon, the first included
    crashes: int = 0
    duplicates_per_crash_max: int = 0
    timed_out: bool = False  # some submit_sm had no answer in time: the carrier may still count them
    at_most_once: bool = False  # the carrier's policy is hold or fail

    def copies(self) -> Counter[tuple[int, int]]:
        """(destination, part number) -> submit_sm that a carrier took, or did not say that it refused."""
        counted: Counter[tuple[int, int]] = Counter()
        for part in self.seen:
            if part.status <= 0:
                counted[int(part.message.destination_addr), part.message.part[2]] += 1
        return counted

    def attempts_of(self, dest: int, part_no: int) -> int:
        """How many submit_sm of a part the files know of."""
        return sum(
            self.stored.attempts[p.id] for p in self.stored.parts.get(dest, ()) if p.part_no == part_no
        )

    def duplicated(self) -> Counter[tuple[int, int]]:
        return Counter({key: count for key, count in self.copies().items() if count > 1})


def accepted_is_stored(e: Evidence) -> list[str]:
    """P1, I1: what was answered with ROK is in the files, whole, under the id that was told."""
    found = []
    for sent in e.books.accepted:
        parts = e.stored.parts.get(int(sent.destination), [])
        if not parts:
            found.append(f"{sent.message_id} to {sent.destination} was accepted and is not stored")
        elif parts[0].id != int(sent.message_id) or len(parts) != sent.parts:
            found.append(f"{sent.message_id} is stored as {[part.id for part in parts]}")
    return found


def refused_is_not_stored(e: Evidence) -> list[str]:
    """P1: what was refused left no trace."""
    return [
        f"{sent.destination} was refused with {sent.status:x} and is stored"
        for sent in e.books.sent
        if sent.status > 0 and int(sent.destination) in e.stored.parts
    ]


def everything_is_final(e: Evidence) -> list[str]:
    """P5, I2: each stored part has a final state. (More than one cannot be: the table's key.)"""
    return [
        f"{part.id} to {dest} is still {State(part.state).name}"
        for dest, parts in e.stored.parts.items()
        for part in parts
        if part.state < State.DELIVERED
    ]


def customers_are_told(e: Evidence) -> list[str]:
    """P4, P5: every accepted message whose customer asked has its final receipt, and it says how it ended."""
    found = [f"{sent.message_id} to {sent.destination} has no final receipt" for sent in e.books.missing]
    for sent in e.books.sent:
        parts = e.stored.parts.get(int(sent.destination), [])
        ends = {WORD_OF.get(State(part.state), "open") for part in parts}
        if sent.finals and (
            (ends == {"DELIVRD"}) != (sent.finals[-1] == "DELIVRD") or sent.finals[-1] not in ends
        ):
            found.append(f"{sent.destination} was told {sent.finals[-1]}, the files say {sorted(ends)}")
    return found


def customers_are_told_once(e: Evidence) -> list[str]:
    """P4: a second final receipt comes only where the bind that had the first was lost, the process died, or the
    files say that the first was not answered in time."""
    return [
        f"{sent.destination} was told {sent.states} over binds {sent.binds}"
        for sent in e.books.sent
        if sent.told_again and int(sent.destination) not in e.stored.tried_again
    ]


def nothing_unstored_is_sent(e: Evidence) -> list[str]:
    """I3: what a carrier saw is in the files."""
    return [
        f"{part.message.destination_addr} reached a carrier and is not stored"
        for part in e.seen
        if int(part.message.destination_addr) not in e.stored.parts
    ]


def everything_delivered_was_sent(e: Evidence) -> list[str]:
    """I1: no part counts as delivered that no carrier ever saw."""
    copies = e.copies()
    return [
        f"{part.id} to {dest} is DELIVERED and no carrier saw it"
        for dest, parts in e.stored.parts.items()
        for part in parts
        if part.state == State.DELIVERED and not copies[dest, part.part_no]
    ]


def copies_are_explained(e: Evidence) -> list[str]:
    """P3, I4: as many copies as attempts are recorded, and one more a crash; one only on at-most-once carriers."""
    found = []
    for (dest, part_no), count in e.duplicated().items():
        recorded = e.attempts_of(dest, part_no)
        if e.at_most_once or count > recorded + e.crashes:
            found.append(f"part {part_no} to {dest}: {count} copies, {recorded} attempts")
    return found


def copies_are_marked(e: Evidence) -> list[str]:
    """P3: each part that a carrier took more than once is marked as a possible duplicate."""
    return [
        f"{part.id} to {dest}: {count} copies, not marked"
        for (dest, part_no), count in e.duplicated().items()
        for part in e.stored.parts.get(dest, ())
        if part.part_no == part_no and not part.flags & PartFlag.MAYBE_DUPLICATE
    ]


def copies_are_bounded(e: Evidence) -> list[str]:
    """P3: duplicates by crashes stay within windows and what was answered but not yet committed."""
    by_crash = sum(
        max(0, count - max(1, e.attempts_of(dest, part_no)))
        for (dest, part_no), count in e.duplicated().items()
    )
    bound = e.crashes * e.duplicates_per_crash_max
    return (
        [f"{by_crash} duplicates by {e.crashes} crashes, at most {bound} are promised"]
        if by_crash > bound
        else []
    )


def windows_hold(e: Evidence) -> list[str]:
    """P7, I5: no bind ever had more unanswered than it may, but for what we had given up waiting for."""
    most = e.window * (2 if e.timed_out else 1)
    return [f"a carrier saw a window of {e.window_max} on a bind"] if e.window_max > most else []


def parked_is_explained(e: Evidence) -> list[str]:
    """P4: a receipt stays parked only where its submit_sm was never answered, or repeats one from before a start."""
    explained = Counter({dest: count - 1 for (dest, _), count in e.duplicated().items()})
    for dest, parts in e.stored.parts.items():
        unanswered = any(not e.stored.accepted_attempts[part.id] for part in parts)
        repeated = e.starts > 1 and all(State.DELIVERED <= part.state < State.UNKNOWN for part in parts)
        explained[dest] += unanswered or repeated
    return [f"a receipt for {dest} is parked" for dest in set(e.stored.parked) if not explained[dest]]


def files_agree(e: Evidence) -> list[str]:
    """I7, I17, P15: files sound, quota and roll-ups equal to a recount."""
    return e.stored.problems


def nothing_odd_was_seen(e: Evidence) -> list[str]:
    """I9, I10, I14, I16: no receipt to a wrong account, no second answer, no id twice."""
    return e.books.problems


LAWS: tuple[Callable[[Evidence], list[str]], ...] = (
    accepted_is_stored,
    refused_is_not_stored,
    everything_is_final,
    customers_are_told,
    customers_are_told_once,
    nothing_unstored_is_sent,
    everything_delivered_was_sent,
    copies_are_explained,
    copies_are_marked,
    copies_are_bounded,
    windows_hold,
    parked_is_explained,
    files_agree,
    nothing_odd_was_seen,
)


def broken(e: Evidence) -> dict[str, list[str]]:
    """Law -> what breaks it, for the laws that are broken."""
    found = {law.__name__: law(e) for law in LAWS}
    return {name: problems for name, problems in found.items() if problems}


def in_words(found: dict[str, list[str]]) -> str:
    """For people: the first few of each."""
    lines = []
    for name, problems in found.items():
        lines.append(f"{name}: {len(problems)}")
        lines += [f"    {problem}" for problem in problems[:SHOWN_MAX]]
    return "\n".join(lines)
