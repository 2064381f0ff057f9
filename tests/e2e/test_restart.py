"""What was accepted survives: a drain, and kill -9 at any moment, with nothing to be done by hand."""

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.sim.esme import Refused, SimEsme
from gateway.sim.esme_options import EsmeOptions
from gateway.sim.message import address, sm_body
from store.model import PartFlag, State
from store.port import StoreOptions
from store.traffic import SqliteStore

from .peer import bound
from .processes import Gateway, gateway_process
from .world import PASSWORD, PATIENCE_S, PEOPLE, UPSTREAM, until, upstream

ENDINGS = pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "kill -9"])


def document(port: int, **carrier: Any) -> dict[str, Any]:
    return {
        "carrier": [upstream("c", port, **carrier)],
        **PEOPLE,
        "route": [{"prefix": "", "carriers": ["c"]}],
    }


def customer(gateway: Gateway, **options: Any) -> SimEsme:
    given = {"system_id": "acme", "password": PASSWORD, "port": gateway.port, **options}
    return SimEsme(EsmeOptions(**given))


@contextmanager
def copied_store(data: Path) -> Iterator[SqliteStore]:
    """The traffic store of a gateway that has ended, on a copy: opening it leaves no trace."""
    copy = data.with_name(f"{data.name}-copy")
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("control.sock"))
    store = SqliteStore.open(copy, now_ms=int(time.time() * 1000), options=StoreOptions(ballast_octets=0))
    try:
        store.recover()
        yield store
    finally:
        store.close()
        shutil.rmtree(copy)


def prove(data: Path) -> None:
    """The files hold no contradiction; what was used adds up."""
    with copied_store(data) as store:
        assert store.verify({1: 1}) == []


async def status(gateway: Gateway) -> Any:
    return await gateway.call("status")


async def until_status(gateway: Gateway, wanted: Any) -> None:
    with trio.fail_after(PATIENCE_S):
        while not wanted(await status(gateway)):
            await trio.sleep(0.02)


@ENDINGS
async def test_everything_that_waits_survives(tmp_path: Path, ending: int) -> None:
    """Queued, scheduled, sent and awaiting its receipt, a receipt nobody has taken, a parked receipt."""
    data = tmp_path / "data"
    async with SimCarrier(Behaviour(receipts=False), **UPSTREAM) as sim:
        async with gateway_process(data) as gateway:
            await gateway.apply(document(sim.port))
            await sim.wait_bound()
            async with bound(gateway.port, kind="transmitter") as peer:
                awaiting = (await peer.submit(to=b"8613700000001")).message_id
                await until(lambda: len(sim.log.parts) == 1)
                told = (await peer.submit(to=b"8613700000002")).message_id
                await until(lambda: len(sim.log.parts) == 2)
                smsc_ids = [part.message_id for part in sim.log.parts]
                sim.send_deliver(receipt(smsc_ids[1], "8613700000002"))
                sim.send_deliver(receipt("777", "8613700000009"))
                await until(lambda: [seen.status for seen in sim.log.receipts] == [0, 0])
                await gateway.apply({"carrier": [{"name": "c", "state": "paused"}]})
                await until(lambda: not sim.links)
                queued = (await peer.submit(to=b"8613700000003")).message_id
                scheduled = (
                    await peer.submit(to=b"8613700000004", schedule_delivery_time=b"000000000003000R")
                ).message_id
            await until_status(gateway, lambda s: s["accounts"][0]["events_waiting"] == 1)
            code = await gateway.stop(ending)
            assert code == (0 if ending == signal.SIGTERM else -signal.SIGKILL)
            prove(data)
            await gateway.start()
            before = await status(gateway)
            assert before["parked_receipts"] == 1
            assert before["carriers"][0]["awaiting_receipt"] == 1
            async with bound(gateway.port, kind="receiver") as peer:
                first = await peer.receive()
                assert first.short_message.startswith(b"id:" + told)
                sim.behaviour = Behaviour()
                await gateway.apply({"carrier": [{"name": "c", "state": "active"}]})
                await sim.wait_bound()
                sim.send_deliver(receipt(smsc_ids[0], "8613700000001"))
                rest = {(await peer.receive()).short_message.split()[0][3:] for _ in range(3)}
                assert rest == {awaiting, queued, scheduled}
            assert sim.log.destinations() == [f"861370000000{n}" for n in (1, 2, 3, 4)]
            assert (await gateway.stop()) == 0
        prove(data)


def receipt(message_id: str, to: str) -> bytes:
    text = (
        f"id:{message_id} sub:001 dlvrd:001 submit date:2611222201 done date:2611222202 stat:DELIVRD err:000"
    )
    return sm_body(address(to), address("10690001"), text.encode(), esm_class=4)


@ENDINGS
async def test_a_long_message_with_a_part_delivered_gets_its_one_receipt_after_the_restart(
    tmp_path: Path, ending: int
) -> None:
    data = tmp_path / "data"
    async with SimCarrier(Behaviour(receipts=False), **UPSTREAM) as sim:
        async with gateway_process(data) as gateway:
            await gateway.apply(document(sim.port))
            await sim.wait_bound()
            async with bound(gateway.port, kind="transmitter") as peer:
                answer = await peer.submit(b"", tlvs=((0x0424, b"x" * 400),))
            await until(lambda: len(sim.log.parts) == 3)
            ids = [part.message_id for part in sim.log.parts]
            sim.send_deliver(receipt(ids[0], "8613700000001"))
            sim.send_deliver(receipt(ids[2], "8613700000001"))
            await until(lambda: [seen.status for seen in sim.log.receipts] == [0, 0])
            await gateway.stop(ending)
            await gateway.start()
            await sim.wait_bound()
            async with bound(gateway.port, kind="receiver") as peer:
                sim.send_deliver(receipt(ids[1], "8613700000001"))
                told = await peer.receive()
                assert told.short_message.startswith(b"id:" + answer.message_id)
                with pytest.raises(trio.TooSlowError):
                    await peer.next(within_s=0.2)


async def test_what_may_have_been_sent_before_a_kill_is_marked_and_counted(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with SimCarrier(Behaviour(response_latency_s=30), **UPSTREAM) as sim:
        async with gateway_process(data) as gateway:
            await gateway.apply(document(sim.port, window=5))
            await sim.wait_bound()
            async with bound(gateway.port, kind="transmitter") as peer:
                ids = [(await peer.submit(to=b"861370000000%d" % n)).message_id for n in range(9)]
            await until(lambda: len(sim.log.parts) == 5)
            await gateway.kill()
            sim.behaviour = Behaviour()
            await gateway.start()
            await until(lambda: len(sim.log.parts) == 14)
            (carrier,) = (await status(gateway))["carriers"]
            flags = []
            for message_id in ids:
                life = await gateway.call("message", id=message_id.decode())
                flags.append(life["life"]["parts"][0]["flags"] & PartFlag.MAYBE_DUPLICATE)
            # The window that was out, and what answers not yet on disk may have let follow it.
            assert all(flags[:5])
            assert carrier["maybe_duplicates"] == sum(map(bool, flags))


@pytest.mark.parametrize("policy", ["hold", "fail"])
async def test_a_careful_carrier_is_never_sent_twice_after_a_kill(tmp_path: Path, policy: str) -> None:
    data = tmp_path / "data"
    async with SimCarrier(Behaviour(response_latency_s=30), **UPSTREAM) as sim:
        async with gateway_process(data) as gateway:
            await gateway.apply(document(sim.port, window=3, on_unknown=policy))
            await sim.wait_bound()
            async with bound(gateway.port, kind="transmitter") as peer:
                ids = [(await peer.submit(to=b"861370000000%d" % n)).message_id for n in range(6)]
            await until(lambda: len(sim.log.parts) == 3)
            await gateway.kill()
            sim.behaviour = Behaviour()
            await gateway.start()
            await until(lambda: len(sim.log.parts) >= 6 - 3)
            await trio.sleep(0.5)
            assert not sim.log.duplicates()
            states = [
                (await gateway.call("message", id=message_id.decode()))["life"]["parts"][0]["state"]
                for message_id in ids
            ]
            unknown = State.HELD if policy == "hold" else State.UNKNOWN
            assert states[:3] == [unknown] * 3
            assert all(state in (State.DELIVERED, State.SENT, unknown) for state in states[3:])
            assert State.DELIVERED in states or State.SENT in states or states[3:] == [unknown] * 3


LOAD_MESSAGES = 4_000
KILLS = 5


@pytest.mark.slow
async def test_kill_9_under_load_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    """Five kills while a customer submits as fast as it can; everything answered ROK ends exactly once."""
    data = tmp_path / "data"
    carrier = Behaviour(response_latency_s=0.005, receipts_delay_s=0.05, receipt_retry_s=0.5)
    window = 50
    sent: dict[str, str] = {}  # message_id of every ROK answer -> destination
    finals: dict[str, list[str]] = {}
    async with SimCarrier(carrier, **UPSTREAM) as sim:
        async with gateway_process(data) as gateway:
            await gateway.apply(document(sim.port, window=window, binds=2))
            number = 0
            for kill in range(KILLS + 1):
                async with customer(gateway, window=100, wait_s=PATIENCE_S) as esme:
                    await esme.bind_all()
                    until_number = number + LOAD_MESSAGES // (KILLS + 1)
                    async with trio.open_nursery() as nursery:
                        if kill < KILLS:

                            async def strike() -> None:
                                await until(lambda: len(esme.books.by_id) > 200 + kill * 30)  # noqa: B023
                                await gateway.kill()

                            nursery.start_soon(strike)
                        while number < until_number and any(bind.alive for bind in esme.binds):
                            number += 1
                            await esme.send("短信" if number % 2 else "text", f"8613{number:09}")
                            if number % 50 == 0:
                                await trio.sleep(0)
                    if kill == KILLS:
                        await until(lambda: not esme.books.unanswered)
                        await drained(gateway)
                        await trio.sleep(0.3)
                    for one in esme.books.by_id.values():
                        sent[one.message_id] = one.destination
                        finals.setdefault(one.message_id, []).extend(one.states)
                    for message_id, states in esme.books.parked.items():
                        finals.setdefault(message_id, []).extend(states)
                if kill < KILLS:
                    await gateway.wait()
                    await gateway.start()
            async with customer(gateway, bind="receiver") as late:
                await late.bind_all()
                await drained(gateway)
                for message_id, states in late.books.parked.items():
                    finals.setdefault(message_id, []).extend(states)
            assert (await gateway.stop()) == 0
        with copied_store(data) as store:
            assert store.verify({1: 1}) == []
            at_carrier = set(sim.log.destinations())
            lost = [to for to in sent.values() if to not in at_carrier]
            assert lost == []
            parts = {part.id: part for part in store.parts(sorted(map(int, sent)))}
            assert len(parts) == len(sent)
            assert {part.state for part in parts.values()} == {State.DELIVERED}
            untold = [message_id for message_id in sent if not finals.get(message_id)]
            assert untold == []
            # A receipt may reach the customer twice around a kill (P4), but it always says the same.
            assert all(set(states) == {"DELIVRD"} for states in finals.values())
            duplicates = sum(times - 1 for times in sim.log.duplicates().values())
            assert duplicates <= KILLS * (2 * window + 2 * window)  # windows, and results not yet on disk
            assert len(sent) > KILLS * 200


async def drained(gateway: Gateway) -> None:
    """Until nothing waits: no part queued or awaiting its receipt, no receipt undelivered."""

    def idle(report: Any) -> bool:
        carriers, accounts = report["carriers"], report["accounts"]
        return not any(c["queued"] or c["awaiting_receipt"] for c in carriers) and not any(
            a["events_waiting"] for a in accounts
        )

    with trio.fail_after(2 * PATIENCE_S):
        while True:
            for _ in range(5):
                if not idle(await status(gateway)):
                    break
                await trio.sleep(0.1)
            else:
                return
            await trio.sleep(0.1)


async def test_a_second_daemon_on_the_same_data_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    async with gateway_process(tmp_path / "data") as gateway:
        second = Gateway(tmp_path / "data")
        with pytest.raises(AssertionError, match="in use by process"):
            await second.start()
        assert (await status(gateway))["draining"] is False


async def test_a_customer_that_comes_while_we_drain_is_told_so(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with SimCarrier(Behaviour(response_latency_s=1.0), **UPSTREAM) as sim:
        async with gateway_process(data) as gateway:
            await gateway.apply(document(sim.port))
            await sim.wait_bound()
            async with bound(gateway.port) as peer:
                await peer.submit()
                assert gateway.process is not None
                gateway.process.send_signal(signal.SIGTERM)
                await gateway.wait_event(
                    "draining",
                )
                async with customer(gateway) as esme:
                    with pytest.raises((OSError, Refused)):
                        await esme.bind_all()
            assert await gateway.wait() == 0
        assert sim.log.parts[0].status == 0
        events = [event["event"] for event in gateway.events()]
        assert events[-1] == "stopped"
