"""Reports and inbound messages reach the URLs that Kannel's and Jasmin's applications gave."""

import re
from pathlib import Path
from typing import Any

import trio

from gateway.control_traffic import life_report
from gateway.legacy import ids
from gateway.legacy.switch import is_on
from gateway.settings import Config
from gateway.sim.behaviour import Behaviour
from tests.gateway.http_client import request
from tests.legacy.receiver import LOCAL, Asked, receiving
from tests.legacy.world import DOCUMENT, TO, World, config, delivering, running

FAST: dict[str, Any] = {
    "kannel": {"retry_s": 0.05, "mo_recode": True},
    "jasmin": {"retry_s": 0.05},
    "webhooks": LOCAL,
}
PATTERN = "/dlr?d=%d&p=%p&P=%P&F=%F&A=%A&n=%n&i=%i&o=%o&c=%c&C=%C&x=%x&%%"


async def idle(world: World) -> None:
    """Wait until nothing is to be told any more."""
    assert world.daemon.legacy is not None
    with trio.fail_after(5):
        while world.daemon.legacy.caller.waiting:
            await trio.sleep(0.01)


async def test_kannel_is_told_of_acceptance_and_end_in_order(tmp_path: Path) -> None:
    async with receiving() as receiver, delivering(tmp_path, **FAST) as (world, _):
        await world.sendsms(dlr_mask="31", dlr_url=receiver.url(PATTERN), account="club")
        accepted, delivered = await receiver.wait(2)
        assert accepted.method == delivered.method == "GET"
        assert accepted.query == (
            f"d=8&p={TO}&P=1069&F=1&A=ACK%2F&n=acme&i=carrier&o=club&c=-1&C=UTF-8&x=%25x&%25"
        )
        assert delivered.query.startswith(f"d=1&p={TO}&P=1069&F=1&A=id%3A1+sub%3A001+dlvrd%3A001+")
        assert delivered.fields["A"].startswith("id:1 sub:001 dlvrd:001 submit date:")
        assert delivered.headers["user-agent"].startswith("Kannel/")
        await idle(world)
        assert len(receiver.asked) == 2


async def test_only_what_the_mask_asks_for_is_told(tmp_path: Path) -> None:
    behaviour = Behaviour(intermediate_receipts=1.0, states={"UNDELIV": 1.0})
    async with receiving() as receiver, delivering(tmp_path, behaviour, **FAST) as (world, _):
        for mask in ("1", "2", "4", "6", "8", "0"):
            await world.sendsms(dlr_mask=mask, dlr_url=receiver.url(f"/{mask}?%d"))
        await world.sendsms(dlr_mask="31")  # no URL
        await receiver.wait(5)
        await trio.sleep(0.2)
        told = sorted((asked.path, asked.query) for asked in receiver.asked)
        assert told == [("/2", "2"), ("/4", "4"), ("/6", "2"), ("/6", "4"), ("/8", "8")]


async def test_a_refusal_by_the_carrier_is_told_as_such(tmp_path: Path) -> None:
    behaviour = Behaviour(errors={"0B": 1.0})
    async with receiving() as receiver, delivering(tmp_path, behaviour, **FAST) as (world, _):
        for mask in ("16", "2", "9"):
            await world.sendsms(dlr_mask=mask, dlr_url=receiver.url(f"/{mask}?d=%d&A=%A"))
        await receiver.wait(2)
        await trio.sleep(0.1)
        assert sorted((asked.path, asked.fields["d"], asked.fields["A"]) for asked in receiver.asked) == [
            ("/16", "16", "NACK/0x0000000b/ESME_RINVDSTADR"),
            ("/2", "16", "NACK/0x0000000b/ESME_RINVDSTADR"),
        ]


async def test_kannel_retries_until_it_is_heard_and_gives_up(tmp_path: Path) -> None:
    async with receiving() as receiver, delivering(tmp_path, **FAST) as (world, _):
        statuses = iter([500, 302, 404, 202])
        receiver.say = lambda asked: (next(statuses, 500), b"", "text/html")
        await world.sendsms(dlr_mask="1", dlr_url=receiver.url("/first"))
        await receiver.wait(4)
        await idle(world)
        await world.sendsms(dlr_mask="1", dlr_url=receiver.url("/second"))
        await receiver.wait(8)
        await idle(world)
        await trio.sleep(0.1)
        assert [asked.path for asked in receiver.asked] == ["/first"] * 4 + ["/second"] * 4
        assert world.daemon.legacy is not None
        caller = world.daemon.legacy.caller
        assert (caller.told["kannel"], caller.given_up["kannel"], caller.retried["kannel"]) == (1, 1, 6)


async def test_private_addresses_are_not_called_unless_the_operator_says_so(tmp_path: Path) -> None:
    sections: dict[str, Any] = {**FAST, "webhooks": {}}
    sections["kannel"] = {"retry_s": 0.05, "retries_max": 0}
    async with receiving() as receiver, delivering(tmp_path, **sections) as (world, _):
        for url in (receiver.url("/"), "http://localhost/", "http://169.254.169.254/latest", "http://[::1]/"):
            await world.sendsms(dlr_mask="1", dlr_url=url)
        assert world.daemon.legacy is not None
        with trio.fail_after(5):
            while world.daemon.legacy.caller.given_up["kannel"] < 4:
                await trio.sleep(0.01)
        assert receiver.asked == []


async def test_jasmin_pushes_each_level_until_it_is_acknowledged(tmp_path: Path) -> None:
    async with receiving() as receiver, delivering(tmp_path, **FAST) as (world, _):
        answers = iter([b"OK", b" ACK/Jasmin\n", b"ACK/Jasmin"])
        receiver.say = lambda asked: (200, next(answers), "text/plain")
        reply = await world.send(dlr="yes", dlr_level="3", dlr_url=receiver.url("/dlr"))
        message = reply.body.decode()[9:-1]
        refused, first, second = await receiver.wait(3)
        assert refused.body == first.body
        assert first.method == "POST"
        assert first.headers["content-type"] == "application/x-www-form-urlencoded"
        assert first.headers["user-agent"] == "Jasmin gateway/1.0 DLRThrower"
        assert first.body == f"id={message}&level=1&message_status=ESME_ROK&connector=carrier".encode()
        assert list(second.fields) == [
            "id", "level", "message_status", "connector", "id_smsc", "sub", "dlvrd", "subdate", "donedate",
            "err", "text",
        ]  # fmt: skip
        told = second.fields
        assert (told["id"], told["level"], told["message_status"]) == (message, "2", "DELIVRD")
        assert (told["id_smsc"], told["sub"], told["dlvrd"], told["err"]) == ("1", "001", "001", "000")
        assert re.fullmatch(r"\d{10}", told["donedate"])


async def test_jasmin_levels_and_methods(tmp_path: Path) -> None:
    async with receiving() as receiver, delivering(tmp_path, **FAST) as (world, _):
        for level in ("1", "2", "3"):
            await world.send(dlr_level=level, dlr_method="get", dlr_url=receiver.url(f"/{level}?token=a"))
        await world.send(dlr_url=receiver.url("/default"))
        await receiver.wait(5)
        await trio.sleep(0.1)
        told = [(asked.method, asked.path, asked.fields["level"]) for asked in receiver.asked]
        assert sorted(told) == [
            ("GET", "/1", "1"),
            ("GET", "/2", "2"),
            ("GET", "/3", "1"),
            ("GET", "/3", "2"),
            ("POST", "/default", "1"),
        ]
        assert all(asked.fields.get("token") == "a" for asked in receiver.asked if asked.method == "GET")


async def test_jasmin_stops_at_404_and_hears_of_refusals(tmp_path: Path) -> None:
    behaviour = Behaviour(errors={"0B": 1.0})
    async with receiving() as receiver, delivering(tmp_path, behaviour, **FAST) as (world, _):
        receiver.say = lambda asked: (404, b"ACK/Jasmin", "text/plain")
        await world.send(dlr_level="3", dlr_url=receiver.url("/3"))
        await world.send(dlr_level="2", dlr_url=receiver.url("/2"))
        await receiver.wait(2)
        await idle(world)
        await trio.sleep(0.2)
        told = {asked.path: asked.fields for asked in receiver.asked}
        assert len(receiver.asked) == 2
        assert told["/3"]["message_status"] == "ESME_RINVDSTADR"
        assert (told["/2"]["level"], told["/2"]["message_status"]) == ("2", "UNDELIV")


async def test_a_dead_receiver_holds_up_nobody_else(tmp_path: Path) -> None:
    sections = {**FAST, "kannel": {"retry_s": 60.0}}
    async with receiving() as receiver, delivering(tmp_path, **sections) as (world, _):
        for _ in range(20):
            await world.sendsms(dlr_mask="1", dlr_url="http://127.0.0.1:1/dead")
        await world.sendsms(dlr_mask="1", dlr_url=receiver.url("/alive"))
        assert (await receiver.wait(1))[0].path == "/alive"


async def test_what_was_not_told_before_a_restart_is_told_after_it(tmp_path: Path) -> None:
    dead = {**FAST, "kannel": {"retry_s": 600.0}}
    async with receiving() as receiver:
        receiver.say = lambda asked: (500, b"", "text/plain")
        async with delivering(tmp_path, **dead) as (world, _):
            await world.sendsms(dlr_mask="1", dlr_url=receiver.url("/open"))
            await receiver.wait(1)
        receiver.asked.clear()
        receiver.say = lambda asked: (200, b"", "text/plain")
        async with running(tmp_path, **FAST) as world:
            assert (await receiver.wait(1))[0].path == "/open"
            await idle(world)
        receiver.asked.clear()
        async with running(tmp_path, **FAST) as world:
            await trio.sleep(0.3)
            assert receiver.asked == []


def with_mo(url: str, form: str, **account: Any) -> dict[str, Any]:
    first = {**DOCUMENT["account"][0], "mo_url": url, "mo_form": form, **account}
    return {**DOCUMENT, "account": [first, *DOCUMENT["account"][1:]]}


async def inbound(
    tmp_path: Path,
    form: str,
    text: str,
    answer: tuple[bytes, str],
    *,
    sections: dict[str, Any] | None = None,
    **more: Any,
) -> Asked:
    """What an application is asked for an inbound message; `more`: account fields."""
    async with receiving() as receiver:
        receiver.say = lambda asked: (200, *answer)
        document = with_mo(receiver.url("/mo?from=%p&to=%P&text=%a&rest=%r&c=%c"), form, **more)
        options = {**FAST, **(sections or {})}
        async with delivering(tmp_path, document=document, **options) as (world, carrier):
            carrier.send_mo(text, source="8613900000001", destination="10690000")
            (asked,) = await receiver.wait(1)
            await idle(world)
            if answer[0] != b"ACK/Jasmin":
                part = await world.last()
                asked.headers["replied"] = f"{part.dest} {part.source.decode()} {part.body[-5:].decode()}"
            return asked


async def test_kannel_get_url_is_asked_and_its_answer_sent_back(tmp_path: Path) -> None:
    asked = await inbound(tmp_path, "kannel-get", "STOP my news", (b"never", "text/plain; charset=utf-8"))
    assert asked.method == "GET"
    assert asked.query == "from=%2B8613900000001&to=10690000&text=STOP+my+news&rest=my+news&c=0"
    assert asked.headers["replied"] == "8613900000001 10690000 never"


async def test_a_reply_comes_from_the_faked_sender(tmp_path: Path) -> None:
    asked = await inbound(tmp_path, "kannel-get", "x", (b"never", "text/plain"), faked_sender="4711")
    assert asked.headers["replied"].startswith("8613900000001 4711 ")


async def test_kannel_post_url_gets_the_text_as_a_body(tmp_path: Path) -> None:
    raw = {"kannel": {"retry_s": 0.05}}
    asked = await inbound(tmp_path, "kannel-post", "您好", (b"never", "text/plain"), sections=raw)
    assert asked.method == "POST"
    assert asked.body == "您好".encode("utf-16-be")
    assert asked.headers["content-type"] == 'text/plain; charset="UTF-16BE"'
    assert asked.headers["x-kannel-from"] == "+8613900000001"
    assert asked.headers["x-kannel-to"] == "10690000"
    assert asked.headers["x-kannel-coding"] == "2"
    assert asked.headers["x-kannel-smsc"] == "carrier"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", asked.headers["x-kannel-time"])


async def test_jasmin_is_pushed_inbound_messages(tmp_path: Path) -> None:
    asked = await inbound(tmp_path, "jasmin-post", "您好", (b"ACK/Jasmin", "text/plain"))
    assert asked.headers["user-agent"] == "Jasmin gateway/1.0 deliverSmHttpThrower"
    assert list(asked.fields) == [
        "id", "from", "to", "origin-connector", "content", "binary", "priority", "coding",
    ]  # fmt: skip
    octets = "您好".encode("utf-16-be")
    assert b"&content=%60%A8Y%7D&binary=60a8597d&" in asked.body
    told = asked.fields
    assert (told["from"], told["to"], told["coding"]) == ("8613900000001", "10690000", "8")
    assert told["binary"] == octets.hex()
    assert ids.read(told["id"]) > 0


async def test_long_inbound_messages_are_told_whole(tmp_path: Path) -> None:
    async with receiving() as receiver:
        document = with_mo(receiver.url("/mo"), "jasmin-get")
        async with delivering(tmp_path, document=document, **FAST) as (world, carrier):
            carrier.send_mo("您好" * 50, source="8613900000001", destination="10690000", parts=2)
            (asked,) = await receiver.wait(1)
            await idle(world)
            assert bytes.fromhex(asked.fields["binary"]).decode("utf-16-be") == "您好" * 50
            assert len(receiver.asked) == 1


async def test_a_batch_tells_how_its_messages_went_in(tmp_path: Path) -> None:
    basic = "Basic YWNtZTpzZWNyZXQ="
    async with receiving() as receiver, running(tmp_path, **FAST) as world:
        batch = {
            "batch_config": {"callback_url": receiver.url("/ok"), "errback_url": receiver.url("/no?a=b")},
            "globals": {"content": "x"},
            "messages": [{"to": TO}, {"to": "4912345678901"}, {"to": "nobody"}],
        }
        asked = request("POST", "/secure/sendbatch", batch, Authorization=basic)
        reply = await world.ask("jasmin-rest", asked)
        told = sorted(await receiver.wait(3), key=lambda one: (one.path, one.fields["to"]))
        bad, unrouted, ok = ([one.path, one.fields] for one in (told[1], told[0], told[2]))
        batch_id = reply.json["data"]["batchId"]
        assert unrouted == ["/no", {
            "a": "b", "batchId": batch_id, "to": "4912345678901", "status": "0",
            "statusText": 'HTTPAPI error: Error "No route found',
        }]  # fmt: skip
        assert bad[1]["statusText"] == 'HTTPAPI error: Error "Argument [to] has an invalid value: [nobody].'
        assert ok[0] == "/ok"
        assert ok[1]["status"] == "1"
        assert re.fullmatch(r'Success "[0-9a-f-]{36}"', ok[1]["statusText"])


def test_nothing_listens_unless_it_is_asked_for() -> None:
    assert not is_on(Config())
    assert is_on(config())


async def test_what_happens_is_counted(tmp_path: Path) -> None:
    sections = {**FAST, "http": {"listen": "127.0.0.1:0"}}
    async with receiving() as receiver, delivering(tmp_path, **sections) as (world, _):
        await world.sendsms(dlr_mask="1", dlr_url=receiver.url("/"))
        await world.sendsms(password="wrong")
        await world.send("/ping", to=None, content=None)
        await receiver.wait(1)
        await idle(world)
        metrics = (await world.ask("http", request("GET", "/metrics"))).body.decode()
        for line in (
            'sluice_legacy_responses_total{listener="kannel",route="/cgi-bin/sendsms",status="202"} 1.0',
            'sluice_legacy_responses_total{listener="kannel",route="/cgi-bin/sendsms",status="403"} 1.0',
            'sluice_legacy_responses_total{listener="jasmin",route="/ping",status="200"} 1.0',
            "sluice_legacy_logins_refused_total 1.0",
            'sluice_callbacks_total{outcome="told",style="kannel"} 1.0',
            'sluice_callbacks_total{outcome="given up",style="kannel"} 0.0',
            'sluice_callback_retries_total{style="kannel"} 0.0',
            "sluice_callbacks_waiting 0.0",
            "sluice_callback_replies_total 0.0",
        ):
            assert line in metrics


async def test_jasmins_ids_name_messages_on_the_command_line(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        message = (await world.send()).body.decode()[9:-1]
        report = await world.core.ports.store.read(
            lambda store: life_report(store, world.core.directory, message, node=0)
        )
        assert report.life.id == ids.read(message)
