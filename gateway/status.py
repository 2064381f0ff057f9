"""The daemon at this moment, as values: what `sluice demo` shows and the control socket's `status` answers."""

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from gateway.daemon import Daemon


class BindStatus(msgspec.Struct, frozen=True):
    number: int
    state: str
    window_used: int
    window_max: int
    peer: str


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
                    )
                    for bind in state.binds
                ],
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
