"""Templates: declared by `sluice apply`, filled in by messages, judged like any other text."""

from pathlib import Path
from typing import Any

import pytest

from tests.api.world import DOCUMENT, KEY, OTHER_KEY, TO, Api, running

RENEWAL = "【某某保险】尊敬的【姓名】，您的保单【单号】将到期。"
TABLES: dict[str, Any] = {
    "group": [*DOCUMENT["group"], {"path": "root/a", "granted": 1000}, {"path": "root/b", "granted": 1000}],
    "user": [
        {"login": "acme", "group": "root/a", "limit": 500},
        {"login": "other", "group": "root/b", "limit": 500},
    ],
    "template": [
        {"name": "renewal", "group": "root", "text": RENEWAL, "variables": ["姓名", "单号"]},
        {"name": "fixed", "group": "root/a", "text": "您好"},
        {"name": "others", "group": "root/b", "text": "x"},
    ],
}


async def ids_of(api: Api) -> dict[str, str]:
    return {one["name"]: one["id"] for one in (await api.get("/v1/templates"))["data"]}


async def test_a_key_sees_the_templates_of_its_groups(tmp_path: Path) -> None:
    async with running(tmp_path, document=DOCUMENT | TABLES) as world:
        api = await world.connect(KEY)
        found = (await api.get("/v1/templates"))["data"]
        assert [(one["name"], one["group"], one["variables"]) for one in found] == [
            ("renewal", "root", ["姓名", "单号"]),
            ("fixed", "root/a", []),
        ]
        assert set(await ids_of(await world.connect(OTHER_KEY))) == {"renewal", "others"}
        await world.apply({"template": [{"name": "fixed", "group": "root/a", "remove": True}]})
        assert set(await ids_of(api)) == {"renewal"}


async def test_a_filled_template_is_a_text_like_any_other(tmp_path: Path) -> None:
    async with running(tmp_path, document=DOCUMENT | TABLES) as world:
        api = await world.connect()
        use = {"id": (await ids_of(api))["renewal"], "vars": {"姓名": "【单号】", "单号": "A" * 70}}
        sent = (await api.post("/v1/messages", {"to": TO, "template": use})).json
        assert (sent["parts"], sent["encoding"]) == (2, "ucs2")
        estimate = (await api.post("/v1/estimate", {"to": TO, "template": use})).json
        assert estimate["parts"] == 2
        # A value that looks like a variable is no variable.
        assert estimate["characters"] == len(RENEWAL.replace("【姓名】", "【单号】", 1)) - 4 + 70
        rejected = {**use, "vars": {"姓名": "赌博", "单号": "1"}}
        reply = await api.post("/v1/messages", {"to": TO, "template": rejected})
        assert (reply.status, reply.json["code"]) == (422, "content-rejected")


@pytest.mark.parametrize(
    ("message", "pointer", "code"),
    [
        ({"template": {"id": "tpl_0000000000000"}}, "/template/id", "unknown-template"),
        ({"template": {"id": "$renewal", "vars": {"姓名": "x"}}}, "/vars/单号", "missing"),
        (
            {"template": {"id": "$renewal", "vars": {"姓名": "x", "单号": "1", "a/b": "2"}}},
            "/template/vars/a~1b",
            "unknown-variable",
        ),
        ({"template": {"id": "$fixed"}, "vars": {"z": "1"}}, "/vars/z", "unknown-variable"),
        ({"template": {"id": "$fixed"}, "text": "x"}, "/template", "both"),
        ({"template": {"id": "$fixed"}, "binary": "00"}, "/template", "both"),
        ({"vars": {"a": "1"}, "text": "x"}, "/template/id", "missing"),
        ({"template": {}}, "/template/id", "missing"),
        ({"template": {"id": "$fixed", "name": "x"}}, "/template/name", "unknown-field"),
        ({"template": {"id": "$fixed", "vars": {"a": 1}}}, "/template/vars", "type"),
    ],
)
async def test_what_is_wrong_with_a_template_is_pointed_at(
    message: dict[str, Any], pointer: str, code: str, tmp_path: Path
) -> None:
    async with running(tmp_path, document=DOCUMENT | TABLES) as world:
        api = await world.connect()
        known = await ids_of(api)
        use = message.get("template", {})
        if "id" in use:
            message = {
                **message,
                "template": {**use, "id": known.get(use["id"].removeprefix("$"), use["id"])},
            }
        reply = await api.post("/v1/messages", {"to": TO, **message})
        assert reply.status == 422, reply
        (error,) = reply.json["errors"]
        assert (error["pointer"], error["code"]) == (pointer, code)


async def test_a_batch_fills_a_template_for_each_message(tmp_path: Path) -> None:
    async with running(tmp_path, document=DOCUMENT | TABLES) as world:
        api = await world.connect()
        known = await ids_of(api)
        defaults = {"template": {"id": known["renewal"], "vars": {"单号": "7"}}}
        messages = [
            {"to": "13800130001", "vars": {"姓名": "张"}},
            {"to": "13800130002", "template": {"vars": {"姓名": "李", "单号": "8" * 80}}},
            {"to": "13800130003", "text": "own"},
            {"to": "13800130004", "template": {"id": known["fixed"]}, "client_ref": "r"},
        ]
        batch = (await api.post("/v1/batches", {"defaults": defaults, "messages": messages})).json
        page = (await api.get(f"/v1/batches/{batch['id']}/messages"))["data"]
        assert [(one["parts"], one["encoding"]) for one in page] == [
            (1, "ucs2"),
            (2, "ucs2"),
            (1, "gsm"),
            (1, "ucs2"),
        ]
        wrong = await api.post("/v1/batches", {"defaults": defaults, "messages": [{"to": TO}]})
        assert wrong.json["errors"][0]["pointer"] == "/messages/0/vars/姓名"
        fixed = {"defaults": {"template": {"id": known["fixed"]}}, "recipients": [TO]}
        assert (await api.post("/v1/batches", fixed)).json["accepted"] == 1
        lines = b'{"defaults": {"template": {"id": "tpl_x"}}}\n{"to": "13800130001"}\n'
        streamed = await api.post("/v1/batches", lines, Content_Type="application/x-ndjson")
        assert streamed.json["errors"][0]["pointer"] == "/defaults/template/id"
