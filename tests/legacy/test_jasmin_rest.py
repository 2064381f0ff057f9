"""Jasmin's REST wrapper: answers octet for octet, batches through the one door."""

import base64
import re
from pathlib import Path
from typing import Any

from tests.gateway.http_client import Reply, request
from tests.legacy.world import TO, World, running

BASIC = "Basic " + base64.b64encode(b"acme:secret").decode()
LINK = (
    b'"link": {"text": "Documentation related to this error",'
    b' "href": "http://docs.jasminsms.com/en/latest/apis/rest/index.html", "rel": "help"}'
)


async def ask(world: World, method: str, path: str, body: Any = None, authorization: str = BASIC) -> Reply:
    headers = {"Authorization": authorization} if authorization else {}
    reply = await world.ask("jasmin-rest", request(method, path, body, **headers))
    assert reply.headers["content-type"] == "application/json"
    return reply


async def test_one_message(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        reply = await ask(world, "POST", "/secure/send", {"to": TO, "content": "hello", "dlr_level": 1})
        assert reply.status == 200
        assert re.fullmatch(rb'\{"data": "Success \\"[0-9a-f-]{36}"\}', reply.body)
        long = await ask(world, "POST", "/secure/send", {"to": int(TO), "hex_content": "6869", "coding": 4})
        assert long.status == 200
        refused = await ask(world, "POST", "/secure/send", {"to": "4912345678901", "content": "x"})
        assert (refused.status, refused.body) == (412, rb'{"message": "Error \"No route found"}')
        assert refused.headers["x-gateway-problem"].startswith("no-route: ")
        wrong = await ask(world, "POST", "/secure/send", {"to": "x", "content": "x"})
        assert wrong.status == 400
        assert wrong.body == rb'{"message": "Error \"Argument [to] has an invalid value: [x]."}'
        assert len(await world.parts()) == 2


async def test_whoever_shows_no_password_is_told_how(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        reply = await ask(world, "GET", "/secure/balance", authorization="")
        assert reply.status == 401
        assert reply.headers["www-authenticate"] == "Basic"
        assert reply.body == (
            b'{"title": "Authentication required", "description": "Please provide a valid Basic auth token", '
            + LINK
            + b"}"
        )
        for odd in ("Basic", "Basic a b", "Basic %%%", "Basic " + base64.b64encode(b"acme").decode()):
            assert (await ask(world, "POST", "/secure/send", {}, odd)).status == 401
        wrong = "Basic " + base64.b64encode(b"acme:wrong").decode()
        reply = await ask(world, "POST", "/secure/send", {"to": TO, "content": "x"}, wrong)
        assert reply.status == 403
        assert reply.body == rb'{"message": "Error \"Authentication failure for username:acme"}'
        reply = await ask(world, "POST", "/secure/sendbatch", {"messages": []}, wrong)
        assert (reply.status, reply.body) == (
            412,
            b'{"title": "Authentication failed", "description": "Authentication failed for user: acme"}',
        )


async def test_balance_rate_and_ping_are_wrapped(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        reply = await ask(world, "GET", "/secure/balance")
        assert reply.body == b'{"data": {"balance": "ND", "sms_count": 1000}}'
        reply = await ask(world, "GET", f"/secure/rate?to={TO}&hex_content={'61' * 161}")
        assert reply.body == b'{"data": {"unit_rate": 0.0, "submit_sm_count": 2}}'
        reply = await ask(world, "GET", f"/secure/rate?to={TO}&dlr=yes")
        assert (reply.status, reply.body) == (400, b'{"message": "Argument [dlr] is unknown."}')
        assert (await ask(world, "GET", "/ping", authorization="")).body == b'{"data": "Jasmin/PONG"}'


async def test_a_body_that_is_no_object_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        for path in ("/secure/send", "/secure/sendbatch"):
            for body in (b"{", b"[]", b"1", b"\xff", b"[" * 100_000):
                reply = await ask(world, "POST", path, body)
                assert (reply.status, reply.body) == (
                    412,
                    b'{"title": "Cannot parse JSON data", "description": "Got unparseable json data"}',
                )
        for body in ({"messages": 1}, {"messages": [1]}, {"globals": [], "messages": {"a": 1}}):
            assert (await ask(world, "POST", "/secure/sendbatch", body)).status == 412


async def test_a_batch_is_one_message_for_each_number(tmp_path: Path) -> None:
    batch = {
        "globals": {"from": "ACME", "content": "to all"},
        "messages": [
            {"to": ["8613800138001", "8613800138002"]},
            {"to": "8613800138003", "content": "to one"},
            {"content": "to nobody"},
            {"to": "no number"},
        ],
    }
    async with running(tmp_path) as world:
        reply = await ask(world, "POST", "/secure/sendbatch", batch)
        assert reply.status == 200
        assert re.fullmatch(rb'\{"data": \{"batchId": "[0-9a-f-]{36}", "messageCount": 4\}\}', reply.body)
        parts = await world.parts()
        assert [part.dest % 10 for part in parts] == [1, 2, 3]
        assert {part.source for part in parts} == {b"ACME"}


async def test_a_batch_may_be_sent_later(tmp_path: Path) -> None:
    messages = [{"to": TO, "content": "x"}]

    async def schedule(at: Any) -> Reply:
        return await ask(
            world, "POST", "/secure/sendbatch", {"batch_config": {"schedule_at": at}, "messages": messages}
        )

    async with running(tmp_path) as world:
        reply = await schedule("3600s")
        assert reply.status == 200
        assert reply.body.endswith(b'"messageCount": 1, "scheduled": "3600s"}}')
        part = await world.last()
        assert abs(part.deliver_at - part.accepted_at - 3_600_000) < 1000
        past = await schedule("2015-01-01 12:00:00")
        assert (past.status, past.body) == (
            412,
            b'{"title": "Cannot schedule batch in past date",'
            b' "description": "Invalid past date given: 2015-01-01 12:00:00"}',
        )
        odd = await schedule("tomorrow")
        assert odd.status == 412
        assert b"Got unknown format: tomorrow, correct formats are 'YYYY-MM-DD mm:hh:ss'" in odd.body


async def test_a_batch_waits_for_the_rate_of_its_account(tmp_path: Path) -> None:
    slow = "Basic " + base64.b64encode(b"slow:secret").decode()
    batch = {"globals": {"content": "x"}, "messages": [{"to": [TO, "8613800138001"]}]}
    async with running(tmp_path) as world:
        assert (await ask(world, "POST", "/secure/sendbatch", batch, slow)).status == 200
        assert len(await world.parts()) == 2
