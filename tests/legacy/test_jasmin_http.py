"""Every answer of Jasmin's HTTP API, octet for octet, and what a request becomes."""

import re
from pathlib import Path
from typing import Any

from gateway.legacy import ids
from gateway.smpp.decode import decode_body
from store.model import Part
from tests.gateway.http_client import Reply, request
from tests.legacy.world import DOCUMENT, TO, delivering, running

SUCCESS = re.compile(rb'Success "[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}"')


def filtered(field: str, user: str = "acme") -> tuple[int, bytes]:
    return 400, f'Error "Value filter failed for user [{user}] ({field} filter mismatch)."'.encode()


def invalid(name: str, value: str) -> tuple[int, bytes]:
    return 400, f'Error "Argument [{name}] has an invalid value: [{value}]."'.encode()


def missing(name: str) -> tuple[int, bytes]:
    return 400, f'Error "Mandatory argument [{name}] is not found."'.encode()


STRANGER = (403, b'Error "Authentication failure for username:acme"')
# (arguments, status and body, beginning of X-Gateway-Problem); None: a Success with a new id.
ANSWERS: list[tuple[dict[str, Any], tuple[int, bytes] | None, str]] = [
    ({}, None, ""),
    ({"to": f"+{TO}"}, None, ""),
    ({"username": None}, missing("username"), ""),
    ({"password": None}, missing("password"), ""),
    ({"to": None}, missing("to"), ""),
    ({"to": None, "username": None, "password": None, "content": None}, missing("to"), ""),
    ({"to": "abc"}, invalid("to", "abc"), ""),
    ({"to": "86 138"}, invalid("to", "86 138"), ""),
    ({"username": "a" * 31}, invalid("username", "a" * 31), ""),
    ({"password": "a" * 65}, invalid("password", "a" * 65), ""),
    ({"password": ""}, invalid("password", ""), ""),
    ({"coding": "11"}, invalid("coding", "11"), ""),
    ({"priority": "4"}, invalid("priority", "4"), ""),
    ({"sdt": "tomorrow"}, invalid("sdt", "tomorrow"), ""),
    ({"validity_period": "1h"}, invalid("validity-period", "1h"), ""),
    ({"dlr": "maybe"}, invalid("dlr", "maybe"), ""),
    ({"dlr_url": "ftp://x/"}, invalid("dlr-url", "ftp://x/"), ""),
    ({"dlr_level": "4"}, invalid("dlr-level", "4"), ""),
    ({"dlr_method": "put"}, invalid("dlr-method", "PUT"), ""),
    ({"tags": "a;b"}, invalid("tags", "a;b"), ""),
    ({"foo": "1"}, (400, b'Error "Argument [foo] is unknown."'), ""),
    ({"foo": "1", "to": "abc"}, invalid("to", "abc"), ""),
    ({"content": None}, (400, b'Error "content or hex-content not present."'), ""),
    ({"hex_content": "00"},
     (400, b'Error "content and hex-content cannot be used both in same request."'), ""),
    ({"content": None, "hex_content": "0g"}, (400, b"Error \"Invalid hex-content data: 'b'0g''\""), ""),
    ({"content": b"\xff"},
     (500, b"Error \"Unknown error: 'utf-8' codec can't decode byte 0xff in position 0:"
           b' invalid start byte"'), ""),
    ({"password": "wrong"}, STRANGER, "unauthorized: "),
    ({"username": "off"}, (403, b'Error "Authentication failure for username:off"'), "unauthorized: "),
    ({"username": "nobody"}, (403, b'Error "Authentication failure for username:nobody"'), "unauthorized: "),
    ({"from": "a" * 22}, filtered("source_address"), "bad-sender: "),
    ({"username": "strict", "from": "4711"}, filtered("source_address", "strict"), "sender-not-allowed: "),
    ({"to": "8613900000007"}, filtered("destination_address"), "blacklisted-global: "),
    ({"to": "1"}, filtered("destination_address"), "invalid-number: "),
    ({"content": "赌博".encode("utf-16-be"), "coding": "8"}, filtered("content"), "word-rejected: "),
    ({"to": "4912345678901"}, (412, b'Error "No route found"'), "no-route: "),
    ({"sdt": "000200000000000R"}, filtered("schedule_delivery_time"), "bad-schedule: "),
    ({"content": "a" * (255 * 153 + 1)},
     (400, b'Error "Authorization failed for user [acme] (Long content not authorized)."'), "too-long: "),
    ({"username": "slow"}, None, ""),
    ({"username": "slow"}, (403, b'Error "User throughput exceeded"'), "rate-exceeded: "),
]  # fmt: skip


def post(arguments: dict[str, Any], **headers: str) -> bytes:
    return request("POST", "/send", arguments, **headers)


async def test_answers_of_send_are_jasmins(tmp_path: Path) -> None:
    async with running(tmp_path, http={"listen": "", "header_octets_max": 65_536}) as world:
        for fields, wanted, problem in ANSWERS:
            content = fields.get("content") or ""
            if len(content) > 1000:  # longer than a URL may be
                given = {"username": "acme", "password": "secret", "to": TO, "content": content}
                reply = await world.ask("jasmin", post(given))
            else:
                reply = await world.send(**fields)
            if wanted is None:
                assert reply.status == 200, (fields, reply.body)
                assert SUCCESS.fullmatch(reply.body)
            else:
                assert (reply.status, reply.body) == wanted, fields
            assert reply.headers["content-type"] == "text/plain"
            assert reply.headers.get("x-gateway-problem", "").startswith(problem), fields
            assert bool(problem) == ("x-gateway-problem" in reply.headers), fields


async def test_an_unknown_argument_is_told_first_when_it_stands_first(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        reply = await world.ask("jasmin", request("GET", "/send?foo=1&to=abc"))
        assert reply.body == b'Error "Argument [foo] is unknown."'
        reply = await world.ask("jasmin", request("GET", "/send?to=abc&foo=1"))
        assert reply.body == b'Error "Argument [to] has an invalid value: [abc]."'


async def test_without_arguments_the_first_of_them_is_missed(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        for path, body in (
            ("/send", b'Error "Mandatory argument [to] is not found."'),
            ("/rate", b'"Mandatory argument [to] is not found."'),
            ("/balance", b'"Mandatory arguments not found, please refer to the HTTPAPI specifications."'),
        ):
            reply = await world.ask("jasmin", request("GET", path))
            assert (reply.status, reply.body) == (400, body)


async def test_the_first_of_several_values_counts(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        assert (await world.send(query="&to=abc&content=second")).status == 200
        assert decode_body(0x04, (await world.last()).body).short_message == b"hello"  # type: ignore[union-attr]


JSON_ANSWERS: list[tuple[bytes, tuple[int, bytes]]] = [
    (b"[]", (500, b"Error \"Unknown error: 'list' object has no attribute 'items'\"")),
    (b"{", (500, b'Error "Unknown error: Expecting property name enclosed in double quotes:'
                 b' line 1 column 2 (char 1)"')),
    (b"[" * 100_000, (500, b'Error "Unknown error: maximum recursion depth exceeded while decoding'
                           b' a JSON array from a unicode string"')),
    (b'{"username":"acme","password":"secret","to":[1],"content":"x"}',
     filtered("destination_address")),
]  # fmt: skip


async def test_json_is_taken_with_the_same_names(tmp_path: Path) -> None:
    user = {"username": "acme", "password": "secret"}
    async with running(tmp_path) as world:
        for more in (
            {"to": TO, "content": "x"},
            {"to": int(TO), "content": "x", "coding": 0, "priority": 1},
            {"to": TO, "hex-content": "6869"},
        ):
            assert (await world.ask("jasmin", post({**user, **more}))).status == 200
        reply = await world.ask("jasmin", post({**user, "to": TO, "content": "x", "foo": None}))
        assert reply.body == b'Error "Argument [foo] is unknown."'
        for body, wanted in JSON_ANSWERS:
            reply = await world.ask("jasmin", request("POST", "/send", body))
            assert (reply.status, reply.body) == wanted


async def test_balance_rate_and_ping(tmp_path: Path) -> None:
    async with running(tmp_path) as world:

        def told(reply: Reply) -> tuple[int, bytes, str]:
            return reply.status, reply.body, reply.headers["content-type"]

        user = "username=acme&password=secret"
        balance = await world.ask("jasmin", request("GET", f"/balance?{user}"))
        assert told(balance) == (200, b'{"balance": "ND", "sms_count": 1000}', "application/json")
        wrong = await world.ask("jasmin", request("GET", "/balance?username=acme&password=no"))
        assert told(wrong) == (403, b'"Authentication failure for username:acme"', "application/json")
        more = await world.ask("jasmin", request("GET", f"/balance?{user}&to=1"))
        assert told(more)[:2] == (400, b'"Argument [to] is unknown."')
        rate = await world.send("/rate", content="a" * 161)
        assert told(rate) == (200, b'{"unit_rate": 0.0, "submit_sm_count": 2}', "application/json")
        assert (await world.send("/rate", content=None)).status == 200
        unrouted = await world.send("/rate", to="4912345678901")
        assert told(unrouted)[:2] == (412, b'"No route found"')
        assert told(await world.send("/rate", dlr="yes"))[1] == b'"Argument [dlr] is unknown."'
        assert (await world.ask("jasmin", request("GET", "/ping"))).body == b"Jasmin/PONG"
        assert await world.parts() == []
        again = await world.ask("jasmin", request("GET", f"/balance?{user}"))
        assert again.body == balance.body


async def test_only_what_jasmin_has_is_there(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        for method, path in (("GET", "/nothing"), ("POST", "/balance"), ("HEAD", "/send")):
            asked = request(method, path, Connection="close")
            assert (await world.ask("jasmin", asked)).status == 404


UCS2_OCTETS = "您好".encode("utf-16-be")
# arguments -> (data_coding, octets)
SHAPES: list[tuple[dict[str, Any], tuple[int, bytes]]] = [
    ({"content": "1 €"}, (0, b"1 \x1b\x65")),
    ({"content": "您 a"}, (0, b"? a")),
    ({"content": UCS2_OCTETS, "coding": "8"}, (8, UCS2_OCTETS)),
    ({"content": b"\x00\xff", "coding": "4"}, (4, b"\x00\xff")),
    ({"content": None, "hex_content": UCS2_OCTETS.hex(), "coding": "8"}, (8, UCS2_OCTETS)),
    ({"content": None, "hex_content": "6869"}, (0, b"hi")),
]


def shape(part: Part) -> tuple[int, bytes]:
    pdu = decode_body(0x04, part.body)
    return pdu.data_coding, pdu.short_message  # type: ignore[union-attr]


async def test_contents_go_out_as_jasmin_sends_them(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        for fields, sent in SHAPES:
            reply = await world.send(**fields)
            assert reply.status == 200, fields
            part = await world.last()
            assert shape(part) == sent, fields
            # The id leads to the message, and is what SMPP and /v1 call it.
            assert ids.read(reply.body.decode()[9:-1]) == part.id


async def test_the_other_arguments_reach_the_submit(tmp_path: Path) -> None:
    tlvs = '[[5121, null, "Int4", 7], ["0x1402", null, "COctetString", "ab"]]'
    async with running(tmp_path) as world:
        reply = await world.send(
            **{"from": "ACME"}, priority="3", validity_period="60", sdt="000000000500000R", custom_tlvs=tlvs,
            tags="a,b",
        )  # fmt: skip
        assert reply.status == 200, reply
        part = await world.last()
        assert part.source == b"ACME"
        assert part.lane == 2
        assert abs(part.deliver_at - part.accepted_at - 300_000) < 1000
        assert abs(part.expires_at - part.deliver_at - 3_600_000) < 1000
        assert decode_body(0x04, part.body).tlvs == ((5121, b"\0\0\0\7"), (0x1402, b"ab\0"))  # type: ignore[union-attr]
        given = {"username": "acme", "password": "secret", "to": TO, "content": "x"}
        mapping = {"0x1401:OctetString": "ab", "5122": 1}
        assert (await world.ask("jasmin", post({**given, "custom_tlvs": mapping}))).status == 200
        assert decode_body(0x04, (await world.last()).body).tlvs == ((0x1401, b"ab"), (5122, b"\0\0\0\1"))  # type: ignore[union-attr]
        refused = await world.ask("jasmin", post({**given, "custom_tlvs": [[1, None, "Int1", 256]]}))
        assert (refused.status, refused.body) == (500, b'Error "Unknown error: int too big to convert"')


async def test_quota_is_that_of_every_door(tmp_path: Path) -> None:
    document = {**DOCUMENT, "user": [{"login": "acme", "group": "root", "limit": 1}]}
    async with running(tmp_path, document=document) as world:
        assert (await world.send()).status == 200
        reply = await world.send()
        assert reply.status == 403
        assert reply.body == b'Error "Cannot charge submit_sm, check RouterPB log file for details"'
        assert reply.headers["x-gateway-problem"].startswith("quota-exceeded: ")


async def test_what_is_answered_is_sent(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, _):
        reply = await world.send()
        found = await world.core.message_parts(ids.read(reply.body.decode()[9:-1]))
        assert [part.dest for part in found] == [int(TO)]


def test_ids_are_read_back_and_sort_as_they_were_made() -> None:
    numbers = [0, 1, 15, 16, 1 << 30, 1_927_793_986_676_719_620, (1 << 63) - 1]
    assert [ids.read(ids.show(number)) for number in numbers] == numbers
    assert [ids.show(number) for number in numbers] == sorted(ids.show(number) for number in numbers)
    for foreign in ("", "07033084-5cfd-4812-90a4-e4d24ffb6e3d", "ffffffff-ffff-8fff-8f00-000000000000"):
        assert ids.read(foreign) == 0
