"""Tasks on the real daemon: everything that is confirmed is sent once, and stops when somebody says so."""

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.daemon import Daemon
from gateway.sim.behaviour import Behaviour
from gateway.sim.carrier import SimCarrier
from gateway.smpp.pdu import SubmitSm
from store import quota, task_ledger, tasks
from store.config_db import ConfigStore
from store.task_file import ROWS, Figures, Pass, TaskFile, folder_of, make_folder
from store.tasks import Draft, Input, TaskRow

from .processes import gateway_process
from .world import UPSTREAM, until, upstream, world

FIRST = 8613700000000
USER = 1


def make(
    store: ConfigStore, data: Path, rows: int, *, state: str = "waiting", text: str = "hello", **draft: Any
) -> int:
    """A task of `acme` with so many recipients; confirmed, as the console would, without holding quota."""
    parts = draft.pop("parts_each", 1)
    with store.writing("console:acme") as write:
        task = tasks.create_task(
            write, USER, Draft("task", text, text, parts, **draft), Input(typed=True), stage="ready"
        )
        write.run("UPDATE task SET total = ?, valid = ? WHERE id = ?", (rows, rows, task))
    file = TaskFile.make(make_folder(data, task) / ROWS)
    file.add_recipients([(n + 1, FIRST + n, 0) for n in range(rows)])
    file.finish()
    if state != "preview":
        with store.writing("console:acme") as write:
            tasks.move_task(write, task, "confirm" if state == "waiting" else "ask-review")
            task_ledger.reserve(write, task, USER, rows * parts, taken=rows * parts)
    return task


Entry = tuple[str, int, int, int]  # kind, what it changes, parts, what is available after it


def ledger(daemon: Daemon, task: int) -> list[Entry]:
    with daemon.configuration.reading() as connection:
        return connection.execute(
            "SELECT kind, delta, parts, available FROM quota_entry WHERE task_id = ? ORDER BY id", (task,)
        ).fetchall()


def limit(daemon: Daemon) -> int:
    return daemon.core.quota.balances[USER].limit


async def send(daemon: Daemon, rows: int, **options: Any) -> int:
    """Make a task and hand it to the runner."""
    task = make(daemon.configuration, daemon.data, rows, **options)
    await daemon.reload()
    row = await daemon.tasks.read(task)
    assert daemon.tasks.reserve(task, USER, row.parts)
    daemon.tasks.changed(task)
    return task


def row(daemon: Daemon, task: int) -> TaskRow:
    with daemon.configuration.reading() as connection:
        found = tasks.any_task(connection, task)
    assert found
    return found


def figures(data: Path, task: TaskRow) -> Figures:
    with TaskFile.open(folder_of(data, task.id) / ROWS) as file:
        return file.figures(task.valid)


def move(daemon: Daemon, task: int, name: str) -> None:
    with daemon.configuration.writing("console:acme") as write:
        tasks.move_task(write, task, name)
    daemon.tasks.changed(task)


def free(daemon: Daemon) -> tuple[int, int]:
    balance = daemon.core.quota.balances[USER]
    return balance.reserved, balance.used


@pytest.mark.parametrize(("text", "parts"), [("hello", 1), ("您好" * 50, 2)])
async def test_a_task_reaches_everybody_once_and_is_charged_at_acceptance(
    tmp_path: Path, text: str, parts: int
) -> None:
    async with world(tmp_path) as gateway:
        task = await send(gateway.daemon, 1200, text=text, parts_each=parts)
        assert free(gateway.daemon) == (1200 * parts, 0)
        await until(lambda: row(gateway.daemon, task).outcome == "completed")
        await until(lambda: figures(tmp_path, row(gateway.daemon, task)).delivered == 1200)
        assert free(gateway.daemon) == (0, 1200 * parts)
        assert row(gateway.daemon, task).parts_sent == 1200 * parts
        all_parts, left = 1200 * parts, limit(gateway.daemon) - 1200 * parts
        await until(lambda: len(ledger(gateway.daemon, task)) == 2)
        assert ledger(gateway.daemon, task) == [
            ("reserve", -all_parts, all_parts, left), ("settle", 0, all_parts, left)
        ]  # fmt: skip
        counted = Counter(gateway.sim.log.destinations())
        assert counted == {str(FIRST + n): parts for n in range(1200)}


async def test_a_pause_is_felt_within_a_second_and_nobody_is_sent_to_twice_after_it(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"rate": 200}) as gateway:
        task, seen = await send(gateway.daemon, 600), gateway.sim.log.destinations
        await until(lambda: len(seen()) >= 20)
        move(gateway.daemon, task, "pause")
        await trio.sleep(0.5)
        paused_at = len(seen())
        await trio.sleep(0.5)
        assert len(seen()) == paused_at < 600
        move(gateway.daemon, task, "resume")
        await until(lambda: row(gateway.daemon, task).state == "finished")
        assert Counter(seen()) == {str(FIRST + n): 1 for n in range(600)}


async def test_a_stop_is_felt_within_a_second_and_gives_back_what_was_not_sent(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"rate": 200}) as gateway:
        task, seen = await send(gateway.daemon, 1000), gateway.sim.log.destinations
        await until(lambda: len(seen()) >= 20)
        move(gateway.daemon, task, "stop")
        await trio.sleep(0.5)
        stopped_at = len(seen())
        await until(lambda: free(gateway.daemon) == (0, stopped_at))
        await until(lambda: figures(tmp_path, row(gateway.daemon, task)).delivered == stopped_at)
        counted = figures(tmp_path, row(gateway.daemon, task))
        assert counted.not_sent == 1000 - stopped_at
        assert row(gateway.daemon, task).outcome == "stopped"
        assert len(seen()) == stopped_at
        await until(lambda: len(ledger(gateway.daemon, task)) == 3)
        back, all_parts = 1000 - stopped_at, limit(gateway.daemon)
        assert ledger(gateway.daemon, task)[1:] == [
            ("settle", 0, stopped_at, all_parts - 1000), ("release", back, back, all_parts - stopped_at)
        ]  # fmt: skip
        with gateway.daemon.configuration.reading() as connection:
            assert quota.recount(connection) == []


async def test_a_number_that_is_listed_after_the_confirmation_is_not_sent_to(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        task = make(gateway.daemon.configuration, tmp_path, 30, start_at=1)
        assert gateway.daemon.tasks.reserve(task, USER, 30)
        await gateway.apply({"blacklist": [{"scope": "global", "numbers": [str(FIRST + 7)]}]})
        gateway.daemon.tasks.changed(task)
        await until(lambda: row(gateway.daemon, task).state == "finished")
        assert str(FIRST + 7) not in gateway.sim.log.destinations()
        assert len(gateway.sim.log.destinations()) == 29
        await until(lambda: figures(tmp_path, row(gateway.daemon, task)).delivered == 29)
        assert figures(tmp_path, row(gateway.daemon, task)).refused == 1
        assert free(gateway.daemon) == (0, 29)


async def test_a_task_begins_at_its_time_and_ends_at_its_end(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"rate": 50}) as gateway:
        now_ms = gateway.core.clock.wall_ms()
        task = await send(gateway.daemon, 400, start_at=now_ms + 700, end_at=now_ms + 1700)
        await trio.sleep(0.3)
        assert gateway.sim.log.destinations() == []
        assert row(gateway.daemon, task).state == "waiting"
        await until(lambda: row(gateway.daemon, task).outcome == "expired")
        assert 0 < row(gateway.daemon, task).started_at >= now_ms + 700
        await until(lambda: free(gateway.daemon)[0] == 0)
        assert 0 < len(gateway.sim.log.destinations()) < 400


async def test_a_disabled_owner_s_task_waits_until_the_owner_is_active_again(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        await gateway.apply({"user": [{"login": "acme", "group": "g", "state": "disabled"}]})
        task = await send(gateway.daemon, 20)
        await trio.sleep(0.5)
        assert row(gateway.daemon, task).state == "waiting"
        await gateway.apply({"user": [{"login": "acme", "group": "g", "state": "active"}]})
        gateway.daemon.tasks.changed(task)
        await until(lambda: row(gateway.daemon, task).outcome == "completed")
        assert len(gateway.sim.log.destinations()) == 20


async def test_what_waits_for_review_holds_its_parts_over_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        task = make(gateway.daemon.configuration, tmp_path, 40, state="review")
    async with world(tmp_path) as gateway:
        assert free(gateway.daemon) == (40, 0)
        move(gateway.daemon, task, "cancel")
        await until(lambda: free(gateway.daemon) == (0, 0))
        assert gateway.sim.log.destinations() == []


async def test_what_ends_before_it_begins_gives_back_all_and_the_ledger_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        for state, how in (("waiting", "cancel"), ("review", "withdraw")):
            task = await send(gateway.daemon, 70, state=state, start_at=2**52)
            move(gateway.daemon, task, how)
            await until(lambda task=task: len(ledger(gateway.daemon, task)) == 2)  # type: ignore[misc]
            assert ledger(gateway.daemon, task)[1] == ("release", 70, 70, limit(gateway.daemon))
        forgotten = await send(gateway.daemon, 40, state="waiting", start_at=2**52)
        with gateway.daemon.configuration.writing("console:acme") as write:
            tasks.move_task(write, forgotten, "cancel")  # and the process ends before it is told
    async with world(tmp_path) as gateway:
        await until(lambda: len(ledger(gateway.daemon, forgotten)) == 2)
        assert ledger(gateway.daemon, forgotten)[1][:3] == ("release", 40, 40)


async def test_of_many_confirmations_at_once_no_more_are_held_than_there_is(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        user = {"user": [{"login": "acme", "group": "g", "limit": 1000}]}
        await gateway.apply(user)
        held = [gateway.daemon.tasks.reserve(1000 + n, USER, 30) for n in range(50)]
        assert sum(held) == 33
        assert free(gateway.daemon) == (990, 0)
        for n in range(50):
            gateway.daemon.tasks.book.release(1000 + n)
            gateway.daemon.tasks.book.release(1000 + n)
        assert free(gateway.daemon) == (0, 0)


async def test_a_task_whose_rows_are_lost_fails_and_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        task = make(gateway.daemon.configuration, tmp_path, 10)
        (folder_of(tmp_path, task) / ROWS).unlink()
        gateway.daemon.tasks.changed(task)
        await until(lambda: row(gateway.daemon, task).outcome == "failed")
        with gateway.daemon.configuration.reading() as connection:
            assert "lost" in tasks.task_events(connection, task)[-1][4]


@pytest.mark.parametrize("stored", [0, 3])
async def test_of_the_last_pass_before_a_crash_what_was_not_stored_is_sent_and_no_more(
    tmp_path: Path, stored: int
) -> None:
    async with world(tmp_path) as gateway:
        task = make(gateway.daemon.configuration, tmp_path, 20)
        account = row(gateway.daemon, task).account
        await gateway.daemon.reload()
        messages = [
            SubmitSm(destination_addr=b"%d" % (FIRST + n), dest_addr_ton=1, short_message=b"hello")
            for n in range(stored)
        ]
        ids = await gateway.core.submit_many(gateway.core.accounts[account], messages)
        for one in ids:
            with sqlite3.connect(next((tmp_path / "days").glob("*.db"))) as day:
                day.execute("UPDATE part SET task = ? WHERE id = ?", (task, one))
        first = ids[0] if ids else gateway.core.ids.mint(5)
        gateway.core.ids.mint(5)
        with TaskFile.open(folder_of(tmp_path, task) / ROWS, writes=True) as file:
            file.record(Pass(1, 5, first, first + 4, 5, 1), [])
        with gateway.daemon.configuration.writing("gateway") as write:
            tasks.move_task(write, task, "start")
        await gateway.daemon.tasks.restore()
        gateway.daemon.tasks.changed(task)
        await until(lambda: row(gateway.daemon, task).outcome == "completed")
        assert Counter(gateway.sim.log.destinations()) == {str(FIRST + n): 1 for n in range(20)}
        await until(lambda: free(gateway.daemon) == (0, 20))


@pytest.mark.parametrize("kills", [3])
async def test_a_daemon_killed_again_and_again_sends_to_everybody_and_twice_only_what_was_on_the_wire(
    tmp_path: Path, kills: int
) -> None:
    rows, window = 3000, 20
    data = tmp_path / "data"
    async with SimCarrier(Behaviour(), **UPSTREAM) as sim:
        carrier = {"carrier": [upstream("c", sim.port, window=window, rate=800)]}
        async with world(
            data, carriers={}, document=carrier | {"route": [{"prefix": "", "carriers": ["c"]}]}
        ):
            pass
        with ConfigStore.open(data) as store:
            task = make(store, data, rows)
        for _ in range(kills):
            async with gateway_process(data) as process:
                before = len(sim.log.parts)
                await until(lambda before=before: len(sim.log.parts) >= before + 250, within_s=30)  # type: ignore[misc]
                await process.kill()
        async with gateway_process(data) as process:
            await until(lambda: len(set(sim.log.destinations())) == rows, within_s=30)
            await until(lambda: _finished(data, task), within_s=30)
            assert await process.stop() == 0
    counted = Counter(sim.log.destinations())
    assert counted.keys() == {str(FIRST + n) for n in range(rows)}
    # Each kill leaves a window without answers, and answers of rounds that were not durable yet.
    assert sum(counted.values()) - rows <= kills * 4 * window


def _finished(data: Path, task: int) -> bool:
    connection = sqlite3.connect(f"file:{data}/config.db?mode=ro", uri=True)
    try:
        return connection.execute("SELECT outcome FROM task WHERE id = ?", (task,)).fetchone() == (
            "completed",
        )
    finally:
        connection.close()


async def test_a_cap_on_the_rate_is_felt_within_a_second_and_nobody_is_left_out(tmp_path: Path) -> None:
    async with world(tmp_path) as gateway:
        daemon = gateway.daemon
        task, seen = await send(daemon, 2000), gateway.sim.log.destinations
        await until(lambda: len(seen()) >= 20)
        set_rate(daemon, task, 20)
        await trio.sleep(0.5)
        began = len(seen())
        await trio.sleep(1.0)
        assert 5 <= len(seen()) - began <= 30
        set_rate(daemon, task, 0)
        await until(lambda: row(daemon, task).state == "finished")
        assert Counter(seen()) == {str(FIRST + n): 1 for n in range(2000)}
        with daemon.configuration.reading() as connection:
            notes = [note for _, _, name, _, note in tasks.task_events(connection, task) if name == "rate"]
        assert notes == ["0 → 20", "20 → 0"]


def set_rate(daemon: Daemon, task: int, rate: int) -> None:
    with daemon.configuration.writing("console:acme") as write:
        tasks.set_task_rate(write, task, rate)
    daemon.tasks.changed(task)


async def test_a_paused_task_with_a_cap_goes_on_within_it(tmp_path: Path) -> None:
    async with world(tmp_path, carrier={"rate": 200}) as gateway:
        daemon = gateway.daemon
        task, seen = await send(daemon, 300), gateway.sim.log.destinations
        await until(lambda: len(seen()) >= 20)
        move(daemon, task, "pause")
        set_rate(daemon, task, 100)
        await trio.sleep(0.3)
        move(daemon, task, "resume")
        await until(lambda: row(daemon, task).state == "finished")
        assert Counter(seen()) == {str(FIRST + n): 1 for n in range(300)}


async def test_a_task_s_messages_are_of_its_type_with_the_type_s_route_and_blacklist(tmp_path: Path) -> None:
    document = {
        "sms_type": [{"name": "promo"}],
        "route": [{"prefix": "", "carriers": ["a"]}, {"prefix": "", "sms_type": "promo", "carriers": ["b"]}],
        "blacklist": [{"scope": "type:promo", "numbers": [str(FIRST + 2)]}],
    }
    carriers = {name: SimCarrier(None, **UPSTREAM) for name in ("a", "b")}
    async with world(tmp_path, carriers=carriers, document=document) as gateway:
        daemon = gateway.daemon
        for sms_type, carrier, rows in (("business", "a", [0, 1, 2]), ("promo", "b", [0, 1])):
            task = await send(daemon, 3, sms_type=sms_type)
            await until(lambda: row(daemon, task).outcome == "completed")  # noqa: B023
            assert sorted(carriers[carrier].log.destinations()) == [str(FIRST + n) for n in rows]
            with TaskFile.open(folder_of(tmp_path, task) / ROWS) as file:
                (one,) = file.passes(0, 3)
            parts = await gateway.read(lambda s: s.parts(range(one.first_id, one.last_id + 1)))  # noqa: B023
            assert {part.sms_type for part in parts} == {daemon.core.directory.sms_types[sms_type]}
