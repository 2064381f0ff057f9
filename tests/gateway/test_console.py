"""The console beside the running daemon: what is changed on a page counts for the next message."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import trio

from admin.operations import Live
from gateway.console import ConsoleOperations
from gateway.control_store import apply_tables
from gateway.daemon import Daemon, open_daemon, serve_extras
from gateway.settings import Config, ConsoleSettings, HttpSettings, SmppSettings, StoreSettings

DOCUMENT = {
    "carrier": [{"name": "c1", "host": "127.0.0.1", "port": 1, "system_id": "s", "password": "p"}],
    "route": [{"prefix": "86", "carriers": ["c1"]}],
    "group": [{"path": "root", "granted": "unlimited"}],
    "user": [{"login": "acme", "group": "root", "limit": 100}],
    "account": [{"user": "acme", "system_id": "acme", "password": "secret12"}],
}
PASSWORD = "one more good one"


@asynccontextmanager
async def daemon(tmp_path: Path, *, console: str = "127.0.0.1:0") -> AsyncIterator[Daemon]:
    config = Config(
        store=StoreSettings(ballast_mib=0),
        smpp=SmppSettings(listen=""),
        http=HttpSettings(listen=""),
        console=ConsoleSettings(listen=console),
    )
    async with open_daemon(config, tmp_path / "data") as made, trio.open_nursery() as nursery:
        apply_tables(made.configuration, DOCUMENT, source="test", who="test", home_country="", in_flight={})
        await made.reload()
        await nursery.start(made.run)
        await nursery.start(serve_extras, made)
        yield made
        made.drain()
        await made.ended.wait()
        nursery.cancel_scope.cancel()


async def test_the_daemon_runs_without_the_console(tmp_path: Path) -> None:
    async with daemon(tmp_path, console="") as made:
        assert "console" not in made.addresses
        assert made.console_setup_url == ""


async def test_what_the_console_reads_is_what_the_daemon_says(tmp_path: Path) -> None:
    async with daemon(tmp_path, console="") as made:
        asked = ConsoleOperations(made)
        live = msgspec.convert(asked.live(), Live, from_attributes=True)
        assert [(one.name, one.up) for one in live.carriers] == [("c1", False)]
        assert [(one.system_id, one.available) for one in live.accounts] == [("acme", 100)]
        user = next(iter(made.core.directory.users))
        made.core.quota.reserve(user, 7)
        assert asked.balances()[user] == (0, 7)
        found = asked.route_of(8613800000000, 0, "")
        assert (found.prefix, found.carrier, found.up, found.first) == ("86", "c1", False, True)
        assert asked.route_of(44, 0, "").carrier == ""
        assert asked.canonical_number("+86 138-0000-0000") == 8613800000000


async def test_what_is_changed_on_a_page_reaches_the_data_plane(tmp_path: Path) -> None:
    async with daemon(tmp_path) as made:
        path = made.console_setup_url.partition("/setup/")[2]
        host, port = made.addresses["console"]
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", follow_redirects=True) as client:

            async def post(page: str, target: str, **fields: str) -> None:
                token = re.search(r'name="csrf" content="(\w+)"', (await client.get(page)).text)
                assert token
                answer = await client.post(target, data={"_csrf": token[1], **fields})
                assert answer.status_code == 200, answer.text

            setup = f"/setup/{path}"
            await post(setup, setup, login="chief", group="root", password=PASSWORD, password_again=PASSWORD)
            await post("/settings/words", "/settings/words", words="赌博", action="reject")
            await post("/settings/blacklist", "/settings/blacklist/global", numbers="8613800000000")
            await post("/gateway", "/gateway/carriers/1/state", state="paused")
            await post("/users/1", "/users/1/parts", parts="50", way="topup")
            await post("/users/1", "/users/1/state", state="disabled")
        core = made.core
        assert core.screens.words is not None
        assert core.screens.words.scan("去赌博吗") is not None
        assert core.screens.blacklists.check(8613800000000) is not None
        assert not core.carriers[1].active
        assert core.quota.of(1).limit == 150
        assert not core.accounts_by_system_id["acme"].active


async def test_while_nobody_can_sign_in_the_daemon_says_how_to_begin(tmp_path: Path) -> None:
    async with daemon(tmp_path) as made:
        host, port = made.addresses["console"]
        assert made.console_setup_url.startswith(f"http://{host}:{port}/setup/")
