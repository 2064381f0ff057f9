"""The field table fits the structs, and both fit the standard."""

import msgspec
import pytest

from gateway.smpp import pdu as pdus
from gateway.smpp.constants import RESPONSE_BIT, CommandId, Status
from gateway.smpp.fields import (
    COMMAND_OF,
    LAYOUT_OF,
    LAYOUTS,
    RESPONSE_OF,
    Kind,
    Layout,
    TlvFault,
)

every_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.command_id.name for layout in LAYOUTS])
NOT_SERVED = {command for command in CommandId if "BROADCAST" in command.name}


def sizes(command_id: CommandId) -> dict[str, int]:
    return {field.name: field.octets_max for field in LAYOUT_OF[command_id].fields}


@every_layout
def test_a_layout_names_its_structs_fields_in_order(layout: Layout) -> None:
    names = ["sequence_number", "command_status", *(field.name for field in layout.fields)]
    if layout.tlv_fault is not None:
        names.append("tlvs")
    # `raw` is what came, kept beside the fields; no field of the PDU.
    assert names == [name for name in layout.pdu_type.__struct_fields__ if name != "raw"]


@every_layout
def test_a_fields_kind_fits_its_structs_type(layout: Layout) -> None:
    types = {field.name: field.type for field in msgspec.structs.fields(layout.pdu_type)}
    expected = {Kind.OCTET: int, Kind.CSTRING: bytes, Kind.TIME: bytes, Kind.TEXT: bytes}
    for field in layout.fields:
        if field.kind in expected:
            assert types[field.name] is expected[field.kind], field.name
        assert field.fault != Status.ESME_ROK


def test_every_command_of_34_has_one_layout() -> None:
    assert set(LAYOUT_OF) == set(CommandId) - NOT_SERVED
    assert len(LAYOUTS) == len(LAYOUT_OF) == len(COMMAND_OF)


def test_every_pdu_struct_has_a_layout() -> None:
    concrete = {
        cls
        for cls in vars(pdus).values()
        if isinstance(cls, type)
        and issubclass(cls, pdus.Pdu)
        and cls is not pdus.Pdu
        and cls.__name__[0] != "_"
    }
    assert set(COMMAND_OF) == concrete


def test_every_request_has_its_response_but_outbind_and_alert() -> None:
    for request, response in RESPONSE_OF.items():
        assert COMMAND_OF[response] == COMMAND_OF[request] | RESPONSE_BIT
    requests = {layout.pdu_type for layout in LAYOUTS if not layout.is_response}
    assert requests - set(RESPONSE_OF) == {pdus.Outbind, pdus.AlertNotification}


def test_sizes_are_the_standards() -> None:
    assert sizes(CommandId.SUBMIT_SM) == sizes(CommandId.DELIVER_SM) == {
        "service_type": 6, "source_addr_ton": 1, "source_addr_npi": 1, "source_addr": 21,
        "dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": 21, "esm_class": 1, "protocol_id": 1,
        "priority_flag": 1, "schedule_delivery_time": 17, "validity_period": 17, "registered_delivery": 1,
        "replace_if_present_flag": 1, "data_coding": 1, "sm_default_msg_id": 1, "short_message": 256,
    }  # fmt: skip
    assert sizes(CommandId.DATA_SM)["source_addr"] == sizes(CommandId.DATA_SM)["destination_addr"] == 65
    assert sizes(CommandId.ALERT_NOTIFICATION)["esme_addr"] == 65
    assert sizes(CommandId.QUERY_SM) == {
        "message_id": 65, "source_addr_ton": 1, "source_addr_npi": 1, "source_addr": 21
    }  # fmt: skip
    assert sizes(CommandId.BIND_RECEIVER)["system_type"] == 13
    assert sizes(CommandId.BIND_RECEIVER)["address_range"] == 41


def test_a_bind_takes_longer_credentials_than_the_standard() -> None:
    assert sizes(CommandId.BIND_TRANSCEIVER)["system_id"] == 65  # 16 in the standard
    assert sizes(CommandId.BIND_TRANSCEIVER)["password"] == 65  # 9 in the standard


def test_only_what_cannot_be_sent_again_survives_a_broken_tlv_stream() -> None:
    survivors = {layout.command_id for layout in LAYOUTS if layout.tlv_fault is TlvFault.DROPS_TAIL}
    requests = {command for command in survivors if not command & RESPONSE_BIT}
    assert requests == {CommandId.DELIVER_SM, CommandId.ALERT_NOTIFICATION}
    assert not any(layout.tlv_fault is TlvFault.REFUSES for layout in LAYOUTS if layout.is_response)
