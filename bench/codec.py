"""CPU time of the codec alone: decode and encode of the four PDUs that carry the traffic.

Decoding reads a receive buffer of many PDUs, as a session does under load; encoding gives one whole PDU from
its struct. Figures are microseconds of this process's CPU a PDU, the median of several repeats.
"""

import time
from collections.abc import Callable
from statistics import median

from gateway.smpp.constants import PDU_OCTETS_MAX, Tag
from gateway.smpp.decode import decode_pdus
from gateway.smpp.encode import encode
from gateway.smpp.pdu import DeliverSm, DeliverSmResp, Pdu, SubmitSm, SubmitSmResp

PDUS_PER_BUFFER = 1000
REPEATS = 7

_RECEIPT = (
    b"id:0190c5a2f7d1 sub:001 dlvrd:001 submit date:2611221530 done date:2611221531 "
    b"stat:DELIVRD err:000 text:"
)

HOT_PDUS: dict[str, Pdu] = {
    # 64 of the 70 UCS-2 characters of one part make a PDU of 180 octets
    "submit_sm": SubmitSm(
        1, 0, b"", 5, 0, b"SLUICE", 1, 1, b"8613800138000",
        registered_delivery=1, data_coding=8, short_message=("验证码请勿转发" * 9 + "谢").encode("utf-16-be"),
    ),
    "submit_sm_resp": SubmitSmResp(1, 0, b"0190c5a2f7d1"),
    "deliver_sm": DeliverSm(
        1, 0, b"", 1, 1, b"8613800138000", 5, 0, b"SLUICE", 4, short_message=_RECEIPT,
        tlvs=((Tag.RECEIPTED_MESSAGE_ID, b"0190c5a2f7d1\0"), (Tag.MESSAGE_STATE, b"\2")),
    ),
    "deliver_sm_resp": DeliverSmResp(1, 0, b""),
}  # fmt: skip


def _cpu_us(work: Callable[[], None]) -> float:
    """Microseconds a PDU of `work`, which handles PDUS_PER_BUFFER of them."""
    work()
    samples = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        samples.append(time.process_time() - started)
    return median(samples) * 1e6 / PDUS_PER_BUFFER


def _decoding(buffer: bytes) -> Callable[[], None]:
    def work() -> None:
        decode_pdus(buffer, octets_max=PDU_OCTETS_MAX)

    return work


def _encoding(pdu: Pdu) -> Callable[[], None]:
    pdus = [pdu] * PDUS_PER_BUFFER

    def work() -> None:
        for each in pdus:
            encode(each)

    return work


def run() -> dict[str, float]:
    """`{"decode submit_sm": us, "encode submit_sm": us, ...}` for each of the four hot PDUs."""
    figures = {}
    for name, pdu in HOT_PDUS.items():
        figures[f"decode {name}"] = _cpu_us(_decoding(encode(pdu) * PDUS_PER_BUFFER))
        figures[f"encode {name}"] = _cpu_us(_encoding(pdu))
    return figures
