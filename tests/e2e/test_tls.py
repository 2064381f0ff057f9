"""TLS on both sides: customers who come in, with and without certificates, and carriers that are verified."""

import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trio

from gateway.daemon import server_context
from gateway.sim.carrier import SimCarrier
from gateway.smpp.constants import Status
from store.files import StoreError

from .certificates import Authority
from .peer import connected
from .world import PASSWORD, UPSTREAM, World, config, stays, until, world

ACCOUNT = {"user": "acme", "system_id": "acme", "password": PASSWORD}


def listener(directory: Path, **tls: str) -> Any:
    """Settings with a TLS listener, and the authority that signed its certificate."""
    authority = Authority(directory)
    certificate, key, _ = authority.issue("server")
    given = {"listen": "127.0.0.1:0", "certificate": certificate, "key": key, **tls}
    return config(smpp={"tls": given}), authority


def trusting(authority: Authority, certificate: str = "", key: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def tls_port(gateway: World) -> int:
    return gateway.daemon.addresses["smpp-tls"][1]


async def test_a_customer_over_tls_gets_everything_that_one_in_the_clear_gets(tmp_path: Path) -> None:
    settings, authority = listener(tmp_path)
    async with (
        world(tmp_path / "data", settings=settings) as gateway,
        gateway.customer(port=tls_port(gateway), tls=True, tls_ca=str(authority.file), messages=50) as secure,
        gateway.customer() as plain,
    ):
        for esme in (secure, plain):
            (sent,) = await esme.submit("text", "8613700000001")
            await until(lambda sent=sent: sent.states == ["DELIVRD"])


async def test_old_versions_of_tls_are_refused(tmp_path: Path) -> None:
    settings, authority = listener(tmp_path)
    async with world(tmp_path / "data", settings=settings, carriers={}) as gateway:
        old = trusting(authority)
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        async with connected(tls_port(gateway), tls=old) as peer:
            assert await peer.bind() == 0
        older = trusting(authority)
        older.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            older.minimum_version = ssl.TLSVersion.TLSv1
            older.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((trio.BrokenResourceError, ExceptionGroup)):
            async with connected(tls_port(gateway), tls=older):
                pass


async def test_plain_on_the_tls_port_and_tls_on_the_plain_port_are_closed_and_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, authority = listener(tmp_path)
    async with world(tmp_path / "data", settings=settings, carriers={}) as gateway:
        async with connected(tls_port(gateway)) as peer:
            assert await peer.bind() == -1
        with pytest.raises(trio.BrokenResourceError):
            async with connected(gateway.port, tls=trusting(authority)):
                pass
    logged = capfd.readouterr()
    text = logged.out + logged.err
    assert "no TLS handshake" in text
    assert "TLS" in text.split("connection ended before a bind")[1]
    assert "Traceback" not in text


async def test_a_client_certificate_is_demanded_where_an_authority_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    customers = Authority(tmp_path, "customers")
    strangers = Authority(tmp_path, "strangers")
    settings, authority = listener(tmp_path, client_ca=str(customers.file))
    certificate, key, _ = customers.issue("acme")
    foreign, foreign_key, _ = strangers.issue("mallory")
    async with world(tmp_path / "data", settings=settings, carriers={}) as gateway:
        port = tls_port(gateway)
        async with connected(port, tls=trusting(authority, certificate, key)) as peer:
            assert await peer.bind() == 0
        for context in (trusting(authority), trusting(authority, foreign, foreign_key)):
            # TLS 1.3 clients learn of it only when they read.
            async with connected(port, tls=context) as peer:
                with pytest.raises((trio.BrokenResourceError, AssertionError)):
                    assert await peer.bind() == 0
    logged = capfd.readouterr()
    assert "peer did not return a certificate" in logged.out + logged.err


async def test_a_certificate_can_be_tied_to_an_account(tmp_path: Path) -> None:
    customers = Authority(tmp_path, "customers")
    settings, authority = listener(tmp_path, client_ca=str(customers.file))
    mine, my_key, fingerprint = customers.issue("acme")
    other, other_key, _ = customers.issue("other")
    by_openssl = ":".join(fingerprint[at : at + 2] for at in range(0, 64, 2)).upper()
    for written in (fingerprint, by_openssl):
        document = {"account": [{**ACCOUNT, "certificate": written}]}
        data = tmp_path / written[:5]
        async with world(data, settings=settings, document=document, carriers={}) as gateway:
            port = tls_port(gateway)
            async with connected(port, tls=trusting(authority, mine, my_key)) as peer:
                assert await peer.bind() == 0
            async with connected(port, tls=trusting(authority, other, other_key)) as peer:
                assert await peer.bind() == Status.ESME_RBINDFAIL
            async with connected(gateway.port) as peer:
                assert await peer.bind() == Status.ESME_RBINDFAIL


# -- carriers -----------------------------------------------------------------------------------------


def carrier_context(certificate: str, key: str, client_ca: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.mark.parametrize("ours", [False, True], ids=["server only", "with our certificate"])
async def test_a_carrier_is_reached_over_tls(tmp_path: Path, ours: bool) -> None:
    authority = Authority(tmp_path)
    certificate, key, _ = authority.issue("carrier", host="smsc.example")
    settings: dict[str, Any] = {
        "tls": True,
        "tls_ca": str(authority.file),
        "tls_server_name": "smsc.example",
    }
    client_ca = ""
    if ours:
        mine, my_key, _ = authority.issue("us")
        client_ca = str(authority.file)
        settings |= {"tls_certificate": mine, "tls_key": my_key}
    sim = SimCarrier(ssl_context=carrier_context(certificate, key, client_ca), **UPSTREAM)
    async with (
        world(tmp_path / "data", carriers={"c": sim}, carrier=settings) as gateway,
        gateway.customer() as esme,
    ):
        (sent,) = await esme.submit("text", "8613700000001")
        await until(lambda: sent.states == ["DELIVRD"])


@pytest.mark.parametrize(
    ("host", "days", "known", "because"),
    [
        ("smsc.example", 1, True, "127.0.0.1"),
        ("127.0.0.1", -2, True, "expired"),
        ("127.0.0.1", 1, False, "unable to get local issuer certificate"),
    ],
    ids=["wrong host", "expired", "unknown authority"],
)
async def test_a_carrier_that_cannot_be_verified_is_not_bound_and_the_reason_is_said(
    tmp_path: Path, host: str, days: int, known: bool, because: str, capfd: pytest.CaptureFixture[str]
) -> None:
    authority = Authority(tmp_path)
    certificate, key, _ = authority.issue("carrier", host=host, days=days)
    trusted = authority if known else Authority(tmp_path, "another")
    settings = {"tls": True, "tls_ca": str(trusted.file)}
    async with AsyncExitStack() as stack:
        context = carrier_context(certificate, key)
        nursery = await stack.enter_async_context(trio.open_nursery())
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        binds: list[bytes] = []

        async def serve(stream: trio.SocketStream) -> None:
            secured = trio.SSLStream(stream, context, server_side=True)
            try:
                binds.append(bytes(await secured.receive_some()))
            except trio.BrokenResourceError:
                return

        nursery.start_soon(trio.serve_listeners, serve, listeners)
        document = {
            "carrier": [
                {
                    "name": "c",
                    "host": "127.0.0.1",
                    "port": port,
                    "reconnect_s_min": 0.05,
                    **UPSTREAM,
                    **settings,
                }
            ],
            "route": [{"prefix": "", "carriers": ["c"]}],
        }
        async with world(tmp_path / "data", carriers={}, document=document) as gateway:
            trouble = gateway.daemon.dialer.trouble
            await until(lambda: because in trouble.get(gateway.carrier().id, ""))
            assert "certificate" in trouble[gateway.carrier().id]
            await stays(lambda: not any(binds), 0.2)  # our password never left
        nursery.cancel_scope.cancel()
    logged = capfd.readouterr()
    text = logged.out + logged.err
    assert because in text
    assert "Traceback" not in text
    assert text.count("carrier not bound") == 1  # said once, not at every attempt


async def test_a_certificate_file_that_is_missing_is_named(tmp_path: Path) -> None:
    settings = {"tls": True, "tls_ca": str(tmp_path / "missing.pem")}
    async with world(tmp_path / "data", carrier=settings, bound=False) as gateway:
        trouble = gateway.daemon.dialer.trouble
        await until(lambda: "missing.pem" in trouble.get(gateway.carrier().id, ""))


@pytest.mark.parametrize("broken", ["certificate", "key", "client_ca"])
async def test_a_listener_whose_files_cannot_be_used_says_which_setting(tmp_path: Path, broken: str) -> None:
    settings, _ = listener(tmp_path)
    damaged = tmp_path / "damaged.pem"
    damaged.write_text("no PEM")
    tls = {name: getattr(settings.smpp.tls, name) for name in settings.smpp.tls.__struct_fields__}
    wrong = config(smpp={"tls": tls | {broken: str(damaged)}})
    with pytest.raises(StoreError, match=rf"\[smpp.tls\] .*{broken}.*damaged.pem"):
        server_context("smpp.tls", wrong.smpp.tls)
