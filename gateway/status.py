"""The daemon at this moment, as values: what `sluice demo` shows and the control socket's `status` answers."""

from typing import TYPE_CHECKING

import msgspec

from gateway.carriers import CarrierState
from gateway.smpp.constants import status_name
from gateway.smpp.session import Session

if TYPE_CHECKING:
    from gateway.daemon import Daemon


class BindStatus(msgspec.Struct, frozen=True):
    number: int
    state: str
    window_used: int
    window_max: int
    peer: str
    enquire_link_ms: float  # round trip of the last one, -1 before the first


class CarrierStatus(msgspec.Struct, frozen=True):
    name: str
    up: bool
    limited_by: str
    trouble: str
    queued: int
    sent: int
    accepted: int
    accepted_rate: float
    refused: dict[int, int]
    throttled: int
    receipts: int
    awaiting_receipt: int
    maybe_duplicates: int
    message_id_rule: str
    binds: list[BindStatus]
    sent_rate: float
    receipt_rate: float
    pace: float  # parts a second that it may have now, 0 without a limit
    slowed: float  # share of its rate since it throttled us, 1 when it does not
    last_error: str
    last_error_at: int  # UTC ms, 0 for none


class AccountStatus(msgspec.Struct, frozen=True):
    system_id: str
    binds: int
    accepted: int
    refused: int
    events_waiting: int
    events_delivered: int
    available: int


class Status(msgspec.Struct, frozen=True):
    listeners: dict[str, str]
    draining: bool
    disk: str
    commit_rounds: int
    committed_parts: int
    commit_ms: float
    parked_receipts: int
    unmatched_receipts: int
    duplicate_receipts: int
    inbound: int
    inbound_unowned: int
    carriers: list[CarrierStatus]
    accounts: list[AccountStatus]


def _round_trip_ms(session: Session) -> float:
    took_s = session.statistics().enquire_link_round_trip_s
    return -1.0 if took_s is None else round(took_s * 1000, 2)


def _last_error(daemon: "Daemon", state: CarrierState) -> tuple[str, int]:
    """What went wrong last: a bind that did not come about or ended, or a message that was refused."""
    at, status = state.last_refusal
    why, why_at = daemon.dialer.last_trouble.get(state.id, ("", 0))
    return (status_name(status), at) if at > why_at else (why, why_at)


def status_report(daemon: "Daemon") -> Status:
    core = daemon.core
    committer = core.committer.statistics()
    return Status(
        {name: f"{host}:{port}" for name, (host, port) in daemon.addresses.items()},
        core.draining,
        core.disk,
        committer.rounds,
        committer.parts,
        round(committer.last_commit_s * 1000, 2),
        len({p.id for waiting in core.outcomes.parked.values() for p, _ in waiting}),
        core.outcomes.unmatched_receipts,
        core.outcomes.duplicate_receipts,
        core.inbound.received,
        core.inbound.unowned,
        [
            CarrierStatus(
                state.carrier.name,
                state.up,
                state.limited_by,
                daemon.dialer.trouble.get(state.id, ""),
                state.queue.length,
                state.sent,
                state.accepted,
                round(state.accepted_rate, 1),
                dict(state.refused),
                state.throttled,
                state.receipts,
                len(state.correlation.live),
                state.maybe_duplicates,
                state.correlation.habits.rule,
                [
                    BindStatus(
                        bind.number,
                        bind.session.state.value,
                        bind.session.window_used,
                        bind.session.window_max,
                        bind.peer,
                        _round_trip_ms(bind.session),
                    )
                    for bind in state.binds
                ],
                round(state.sent_rate, 1),
                round(state.receipt_rate, 1),
                round(state.pacer.rate, 1),
                round(state.adaptive.factor, 3),
                *_last_error(daemon, state),
            )
            for state in core.carriers.values()
        ],
        [
            AccountStatus(
                account.account.system_id,
                len(account.binds),
                account.accepted,
                sum(account.refused.values()),
                account.outbox.waiting(),
                account.delivered,
                core.quota.balances[account.user.id].available,
            )
            for account in core.accounts.values()
        ],
    )
