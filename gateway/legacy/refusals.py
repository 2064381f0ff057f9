"""Reasons of the one door as the answers that clients of the old gateways know, and the true reason beside them."""

from collections.abc import Iterable

from filters.verdict import Reason, explain, name_of
from gateway.http.messages import Headers

PROBLEM = b"x-gateway-problem"
REPLACED = b"x-gateway-replaced"

DENIED = "Number(s) has/have been denied by white- and/or black-lists."
NOT_ROUTABLE = (403, "Not routable. Do not try again.")
TRY_LATER = (503, "Temporal failure, try again later.")

LISTED = frozenset({Reason.BLACKLISTED_GLOBAL, Reason.BLACKLISTED_TYPE, Reason.BLACKLISTED_GROUP})
_LATER = frozenset({Reason.RATE_EXCEEDED, Reason.DISK_LOW, Reason.DISK_FULL, Reason.SHUTTING_DOWN})

_FILTER = "Value filter failed for user [%s] (%s filter mismatch)."
_CANNOT_SEND = (500, "Cannot send submit_sm, check SMPPClientManagerPB log file for details")
# reason -> (status, text, what stands in the text's second place)
_JASMIN: dict[int, tuple[int, str, str]] = {
    Reason.INVALID_NUMBER: (400, _FILTER, "destination_address"),
    Reason.BLACKLISTED_GLOBAL: (400, _FILTER, "destination_address"),
    Reason.BLACKLISTED_TYPE: (400, _FILTER, "destination_address"),
    Reason.BLACKLISTED_GROUP: (400, _FILTER, "destination_address"),
    Reason.SENDER_NOT_ALLOWED: (400, _FILTER, "source_address"),
    Reason.WORD_REJECTED: (400, _FILTER, "content"),
    Reason.REVIEW_REQUIRED: (400, _FILTER, "content"),
    Reason.BAD_PRIORITY: (400, _FILTER, "priority"),
    Reason.BAD_VALIDITY: (400, _FILTER, "validity_period"),
    Reason.BAD_SCHEDULE: (400, _FILTER, "schedule_delivery_time"),
    Reason.TOO_LONG: (400, "Authorization failed for user [%s] (Long content not authorized).", ""),
    Reason.NO_ROUTE: (412, "No route found", ""),
    Reason.QUOTA_EXCEEDED: (403, "Cannot charge submit_sm, check RouterPB log file for details", ""),
    Reason.RATE_EXCEEDED: (403, "User throughput exceeded", ""),
}


def kannel_refusal(reason: int) -> tuple[int, str]:
    """(status, text) that is nearest to a reason: Kannel knows lists, "never", and "later"."""
    if reason in LISTED:
        return 400, DENIED
    return TRY_LATER if reason in _LATER else NOT_ROUTABLE


def jasmin_refusal(reason: int, user: str) -> tuple[int, str]:
    """(status, text) that is nearest to a reason."""
    status, text, field = _JASMIN.get(reason, (*_CANNOT_SEND, ""))
    if text is _FILTER:
        return status, text % (user, field)
    return status, text % user if "%s" in text else text


def problem_header(reasons: Iterable[int]) -> Headers:
    """The true reasons, each as `name: sentence`, in one header; nothing for none."""
    known = dict.fromkeys(reasons)
    text = " | ".join(f"{name_of(reason)}: {explain(reason)}" for reason in known)
    return [(PROBLEM, text.encode("ascii", "replace"))] if text else []


def told(name: str, detail: str) -> Headers:
    """A reason that is not the door's."""
    clean = " ".join(f"{name}: {detail}".split())
    return [(PROBLEM, clean.encode("ascii", "replace"))]
