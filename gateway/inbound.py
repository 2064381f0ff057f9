"""Inbound messages (MO): whose number was texted, what it answers, passed on unchanged, joined for readers.

The owner is found by the destination address among the directory's numbers, longest match first. ESMEs get
every segment as it came; a row with the whole text is stored with the segment that completed it. Segments
that wait for their siblings are taken up again after a restart (`resume`).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec
import structlog

from gateway.customer_pdus import message_id_of
from gateway.delivery import INBOUND, Event
from gateway.smpp.constants import CommandId
from gateway.smpp.decode import decode_body
from gateway.smpp.gsm import fill_bits_after
from gateway.smpp.joiner import Joiner
from gateway.smpp.pdu import DeliverSm
from gateway.smpp.text import decode_text
from gateway.smpp.udh import Segment, segment_of
from store.directory import Number
from store.model import Changes, EventFor, Inbound, Part

if TYPE_CHECKING:
    from gateway.carriers import CarrierState
    from gateway.core import Core

log = structlog.get_logger("inbound")

JOIN_WINDOW_S = 1800.0  # the shortest time that carriers publish for receiving all segments
SEGMENTS_WAITING_MAX = 50_000  # of all long messages together; about 1 KiB each
UCS2 = 8
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


class _Held(msgspec.Struct):
    """A segment that waits for its siblings: its row, its octets without header, what they say alone."""

    row: Inbound
    octets: bytes
    text: str


class InboundMessages:
    def __init__(self, core: "Core") -> None:
        self._core = core
        self._joiner: Joiner[_Held] = Joiner(window_s=JOIN_WINDOW_S, parts_max=SEGMENTS_WAITING_MAX)
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
            readers = core.outcomes.readers.get(account, EventFor.BINDS) if account else 0
            segment = segment_of(pdu)
            text = text_of(segment, pdu.data_coding, carrier.carrier.alphabet)
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
                readers & EventFor.BINDS if concat else readers,
                pdu.raw,
                text,
            )
            if concat is not None:
                held = _Held(row, segment.text, text)
                whole = self._joiner.add(
                    pdu.source_addr, pdu.destination_addr, concat, segment.text, held, now
                )
                # Only the segment that completes a message carries its text: readers see each message once.
                row.text = joined(whole) if whole else ""
                if whole:
                    row.event = readers
            changes.inbound.append(row)
            if row.event:
                events.append(Event(row.id, INBOUND, account, None, 0, 0, now_ms, row.body, row.event))
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

    def resume(self, rows: Iterable[Inbound]) -> None:
        """Take up the segments of long messages again that the store has, oldest first."""
        core = self._core
        now, now_ms = core.clock.now(), core.clock.wall_ms()
        for row in rows:
            pdu = decode_body(CommandId.DELIVER_SM, row.body)
            if row.reference == SINGLE or not isinstance(pdu, DeliverSm):
                continue
            segment = segment_of(pdu)
            if segment.concat is None:
                continue
            carrier = core.carriers.get(row.carrier)
            text = text_of(segment, pdu.data_coding, carrier.carrier.alphabet if carrier else "gsm")
            came_at = now - max(0, now_ms - row.received_at) / 1000
            held = _Held(row, segment.text, text)
            self._joiner.add(row.source, row.dest, segment.concat, segment.text, held, came_at)

    def give_up(self, now: float, changes: Changes) -> list[Event]:
        """Messages whose missing segments will not come: stored for readers with a mark in their place.

        Binds had the segments as they came.
        """
        events: list[Event] = []
        for group in self._joiner.expire(now):
            parts = group.parts
            total = group.key[3]
            first = next(iter(parts.values())).row
            text = "".join(parts[n].text if n in parts else MISSING for n in range(1, total + 1))
            readers = self._core.outcomes.readers.get(first.account, 0) & EventFor.CURSORS
            now_ms = self._core.clock.wall_ms()
            row = Inbound(
                self._core.ids.mint(),
                first.account,
                first.carrier,
                now_ms,
                first.source,
                first.dest,
                first.data_coding,
                first.esm_class,
                first.reference,
                0,
                total,
                first.answers,
                readers,
                b"",
                text,
            )
            changes.inbound.append(row)
            if readers:
                events.append(Event(row.id, INBOUND, first.account, None, 0, 0, now_ms, b"", readers))
            log.warning("an inbound message stays incomplete", missing=group.missing, parts=total)
        return events


def text_of(segment: Segment, data_coding: int, alphabet: str) -> str:
    """What one segment says, read as its header and its carrier mean it."""
    udh = segment.udh
    if udh is None:
        return decode_text(segment.text, data_coding, default_alphabet=alphabet)
    return decode_text(
        segment.text,
        data_coding,
        default_alphabet=alphabet,
        locking=udh.locking,
        single=udh.single,
        fill_bits=fill_bits_after(udh.octets),
    )


def joined(parts: Sequence[_Held]) -> str:
    """The text of a whole message; in UCS-2 a character may begin in one segment and end in the next."""
    if all(part.row.data_coding == UCS2 for part in parts):
        return decode_text(b"".join(part.octets for part in parts), UCS2)
    return "".join(part.text for part in parts)
