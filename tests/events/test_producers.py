"""quota.low, connection.state, batch.reviewed: who hears of what, once, by each way of hearing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.api import front
from gateway.events import connections, low_quota, reviewed
from gateway.events.connections import Connections
from gateway.events.tell import Teller
from gateway.sim.carrier import SimCarrier
from store import tasks
from store.tasks import Draft, Input
from tests.api.test_api_webhooks import ALLOWED, added, receiving
from tests.api.world import DOCUMENT, World, bound, running
from tests.events.test_pull import EventSource
from tests.events.test_tell import nobody
from tests.stream.client import Stream
from tests.webhooks.world import Receiver

KEY_OF = {
    login: f"gw_live_0123456789ABCDEFGHJKMNPQRS_hears-as-{login}"
    for login in ("boss", "chief", "low", "idle")
}
PEOPLE: dict[str, Any] = {
    **DOCUMENT,
    "group": [
        {"path": "root", "granted": "unlimited", "review": "trust"},
        {"path": "root/sales", "granted": 1000, "quota_low_parts": 950},
    ],
    "user": [
        {"login": "boss", "group": "root", "role": "admin"},
        {"login": "chief", "group": "root/sales", "role": "admin"},
        {"login": "low", "group": "root/sales", "limit": 100},  # 10 % count as low
        {"login": "idle", "group": "root/sales", "limit": 100},
    ],
    "account": [],
    "number": [],
    "api_key": [
        {"user": login, "key": key, "scopes": ["send", "read", "inbound", "webhooks", "admin"]}
        for login, key in KEY_OF.items()
    ],
}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (low_quota, connections, reviewed):
        monkeypatch.setattr(module, "PERIOD_S", 0.02)
    monkeypatch.setattr(connections, "START_S", 0.2)


async def heard(world: World, login: str, kind: str, count: int) -> list[Any]:
    """So many events of a kind on the log of a user's account."""
    api = await world.connect(KEY_OF[login])
    with trio.fail_after(5):
        while True:
            page = await api.get("/v1/events?limit=1000")
            found = [event for event in page["data"] if event["type"] == kind]
            if len(found) >= count:
                return found
            await trio.sleep(0.01)


async def data(world: World, login: str, kind: str, count: int = 0) -> list[Any]:
    return [event["data"] for event in await heard(world, login, kind, count)]


async def looks() -> None:
    """Time for some looks."""
    await trio.sleep(0.15)


class Ears:
    """A user who listens in every way that there is."""

    def __init__(self, world: World, login: str, source: EventSource, stream: Stream, hook: Receiver) -> None:
        self._world, self._login = world, login
        self._source, self._stream, self._hook = source, stream, hook

    async def hear(self, kind: str) -> Any:
        """The data of the next event, which came the same by pull, SSE, WebSocket and webhook."""
        name, by_sse = await self._source.event()
        by_stream = await self._stream.hear("event")
        assert by_stream.pop("op") == "event"
        with trio.fail_after(5):
            while True:
                posted = [event for one in self._hook.posted for event in one.json["data"]]
                if any(event["id"] == by_sse["id"] for event in posted):
                    break
                await trio.sleep(0.01)
        by_pull = (await heard(self._world, self._login, kind, 1))[-1]
        assert by_pull == by_sse == by_stream == posted[-1]
        assert name == by_pull["type"] == kind == self._hook.posted[-1].json["type"]
        return by_pull["data"]


@asynccontextmanager
async def ears(world: World, login: str) -> AsyncIterator[Ears]:
    async with receiving() as (hook, url):
        await added(await world.connect(KEY_OF[login]), url=url)
        source = EventSource(world, KEY_OF[login])
        await source.open()
        try:
            async with await Stream.connect(world, KEY_OF[login]) as stream:
                yield Ears(world, login, source, stream, hook)
        finally:
            await source.close()


# -- quota.low --------------------------------------------------------------------------------------


async def spend(world: World, parts: int, login: str = "low") -> None:
    api = await world.connect(KEY_OF[login])
    numbers = [f"+86138{number:08}" for number in range(parts)]
    answer = await api.post(
        "/v1/batches", {"defaults": {"text": "hi", "from": "1069"}, "recipients": numbers}
    )
    assert answer.json["accepted"] == parts, answer.json


async def test_low_quota_is_told_in_every_way_to_the_user(tmp_path: Path) -> None:
    async with running(tmp_path, document=PEOPLE, webhooks=ALLOWED) as world, ears(world, "low") as user:
        await spend(world, 90)
        assert await user.hear("quota.low") == {
            "of": "user", "name": "low", "limit": 100, "available": 10, "threshold": 10,
        }  # fmt: skip
        await looks()
        assert await data(world, "idle", "quota.low") == []


async def test_low_quota_is_told_once_a_fall_over_restarts_and_again_after_a_top_up(tmp_path: Path) -> None:
    async with running(tmp_path, document=PEOPLE) as world:
        await spend(world, 89)
        await looks()
        assert await data(world, "low", "quota.low") == []
        await spend(world, 1)
        await heard(world, "low", "quota.low", 1)
        await spend(world, 5)
        await looks()
    async with running(tmp_path, document=PEOPLE) as world:
        await looks()
        assert len(await data(world, "low", "quota.low")) == 1
        users = [{**user, "limit": 200} if user["login"] == "low" else user for user in PEOPLE["user"]]
        await world.apply({"user": users})
        await looks()
        assert len(await data(world, "low", "quota.low")) == 1
        await spend(world, 85)  # 20 of 200 are left
        [_, again] = await data(world, "low", "quota.low", 2)
        assert (again["limit"], again["available"], again["threshold"]) == (200, 20, 20)


async def test_a_few_parts_that_come_back_are_no_news_and_many_are(tmp_path: Path) -> None:
    async with running(tmp_path, document=PEOPLE) as world:
        api = await world.connect(KEY_OF["low"])
        await spend(world, 89)
        for count in (1, 2):
            one = await api.send(**{"from": "1069"})
            await heard(world, "low", "quota.low", 1)
            assert (await api.ask("DELETE", f"/v1/messages/{one['id']}")).status == 200
            await looks()
            assert len(await data(world, "low", "quota.low")) == 1, count
        batches = [
            e["data"]["id"] for e in (await api.get("/v1/events"))["data"] if e["type"] == "batch.finished"
        ]
        assert batches == []
        page = await api.get("/v1/messages?limit=100&status=queued")
        for message in page["data"][:20]:
            await api.ask("DELETE", f"/v1/messages/{message['id']}")
        await looks()
        await spend(world, 21)
        assert len(await data(world, "low", "quota.low", 2)) == 2


async def test_administrators_hear_of_the_groups_that_they_look_after(tmp_path: Path) -> None:
    async with running(tmp_path, document=PEOPLE) as world:
        await spend(world, 30)
        await spend(world, 20, "idle")
        told = {"of": "group", "name": "root/sales", "limit": 1000, "available": 950, "threshold": 950}
        for login in ("chief", "boss"):
            assert await data(world, login, "quota.low", 1) == [told]
        assert await data(world, "low", "quota.low") == []


# -- connection.state -------------------------------------------------------------------------------


def carrier_at(port: int, **fields: Any) -> dict[str, Any]:
    link = {"host": "127.0.0.1", "port": port, "system_id": "sluice", "password": "password"}
    return {
        "carrier": [{"name": "carrier", **link, "reconnect_s_min": 0.05, "reconnect_s_max": 0.1, **fields}]
    }


async def test_carriers_that_come_and_go_are_told_to_administrators_of_a_root_group(tmp_path: Path) -> None:
    async with running(tmp_path, document=PEOPLE, webhooks=ALLOWED) as world, ears(world, "boss") as admin:
        assert (await admin.hear("connection.state"))["state"] == "down"
        async with SimCarrier(system_id="sluice") as carrier:
            await world.apply(carrier_at(carrier.port))
            assert await admin.hear("connection.state") == {
                "carrier": "carrier", "state": "up", "binds": 1, "queued": 0,
            }  # fmt: skip
            await world.apply(carrier_at(carrier.port, state="paused"))
            assert (await admin.hear("connection.state"))["state"] == "paused"
            await world.apply(carrier_at(carrier.port, state="active"))
            assert (await admin.hear("connection.state"))["state"] == "up"
        assert (await admin.hear("connection.state"))["state"] == "down"
        for login in ("chief", "low"):
            assert await data(world, login, "connection.state") == []


async def test_a_restart_is_no_change(tmp_path: Path) -> None:
    async with SimCarrier(system_id="sluice") as carrier:
        for _ in range(2):
            async with running(tmp_path, document=PEOPLE) as world:
                await world.apply(carrier_at(carrier.port))
                await bound(world)
                await heard(world, "boss", "connection.state", 1)
                await looks()
                assert [one["state"] for one in await data(world, "boss", "connection.state")] == ["up"]


async def test_a_key_without_the_scope_admin_does_not_see_carriers(tmp_path: Path) -> None:
    reader = "gw_live_0123456789ABCDEFGHJKMNPQRS_reader-of-boss"
    document = {
        **PEOPLE,
        "api_key": [*PEOPLE["api_key"], {"user": "boss", "key": reader, "scopes": ["read"]}],
    }
    async with running(tmp_path, document=document) as world:
        await heard(world, "boss", "connection.state", 1)
        api = await world.connect(reader)
        assert (await api.get("/v1/events"))["data"] == []


async def test_a_state_that_does_not_last_is_no_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path, document=PEOPLE) as world:
        await heard(world, "boss", "connection.state", 1)  # down
        watch = Connections(world.core, Teller(world.core, world.front.ledger))
        watch._told = dict.fromkeys(world.core.carriers, "down")
        for state in ("up", "down", "up", "down"):
            monkeypatch.setattr(connections, "state_of", lambda _, state=state: state)
            await watch.look()
        assert len(await data(world, "boss", "connection.state")) == 1


# -- batch.reviewed ---------------------------------------------------------------------------------


def reviewed_task(world: World, login: str, name: str, move: str, note: str = "") -> None:
    configuration = world.daemon.configuration
    user = next(one.id for one in world.core.directory.users.values() if one.login == login)
    draft = Draft(name=name, text="hello", masked="hello", parts_each=2, start_at=1 << 60)
    with configuration.writing(f"console:{login}") as write:
        tasks.console_account(write, user)
        task = tasks.create_task(write, user, draft, Input(typed=True), stage="ready")
        write.run("UPDATE task SET state = 'review', valid = 3 WHERE id = ?", (task,))
    with configuration.writing("console:boss") as write:
        tasks.move_task(write, task, move, note=note)


async def test_a_decision_of_a_reviewer_is_told_in_every_way_to_the_owner(tmp_path: Path) -> None:
    async with running(tmp_path, document=PEOPLE, webhooks=ALLOWED) as world, ears(world, "low") as owner:
        await looks()
        reviewed_task(world, "low", "autumn", "approve")
        assert await owner.hear("batch.reviewed") == {
            "task": "1", "name": "autumn", "decision": "approved", "reviewer": "boss", "recipients": 3, "parts": 6,
        }  # fmt: skip
        reviewed_task(world, "low", "winter", "reject", "not like this")
        told = await owner.hear("batch.reviewed")
        assert (told["task"], told["decision"], told["note"]) == ("2", "rejected", "not like this")
        reviewed_task(world, "idle", "spring", "reject", "no")
        assert len(await data(world, "idle", "batch.reviewed", 1)) == 1
        assert len(await data(world, "low", "batch.reviewed")) == 2


async def test_decisions_are_told_once_over_restarts_and_none_is_forgotten(tmp_path: Path) -> None:
    async with running(tmp_path, document=PEOPLE) as world:
        await looks()
        reviewed_task(world, "low", "autumn", "approve")
        await heard(world, "low", "batch.reviewed", 1)
        configuration = world.daemon.configuration
    del configuration
    async with running(tmp_path, document=PEOPLE) as world:
        await looks()
        reviewed_task(world, "low", "winter", "approve")
        found = await data(world, "low", "batch.reviewed", 2)
        assert [one["name"] for one in found] == ["autumn", "winter"]


async def test_a_decision_of_before_there_was_anybody_to_tell_is_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(front, "produce", nobody)
        async with running(tmp_path, document=PEOPLE) as world:
            reviewed_task(world, "low", "summer", "approve")
    async with running(tmp_path, document=PEOPLE) as world:
        await looks()
        assert await data(world, "low", "batch.reviewed") == []
