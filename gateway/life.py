"""A message's life as lines of text: what happened to each part, in order of time, and why."""

from collections.abc import Iterator
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import msgspec

from filters.verdict import explain
from gateway.control_traffic import LifeReport, state_name
from gateway.message_texts import part_text
from gateway.smpp.constants import CommandId, status_name
from gateway.smpp.decode import decode_body
from gateway.smpp.encode import header
from gateway.smpp.pdu import SubmitSm
from store.model import LINK_LOST, NO_ANSWER, NO_ERROR, Part, PartFlag, State

Moment = tuple[int, str]  # UTC milliseconds, what happened
WISHES = {0: "no receipt", 1: "a receipt", 2: "a receipt on failure", 3: "a receipt on success"}
LANES = {0: "bulk", 1: "normal", 2: "urgent"}


def life_lines(report: LifeReport, *, show_text: bool = False) -> Iterator[str]:
    """The message's head, then for each part a head and a line a moment. Texts only where asked for.

    PDUs are shown in hex as they were on the wire; those of a message hold no password.
    """
    life = report.life
    first = life.parts[0]
    account = report.accounts.get(first.account, f"number {first.account}")
    yield (
        f"Message {life.id} of account {account}: {_address(first.source)} to {first.dest},"
        f" {len(life.parts)} part{'s' if len(life.parts) > 1 else ''}"
    )
    for part in life.parts:
        state = f"{State(part.state).name}{_reason(part.error)}"
        yield f"Part {part.part_no} of {part.parts} ({part.id}): {state}"
        if show_text:
            yield f"  {part_text(part)}"
        for at, what in sorted(_moments(report, part, show_text=show_text), key=itemgetter(0)):
            yield f"  {_time(at)}  {what}"


def _moments(report: LifeReport, part: Part, *, show_text: bool) -> Iterator[Moment]:
    yield part.accepted_at, _accepted(part)
    for what in _rules(part, show_text=show_text):
        yield part.accepted_at, what
    yield part.accepted_at, _routed(report, part)
    if part.deliver_at:
        yield part.deliver_at, "due, as scheduled"
    yield from _attempts(report, part)
    yield from _receipts_and_deliveries(report, part)


def _accepted(part: Part) -> str:
    octets = len(_submit(part).short_message)
    wish = WISHES[part.registered_delivery & 3]
    said = f"accepted: {octets} octets, data_coding {part.data_coding}, {LANES.get(part.lane, part.lane)}, wants {wish}"
    if part.flags & PartFlag.VALIDITY_GIVEN:
        said += f", valid until {_time(part.expires_at)}"
    if part.deliver_at:
        said += f", to be sent at {_time(part.deliver_at)}"
    return said


def _rules(part: Part, *, show_text: bool) -> Iterator[str]:
    """Which rules touched it, out of its record."""
    detail = _detail(part)
    if detail.get("words"):
        did = "masked" if part.flags & PartFlag.MASKED else "passed, as the account is trusted"
        yield f"words: {', '.join(detail['words'])} ({detail.get('action', 'mask')}): {did}"
        if show_text and part.flags & PartFlag.MASKED:
            yield f"it said: {detail.get('original', '')}"
    if part.flags & PartFlag.SPLIT_BY_US:
        yield f"cut here: part {part.part_no} of {part.parts}"
    if part.flags & PartFlag.CONCATENATED:
        yield "a segment that the customer cut"
    if part.flags & PartFlag.ONE_OF_MANY:
        yield f"one number of a submit_multi, whose customer was given {detail.get('first')}"
    if part.flags & PartFlag.MAYBE_DUPLICATE:
        yield "it may have been sent twice: an attempt's outcome is not known"


def _routed(report: LifeReport, part: Part) -> str:
    route = report.routes.get(part.route, f"{part.route}, which is gone")
    why = ", as the carriers before it were down" if _detail(part).get("failover") else ""
    return f"route {route}, the longest prefix that fits: {_carrier(report, part.carrier)}{why}"


def _attempts(report: LifeReport, part: Part) -> Iterator[Moment]:
    for attempt in report.life.attempts:
        if attempt.part_id != part.id:
            continue
        where = (
            f"{_carrier(report, attempt.carrier)}, bind {attempt.bind}, sequence {attempt.sequence_number}"
        )
        body = part.body if attempt.pdu is None else attempt.pdu
        octets = header(CommandId.SUBMIT_SM, 0, attempt.sequence_number, len(body)) + body
        yield attempt.sent_at, f"try {attempt.n}: sent to {where}: {octets.hex()}"
        named = f", smsc_message_id {attempt.smsc_message_id}" if attempt.smsc_message_id else ""
        yield attempt.answered_at or attempt.sent_at, f"try {attempt.n}: {_status(attempt.status)}{named}"


def _receipts_and_deliveries(report: LifeReport, part: Part) -> Iterator[Moment]:
    life = report.life
    events: dict[int, str] = {}
    for receipt in life.receipts:
        if receipt.part_id == part.id:
            named = state_name(receipt.message_state)
            events[receipt.id] = named
            # A network's own error number: what it means differs from carrier to carrier.
            number = "" if receipt.error in (0, NO_ERROR) else f" (error {receipt.error})"
            source = "made here"
            if receipt.raw:
                source = f"from {_carrier(report, receipt.carrier)}, bind {receipt.bind}: {receipt.raw.hex()}"
            told = "" if receipt.event else ", of which the customer is not told"
            yield receipt.received_at, f"receipt {named}{number}{told}, {source}"
    for outcome in life.outcomes:
        if outcome.part_id == part.id:
            yield outcome.done_at, f"ended as {State(outcome.state).name}{_reason(outcome.error)}"
    for delivery in life.deliveries:
        for event in delivery.event_ids:
            if event in events:
                end = "" if delivery.done else ", to be tried again"
                said = f"receipt {events[event]} to {delivery.bind}: {_status(delivery.status)}{end}"
                yield delivery.at, said


def _carrier(report: LifeReport, identifier: int) -> str:
    return report.carriers.get(identifier, f"carrier {identifier}")


def _detail(part: Part) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.msgpack.decode(part.detail) if part.detail else {}
    return found


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


def _submit(part: Part) -> SubmitSm:
    pdu = decode_body(CommandId.SUBMIT_SM, part.body)
    assert isinstance(pdu, SubmitSm)
    return pdu
