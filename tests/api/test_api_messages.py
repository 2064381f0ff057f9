"""POST /v1/messages and what becomes of it: accepted means stored, refusals say what to do."""

from pathlib import Path
from typing import Any

import pytest
import trio

from filters.blacklist import Scope
from gateway.sim.behaviour import Behaviour
from store.model import Changes
from tests.api.world import KEY, OTHER_KEY, TO, delivering, running


async def test_an_accepted_message_is_stored_sent_and_delivered(tmp_path: Path) -> None:
    async with delivering(tmp_path, Behaviour()) as (world, carrier):
        api = await world.connect()
        reply = await api.post("/v1/messages", {"to": TO, "from": "10690001", "text": "您好"})
        assert reply.status == 202
        accepted = reply.json
        assert reply.headers["location"] == f"/v1/messages/{accepted['id']}"
        assert accepted == {
            "id": accepted["id"],
            "status": "accepted",
            "to": "8613800138000",
            "parts": 1,
            "encoding": "ucs2",
            "created_at": accepted["created_at"],
        }
        message = await api.until(f"/v1/messages/{accepted['id']}", status="delivered")
        assert (message["final"], message["from"], message["to"]) == (True, "10690001", "8613800138000")
        assert carrier.counts["accepted"] == 1


@pytest.mark.parametrize("key", [None, "once"])
async def test_a_number_blacklisted_while_its_message_was_being_stored_is_not_sent(
    key: str | None, tmp_path: Path
) -> None:
    async with delivering(tmp_path, Behaviour()) as (world, carrier):
        core = world.core
        take = core.committer._take

        def blacklist() -> None:
            core.screens.blacklists.add(Scope("global"), [8613800138000])
            core.reject_blacklisted()

        def take_and_blacklist() -> Changes | None:
            changes = take()
            if changes is not None and changes.parts:
                trio.from_thread.run_sync(blacklist)
            return changes

        core.committer._take = take_and_blacklist  # type: ignore[method-assign]
        api = await world.connect()
        headers = {"Idempotency-Key": key} if key else {}
        reply = await api.post("/v1/messages", {"to": TO, "text": "您好"}, **headers)
        assert reply.status == 202
        await api.until(f"/v1/messages/{reply.json['id']}", status="rejected")
        assert carrier.counts["accepted"] == 0


async def test_a_message_is_durable_when_its_202_is_there(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        accepted = await api.send(client_ref="ord-1", metadata={"dept": "claims"})
    async with running(tmp_path) as world:
        api = await world.connect()
        message = await api.get(f"/v1/messages/{accepted['id']}")
        assert (message["status"], message["client_ref"], message["metadata"]) == (
            "queued",
            "ord-1",
            {"dept": "claims"},
        )
        page = await api.get("/v1/messages?client_ref=ord-1")
        assert [one["id"] for one in page["data"]] == [accepted["id"]]


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ({"text": "x"}, 422, "validation", "/to"),
        ({"to": TO}, 422, "validation", "/text"),
        ({"to": TO, "text": "x", "binary": "00"}, 422, "validation", "/text"),
        ({"to": TO, "text": 5}, 422, "validation", "/text"),
        ({"to": TO, "text": None}, 422, "validation", "/text"),
        ({"to": TO, "text": "x", "txt": "y"}, 422, "validation", "/txt"),
        ({"to": "", "text": "x"}, 422, "validation", "/to"),
        ({"to": "hello", "text": "x"}, 422, "validation", "/to"),
        ({"to": TO, "text": "x", "from": "a sender too long"}, 422, "validation", "/from"),
        ({"to": TO, "text": "x", "from": "短信"}, 422, "validation", "/from"),
        ({"to": TO, "text": "您好", "encoding": "gsm"}, 422, "validation", "/text"),
        ({"to": TO, "text": "x", "encoding": "utf8"}, 422, "validation", "/encoding"),
        ({"to": TO, "binary": "0"}, 422, "validation", "/binary"),
        ({"to": TO, "text": "x", "udh": "FF00"}, 422, "validation", "/udh"),
        ({"to": TO, "text": "x", "data_coding": 256}, 422, "validation", "/data_coding"),
        ({"to": TO, "text": "x", "priority": 4}, 422, "validation", "/priority"),
        ({"to": TO, "text": "x", "priority": True}, 422, "validation", "/priority"),
        ({"to": TO, "text": "x", "schedule_at": "2026-12-01T09:00:00"}, 422, "validation", "/schedule_at"),
        ({"to": TO, "text": "x", "schedule_at": "2020-01-01T00:00:00Z"}, 422, "validation", "/schedule_at"),
        ({"to": TO, "text": "x", "schedule_at": "2200-01-01T00:00:00Z"}, 422, "validation", "/schedule_at"),
        ({"to": TO, "text": "x", "validity": "PT1S"}, 422, "validation", "/validity"),
        ({"to": TO, "text": "x", "validity": "P1Y"}, 422, "validation", "/validity"),
        ({"to": TO, "text": "x", "type": "business"}, 422, "validation", "/type"),
        ({"to": TO, "text": "x", "metadata": {"a": 1}}, 422, "validation", "/metadata"),
        ({"to": TO, "text": "x", "client_ref": "r" * 65}, 422, "validation", "/client_ref"),
        ({"to": TO, "text": "x" * 39_016}, 422, "validation", "/text"),
        ({"to": TO, "text": "您" * 20_000}, 422, "validation", "/text"),
        ({"to": TO, "text": "赌博"}, 422, "content-rejected", "/text"),
        ({"to": "8613900000007", "text": "x"}, 422, "blacklisted", "/to"),
        ({"to": "+15005550006", "text": "x"}, 503, "no-route", "/to"),
        (b'{"to": "1", "text": "x", "to": "2"}', 422, "validation", "/to"),
        (b'{"to": "1", "text": "x", "metadata": {"a": "1", "a": "1"}}', 422, "validation", "/metadata/a"),
        (b'{"to": "1", "text": "x", "priority": 1e400}', 422, "validation", "/priority"),
        (b'{"to": "1", "text": "x", "priority": 1e308}', 422, "validation", "/priority"),
        (b'{"to": "1", "text": "x", "priority": ' + b"9" * 4000 + b"}", 422, "validation", "/priority"),
        (b'{"to": "1", "text": "x", "priority": 99999999999999999999}', 422, "validation", "/priority"),
        (b'{"to": "1", "text": "x", "priority": -1}', 422, "validation", "/priority"),
        (b'{"to": "1", "text": "x", "priority": 1.5}', 422, "validation", "/priority"),
        (b'{"to": "1", "text": "x", "priority": NaN}', 400, "invalid-request", None),
        (b'{"to": "1", "text": "x", "priority": 01}', 400, "invalid-request", None),
        ({"to": [TO], "text": "x"}, 422, "validation", "/to"),
        ({"to": {"number": TO}, "text": "x"}, 422, "validation", "/to"),
        ({"to": 8613800138000, "text": "x"}, 422, "validation", "/to"),
        ({"to": TO, "text": ["x"]}, 422, "validation", "/text"),
        ({"to": TO, "text": "x", "dlr": "true"}, 422, "validation", "/dlr"),
        ({"to": TO, "text": "x", "template": {"id": 1}}, 422, "validation", "/template/id"),
        ({"to": TO, "text": "x", "template": []}, 422, "validation", "/template"),
        ({"to": TO, "text": "x", "template": {"id": "a", "b": 1}}, 422, "validation", "/template/b"),
        ({"to": TO, "text": "x", "metadata": {"a": {"b": "c"}}}, 422, "validation", "/metadata"),
        ({"to": TO, "text": "x", "a/b~c": 1}, 422, "validation", "/a~1b~0c"),
        ({"to": TO, "text": "x", "validity": "P" + "9" * 400 + "D"}, 422, "validation", "/validity"),
        ({"to": TO, "text": "x", "schedule_at": "9" * 400}, 422, "validation", "/schedule_at"),
        (b"null", 422, "validation", None),
        (b'{"to": "1", "text": "x",}', 400, "invalid-request", None),
        (b"{'to': '1'}", 400, "invalid-request", None),
        (b'{"to": "1", "text": "\x00"}', 400, "invalid-request", None),
        (b'{"to": "1", "text": "x"} // why', 400, "invalid-request", None),
        (b'{"to": "1", "text": "\\ud83d"}', 400, "invalid-request", None),
        ('{"to": "1", "text": "x"}'.encode("utf-16"), 400, "invalid-request", None),
        ([], 422, "validation", None),
        ("x", 422, "validation", None),
        (b"", 400, "invalid-request", None),
        (b'{"to": "1", ', 400, "invalid-request", None),
        (b'{"to": "\xff", "text": "x"}', 400, "invalid-request", None),
        (b'{"to": "1", "text": "\\ud800"}', 400, "invalid-request", None),
        (b"\xef\xbb\xbf{}", 400, "invalid-request", None),
        (b'{"metadata":' + b'{"a":' * 50_000, 422, "validation", "/metadata"),
        (b"[" * 200_000, 422, "validation", None),
        (b'{"to": "1", "text": "x"} {}', 400, "invalid-request", None),
    ],
)
async def test_refusals_name_the_field(
    body: Any, status: int, code: str, pointer: str | None, tmp_path: Path
) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        reply = await api.post("/v1/messages", body)
        assert (reply.status, reply.json["code"]) == (status, code), reply.body
        assert [error["pointer"] for error in reply.json.get("errors", [])][:1] in ([pointer or ""], [])
        if pointer:
            assert reply.json["errors"][0]["pointer"] == pointer
        assert reply.json["detail"].endswith((".", ")"))
        assert (await api.get("/v1/messages"))["data"] == []
        assert world.core.quota.balances[1].reserved == 0


async def test_a_long_text_is_cut_and_counted(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, _):
        api = await world.connect()
        accepted = await api.send(text="您" * 200)
        assert (accepted["parts"], accepted["encoding"]) == (3, "ucs2")
        message = await api.until(f"/v1/messages/{accepted['id']}", status="delivered")
        assert [(part["number"], part["status"]) for part in message["part_states"]] == [
            (1, "delivered"),
            (2, "delivered"),
            (3, "delivered"),
        ]
        assert (await api.get("/v1/balance"))["used"] == 3


async def test_a_masked_text_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        accepted = await api.send(text="这是敏感内容")
        assert accepted["masked"] is True
        assert (await api.get(f"/v1/messages/{accepted['id']}"))["masked"] is True


async def test_what_a_carrier_refuses_is_told_with_its_status(tmp_path: Path) -> None:
    async with delivering(tmp_path, Behaviour(errors={"0B": 1.0})) as (world, _):
        api = await world.connect()
        accepted = await api.send()
        message = await api.until(f"/v1/messages/{accepted['id']}", status="failed")
        assert message["error"]["code"] == "refused-by-carrier"
        assert message["error"]["smpp_status"] == "ESME_RINVDSTADR"
        assert message["error"]["group"] == "carrier"
        assert "dlr_stat" not in message["error"]
        assert (await api.get("/v1/messages?status=failed"))["data"][0]["error"] == message["error"]


async def test_a_scheduled_message_waits_and_can_be_cancelled_once(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, _):
        api, other = await world.connect(), await world.connect(OTHER_KEY)
        soon = trio.current_time()
        accepted = await api.send(
            schedule_at=rfc3339(world.core.clock.wall_ms() + 3_600_000), validity="PT1H"
        )
        assert accepted["status"] == "scheduled", soon
        path = f"/v1/messages/{accepted['id']}"
        message = await api.get(path)
        assert message["status"] == "scheduled"
        assert message["schedule_at"] > message["created_at"]
        assert (await api.get("/v1/balance"))["reserved"] == 1
        assert (await other.ask("DELETE", path)).status == 404
        cancelled = await api.ask("DELETE", path)
        assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
        assert (await api.ask("DELETE", path)).status == 409
        assert (await api.get("/v1/balance"))["reserved"] == 0


def rfc3339(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


async def test_messages_of_others_do_not_exist(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api, other = await world.connect(), await world.connect(OTHER_KEY)
        accepted = await api.send()
        for path in (f"/v1/messages/{accepted['id']}", "/v1/messages/msg_0000000000000", "/v1/messages/x"):
            assert (await other.ask("GET", path)).status == 404
            assert (await other.ask("DELETE", path)).status == 404
        assert (await other.get("/v1/messages"))["data"] == []
        assert (await other.get("/v1/messages?to=8613800138000"))["data"] == []


async def test_lists_page_through_everything_once(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        sent = [
            (await api.send(to=f"1380013{n:04}", text="x" * (1 + 200 * (n % 3))))["id"] for n in range(23)
        ]
        seen: list[str] = []
        path = "/v1/messages?limit=5"
        while path:
            page = await api.get(path)
            assert len(page["data"]) <= 5
            seen += [message["id"] for message in page["data"]]
            path = f"/v1/messages?limit=5&cursor={page['next']}" if page["next"] else ""
        assert seen == sent[::-1]
        assert seen == sorted(seen, reverse=True)
        one = (await api.get("/v1/messages?to=%2B8613800130007"))["data"]
        assert [message["id"] for message in one] == [sent[7]]
        assert len((await api.get("/v1/messages?status=queued&limit=1000"))["data"]) == 23
        assert (await api.get("/v1/messages?status=delivered"))["data"] == []
        assert (await api.get("/v1/messages?since=2200-01-01T00:00:00Z"))["data"] == []
        assert len((await api.get("/v1/messages?since=2020-01-01T00:00:00%2B08:00"))["data"]) == 23


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "?limit"),
        ("limit=1001", "?limit"),
        ("limit=-1", "?limit"),
        ("limit=1&limit=2", "?limit"),
        ("cursor=abc", "?cursor"),
        ("status=lost", "?status"),
        ("since=yesterday", "?since"),
        ("since=2026-01-01T00:00:00", "?since"),
        ("to=nobody", "?to"),
        ("page=2", "?page"),
        ("to=%ff", ""),
    ],
)
async def test_unknown_questions_are_refused(query: str, pointer: str, tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        reply = await api.ask("GET", f"/v1/messages?{query}")
        assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, pointer)


async def test_estimates_judge_alike_and_cost_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        estimate = (await api.post("/v1/estimate", {"to": TO, "text": "price 5 €, " * 20 + "您"})).json
        assert estimate == {
            "accepted": True,
            "parts": 4,
            "encoding": "ucs2",
            "characters": 221,
            "to": "8613800138000",
            "forces_ucs2": ["U+60A8"],
        }
        refused = (await api.post("/v1/estimate", {"to": TO, "text": "赌博"})).json
        assert (refused["accepted"], refused["code"]) == (False, "word-rejected")
        assert (await api.post("/v1/estimate", {"to": TO})).status == 422
        assert await api.get("/v1/balance") == {
            "limit": 1_000_000,
            "used": 0,
            "reserved": 0,
            "available": 1_000_000,
        }


async def test_quota_is_never_overspent(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect(OTHER_KEY)
        body = {"to": TO, "text": "x"}
        await api.client.send(b"".join(api.octets("POST", "/v1/messages", body) for _ in range(120)))
        replies = [await api.client.reply() for _ in range(120)]
        assert [reply.status for reply in replies] == [202] * 100 + [403] * 20
        assert replies[-1].json["code"] == "quota-exceeded"
        assert (await api.get("/v1/balance"))["available"] == 0


async def test_requests_that_come_together_share_a_commit(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        clients = [await world.connect() for _ in range(4)]
        before = world.core.committer.statistics().rounds
        for api in clients:
            await api.client.send(api.octets("POST", "/v1/messages", {"to": TO, "text": "x"}) * 50)
        shown = [(await api.client.reply()).json["id"] for api in clients for _ in range(50)]
        assert len(set(shown)) == 200
        assert world.core.committer.statistics().rounds - before < 20


async def test_a_rate_is_kept_and_told(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.apply({"account": [{"system_id": "api:acme", "rate": 5}]})
        api = await world.connect()
        replies = [await api.post("/v1/messages", {"to": TO, "text": "x"}) for _ in range(8)]
        assert [reply.status for reply in replies[:5]] == [202] * 5
        refused = next(reply for reply in replies if reply.status == 429)
        assert refused.json["code"] == "rate-limited"
        assert int(refused.headers["retry-after"]) >= 1
        assert replies[0].headers["ratelimit-policy"] == '"submit";q=5;w=1'
        assert replies[0].headers["ratelimit"].startswith('"submit";r=4;')


async def test_a_draining_or_full_gateway_says_come_again(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        world.core.disk = "low"
        reply = await api.post("/v1/messages", {"to": TO, "text": "x"})
        assert (reply.status, reply.json["code"], reply.json["retryable"]) == (503, "queue-full", True)
        assert reply.headers["retry-after"]
        world.core.disk = "ok"
        world.core.draining = True
        assert (await api.post("/v1/messages", {"to": TO, "text": "x"})).status == 503


async def test_other_content_types_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        reply = await api.post("/v1/messages", b"to=1", Content_Type="application/x-www-form-urlencoded")
        assert reply.status == 415
        fine = await api.post(
            "/v1/messages", {"to": TO, "text": "x"}, Content_Type="application/json; charset=utf-8"
        )
        assert fine.status == 202
        assert KEY not in repr(fine)
