"""A disk that fills up refuses new messages and nothing else; one that fails ends the daemon (P9, P10)."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.daemon import EXIT_STORE_FAILED, first_of, open_daemon
from gateway.sim.behaviour import Behaviour
from gateway.smpp.constants import Status
from gateway.smpp.pdu import EnquireLink, EnquireLinkResp
from store.model import State
from store.port import StoreFailed

from .peer import bound
from .processes import ENVIRONMENT, ROOT, gateway_process
from .world import World, apply, config, stays, until, upstream, world

MIB = 1 << 20


class Disk:
    """How much room the store believes to have."""

    def __init__(self, gateway: World, free_mib: int = 10_000) -> None:
        self._store: Any = gateway.core.ports.store.store  # type: ignore[attr-defined]
        self.free_mib = free_mib
        upkeep = getattr(self._store, "_upkeep", self._store)
        for holder in (self._store, upkeep):
            if hasattr(holder, "_free_octets"):
                holder._free_octets = lambda directory: self.free_mib * MIB


async def until_disk(gateway: World, state: str) -> None:
    await until(lambda: gateway.core.disk == state)


async def test_a_disk_that_is_nearly_full_refuses_new_messages_and_goes_on_with_the_old(
    tmp_path: Path,
) -> None:
    settings = config(store={"disk_low_mib": 2048, "disk_critical_mib": 256, "ballast_mib": 0})
    late = Behaviour(receipts_delay_s=2.5)
    async with world(tmp_path, late, settings=settings, bound=False) as gateway:
        disk = Disk(gateway)
        await until_disk(gateway, "ok")
        await gateway.up()
        async with gateway.customer() as esme:
            (before,) = await esme.submit("text", "8613700000001")
            assert before.status == 0
            disk.free_mib = 1000
            await until_disk(gateway, "low")
            (refused,) = await esme.submit("text", "8613700000002")
            assert refused.status == Status.ESME_RMSGQFUL
            await until(lambda: before.states == ["DELIVRD"])  # its receipt came, was stored, was delivered
            disk.free_mib = 10_000
            await until_disk(gateway, "ok")
            (after,) = await esme.submit("text", "8613700000003")
            assert after.status == 0


async def test_a_disk_that_is_full_to_the_brim_stops_sending_too_and_answers_enquire_link(
    tmp_path: Path,
) -> None:
    settings = config(store={"disk_low_mib": 2048, "disk_critical_mib": 256, "ballast_mib": 0})
    async with world(tmp_path, settings=settings, carrier={"rate": 5}, bound=False) as gateway:
        disk = Disk(gateway)
        await until_disk(gateway, "ok")
        await gateway.up()
        async with bound(gateway.port, kind="transmitter") as peer:
            for n in range(40):
                await peer.submit(to=b"86137000000%02d" % n)
            disk.free_mib = 100
            await until_disk(gateway, "critical")
            sent = len(gateway.sim.log.parts)
            assert sent < 40
            await stays(lambda: len(gateway.sim.log.parts) == sent, 0.7)
            await peer.ask(EnquireLink(), EnquireLinkResp)
            disk.free_mib = 10_000
            await gateway.apply({"carrier": [upstream("c", gateway.sim.port, rate=0)]})
            await until(lambda: len(gateway.sim.log.parts) == 40)  # recovery needs nobody


async def test_a_write_that_finds_the_disk_full_is_refused_and_the_rest_waits(tmp_path: Path) -> None:
    """SQLITE_FULL in the middle of traffic: submits get RMSGQFUL, results are kept until there is room."""
    late = Behaviour(receipts_delay_s=0.5)
    async with world(tmp_path, late) as gateway, gateway.customer() as esme:
        (sent,) = await esme.submit("text", "8613700000001")
        await until(lambda: gateway.carrier().accepted == 1)
        full = Full(gateway)
        (refused,) = await esme.submit("text", "8613700000002")
        assert refused.status == Status.ESME_RMSGQFUL
        await until(lambda: gateway.sim.log.receipts)  # it has left, and must not be acknowledged
        await stays(lambda: [seen.status for seen in gateway.sim.log.receipts] == [-1])
        full.end()
        await until(lambda: sent.states == ["DELIVRD"])
        assert [seen.status for seen in gateway.sim.log.receipts] == [0]
        balance = gateway.core.quota.balances[gateway.account().user.id]
        assert (balance.reserved, balance.used) == (0, 1)


class Full:
    """The store answers every round with StoreFull, as when SQLite says SQLITE_FULL."""

    def __init__(self, gateway: World) -> None:
        from store.port import Applied, StoreFull

        self._store: Any = gateway.core.ports.store.store  # type: ignore[attr-defined]
        self._apply = self._store.apply

        def apply(changes: Any) -> Any:
            raise StoreFull("The disk is full.", rest=changes, applied=Applied())

        self._store.apply = apply

    def end(self) -> None:
        self._store.apply = self._apply


# -- P10 ----------------------------------------------------------------------------------------------


async def test_a_write_that_fails_is_answered_by_nobody_and_ends_the_daemon(tmp_path: Path) -> None:
    with pytest.raises(BaseExceptionGroup) as ended:
        async with open_daemon(config(), tmp_path) as daemon, trio.open_nursery() as nursery:
            await apply(
                daemon,
                {
                    "carrier": [upstream("c", 1)],
                    "route": [{"prefix": "", "carriers": ["c"]}],
                    "group": [{"path": "g", "granted": "unlimited", "review": "trust"}],
                    "user": [{"login": "acme", "group": "g", "limit": 10}],
                    "account": [{"user": "acme", "system_id": "acme", "password": "secret"}],
                },
            )
            await nursery.start(daemon.run)
            store: Any = daemon.ports.store.store  # type: ignore[attr-defined]

            def apply_failing(changes: Any) -> Any:
                store._fail(sqlite3.OperationalError("disk I/O error"), tmp_path)

            async with bound(daemon.addresses["smpp"][1]) as peer:
                store.apply = apply_failing
                from .peer import submit_sm

                await peer.send(submit_sm())
                assert await peer.next() is None  # closed; no answer that would promise or refuse anything
    assert isinstance(first_of(ended.value), StoreFailed)


FAILING = """
import sqlite3, sys
from store.traffic import SqliteStore
apply = SqliteStore.apply
def failing(self, changes):
    if changes.parts:
        self._fail(sqlite3.OperationalError("disk I/O error"), self.directory)
    return apply(self, changes)
SqliteStore.apply = failing
from gateway.cli import main
sys.argv = ["sluice", "serve", "--data", sys.argv[1]]
main()
"""


async def test_the_process_ends_with_70_and_the_next_one_goes_on(tmp_path: Path) -> None:
    import os

    data = tmp_path / "data"
    async with gateway_process(data) as gateway:
        await gateway.apply(
            {
                "carrier": [upstream("c", 1)],
                "route": [{"prefix": "", "carriers": ["c"]}],
                "group": [{"path": "g", "granted": "unlimited", "review": "trust"}],
                "user": [{"login": "acme", "group": "g", "limit": 10}],
                "account": [{"user": "acme", "system_id": "acme", "password": "secret"}],
            }
        )
        async with bound(gateway.port) as peer:
            first = await peer.submit()
        assert await gateway.stop() == 0
        with gateway.log.open("ab") as log:
            gateway._offset = gateway.log.stat().st_size
            gateway.process = subprocess.Popen(
                [sys.executable, "-c", FAILING, str(data)],
                stderr=log, stdout=log, stdin=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, **ENVIRONMENT},
            )  # fmt: skip
        event = await gateway.wait_event("listening", name="smpp")
        port = int(event["address"].rpartition(":")[2])
        async with bound(port) as peer:
            from .peer import submit_sm

            await peer.send(submit_sm())
            assert await peer.next() is None
        assert await gateway.wait() == EXIT_STORE_FAILED
        (said,) = [found for found in gateway.events() if found["level"] == "critical"]
        assert "disk I/O error" in said["because"]
        assert not any("Traceback" in str(found) for found in gateway.events())
        await gateway.start()
        life = await gateway.call("message", id=first.message_id.decode())
        assert life["life"]["parts"][0]["state"] == State.QUEUED
        async with bound(gateway.port) as peer:
            assert (await peer.submit()).command_status == 0
