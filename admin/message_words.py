"""Words for messages: their states, why they failed with the raw code, and numbers and texts under a mask."""

from collections.abc import Mapping

import msgspec

from admin.i18n import N_, Language, translate
from filters.receipts import explain_network_error
from filters.statuses import STATUSES
from filters.verdict import NONE, OURS_FROM, Reason, explain, name_of
from store.model import NO_ERROR, State

FAILURES = frozenset({State.FAILED, State.EXPIRED, State.REJECTED, State.CANCELLED, State.UNKNOWN})


class Shown(msgspec.Struct, frozen=True):
    """A state as people see it; `taken` tells two ends of one state apart (None: no matter)."""

    title: str
    tone: str
    states: frozenset[State]
    taken: bool | None = None


SHOWN: Mapping[str, Shown] = {
    "waiting": Shown(
        N_("Waiting to be sent"),
        "plain",
        frozenset({State.SCHEDULED, State.QUEUED, State.CLAIMED, State.REVIEW}),
    ),
    "held": Shown(N_("Held"), "warn", frozenset({State.HELD})),
    "submitted": Shown(N_("Submitted"), "info", frozenset({State.SENT})),
    "delivered": Shown(N_("Delivered"), "good", frozenset({State.DELIVERED})),
    "undelivered": Shown(N_("Undelivered"), "bad", frozenset({State.FAILED}), taken=True),
    "submit-failed": Shown(N_("Submit failed"), "bad", frozenset({State.FAILED}), taken=False),
    "expired": Shown(N_("Expired"), "warn", frozenset({State.EXPIRED})),
    "rejected": Shown(N_("Refused"), "bad", frozenset({State.REJECTED})),
    "unknown": Shown(N_("Unknown"), "warn", frozenset({State.UNKNOWN})),
    "not-sent": Shown(N_("Not sent"), "plain", frozenset({State.CANCELLED})),
}
ANY_FAILURE = "failed"
CHOICES = (
    (ANY_FAILURE, N_("All that failed")),
    *((key, shown.title) for key, shown in SHOWN.items()),
)
# What a carrier left without a reason.
_WITHOUT_REASON = {
    State.FAILED: N_("The network could not deliver it and gave no reason."),
    State.EXPIRED: N_("The network gave up: the handset was not reached in time."),
    State.REJECTED: N_("The carrier rejected it and gave no reason."),
    State.CANCELLED: N_("It was cancelled before it was delivered."),
    State.UNKNOWN: N_("The carrier does not know what became of it."),
}
_NUMBERS = {verdict: reason for reason in Reason if (verdict := name_of(reason))}
_STATUSES = {status.name: number for number, status in STATUSES.items()}
NO_REASON = "none"


def shown_as(state: int, *, taken: bool) -> tuple[str, Shown]:
    """(key, words) of a message's state."""
    for key, shown in SHOWN.items():
        if state in shown.states and shown.taken in (None, taken):
            return key, shown
    raise AssertionError(state)


def states_of(key: str) -> tuple[frozenset[int], bool | None]:
    """The states behind a choice of the filter, and whether a carrier must have taken them; all for ""."""
    if key == ANY_FAILURE:
        return frozenset(int(state) for state in FAILURES - {State.CANCELLED}), None
    shown = SHOWN.get(key)
    return (frozenset(int(state) for state in shown.states), shown.taken) if shown else (frozenset(), None)


def reason_of(state: int, error: int, *, taken: bool, language: Language) -> str:
    """Why a message failed, in the reader's language, with the code; "" for one that did not."""
    if state not in FAILURES:
        return ""
    if error in (0, NO_ERROR, NONE):
        return translate(language, _WITHOUT_REASON[State(state)])
    if taken and error < OURS_FROM:
        return explain_network_error(error, language)
    return explain(error, language)


def code_of(state: int, error: int, *, taken: bool) -> str:
    """The raw code, as the filter takes it: `blacklisted-group`, `ESME_RTHROTTLED`, `err 27`, `none`."""
    if state not in FAILURES:
        return ""
    if error in (0, NO_ERROR, NONE):
        return NO_REASON
    return f"err {error}" if taken and error < OURS_FROM else name_of(error)


def read_code(text: str) -> tuple[frozenset[int], bool | None] | None:
    """(errors, whether a carrier must have taken it) of a code as people write it; None for what is none.

    Takes names of ours and of command_statuses, `err 27`, and numbers, decimal or with 0x.
    """
    text = text.strip()
    if text.lower() == NO_REASON:
        return frozenset({0, NO_ERROR}), None
    if text.lower() in _NUMBERS:
        return frozenset({int(_NUMBERS[text.lower()])}), None
    if text.upper() in _STATUSES:
        return frozenset({_STATUSES[text.upper()]}), False
    head = text[:3].lower()
    taken = True if head == "err" else None
    digits = text[3:].strip(" :") if taken else text
    try:
        number = int(digits, 16 if digits[:2].lower() == "0x" else 10)
    except ValueError:
        return None
    return (frozenset({number}), taken) if 0 <= number < NONE else None


# -- masks --------------------------------------------------------------------------------------------


def masked_number(number: int) -> str:
    """A number of which only the beginning and the end are shown: `861****8000`."""
    text = str(number)
    if len(text) < 8:
        return text[:1] + "****"
    head = 3 if not (text.startswith("86") and len(text) == 13) else 5
    return f"{text[:head]}****{text[-4:]}"


def masked_text(text: str) -> str:
    """A text of which only the first characters are shown, and none of its digits."""
    head = "".join("*" if character.isdigit() else character for character in text[:6])
    return f"{head}…" if len(text) > 6 else "*" * len(text)
