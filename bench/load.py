"""The load client: a fast ESME that costs a few microseconds a message, and checks every id.

Prebuilt submit_sm PDUs (sequence number and destination patched in place), header-only parsing of answers and
receipts, one send for a batch. Full speed within a window, or an offered rate, where latency counts from the
schedule and not from when the client got around to sending.

    python -m bench.load --port 2775 --system-id bench --password secret --messages 200000 --binds 4
"""

import gc
import resource
import sys
import time
from collections.abc import Iterator
from itertools import count, repeat
from struct import Struct
from typing import Annotated

import msgspec
import trio

from bench.corpus import DESTINATION_PREFIX
from bench.tally import Tally
from gateway.sim.message import address, sm_body
from gateway.sim.options import help_, parse
from gateway.sim.texts import texts
from gateway.sim.wire import (
    BIND_TRANSCEIVER,
    DELIVER_SM,
    ENQUIRE_LINK,
    HEADER,
    RESPONSE,
    SUBMIT_SM,
    UNBIND,
    Outbox,
    bind_by_hand,
    header_only,
    pdu,
    read,
    tune,
)

_DELIVER_RESP = Struct(">IIIIx")
_SEQUENCE = Struct(">I")
SUBMIT_SM_RESP = SUBMIT_SM | RESPONSE
# deliver_sm: header, empty service_type, ton, npi, then the address whose digits end in the message's number.
_DESTINATION_AT = 16 + 1 + 2 + len(DESTINATION_PREFIX)
_NUMBER_DIGITS = 9
INTERMEDIATE = (b"ENROUTE", b"ACCEPTD")
POOL_MESSAGES = 4096  # of each bind; more only costs cache
PACE_S = 0.002
LINGER_S = 0.5  # after the last receipt: a duplicate may still come
RECEIPT_TEXT = b"id:"


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A load client for one SMPP account."""

    host: Annotated[str, help_("where the gateway listens")] = "127.0.0.1"
    port: Annotated[int, help_("its SMPP port")] = 2775
    system_id: Annotated[str, help_("bind as")] = "bench"
    password: Annotated[str, help_("with")] = "secret"
    messages: Annotated[int, help_("how many messages in all")] = 100_000
    binds: Annotated[int, help_("transceiver binds")] = 4
    window: Annotated[int, help_("unanswered submit_sm on each bind")] = 500
    rate: Annotated[int, help_("offer so many messages a second; 0: as fast as the window lets us")] = 0
    text: Annotated[str, help_("texts", "zh", "en")] = "zh"
    sender: Annotated[str, help_("source address")] = "10690001"
    receipts: Annotated[bool, help_("ask for receipts and wait for them")] = True
    patience_s: Annotated[float, help_("give up when nothing has come for so long")] = 30.0
    first: Annotated[int, help_("number of the first destination")] = 0
    stop_after_s: Annotated[float, help_("send nothing more after so long; 0: all messages")] = 0.0


class Pool:
    """Prebuilt submit_sm PDUs of one bind, as one block to slice from."""

    def __init__(self, options: LoadOptions, bind: int) -> None:
        self.block = bytearray()
        self.starts = [0]
        self.destinations: list[int] = []
        coding, codec = (8, "utf-16-be") if options.text == "zh" else (0, "ascii")
        destination = address(DESTINATION_PREFIX + "0" * _NUMBER_DIGITS)
        source = address(options.sender, 0, 1)
        count = min(POOL_MESSAGES, max(options.messages // options.binds + 1, 2))
        for text in texts(count, options.text, seed=bind):
            body = sm_body(
                source,
                destination,
                text.encode(codec),
                data_coding=coding,
                registered_delivery=int(options.receipts),
            )
            at = len(self.block)
            self.block += pdu(SUBMIT_SM, 0, body)
            self.destinations.append(at + 16 + 1 + len(source) + 2 + len(DESTINATION_PREFIX))
            self.starts.append(len(self.block))

    def take(self, first: int, count: int, number: int, step: int) -> bytes:
        """PDUs of this bind's messages first .. first+count-1 to destinations number, number+step, ...

        `count` is cut at the end of the pool: the caller asks again. Sequence numbers are message + 1.
        """
        slots = len(self.destinations)
        slot = first % slots
        stop = min(slot + count, slots)
        block, starts, destinations = self.block, self.starts, self.destinations
        patch = _SEQUENCE.pack_into
        sequence = first + 1
        for at in range(slot, stop):
            patch(block, starts[at] + 12, sequence)
            digits = destinations[at]
            block[digits : digits + 9] = b"%09d" % number
            sequence += 1
            number += step
        return bytes(block[starts[slot] : starts[stop]])


class LoadBind:
    """One bind of the client: its message i goes to destination i * binds + index, so none comes twice."""

    def __init__(self, options: LoadOptions, index: int, tally: Tally, stream: trio.abc.Stream) -> None:
        self.options = options
        self.index = index
        self.tally = tally
        self.stream = stream
        self.outbox = Outbox(stream)
        self.pool = Pool(options, index)
        self.made = 0  # messages sent
        self.sent_at: dict[int, float] = {}  # by sequence_number, unanswered ones
        self.rest = b""
        self.leaving = False

    def offer(self, wanted: int, due_at: Iterator[float]) -> int:
        """Send up to `wanted` messages, as the window and the run have room; how many went.

        `due_at` gives for each message the moment from which its accept latency counts.
        """
        room = min(self.options.window - len(self.sent_at), self.tally.wanted - self.tally.sent)
        going = left = max(min(wanted, room), 0)
        binds, slots = self.options.binds, len(self.pool.destinations)
        while left:
            first = self.made
            taken = min(left, slots - first % slots)
            self.outbox.put(
                self.pool.take(first, taken, self.options.first + first * binds + self.index, binds)
            )
            self.sent_at.update(zip(range(first + 1, first + taken + 1), due_at, strict=False))
            self.made += taken
            left -= taken
        self.tally.sent += going
        return going

    def take(self, data: bytes, now: float) -> None:
        """Count a batch of answers and receipts, and answer the receipts."""
        if self.rest:
            data = self.rest + data
        tally, sent_at = self.tally, self.sent_at
        waiting, strays, done = tally.waiting, tally.strays, tally.done
        accept_latency, receipt_latency = tally.accept_latencies.append, tally.receipt_latencies.append
        unpack, find, answer = HEADER.unpack_from, data.find, _DELIVER_RESP.pack
        receipts_expected = tally.receipts_expected
        base, binds = self.options.first + self.index, self.options.binds
        answers: list[bytes] = []
        accepted = answered = finals = delivered = 0
        offset, end = 0, len(data)
        while end - offset >= 16:
            length, command_id, status, sequence = unpack(data, offset)
            after = offset + length
            if after > end:
                break
            if command_id == SUBMIT_SM_RESP:
                at = sent_at.pop(sequence, 0.0)
                if not at:
                    tally.refused[0xFFFF_FFFF] += 1  # an answer to nothing we asked
                elif status:
                    answered += 1
                    tally.refused[status] += 1
                else:
                    answered += 1
                    accepted += 1
                    accept_latency(now - at)
                    if receipts_expected:
                        message_id = data[offset + 16 : after - 1]
                        if message_id in strays:
                            tally.claim(message_id)
                        else:
                            waiting[message_id] = (base + (sequence - 1) * binds, now)
            elif command_id == DELIVER_SM:
                answers.append(answer(17, DELIVER_SM | RESPONSE, 0, sequence))
                text = find(RECEIPT_TEXT, offset, after) + 3
                blank = find(b" ", text, after)
                stat = find(b"stat:", blank, after) + 5
                if text < 3 or blank < 0 or stat < 5:
                    tally.states[b"no text"] += 1
                    offset = after
                    continue
                message_id = data[text:blank]
                state = data[stat : stat + 7]
                if state == b"DELIVRD":
                    delivered += 1
                else:
                    tally.states[state] += 1
                    if state in INTERMEDIATE:
                        offset = after
                        continue
                finals += 1
                owner = waiting.pop(message_id, None)
                if owner is None:
                    tally.stray(message_id)
                else:
                    done.append(hash(message_id))
                    receipt_latency(now - owner[1])
                    at = offset + _DESTINATION_AT
                    if int(data[at : at + 9]) != owner[0]:
                        tally.wrong_destination += 1
            elif command_id == ENQUIRE_LINK:
                answers.append(header_only(ENQUIRE_LINK | RESPONSE, sequence))
            offset = after
        self.rest = data[offset:]
        tally.accepted += accepted
        tally.answered += answered
        tally.finals += finals
        if delivered:
            tally.states[b"DELIVRD"] += delivered
        tally.marks.append((now, tally.accepted, tally.finals))
        if answers:
            self.outbox.put(b"".join(answers))

    async def run(self, rest: bytes) -> None:
        """Read and answer until the stream ends; at full speed, keep the window full."""
        try:
            await self._converse(rest)
        finally:
            await trio.aclose_forcefully(self.stream)

    async def _converse(self, data: bytes) -> None:
        full_speed = not self.options.rate
        while True:
            if data:
                now = time.monotonic()
                self.take(data, now)
                if full_speed:
                    self.offer(self.options.window, repeat(now))
            await self.outbox.wait_room()
            data = await read(self.stream)
            if not data:
                if self.leaving:
                    return
                raise ConnectionError(f"The gateway closed bind {self.index + 1}.")


async def connect(options: LoadOptions, index: int, tally: Tally) -> tuple[LoadBind, bytes]:
    """One bound connection. Raises ConnectionError with what to look at."""
    try:
        stream = await trio.open_tcp_stream(options.host, options.port)
    except OSError as error:
        raise ConnectionError(f"Nothing listens on {options.host}:{options.port}: {error}") from error
    tune(stream)
    status, rest = await bind_by_hand(
        stream, BIND_TRANSCEIVER, options.system_id.encode(), options.password.encode()
    )
    if status:
        await trio.aclose_forcefully(stream)
        raise ConnectionError(
            f"{options.host}:{options.port} refused the bind of {options.system_id!r}: status {status:#x}."
        )
    return LoadBind(options, index, tally, stream), rest


async def pace(options: LoadOptions, binds: list[LoadBind], tally: Tally) -> None:
    """Offer `rate` messages a second on a schedule that never slips.

    What has come due goes to one bind, the next to the next: a batch each PACE_S, not a batch on every bind.
    """
    gap = 1 / options.rate
    turn = 0
    while tally.sent < tally.wanted:
        due = int((time.monotonic() - tally.started_at) / gap)
        for _ in binds:  # a bind whose window is full leaves the rest to the others
            turn += 1
            bind = binds[turn % len(binds)]
            schedule = (tally.started_at + number * gap for number in count(tally.sent))
            bind.offer(due - tally.sent, schedule)
            if tally.sent >= due:
                break
        await trio.sleep(PACE_S)


async def load(options: LoadOptions) -> Tally:
    """Send everything and wait for every receipt; the books.

    Raises:
      ConnectionError: no connection, a refused bind, or a bind that was closed on us.
    """
    tally = Tally(options.messages, receipts_expected=options.receipts)
    async with trio.open_nursery() as nursery:
        bound = [await connect(options, index, tally) for index in range(options.binds)]
        binds = [bind for bind, _rest in bound]
        start = tally.started_at = time.monotonic()
        for bind, rest in bound:
            nursery.start_soon(bind.outbox.run)
            nursery.start_soon(bind.run, rest)
            if not options.rate:
                bind.offer(options.window, repeat(start))
        if options.rate:
            nursery.start_soon(pace, options, binds, tally)
        if options.stop_after_s:
            nursery.start_soon(_stop, options.stop_after_s, tally)
        await _finished(options, tally)
        for bind in binds:
            bind.leaving = True
            bind.outbox.put(header_only(UNBIND, bind.made + 1))
        await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    return tally


async def _stop(after_s: float, tally: Tally) -> None:
    await trio.sleep(after_s)
    tally.wanted = tally.sent


async def _finished(options: LoadOptions, tally: Tally) -> None:
    """Until everything is accounted for, or nothing has come for `patience_s`."""
    before, since = 0, time.monotonic()
    while not (tally.sent >= tally.wanted and tally.complete):
        await trio.sleep(0.05)
        marks = len(tally.marks)
        if marks != before:
            before, since = marks, time.monotonic()
        elif time.monotonic() - since > options.patience_s:
            return
    await trio.sleep(LINGER_S)


def main(arguments: list[str]) -> None:
    """Run, and print the report as one JSON line."""
    options = parse(LoadOptions, "python -m bench.load", arguments)
    # The books hold no cycles; collecting them over and over would cost more than the protocol.
    gc.disable()
    before = resource.getrusage(resource.RUSAGE_SELF)
    try:
        tally = trio.run(load, options)
    except* ConnectionError as errors:
        sys.exit(str(errors.exceptions[0]))
    after = resource.getrusage(resource.RUSAGE_SELF)
    report = tally.report(
        cpu_user_s=round(after.ru_utime - before.ru_utime, 3),
        cpu_system_s=round(after.ru_stime - before.ru_stime, 3),
    )
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
