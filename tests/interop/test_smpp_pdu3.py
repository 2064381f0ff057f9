"""smpp.pdu3 (PyPI), Jasmin's strict codec, reads everything that the gateway writes and writes the same again."""

from collections import Counter
from collections.abc import Callable
from io import BytesIO

import pytest
from smpp.pdu.error import PDUParseError
from smpp.pdu.pdu_encoding import PDUEncoder

from gateway.smpp.constants import CommandId
from gateway.smpp.decode import decode_pdus
from gateway.smpp.pdu import BadPdu, Pdu, SubmitMultiResp, Tlvs

from .conversations import Recorded

NO_BODY = {
    CommandId.QUERY_SM_RESP,
    CommandId.SUBMIT_MULTI_RESP,
    CommandId.DATA_SM_RESP,
    CommandId.DELIVER_SM_RESP,
}
# ms_msg_wait_facilities, callback_num_pres_ind, callback_num_atag, ussd_service_op, ms_validity,
# alert_on_message_delivery, its_reply_type, its_session_info: SMPP 3.4 section 4.4.1 lists them for submit_sm; it
# has their names, no reader for most, and two names for one.
UNREAD_TAGS = {0x0030, 0x0302, 0x0303, 0x0501, 0x1204, 0x130C, 0x1380, 0x1383}
# source_subaddress, dest_subaddress, callback_num, sms_signal
SIZED_TAGS = {0x0202, 0x0203, 0x0381, 0x1203}


def tlvs_of(pdu: Pdu) -> Tlvs:
    return getattr(pdu, "tlvs", ())


# What it cannot read though SMPP 3.4 has it so. Each must be met, or this list is out of date.
BLIND_SPOTS: dict[str, Callable[[int, Pdu], bool]] = {
    # Errors have no body (section 4); it knows that of some commands and asks for a body of these.
    "an error without a body": lambda command_id, pdu: pdu.command_status != 0 and command_id in NO_BODY,
    # It looks for a count among the fields that it has not read yet.
    "submit_multi_resp": lambda _, pdu: isinstance(pdu, SubmitMultiResp),
    "optional parameters": lambda _, pdu: not UNREAD_TAGS.isdisjoint(tag for tag, _ in tlvs_of(pdu)),
}


def ours(recorded: list[Recorded]) -> list[tuple[str, int, bytes, Pdu]]:
    """(conversation, command_id, octets, as we read it) of every PDU that the gateway wrote."""
    found = []
    for each in recorded:
        for octets in each.conversation.pdus(each.ours):
            (pdu,) = decode_pdus(octets, octets_max=70_000).pdus
            assert not isinstance(pdu, BadPdu), (each.name, octets.hex())
            found.append((each.name, int.from_bytes(octets[4:8], "big"), octets, pdu))
    return found


def mandatory(octets: bytes, tlvs: Tlvs) -> bytes:
    """The PDU without its length and its optional parameters."""
    return octets[4 : len(octets) - sum(4 + len(value) for _, value in tlvs)]


def test_it_reads_all_that_we_write_and_would_write_it_so(
    recorded: list[Recorded], capsys: pytest.CaptureFixture[str]
) -> None:
    codec = PDUEncoder()
    met: Counter[str] = Counter()
    read = 0
    for name, command_id, octets, pdu in ours(recorded):
        blind = [spot for spot, applies in BLIND_SPOTS.items() if applies(command_id, pdu)]
        if blind:
            # Its own exception, or whatever comes of a count that it has not read.
            with pytest.raises((PDUParseError, KeyError)):
                codec.decode(BytesIO(octets))
            met.update(blind)
            continue
        decoded = codec.decode(BytesIO(octets))
        if not SIZED_TAGS.isdisjoint(tag for tag, _ in tlvs_of(pdu)):
            # Reads them, and would write all of them with the length of the last one that it read.
            assert decoded.params["sms_signal"] == b"\0\2"
            met["writing several sized parameters"] += 1
            continue
        again = codec.encode(decoded)
        (reread,) = decode_pdus(again, octets_max=70_000).pdus
        assert not isinstance(reread, BadPdu), (name, octets.hex())
        assert mandatory(again, tlvs_of(reread)) == mandatory(octets, tlvs_of(pdu)), (name, octets.hex())
        # It keeps no vendor's parameters, and has an order of its own for the others.
        known = [(tag, value) for tag, value in tlvs_of(pdu) if not 0x1400 <= tag <= 0x3FFF]
        assert sorted(tlvs_of(reread)) == sorted(known), (name, octets.hex())
        read += 1
    assert met.keys() == BLIND_SPOTS.keys() | {"writing several sized parameters"}
    assert read > 400
    capsys.readouterr()  # it prints the times that it reads
