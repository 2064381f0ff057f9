"""Kannel's bearerbox and smsbox as customers, and the little web server that their receipts are told to."""

import contextlib
import random
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import urlopen

import trio

from .packages import program
from .world import World

STARTING_S_MAX = 30.0
STARTS_MAX = 3
ENDING_S_MAX = 15.0
PORTS = (20_000, 32_000)
REQUEST_S_MAX = 30.0
# The kinds of receipts that a dlr-mask asks for.
DELIVERED, FAILED, BUFFERED, ACCEPTED, REFUSED, EXPIRED = 1, 2, 4, 8, 16, 32
LIFE = [ACCEPTED, REFUSED, BUFFERED, DELIVERED, FAILED, FAILED | EXPIRED]


class WebServer:
    """Remembers what was asked of it: (path, query) in order."""

    def __init__(self) -> None:
        asked: list[tuple[str, dict[str, bytes]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                # Latin-1 keeps octets as they are: texts come in whatever alphabet the message had.
                query = parse_qs(parts.query, keep_blank_values=True, encoding="latin-1")
                asked.append(
                    (parts.path, {key: values[0].encode("latin-1") for key, values in query.items()})
                )
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"OK")

            def log_message(self, *_: Any) -> None:
                pass

        self.asked = asked
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def of(self, path: str) -> list[dict[str, bytes]]:
        return [query for asked, query in self.asked if asked == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Kannel:
    """A running bearerbox with its smsbox."""

    def __init__(self, web: WebServer, sendsms_port: int, folder: Path) -> None:
        self.web = web
        self.sendsms_port = sendsms_port
        self._sendsms = f"http://127.0.0.1:{sendsms_port}/cgi-bin/sendsms"
        self._folder = folder

    @property
    def log(self) -> str:
        return (self._folder / "bearerbox.log").read_text(encoding="utf-8", errors="replace")

    async def send(self, sender: str, to: str, text: str | bytes, *, mask: int = 31, **more: Any) -> str:
        """`sendsms`; what smsbox answered. Receipts are told to /dlr with the number as their tag."""
        tag = to
        # Each escape is smsbox's: the kind of receipt, its text, the id of the message centre, the bind.
        dlr_url = f"http://127.0.0.1:{self.web.port}/dlr?tag={tag}&type=%d&text=%A&fid=%F&smsc=%i"
        query = {
            "username": "tester",
            "password": "tester",
            "smsc": "sluice",
            "from": sender,
            "to": to,
            "text": text,
            **({"dlr-mask": mask, "dlr-url": dlr_url} if mask else {}),
            **more,
        }
        if isinstance(text, str):
            query |= {"charset": "UTF-8"}
            if any(ord(character) > 0x7F and character not in "€£¥" for character in text):
                query |= {"coding": 2}
        url = f"{self._sendsms}?{urlencode(query)}"

        def ask() -> str:
            with urlopen(url, timeout=REQUEST_S_MAX) as answer:
                said: bytes = answer.read()
                return said.decode()

        return await trio.to_thread.run_sync(ask)

    def receipts(self, tag: str) -> list[dict[str, bytes]]:
        return [query for query in self.web.of("/dlr") if query["tag"] == tag.encode()]

    def kinds(self, tag: str) -> list[int]:
        """The kinds of a message's receipts so far, in the order of its life: smsbox tells each on a connection of
        its own, and one may overtake the other."""
        return sorted((int(query["type"]) for query in self.receipts(tag)), key=LIFE.index)

    def receipt(self, tag: str, kind: int) -> dict[str, bytes]:
        """What the one receipt of this kind said."""
        (found,) = [query for query in self.receipts(tag) if int(query["type"]) == kind]
        return found


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now, below those that the system gives to others: Kannel cannot be told to pick."""
    found: list[int] = []
    while len(found) < count:
        port = random.randint(*PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found


def group(name: str, **settings: Any) -> str:
    """One group of a Kannel configuration file."""
    lines = [f"group = {name}"]
    for key, value in settings.items():
        shown = str(value).lower() if isinstance(value, bool | int) else f'"{value}"'
        lines.append(f"{key.replace('_', '-')} = {shown}")
    return "\n".join(lines) + "\n"


def smsc(world: World, **settings: Any) -> str:
    """An smsc group that binds to the gateway as the world's account; `receive_port` instead of `port` binds
    a receiver."""
    where = {} if "receive_port" in settings else {"port": world.port}
    return group(
        "smsc",
        **{
            "smsc": "smpp",
            "smsc_id": "sluice",
            "host": "127.0.0.1",
            **where,
            "transceiver_mode": True,
            "smsc_username": world.system_id,
            "smsc_password": world.password,
            "system_type": "",
            "reconnect_delay": 1,
            "source_addr_ton": 1,
            "source_addr_npi": 1,
            "dest_addr_ton": 1,
            "dest_addr_npi": 1,
            **settings,
        },
    )


@contextmanager
def web_server() -> Iterator[WebServer]:
    server = WebServer()
    try:
        yield server
    finally:
        server.close()


class Taken(Exception):
    """A box ended instead of listening: somebody was quicker to take its port."""


@asynccontextmanager
async def kannel(folder: Path, *smscs: str) -> AsyncIterator[Kannel]:
    """Both boxes with these smsc groups, running; ended with SIGTERM."""
    boxes = program("bearerbox", "kannel"), program("smsbox", "kannel")
    with web_server() as web:
        for attempt in range(STARTS_MAX):
            ports = free_ports(3)
            path = folder / "kannel.conf"
            path.write_text(configuration(folder, web, ports, smscs), encoding="utf-8")
            async with AsyncExitStack() as stack:
                try:
                    for box, port in zip(boxes, ports[1:], strict=True):
                        process = await stack.enter_async_context(_running(box, path))
                        await _until_listens(process, port)
                except Taken:
                    if attempt == STARTS_MAX - 1:
                        raise
                    continue
                yield Kannel(web, ports[2], folder)
                return


def configuration(folder: Path, web: WebServer, ports: list[int], smscs: tuple[str, ...]) -> str:
    """A configuration of both boxes: admin port, the port between them, and smsbox's for `sendsms`."""
    told = f"http://127.0.0.1:{web.port}/mo?from=%p&to=%P&text=%b&coding=%c&udh=%u&charset=%C"
    core = group(
        "core",
        admin_port=ports[0],
        admin_interface="127.0.0.1",
        admin_password="admin",
        smsbox_port=ports[1],
        smsbox_interface="127.0.0.1",
        box_allow_ip="127.0.0.1",
        dlr_storage="internal",
        sms_resend_freq=1,
        log_file=str(folder / "bearerbox.log"),
        log_level=0,
    )
    smsbox = group(
        "smsbox",
        bearerbox_host="127.0.0.1",
        sendsms_port=ports[2],
        sendsms_interface="127.0.0.1",
        log_file=str(folder / "smsbox.log"),
        log_level=0,
    )
    user = group("sendsms-user", username="tester", password="tester", max_messages=10, concatenation=True)
    service = group("sms-service", keyword="default", catch_all=True, max_messages=0, get_url=told)
    return "\n".join((core, *smscs, smsbox, user, service))


@asynccontextmanager
async def _running(box: str, configuration: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [box, "-v", "4", str(configuration)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=configuration.parent,
    )
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            process.terminate()
            try:
                await trio.to_thread.run_sync(process.wait, ENDING_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _until_listens(process: subprocess.Popen[bytes], port: int) -> None:
    with trio.fail_after(STARTING_S_MAX):
        while process.poll() is None:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                await trio.sleep(0.02)
            else:
                await stream.aclose()
                return
    raise Taken(f"{process.args} ended with code {process.returncode}")
