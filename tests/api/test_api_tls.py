"""`[http.tls]`: the same API over TLS, for clients with a certificate where an authority is named."""

import ssl
from pathlib import Path

import pytest
import trio

from gateway.daemon import server_context
from gateway.settings import HttpTlsSettings
from store.files import StoreError
from tests.api.world import KEY, Api, World, running
from tests.gateway.http_client import Client
from tests.gateway.test_http_server import certificate


def settings(folder: Path, **more: str) -> dict[str, object]:
    pem = str(certificate(folder))
    return {"tls": {"listen": "127.0.0.1:0", "certificate": pem, "key": pem, **more}}


async def secured(world: World, context: ssl.SSLContext) -> Api:
    port = world.daemon.addresses["http-tls"][1]
    stream = await trio.open_ssl_over_tcp_stream(
        "localhost", port, ssl_context=context, https_compatible=True
    )
    client = Client(stream)
    world.clients.append(client)
    return Api(client, KEY)


async def test_both_listeners_serve_one_api(tmp_path: Path) -> None:
    options = settings(tmp_path)
    async with running(tmp_path / "data", http=options) as world:
        plain = await world.connect()
        api = await secured(world, ssl.create_default_context(cafile=str(tmp_path / "certificate.pem")))
        sent = await api.send()
        assert (await plain.get(f"/v1/messages/{sent['id']}"))["status"] == "queued"


async def test_tls_alone_is_enough(tmp_path: Path) -> None:
    options = {"listen": "", **settings(tmp_path)}
    async with running(tmp_path / "data", http=options) as world:
        api = await secured(world, ssl.create_default_context(cafile=str(tmp_path / "certificate.pem")))
        assert (await api.get("/v1/balance"))["available"] == 1_000_000


async def test_without_a_certificate_of_the_named_authority_nobody_is_heard(tmp_path: Path) -> None:
    pem = str(tmp_path / "certificate.pem")
    options = settings(tmp_path, client_ca=pem)
    async with running(tmp_path / "data", http=options) as world:
        context = ssl.create_default_context(cafile=pem)
        stranger = await secured(world, context)
        with pytest.raises((trio.BrokenResourceError, IndexError)):
            await stranger.send()
        context = ssl.create_default_context(cafile=pem)
        context.load_cert_chain(pem)
        await (await secured(world, context)).send()


def test_files_that_are_no_certificate_name_their_setting(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    with pytest.raises(StoreError, match=r"\[http.tls\] certificate .*broken.pem"):
        server_context("http.tls", HttpTlsSettings(certificate=str(broken), key=str(broken)))
