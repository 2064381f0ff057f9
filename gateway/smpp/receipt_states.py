"""What a receipt can say about a message: SMPP's message_state, its words, and which outcome beats which."""

from gateway.smpp.constants import MessageState

# As plain integers: they go into rows and PDUs.
(
    SCHEDULED,
    ENROUTE,
    DELIVERED,
    EXPIRED,
    DELETED,
    UNDELIVERABLE,
    ACCEPTED,
    UNKNOWN,
    REJECTED,
    SKIPPED,
) = (int(state) for state in MessageState)

# message_state -> the seven letters of the receipt text (SMPP 3.4 appendix B). SCHEDULED came with 5.0 and
# has no word; to a reader of the text it is on its way.
STATE_WORDS: dict[int, str] = {
    SCHEDULED: "ENROUTE",
    ENROUTE: "ENROUTE",
    DELIVERED: "DELIVRD",
    EXPIRED: "EXPIRED",
    DELETED: "DELETED",
    UNDELIVERABLE: "UNDELIV",
    ACCEPTED: "ACCEPTD",
    UNKNOWN: "UNKNOWN",
    REJECTED: "REJECTD",
    SKIPPED: "SKIPPED",
}

# Word, in capitals -> message_state: the standard's, and those that carriers send in their place. FAILED,
# ACKED, BUFFRED and BUFFERD are read as Kannel and vumi read them.
STATE_OF_WORD: dict[str, int] = {
    "DELIVRD": DELIVERED,
    "DELIVERED": DELIVERED,
    "DELIVER": DELIVERED,
    "DELIVERD": DELIVERED,
    "DELIVRED": DELIVERED,
    "EXPIRED": EXPIRED,
    "DELETED": DELETED,
    "UNDELIV": UNDELIVERABLE,
    "UNDELIVERABLE": UNDELIVERABLE,
    "UNDELIVERED": UNDELIVERABLE,
    "UNDELIVRD": UNDELIVERABLE,
    "UNDELIVERD": UNDELIVERABLE,
    "FAILED": UNDELIVERABLE,
    "ACCEPTD": ACCEPTED,
    "ACCEPTED": ACCEPTED,
    "ACKED": ACCEPTED,
    "ENROUTE": ENROUTE,
    "BUFFRED": ENROUTE,
    "BUFFERD": ENROUTE,
    "BUFFERED": ENROUTE,
    "SCHEDULED": SCHEDULED,
    "UNKNOWN": UNKNOWN,
    "REJECTD": REJECTED,
    "REJECTED": REJECTED,
    "SKIPPED": SKIPPED,
}

# ACCEPTED is final by the letter of SMPP 3.4; in the field it means "buffered", and another receipt follows.
FINAL_STATES = frozenset((DELIVERED, EXPIRED, DELETED, UNDELIVERABLE, REJECTED, SKIPPED))
# What we tell a customer before the receipt, if it asked for intermediate notifications.
NOTIFIED = frozenset((SCHEDULED, ENROUTE, ACCEPTED))


def state_of_word(word: str) -> int:
    """message_state of a `stat:` word or digit, -1 if nobody is known to mean anything by it."""
    state = STATE_OF_WORD.get(word)
    if state is None:
        state = STATE_OF_WORD.get(word.upper().rstrip("."), -1)
        if state < 0 and len(word) == 1 and word in "0123456789":
            state = int(word)
    return state


# How far along a state is: receipts arrive in any order, and a message only moves forward.
_RANK = {SCHEDULED: 0, ENROUTE: 1, UNKNOWN: 1, ACCEPTED: 2} | dict.fromkeys(FINAL_STATES, 3)


def supersedes(new: int, old: int, *, late_delivery_wins: bool = False) -> bool:
    """Whether a receipt of state `new` changes a message of state `old`.

    A final state stays: what comes later is counted and dropped. The one exception is a policy: with
    `late_delivery_wins`, DELIVERED after EXPIRED or UNDELIVERABLE (which does happen) is believed.
    """
    if late_delivery_wins and new == DELIVERED and old in (EXPIRED, UNDELIVERABLE):
        return True
    return _RANK.get(new, 1) > _RANK.get(old, 1)
