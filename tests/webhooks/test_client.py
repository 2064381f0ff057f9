"""The client against receivers that misbehave: it posts to checked addresses, bounds everything, and trusts nobody."""

import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.webhooks.addresses import Address, networks
from gateway.webhooks.client import ANSWER_OCTETS_MAX, Client, Failed, client_tls, retry_after_s
from gateway.webhooks.resolver import LOOKUPS_OF_ACCOUNT_MAX, NoAddress, Resolver
from gateway.webhooks.targets import UrlRules, read_url
from tests.webhooks.world import PUBLIC, TAKEN, Posted, TrioClock, World, status_line, world

URL = "http://a.example/sms"


async def post(w: World, url: str = URL, client: Client | None = None) -> int:
    answer = await (client or w.client()).post(read_url(url, w.rules), [("webhook-id", "x")], b"{}", 15.0)
    return answer.status


async def failure(w: World, url: str = URL, client: Client | None = None) -> str:
    with pytest.raises(Failed) as failed:
        await post(w, url, client)
    return failed.value.text


async def test_a_request_goes_to_the_checked_address_under_the_name(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp_path) as w:
        assert await post(w) == 204
        (posted,) = w.receiver.posted
        assert w.receiver.connected == [(PUBLIC, 80)]
        assert (posted.path, posted.headers["host"], posted.body) == ("/sms", "a.example", b"{}")
        assert posted.headers["content-length"] == "2"


async def test_a_name_that_leads_inside_is_not_connected_to(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp_path) as w:
        for address in ("127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::a00:1", "fd00:ec2::254"):
            w.names["a.example"] = [[ip_address(address)]]
            assert "leads to" in await failure(w)
        # One bad address among good ones is a trick, too.
        w.names["a.example"] = [[ip_address(PUBLIC), ip_address("10.0.0.1")]]
        assert "a private address" in await failure(w)
        assert w.receiver.connected == []


async def test_a_name_server_that_answers_differently_the_second_time_gains_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp_path) as w:
        w.names["a.example"] = [[ip_address(PUBLIC)], [ip_address("127.0.0.1")]]
        w.receiver.answers(status_line(200, connection="close"))
        client = w.client()
        assert await post(w, client=client) == 200
        # What was connected to is what was checked; the next connection is checked anew.
        assert "a loopback address" in await failure(w, client=client)
        assert w.receiver.connected == [(PUBLIC, 80)]


async def test_a_name_without_address_and_a_receiver_that_is_not_there_are_said(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp_path) as w:
        w.names["a.example"] = [[]]
        assert await failure(w) == "a.example has no address."
        w.receiver.refuses = True
        assert await failure(w, "http://b.example/") == "The connection was refused."
        w.names["c.example"] = [[ip_address(PUBLIC), ip_address("8.8.8.8")]]
        await failure(w, "http://c.example/")
        assert w.receiver.connected[-2:] == [(PUBLIC, 80), ("8.8.8.8", 80)]


async def test_connections_are_kept_and_a_stale_one_is_no_failure(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp_path) as w:
        client = w.client()
        for _ in range(5):
            assert await post(w, client=client) == 204
        assert client.connections_made == 1
        served = 0

        async def once_a_connection(posted: Posted) -> bytes:
            nonlocal served
            served += 1
            return TAKEN if served % 2 else b""  # every second request finds its connection closed

        w.receiver.answer = once_a_connection
        client = w.client()
        assert [await post(w, client=client) for _ in range(3)] == [204] * 3
        assert client.connections_made == 3
        await trio.sleep(60)
        w.receiver.answer = w.receiver.take
        assert await post(w, client=client) == 204
        assert client.connections_made == 4  # too old to be trusted


async def test_a_receiver_that_hangs_costs_fifteen_seconds(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp_path) as w:

        async def hang(posted: Posted) -> bytes:
            await trio.sleep(1e6)
            return TAKEN

        w.receiver.answer = hang
        began = trio.current_time()
        assert await failure(w) == "No answer came within 15 s."
        assert trio.current_time() - began == pytest.approx(15, abs=0.1)


@asynccontextmanager
async def raw(w: World, octets: list[bytes], pause_s: float) -> AsyncIterator[Client]:
    """A client whose receiver sends these octets with pauses, whatever it is asked."""

    async def connect(host: str, port: int) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()

        async def drip() -> None:
            try:
                await theirs.receive_some(65_536)
                for piece in octets:
                    await theirs.send_all(piece)
                    await trio.sleep(pause_s)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

        w.nursery.start_soon(drip)
        return ours

    yield Client(1, w.rules, client_tls(), w.resolve, connect, w.clock)


async def test_a_dripped_head_does_not_reset_the_clock(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp_path) as w:
        head = b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100
        async with raw(w, [head[i : i + 1] for i in range(len(head))], 1.0) as client:
            began = trio.current_time()
            assert await failure(w, client=client) == "No answer came within 15 s."
            assert trio.current_time() - began == pytest.approx(15, abs=0.1)


async def test_a_status_counts_however_its_body_drips_or_never_ends(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp_path) as w:
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n"
        async with raw(w, [head, *([b"x"] * 100)], 1.0) as client:
            began = trio.current_time()
            assert await post(w, client=client) == 200
            assert trio.current_time() - began <= 1.1
        sent = 0

        class Flood(list[bytes]):
            def __iter__(self):  # type: ignore[no-untyped-def]
                nonlocal sent
                yield head
                while True:
                    sent += 65_536
                    yield b"x" * 65_536

        async with raw(w, Flood(), 0.0) as client:
            assert await post(w, client=client) == 200
        assert sent < 40 * ANSWER_OCTETS_MAX


@pytest.mark.parametrize(
    "octets",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 twohundred OK\r\n\r\n",
        b"\x00" * 100,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
        b"",
    ],
)
async def test_what_is_no_answer_is_a_failure(
    octets: bytes, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp_path) as w, raw(w, [octets] if octets else [], 100.0) as client:
        with pytest.raises(Failed):
            await post(w, client=client)


@pytest.mark.parametrize("status", [200, 204, 299, 301, 302, 307, 308, 400, 404, 410, 500])
async def test_every_status_is_an_answer_and_no_redirect_is_followed(
    status: int, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp_path) as w:
        w.receiver.answers(status_line(status, location="http://169.254.169.254/latest"))
        assert await post(w) == status
        assert len(w.receiver.connected) == 1


async def test_an_informational_answer_is_not_the_answer(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp_path) as w:
        w.receiver.answers(
            b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
        )
        client = w.client()
        assert [await post(w, client=client) for _ in range(2)] == [202, 202]


async def test_proxies_of_the_environment_are_not_read(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    async with world(tmp_path) as w:
        assert await post(w) == 204
        assert w.receiver.connected == [(PUBLIC, 80)]


def test_retry_after_is_seconds_or_a_date_and_bounded() -> None:
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp()
    assert retry_after_s(b"120", now) == 120
    assert retry_after_s(b"Mon, 23 Nov 2026 12:02:00 GMT", now) == 120
    assert retry_after_s(b"Mon, 23 Nov 2020 12:02:00 GMT", now) == 0
    assert retry_after_s(b"99999999999999999999", now) == 86_400
    for nonsense in (b"", b"-5", b"soon", b"1e9", b"\xff"):
        assert retry_after_s(nonsense, now) == 0


# -- TLS, on real sockets -------------------------------------------------------------------------


def certificate(directory: Path, name: str, *, days: int = 1) -> Path:
    """A certificate that vouches for itself, with its key, as one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{name}-{days}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


async def over_tls(pem: Path, authorities: str, host: str = "receiver.example") -> str:
    """What a client gets over TLS from a server on loopback that shows a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)  # type: ignore[assignment,return-value]
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def serve(stream: trio.SocketStream) -> None:
        secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        try:
            await secured.receive_some(65_536)
            await secured.send_all(TAKEN)
        except trio.BrokenResourceError:
            pass
        await trio.aclose_forcefully(stream)

    async def resolve(name: str, account: int) -> list[Address]:
        return [ip_address("127.0.0.1")]

    rules = UrlRules(networks(["127.0.0.0/8"]))
    client = Client(1, rules, client_tls(authorities), resolve, trio.open_tcp_stream, TrioClock())
    port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        try:
            answer = await client.post(read_url(f"https://{host}:{port}/", rules), [], b"{}", 5.0)
            told = str(answer.status)
        except Failed as failed:
            told = failed.text
        await client.close()
        nursery.cancel_scope.cancel()
    assert names == [host]
    return told


async def test_tls_is_verified_against_the_name(tmp_path: Path) -> None:
    good = certificate(tmp_path, "receiver.example")
    assert await over_tls(good, str(good)) == "204"
    assert "certificate" in await over_tls(good, "")  # nobody vouches for it
    other = certificate(tmp_path, "other.example")
    assert "certificate" in await over_tls(other, str(other))  # another name's
    old = certificate(tmp_path, "receiver.example", days=-1)
    assert "expired" in await over_tls(old, str(old))


async def test_a_receiver_without_tls_on_a_tls_port_is_said(tmp_path: Path) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(TAKEN)

    async def resolve(name: str, account: int) -> list[Address]:
        return [ip_address("127.0.0.1")]

    rules = UrlRules(networks(["127.0.0.0/8"]))
    client = Client(1, rules, client_tls(), resolve, trio.open_tcp_stream, TrioClock())
    port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        with pytest.raises(Failed, match="TLS failed"):
            await client.post(read_url(f"https://a.example:{port}/", rules), [], b"{}", 5.0)
        nursery.cancel_scope.cancel()


# -- names ----------------------------------------------------------------------------------------


async def test_look_ups_that_never_end_hold_up_their_own_account_only() -> None:
    release = threading.Event()

    def lookup(name: str) -> list[Address]:
        if name == "slow.example":
            release.wait(10)
        return [ip_address(PUBLIC)]

    resolver = Resolver(lookup)
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(LOOKUPS_OF_ACCOUNT_MAX):

                async def ask() -> None:
                    with trio.move_on_after(0.05):
                        await resolver.resolve("slow.example", 1)

                nursery.start_soon(ask)
        with trio.move_on_after(0.05) as waited:
            await resolver.resolve("fast.example", 1)  # their threads still hold the account's places
        assert waited.cancelled_caught
        with trio.fail_after(5):
            assert await resolver.resolve("fast.example", 2) == [ip_address(PUBLIC)]
    finally:
        release.set()
    with trio.fail_after(5):
        assert await resolver.resolve("fast.example", 1) == [ip_address(PUBLIC)]


async def test_a_name_that_is_not_there_is_said() -> None:
    def lookup(name: str) -> list[Address]:
        raise NoAddress(f"{name} has no address: not known.")

    with pytest.raises(NoAddress, match="not known"):
        await Resolver(lookup).resolve("nowhere.example", 1)
    assert await Resolver(lookup).resolve("93.184.215.14", 1) == [ip_address(PUBLIC)]
