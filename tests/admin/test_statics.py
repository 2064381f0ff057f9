"""Static files: only ours, exactly those, small, and nothing from elsewhere."""

import gzip
import hashlib
import re

import pytest

from admin.rendering import TEMPLATES
from admin.statics import FILES, VENDORED, manifest
from tests.admin.world import World

FIRST_LOAD_OCTETS_MAX = 100_000


def test_vendored_files_are_those_that_the_manifest_names() -> None:
    named = {one.file: one.sha256 for one in manifest()}
    there = {path.name for path in VENDORED.iterdir()} - {"manifest.json"}
    assert named.keys() == there
    for file, digest in named.items():
        assert hashlib.sha256((VENDORED / file).read_bytes()).hexdigest() == digest


async def test_a_file_is_sent_under_its_hash_and_kept_for_a_year(console: World) -> None:
    async with console.person() as person:
        for file in FILES.values():
            answer = await person.get(file.path)
            assert answer.status_code == 200
            assert answer.content == file.content
            assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/x/console.css",
        "/static/../app.py",
        "/static/x/..%2f..%2fapp.py",
        "/static/%2e%2e/%2e%2e",
        "/static/x/%00",
        "/static//etc/passwd",
    ],
)
async def test_no_path_leads_out_of_the_map(console: World, path: str) -> None:
    async with console.person() as person:
        assert (await person.get(path)).status_code == 404


async def test_the_first_load_is_small(console: World) -> None:
    async with console.person("sys") as person:
        page = await person.get("/")
    files = [file for file in FILES.values() if file.path in page.text]
    total = len(gzip.compress(page.content)) + sum(len(file.compressed) for file in files)
    assert len(files) >= 5
    assert total < FIRST_LOAD_OCTETS_MAX


def test_templates_mark_nothing_as_safe_and_name_no_other_host() -> None:
    for path in TEMPLATES.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe|Markup|autoescape|https?://|style=|\son\w+=", text), path.name
    own = "".join(
        FILES[name].content.decode() for name in ("console.css", "console.js", "live.js", "chart.js")
    )
    assert not re.search(r"https?://|@import|url\(|innerHTML|eval\(", own)


def test_every_icon_that_a_template_names_is_there() -> None:
    icons = set(re.findall(r'id="([\w-]+)"', FILES["icons.svg"].content.decode()))
    used = set()
    for path in TEMPLATES.glob("*.html"):
        used |= set(re.findall(r'icon\("([\w-]+)"', path.read_text(encoding="utf-8")))
    assert used
    assert used <= icons
