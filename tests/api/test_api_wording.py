"""What is wrong with a body is said in sentences that name what would be right, to people who never saw our types."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.api.invalid import Invalid, decode
from gateway.api.shapes import BatchIn, MessageIn
from gateway.api.webhook_shapes import WebhookIn
from gateway.stream.shapes import Op
from tests.api.world import KEY, running
from tests.gateway.http_client import Client

ENCODINGS = "Use one of: auto, gsm, latin1, ucs2."
WRONG: list[tuple[Any, bytes, str, str]] = [
    (MessageIn, b'{"to":8613}', "/to", "This must be a string, not a whole number."),
    (MessageIn, b'{"to":"1","text":["x"]}', "/text", "This must be a string, not a list."),
    (MessageIn, b'{"to":"1","priority":"high"}', "/priority", "This must be a whole number, not a string."),
    (MessageIn, b'{"to":"1","dlr":1}', "/dlr", "This must be true or false, not a whole number."),
    (MessageIn, b"[]", "", "This must be an object, not a list."),
    (MessageIn, b'{"to":""}', "/to", "It must have at least 1 character."),
    (MessageIn, b'{"to":"%b"}' % (b"1" * 41), "/to", "It may have at most 40 characters."),
    (MessageIn, b'{"to":"1","priority":9}', "/priority", "The most is 3."),
    (MessageIn, b'{"to":"1","priority":-1}', "/priority", "The least is 0."),
    (MessageIn, b'{"to":"1","binary":"abc"}', "/binary", "Write octets as hex digits, two each."),
    (MessageIn, b'{"to":"1","validity":"24h"}', "/validity",
     "Write the duration as in ISO 8601, such as PT24H or P2D."),
    (MessageIn, b'{"to":"1","schedule_at":"2026-12-01 09:00"}', "/schedule_at",
     "Write the time as RFC 3339 with offset, such as 2026-12-01T09:00:00+08:00."),
    (MessageIn, b'{"to":"1","schedule_at":"2026-12-01T09:00:00"}', "/schedule_at",
     "Write the time as RFC 3339 with offset, such as 2026-12-01T09:00:00+08:00."),
    (MessageIn, b'{"to":"1","encoding":"utf8"}', "/encoding", f"There is no value 'utf8' here. {ENCODINGS}"),
    (BatchIn, b'{"messages":[{"to":"1","encoding":"x"}]}', "/messages/0/encoding",
     f"There is no value 'x' here. {ENCODINGS}"),
    (BatchIn, b'{"recipients":[1]}', "/recipients/0", "This must be a string, not a whole number."),
    (WebhookIn, b'{"name":"x","events":["sent"]}', "/events/0",
     "There is no value 'sent' here. Use one of: batch.finished, batch.reviewed, connection.state,"
     " message.inbound, message.status, quota.low."),
    (Op, b'{"op":"sumbit"}', "/op", "There is no value 'sumbit' here. Use one of: resume, seen, submit, window."),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "pointer", "said"), WRONG, ids=[said for *_, said in WRONG])
def test_a_wrong_value_is_told_in_a_sentence(kind: Any, body: bytes, pointer: str, said: str) -> None:
    with pytest.raises(Invalid) as wrong:
        decode(msgspec.json.Decoder(kind), body)
    assert (wrong.value.pointer, wrong.value.detail) == (pointer, said)


async def test_a_stranger_is_told_what_is_missing(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        client = (await world.connect()).client
        for value, said in [
            ({}, "Send your API key: Authorization: Bearer gw_live_…"),
            ({"Authorization": KEY}, "The field Authorization is not of the form: Bearer gw_live_…"),
            (
                {"Authorization": f"Basic {KEY}"},
                "The field Authorization is not of the form: Bearer gw_live_…",
            ),
            ({"Authorization": "Bearer nobody"}, "There is no such key, or it was disabled."),
        ]:
            assert isinstance(client, Client)
            assert (await client.ask("GET", "/v1/balance", **value)).json["detail"] == said


async def test_other_refusals_say_what_would_do(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        api = await world.connect()
        reply = await api.ask("GET", "/v1/webhooks")
        assert reply.json["detail"] == (
            "This needs a key with the scope webhooks; this one has: inbound, read, send."
        )
        reply = await api.ask("GET", "/v1/messages?status=sent")
        assert "Use one of: accepted, scheduled, " in reply.json["detail"]
        reply = await api.post("/v1/messages", {"to": "8613800138000"})
        assert reply.json["detail"].startswith("A message needs a text, a template or a binary.")
        joined = b'{"defaults":{"text":"hi"}}{"to":"8613800138000"}'  # as curl -d @file sends lines
        reply = await api.post("/v1/batches", joined, Content_Type="application/x-ndjson")
        assert reply.status == 400
        assert "--data-binary" in reply.json["detail"]
