"""Test keys: judged and answered like any other, sent nowhere, counted in nothing; the number decides the end."""

from pathlib import Path

import pytest
import trio

from gateway.api import sandbox
from tests.api.world import TEST_KEY, delivering, running


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("000", "delivered"),
        ("001", "undelivered"),
        ("002", "expired"),
        ("003", "rejected"),
        ("004", "unknown"),
        ("005", "cancelled"),
        ("123", "delivered"),
    ],
)
async def test_the_number_decides_the_end(ending: str, status: str, tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect(TEST_KEY)
        accepted = await api.send(to=f"13800138{ending}", text="您" * 100)
        assert (accepted["test"], accepted["parts"], accepted["status"]) == (True, 2, "accepted")
        message = await api.until(f"/v1/messages/{accepted['id']}", status=status)
        assert message["final"]
        assert ("error" in message) == (status != "delivered")
        assert world.core.quota.balances[1].reserved == world.core.quota.balances[1].used == 0


@pytest.mark.parametrize(
    ("ending", "status", "code"),
    [
        ("011", 422, "blacklisted"),
        ("012", 503, "no-route"),
        ("013", 403, "quota-exceeded"),
        ("014", 429, "rate-limited"),
        ("015", 422, "content-rejected"),
        ("016", 503, "queue-full"),
    ],
)
async def test_the_number_decides_a_refusal(ending: str, status: int, code: str, tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect(TEST_KEY)
        reply = await api.post("/v1/messages", {"to": f"13800138{ending}", "text": "x"})
        assert (reply.status, reply.json["code"]) == (status, code)


async def test_nothing_reaches_a_carrier_or_real_lists(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, carrier):
        test, live = await world.connect(TEST_KEY), await world.connect()
        sent = await test.send()
        body = {"defaults": {"text": "x"}, "recipients": [f"138001380{n:02}" for n in range(10)]}
        batch = (await test.post("/v1/batches", body)).json
        assert batch["accepted"] == 10
        real = await live.send()
        await live.until(f"/v1/messages/{real['id']}", status="delivered")
        whole = await test.until(f"/v1/batches/{batch['id']}", status="finished")
        assert whole["states"]["delivered"] == 5
        assert carrier.counts["accepted"] == 1
        assert [one["id"] for one in (await live.get("/v1/messages"))["data"]] == [real["id"]]
        assert sent["id"] in [one["id"] for one in (await test.get("/v1/messages"))["data"]]
        users = {account.id: account.user.id for account in world.core.accounts.values()}
        problems = await world.core.ports.store.read(lambda s: s.verify(users))
        assert problems == []


async def test_what_a_crash_left_is_ended_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.api import door

    monkeypatch.setattr(door, "end_tests", lambda core, parts: None)
    async with delivering(tmp_path) as (world, _):
        sent = await (await world.connect(TEST_KEY)).send(to="13800138001")
    monkeypatch.undo()
    async with delivering(tmp_path) as (world, carrier):
        api = await world.connect(TEST_KEY)
        await api.until(f"/v1/messages/{sent['id']}", status="undelivered")
        await trio.sleep(0.05)
        assert carrier.counts["accepted"] == 0
        assert world.core.quota.balances[1].reserved == 0


def test_every_end_is_a_final_one() -> None:
    assert all(magic.state >= 10 for magic in sandbox.ENDS.values())
    assert not set(sandbox.ENDS) & set(sandbox.REFUSALS)
