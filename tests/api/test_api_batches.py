"""Batches: every message is taken or refused for itself, in order, and the batch knows what became of each."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from gateway.api import streamed
from store.api_db import INTERRUPTED
from tests.api.world import KEY, OTHER_KEY, TO, Api, delivering, running
from tests.gateway.http_client import Reply

NDJSON = "application/x-ndjson"


def numbers(count: int) -> list[str]:
    return [f"1380013{n:04}" for n in range(count)]


def lines(*values: Any) -> bytes:
    return b"".join(msgspec.json.encode(value) + b"\n" for value in values)


async def stream(api: Api, body: bytes, **headers: str) -> Reply:
    return await api.post("/v1/batches", body, Content_Type=NDJSON, **headers)


async def test_recipients_get_what_the_defaults_say(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, carrier):
        api = await world.connect()
        reply = await api.post(
            "/v1/batches",
            {"defaults": {"text": "您好", "from": "10691", "client_ref": "c-1"}, "recipients": numbers(25)},
        )
        assert reply.status == 202
        batch = reply.json
        assert reply.headers["location"] == f"/v1/batches/{batch['id']}"
        assert {name: batch[name] for name in ("status", "total", "accepted", "rejected_count", "parts")} == {
            "status": "accepted",
            "total": 25,
            "accepted": 25,
            "rejected_count": 0,
            "parts": 25,
        }
        whole = await api.until(f"/v1/batches/{batch['id']}", status="finished")
        assert (whole["states"], whole["client_ref"]) == ({"delivered": 25}, "c-1")
        page = await api.get(f"/v1/batches/{batch['id']}/messages?limit=1000")
        assert [one["to"] for one in page["data"]] == [f"86{number}" for number in numbers(25)]
        assert {(one["from"], one["client_ref"], one["batch_id"]) for one in page["data"]} == {
            ("10691", "c-1", batch["id"])
        }
        assert carrier.counts["accepted"] == 25


async def test_messages_say_what_differs(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        batch = (
            await api.post(
                "/v1/batches",
                {
                    "defaults": {"text": "for all", "priority": 1, "metadata": {"a": "1"}},
                    "messages": [
                        {"to": "13800130001"},
                        {"to": "13800130002", "text": "您" * 100, "client_ref": "r2"},
                        {"to": "13800130003", "binary": "00ff", "from": "ACME"},
                        {"to": "13800130004", "metadata": {"b": "2"}, "validity": "PT1H"},
                    ],
                },
            )
        ).json
        page = await api.get(f"/v1/batches/{batch['id']}/messages")
        assert [(m["parts"], m["encoding"], m["from"]) for m in page["data"]] == [
            (1, "gsm", "1069"),
            (2, "ucs2", "1069"),
            (1, "binary", "ACME"),
            (1, "gsm", "1069"),
        ]
        assert [m.get("metadata") for m in page["data"]] == [{"a": "1"}] * 3 + [{"a": "1", "b": "2"}]
        assert (await api.get("/v1/messages?client_ref=r2"))["data"][0]["id"] == page["data"][1]["id"]


async def test_one_bad_message_never_costs_its_neighbours(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        batch = (
            await api.post(
                "/v1/batches",
                {"defaults": {"text": "x"}, "recipients": [TO, "rubbish", "8613900000007", "13800138001"]},
            )
        ).json
        assert (batch["accepted"], batch["rejected_count"]) == (2, 2)
        assert [(one["index"], one["to"], one["code"]) for one in batch["rejected"]] == [
            (1, "rubbish", "invalid-number"),
            (2, "8613900000007", "blacklisted-global"),
        ]
        assert (await api.get(f"/v1/batches/{batch['id']}"))["rejected"] == batch["rejected"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, [""]),
        ({"recipients": []}, [""]),
        ({"recipients": [TO]}, ["/defaults/text"]),
        ({"recipients": [TO], "messages": []}, [""]),
        ({"defaults": {"text": "x", "to": TO}, "recipients": [TO]}, ["/defaults/to"]),
        ({"defaults": {"text": "x", "priority": 9}, "recipients": [TO]}, ["/defaults/priority"]),
        ({"defaults": {"text": "x", "type": "otp"}, "recipients": [TO]}, ["/defaults/type"]),
        ({"defaults": {"text": "x"}, "recipients": [TO, 5]}, ["/recipients/1"]),
        ({"messages": [{"to": TO}]}, ["/messages/0/text"]),
        (
            {"messages": [{"to": TO, "text": "x"}, {"to": TO, "text": "您", "encoding": "gsm"}, {"to": TO}]},
            ["/messages/1/text", "/messages/2/text"],
        ),
        ({"messages": [{"to": TO, "text": "x", "tset": 1}]}, ["/messages/0/tset"]),
        ({"recipients": [TO] * 10_001, "defaults": {"text": "x"}}, ["/recipients"]),
        (b'{"messages": [{"to": "1", "text": "x", "to": "2"}]}', ["/messages/0/to"]),
        (b'{"defaults": {"text": "x", "text": "y"}, "recipients": ["1"]}', ["/defaults/text"]),
        (b'{"recipients": ["1"], "recipients": ["2"]}', ["/recipients"]),
        ({"messages": [{"to": TO, "text": "x"}, {"to": 5, "text": "x"}]}, ["/messages/1/to"]),
        ({"messages": [{"to": TO, "text": "x", "metadata": {"a": 5}}]}, ["/messages/0/metadata"]),
        ({"messages": {"to": TO}}, ["/messages"]),
        ({"messages": [[]]}, ["/messages/0"]),
        ({"messages": [TO]}, ["/messages/0"]),
    ],
)
async def test_a_batch_whose_form_is_wrong_sends_nothing(
    body: Any, pointers: list[str], tmp_path: Path
) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        reply = await api.post("/v1/batches", body)
        assert (reply.status, reply.json["code"]) == (422, "validation")
        assert [error["pointer"] for error in reply.json["errors"]] == pointers
        assert (await api.get("/v1/messages"))["data"] == []


async def test_what_the_gateway_cannot_take_at_all_is_its_own_problem(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect(OTHER_KEY)
        body = {"defaults": {"text": "x"}, "recipients": numbers(150)}
        batch = (await api.post("/v1/batches", body)).json
        assert (batch["accepted"], batch["rejected_count"]) == (100, 50)
        assert {one["code"] for one in batch["rejected"]} == {"quota-exceeded"}
        broke = await api.post("/v1/batches", body)
        assert (broke.status, broke.json["code"]) == (403, "quota-exceeded")
        world.core.disk = "low"
        assert (await api.post("/v1/batches", body)).status == 503


async def test_a_batch_pages_and_belongs_to_its_account(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api, other = await world.connect(), await world.connect(OTHER_KEY)
        body = {"defaults": {"text": "您" * 100}, "recipients": numbers(2500)}
        batch = (await api.post("/v1/batches", body)).json
        assert (batch["accepted"], batch["parts"]) == (2500, 5000)
        seen: list[str] = []
        path = f"/v1/batches/{batch['id']}/messages?limit=700"
        while path:
            page = await api.get(path)
            seen += [one["to"] for one in page["data"]]
            cursor = page["next"]
            path = f"/v1/batches/{batch['id']}/messages?limit=700&cursor={cursor}" if cursor else ""
        assert seen == [f"86{number}" for number in numbers(2500)]
        assert (await api.get(f"/v1/batches/{batch['id']}"))["states"] == {"queued": 2500}
        for path in (f"/v1/batches/{batch['id']}", f"/v1/batches/{batch['id']}/messages", "/v1/batches/x"):
            assert (await other.ask("GET", path)).status == 404
        assert (await other.post(f"/v1/batches/{batch['id']}/cancel", b"")).status == 404
        cancelled = (await api.post(f"/v1/batches/{batch['id']}/cancel", b"")).json
        assert cancelled == {"cancelled": 2500, "not_cancelled": 0}
        whole = await api.get(f"/v1/batches/{batch['id']}")
        assert (whole["status"], whole["states"]) == ("finished", {"cancelled": 2500})
        assert (await api.get("/v1/balance"))["reserved"] == 0


async def test_a_batch_is_sent_once(tmp_path: Path) -> None:
    body = {"defaults": {"text": "x"}, "recipients": numbers(10)}
    async with running(tmp_path) as world:
        api = await world.connect()
        first = await api.post("/v1/batches", body, Idempotency_Key="b")
        second = await api.post("/v1/batches", body, Idempotency_Key="b")
        assert first.body == second.body
        assert second.headers["idempotency-replayed"] == "true"
    async with running(tmp_path) as world:
        api = await world.connect()
        assert (await api.post("/v1/batches", body, Idempotency_Key="b")).body == first.body
        assert len((await api.get("/v1/messages"))["data"]) == 10


async def test_a_batch_waits_for_its_rate_or_says_when(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.apply({"account": [{"system_id": "api:acme", "rate": 1000, "burst": 100}]})
        api = await world.connect()
        body = {"defaults": {"text": "x"}, "recipients": numbers(300)}
        began = trio.current_time()
        assert (await api.post("/v1/batches", body)).json["accepted"] == 300
        assert trio.current_time() - began > 0.15
        await world.apply({"account": [{"system_id": "api:acme", "rate": 5, "burst": 5}]})
        slow = await api.post("/v1/batches", body)
        assert (slow.status, slow.json["code"]) == (429, "rate-limited")


# -- streamed -------------------------------------------------------------------------------------


async def test_a_stream_of_lines_is_a_batch(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        body = lines({"defaults": {"text": "您好"}}, *({"to": number} for number in numbers(2345)))
        reply = await stream(api, body)
        assert reply.status == 202
        assert (reply.json["total"], reply.json["accepted"], reply.json["parts"]) == (2345, 2345, 2345)
        page = await api.get(f"/v1/batches/{reply.json['id']}/messages?limit=1000")
        assert [one["to"] for one in page["data"]] == [f"86{number}" for number in numbers(1000)]
        assert (await api.get(f"/v1/batches/{reply.json['id']}"))["states"] == {"queued": 2345}
        await api.send()


async def test_each_line_is_judged_for_itself(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        body = (
            lines({"to": TO, "text": "x"})
            + b"\n  \r\n"
            + b'{"to": 5, "text": "x"}\n{"to"\n\xff\n'
            + lines({"to": "rubbish", "text": "x"}, {"to": TO, "txt": "x"}, {"to": TO})
            + b'{"to": "13800138001", "text": "last line without an end"}'
        )
        answer = (await stream(api, body)).json
        assert (answer["total"], answer["accepted"], answer["rejected_count"]) == (8, 2, 6)
        refused = {(one["index"], one["code"], one.get("pointer", "")) for one in answer["rejected"]}
        assert refused == {
            (1, "type", "/to"),
            (2, "malformed", ""),
            (3, "malformed", ""),
            (4, "invalid-number", "/to"),
            (5, "unknown-field", "/txt"),
            (6, "missing", "/text"),
        }


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "validation"),
        (b"\n\n", 422, "validation"),
        (b'{"defaults": {"text": "x"}}\n', 422, "validation"),
        (b'{"defaults": {"text": "x", "nope": 1}}\n{"to": "1"}\n', 422, "validation"),
        (b'{"defaults": ', 400, "invalid-request"),
        (b"x" * 70_000, 413, "too-large"),
    ],
)
async def test_a_stream_that_cannot_begin_sends_nothing(
    body: bytes, status: int, code: str, tmp_path: Path
) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        reply = await stream(api, body)
        assert (reply.status, reply.json["code"]) == (status, code)
        fresh = await world.connect()
        assert (await fresh.get("/v1/messages"))["data"] == []


async def test_a_stream_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "LINES_MAX", 5)
    async with running(tmp_path) as world:
        api = await world.connect()
        reply = await stream(api, lines(*({"to": number, "text": "x"} for number in numbers(9))))
        assert (reply.status, reply.json["accepted"]) == (202, 5)
        assert "at most 5" in reply.headers["x-gateway-problem"]


async def test_a_stream_cut_off_keeps_what_had_come(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        body = lines(*({"to": number, "text": "x"} for number in numbers(1500)))
        head = f"POST /v1/batches HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\nContent-Type: {NDJSON}\r\n"
        await api.client.send(head.encode() + b"Idempotency-Key: s\r\nContent-Length: 999999\r\n\r\n" + body)
        reader = await world.connect()
        with trio.fail_after(5):
            while len((await reader.get("/v1/messages?limit=1000"))["data"]) < 1000:
                await trio.sleep(0.01)
        await api.client.stream.aclose()
        account = world.core.accounts_by_system_id["api:acme"].id
        with trio.fail_after(5):
            while not (
                stored := await world.front.ledger.read(lambda s: s.batches(account, 1 << 62, 9))
            ) or not (stored[0].stage):
                await trio.sleep(0.01)
        assert (stored[0].accepted, stored[0].stage) == (1500, INTERRUPTED)
        with trio.fail_after(5):
            while (retried := await stream(reader, body, Idempotency_Key="s")).status == 409:
                await trio.sleep(0.01)
        assert (retried.json["accepted"], retried.headers["idempotency-replayed"]) == (1500, "true")
        assert retried.json["status"] == "interrupted"


async def test_a_stream_is_sent_once(tmp_path: Path) -> None:
    body = lines(*({"to": number, "text": "x"} for number in numbers(30)))
    async with running(tmp_path) as world:
        api = await world.connect()
        first = await stream(api, body, Idempotency_Key="s")
        second = await stream(api, body, Idempotency_Key="s")
        assert first.body == second.body
        other = await stream(api, body + b"\n", Idempotency_Key="s")
        assert (other.status, other.json["code"]) == (422, "idempotency-mismatch")
        assert len((await api.get("/v1/messages"))["data"]) == 30
