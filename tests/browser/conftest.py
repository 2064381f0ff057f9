"""Debian's Chromium, driven through the pages of a real daemon in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome")
STOP_S = 40.0


class Gateway(msgspec.Struct):
    """A running daemon: where its console is, and the link that begins it."""

    base: str
    setup: str


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    assert path, "These tests need a browser. Run: apt-get install chromium fonts-noto-cjk"
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    environment = {
        "PATH": os.environ["PATH"],
        "SLUICE__SMPP__LISTEN": "127.0.0.1:0",
        "SLUICE__HTTP__LISTEN": "",
        "SLUICE__CONSOLE__LISTEN": "127.0.0.1:0",
        "SLUICE__LOG__FORMAT": "json",
        "SLUICE__STORE__BALLAST_MIB": "0",
    }
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--data", str(tmp_path / "data")],
            stderr=stderr,
            env=environment,
            cwd=ROOT,
        )
    try:
        url = ""
        while not url:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            events = [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]
            url = next((event["url"] for event in events if "url" in event), "")
        yield Gateway(url.partition("/setup/")[0], url)
    finally:
        process.terminate()
        assert process.wait(STOP_S) == 0, log.read_text(encoding="utf-8")
    assert "a page failed" not in log.read_text(encoding="utf-8")
