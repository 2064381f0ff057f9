"""The OpenAPI document says what the API does; a tester that knows nothing but the document agrees."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.api.operations import OPERATIONS
from gateway.http.problems import PROBLEMS
from gateway.http.routes import Router
from tests.api.world import KEY, running

# What a tester can find wrong. That it may send what is refused is no fault: numbers, senders and words have
# rules that no schema can say.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,ignored_auth,negative_data_rejection,missing_required_header"
)


def references(value: Any) -> list[str]:
    """Every $ref in a document."""
    if isinstance(value, dict):
        return [
            found for key, one in value.items() for found in ([one] if key == "$ref" else references(one))
        ]
    return [found for one in value for found in references(one)] if isinstance(value, list) else []


async def test_every_route_is_described_and_every_description_has_its_route(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        router: Router = world.front.server.router
        routes = {f"{r.method} {r.template}" for r in router.routes if r.template.startswith("/v1")}
        assert routes == set(OPERATIONS)
        document = (await (await world.connect()).client.ask("GET", "/v1/openapi.json")).json
        described = {
            f"{method.upper()} {path}" for path, some in document["paths"].items() for method in some
        }
        assert described == set(OPERATIONS)
        names = [one["operationId"] for some in document["paths"].values() for one in some.values()]
        assert len(names) == len(set(names))
        for reference in references(document):
            found: Any = document
            for step in reference.removeprefix("#/").split("/"):
                found = found[step]


@pytest.mark.parametrize(
    "name", [name for name, operation in OPERATIONS.items() if operation.example is not None]
)
async def test_every_example_works_as_it_stands(name: str, tmp_path: Path) -> None:
    method, _, path = name.partition(" ")
    async with running(tmp_path) as world:
        api = await world.connect()
        reply = await api.ask(method, path, OPERATIONS[name].example)
        assert reply.status == OPERATIONS[name].status


async def test_the_reference_tells_of_everything(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        client = (await world.connect()).client
        reply = await client.ask("GET", "/v1/reference")
        document = (await client.ask("GET", "/v1/openapi.json")).json
        text = reply.body.decode()
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"
        for name in (*document["components"]["schemas"], *PROBLEMS, *document["paths"]):
            assert name in text, name
        for schema in document["components"]["schemas"].values():
            for field in schema.get("properties", {}):
                assert f"`{field}`" in text, field
        assert "Any" not in text.split()
        assert max(len(line) for line in text.splitlines() if not line.startswith(("-", "20", "Up"))) < 400


async def test_a_browser_gets_the_reference_as_a_page(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        client = (await world.connect()).client
        text = (await client.ask("GET", "/v1/reference")).body.decode()
        reply = await client.ask("GET", "/v1/reference", Accept="text/html,application/xhtml+xml;q=0.9")
        assert (reply.headers["content-type"], reply.headers["vary"]) == (
            "text/html; charset=utf-8",
            "accept",
        )
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        page = reply.body.decode()
        # Each problem's `type` leads to its place, and no link leads nowhere.
        for code in PROBLEMS:
            assert f'id="problem-{code}"' in page
        anchors = re.findall(r'id="([^"]+)"', page)
        assert len(anchors) == len(set(anchors))
        assert set(re.findall(r'href="#([^"]+)"', page)) <= set(anchors)
        assert page.count("<h2") == text.count("\n## ")


async def test_a_tester_that_knows_only_the_document_finds_nothing_wrong(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        world.front.event_queries.wait_s_max = 0.01  # nothing will come
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{world.port}/v1/openapi.json",
            "-H", f"Authorization: Bearer {KEY}", "--checks", CHECKS, "--max-examples", "10", "--seed", "7",
            "--phases", "examples,coverage,fuzzing,stateful", "--generation-database", "none", "--no-color",
        ]  # fmt: skip
        done = await trio.run_process(
            command, capture_stdout=True, stderr=subprocess.STDOUT, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout.decode()[-6000:]
        answers = world.front.server.answers
        statuses = {status for (_, status) in answers}
        assert {200, 202, 401, 404, 405, 422} <= statuses
        assert not statuses & {500, 501}
        # By the document's links it finds its way from what it sent to what became of that.
        assert {("/v1/messages/{id}", 200), ("/v1/batches/{id}", 200)} <= answers.keys()
