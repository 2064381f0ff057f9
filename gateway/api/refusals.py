"""Reasons of the one door as HTTP problems: which type, which field."""

from filters.verdict import Reason, explain, name_of

# reason -> (problem type, pointer of the field that it is about)
_PROBLEMS: dict[int, tuple[str, str]] = {
    Reason.INVALID_NUMBER: ("validation", "/to"),
    Reason.SENDER_NOT_ALLOWED: ("forbidden", "/from"),
    Reason.WORD_REJECTED: ("content-rejected", "/text"),
    Reason.REVIEW_REQUIRED: ("review-required", ""),
    Reason.BLACKLISTED_GLOBAL: ("blacklisted", "/to"),
    Reason.BLACKLISTED_TYPE: ("blacklisted", "/to"),
    Reason.BLACKLISTED_GROUP: ("blacklisted", "/to"),
    Reason.NO_ROUTE: ("no-route", "/to"),
    Reason.QUOTA_EXCEEDED: ("quota-exceeded", ""),
    Reason.RATE_EXCEEDED: ("rate-limited", ""),
    Reason.TOO_LONG: ("validation", "/text"),
    Reason.BAD_SCHEDULE: ("validation", "/schedule_at"),
    Reason.BAD_VALIDITY: ("validation", "/validity"),
    Reason.BAD_PRIORITY: ("validation", "/priority"),
    Reason.BAD_ESM_CLASS: ("validation", "/udh"),
    Reason.DISK_LOW: ("queue-full", ""),
    Reason.DISK_FULL: ("queue-full", ""),
    Reason.SHUTTING_DOWN: ("queue-full", ""),
}
# Refusals that have nothing to do with this message: all of a batch would share them.
OF_THE_GATEWAY = frozenset({Reason.DISK_LOW, Reason.DISK_FULL, Reason.SHUTTING_DOWN, Reason.RATE_EXCEEDED})


def problem_of(reason: int) -> tuple[str, str, str, str]:
    """(problem type, pointer, code, sentence) of a refusal."""
    kind, pointer = _PROBLEMS.get(reason, ("validation", ""))
    return kind, pointer, name_of(reason), explain(reason)
