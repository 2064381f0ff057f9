"""Who may say what, when: the bind states of SMPP and its operation matrix, as data.

Three rules hold this file together.

* Everything that decides whether a command is legal lives here, in tables; `session.py` looks up and never
  argues. A row that is missing is a test that fails.
* The tables do not know which side we are. They speak of the issuer's *binding* role: the ESME is the side
  that sends the bind, the MC (message centre) the side that is bound to.
* Where SMPP 3.4 and 5.0 disagree the table is the union of both, because peers of either kind connect to the
  same port; each such cell says so.

A carrier that connects in and binds as if it were an ESME ("reverse bind") turns the directions round: it
pushes what it received from handsets, and takes our submissions over the same session. It has a table of its
own, chosen by configuration of the account and never by what the peer sends: otherwise a customer could forge
receipts by sending deliver_sm.

Source: SMPP 3.4 issue 1.2 sections 2.2 and 2.3 (table 2-1), SMPP 5.0 sections 2.3 and 2.4.
"""

from enum import Enum
from typing import Final

import msgspec

from gateway.smpp.constants import VERSION_33, VERSION_34, VERSION_50, CommandId, Status


class Role(Enum):
    """Which side of the bind: `ESME` issues it, `MC` is bound to."""

    ESME = "esme"
    MC = "mc"


class BindState(Enum):
    """The state of one session. The three bound states are named from the ESME's side."""

    OPEN = "open"  # connected, nobody has bound
    OUTBOUND = "outbound"  # the MC has sent outbind and waits for the ESME's bind
    BOUND_TX = "bound_tx"  # the ESME transmits
    BOUND_RX = "bound_rx"  # the ESME receives
    BOUND_TRX = "bound_trx"
    UNBOUND = "unbound"  # unbind was answered (5.0's name; 3.4 goes straight to closed)
    CLOSED = "closed"


class Operation(msgspec.Struct, frozen=True):
    """The states in which each binding role may issue one command."""

    esme: frozenset[BindState] = frozenset()
    mc: frozenset[BindState] = frozenset()


_TX = frozenset({BindState.BOUND_TX, BindState.BOUND_TRX})
_RX = frozenset({BindState.BOUND_RX, BindState.BOUND_TRX})
BOUND: Final = _TX | _RX
_BEFORE_BIND = frozenset({BindState.OPEN, BindState.OUTBOUND})
_ALIVE = frozenset(BindState) - {BindState.CLOSED}

_BIND = Operation(esme=_BEFORE_BIND)  # 3.4 allows bind_receiver only after outbind, 5.0 all three
_SUBMISSION = Operation(esme=_TX)
_DELIVERY = Operation(mc=_RX)
_EITHER_WAY = Operation(esme=BOUND, mc=BOUND)
_ALWAYS = Operation(esme=_ALIVE, mc=_ALIVE)  # 3.4 only while bound; peers enquire before and after

OPERATIONS: Final[dict[CommandId, Operation]] = {
    CommandId.BIND_RECEIVER: _BIND,
    CommandId.BIND_TRANSMITTER: _BIND,
    CommandId.BIND_TRANSCEIVER: _BIND,
    CommandId.OUTBIND: Operation(mc=frozenset({BindState.OPEN})),
    CommandId.SUBMIT_SM: _SUBMISSION,
    CommandId.SUBMIT_MULTI: _SUBMISSION,
    CommandId.QUERY_SM: _SUBMISSION,
    CommandId.CANCEL_SM: _SUBMISSION,
    CommandId.REPLACE_SM: _SUBMISSION,  # 3.4's table prints TX alone, 5.0's TRX too
    CommandId.DATA_SM: _EITHER_WAY,
    CommandId.DELIVER_SM: _DELIVERY,
    CommandId.ALERT_NOTIFICATION: _DELIVERY,
    CommandId.UNBIND: _EITHER_WAY,
    CommandId.ENQUIRE_LINK: _ALWAYS,
    CommandId.GENERIC_NACK: _ALWAYS,
}
"""The matrix. Absent commands (5.0's broadcast family) are not served: they get a generic_nack RINVCMDID."""

REVERSE_OPERATIONS: Final[dict[CommandId, Operation]] = {
    **OPERATIONS,
    # The carrier is the one that binds, so "esme" is the carrier and "mc" is us.
    CommandId.SUBMIT_SM: Operation(esme=_TX, mc=_RX),  # it: mobile-originated and receipts; we: messages
    CommandId.DELIVER_SM: Operation(esme=_TX),  # the other dialect of the same push
    CommandId.ALERT_NOTIFICATION: Operation(esme=_TX),
    CommandId.SUBMIT_MULTI: Operation(mc=_RX),
    CommandId.QUERY_SM: Operation(mc=_RX),
    CommandId.CANCEL_SM: Operation(mc=_RX),
    CommandId.REPLACE_SM: Operation(mc=_RX),
}
"""The matrix of a session whose binding side is the message centre. Not in the standard, though SMPP 5.0
section 2.3 lets one entity be both; built after what such carriers send."""

TRANSITIONS: Final[dict[tuple[BindState, CommandId], BindState]] = {
    (BindState.OPEN, CommandId.OUTBIND): BindState.OUTBOUND,
    **{
        (before, response): after
        for before in _BEFORE_BIND
        for response, after in (
            (CommandId.BIND_TRANSMITTER_RESP, BindState.BOUND_TX),
            (CommandId.BIND_RECEIVER_RESP, BindState.BOUND_RX),
            (CommandId.BIND_TRANSCEIVER_RESP, BindState.BOUND_TRX),
        )
    },
    **{(before, CommandId.UNBIND_RESP): BindState.UNBOUND for before in BOUND},
}
"""Where a session goes when a PDU succeeds. What is not listed does not change the state."""

BINDS: Final = frozenset({CommandId.BIND_RECEIVER, CommandId.BIND_TRANSMITTER, CommandId.BIND_TRANSCEIVER})


def permitted(issuer: Role, state: BindState, *, reverse: bool = False) -> frozenset[CommandId]:
    """The commands that `issuer` (by binding role) may send in `state`; `reverse`: the binder is the MC."""
    return _PERMITTED[issuer, state, reverse]


def refusal(command_id: int, state: BindState) -> Status:
    """The status that answers a command which is illegal in `state`."""
    if command_id in BINDS and state in BOUND:
        return Status.ESME_RALYBND
    return Status.ESME_RINVBNDSTS


def peer_version_of(interface_version: int) -> int:
    """0x33, 0x34 or 0x50 for whatever a peer put in its bind.

    Up to 0x33 the peer is a 3.3 one or older and must see no TLVs (SMPP 3.4 section 3.4). Values that no
    version has (0x35, 0x7B are met) come from 3.4 libraries.
    """
    if interface_version <= VERSION_33:
        return VERSION_33
    return VERSION_50 if interface_version == VERSION_50 else VERSION_34


def _permitted(issuer: Role, state: BindState, reverse: bool) -> frozenset[CommandId]:
    matrix = REVERSE_OPERATIONS if reverse else OPERATIONS
    return frozenset(
        command
        for command, operation in matrix.items()
        if state in (operation.esme if issuer is Role.ESME else operation.mc)
    )


_PERMITTED: Final = {
    (issuer, state, reverse): _permitted(issuer, state, reverse)
    for issuer in Role
    for state in BindState
    for reverse in (False, True)
}
