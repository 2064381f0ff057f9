"""`dedupe`: the same client_ref is one message within 24 hours, whatever else happens."""

from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.api import dedupe
from tests.api.world import OTHER_KEY, TO, Api, running
from tests.gateway.http_client import Reply


async def guarded(api: Api, ref: str = "r1", **more: Any) -> Reply:
    message = {"to": TO, "text": "您好", "client_ref": ref, "dedupe": True, **more}
    return await api.post("/v1/messages", message)


async def test_a_reference_is_sent_once_a_day_and_says_what_had_it(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        first = (await guarded(api)).json
        again = await guarded(api, text="another text")
        assert (again.status, again.json["code"], again.json["errors"][0]["code"]) == (
            409,
            "conflict",
            "duplicate",
        )
        assert again.headers["location"] == f"/v1/messages/{first['id']}"
        assert first["id"] in again.json["detail"]
        assert (await guarded(api, "r2")).status == 202
        assert (await guarded(await world.connect(OTHER_KEY))).status == 202
    async with running(tmp_path) as world:
        assert (await guarded(await world.connect())).status == 409


async def test_a_message_without_dedupe_is_seen_but_never_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        await api.send(client_ref="r1")
        await api.send(client_ref="r1")
        assert (await guarded(api)).status == 409
        assert len((await api.get("/v1/messages?client_ref=r1"))["data"]) == 2


async def test_a_refused_message_does_not_use_its_reference_up(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        assert (await guarded(api, text="赌博")).status == 422
        assert (await guarded(api)).status == 202


async def test_dedupe_goes_by_client_ref(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        reply = await api.post("/v1/messages", {"to": TO, "text": "x", "dedupe": True})
        assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, "/client_ref")
        defaults = {"text": "x", "dedupe": True, "client_ref": "all"}
        reply = await api.post("/v1/batches", {"defaults": defaults, "recipients": [TO]})
        assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, "/defaults/client_ref")


async def test_of_many_at_once_one_is_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        statuses: list[int] = []

        async def send(api: Api) -> None:
            statuses.append((await guarded(api)).status)

        apis = [await world.connect() for _ in range(8)]
        async with trio.open_nursery() as nursery:
            for api in apis:
                nursery.start_soon(send, api)
        assert sorted(statuses) == [202] + [409] * 7
        assert len((await apis[0].get("/v1/messages"))["data"]) == 1


async def test_a_reference_is_free_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        assert (await guarded(api)).status == 202
        monkeypatch.setattr(dedupe, "KEEP_S", -10)
        assert (await guarded(api)).status == 202


async def test_an_idempotent_repetition_gets_its_answer_and_not_a_conflict(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        message = {"to": TO, "text": "x", "client_ref": "r1", "dedupe": True}
        first = await api.post("/v1/messages", message, Idempotency_Key="k")
        again = await api.post("/v1/messages", message, Idempotency_Key="k")
        assert (again.status, again.body) == (202, first.body)
        other = await api.post("/v1/messages", message, Idempotency_Key="k2")
        assert other.status == 409


async def test_in_a_batch_each_message_is_guarded_for_itself(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        first = (await guarded(api, "b")).json
        messages = [{"to": TO, "client_ref": ref} for ref in ("a", "b", "c", "a")]
        messages.append({"to": TO, "client_ref": "c", "dedupe": False, "text": "y"})  # type: ignore[dict-item]
        batch = (
            await api.post("/v1/batches", {"defaults": {"text": "x", "dedupe": True}, "messages": messages})
        ).json
        assert (batch["total"], batch["accepted"]) == (5, 3)
        assert [(one["index"], one["code"], one["pointer"]) for one in batch["rejected"]] == [
            (1, "duplicate", "/client_ref"),
            (3, "duplicate", "/client_ref"),
        ]
        assert first["id"] in batch["rejected"][0]["detail"]
        assert not world.front.dedupe._running
