"""control.sock: private, bounded, clear in its errors, and honest about who asks."""

import getpass
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.control import SOCKET_FILE, ControlClient, ControlError, ControlServer, ControlUnavailable, actor
from store.files import StoreError


class Numbers:
    """An async iterator that says when it was closed."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.closed = False

    def __aiter__(self) -> "Numbers":
        return self

    async def __anext__(self) -> int:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return self.left

    async def aclose(self) -> None:
        self.closed = True


NUMBERS = Numbers(3)


async def echo(params: dict[str, Any]) -> Any:
    return params


async def who(params: dict[str, Any]) -> Any:
    return actor()


async def count(params: dict[str, Any]) -> Any:
    return NUMBERS


async def refuse(params: dict[str, Any]) -> Any:
    raise ControlError("It cannot be done today.", kind="usage")


async def store_error(params: dict[str, Any]) -> Any:
    raise StoreError("The store says no.")


async def fail(params: dict[str, Any]) -> Any:
    return 1 / 0


OPERATIONS = {
    "echo": echo,
    "who": who,
    "count": count,
    "refuse": refuse,
    "store": store_error,
    "fail": fail,
}


@asynccontextmanager
async def serving(data: Path, **options: int) -> AsyncIterator[Callable[..., Any]]:
    """A server on a data directory, and a way to call it from the loop: `await ask("echo", a=1)`."""
    server = ControlServer(OPERATIONS, **options)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, data / SOCKET_FILE)

        async def ask(op: str, **params: Any) -> Any:
            return await trio.to_thread.run_sync(lambda: ControlClient(data, timeout_s=10).call(op, **params))

        yield ask
        nursery.cancel_scope.cancel()


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path


async def test_an_operation_answers_with_its_result(data: Path) -> None:
    async with serving(data) as ask:
        assert await ask("echo", text="短信", list=[1, None]) == {"text": "短信", "list": [1, None]}


async def test_an_iterator_streams_its_items_and_is_closed(data: Path) -> None:
    async with serving(data) as ask:
        assert await ask("count") == [2, 1, 0]
    assert NUMBERS.closed


async def test_the_socket_is_for_its_owner_alone_and_goes_with_the_server(data: Path) -> None:
    async with serving(data):
        assert (data / SOCKET_FILE).stat().st_mode & 0o777 == 0o600
    assert not (data / SOCKET_FILE).exists()


async def test_the_kernel_says_who_asks(data: Path) -> None:
    async with serving(data) as ask:
        assert await ask("who") == f"cli:{getpass.getuser()}"


@pytest.mark.parametrize(
    ("op", "text", "kind"),
    [
        ("refuse", "It cannot be done today.", "usage"),
        ("store", "The store says no.", "refused"),
        ("fail", r'"fail" failed inside the daemon \(ZeroDivisionError\)', "internal"),
        ("nothing", 'This daemon has no operation "nothing". It has: count, echo', "usage"),
    ],
)
async def test_a_failure_is_a_sentence_and_the_server_lives_on(
    data: Path, op: str, text: str, kind: str
) -> None:
    async with serving(data) as ask:
        with pytest.raises(ControlError, match=text) as error:
            await ask(op)
        assert error.value.kind == kind
        assert await ask("echo") == {}


async def test_a_request_over_the_bound_is_refused(data: Path) -> None:
    async with serving(data, request_octets_max=100_000) as ask:
        with pytest.raises(ControlError, match="longer than 100000 octets"):
            await ask("echo", text="x" * 600_000)
        assert await ask("echo") == {}


async def test_a_large_request_within_the_bound_is_answered(data: Path) -> None:
    async with serving(data) as ask:
        numbers = [str(8613000000000 + n) for n in range(50_000)]
        assert (await ask("echo", numbers=numbers))["numbers"] == numbers


@pytest.mark.parametrize(
    "request_", [b"not json\n", b'{"op": 5}\n', b'{"op": "echo", "more": 1}\n', b"\xff\xfe\n"]
)
async def test_what_is_no_request_is_answered_with_a_sentence(data: Path, request_: bytes) -> None:
    async with serving(data) as ask:
        async with await trio.open_unix_socket(data / SOCKET_FILE) as stream:
            await stream.send_all(request_)
            assert b"is not what this daemon reads" in await stream.receive_some()
        assert await ask("echo") == {}


async def test_clients_that_go_away_early_hurt_nobody(data: Path) -> None:
    async with serving(data) as ask:
        for octets in (b"", b'{"op": "count"', b'{"op": "count"}\n'):
            async with await trio.open_unix_socket(data / SOCKET_FILE) as stream:
                await stream.send_all(octets)
        assert await ask("echo") == {}


async def test_a_directory_with_a_long_name_has_a_socket_too(tmp_path: Path) -> None:
    data = tmp_path / ("long-" * 30)
    data.mkdir()
    async with serving(data) as ask:
        assert await ask("echo") == {}


async def test_a_socket_left_by_a_dead_daemon_is_replaced(data: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(data / SOCKET_FILE))
    with pytest.raises(ControlUnavailable):
        ControlClient(data).call("echo")
    async with serving(data) as ask:
        assert await ask("echo") == {}


def test_without_a_daemon_the_client_says_so(tmp_path: Path) -> None:
    with pytest.raises(ControlUnavailable, match="No daemon answers on"):
        ControlClient(tmp_path).call("echo")


async def test_a_server_that_ends_without_an_answer_is_told(data: Path) -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.aclose()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(data / SOCKET_FILE))
        listener.listen()
        async with trio.open_nursery() as nursery:
            listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener.dup()))]
            nursery.start_soon(trio.serve_listeners, hang_up, listeners)
            with pytest.raises(ControlError, match="closed the connection before it had answered"):
                await trio.to_thread.run_sync(lambda: ControlClient(data).call("echo"))
            nursery.cancel_scope.cancel()
