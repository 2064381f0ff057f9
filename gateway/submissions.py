"""Messages from people and programs that think in text: made into the `SubmitSm` that the one door takes."""

from gateway.smpp.constants import SHORT_MESSAGE_OCTETS_MAX_34, Tag
from gateway.smpp.pdu import SubmitSm
from gateway.smpp.text import choose_coding, encode_text


def with_text(to: str, text: str) -> SubmitSm:
    """A submit of `text` in the alphabet that fits: GSM where all of it is GSM, else UCS-2.

    A text too long for short_message goes into message_payload; the door cuts it into parts.
    """
    data_coding = choose_coding(text)[0]
    octets = encode_text(text, data_coding)
    submit = SubmitSm(destination_addr=to.strip().encode(), data_coding=data_coding)
    if len(octets) <= SHORT_MESSAGE_OCTETS_MAX_34:
        submit.short_message = octets
    else:
        submit.tlvs = ((Tag.MESSAGE_PAYLOAD, octets),)
    return submit
