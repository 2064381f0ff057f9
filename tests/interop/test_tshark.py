"""Wireshark's dissector (Debian tshark) reads whole conversations of the gateway."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.smpp.constants import CommandId
from gateway.smpp.decode import decode_pdus
from gateway.smpp.fields import COMMAND_OF
from gateway.smpp.pdu import BadPdu, Pdu

from .conversations import Recorded
from .packages import program
from .pcap import Capture
from .recorder import Direction
from .tshark import SMPP_PORT, tshark

FIRST_PORT = 40_000

# What a gateway of SMPP 3.4 that is both message centre and ESME can write, and what its peers can.
OURS = {
    CommandId.BIND_RECEIVER, CommandId.BIND_RECEIVER_RESP, CommandId.BIND_TRANSMITTER,
    CommandId.BIND_TRANSMITTER_RESP, CommandId.BIND_TRANSCEIVER, CommandId.BIND_TRANSCEIVER_RESP,
    CommandId.SUBMIT_SM, CommandId.SUBMIT_SM_RESP, CommandId.SUBMIT_MULTI_RESP, CommandId.DELIVER_SM,
    CommandId.DELIVER_SM_RESP, CommandId.DATA_SM_RESP, CommandId.QUERY_SM_RESP, CommandId.CANCEL_SM_RESP,
    CommandId.REPLACE_SM_RESP, CommandId.ENQUIRE_LINK, CommandId.ENQUIRE_LINK_RESP, CommandId.UNBIND,
    CommandId.UNBIND_RESP, CommandId.GENERIC_NACK,
}  # fmt: skip
# The answers to what only a customer asks are ours alone; what only a customer or a carrier asks is theirs.
ANSWERS = {
    CommandId.GENERIC_NACK, CommandId.QUERY_SM_RESP, CommandId.CANCEL_SM_RESP, CommandId.REPLACE_SM_RESP,
    CommandId.SUBMIT_MULTI_RESP, CommandId.DATA_SM_RESP,
}  # fmt: skip
THEIRS = OURS - ANSWERS | {
    CommandId.OUTBIND, CommandId.QUERY_SM, CommandId.CANCEL_SM, CommandId.REPLACE_SM, CommandId.SUBMIT_MULTI,
    CommandId.DATA_SM, CommandId.ALERT_NOTIFICATION,
}  # fmt: skip


def written(recorded: list[Recorded], *, by_us: bool) -> list[tuple[Recorded, Direction, bytes]]:
    """PDUs that the gateway wrote, or that its honest peers wrote."""
    return [
        (each, way, pdu)
        for each in recorded
        for way, pdu in each.conversation.all_pdus()
        if (way == each.ours) == by_us and (by_us or each.honest)
    ]


def command_of(pdu: bytes) -> int:
    return int.from_bytes(pdu[4:8], "big")


def test_the_conversations_hold_every_pdu_of_smpp_3_4(recorded: list[Recorded]) -> None:
    assert {command_of(pdu) for _, _, pdu in written(recorded, by_us=True)} == OURS
    assert {command_of(pdu) for _, _, pdu in written(recorded, by_us=False)} >= THEIRS


@pytest.fixture(scope="module")
def as_it_came(recorded: list[Recorded], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture with the octets as they passed: several PDUs in a packet, PDUs over several packets."""
    capture = Capture()
    for n, each in enumerate(recorded):
        capture.add(each.conversation.chunks, FIRST_PORT + n, SMPP_PORT)
    path = tmp_path_factory.mktemp("capture") / "conversations.pcap"
    path.write_bytes(capture.octets)
    return path


def test_no_packet_is_malformed_but_what_peers_meant_to_be(
    recorded: list[Recorded], as_it_came: Path
) -> None:
    complaints = tshark(
        as_it_came, "_ws.malformed || (smpp && _ws.expert.severity >= 4194304)", "smpp.command_id"
    )
    for frame in complaints:
        each = recorded[frame.stream]
        way = "up" if frame.up else "down"
        assert not each.honest and way != each.ours, f"frame {frame.number} of {each.name}: {frame.fields}"
    assert complaints, "the malformed PDUs of `strangers` must be seen, or this test proves nothing"


def test_it_finds_as_many_pdus_as_there_are(recorded: list[Recorded], as_it_came: Path) -> None:
    found: Counter[tuple[int, bool]] = Counter()
    for frame in tshark(as_it_came, "smpp", "smpp.command_id"):
        found[frame.stream, frame.up] += len(frame.fields.get("smpp.command_id", ()))
    for n, each in enumerate(recorded):
        if each.honest:
            for way in ("up", "down"):
                assert found[n, way == "up"] == len(each.conversation.pdus(way)), each.name


def number(text: str) -> int:
    return int(text, 0)


def octets(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def text(value: str) -> bytes:
    return b"" if value == "(Default)" else value.encode("latin-1")  # its word for an empty service_type


# tshark's field -> how it is written, the PDU's field, and what of it.
FIELDS: dict[str, tuple[Any, str, Any]] = {
    "smpp.system_id": (text, "system_id", None),
    "smpp.password": (text, "password", None),
    "smpp.system_type": (text, "system_type", None),
    "smpp.interface_version": (number, "interface_version", None),
    "smpp.address_range": (text, "address_range", None),
    "smpp.service_type": (text, "service_type", None),
    "smpp.source_addr_ton": (number, "source_addr_ton", None),
    "smpp.source_addr_npi": (number, "source_addr_npi", None),
    "smpp.source_addr": (text, "source_addr", None),
    "smpp.esm.submit.msg_mode": (number, "esm_class", lambda value: value & 0x03),
    "smpp.esm.submit.msg_type": (number, "esm_class", lambda value: value >> 2 & 0x0F),
    "smpp.esm.submit.features": (number, "esm_class", lambda value: value >> 6),
    "smpp.protocol_id": (number, "protocol_id", None),
    "smpp.priority_flag": (number, "priority_flag", None),
    "smpp.regdel.receipt": (number, "registered_delivery", lambda value: value & 0x03),
    "smpp.regdel.notif": (number, "registered_delivery", lambda value: value >> 4 & 1),
    "smpp.data_coding": (number, "data_coding", None),
    "smpp.sm_length": (number, "short_message", len),
    "smpp.message": (octets, "short_message", None),
    "smpp.message_id": (text, "message_id", None),
    "smpp.error_code": (number, "error_code", None),
}
ONE_DESTINATION = {
    "smpp.dest_addr_ton": (number, "dest_addr_ton", None),
    "smpp.dest_addr_npi": (number, "dest_addr_npi", None),
    "smpp.destination_addr": (text, "destination_addr", None),
}
HEADER = ("smpp.command_length", "smpp.command_id", "smpp.command_status", "smpp.sequence_number")


def test_it_reads_the_same_values_as_our_codec(recorded: list[Recorded], tmp_path: Path) -> None:
    pdus = [entry for by_us in (True, False) for entry in written(recorded, by_us=by_us)]
    capture = Capture()
    for n, (_, way, pdu) in enumerate(pdus):
        capture.add([(way, pdu)], 1_024 + n, SMPP_PORT)  # a connection each, so that a stream is a PDU
    path = tmp_path / "pdus.pcap"
    path.write_bytes(capture.octets)
    table = FIELDS | ONE_DESTINATION
    frames = tshark(path, "smpp", *HEADER, "smpp.opt_param_tag", "smpp.message_state", *table)
    # A PDU longer than a packet is told with its last packet.
    by_stream = {frame.stream: frame.fields for frame in frames if "smpp.command_id" in frame.fields}
    assert by_stream.keys() == set(range(len(pdus)))
    compared = 0
    for n, (each, _, raw) in enumerate(pdus):
        fields = by_stream[n]
        (pdu,) = decode_pdus(raw, octets_max=70_000).pdus
        assert not isinstance(pdu, BadPdu), (each.name, raw.hex())
        # It shows a status only of what is a response.
        header = [number(fields.get(name, ["0"])[0]) for name in HEADER]
        assert header == [len(raw), COMMAND_OF[type(pdu)], pdu.command_status, pdu.sequence_number]
        compared += len(header)
        for name, (read, ours, part) in table.items():
            values = fields.get(name)
            if values is not None and hasattr(pdu, ours):
                value = getattr(pdu, ours)
                expected = part(value) if part else value
                assert read(values[0]) == expected, (each.name, name, raw.hex())
                compared += 1
        tags = [number(tag) for tag in fields.get("smpp.opt_param_tag", ())]
        assert tags == [tag for tag, _ in getattr(pdu, "tlvs", ())], (each.name, raw.hex())
        compared += len(tags)
    assert compared > 10 * len(pdus)


def frame_of(pdu: Pdu | bytes, tmp_path: Path) -> list[Any]:
    capture = Capture()
    capture.add([("down", bytes(pdu))], FIRST_PORT, SMPP_PORT)  # type: ignore[arg-type]
    path = tmp_path / "one.pcap"
    path.write_bytes(capture.octets)
    return tshark(path, "smpp", "_ws.malformed")


# What it gets wrong, so that nobody looks for the fault here (and somebody notices when it no longer does).
BLIND_SPOTS = {
    # An OK without a body is accepted everywhere (some message centres send it); the gateway sends none.
    "a header alone, ESME_ROK": ("00000010 80000004 00000000 00000001", True),
    # An octet too many behind an unbind.
    "unbind with a body": ("00000011 00000006 00000000 00000001 00", False),
}


@pytest.mark.parametrize("name", BLIND_SPOTS)
def test_its_blind_spots_are_where_the_readme_says(name: str, tmp_path: Path) -> None:
    program("tshark", "tshark")
    octets_in_hex, flagged = BLIND_SPOTS[name]
    (frame,) = frame_of(bytes.fromhex(octets_in_hex), tmp_path)
    assert bool(frame.fields.get("_ws.malformed")) == flagged


def test_we_send_no_ok_without_the_body_that_it_wants(recorded: list[Recorded]) -> None:
    with_body = {CommandId.SUBMIT_SM_RESP, CommandId.DATA_SM_RESP, CommandId.DELIVER_SM_RESP}
    for each, _, pdu in written(recorded, by_us=True):
        if command_of(pdu) in with_body and pdu[8:12] == bytes(4):
            assert len(pdu) > 16, each.name
