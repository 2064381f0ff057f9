"""/v1/webhooks and callback_url on a real daemon, with a receiver on loopback."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from standardwebhooks.webhooks import Webhook as Verifier

from gateway.events.shapes import WebhookBody
from gateway.webhooks.attempts import SCHEDULE_S
from store import webhook_rows
from store.webhook_secrets import new_secret
from tests.api.test_api_openapi import CHECKS
from tests.api.world import DOCUMENT, KEY, OTHER_KEY, TO, Api, apply, bound, delivering, running
from tests.stream.client import Stream
from tests.webhooks.world import Receiver, status_line

MANAGER = "gw_live_0123456789ABCDEFGHJKMNPQRS_manager-of-acme"
OTHER_MANAGER = "gw_live_0123456789ABCDEFGHJKMNPQRS_manager-of-other"
WITH_KEYS: dict[str, Any] = {
    **DOCUMENT,
    "api_key": [
        *DOCUMENT["api_key"],
        {"user": "acme", "key": MANAGER, "scopes": ["webhooks"]},
        {"user": "other", "key": OTHER_MANAGER, "scopes": ["webhooks", "send"]},
    ],
}
ALLOWED = {"allow_private": ["127.0.0.0/8"]}


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[tuple[Receiver, str]]:
    """A receiver on loopback, and its URL."""
    async with trio.open_nursery() as nursery:
        receiver = Receiver(nursery)
        (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1")

        async def serve(stream: trio.SocketStream) -> None:
            await receiver.serve(stream, "127.0.0.1")

        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield receiver, f"http://127.0.0.1:{listener.socket.getsockname()[1]}/sms"
        nursery.cancel_scope.cancel()


async def until(condition: Any, most_s: float = 10) -> None:
    with trio.fail_after(most_s):
        while not condition():
            await trio.sleep(0.01)


async def added(manager: Api, **fields: Any) -> tuple[str, str]:
    """(path, secret) of a new endpoint."""
    reply = await manager.post("/v1/webhooks", {"name": "crm", **fields})
    assert reply.status == 201, reply.body
    return reply.headers["location"], reply.json["secret"]


def statuses(receiver: Receiver) -> dict[str, str]:
    return {
        event["data"]["id"]: event["data"]["status"]
        for posted in receiver.posted
        for event in posted.json["data"]
        if event["type"] == "message.status"
    }


async def test_receipts_of_the_account_and_of_no_other_are_posted(tmp_path: Path) -> None:
    async with (
        receiving() as (receiver, url),
        delivering(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as (world, _),
    ):
        await bound(world)
        _, secret = await added(await world.connect(MANAGER), url=url)
        api, other = await world.connect(KEY), await world.connect(OTHER_KEY)
        sent = [(await api.send(client_ref=str(n)))["id"] for n in range(20)]
        await other.send()
        await until(lambda: len(statuses(receiver)) >= 20)
        await trio.sleep(0.2)
        assert statuses(receiver) == dict.fromkeys(sent, "delivered")
        for posted in receiver.posted:
            Verifier(secret).verify(posted.body, posted.headers)
            # As the OpenAPI document describes it: no field is missing, none is more.
            told = msgspec.json.decode(posted.body, type=WebhookBody)
            assert msgspec.json.decode(msgspec.json.encode(told)) == posted.json


async def test_an_inbound_message_comes_whole_with_what_it_answers(tmp_path: Path) -> None:
    async with (
        receiving() as (receiver, url),
        delivering(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as (world, carrier),
    ):
        await bound(world)
        await added(await world.connect(MANAGER), url=url, events=["message.inbound"])
        api = await world.connect(KEY)
        sent = await api.send(client_ref="ord-1")
        text = "回复" * 60
        carrier.send_mo(text, source=TO[1:], destination="1069")
        await until(lambda: receiver.posted)
        (event,) = receiver.posted[0].json["data"]
        assert event["type"] == "message.inbound"
        assert event["data"]["text"] == text
        assert event["data"]["in_reply_to"] == {"message_id": sent["id"], "client_ref": "ord-1"}


async def test_an_endpoint_is_managed_by_its_account_only(tmp_path: Path) -> None:
    async with receiving() as (_, url), running(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as world:
        manager, other = await world.connect(MANAGER), await world.connect(OTHER_MANAGER)
        path, secret = await added(manager, url=url)
        assert secret not in (await manager.ask("GET", path)).body.decode()
        assert [one["name"] for one in (await manager.get("/v1/webhooks"))["data"]] == ["crm"]
        assert (await other.get("/v1/webhooks"))["data"] == []
        for method, where, body in (
            ("GET", path, None),
            ("PATCH", path, {"state": "paused"}),
            ("DELETE", path, None),
            ("POST", path + "/rotate", {}),
            ("POST", path + "/test", None),
            ("POST", path + "/replay", {}),
            ("GET", path + "/dead_letters", None),
        ):
            assert (await other.ask(method, where, body)).status == 404
        assert (await (await world.connect(KEY)).ask("GET", path)).status == 403
        reply = await manager.ask(
            "PATCH", path, {"state": "paused", "concurrency": 9, "events": ["quota.low"]}
        )
        assert (reply.json["state"], reply.json["concurrency"]) == ("paused", 9)
        assert (await manager.ask("DELETE", path)).status == 200
        assert (await manager.ask("GET", path)).status == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "a"}, "/url"),
        ({"name": "a", "url": "https://a.example/", "hosts": ["a.example"]}, "/url"),
        ({"name": "a", "url": "http://10.0.0.1/"}, "/url"),
        ({"name": "a", "url": "http://169.254.169.254/latest/meta-data/"}, "/url"),
        ({"name": "a", "url": "https://a.example:22/", "ports": [22]}, "/ports"),
        ({"name": "a", "hosts": ["*.com"]}, "/hosts"),
        ({"name": "a", "url": "https://a.example/", "secret": "short"}, "/secret"),
        ({"name": "a", "url": "https://a.example/", "events": ["message.read"]}, "/events/0"),
        ({"name": "a", "url": "https://a.example/", "concurrency": 1000}, "/concurrency"),
        ({"name": "", "url": "https://a.example/"}, "/name"),
        ({"name": "taken", "url": "https://a.example/"}, "/name"),
    ],
)
async def test_what_is_wrong_with_an_endpoint_is_pointed_at(
    body: dict[str, Any], pointer: str, tmp_path: Path
) -> None:
    async with running(tmp_path, document=WITH_KEYS) as world:
        manager = await world.connect(MANAGER)
        await added(manager, name="taken", url="https://a.example/")
        reply = await manager.post("/v1/webhooks", body)
        assert reply.status == 422
        assert [error["pointer"] for error in reply.json["errors"]] == [pointer]


async def test_a_test_event_tells_what_the_receiver_said(tmp_path: Path) -> None:
    async with (
        receiving() as (receiver, url),
        running(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as world,
    ):
        manager = await world.connect(MANAGER)
        path, secret = await added(manager, url=url)
        told = (await manager.post(path + "/test", None)).json
        assert (told["delivered"], told["status"]) == (True, 204)
        assert Verifier(secret).verify(receiver.posted[0].body, receiver.posted[0].headers)["type"] == "test"
        body = msgspec.json.decode(receiver.posted[0].body, type=WebhookBody)
        assert msgspec.json.decode(msgspec.json.encode(body)) == receiver.posted[0].json
        receiver.answers(status_line(302, location="http://10.0.0.1/"))
        told = (await manager.post(path + "/test", None)).json
        assert (told["delivered"], told["status"]) == (False, 302)
        assert "redirects" in told["detail"]


async def test_a_rotated_secret_signs_at_once_and_the_old_one_for_the_overlap(tmp_path: Path) -> None:
    async with (
        receiving() as (receiver, url),
        running(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as world,
    ):
        manager = await world.connect(MANAGER)
        path, old = await added(manager, url=url)
        new = (await manager.post(path + "/rotate", {"overlap": "PT1H"})).json["secret"]
        await manager.post(path + "/test", None)
        newest = (await manager.post(path + "/rotate", {"overlap": "P0D", "secret": new_secret()})).json[
            "secret"
        ]
        await manager.post(path + "/test", None)
        first, second = receiver.posted
        for secret in (old, new):
            Verifier(secret).verify(first.body, first.headers)
        assert len(first.headers["webhook-signature"].split()) == 2
        Verifier(newest).verify(second.body, second.headers)
        assert len(second.headers["webhook-signature"].split()) == 1
        assert (await manager.post(path + "/rotate", {"overlap": "P8D"})).status == 422


async def test_410_turns_the_endpoint_off_over_restarts_until_somebody_turns_it_on(tmp_path: Path) -> None:
    async with receiving() as (receiver, url):
        receiver.answers(status_line(410))
        async with delivering(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as (world, _):
            await bound(world)
            manager = await world.connect(MANAGER)
            path, _ = await added(manager, url=url)
            api = await world.connect(KEY)
            sent = [(await api.send())["id"]]
            await manager.until(path, state="gone")
            sent.append((await api.send())["id"])
            await api.until(f"/v1/messages/{sent[1]}", status="delivered")
        assert len(receiver.posted) == 1
        receiver.answer = receiver.take
        async with running(tmp_path, document={}, webhooks=ALLOWED) as world:
            manager = await world.connect(MANAGER)
            assert (await manager.get(path))["state"] == "gone"
            await manager.ask("PATCH", path, {"state": "active"})
            await until(lambda: set(statuses(receiver)) == set(sent))


async def test_dead_letters_are_listed_and_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.webhooks.attempts.SCHEDULE_S", (0,) * 3)
    async with (
        receiving() as (receiver, url),
        delivering(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as (world, _),
    ):
        await bound(world)
        manager, api = await world.connect(MANAGER), await world.connect(KEY)
        path, _ = await added(manager, url=url)
        receiver.answers(status_line(500))
        message = (await api.send())["id"]
        await manager.until(path, dead_letters=1, waiting=0)
        (letter,) = (await manager.get(path + "/dead_letters"))["data"]
        assert (letter["attempts"], letter["status"], letter["events"]) == (3, 500, 1)
        receiver.posted.clear()
        receiver.answer = receiver.take
        assert (await manager.post(path + "/replay", {"last": letter["first"] - 1})).json["deliveries"] == 0
        told = (await manager.post(path + "/replay", {"since": "2020-01-01T00:00:00Z"})).json
        assert (told["deliveries"], told["events"]) == (1, 1)
        await until(lambda: statuses(receiver) == {message: "delivered"})
        assert (await manager.get(path + "/dead_letters"))["data"] == []
        # Anything can be posted again, delivered or not.
        receiver.posted.clear()
        told = (await manager.post(path + "/replay", {"dead_letters": False})).json
        assert told["events"] == 1
        await until(lambda: statuses(receiver) == {message: "delivered"})
        assert (await manager.post(path + "/replay", {"first": 5, "last": 4})).status == 422
    assert len(SCHEDULE_S) == 10


async def test_a_callback_url_needs_a_declared_host_and_hears_of_its_message_only(tmp_path: Path) -> None:
    async with (
        receiving() as (receiver, url),
        delivering(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as (world, _),
    ):
        await bound(world)
        manager, api = await world.connect(MANAGER), await world.connect(KEY)
        refused = await api.post("/v1/messages", {"to": TO, "text": "a", "callback_url": url})
        assert (refused.status, refused.json["errors"][0]["code"]) == (422, "callback-not-allowed")
        _, secret = await added(manager, hosts=["127.0.0.1"])
        for bad, code in (
            ("http://evil.example/", "callback-host"),
            ("http://10.0.0.1/", "bad-url"),
            ("file:///etc/passwd", "bad-url"),
        ):
            refused = await api.post("/v1/messages", {"to": TO, "text": "a", "callback_url": bad})
            assert (refused.status, refused.json["errors"][0]["code"]) == (422, code)
        refused = await api.post("/v1/messages", {"to": TO, "text": "a", "callback_url": url, "dlr": False})
        assert refused.status == 422
        await api.send()
        told = await api.send(callback_url=url + "?n=1")
        await api.post(
            "/v1/batches",
            {
                "defaults": {"text": "x", "callback_url": url + "?n=2"},
                "messages": [{"to": TO}, {"to": TO, "callback_url": url + "?n=3"}],
            },
        )
        await until(lambda: len(statuses(receiver)) == 3)
        await trio.sleep(0.1)
        by_path = {posted.path: posted for posted in receiver.posted}
        assert set(by_path) == {"/sms?n=1", "/sms?n=2", "/sms?n=3"}
        assert [event["data"]["id"] for event in by_path["/sms?n=1"].json["data"]] == [told["id"]]
        for posted in receiver.posted:
            Verifier(secret).verify(posted.body, posted.headers)


async def test_an_applied_endpoint_works_at_once_and_goes_with_its_removal(tmp_path: Path) -> None:
    secret = new_secret()
    async with (
        receiving() as (receiver, url),
        delivering(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as (world, _),
    ):
        await bound(world)
        hook = {"user": "acme", "name": "applied", "url": url}
        await apply(world.daemon, {"webhook": [{**hook, "secret": secret}]})
        api = await world.connect(KEY)
        message = (await api.send())["id"]
        await until(lambda: statuses(receiver) == {message: "delivered"})
        await apply(world.daemon, {"webhook": [{**hook, "remove": True}]})
        assert not world.front.webhooks.endpoints
        again = (await api.send())["id"]
        await api.until(f"/v1/messages/{again}", status="delivered")
        await trio.sleep(0.2)
        assert again not in statuses(receiver)


async def test_where_a_new_endpoint_begins_is_on_disk_before_it_is_confirmed(tmp_path: Path) -> None:
    """Else a crash within the next second would let it begin behind what happened in that second."""
    async with running(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as world:
        await added(await world.connect(MANAGER), url="http://127.0.0.1:9/sms")
        [webhook] = world.core.directory.webhooks
        assert webhook in await world.front.ledger.read(webhook_rows.positions)
        declared = {"user": "acme", "name": "second", "url": "http://127.0.0.1:9/b", "secret": new_secret()}
        await world.apply({"webhook": [declared]})
        assert set(await world.front.ledger.read(webhook_rows.positions)) == set(
            world.core.directory.webhooks
        )


async def test_a_restart_loses_no_event(tmp_path: Path) -> None:
    async with receiving() as (receiver, url):
        sent: set[str] = set()
        path = ""
        for _ in range(3):
            async with delivering(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as (world, _):
                await bound(world)
                if not path:
                    path, _ = await added(await world.connect(MANAGER), url=url)
                api = await world.connect(KEY)
                for _ in range(10):
                    sent.add((await api.send())["id"])
        async with delivering(tmp_path, document=WITH_KEYS, webhooks=ALLOWED):
            await until(lambda: set(statuses(receiver)) == sent)


async def test_a_submit_of_the_stream_may_name_a_callback_url_as_well(tmp_path: Path) -> None:
    async with (
        receiving() as (receiver, url),
        delivering(tmp_path, document=WITH_KEYS, webhooks=ALLOWED) as (world, _),
    ):
        await bound(world)
        async with await Stream.connect(world) as stream:
            refused = await stream.submit("a", callback_url=url)
            assert refused["problem"]["errors"][0]["code"] == "callback-not-allowed"
            await added(await world.connect(MANAGER), hosts=["127.0.0.1"])
            ack = await stream.submit("b", callback_url=url)
            await until(lambda: statuses(receiver) == {ack["id"]: "delivered"})


async def test_a_tester_that_knows_only_the_document_finds_nothing_wrong_with_webhooks(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, document=WITH_KEYS, webhooks={"timeout_s": 0.05}) as world:
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{world.port}/v1/openapi.json",
            "-H", f"Authorization: Bearer {MANAGER}", "--checks", CHECKS, "--max-examples", "10", "--seed", "7",
            "--phases", "examples,coverage,fuzzing", "--generation-database", "none", "--no-color",
            "--include-path-regex", "^/v1/webhooks",
        ]  # fmt: skip
        done = await trio.run_process(
            command, capture_stdout=True, stderr=subprocess.STDOUT, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout.decode()[-6000:]
        statuses = {status for (_, status) in world.front.server.answers}
        assert {200, 201, 404, 422} <= statuses
        assert not statuses & {500, 501}
