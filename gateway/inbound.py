"""Inbound messages (MO): whose number was texted, what it answers, each segment on unchanged, joined for readers.

The owner is found by the destination address among the directory's numbers, longest match first. ESMEs get
every segment as it came; a row with the whole text is stored with the segment that completed it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from gateway.customer_pdus import message_id_of
from gateway.delivery import INBOUND, Event
from gateway.smpp.constants import CommandId
from gateway.smpp.decode import decode_body
from gateway.smpp.joiner import Joiner
from gateway.smpp.pdu import DeliverSm
from gateway.smpp.text import decode_text
from gateway.smpp.udh import segment_of
from store.directory import Number
from store.model import Changes, Inbound, Part

if TYPE_CHECKING:
    from gateway.carriers import CarrierState
    from gateway.core import Core

log = structlog.get_logger("inbound")

JOIN_WINDOW_S = 1800.0  # the shortest time that carriers publish for receiving all segments
MISSING = "[…]"  # stands for a segment that never came
SINGLE = -1
ANSWERS_WITHIN_MS = 72 * 3_600_000  # an MO answers the newest message to its sender of the last 72 hours


class Owners:
    """Destination addresses and the accounts that own them; longest prefix wins, exact before prefix."""

    def __init__(self, numbers: dict[int, Number]) -> None:
        self._exact: dict[bytes, int] = {}
        self._prefixes: dict[bytes, int] = {}
        for number in numbers.values():
            address = number.address.lstrip("+").encode()
            if address.endswith(b"*"):
                self._prefixes[address[:-1]] = number.account
            else:
                self._exact[address] = number.account
        self._lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)

    def find(self, address: bytes) -> int:
        """The account that owns an address, 0 for nobody."""
        address = address.lstrip(b"+")
        account = self._exact.get(address)
        if account is not None:
            return account
        for length in self._lengths:
            account = self._prefixes.get(address[:length])
            if account is not None:
                return account
        return 0


class InboundMessages:
    def __init__(self, core: "Core") -> None:
        self._core = core
        self._joiner: Joiner[Inbound] = Joiner(
            window_s=JOIN_WINDOW_S, parts_max=core.config.limits.segments_max
        )
        self.owners = Owners({})
        self.received = 0
        self.unowned = 0

    async def answered(self, pdus: Sequence[DeliverSm]) -> list[int]:
        """Which of our messages each of these answers: its id, or 0."""
        return [await self._answers(pdu) for pdu in pdus]

    def arrived(
        self,
        carrier: "CarrierState",
        pdus: Sequence[DeliverSm],
        answered: Sequence[int],
        changes: Changes,
    ) -> list[Event]:
        """Segments from a carrier, in wire order: their rows, and the events for their owners."""
        core = self._core
        now_ms, now = core.clock.wall_ms(), core.clock.now()
        events: list[Event] = []
        for pdu, answers in zip(pdus, answered, strict=True):
            account = self.owners.find(pdu.destination_addr)
            self.received += 1
            if account not in core.accounts:
                account = 0
                self.unowned += 1
            segment = segment_of(pdu)
            alphabet = carrier.carrier.alphabet
            text = decode_text(segment.text, pdu.data_coding, default_alphabet=alphabet)
            concat = segment.concat
            row = Inbound(
                core.ids.mint(),
                account,
                carrier.id,
                now_ms,
                pdu.source_addr,
                pdu.destination_addr,
                pdu.data_coding,
                pdu.esm_class,
                concat.ref if concat else SINGLE,
                concat.seq if concat else 1,
                concat.total if concat else 1,
                answers,
                1 if account else 0,
                pdu.raw,
                text,
            )
            if concat is not None:
                whole = self._joiner.add(
                    pdu.source_addr, pdu.destination_addr, concat, segment.text, row, now
                )
                # Only the segment that completes a message carries its text: readers see each message once.
                row.text = "".join(part_text(part) for part in whole) if whole else ""
            changes.inbound.append(row)
            if account:
                events.append(Event(row.id, INBOUND, account, None, 0, 0, now_ms, row.body))
        return events

    async def _answers(self, pdu: DeliverSm) -> int:
        """The newest message to this subscriber from the number that was texted, 0 if there is none."""
        subscriber = pdu.source_addr.lstrip(b"+")
        if not subscriber.isdigit() or len(subscriber) > 18:
            return 0
        since_ms = self._core.clock.wall_ms() - ANSWERS_WITHIN_MS
        part: Part | None = await self._core.ports.store.read(
            lambda s: s.recent_part_to(int(subscriber), pdu.destination_addr, since_ms=since_ms)
        )
        return message_id_of(part) if part else 0

    def give_up(self, now: float, changes: Changes) -> None:
        """Messages whose missing segments will not come: stored for readers with a mark in their place."""
        for group in self._joiner.expire(now):
            parts = group.parts
            total = group.key[3]
            first = next(iter(parts.values()))
            text = "".join(part_text(parts[n]) if n in parts else MISSING for n in range(1, total + 1))
            changes.inbound.append(
                Inbound(
                    self._core.ids.mint(),
                    first.account,
                    first.carrier,
                    self._core.clock.wall_ms(),
                    first.source,
                    first.dest,
                    first.data_coding,
                    first.esm_class,
                    first.reference,
                    0,
                    total,
                    first.answers,
                    0,
                    b"",
                    text,
                )
            )
            log.warning("an inbound message stays incomplete", missing=group.missing, parts=total)


def part_text(part: Inbound) -> str:
    """The text of one segment, read from its body again: rows hold only whole texts."""
    pdu = decode_body(CommandId.DELIVER_SM, part.body)
    assert isinstance(pdu, DeliverSm)
    return decode_text(segment_of(pdu).text, pdu.data_coding)
