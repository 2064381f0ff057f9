"""The daemon at this moment, as values that the control socket can carry."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec

from gateway.committer import Committer
from gateway.status import Status, status_report
from store.directory import Account, Carrier, User
from tests.gateway.core_world import FakeBind, World, ok, receipt


def report(of: World) -> Status:
    core = SimpleNamespace(
        committer=Committer(cast(Any, None)),
        draining=False,
        disk="ok",
        outcomes=of.outcomes,
        inbound=SimpleNamespace(received=3, unowned=1),
        carriers=of.carriers,
        accounts={1: of.account},
        quota=of.quota,
    )
    daemon = SimpleNamespace(
        core=core,
        addresses={"smpp": ("127.0.0.1", 2775)},
        dialer=SimpleNamespace(trouble={1: "wrong password"}, last_trouble={1: ("wrong password", 5)}),
    )
    return status_report(cast(Any, daemon))


def test_the_report_says_what_is_and_survives_the_wire() -> None:
    of = World(
        carriers=[Carrier(1, "a"), Carrier(2, "b")],
        user=User(1, "u", 1, limit=100),
        account=Account(1, 1, "acme", ""),
    )
    bind = FakeBind(of.carrier)
    cast(Any, bind).session = SimpleNamespace(
        state=SimpleNamespace(value="bound_trx"),
        window_used=2,
        window_max=10,
        statistics=lambda: SimpleNamespace(enquire_link_round_trip_s=0.0125),
    )
    of.answer((of.sent(), ok(b"a1")))
    of.sent()
    of.receive(receipt(b"unknown1"))
    of.account.count_refused(0x4001, 2)
    status = report(of)
    assert status.listeners == {"smpp": "127.0.0.1:2775"}
    assert (status.parked_receipts, status.unmatched_receipts, status.inbound) == (1, 1, 3)
    first, second = status.carriers
    assert (first.last_error, first.last_error_at, second.last_error) == ("wrong password", 5, "")
    assert first.binds[0].enquire_link_ms == 12.5
    assert (first.name, first.up, first.trouble, first.accepted, first.awaiting_receipt) == (
        "a",
        True,
        "wrong password",
        1,
        1,
    )
    assert (first.binds[0].state, first.binds[0].window_used, first.message_id_rule) == (
        "bound_trx",
        2,
        "auto",
    )
    assert (second.name, second.up, second.trouble, second.binds) == ("b", False, "", [])
    (account,) = status.accounts
    assert (account.system_id, account.refused, account.available) == ("acme", 2, 98)
    assert msgspec.json.decode(msgspec.json.encode(status), type=Status) == status


def test_a_receipt_parked_under_several_forms_is_counted_once() -> None:
    of = World()
    of.receive(receipt(b"0059113978"))
    assert len(of.outcomes.parked) > 1 and report(of).parked_receipts == 1
