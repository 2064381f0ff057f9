"""/v1/stream as a client uses it: submits with their answers, events with resume, windows, the end."""

import base64
from pathlib import Path
from typing import Any

import pytest
import trio
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.sync.client import connect as thread_connect

from gateway.stream import session
from tests.api.world import KEY, OTHER_KEY, TEST_KEY, bound, delivering, running
from tests.events.test_pull import INBOUND_KEY, KEYS, READ_KEY, SEND_KEY, note
from tests.stream.client import Stream
from tests.stream.test_frames import frame


async def events(stream: Stream, count: int) -> list[Any]:
    return [await stream.hear("event") for _ in range(count)]


def totals(told: list[Any]) -> list[int]:
    return [event["data"]["total"] for event in told]


# -- the handshake --------------------------------------------------------------------------------


async def test_a_client_in_a_thread_sends_and_hears(tmp_path: Path) -> None:
    """The whole client of `websockets`, its sockets and threads included."""

    def talk(port: int) -> tuple[Any, Any]:
        with thread_connect(
            f"ws://127.0.0.1:{port}/v1/stream",
            subprotocols=["sms.v1+json"],  # type: ignore[list-item]
            additional_headers={"Authorization": f"Bearer {KEY}"},
        ) as client:
            assert client.subprotocol == "sms.v1+json"
            client.send('{"op":"submit","ref":"a1","to":"+8613800138000","text":"hello"}')
            return client.recv(timeout=5), client.recv(timeout=5)

    async with delivering(tmp_path) as (world, _):
        await bound(world)
        ack, event = await trio.to_thread.run_sync(talk, world.port)
        assert '"op":"ack"' in ack and '"ref":"a1"' in ack
        assert '"op":"event"' in event and '"delivered"' in event
        with trio.fail_after(5):
            while world.front.streams.open["websocket"]:
                await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"key": "gw_live_nobodys"}, 401, "unauthorized"),
        ({"subprotocol": ""}, 426, "upgrade-required"),
        ({"subprotocol": "graphql-ws"}, 426, "upgrade-required"),
        ({"path": "/v1/stream?after=x"}, 422, "validation"),
        ({"path": "/v1/stream?from=1"}, 422, "validation"),
    ],
)
async def test_a_wrong_handshake_is_answered_in_http(
    tmp_path: Path, more: dict[str, str], status: int, code: str
) -> None:
    async with running(tmp_path) as world:
        with pytest.raises(InvalidHandshake) as refused:
            await Stream.connect(world, **more)  # type: ignore[arg-type]
        assert isinstance(refused.value, InvalidStatus)
        assert refused.value.response.status_code == status
        assert f'"{code}"'.encode() in (refused.value.response.body or b"")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upgrade": "websocket", "Connection": "upgrade", "Sec_WebSocket_Version": "8"},
        {"Upgrade": "h2c", "Connection": "upgrade", "Sec_WebSocket_Version": "13"},
        {"Connection": "upgrade", "Sec_WebSocket_Version": "13"},
    ],
)
async def test_what_is_no_websocket_is_told_so_and_the_connection_lives(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        key = base64.b64encode(bytes(16)).decode()
        reply = await api.ask(
            "GET", "/v1/stream", Sec_WebSocket_Key=key, Sec_WebSocket_Protocol="sms.v1+json", **headers
        )
        assert (reply.status, reply.headers["upgrade"]) == (426, "websocket")
        assert (await api.ask("GET", "/v1/balance")).status == 200


@pytest.mark.parametrize("key", ["", "short", "!" * 24, base64.b64encode(bytes(17)).decode()])
async def test_a_handshake_key_is_sixteen_octets(tmp_path: Path, key: str) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        reply = await api.ask(
            "GET", "/v1/stream", Upgrade="websocket", Connection="Upgrade", Sec_WebSocket_Version="13",
            Sec_WebSocket_Key=key, Sec_WebSocket_Protocol="sms.v1+json",
        )  # fmt: skip
        assert reply.status == 426


# -- submits --------------------------------------------------------------------------------------


async def test_an_ack_means_that_the_message_is_stored(tmp_path: Path) -> None:
    async with running(tmp_path) as world, await Stream.connect(world) as stream:
        ack = await stream.submit("x" * 64, client_ref="ord-1", text="长" * 100)
        assert ack == {"op": "ack", "ref": "x" * 64, "id": ack["id"], "parts": 2}
        api = await world.connect()
        found = await api.get(f"/v1/messages/{ack['id']}")
        assert (found["client_ref"], found["parts"]) == ("ord-1", 2)
        assert (await api.get("/v1/messages?client_ref=ord-1"))["data"][0]["id"] == ack["id"]


async def test_many_submits_of_one_write_share_few_commits_and_are_all_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as world, await Stream.connect(world) as stream:
        before = world.core.committer.statistics().rounds
        refs = [f"r{number}" for number in range(500)]
        await stream.say(
            *(
                {"op": "submit", "ref": ref, "to": f"+86138{at:08}", "text": "hi"}
                for at, ref in enumerate(refs)
            )
        )
        acks = [await stream.hear("ack") for _ in refs]
        assert [ack["ref"] for ack in acks] == refs
        assert len({ack["id"] for ack in acks}) == len(refs)
        assert world.core.committer.statistics().rounds - before < 50


async def test_a_refused_submit_gets_the_problem_that_post_would_give(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"to": "12"}, "validation", "/to"),
        ({"to": "8613900000007"}, "blacklisted", "/to"),
        ({"text": "赌博"}, "content-rejected", "/text"),
        ({"text": None}, "validation", "/text"),
        ({"text": 5}, "validation", "/text"),
        ({"colour": "red"}, "validation", "/colour"),
        ({"validity": "PT1S"}, "validation", "/validity"),
        ({"to": "+33123456789"}, "no-route", "/to"),
        ({"idempotency_key": "a b"}, "validation", "/idempotency_key"),
    ]
    async with running(tmp_path) as world, await Stream.connect(world) as stream:
        api = await world.connect()
        for fields, code, pointer in cases:
            nack = await stream.submit("a1", **fields)
            assert (nack["op"], nack["ref"]) == ("nack", "a1")
            problem = nack["problem"]
            assert (problem["code"], problem["errors"][0]["pointer"]) == (code, pointer)
            assert (await stream.submit("a2"))["op"] == "ack"
            if "idempotency_key" not in fields:
                body = {"to": "+8613800138000", "text": "您好", **fields}
                reply = await api.post("/v1/messages", body)
                assert (reply.status, reply.json["code"], reply.json["detail"]) == (
                    problem["status"],
                    problem["code"],
                    problem["detail"],
                )


async def test_a_submit_with_an_idempotency_key_happens_once(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        async with await Stream.connect(world) as stream:
            first = await stream.submit("a1", idempotency_key="k1")
        async with await Stream.connect(world) as stream:
            again = await stream.submit("other", idempotency_key="k1")
            assert (again["id"], again["replayed"]) == (first["id"], True)
            other = await stream.submit("a3", idempotency_key="k1", text="something else")
            assert other["problem"]["code"] == "idempotency-mismatch"
        api = await world.connect()
        assert len((await api.get("/v1/messages"))["data"]) == 1


async def test_rate_quota_and_scope_hold_as_for_post(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.apply({**KEYS, "account": [{"user": "acme", "system_id": "api:acme", "rate": 2}]})
        async with await Stream.connect(world) as stream:
            answers = [await stream.submit(f"a{at}") for at in range(4)]
            assert [answer["op"] for answer in answers[:2]] == ["ack", "ack"]
            assert answers[-1]["problem"]["code"] == "rate-limited" and answers[-1]["problem"]["retryable"]
        async with await Stream.connect(world, READ_KEY) as stream:
            assert (await stream.submit())["problem"]["code"] == "forbidden"
        async with await Stream.connect(world, OTHER_KEY) as stream:
            await stream.say(
                *({"op": "submit", "ref": str(at), "to": "+8613800138000", "text": "x"} for at in range(101))
            )
            answers = [await stream.hear() for _ in range(101)]
            refused = [answer for answer in answers if answer["op"] == "nack"]
            assert [answer["problem"]["code"] for answer in refused] == ["quota-exceeded"]


async def test_a_test_key_pretends(tmp_path: Path) -> None:
    async with running(tmp_path) as world, await Stream.connect(world, TEST_KEY) as stream:
        ack = await stream.submit("a1", to="+8613800138000")
        event = await stream.hear("event")
        assert (event["data"]["id"], event["data"]["status"]) == (ack["id"], "delivered")
        assert (await stream.submit("a2", to="+8613800138011"))["problem"]["code"] == "blacklisted"


async def test_more_submits_than_the_window_wait_a_moment_and_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.apply({"account": [{"user": "acme", "system_id": "api:acme", "window": 3}]})
        async with await Stream.connect(world) as stream:
            ops = [{"op": "submit", "ref": str(at), "to": "+8613800138000", "text": "x"} for at in range(9)]
            await stream.say(*ops)  # the window opens as the first are stored: all pass
            assert {(await stream.hear())["op"] for _ in ops} == {"ack"}
            # A door that answers nobody: the window stays full.
            world.front.door.submit = lambda submission: None  # type: ignore[method-assign]
            await stream.say(*ops)
            nacks = [await stream.hear("nack") for _ in range(6)]
            assert [nack["ref"] for nack in nacks] == ["3", "4", "5", "6", "7", "8"]
            assert {nack["problem"]["code"] for nack in nacks} == {"window-exceeded"}
            assert nacks[0]["problem"]["retryable"]


# -- what cannot be understood --------------------------------------------------------------------


async def test_an_operation_that_is_none_is_an_error_and_the_stream_goes_on(tmp_path: Path) -> None:
    wrong = [
        (b"{", "invalid-request"),
        (b"[]", "validation"),
        (b"[" * 50_000, "validation"),
        (b'{"op":"dance"}', "validation"),
        (b'{"ref":"a1"}', "validation"),
        (b'{"op":"window","n":-1}', "validation"),
        (b'{"op":"window","n":10001}', "validation"),
        (b'{"op":"seen"}', "validation"),
        (b'{"op":"seen","seq":9007199254740991}', "validation"),
        (b'{"op":"resume","after":"1"}', "validation"),
        (b'{"op":"submit","to":"1"}', "validation"),
        (b'{"op":"submit","ref":"","to":"1","text":"x"}', "validation"),
    ]
    async with running(tmp_path) as world, await Stream.connect(world) as stream:
        for text, code in wrong:
            await stream.say(text)
            error = await stream.hear()
            assert (error["op"], error["problem"]["code"]) == ("error", code), text
        assert (await stream.submit())["op"] == "ack"


@pytest.mark.parametrize(
    ("octets", "code"), [(frame(2, b"{}"), 1003), (frame(1, b"x" * 262_145), 1009), (frame(3, b""), 1002)]
)
async def test_a_broken_frame_closes_with_its_code(tmp_path: Path, octets: bytes, code: int) -> None:
    async with running(tmp_path) as world, await Stream.connect(world) as stream:
        await stream.stream.send_all(octets)
        assert (await stream.until_closed()).code == code
        with trio.fail_after(5):
            while world.front.streams.open["websocket"]:
                await trio.sleep(0.01)


async def test_a_message_in_pieces_between_pings_is_one_message(tmp_path: Path) -> None:
    text = b'{"op":"submit","ref":"a1","to":"+8613800138000","text":"' + "您".encode() * 40 + b'"}'
    async with running(tmp_path) as world, await Stream.connect(world) as stream:
        pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
        octets = b"".join(
            frame(1 if at == 0 else 0, piece, fin=at == len(pieces) - 1)
            + (frame(9, b"p") if at == 3 else b"")
            for at, piece in enumerate(pieces)
        )
        for at in range(0, len(octets), 5):
            await stream.stream.send_all(octets[at : at + 5])
        assert (await stream.hear("ack"))["ref"] == "a1"


# -- events ---------------------------------------------------------------------------------------


async def test_events_come_from_now_on_and_behind_after(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        note(world, 3)
        await (await world.connect()).get("/v1/events?wait_s=5")
        async with await Stream.connect(world) as live:
            note(world, 2, start=3)
            told = await events(live, 2)
            assert totals(told) == [3, 4]
        async with await Stream.connect(world, path="/v1/stream?after=0") as all_of_them:
            assert totals(await events(all_of_them, 5)) == [0, 1, 2, 3, 4]
        async with await Stream.connect(world, path=f"/v1/stream?after={told[0]['seq']}") as rest:
            assert totals(await events(rest, 1)) == [4]


async def test_a_resume_after_a_restart_misses_nothing_and_repeats_only_what_was_not_seen(
    tmp_path: Path,
) -> None:
    seen: list[int] = []
    last = 0
    for run in range(3):
        async with running(tmp_path) as world:
            async with await Stream.connect(world, path=f"/v1/stream?after={last}") as stream:
                note(world, 40, start=40 * run)
                missing = 40 * run + 30 - len(seen)
                for event in await events(stream, missing):
                    assert event["seq"] > last
                    last = event["seq"]
                    seen.append(event["data"]["total"])
                    await stream.say({"op": "seen", "seq": last})
    assert seen == list(range(110))


async def test_unseen_events_are_bounded_by_the_window(tmp_path: Path) -> None:
    async with running(tmp_path) as world, await Stream.connect(world) as stream:
        await stream.say({"op": "window", "n": 3})
        assert (await stream.submit())["op"] == "ack"  # the window has been read by now
        note(world, 10)
        told = await events(stream, 3)
        assert (await stream.submit("a2"))["op"] == "ack"
        assert not stream.ops
        await stream.say({"op": "seen", "seq": told[1]["seq"]})
        told += await events(stream, 2)
        assert (await stream.submit("a3"))["op"] == "ack"
        assert not stream.ops
        await stream.say({"op": "window", "n": 0}, {"op": "seen", "seq": told[-1]["seq"]})
        assert (await stream.submit("a4"))["op"] == "ack"
        assert not stream.ops
        await stream.say({"op": "window", "n": 100})
        told += await events(stream, 5)
        assert totals(told) == list(range(10))


async def test_a_resume_goes_back(tmp_path: Path) -> None:
    async with running(tmp_path) as world, await Stream.connect(world) as stream:
        note(world, 5)
        told = await events(stream, 5)
        await stream.say({"op": "resume", "after": told[1]["seq"]})
        assert totals(await events(stream, 3)) == [2, 3, 4]
        await stream.say({"op": "resume", "after": 0})
        assert totals(await events(stream, 5)) == [0, 1, 2, 3, 4]


async def test_a_stream_carries_the_events_of_its_keys_scopes(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, carrier):
        await world.apply(KEYS)
        await bound(world)
        async with (
            await Stream.connect(world, READ_KEY) as read,
            await Stream.connect(world, INBOUND_KEY) as inbound,
            await Stream.connect(world, SEND_KEY) as send,
            await Stream.connect(world, OTHER_KEY) as other,
        ):
            ack = await send.submit()
            event = await read.hear("event")
            assert (event["type"], event["data"]["id"]) == ("message.status", ack["id"])
            carrier.send_mo("hello", source="8613900000001", destination="10690000")
            assert (await inbound.hear("event"))["data"]["text"] == "hello"
            await send.submit("a2")
            await read.hear("event")
            for quiet in (read, inbound, send, other):
                await quiet.say({"op": "submit", "ref": "last", "to": "1", "text": ""})
                assert (await quiet.hear())["op"] == "nack"


async def test_several_streams_of_an_account_each_hear_everything(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        streams = [await Stream.connect(world) for _ in range(5)]
        note(world, 20)
        for stream in streams:
            assert totals(await events(stream, 20)) == list(range(20))
            await stream.aclose()


# -- the end --------------------------------------------------------------------------------------


async def test_a_drain_answers_what_was_submitted_and_says_goodbye(tmp_path: Path) -> None:
    async with running(tmp_path) as world, await Stream.connect(world) as stream:
        ops = [{"op": "submit", "ref": str(at), "to": "+8613800138000", "text": "x"} for at in range(50)]
        await stream.say(*ops)
        assert (await stream.hear("ack"))["ref"] == "0"
        world.daemon.drain()
        close = await stream.until_closed()
        assert close.code == 1001
        assert [op["ref"] for op in stream.ops] == [str(at) for at in range(1, 50)]


async def test_a_client_that_closes_is_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as world, await Stream.connect(world) as stream:
        stream.protocol.send_close(1000, "bye")
        await stream.flush()
        assert (await stream.until_closed()).code == 1000


async def test_a_stream_ends_with_its_key(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await world.apply(KEYS)
        async with await Stream.connect(world, SEND_KEY) as stream:
            assert (await stream.submit())["op"] == "ack"
            await world.apply({"api_key": [{"user": "acme", "key": SEND_KEY, "state": "disabled"}]})
            await stream.say({"op": "submit", "ref": "a2", "to": "+8613800138000", "text": "x"})
            assert (await stream.until_closed()).code == 1008
            assert not stream.ops


async def test_pings_are_sent_and_silence_ends_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PING_S", 0.03)
    async with running(tmp_path) as world, await Stream.connect(world) as stream:
        while stream.pings < 3:  # answered by the library, so that it stays
            with trio.fail_after(5):
                await stream._turn()
        monkeypatch.setattr(session, "SILENCE_S_MAX", 0.1)
        with trio.fail_after(5):  # nobody reads, nobody answers
            while world.front.streams.open["websocket"]:
                await trio.sleep(0.01)


async def test_a_reader_that_takes_nothing_is_dropped_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "WRITE_S_MAX", 0.2)
    async with running(tmp_path) as world:
        account = world.core.accounts_by_system_id["api:acme"].id
        async with await Stream.connect(world) as stream:
            for _ in range(400):
                world.core.event_log.append(account, "batch.finished", b'{"fill":"%b"}' % (b"x" * 50_000))
            first = await stream.hear("event")
            with trio.fail_after(10):
                while world.front.streams.open["websocket"]:
                    await trio.sleep(0.05)
        async with await Stream.connect(world, path=f"/v1/stream?after={first['seq']}") as stream:
            second = await stream.hear("event")
        log = await world.core.event_log.read(account, 0, 2)
        assert [event.seq for event in log] == [first["seq"], second["seq"]]


async def test_open_streams_are_told_in_the_metrics(tmp_path: Path) -> None:
    async with running(tmp_path) as world, await Stream.connect(world) as stream:
        note(world, 2)
        await events(stream, 2)
        text = (await (await world.connect()).client.ask("GET", "/metrics")).body.decode()
        assert 'sluice_http_listeners{kind="websocket"} 1.0' in text
        assert 'sluice_http_events_sent_total{kind="websocket"} 2.0' in text
        assert world.front.server.answers["/v1/stream", 101] == 1
