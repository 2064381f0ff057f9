"""The log as readers use it: what stands in it, in which order, for whom, and that no cursor misses anything."""

import shutil
from pathlib import Path
from typing import Any

import trio

from gateway.events.seq import SEQ_MAX, id_of_seq, seq_of
from gateway.events.shapes import InboundData, LoggedEvent, StatusData
from gateway.sim.behaviour import Behaviour
from gateway.sim.message import address, sm_body
from store.model import Changes, EventFor, Notice
from tests.api.world import DOCUMENT, TO, World, apply, bound, delivering, running

WITH_PASSWORD = {
    **DOCUMENT,
    "api_key": [
        *DOCUMENT["api_key"],
        {"user": "acme", "account": "esme", "key": "gw_live_key-of-the-esme-000000000"},
    ],
}


def account_of(world: World, system_id: str = "api:acme") -> int:
    return world.core.accounts_by_system_id[system_id].id


async def events_of(world: World, count: int, after: int = 0, **more: Any) -> list[LoggedEvent]:
    """Waits until so many events are behind a cursor, as a reader does."""
    log, account = world.core.event_log, account_of(world)
    with trio.fail_after(5):
        while True:
            wake = log.changed(account)
            events = await log.read(account, after, 1000, **more)
            if len(events) >= count:
                return events
            await wake.wait()


async def test_a_receipt_says_what_became_of_which_message(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, _):
        api = await world.connect()
        await bound(world)
        sent = await api.send(client_ref="ord-1", metadata={"dept": "claims"})
        [event] = await events_of(world, 1)
        assert event.type == "message.status"
        assert event.id.startswith("evt_")
        data = event.data
        assert isinstance(data, StatusData)
        assert (data.id, data.status, data.final, data.to) == (sent["id"], "delivered", True, TO[1:])
        assert (data.client_ref, data.metadata, data.error) == ("ord-1", {"dept": "claims"}, None)
        assert event.seq == await world.core.event_log.newest(account_of(world))
        assert event.seq == await world.core.event_log.oldest(account_of(world))


async def test_a_failure_tells_whose_word_it_is(tmp_path: Path) -> None:
    async with delivering(tmp_path, Behaviour(states={"UNDELIV": 1.0})) as (world, _):
        api = await world.connect()
        await bound(world)
        await api.send()
        [event] = await events_of(world, 1)
        assert isinstance(event.data, StatusData) and event.data.error is not None
        assert event.data.status == "undelivered" and event.data.final
        assert (event.data.error.group, event.data.error.dlr_stat) == ("network", "UNDELIV")


async def test_no_report_is_logged_of_a_message_that_wants_none(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, _):
        api = await world.connect()
        await bound(world)
        silent = await api.send(dlr=False)
        await api.until(f"/v1/messages/{silent['id']}", status="delivered")
        told = await api.send()
        assert [event.data.id for event in await events_of(world, 1)] == [told["id"]]  # type: ignore[union-attr]


async def test_a_long_message_is_told_of_once(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, _):
        api = await world.connect()
        await bound(world)
        sent = await api.send(text="长" * 150)
        await api.until(f"/v1/messages/{sent['id']}", status="delivered")
        [event] = await events_of(world, 1)
        assert isinstance(event.data, StatusData)
        assert (event.data.id, event.data.parts, event.data.part) == (sent["id"], 3, 0)


async def test_an_inbound_message_is_logged_whole_with_what_it_answers(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, carrier):
        api = await world.connect()
        await bound(world)
        sent = await api.send(to="13900000001", client_ref="q-1", **{"from": "10690000"})
        [told] = await events_of(world, 1)
        carrier.send_mo("好" * 100, source="8613900000001", destination="10690000", parts=2, shuffled=True)
        [event] = await events_of(world, 1, told.seq)
        data = event.data
        assert isinstance(data, InboundData)
        assert (data.text, data.parts, data.from_, data.to) == ("好" * 100, 2, "8613900000001", "10690000")
        assert data.encoding == "ucs2"
        assert data.in_reply_to is not None
        assert (data.in_reply_to.message_id, data.in_reply_to.client_ref) == (sent["id"], "q-1")
        assert await events_of(world, 1, kinds={"message.inbound"}) == [event]


async def test_nothing_of_an_account_without_password_waits_for_binds(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, _):
        api = await world.connect()
        await bound(world)
        for _ in range(3):
            await api.send()
        await events_of(world, 3)
        outbox = world.core.accounts[account_of(world)].outbox
        assert not outbox.waiting() and not outbox.spilled
        assert await world.core.ports.store.read(lambda s: s.accounts_with_pending_events()) == {}


async def test_an_account_with_password_and_keys_has_two_readers_without_keys_one(tmp_path: Path) -> None:
    both, binds = EventFor.BINDS | EventFor.CURSORS, EventFor.BINDS
    async with running(tmp_path) as world:
        readers = world.core.outcomes.readers
        assert readers[account_of(world)] == EventFor.CURSORS
        assert readers.get(account_of(world, "esme"), binds) == binds
        await apply(world.daemon, {"api_key": WITH_PASSWORD["api_key"]})
        assert world.core.outcomes.readers[account_of(world, "esme")] == both


async def test_a_cursor_holds_over_a_restart(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, _):
        api = await world.connect()
        await bound(world)
        for _ in range(3):
            await api.send()
        before = await events_of(world, 3)
    async with delivering(tmp_path) as (world, _):
        api = await world.connect()
        assert await events_of(world, 3) == before
        assert await events_of(world, 2, before[0].seq) == before[1:]
        await bound(world)
        await api.send()
        after = await events_of(world, 1, before[-1].seq)
        assert len(after) == 1 and after[0].seq > before[-1].seq
        assert await events_of(world, 4) == before + after


async def test_a_reader_of_one_kind_finds_it_behind_pages_of_others(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        log, account = world.core.event_log, account_of(world)
        for number in range(30):
            log.append(account, "other", b"{}" if number < 29 else b'{"last":true}')
        log.append(account, "batch.finished", b"{}")
        events = await events_of(world, 1, kinds={"batch.finished"})
        assert [event.type for event in events] == ["batch.finished"]
        assert [e.type for e in await log.read(account, 0, 5, kinds={"batch.finished"})] == ["batch.finished"]
        assert await log.read(account, events[0].seq, 5) == []


async def test_a_follower_sees_every_event_once_in_order_while_they_are_written(tmp_path: Path) -> None:
    """Writers of two accounts, several day-spanning or not, while readers with small pages follow."""
    async with running(tmp_path) as world, trio.open_nursery() as nursery:
        log, core = world.core.event_log, world.core
        mine, other = account_of(world), account_of(world, "esme")
        seen: list[int] = []
        total = 300

        async def write() -> None:
            for number in range(total):
                log.append(mine if number % 3 else other, "other", b"%d" % number)
                if number % 7 == 0:
                    await trio.lowlevel.checkpoint()

        async def follow() -> None:
            after = 0
            while len(seen) < total - total // 3:
                wake = log.changed(mine)
                events = await log.read(mine, after, 7)
                if not events:
                    await wake.wait()
                    continue
                assert all(event.seq > after for event in events)
                after = events[-1].seq
                seen.extend(int(bytes(event.data)) for event in events)  # type: ignore[arg-type]

        with trio.fail_after(10):
            nursery.start_soon(write)
            await follow()
        assert seen == [number for number in range(total) if number % 3]
        assert core.committer.statistics().waiting_changes == 0


def test_seq_keeps_the_order_and_fits_what_javascript_can_hold() -> None:
    ids = [
        (second << 30) | (5 << 20) | number
        for second in (0, 1, 1_800_000_000, (1 << 33) - 1)
        for number in (0, 1, (1 << 20) - 1)
    ]
    seqs = [seq_of(event) for event in ids]
    assert seqs == sorted(set(seqs)) and seqs[-1] == SEQ_MAX
    assert [id_of_seq(seq, 5) for seq in seqs] == ids


async def test_what_is_visible_but_not_settled_is_not_read_yet(tmp_path: Path) -> None:
    """A round of two days is visible day by day: the later day first, whose events are the higher ones."""
    async with running(tmp_path) as world:
        core, log, account = world.core, world.core.event_log, account_of(world)
        log.append(account, "other", b"1")
        [first] = await events_of(world, 1)
        low, high = core.ids.mint(), core.ids.mint()
        store = core.ports.store.store  # type: ignore[attr-defined]
        for event_id in (high, low):
            store.apply(Changes(notices=[Notice(event_id, account, 0, "other", b"2")]))
            assert await log.read(account, 0, 10) == [first]
            page = await log.page(account, first.seq, 10)
            assert (page.events, page.through) == ([], log.head)
        log.advance({account: high})
        assert [event.seq for event in await log.read(account, first.seq, 10)] == [seq_of(low), seq_of(high)]


async def test_an_inbound_message_that_stays_incomplete_is_told_of_with_a_mark(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, carrier):
        await bound(world)
        udh = bytes((5, 0, 3, 9, 2, 1))
        carrier.send_deliver(
            sm_body(address("8613900000001"), address("10690000"), udh + b"Hello", esm_class=0x40)
        )
        with trio.fail_after(5):
            while not world.core.inbound.received:
                await trio.sleep(0.01)
        world.core.wall.believable = lambda: True  # type: ignore[method-assign]
        now = world.core.clock.now()
        world.core.clock.now = lambda: now + 2000  # type: ignore[method-assign]
        await world.daemon.housekeeping.sweep()
        [event] = await events_of(world, 1)
        assert isinstance(event.data, InboundData)
        assert (event.data.text, event.data.parts) == ("Hello[…]", 2)


async def test_a_cursor_holds_over_a_crash(tmp_path: Path) -> None:
    """What a kill leaves is what the files hold at that moment: a copy of them, made while the daemon runs."""
    async with delivering(tmp_path / "alive") as (world, _):
        api = await world.connect()
        await bound(world)
        for _ in range(5):
            await api.send()
        before = await events_of(world, 5)
        await trio.to_thread.run_sync(shutil.copytree, tmp_path / "alive", tmp_path / "killed")
    async with delivering(tmp_path / "killed") as (world, _):
        assert await world.core.event_log.read(account_of(world), 0, 10) == before
        api = await world.connect()
        await bound(world)
        await api.send()
        [event] = await events_of(world, 1, before[-1].seq)
        assert event.seq > before[-1].seq
        assert await events_of(world, 6) == [*before, event]
