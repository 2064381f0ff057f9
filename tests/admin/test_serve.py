"""The console's server on a real socket of the loopback."""

import socket

import httpx
import pytest
import trio

from admin.serve import serve_console
from tests.admin.world import World


async def test_it_listens_where_it_says(console: World) -> None:
    async with trio.open_nursery() as nursery:
        host, port = await nursery.start(serve_console, console.app, "127.0.0.1:0")
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
            assert (await client.get("/login")).status_code == 200
            assert (await client.get("/")).headers["location"] == "/login"
        nursery.cancel_scope.cancel()


async def test_an_address_in_use_is_an_error_of_the_operating_system(console: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match="in use"):
            await serve_console(console.app, address)
