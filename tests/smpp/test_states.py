"""The operation matrix: complete, and as SMPP 3.4 table 2-1 and SMPP 5.0 section 2.4 print it."""

import pytest

from gateway.smpp.constants import RESPONSE_BIT, CommandId, Status
from gateway.smpp.fields import LAYOUT_OF
from gateway.smpp.states import (
    BINDS,
    OPERATIONS,
    REVERSE_OPERATIONS,
    TRANSITIONS,
    BindState,
    Role,
    peer_version_of,
    permitted,
    refusal,
)

C = CommandId
S = BindState
ANYTIME = {C.ENQUIRE_LINK, C.GENERIC_NACK}
SUBMISSIONS = {C.SUBMIT_SM, C.SUBMIT_MULTI, C.QUERY_SM, C.CANCEL_SM, C.REPLACE_SM}
DELIVERIES = {C.DELIVER_SM, C.ALERT_NOTIFICATION}
COMMON = ANYTIME | {C.DATA_SM, C.UNBIND}

# The standards' table once more, by state instead of by command, so that a slip in one shows in the other.
EXPECTED = {
    (Role.ESME, S.OPEN): ANYTIME | BINDS,
    (Role.ESME, S.OUTBOUND): ANYTIME | BINDS,
    (Role.ESME, S.BOUND_TX): COMMON | SUBMISSIONS,
    (Role.ESME, S.BOUND_RX): COMMON,
    (Role.ESME, S.BOUND_TRX): COMMON | SUBMISSIONS,
    (Role.ESME, S.UNBOUND): ANYTIME,
    (Role.ESME, S.CLOSED): set(),
    (Role.MC, S.OPEN): ANYTIME | {C.OUTBIND},
    (Role.MC, S.OUTBOUND): ANYTIME,
    (Role.MC, S.BOUND_TX): COMMON,
    (Role.MC, S.BOUND_RX): COMMON | DELIVERIES,
    (Role.MC, S.BOUND_TRX): COMMON | DELIVERIES,
    (Role.MC, S.UNBOUND): ANYTIME,
    (Role.MC, S.CLOSED): set(),
}

EXPECTED_REVERSE = {
    (Role.ESME, S.BOUND_TX): COMMON | DELIVERIES | {C.SUBMIT_SM},  # the carrier, which binds
    (Role.ESME, S.BOUND_RX): COMMON,
    (Role.ESME, S.BOUND_TRX): COMMON | DELIVERIES | {C.SUBMIT_SM},
    (Role.MC, S.BOUND_TX): COMMON,  # we
    (Role.MC, S.BOUND_RX): COMMON | SUBMISSIONS,
    (Role.MC, S.BOUND_TRX): COMMON | SUBMISSIONS,
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("state", BindState)
@pytest.mark.parametrize("issuer", Role)
def test_the_matrix_is_the_standards_table(issuer: Role, state: BindState, reverse: bool) -> None:
    expected = EXPECTED[issuer, state]
    if reverse:
        expected = EXPECTED_REVERSE.get((issuer, state), expected)
    assert permitted(issuer, state, reverse=reverse) == expected


def test_every_request_that_we_can_decode_has_a_row() -> None:
    requests = {command for command in LAYOUT_OF if not command & RESPONSE_BIT}
    assert requests | {C.GENERIC_NACK} == set(OPERATIONS) == set(REVERSE_OPERATIONS)


@pytest.mark.parametrize("command", sorted(OPERATIONS))
def test_whatever_is_legal_somewhere_can_be_issued_by_somebody(command: CommandId) -> None:
    for matrix in (OPERATIONS, REVERSE_OPERATIONS):
        assert matrix[command].esme | matrix[command].mc


def test_nothing_may_be_said_in_a_closed_session() -> None:
    for operation in [*OPERATIONS.values(), *REVERSE_OPERATIONS.values()]:
        assert BindState.CLOSED not in operation.esme | operation.mc


def test_every_state_but_open_and_closed_is_reached_by_a_transition() -> None:
    assert set(TRANSITIONS.values()) == set(BindState) - {BindState.OPEN, BindState.CLOSED}


def test_a_transition_starts_where_its_request_is_legal() -> None:
    for state, event in TRANSITIONS:
        request = CommandId(event & ~RESPONSE_BIT)
        assert state in OPERATIONS[request].esme | OPERATIONS[request].mc


@pytest.mark.parametrize("command", sorted(OPERATIONS))
@pytest.mark.parametrize("state", BindState)
def test_only_a_second_bind_is_told_that_it_is_bound(command: CommandId, state: BindState) -> None:
    bound = state in (BindState.BOUND_TX, BindState.BOUND_RX, BindState.BOUND_TRX)
    expected = Status.ESME_RALYBND if command in BINDS and bound else Status.ESME_RINVBNDSTS
    assert refusal(command, state) is expected


@pytest.mark.parametrize(
    ("offered", "version"),
    [
        (0x00, 0x33),
        (0x2C, 0x33),
        (0x33, 0x33),
        (0x34, 0x34),
        (0x35, 0x34),
        (0x50, 0x50),
        (0x7B, 0x34),
        (0xFF, 0x34),
    ],
)
def test_any_interface_version_becomes_one_of_three(offered: int, version: int) -> None:
    assert peer_version_of(offered) == version
