"""What a simulated ESME does: every option with its help. Times are seconds; a count of 0 means never."""

from typing import Annotated

import msgspec

from gateway.sim.options import help_


class EsmeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A simulated ESME: an application that binds, submits, and checks its receipts."""

    # the bind
    host: Annotated[str, help_("the gateway's address")] = "127.0.0.1"
    port: Annotated[int, help_("the gateway's SMPP port")] = 2775
    system_id: Annotated[str, help_("bind as")] = "esme"
    password: Annotated[str, help_("with this password")] = "password"  # noqa: S105 - a default
    bind: Annotated[str, help_("how", "transceiver", "transmitter", "receiver", "pair")] = "transceiver"
    binds: Annotated[int, help_("how many sessions (a pair counts as one)")] = 1
    interface_version: Annotated[int, help_("52 is SMPP 3.4, 51 is 3.3, 80 is 5.0")] = 0x34
    tls: Annotated[bool, help_("connect with TLS")] = False
    tls_ca: Annotated[str, help_("PEM file to verify the gateway with; empty: do not verify")] = ""
    enquire_link_s: Annotated[float, help_("send enquire_link this often; 0 never")] = 0.0

    # the traffic
    messages: Annotated[int, help_("how many messages in all")] = 10
    rate: Annotated[float, help_("messages a second; 0: as fast as the window lets us")] = 0.0
    window: Annotated[int, help_("unanswered submit_sm on each bind")] = 10
    text: Annotated[str, help_("texts", "zh", "en")] = "zh"
    characters: Annotated[int, help_("length of each text; 0: 30 to 60")] = 0
    long: Annotated[str, help_("how a long text goes", "udh", "sar", "payload")] = "udh"
    data_coding: Annotated[int, help_("data_coding to claim; -1: what the text needs")] = -1
    registered_delivery: Annotated[int, help_("0 no receipt, 1 always, 2 on failure, 3 on success")] = 1
    validity_period: Annotated[str, help_("validity_period, in SMPP's form")] = ""
    sender: Annotated[str, help_("source address")] = "10690001"
    destination: Annotated[str, help_("first destination; they are counted up")] = "8613700000000"
    repeat_destination: Annotated[bool, help_("send everything to the first destination")] = False
    wait_s: Annotated[float, help_("wait so long for receipts after the last answer")] = 10.0
    seed: Annotated[int, help_("the same seed sends the same texts")] = 0

    # misbehaviour
    flood: Annotated[bool, help_("send everything at once, whatever the window")] = False
    never_reads: Annotated[bool, help_("read nothing after the bind")] = False
    never_answers: Annotated[bool, help_("never answer deliver_sm")] = False
    deliver_status: Annotated[int, help_("answer deliver_sm with this status")] = 0
    deliver_latency_s: Annotated[float, help_("answer deliver_sm after this long")] = 0.0
    enquire_link_silence: Annotated[bool, help_("never answer enquire_link")] = False
    split_octets: Annotated[int, help_("send in pieces of this many octets")] = 0
    split_pause_s: Annotated[float, help_("wait between the pieces")] = 0.0
    cut_after: Annotated[int, help_("send half of the PDU after so many submit_sm, and no more")] = 0
    vanish_after: Annotated[
        int, help_("after so many submit_sm on a bind, read and write no more, no FIN")
    ] = 0
    disconnect_after: Annotated[int, help_("close after so many submit_sm on a bind")] = 0
    reset_after: Annotated[int, help_("reset the connection after so many submit_sm on a bind")] = 0
