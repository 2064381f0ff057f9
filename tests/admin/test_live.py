"""The stream behind open pages: what changed and no more, for as long as the session, whoever reads slowly."""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
from litestar import Request
from msgspec.structs import replace

from admin.live import HEARTBEAT_S, STREAMS_A_USER_MAX, STREAMS_MAX, LiveHub, Ring, read_watches
from admin.serve import serve_console
from admin.view import View
from store import sessions
from tests.admin.world import USERS, World, clock


def view_of(console: World, login: str) -> View:
    """Somebody signed in, as a page's request leaves them."""
    session_id = console.session(login)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [(b"cookie", f"sid={session_id}".encode())],
    }
    view = View(console.console, Request(scope))  # type: ignore[arg-type]
    with console.store.reading() as connection:
        view.viewer = sessions.viewer(connection, view.session(), console.console.wall_ms())
    assert view.viewer
    return view


@asynccontextmanager
async def opened(
    console: World, login: str, *topics: str, since: int = 0
) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    view, hub = view_of(console, login), console.console.hub
    async with aclosing(hub.stream(hub.enter(view, read_watches(view, topics, hub.topics)), since)) as stream:
        assert (await anext(stream)).startswith(b"retry: ")
        yield stream


def events(octets: bytes) -> list[tuple[str, Any]]:
    """(event, data) of what a stream gave."""
    found = []
    for block in octets.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and line[0] != ":")
        if "data" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


async def test_a_stream_begins_with_everything_and_goes_on_with_what_changed(
    console: World, autojump_clock: trio.abc.Clock
) -> None:
    async with opened(console, "sys", "review", "connections") as stream:
        first = {name: value for _, data in events(await anext(stream)) for name, value in data.items()}
        assert first["review"] == "1"
        assert first["g.1.state"] == ["正常", "good"]
        with console.store.writing("test") as write:
            write.run("UPDATE task SET state = 'review', outcome = '' WHERE id = 7")
        assert events(await anext(stream)) == [("figures", {"review": "2"})]
        assert console.console.hub.streams == 1
    assert console.console.hub.streams == 0


async def test_while_nothing_changes_a_sign_of_life_comes_every_fifteen_seconds(
    console: World, autojump_clock: trio.abc.Clock
) -> None:
    async with opened(console, "adm", "review") as stream:
        await anext(stream)
        began = trio.current_time()
        assert await anext(stream) == b": still here\n\n"
    assert HEARTBEAT_S <= trio.current_time() - began <= HEARTBEAT_S + 1


async def test_whoever_reads_slowly_gets_the_newest_figures_and_nothing_in_between(
    console: World, autojump_clock: trio.abc.Clock
) -> None:
    console.daemon.seconds = [(1, 1, 1, 1, 0)]
    async with opened(console, "sys", "counters") as slow:
        await anext(slow)
        for second in range(2, 100):
            console.daemon.seconds.append((second, second, 0, 0, 0))
            await console.console.hub.refresh()
            await trio.sleep(1)
        (ticks,) = [data for name, data in events(await anext(slow)) if name == "ticks"]
        assert [row[0] for row in ticks] == list(range(2, 100))
        assert len(console.console.hub._snapshots) == 1  # all that is kept, however slow it is


async def test_a_reconnection_gets_the_chart_from_where_it_was(
    console: World, autojump_clock: trio.abc.Clock
) -> None:
    console.daemon.seconds = [(second, 1, 1, 1, 0) for second in range(100, 200)]
    async with opened(console, "sys", "counters", since=190) as stream:
        octets = await anext(stream)
    (ticks,) = [data for name, data in events(octets) if name == "ticks"]
    assert [row[0] for row in ticks] == list(range(191, 200))
    assert b"id: 199\n" in octets


@pytest.mark.parametrize("how", ["signed out", "disabled", "made a plain user", "moved"])
async def test_a_stream_ends_with_the_session_within_a_second_or_two(
    console: World, autojump_clock: trio.abc.Clock, how: str
) -> None:
    async with opened(console, "adm", "review") as stream, opened(console, "peer", "review") as other:
        for one in (stream, other):
            await anext(one)
        with console.store.writing("test") as write:
            if how == "signed out":
                sessions.end_sessions(write, USERS["adm"])
            elif how == "disabled":
                write.run("UPDATE user SET state = 'disabled' WHERE id = ?", (USERS["adm"],))
            elif how == "made a plain user":
                write.run("UPDATE user SET role = 'user' WHERE id = ?", (USERS["adm"],))
            else:
                write.run("UPDATE user SET group_id = 4 WHERE id = ?", (USERS["adm"],))
        began = trio.current_time()
        assert events(await anext(stream)) == [("end", {})]
        assert trio.current_time() - began <= 2
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        assert await anext(other) == b": still here\n\n"


async def test_a_user_has_so_many_streams_and_no_more_and_so_have_all_together(console: World) -> None:
    hub, view = console.console.hub, view_of(console, "usr")
    places = [hub.enter(view, []) for _ in range(STREAMS_A_USER_MAX)]
    async with console.person("usr") as person:
        refused = await person.get("/stream?topic=counters")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
        polled = await person.get("/figures?topic=counters&topic=mine")
        assert polled.json()["mine.pending"] == "2"
    hub.leave(places[0])
    hub.leave(places[0])
    places[0] = hub.enter(view, [])
    for place in places:
        hub.leave(place)
    hub._open = {object(): (view, []) for _ in range(STREAMS_MAX)}
    async with console.person("sys") as person:
        assert (await person.get("/stream?topic=review")).status_code == 503


async def test_nobody_watches_what_they_may_not_see(console: World, autojump_clock: trio.abc.Clock) -> None:
    hub = console.console.hub
    usr, adm = view_of(console, "usr"), view_of(console, "adm")
    asked = ["connections", "review", "counters", "task:8", "nonsense", "tasks:8,3"]
    assert [w.topic for w in read_watches(usr, asked, hub.topics)] == ["counters", "task", "tasks"]
    assert "connections" not in [w.topic for w in read_watches(adm, asked, hub.topics)]
    figures = await hub.figures_now(usr, read_watches(usr, ["task:3", "tasks:8,3", "counters"], hub.topics))
    assert figures["shape.live"] != ""
    assert "t.state" not in figures  # task 3 is somebody else's
    assert [name for name in figures if name.startswith("row.")] == ["row.8.state", "row.8.left"]
    assert [name for name in figures if "sibling" in name or "carrier" in name] == []


def test_seconds_of_some_accounts_are_sampled_while_somebody_looks() -> None:
    ring = Ring()
    assert ring.sample(10, 5, 1, 0) == []
    assert ring.sample(11, 9, 1, 2) == [(11, 4, 0, 0, 2)]
    assert ring.sample(11, 12, 1, 2) == [(11, 4, 0, 0, 2)]
    for at in range(12, 2000):
        ring.sample(at, at, at, 0)
    assert len(ring.seconds) == 900


async def test_what_is_watched_by_many_is_made_once(console: World, autojump_clock: trio.abc.Clock) -> None:
    made = []
    topic = console.console.hub.topics["review"]

    def count(*arguments: Any) -> dict[str, Any]:
        made.append(1)
        return topic.figures(*arguments)

    hub = LiveHub(console.console, {"review": replace(topic, figures=count)})
    view = view_of(console, "sys")
    watches = read_watches(view, ["review"], hub.topics)
    async with AsyncExitStack() as stack:
        for _ in range(STREAMS_A_USER_MAX):
            stream = await stack.enter_async_context(aclosing(hub.stream(hub.enter(view, watches), 0)))
            await anext(stream)
            assert b"review" in await anext(stream)
    assert len(made) == 1


async def test_over_a_real_socket_it_streams_says_what_it_is_and_ends_with_the_browser(
    console: World,
) -> None:
    async with trio.open_nursery() as nursery:
        host, port = await nursery.start(serve_console, console.app, "127.0.0.1:0")
        head = f"Host: {host}\r\nCookie: sid={console.session('sys')}\r\n\r\n"
        browser = await trio.open_tcp_stream(host, port)
        await browser.send_all(b"GET /stream?topic=review HTTP/1.1\r\n" + head.encode())
        received = b""
        while b'"review":"1"' not in received:
            received += await browser.receive_some(65_536)
        for said in (b"text/event-stream", b"no-store", b"content-security-policy"):
            assert said in received
        assert console.console.hub.streams == 1
        await browser.aclose()
        with trio.fail_after(10):
            while console.console.hub.streams:
                await trio.sleep(0.01)
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
            stranger = await client.get("/stream", headers={"cookie": "sid=nobody"})
        assert (stranger.status_code, stranger.headers["location"]) == (303, "/login")
        nursery.cancel_scope.cancel()


async def test_a_task_s_figures_are_made_for_a_page_that_asks_for_them(console: World) -> None:
    async with console.person("usr") as person:
        answer = await person.get("/figures?topic=task:7")
        assert answer.status_code == 200
        assert answer.json()["shape.live"] == "finished"
        with console.store.writing("test") as write:
            write.run("UPDATE task SET state = 'paused', outcome = '' WHERE id = 7")
        assert (await person.get("/figures?topic=task:7")).json()["shape.live"] == "paused"


async def test_a_task_s_page_hears_of_every_figure_that_it_shows(
    console: World, autojump_clock: trio.abc.Clock
) -> None:
    async with console.person("usr") as person:
        shown = set(re.findall(r'data-live="(t\.[^"]+)"', (await person.get("/tasks/8")).text))
    async with opened(console, "usr", "task:8") as stream:
        first = {name: value for _, data in events(await anext(stream)) for name, value in data.items()}
    assert shown
    assert shown <= first.keys()
    assert first["shape.live"] == "review"


@pytest.mark.parametrize(
    ("path", "topics"), [("/", ["counters", "mine", "review"]), ("/gateway", ["connections"])]
)
async def test_a_page_hears_of_every_figure_that_it_shows(
    console: World, autojump_clock: trio.abc.Clock, path: str, topics: list[str]
) -> None:
    async with console.person("sys") as person:
        page = (await person.get(path)).text
    shown = set(re.findall(r'data-live="([^"]+)"', page)) - {"review"}
    async with opened(console, "sys", *topics) as stream:
        first = {name: value for _, data in events(await anext(stream)) for name, value in data.items()}
    assert shown
    assert shown <= first.keys()


async def test_a_fault_in_one_topic_costs_the_others_nothing(
    console: World, autojump_clock: trio.abc.Clock
) -> None:
    def broken(*_: Any) -> dict[str, Any]:
        raise ZeroDivisionError

    topics = dict(console.console.hub.topics)
    topics["connections"] = replace(topics["connections"], figures=broken)
    console.console.hub = LiveHub(console.console, topics)
    async with opened(console, "sys", "connections", "review") as stream:
        assert events(await anext(stream)) == [("figures", {"review": "1"})]


async def test_what_is_pending_counts_down_and_says_when_it_has_begun(
    console: World, autojump_clock: trio.abc.Clock
) -> None:
    with console.store.writing("test") as write:
        start = clock.at + 90_000
        write.run("UPDATE task SET state = 'waiting', start_at = ? WHERE id = 8", (start,))
    async with console.person("usr") as person:
        page = (await person.get("/sms/pending")).text
        assert 'data-live="row.8.left">about 90 s left<' in page
        assert "tasks:" in page
    async with opened(console, "usr", "tasks:8") as stream:
        await anext(stream)
        clock.at += 60_000
        assert events(await anext(stream)) == [("figures", {"row.8.left": "约剩 30 秒"})]
        with console.store.writing("test") as write:
            write.run("UPDATE task SET state = 'executing' WHERE id = 8")
        (changed,) = [data for _, data in events(await anext(stream))]
        assert changed["row.8.left"] == ""
        assert changed["row.8.state"][0]
