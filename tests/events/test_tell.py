"""Events of the gateway itself reach the logs exactly once, wherever between their two files a crash comes."""

from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.api import front
from gateway.api.ledger import Ledger
from gateway.events.shapes import QUOTA_LOW
from gateway.events.tell import Teller
from store import announcements as stored
from store.announcements import Announcement, Told
from store.api_db import ApiFull
from tests.api.world import World, running

NOTE = ("quota.low", 7, "100")


async def on_log(world: World) -> list[Any]:
    account = world.core.accounts_by_system_id["api:acme"].id
    return [bytes(e.data) for e in await world.core.event_log.read(account, 0, 100)]  # type: ignore[arg-type]


def announcement(world: World, data: bytes = b'{"n":1}') -> Announcement:
    return Announcement(world.core.accounts_by_system_id["api:acme"].id, QUOTA_LOW, data)


async def nobody(*_: object) -> None:
    """The daemon's own producers stay out of it."""


class Killed(Exception):
    """The process ends here."""


async def begin_and_die(at: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dies(*_: object) -> None:
        raise Killed

    async with running(data) as world:
        ledger = world.front.ledger
        teller = Teller(world.core, ledger)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(*((ledger, "write") if at == "begin" else (teller, f"_{at}")), dies)
            await teller.tell([announcement(world)], Told(notes=[NOTE]))


@pytest.mark.parametrize("at", ["begin", "append", "settle"])
async def test_a_crash_anywhere_tells_once(at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as quiet:
        quiet.setattr(front, "produce", nobody)
        await begin_and_die(at, tmp_path, monkeypatch)
    async with running(tmp_path) as world:
        with trio.fail_after(5):
            while await world.front.ledger.read(stored.pending):
                await trio.sleep(0.01)
        teller = Teller(world.core, world.front.ledger)
        if at == "begin":  # nothing was promised: whoever makes it finds it again
            assert await on_log(world) == []
            assert await teller.notes(NOTE[0]) == {}
        else:
            assert await on_log(world) == [b'{"n":1}']
            assert await teller.notes(NOTE[0]) == {7: "100"}
    async with running(tmp_path) as world:
        assert len(await on_log(world)) == (at != "begin")


async def test_the_same_words_at_another_time_are_another_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "produce", nobody)
    async with running(tmp_path) as world:
        teller = Teller(world.core, world.front.ledger)
        for _ in range(2):
            assert await teller.tell([announcement(world)], Told())
        # Begun after both of them: not the event that it asks for.
        row = ([announcement(world)], Told())
        await world.front.ledger.write(lambda store: stored.begin(world.core.event_log.head, *row, store))
        await teller.recover()
        assert len(await on_log(world)) == 3


async def test_a_full_disk_puts_it_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "produce", nobody)
    async with running(tmp_path) as world:
        teller = Teller(world.core, world.front.ledger)

        async def full(*_: object) -> None:
            raise ApiFull("full")

        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "write", full)
            assert not await teller.tell([announcement(world)], Told())
        assert await on_log(world) == []
        assert await teller.tell([announcement(world)], Told())
        assert len(await on_log(world)) == 1
