"""A message's life as lines of text: what happened to each part, in order of time, and why."""

from collections.abc import Iterator
from datetime import UTC, datetime

from filters.verdict import explain
from gateway.control_traffic import LifeReport, state_name
from gateway.smpp.constants import CommandId, EsmClass, status_name
from gateway.smpp.decode import decode_body
from gateway.smpp.pdu import SubmitSm
from gateway.smpp.text import decode_text
from gateway.smpp.udh import parse_udh
from store.model import LINK_LOST, NO_ANSWER, NO_ERROR, Part, State

Moment = tuple[int, str]  # UTC milliseconds, what happened


def life_lines(report: LifeReport, *, show_text: bool = False) -> Iterator[str]:
    """The message's head, then for each part a head and a line a moment."""
    life = report.life
    first = life.parts[0]
    account = report.accounts.get(first.account, f"number {first.account}")
    yield (
        f"Message {life.id} of account {account}: {_address(first.source)} to {first.dest},"
        f" {len(life.parts)} part{'s' if len(life.parts) > 1 else ''}"
    )
    for part in life.parts:
        yield f"Part {part.part_no} of {part.parts} ({part.id}): {State(part.state).name}{_reason(part.error)}"
        if show_text:
            yield f"  {_text(part)}"
        for at, what in sorted(_moments(report, part)):
            yield f"  {_time(at)}  {what}"


def _moments(report: LifeReport, part: Part) -> Iterator[Moment]:
    def carrier(identifier: int) -> str:
        return report.carriers.get(identifier, f"carrier {identifier}")

    life = report.life
    yield part.accepted_at, f"accepted; route {part.route} chose {carrier(part.carrier)}"
    if part.deliver_at:
        yield part.deliver_at, "due, as scheduled"
    for attempt in life.attempts:
        if attempt.part_id == part.id:
            where = f"{carrier(attempt.carrier)}, bind {attempt.bind}, sequence {attempt.sequence_number}"
            yield attempt.sent_at, f"try {attempt.n}: sent to {where}"
            if attempt.answered_at:
                named = f", smsc_message_id {attempt.smsc_message_id}" if attempt.smsc_message_id else ""
                yield attempt.answered_at, f"try {attempt.n}: {_status(attempt.status)}{named}"
    events: dict[int, str] = {}
    for receipt in life.receipts:
        if receipt.part_id == part.id:
            source = f"from {carrier(receipt.carrier)}, bind {receipt.bind}" if receipt.raw else "made here"
            named = state_name(receipt.message_state)
            events[receipt.id] = named
            # A network's own error number: what it means differs from carrier to carrier.
            number = "" if receipt.error in (0, NO_ERROR) else f" (error {receipt.error})"
            yield receipt.received_at, f"receipt {named}{number}, {source}"
    for outcome in life.outcomes:
        if outcome.part_id == part.id:
            yield outcome.done_at, f"ended as {State(outcome.state).name}{_reason(outcome.error)}"
    for delivery in life.deliveries:
        for event in delivery.event_ids:
            if event in events:
                end = "" if delivery.done else ", to be tried again"
                yield (
                    delivery.at,
                    f"receipt {events[event]} to {delivery.bind}: {_status(delivery.status)}{end}",
                )


def _status(status: int) -> str:
    if status == NO_ANSWER:
        return "no answer in time"
    return "connection lost before the answer" if status == LINK_LOST else status_name(status)


def _reason(error: int) -> str:
    return "" if error in (0, NO_ERROR) else f" ({explain(error)})"


def _time(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}.{at % 1000:03d}"


def _address(octets: bytes) -> str:
    return octets.decode("utf-8", "replace") or "(default sender)"


def _text(part: Part) -> str:
    pdu = decode_body(CommandId.SUBMIT_SM, part.body)
    assert isinstance(pdu, SubmitSm)
    udh = parse_udh(pdu.short_message) if pdu.esm_class & EsmClass.UDHI else None
    if udh is None:
        return decode_text(pdu.short_message, pdu.data_coding)
    body = pdu.short_message[udh.octets :]
    return decode_text(body, pdu.data_coding, locking=udh.locking, single=udh.single)
