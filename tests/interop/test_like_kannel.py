"""Kannel (Debian) and our form of it, asked the same: its boxes and our listener answer octet for octet alike, and
tell the same to the same URLs, on the same simulated carrier."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import trio

from gateway.sim.carrier import SimCarrier
from tests.gateway.http_client import Client, request
from tests.legacy.test_kannel_sendsms import DA, XML_ANSWERS, XML_SHAPES, document
from tests.legacy.world import World as Ours
from tests.legacy.world import running

from .kannel import Kannel, group, kannel

TO = "8613800138000"
USER = {"username": "tester", "password": "tester"}
DOCUMENT: dict[str, Any] = {
    "route": [{"prefix": "", "carriers": ["sluice"]}],
    "group": [{"path": "root", "granted": "unlimited", "review": "trust"}],
    "user": [{"login": "tester", "group": "root", "limit": 1_000}],
    "account": [{"user": "tester", "system_id": "tester", "password": "tester"}],
    "number": [{"address": "1069*", "account": "tester"}],
}
MESSAGE = {**USER, "to": TO, "text": "x"}
SENT = {**MESSAGE, "from": "1069"}

# What smsbox refuses by itself, several faults at once where the order counts.
ASKED: list[dict[str, Any]] = [
    {},
    {"to": TO},
    {**USER},
    {**USER, "password": "wrong", "to": TO},
    {"user": "tester", "pass": "tester"},
    {**USER, "to": ""},
    {**USER, "to": "none", "udh": b"\x03\x00"},
    {**USER, "to": "none"},
    {**USER, "to": " "},
    MESSAGE,
    {**MESSAGE, "account": "a[b"},
    {**SENT, "udh": b"\x03\x00"},
    {**SENT, "udh": b"\x8c" + bytes(140)},
    {**SENT, "account": "a[b", "dlr-url": "ftp://x/y"},
    {**SENT, "account": "a" * 65},
    {**SENT, "dlr-url": "ftp://x/y", "dlr-mask": 128},
    {**SENT, "dlr-url": "http:/"},
    {**SENT, "dlrurl": "gopher://x"},
    {**SENT, "dlr-mask": 128, "mclass": 4},
    {**SENT, "dlrmask": -2},
    {**SENT, "mclass": 4, "pid": 256},
    {**SENT, "pid": 256, "rpi": 3},
    {**SENT, "rpi": 3, "alt-dcs": 2},
    {**SENT, "alt-dcs": 2, "mwi": 8},
    {**SENT, "mwi": 8, "coding": 3},
    {**SENT, "coding": 3, "compress": 2},
    {**SENT, "compress": 2, "validity": -2},
    {**SENT, "validity": -2, "deferred": -2},
    {**SENT, "deferred": -2, "priority": 4},
    {**SENT, "priority": 4, "charset": "no-such"},
    {**SENT, "charset": "no-such"},
]
HEADS: list[dict[str, str]] = [
    {"Content_Type": "application/json"},
    {"Content_Type": "text/plain"},
    {"Content_Type": "text/html"},
    {"Content_Type": "text/plain", "X_Kannel_Username": "tester", "X_Kannel_Password": "tester"},
    {
        "Content_Type": "text/plain",
        "X_Kannel_Username": "tester",
        "X_Kannel_Password": "tester",
        "X_Kannel_To": TO,
    },
    {
        "Content_Type": "text/html",
        "X_Kannel_Username": "tester",
        "X_Kannel_Password": "tester",
        "X_Kannel_To": TO,
    },
    {
        "Content_Type": "text/plain",
        "X_Kannel_Username": "tester",
        "X_Kannel_Password": "tester",
        "X_Kannel_To": TO,
        "X_Kannel_From": "1069",
        "X_Kannel_MClass": "4",
    },
]


DOCUMENTS = [body.replace(b"acme", b"tester").replace(b"secret", b"tester") for body, _ in XML_ANSWERS] + [
    document(DA, *elements).replace(b"acme", b"tester").replace(b"secret", b"tester")
    for elements, _ in XML_SHAPES
]


@asynccontextmanager
async def both(
    folder: Path, *, get_url: str = ""
) -> AsyncIterator[tuple[Kannel, Ours, SimCarrier, SimCarrier]]:
    """Kannel and us, each with a carrier of its own that behaves alike."""
    async with (
        SimCarrier(system_id="carrier") as theirs,
        SimCarrier(system_id="carrier") as ours,
    ):
        (folder / "kannel").mkdir()
        async with kannel(folder / "kannel", smsc_of(theirs)) as boxes:
            account = {**DOCUMENT["account"][0]}
            if get_url:
                account |= {"mo_url": get_url.replace("WEB", str(boxes.web.port)), "mo_form": "kannel-get"}
            link = {"host": "127.0.0.1", "port": ours.port, "system_id": "carrier", "password": "password"}
            document = {**DOCUMENT, "account": [account], "carrier": [{"name": "sluice", **link}]}
            async with running(
                folder / "ours", document=document, webhooks={"allow_private": ["127.0.0.0/8"]}
            ) as world:
                with trio.fail_after(15):
                    await theirs.wait_bound()
                    await ours.wait_bound()
                yield boxes, world, theirs, ours


def smsc_of(carrier: SimCarrier) -> str:
    return group(
        "smsc",
        smsc="smpp",
        smsc_id="sluice",
        host="127.0.0.1",
        port=carrier.port,
        transceiver_mode=True,
        smsc_username="carrier",
        smsc_password="password",
        system_type="",
        reconnect_delay=1,
    )


async def answers(port: int, octets: bytes) -> tuple[int, bytes, str]:
    """(status, body, type) of one request."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        client = Client(stream)
        with trio.fail_after(10):
            await client.send(octets)
            reply = await client.reply()
        return reply.status, reply.body, reply.headers.get("content-type", "")


async def test_answers_are_the_same_octets(tmp_path: Path) -> None:
    async with both(tmp_path) as (boxes, world, _, _):
        ports = boxes.sendsms_port, world.daemon.addresses["kannel"][1]
        for fields in ASKED:
            octets = request("GET", f"/cgi-bin/sendsms?{urlencode(fields)}")
            theirs, ours = [await answers(port, octets) for port in ports]
            assert ours == theirs, fields
        for head in HEADS:
            octets = request("POST", "/cgi-bin/sendsms", b"x", **head)
            theirs, ours = [await answers(port, octets) for port in ports]
            assert ours == theirs, head
        for body in DOCUMENTS:
            octets = request("POST", "/cgi-bin/sendsms", body, Content_Type="text/xml")
            theirs, ours = [await answers(port, octets) for port in ports]
            assert ours == theirs, body
        for octets in (
            request("GET", "/other"),
            request("GET", f"/cgi-bin/sendsms?{urlencode(SENT)}"),
            request("GET", f"/cgi-bin/sendsms?{urlencode({**SENT, 'to': f'{TO} none'})}"),
        ):
            theirs, ours = [await answers(port, octets) for port in ports]
            assert ours == theirs


# Not compared: %t and %T (when), %I (an id), %v and %V, %D (the carrier's error), %o (Kannel names the bind's
# user in a receipt, we the request's account).
CODES = "aAbBcCdfFikmMnpPqQrRsuOk"
WEB = "http://127.0.0.1:WEB/"


def pattern(codes: str) -> str:
    return "&".join(f"{code}{n}=%{code}" for n, code in enumerate(codes)) + "&s1=%s&S1=%S&x=%x&p=%%"


async def until_told(boxes: Kannel, path: str, count: int) -> list[dict[str, bytes]]:
    with trio.fail_after(20):
        while len(boxes.web.of(path)) < count:
            await trio.sleep(0.05)
    return boxes.web.of(path)


async def test_the_same_message_goes_out_and_the_same_reports_come_back(tmp_path: Path) -> None:
    async with both(tmp_path) as (boxes, world, _, _):
        ports = {"/theirs": boxes.sendsms_port, "/ours": world.daemon.addresses["kannel"][1]}
        told: dict[str, list[dict[str, bytes]]] = {}
        for path, port in ports.items():
            url = f"http://127.0.0.1:{boxes.web.port}{path}?{pattern(CODES)}"
            sent = {**SENT, "text": "Hi €", "charset": "utf-8", "dlr-mask": 31, "dlr-url": url}
            octets = request("GET", f"/cgi-bin/sendsms?{urlencode(sent)}")
            assert await answers(port, octets) == (202, b"0: Accepted for delivery", "text/html")
            found = await until_told(boxes, path, 2)
            told[path] = sorted(found, key=lambda one: one["d6"], reverse=True)
        for one, other in zip(told["/theirs"], told["/ours"], strict=True):
            for name in one.keys() | other.keys():
                # Dates in the carrier's text are those of the minute; the URLs are each its own.
                if name[0] not in "RaAbrsk":
                    assert one.get(name) == other.get(name), name
        assert told["/theirs"][0]["A1"] == told["/ours"][0]["A1"] == b"ACK/"
        words = [[one["A1"].split()[0] for one in told[path]] for path in ports]
        assert words[0] == words[1]


async def test_inbound_messages_are_told_alike(tmp_path: Path) -> None:
    # Kannel asks /mo with the parameters of its configuration; we are asked the same way.
    get_url = "http://127.0.0.1:WEB/ours?from=%p&to=%P&text=%b&coding=%c&udh=%u&charset=%C"
    async with both(tmp_path, get_url=get_url) as (boxes, _, theirs, ours):
        for carrier in (theirs, ours):
            carrier.send_mo("STOP 您好", source="8613900000001", destination="10690000")
        (one,) = await until_told(boxes, "/mo", 1)
        (other,) = await until_told(boxes, "/ours", 1)
        assert one == other
