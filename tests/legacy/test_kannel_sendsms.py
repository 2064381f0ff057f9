"""Every answer of Kannel's sendsms, octet for octet, and what a request becomes."""

from pathlib import Path
from typing import Any

import pytest

from gateway.smpp.decode import decode_body
from store.model import Part
from tests.gateway.http_client import request
from tests.legacy.world import DOCUMENT, TO, delivering, running

QUEUED = (202, b"3: Queued for later delivery")
UNAUTHORISED = (403, b"Authorization failed for sendsms")
DENIED = (400, b"Number(s) has/have been denied by white- and/or black-lists.")
NEVER = (403, b"Not routable. Do not try again.")
LATER = (503, b"Temporal failure, try again later.")

# (parameters, status, body, beginning of X-Gateway-Problem): the order in which faults are told is Kannel's.
ANSWERS: list[tuple[dict[str, Any], tuple[int, bytes], str]] = [
    ({}, QUEUED, ""),
    ({"username": None}, UNAUTHORISED, "unauthorized: "),
    ({"password": None}, UNAUTHORISED, "unauthorized: "),
    ({"password": "wrong"}, UNAUTHORISED, "unauthorized: "),
    ({"password": ""}, UNAUTHORISED, "unauthorized: "),
    ({"username": "nobody"}, UNAUTHORISED, "unauthorized: "),
    ({"username": "off"}, UNAUTHORISED, "unauthorized: "),
    ({"username": "nobody", "to": None}, UNAUTHORISED, "unauthorized: "),
    ({"username": None, "user": "acme", "password": None, "pass": "secret"}, QUEUED, ""),
    ({"to": None}, (400, b"Missing receiver number, rejected"), ""),
    ({"to": ""}, (400, b"Empty receiver number not allowed, rejected"), ""),
    ({"to": " "}, DENIED, ""),
    ({"to": "none"}, DENIED, "invalid-number: "),
    ({"to": "+86 138"}, NEVER, "invalid-number: "),
    ({"to": "8613900000007"}, DENIED, "blacklisted-global: "),
    ({"to": f"{TO} 8613900000007"}, QUEUED, "blacklisted-global: "),
    ({"to": f"{TO} x"}, QUEUED, ""),
    ({"to": "4912345678901"}, NEVER, "no-route: "),
    ({"udh": b"\x03\x00\x01"}, (400, b"UDH field misformed, rejected"), ""),
    ({"udh": b"\x8c" + bytes(140)}, (400, b"UDH field is too long, rejected"), ""),
    ({"username": "bare"}, (400, b"Sender missing and no global set, rejected"), ""),
    ({"username": "bare", "from": "1069", "account": "a[b"},
     (400, b"Account field misformed or too long, rejected"), ""),
    ({"account": "a" * 65}, (400, b"Account field misformed or too long, rejected"), ""),
    ({"dlr_url": "http:/", "dlr_mask": "199"}, (400, b"DLR-URL field misformed, rejected"), ""),
    ({"dlr_url": "ftp://receiver/"}, (400, b"DLR-URL field misformed, rejected"), ""),
    ({"dlrurl": "gopher://receiver/"}, (400, b"DLR-URL field misformed, rejected"), ""),
    ({"dlr_mask": "128"}, (400, b"DLR-Mask field misformed, rejected"), ""),
    ({"dlrmask": "-2"}, (400, b"DLR-Mask field misformed, rejected"), ""),
    ({"mclass": "4", "pid": "256"}, (400, b"MClass field misformed, rejected"), ""),
    ({"pid": "256", "rpi": "3"}, (400, b"PID field misformed, rejected"), ""),
    ({"rpi": "3", "alt_dcs": "2"}, (400, b"RPI field misformed, rejected"), ""),
    ({"alt_dcs": "2", "mwi": "8"}, (400, b"Alt-DCS field misformed, rejected"), ""),
    ({"mwi": "8", "coding": "3"}, (400, b"MWI field misformed, rejected"), ""),
    ({"coding": "3", "compress": "2"}, (400, b"Coding field misformed, rejected"), ""),
    ({"compress": "2", "validity": "-2"}, (400, b"Compress field misformed, rejected"), ""),
    ({"validity": "-2", "deferred": "-2"}, (400, b"Validity field misformed, rejected"), ""),
    ({"deferred": "-2", "priority": "4"}, (400, b"Deferred field misformed, rejected"), ""),
    ({"priority": "4", "charset": "no-such"}, (400, b"Priority field misformed, rejected"), ""),
    ({"charset": "no-such"}, (400, b"Charset or body misformed, rejected"), ""),
    ({"charset": "utf-8", "text": b"\xff"}, (400, b"Charset or body misformed, rejected"), ""),
    ({"charset": "punycode"}, (400, b"Charset or body misformed, rejected"), ""),
    ({"mclass": "", "coding": "none", "priority": "2 or so"}, QUEUED, ""),
    ({"text": None}, QUEUED, ""),
    ({"text": "赌博", "charset": "utf-8", "coding": "2"}, NEVER, "word-rejected: "),
    ({"from": "a" * 22}, NEVER, "bad-sender: "),
    ({"username": "strict", "from": "4711"}, NEVER, "sender-not-allowed: "),
    ({"deferred": "43201"}, QUEUED, ""),
    ({"validity": "0"}, NEVER, "bad-validity: "),
    ({"binfo": "toolong"}, NEVER, "bad-field: "),
    ({"to": f"{TO} 8613800138001", "username": "slow"}, LATER, "rate-exceeded: "),
]  # fmt: skip


async def test_answers_are_kannels(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        for fields, (status, body), problem in ANSWERS:
            reply = await world.sendsms(**fields)
            assert (reply.status, reply.body) == (status, body), fields
            assert reply.headers.get("x-gateway-problem", "").startswith(problem), fields
            assert bool(problem) <= ("x-gateway-problem" in reply.headers)
            assert reply.headers["content-type"] == "text/html"
            assert reply.headers["pragma"] == "no-cache"
            assert reply.headers["cache-control"] == "no-cache"


async def test_other_paths_are_unknown_requests_and_head_sends_nothing(tmp_path: Path) -> None:
    query = f"username=acme&password=secret&to={TO}&text=x"
    async with running(tmp_path) as world:
        for asked in (
            request("GET", "/"),
            request("GET", f"/sendsms?{query}"),
            request("PUT", f"/cgi-bin/sendsms?{query}", b"x"),
        ):
            reply = await world.ask("kannel", asked)
            assert (reply.status, reply.body) == (404, b"Unknown request.")
        reply = await world.ask("kannel", request("HEAD", f"/cgi-bin/sendsms?{query}", Connection="close"))
        assert reply.status == 404
        assert await world.parts() == []


async def test_a_bound_carrier_takes_it_at_once(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (world, _):
        reply = await world.sendsms()
        assert (reply.status, reply.body) == (202, b"0: Accepted for delivery")


async def test_the_immediate_reply_counts_parts_and_names_the_denied(tmp_path: Path) -> None:
    async with running(tmp_path, kannel={"immediate_reply": True}) as world:
        assert (await world.sendsms()).body == b"Sent."
        long = await world.sendsms(text="a" * 161, to=f"{TO} nobody 8613900000007")
        assert long.status == 202
        assert long.body == b"Sent. Denied receivers are: nobody 8613900000007 Message splits: 2"


# (account, from, global-sender, what is sent): faked > from > default > global.
SENDERS = [
    ("faker", "1070", "999", b"4711"),
    ("acme", "1070", "999", b"1070"),
    ("acme", "", "999", b"1069"),
    ("acme", None, "999", b"1069"),
    ("bare", None, "999", b"999"),
]


async def test_the_sender_is_the_first_of_faked_given_default_and_global(tmp_path: Path) -> None:
    async with running(tmp_path, kannel={"global_sender": "999"}) as world:
        for account, given, _, sent in SENDERS:
            assert (await world.sendsms(username=account, **{"from": given})).status == 202
            assert (await world.last()).source == sent


def shape(part: Part) -> tuple[int, int, bytes]:
    """(data_coding, esm_class, text) of what would be sent."""
    pdu = decode_body(0x04, part.body)
    return pdu.data_coding, pdu.esm_class, pdu.short_message  # type: ignore[union-attr]


UCS2_OCTETS = "您好".encode("utf-16-be")
# parameters -> (data_coding, esm_class, octets)
SHAPES: list[tuple[dict[str, Any], tuple[int, int, bytes]]] = [
    ({"text": "hello"}, (0, 0, b"hello")),
    ({"text": "1 €"}, (0, 0, b"1 \x1b\x65")),
    ({"text": "您 a"}, (0, 0, b"? a")),
    ({"text": b"\xe9t\xe9", "charset": "latin1"}, (0, 0, b"\x05t\x05")),
    ({"text": b"\x01\xff", "coding": "1"}, (4, 0, b"\x01\xff")),
    ({"text": UCS2_OCTETS, "coding": "2"}, (8, 0, UCS2_OCTETS)),
    ({"text": "您好", "coding": "2", "charset": "utf-8"}, (8, 0, UCS2_OCTETS)),
    ({"text": b"x", "udh": b"\x02\x70\x00"}, (4, 0x40, b"\x02\x70\x00x")),
    ({"text": b"x", "udh": b"\x02\x70\x00", "coding": "0"}, (0, 0x40, b"\x02\x70\x00x")),
    ({"text": "x", "mclass": "0"}, (0xF0, 0, b"x")),
    ({"text": b"x", "mclass": "2", "coding": "1"}, (0xF6, 0, b"x")),
    ({"text": UCS2_OCTETS, "mclass": "0", "coding": "2"}, (0x18, 0, UCS2_OCTETS)),
    ({"text": "x", "alt_dcs": "1"}, (0xF1, 0, b"x")),
    ({"text": "x", "mwi": "1"}, (0xD9, 0, b"x")),
    ({"text": UCS2_OCTETS, "mwi": "0", "coding": "2"}, (0xE8, 0, UCS2_OCTETS)),
    ({"text": "", "mwi": "2"}, (0xCA, 0, b"")),
    ({"text": "", "mwi": "5"}, (0xC1, 0, b"")),
    ({"text": "x", "rpi": "1"}, (0, 0x80, b"x")),
]  # fmt: skip


async def test_texts_codings_and_headers_go_out_as_kannel_sends_them(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        for fields, sent in SHAPES:
            reply = await world.sendsms(**fields)
            assert reply.status == 202, (fields, reply.headers)
            assert shape(await world.last()) == sent, fields


async def test_what_gsm_has_not_got_is_counted(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        assert (await world.sendsms(text="您 a 好")).headers["x-gateway-replaced"] == "2"
        assert "x-gateway-replaced" not in (await world.sendsms(text="a")).headers


async def test_the_other_parameters_reach_the_submit(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        reply = await world.sendsms(
            pid="65", priority="2", validity="60", deferred="30", binfo="ads",
            meta_data="?orders?id=1&?smpp?source_port=9200&0x1401=abc&unknown=1&", account="club",
        )  # fmt: skip
        assert reply.status == 202, reply.headers
        part = await world.last()
        pdu = decode_body(0x04, part.body)
        assert pdu.protocol_id == 65  # type: ignore[union-attr]
        assert pdu.service_type == b"ads"  # type: ignore[union-attr]
        assert pdu.tlvs == ((0x020A, b"\x23\xf0"), (0x1401, b"abc"))  # type: ignore[union-attr]
        assert part.lane == 2
        assert abs(part.deliver_at - part.accepted_at - 30 * 60_000) < 1000
        assert abs(part.expires_at - part.accepted_at - 60 * 60_000) < 1000


async def test_masking_and_quota_are_those_of_every_door(tmp_path: Path) -> None:
    document = {**DOCUMENT, "user": [{"login": "acme", "group": "root", "limit": 1}]}
    async with running(tmp_path, document=document) as world:
        assert (await world.sendsms(text="敏感", charset="utf-8", coding="2")).status == 202
        assert shape(await world.last())[2] != "敏感".encode("utf-16-be")
        reply = await world.sendsms()
        assert (reply.status, reply.body) == NEVER
        assert reply.headers["x-gateway-problem"].startswith("quota-exceeded: ")


# -- POST -----------------------------------------------------------------------------------------

USER = {"X_Kannel_Username": "acme", "X_Kannel_Password": "secret", "X_Kannel_To": TO}
PLAIN = "text/plain; charset=utf-8"
POSTS: list[tuple[dict[str, str], tuple[int, bytes]]] = [
    ({"Content_Type": PLAIN, **USER}, QUEUED),
    ({"Content_Type": "application/octet-stream", **USER}, QUEUED),
    ({"Content_Type": "application/json", **USER}, (400, b"Invalid content-type")),
    ({"Content_Type": PLAIN}, UNAUTHORISED),
    ({"Content_Type": PLAIN, **USER, "X_Kannel_Password": "wrong"}, UNAUTHORISED),
    ({"Content_Type": PLAIN, "X_Kannel_Username": "acme", "X_Kannel_Password": "secret"},
     (400, b"Missing receiver(s) number(s), rejected")),
    ({"Content_Type": PLAIN, **USER, "X_Kannel_To": ""},
     (400, b"Empty receiver number not allowed, rejected")),
    ({"Content_Type": "text/html", **USER}, (415, b"Unsupported content-type, rejected")),
    ({"Content_Type": "text/xml", **USER}, UNAUTHORISED),
    ({"Content_Type": "text/html"}, UNAUTHORISED),
    ({"Content_Type": PLAIN, **USER, "X_Kannel_DLR_Mask": "128"},
     (400, b"DLR-Mask field misformed, rejected")),
    ({"Content_Type": PLAIN, **USER, "X_Kannel_MClass": "9"}, (400, b"MClass field misformed, rejected")),
]  # fmt: skip


async def test_posted_texts_take_their_parameters_from_the_head(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        for headers, (status, body) in POSTS:
            reply = await world.ask("kannel", request("POST", "/cgi-bin/sendsms", b"hi", **headers))
            assert (reply.status, reply.body) == (status, body), headers


# (content type, further header fields, body, what goes out)
POSTED: list[tuple[str, dict[str, str], bytes, tuple[int, int, bytes]]] = [
    ("text/plain", {}, b"\xe9", (0, 0, b"\x05")),
    (PLAIN, {}, "é".encode(), (0, 0, b"\x05")),
    ('text/plain; charset="UTF-16BE"', {"X_Kannel_Coding": "2"}, UCS2_OCTETS, (8, 0, UCS2_OCTETS)),
    ("text/plain", {"X_Kannel_Coding": "2"}, b"\xe9", (8, 0, b"\0\xe9")),
    ("application/octet-stream", {}, b"\x00\x01", (4, 0, b"\x00\x01")),
    (PLAIN, {"X_Kannel_UDH": "027000"}, b"x", (0, 0x40, b"\x02\x70\x00x")),
    (PLAIN, {"X_Kannel_UDH": "%02%70%00"}, b"x", (0, 0x40, b"\x02\x70\x00x")),
]


async def test_posted_texts_are_read_by_their_content_type(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        for kind, more, body, sent in POSTED:
            octets = request("POST", "/cgi-bin/sendsms", body, Content_Type=kind, **USER, **more)
            assert (await world.ask("kannel", octets)).status == 202
            assert shape(await world.last()) == sent


async def test_a_form_may_be_posted_too(tmp_path: Path) -> None:
    form = f"username=acme&password=secret&to={TO}&text=a+b%26c".encode()
    async with running(tmp_path) as world:
        kind = "application/x-www-form-urlencoded"
        reply = await world.ask("kannel", request("POST", "/cgi-bin/sendsms", form, Content_Type=kind))
        assert (reply.status, reply.body) == QUEUED
        assert shape(await world.last()) == (0, 0, b"a b&c")


WHO = "<from><username>acme</username><password>secret</password></from>"
DA = f"<da><number> {TO} </number></da>"
BOMB = '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


def document(*elements: str, head: str = "") -> bytes:
    return f"{head}<message><submit>{WHO}{''.join(elements)}</submit></message>".encode()


# (document, answer): Debian's Kannel says the same (tests/interop/test_like_kannel.py).
XML_ANSWERS: list[tuple[bytes, tuple[int, bytes]]] = [
    (b"<message><submit>" + DA.encode() + b"</submit></message>", UNAUTHORISED),
    (b"no xml", UNAUTHORISED),
    (document(DA, "<ud>hi"), UNAUTHORISED),
    (document("<ud>hi</ud>"), (400, b"Missing receiver(s) number(s), rejected")),
    (document("<da><number></number></da>"), (400, b"Missing receiver(s) number(s), rejected")),
    (document(DA, "<dcs><mclass>9</mclass></dcs>"), (400, b"MClass field misformed, rejected")),
    (document(DA, "<dcs><coding>none</coding></dcs>"), (400, b"Coding field misformed, rejected")),
    (document(DA, "<pid/>"), (400, b"PID field misformed, rejected")),
    (document(DA, "<udh>0300</udh>"), (400, b"UDH field misformed, rejected")),
]
# elements -> (data_coding, esm_class, octets)
XML_SHAPES: list[tuple[list[str], tuple[int, int, bytes]]] = [
    (["<ud>hello</ud>"], (0, 0, b"hello")),
    (["<ud> a&amp;b+c%21 </ud>"], (0, 0, b"a&b c!")),
    (["<ud><![CDATA[<é>]]></ud>"], (0, 0, b"<\x05>")),
    (["<ud>616263</ud>"], (0, 0, b"abc")),
    (["<ud>61626</ud>"], (0, 0, b"61626")),
    (["<ud>您好</ud>", "<dcs><coding>2</coding></dcs>"], (8, 0, UCS2_OCTETS)),
    (["<ud>00ff</ud>", "<dcs><coding>1</coding></dcs>"], (4, 0, b"\0\xff")),
    (["<ud>x</ud>", "<udh>027000</udh>", "<dcs><coding>0.0</coding></dcs>"], (0, 0x40, b"\x02\x70\x00x")),
    (["<ud>x</ud>", "<dcs><mclass>0</mclass></dcs>"], (0xF0, 0, b"x")),
    (["<ud>first</ud><ud>second</ud>"], (0, 0, b"first")),
    (["<other><ud>no</ud></other>", "<ud>yes</ud>"], (0, 0, b"yes")),
]


async def test_documents_are_answered_as_kannel_answers_them(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        for body, (status, said) in XML_ANSWERS:
            octets = request("POST", "/cgi-bin/sendsms", body, Content_Type="text/xml")
            reply = await world.ask("kannel", octets)
            assert (reply.status, reply.body) == (status, said), body


async def test_documents_say_what_is_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        for elements, sent in XML_SHAPES:
            octets = request("POST", "/cgi-bin/sendsms", document(DA, *elements), Content_Type="text/xml")
            assert (await world.ask("kannel", octets)).status == 202, elements
            assert shape(await world.last()) == sent, elements


async def test_a_document_names_several_receivers_and_its_own_encoding(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        more = "<da><number>86137 0000 0001</number></da><oa><number>1070</number></oa>"
        body = document(DA, more, "<ud>%e9</ud>", head='<?xml version="1.0" encoding="ISO-8859-1"?>')
        octets = request("POST", "/cgi-bin/sendsms", body, Content_Type="text/xml; charset=utf-8")
        assert (await world.ask("kannel", octets)).status == 202
        parts = await world.parts()
        assert [(part.dest, part.source) for part in parts] == [(int(TO), b"1070"), (8613700000001, b"1070")]
        assert {shape(part) for part in parts} == {(0, 0, b"\x05")}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        document(DA, "<ud>&b;</ud>", head=BOMB),
        document(DA, "<ud>hi</ud>", head='<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
        document("<a>" * 10_000),
        document(DA, "<ud>hi</ud>", head='<?xml version="1.0" encoding="no-such"?>'),
        b"\xff\xfe" + document(DA, "<ud>hi</ud>"),
    ],
    ids=["empty", "entities", "external entity", "deep", "unknown encoding", "not what it says"],
)
async def test_a_hostile_document_is_nobodys(body: bytes, tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        reply = await world.ask("kannel", request("POST", "/cgi-bin/sendsms", body, Content_Type="text/xml"))
        assert (reply.status, reply.body) == UNAUTHORISED
        assert await world.parts() == []
