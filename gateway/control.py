"""`control.sock`: how commands reach the running daemon. Lines of JSON on a unix socket of mode 0600.

    request   {"op": "message", "params": {"id": "…"}}
    response  {"item": …}*  then  {"result": …}  or  {"error": "sentences", "kind": "refused"}

One request a connection. Who may open the socket may do everything, so the socket lies in the data directory
(mode 0700) and the peer's uid, which the kernel vouches for, becomes the actor of the audit log: `actor()`.
The server runs on trio; `ControlClient` is synchronous, for the command line.
"""

import os
import pwd
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec
import structlog
import trio

from store.files import StoreError

SOCKET_FILE = "control.sock"
REQUEST_OCTETS_MAX = 134_217_728  # a document with several million numbers; see [limits] control_octets_max
RESPONSE_OCTETS_MAX = 67_108_864  # one line of an answer, at the client
CONNECTIONS_MAX = 32
REQUEST_S_MAX = 60.0  # a request must be whole by then
WRITE_S_MAX = 60.0  # a client that reads nothing for this long is cut
DECODE_ON_THREAD_FROM = 262_144  # octets: decoding this much JSON takes some milliseconds
SUN_PATH_MAX = 100  # sockaddr_un takes 108 octets with its NUL

Handler = Callable[[dict[str, Any]], Awaitable[Any]]

_actor: ContextVar[str] = ContextVar("control_actor", default="gateway")
_log = structlog.get_logger()


class ControlError(Exception):
    """An operation was refused. The text goes to the person; `kind` is "refused", "usage" or "internal"."""

    def __init__(self, text: str, *, kind: str = "refused") -> None:
        super().__init__(text)
        self.kind = kind


class ControlUnavailable(Exception):
    """No daemon answers on the socket."""


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What a client asks for."""

    op: str
    params: dict[str, Any] = {}


_decode_request = msgspec.json.Decoder(Request).decode


def actor() -> str:
    """Who sent the request being handled, for the audit log: `cli:LOGIN`."""
    return _actor.get()


class ControlServer:
    """Answers requests by name. A handler takes the parameters and gives a result, or an async iterator.

    Items of an async iterator are sent as they come, each on a line of its own. A handler raises ControlError
    to refuse; any other exception is logged and answered as an internal error, and the server lives on.
    """

    def __init__(
        self, operations: Mapping[str, Handler], *, request_octets_max: int = REQUEST_OCTETS_MAX
    ) -> None:
        self.operations = dict(operations)
        self._request_octets_max = request_octets_max
        self._slots = trio.CapacityLimiter(CONNECTIONS_MAX)

    async def serve(
        self, path: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen until cancelled. The caller holds the data directory's lock: an old socket is removed."""
        listener = trio.socket.from_stdlib_socket(_bound(path))
        try:
            listener.listen(CONNECTIONS_MAX)
            task_status.started()
            await trio.serve_listeners(self._answer, [trio.SocketListener(listener)])
        finally:
            listener.close()
            _remove(path)

    async def _answer(self, stream: trio.SocketStream) -> None:
        """One connection: one request, its answer."""
        async with self._slots, stream:
            try:
                try:
                    await self._request(stream)
                except ControlError as error:
                    await _send(stream, {"error": str(error), "kind": error.kind})
            except trio.BrokenResourceError:
                _log.debug("A control client went away before it had its answer.")

    async def _request(self, stream: trio.SocketStream) -> None:
        with trio.move_on_after(REQUEST_S_MAX) as scope:
            line = await self._line(stream)
        if scope.cancelled_caught:
            raise ControlError("The request did not arrive in time.", kind="usage")
        if line is None:
            return
        request = await _decoded(line)
        _actor.set(f"cli:{_peer_name(stream.socket)}")
        handler = self.operations.get(request.op)
        if handler is None:
            known = ", ".join(sorted(self.operations))
            raise ControlError(
                f'This daemon has no operation "{request.op}". It has: {known}.'
                " Use the `sluice` command of the same version.",
                kind="usage",
            )
        await self._respond(stream, request, handler)

    async def _respond(self, stream: trio.SocketStream, request: Request, handler: Handler) -> None:
        try:
            result = await handler(request.params)
            if isinstance(result, AsyncIterator):
                try:
                    async for item in result:
                        await _send(stream, {"item": item})
                finally:
                    close = getattr(result, "aclose", None)
                    if close is not None:
                        await close()
                result = None
        except (ControlError, trio.BrokenResourceError):
            raise
        except StoreError as error:
            raise ControlError(str(error)) from error
        except Exception as error:
            _log.error("A control operation failed.", operation=request.op, exc_info=error)
            raise ControlError(
                f'"{request.op}" failed inside the daemon ({type(error).__name__}). Its log says more.',
                kind="internal",
            ) from error
        await _send(stream, {"result": result})

    async def _line(self, stream: trio.SocketStream) -> bytes | None:
        buffer = bytearray()
        received = 0
        while True:
            chunk = await stream.receive_some(262_144)
            if not chunk:
                return None
            received += len(chunk)
            # What is too long is read to its end and thrown away: closing on unread octets would reset the
            # connection, and the client would never see why.
            if received <= self._request_octets_max:
                buffer += chunk
            if chunk.endswith(b"\n"):
                break
        if received > self._request_octets_max:
            raise ControlError(
                f"The request is longer than {self._request_octets_max} octets."
                " Apply it in smaller documents, or raise limits.control_octets_max.",
                kind="usage",
            )
        return bytes(buffer)


class ControlClient:
    """Asks a running daemon, from a program without an event loop."""

    def __init__(self, data: Path, *, timeout_s: float = 600.0) -> None:
        self._path = data / SOCKET_FILE
        self._timeout_s = timeout_s

    def call(self, op: str, **params: Any) -> Any:
        """The result of an operation; for one that streams, the list of its items.

        Raises:
          ControlUnavailable: no daemon runs on this data directory.
          ControlError: the operation was refused or failed.
        """
        items: list[Any] = []
        for kind, value in self._exchange(op, params):
            if kind == "result":
                return items or value
            items.append(value)
        return items

    def stream(self, op: str, **params: Any) -> Iterator[Any]:
        """The items of an operation as they come. Raises as `call` does."""
        for kind, value in self._exchange(op, params):
            if kind == "item":
                yield value

    def _exchange(self, op: str, params: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._timeout_s)
            try:
                with _address(self._path) as address:
                    connection.connect(address)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                raise ControlUnavailable(f"No daemon answers on {self._path}.") from error
            except PermissionError as error:
                raise ControlError(
                    f"You may not use {self._path}. Run the command as the daemon's user.", kind="usage"
                ) from error
            try:
                connection.sendall(msgspec.json.encode(Request(op, params)) + b"\n")
                with connection.makefile("rb") as lines:
                    while line := lines.readline(RESPONSE_OCTETS_MAX):
                        answer = msgspec.json.decode(line)
                        if "error" in answer:
                            raise ControlError(answer["error"], kind=answer.get("kind", "refused"))
                        if "result" in answer:
                            yield "result", answer["result"]
                            return
                        yield "item", answer["item"]
            except TimeoutError as error:
                raise ControlError(
                    f"The daemon did not answer within {self._timeout_s:g} s. It may still do what was asked."
                ) from error
            except (ConnectionError, msgspec.DecodeError) as error:
                raise ControlError(
                    "The daemon closed the connection before it had answered. See its log."
                ) from error
            raise ControlError("The daemon closed the connection before it had answered. See its log.")


async def _decoded(line: bytes) -> Request:
    try:
        if len(line) < DECODE_ON_THREAD_FROM:
            return _decode_request(line)
        return await trio.to_thread.run_sync(_decode_request, line)
    except msgspec.DecodeError as error:
        raise ControlError(f"The request is not what this daemon reads: {error}.", kind="usage") from error


async def _send(stream: trio.SocketStream, answer: dict[str, Any]) -> None:
    with trio.move_on_after(WRITE_S_MAX) as scope:
        await stream.send_all(msgspec.json.encode(answer) + b"\n")
    if scope.cancelled_caught:
        raise trio.BrokenResourceError


def _peer_name(connection: trio.socket.SocketType) -> str:
    # struct ucred: pid, uid, gid. Linux; elsewhere whoever opened the socket is our own user (mode 0600).
    if not hasattr(socket, "SO_PEERCRED"):
        uid = os.getuid()
    else:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        uid = struct.unpack("3i", credentials)[1]
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _bound(path: Path) -> socket.socket:
    """A socket bound to the path, mode 0600; nobody can connect before it listens."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(path) as address:
            listener.bind(address)
        path.chmod(0o600)
    except OSError:
        listener.close()
        raise
    return listener


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The socket's address; one too long for `sockaddr_un` goes by way of its open directory."""
    if len(os.fsencode(path)) <= SUN_PATH_MAX:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
