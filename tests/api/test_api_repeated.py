"""A name that stands twice in a JSON object is refused, wherever it stands and however it is written."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.invalid import _may_repeat
from tests.api.world import TO, running

# Few names, so that they are repeated often; texts full of what tells names from texts.
CHARACTERS = st.sampled_from(["a", "b", ":", '"', "\\", "\u003a", "{", "，", ":"])
TEXTS = st.lists(CHARACTERS, max_size=4).map("".join)


@st.composite
def written(draw: Any, text: str) -> str:
    """A text in JSON, some of its characters as escapes."""
    octets = ""
    for character in text:
        how = draw(st.sampled_from(["plain", "plain", "lower", "upper"]))
        if how == "plain":
            octets += json.dumps(character, ensure_ascii=False)[1:-1]
        else:
            octets += f"\\u{ord(character):04{'x' if how == 'lower' else 'X'}}"
    return f'"{octets}"'


@st.composite
def documents(draw: Any, depth: int = 3) -> str:
    """JSON as text, which may repeat names."""
    kind = draw(
        st.sampled_from(["text", "number", "list", "object", "object"] if depth else ["text", "number"])
    )
    if kind == "text":
        return str(draw(written(draw(TEXTS))))
    if kind == "number":
        return draw(st.sampled_from(["1", "-0.5", "1e3", "true", "null"]))
    if kind == "list":
        return "[" + ",".join(draw(st.lists(documents(depth=depth - 1), max_size=3))) + "]"
    pairs = [
        f"{draw(written(name))}{draw(st.sampled_from([':', ' : ']))}{draw(documents(depth=depth - 1))}"
        for name in draw(st.lists(TEXTS, max_size=4))
    ]
    return "{" + ", ".join(pairs) + "}"


def repeats(text: str) -> bool:
    """Whether some object has a name twice, found by looking at each pair."""
    found = False

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len({name for name, _ in pairs}) != len(pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=look)
    return found


@given(documents())
def test_no_repetition_passes_the_quick_look(text: str) -> None:
    assert _may_repeat(text.encode()) or not repeats(text)


@given(documents())
def test_what_has_neither_repetitions_nor_escapes_needs_no_slow_look(text: str) -> None:
    if "\\u" not in text and not repeats(text):
        assert not _may_repeat(text.encode())


BATCHES = [
    # In one message what another lacks: counted over the batch, each name is there as often as it may be.
    ('{"messages":[{"to":"1","text":"a","text":"b"},{"to":"2"}]}', "/messages/0/text"),
    ('{"defaults":{"text":"a"},"messages":[{"to":"1","to":"2"}]}', "/messages/0/to"),
    ('{"defaults":{"text":"a"},"messages":[{"to":"1"},{"to":"2","metadata":{"a":"1","a":"2"}}]}',
     "/messages/1/metadata/a"),
    ('{"defaults":{"text":"a"},"messages":[{"to":"1","t\\u006f":"\\u003a"}]}', "/messages/0/to"),
    ('{"recipients":["1"],"recipients":["2"],"defaults":{"text":"a:b"}}', "/recipients"),
    ('{"defaults":{"text":"a"},"defaults":{"text":"b"},"recipients":["1"]}', "/defaults"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "pointer"), BATCHES)
async def test_a_batch_with_a_repeated_name_is_refused_whole(body: str, pointer: str, tmp_path: Path) -> None:
    body = body.replace('"1"', f'"{TO}"').replace('"2"', f'"{TO}"')
    async with running(tmp_path) as world:
        api = await world.connect()
        reply = await api.post("/v1/batches", body.encode())
        assert reply.status == 422
        [error] = reply.json["errors"]
        assert (error["pointer"], error["code"]) == (pointer, "repeated")
        line = await api.post(
            "/v1/batches", b'{"to":"86138","text":"a","text":"b"}', Content_Type="application/x-ndjson"
        )
        assert [one["code"] for one in line.json["rejected"]] == ["repeated"]
