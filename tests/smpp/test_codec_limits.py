"""The codec's cost and memory are bounded by the octets received, whatever they are."""

import gc
import json
import random
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from gateway.smpp.constants import CommandId
from gateway.smpp.decode import decode_pdus
from gateway.smpp.fields import LAYOUT_OF
from gateway.smpp.pdu import BadPdu, Decoded
from gateway.smpp.tlv import read_tlvs
from tests.smpp.octets import frame, message, tlv

VECTORS = [
    bytes.fromhex(vector["hex"])
    for vector in json.loads((Path(__file__).parent / "vectors.json").read_text("utf-8"))
]
MUTATIONS = 20_000


def lines_run(work: Callable[[], object]) -> int:
    """Python lines that `work` runs: its cost in steps, the same on every machine."""
    lines = 0

    def count(frame: FrameType, event: str, arg: object) -> object:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)  # type: ignore[arg-type]
    try:
        work()
    finally:
        sys.settrace(before)
    return lines


def cpu_s(work: Callable[[], object]) -> float:
    """The least CPU time of a few runs: the noise of a shared machine only ever adds."""
    times = []
    for _ in range(5):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


# name -> octets of about `n` PDUs' worth, each the worst that we know for one loop or one search
WORST: dict[str, Callable[[int], bytes]] = {
    "plain submit_sm": lambda n: frame(CommandId.SUBMIT_SM, message()) * n,
    "body without any NUL": lambda n: frame(CommandId.SUBMIT_SM, b"x" * 60) * n,
    "one octet of body": lambda n: frame(CommandId.SUBMIT_SM, b"x") * n,
    "no body": lambda n: frame(CommandId.SUBMIT_SM) * n,
    "responses without NUL": lambda n: frame(CommandId.SUBMIT_SM_RESP, b"x" * 60) * n,
    "unknown commands": lambda n: frame(0x3FF, b"x" * 60) * n,
    "all TLVs empty": lambda n: frame(CommandId.SUBMIT_SM, message() + tlv(0x1400, b"") * 10) * n,
    "one long string": lambda n: frame(CommandId.SUBMIT_SM, b"x" * 60 * n),
    "one long TLV storm": lambda n: frame(CommandId.SUBMIT_SM, message() + tlv(0x1400, b"") * 15 * n),
    "unfinished after whole ones": lambda n: (
        frame(CommandId.SUBMIT_SM, message()) * n + b"\0\0\1\0" + b"x" * 99
    ),
    "unfinished with a far length": lambda n: b"\0\xff\xff\xff" + b"x" * 60 * n,
}
worst = pytest.mark.parametrize("build", WORST.values(), ids=WORST)


@worst
def test_twice_the_octets_take_twice_the_steps(build: Callable[[int], bytes]) -> None:
    once, twice = build(100), build(200)
    steps = lines_run(lambda: decode_pdus(once, octets_max=1 << 24))
    steps_of_twice = lines_run(lambda: decode_pdus(twice, octets_max=1 << 24))
    assert steps > 0
    assert steps_of_twice <= 2.1 * steps  # the last PDUs of a buffer may take a shorter way


@worst
def test_sixteen_times_the_octets_take_nothing_like_256_times_the_time(build: Callable[[int], bytes]) -> None:
    # Searches inside one step do not show as lines; a quadratic one would show here.
    once, more = build(200), build(3200)
    base = max(cpu_s(lambda: decode_pdus(once, octets_max=1 << 24)), 20e-6)
    assert cpu_s(lambda: decode_pdus(more, octets_max=1 << 24)) < 80 * base


@pytest.mark.parametrize("count", [16, 128])
def test_the_tlv_walk_takes_one_round_a_tlv(count: int) -> None:
    octets = tlv(0x1400, b"x") * count
    steps = lines_run(lambda: read_tlvs(octets, 0, len(octets)))
    assert count <= steps <= 10 * count


def test_the_tlv_walk_stops_early_in_a_storm() -> None:
    octets = tlv(0x1400, b"") * 16_000
    assert lines_run(lambda: read_tlvs(octets, 0, len(octets))) < 4000


def test_octets_that_trickle_in_cost_the_same_each() -> None:
    octets = frame(CommandId.SUBMIT_SM, message() + tlv(0x0424, b"x" * 60_000))
    early, late = bytearray(octets[:100]), bytearray(octets[:60_000])
    assert lines_run(lambda: decode_pdus(early)) == lines_run(lambda: decode_pdus(late))
    tracemalloc.start()
    try:
        decode_pdus(late)
        assert tracemalloc.get_traced_memory()[1] < 5_000  # no copy of an unfinished PDU
    finally:
        tracemalloc.stop()


def mutate(octets: bytes, dice: random.Random) -> bytes:
    changed = bytearray(octets)
    for _ in range(dice.randint(1, 5)):
        at = dice.randrange(len(changed) + 1)
        how = dice.randrange(6)
        if how == 0 and at < len(changed):
            changed[at] ^= 1 << dice.randrange(8)
        elif how == 1 and at < len(changed):
            changed[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif how == 2:
            del changed[at : at + dice.randint(1, 9)]
        elif how == 3:
            changed[at:at] = dice.randbytes(dice.randint(1, 9))
        elif how == 4:
            other = dice.choice(VECTORS)
            changed[at:] = other[dice.randrange(len(other)) :]
        else:
            changed[at:at] = changed[:at]
    if dice.randrange(4):
        changed[:4] = len(changed).to_bytes(4, "big")
    return bytes(changed)


def test_twenty_thousand_mutated_vectors_decode_without_exception_and_memory_stays_flat() -> None:
    dice = random.Random(20261122)  # the same mutations in every run
    kinds = {"good": 0, "bad": 0, "lost": 0}

    def check(octets: bytes, decoded: Decoded) -> None:
        assert 0 <= decoded.octets_consumed <= len(octets)
        kinds["lost"] += decoded.framing_lost is not None
        for pdu in decoded.pdus:
            if isinstance(pdu, BadPdu):
                kinds["bad"] += 1
                assert pdu.command_id in LAYOUT_OF or pdu.answer_status == 3
            else:
                kinds["good"] += 1

    def run(count: int) -> None:
        for _ in range(count):
            octets = mutate(dice.choice(VECTORS), dice)
            check(octets, decode_pdus(octets))

    run(1000)  # fills what Python caches
    gc.collect()  # also empties the interpreter's free lists, which are no growth of ours
    gc.disable()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run(MUTATIONS)
        cycles = gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()
    assert grown < 5_000  # one octet a PDU would already show
    assert cycles == 0
    assert min(kinds.values()) > MUTATIONS // 20, kinds
