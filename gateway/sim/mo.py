"""Inbound messages (MO) of a simulated carrier: UCS-2 text, whole or in concatenated parts."""

from gateway.sim.message import ESM_UDHI, address, sm_body

# 140 octets of a part, less a six-octet UDH, in UCS-2: 3GPP TS 23.040 section 9.2.3.24.1.
PART_CHARACTERS = 67


def mo_source(first: str, number: int) -> str:
    """The sender of the nth message: numbers counted up from the first."""
    return str(int(first) + number).zfill(len(first))


def mo_bodies(
    text: str, source: str, destination: str, *, parts: int, reference: int, shuffled: bool
) -> list[bytes]:
    """deliver_sm bodies of one message, in the order to send; `shuffled` sends the last part first."""
    from_, to = address(source), address(destination, 0, 1)
    if parts <= 1:
        return [sm_body(from_, to, text[:127].encode("utf-16-be"), data_coding=8)]
    longest = min(PART_CHARACTERS, -(-max(len(text), parts) // parts))
    bodies = []
    for number in range(1, parts + 1):
        piece = text[(number - 1) * longest : number * longest]
        header = bytes((5, 0, 3, reference, parts, number))
        octets = header + piece.encode("utf-16-be")
        bodies.append(sm_body(from_, to, octets, esm_class=ESM_UDHI, data_coding=8))
    return bodies[::-1] if shuffled else bodies
