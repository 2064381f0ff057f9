"""The table of targets: a name, what it is given, and how long its inputs may be."""

from collections.abc import Callable

import msgspec

from . import core_targets, http_targets, smpp_targets


class Target(msgspec.Struct, frozen=True):
    """`check` raises when these octets break its law."""

    check: Callable[[bytes], None]
    octets_max: int = 1_024


TARGETS: dict[str, Target] = {
    "pdu": Target(smpp_targets.pdu),
    "body": Target(smpp_targets.body, 512),
    "session": Target(smpp_targets.session, 512),
    "session-input": Target(smpp_targets.session_input),
    "tlvs": Target(smpp_targets.tlvs, 512),
    "udh": Target(smpp_targets.udh, 512),
    "receipt": Target(smpp_targets.receipt, 512),
    "text": Target(smpp_targets.text, 512),
    "time": Target(smpp_targets.time, 64),
    "intake": Target(core_targets.intake, 400),
    "outcomes": Target(core_targets.outcomes, 400),
    "http": Target(http_targets.http),
    "json": Target(http_targets.body),
    "fields": Target(http_targets.fields, 512),
    "ndjson": Target(http_targets.ndjson, 512),
    "query": Target(http_targets.query, 256),
}
