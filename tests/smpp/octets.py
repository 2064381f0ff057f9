"""Octets of PDUs put together by hand, so that the codec is never its own witness."""

# The raw octets of every field of a submit_sm or deliver_sm, in wire order; a test replaces what it is about.
MESSAGE_FIELDS = {
    "service_type": b"\0",
    "source_addr_ton": b"\5",
    "source_addr_npi": b"\0",
    "source_addr": b"SLUICE\0",
    "dest_addr_ton": b"\1",
    "dest_addr_npi": b"\1",
    "destination_addr": b"8613800138000\0",
    "esm_class": b"\0",
    "protocol_id": b"\0",
    "priority_flag": b"\0",
    "schedule_delivery_time": b"\0",
    "validity_period": b"\0",
    "registered_delivery": b"\1",
    "replace_if_present_flag": b"\0",
    "data_coding": b"\0",
    "sm_default_msg_id": b"\0",
    "short_message": b"\5Hello",
}

BIND_FIELDS = {
    "system_id": b"acme\0",
    "password": b"secret08\0",
    "system_type": b"\0",
    "interface_version": b"\x34",
    "addr_ton": b"\0",
    "addr_npi": b"\0",
    "address_range": b"\0",
}

ENQUIRE_LINK = bytes.fromhex("0000001000000015000000000a342ee7")


def message(**raw: bytes) -> bytes:
    """The body of a submit_sm or deliver_sm; each keyword replaces one field's raw octets."""
    assert not set(raw) - set(MESSAGE_FIELDS)
    return b"".join((MESSAGE_FIELDS | raw).values())


def bind(**raw: bytes) -> bytes:
    assert not set(raw) - set(BIND_FIELDS)
    return b"".join((BIND_FIELDS | raw).values())


def frame(command_id: int, body: bytes = b"", *, status: int = 0, sequence_number: int = 1) -> bytes:
    """The whole PDU with a command_length that is right."""
    numbers = (16 + len(body), command_id, status, sequence_number)
    return b"".join(number.to_bytes(4, "big") for number in numbers) + body


def tlv(tag: int, value: bytes, octets: int | None = None) -> bytes:
    """One TLV; `octets` claims another length than the value has."""
    claimed = len(value) if octets is None else octets
    return tag.to_bytes(2, "big") + claimed.to_bytes(2, "big") + value
