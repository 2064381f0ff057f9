"""batch.finished: told once, when every message of a batch has ended, over restarts as well."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.events import finished
from gateway.events.finished import FinishedBatches
from gateway.events.tell import Teller
from store.api_db import WHOLE, ApiChanges, BatchRow, KeyRow
from tests.api.world import TO, World, bound, delivering, running
from tests.gateway.http_client import request

BATCH = {"defaults": {"text": "hi"}, "recipients": [TO, "+8613800138001", "+8613900000007", "12"]}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished, "PERIOD_S", 0.02)


async def told(world: World, count: int = 1) -> list[Any]:
    """The batches that the log says are finished."""
    api = await world.connect()
    with trio.fail_after(5):
        while True:
            page = await api.get("/v1/events?limit=1000&wait_s=1")
            found = [event["data"] for event in page["data"] if event["type"] == "batch.finished"]
            if len(found) >= count:
                return found
            await trio.sleep(0.01)


async def test_a_batch_is_told_of_once_when_all_of_it_has_ended(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, _):
        api = await world.connect()
        await bound(world)
        first = (await api.post("/v1/batches", BATCH)).json
        second = (await api.post("/v1/batches", BATCH)).json
        found = await told(world, 2)
        assert {batch["id"] for batch in found} == {first["id"], second["id"]}
        for batch in found:
            assert (batch["total"], batch["accepted"], batch["rejected_count"]) == (4, 2, 2)
            assert batch["states"] == {"delivered": 2}
        await trio.sleep(0.1)
        assert len(await told(world)) == 2
    async with delivering(tmp_path) as (world, _):
        await trio.sleep(0.1)
        assert len(await told(world)) == 2


async def test_a_batch_that_waits_is_not_told_of_until_it_ends(tmp_path: Path) -> None:
    async with running(tmp_path) as world:  # no carrier: nothing ends
        api = await world.connect()
        batch = (await api.post("/v1/batches", BATCH)).json
        await trio.sleep(0.1)
        assert (await api.get("/v1/events"))["data"] == []
    async with running(tmp_path) as world:
        api = await world.connect()
        assert (await api.post(f"/v1/batches/{batch['id']}/cancel", None)).status == 200
        [found] = await told(world)
        assert (found["id"], found["states"]) == (batch["id"], {"cancelled": 2})


async def test_a_batch_of_which_nothing_was_taken_is_finished(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        await api.post("/v1/batches", {"defaults": {"text": "hi"}, "recipients": ["12"]})
        [found] = await told(world)
        assert (found["accepted"], found["states"]) == (0, {})


async def test_a_batch_that_a_crash_prevented_is_not_told_of_when_its_request_is_repeated(
    tmp_path: Path,
) -> None:
    """Its row was written, its messages were not; the repeated request becomes another batch."""
    body = {"defaults": {"text": "hi"}, "recipients": [TO]}
    async with running(tmp_path) as world:
        front, core = world.front, world.core
        account = core.accounts_by_system_id["api:acme"].id
        lost = core.ids.mint()
        asked = request("POST", "/v1/batches", body)
        fingerprint = hashlib.sha256(b"POST /v1/batches\n" + asked.partition(b"\r\n\r\n")[2]).digest()[:16]
        key = KeyRow(account, "k", fingerprint, core.clock.wall_ms(), lost)
        row = BatchRow(lost, account, core.clock.wall_ms(), total=1)
        ranges = [(lost, lost + 1, lost + 1)]
        assert await front.ledger.submit(ApiChanges(keys=[key], batches=[row], ranges=ranges)).stored()
    async with running(tmp_path) as world:
        api = await world.connect()
        made = (await api.post("/v1/batches", body, Idempotency_Key="k")).json
        assert made["accepted"] == 1
        assert (await api.post(f"/v1/batches/{made['id']}/cancel", None)).status == 200
        assert [batch["id"] for batch in await told(world)] == [made["id"]]
        await trio.sleep(0.1)
        assert len(await told(world)) == 1


async def test_a_row_whose_messages_a_crash_prevented_is_given_up_after_an_hour(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        front, core = world.front, world.core
        account = core.accounts_by_system_id["api:acme"].id
        now = core.ids.mint()
        old = now - (7200 << 30)
        rows = [BatchRow(one, account, 0, "", WHOLE, 3, 3) for one in (old, now)]
        assert await front.ledger.submit(ApiChanges(batches=rows)).stored()
        watch = FinishedBatches(core, front.ledger, Teller(core, front.ledger))
        await watch.look()
        left = await front.ledger.read(lambda store: store.untold_batches(0, 10))
        assert [row.id for row in left] == [now]
        assert await core.event_log.read(account, 0, 10) == []
