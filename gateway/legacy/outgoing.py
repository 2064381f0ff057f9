"""Calls to URLs that customers name, through the webhooks' guarded client: each connection goes to an address that
was checked, no redirects are followed, 64 KiB of an answer are read.

Beside what a webhook needs, a call here may be a GET, and its answer's body is looked at.
"""

import ssl
from typing import TYPE_CHECKING, Any

import trio

from gateway.legacy.caller import Unheard
from gateway.legacy.calls import Call, Heard
from gateway.webhooks.client import ANSWER_OCTETS_MAX, Client, Connection, Failed, _Reader
from gateway.webhooks.resolver import Resolver
from gateway.webhooks.targets import BadUrl, Target, UrlRules, read_url

if TYPE_CHECKING:
    from gateway.core import Core

TIMEOUT_S = 30.0  # Jasmin's; Kannel's is 240 s, which is no time for a report
CALLS_MAX = 16  # at once, of one account to one scheme, host and port
IDLE_S = 60.0  # a target that is not called for so long is forgotten


class _Answer(_Reader):
    """Reads one answer with its body."""

    def __init__(self) -> None:
        super().__init__()
        self.body = bytearray()
        self.content_type = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if name.lower() == b"content-type":
            self.content_type = value

    def on_body(self, piece: bytes) -> None:
        self.body += piece


class _Talk(Connection):
    """A connection whose answers have bodies."""

    async def ask(self, request: bytes) -> Heard:
        """One request and its whole answer. Raises Failed, OSError, trio's errors of streams."""
        reader = _Answer()
        self._reader = reader
        await self._stream.send_all(request)
        while not reader.whole and reader.octets < ANSWER_OCTETS_MAX:
            if not await self._read(reader):
                if not reader.known:
                    raise Failed("The connection was closed before an answer came.")
                break
        if not reader.known:
            raise Failed(f"The head of the answer is longer than {ANSWER_OCTETS_MAX} octets.")
        self.used = True
        return Heard(reader.status, bytes(reader.body), reader.content_type.decode("latin-1"))

    @property
    def reusable(self) -> bool:
        return self._reader.whole and self._reader.keep_alive


class _Endpoint(Client):
    """What one account calls at one scheme, host and port."""

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self.room = trio.CapacityLimiter(CALLS_MAX)
        self.busy = 0
        self.called_at = 0.0

    async def fetch(self, target: Target, call: Call) -> Heard:
        """One call. Raises Failed."""
        request = head_of(target, call) + call.body
        while True:
            kept = await self._take()
            talk = kept if isinstance(kept, _Talk) else _Talk(await self._open(target))
            fresh = not talk.used
            keep = False
            try:
                heard = await talk.ask(request)
                keep = talk.reusable
                return heard
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, Failed) as error:
                if fresh:
                    raise (
                        error if isinstance(error, Failed) else Failed("The connection broke off.")
                    ) from error
                # A kept connection that its server had closed meanwhile says nothing of the receiver.
            finally:
                if keep:
                    talk.idle_since = self._now()
                    self._idle.append(talk)
                else:
                    await talk.close()


def head_of(target: Target, call: Call) -> bytes:
    """The head of a request."""
    lines = [f"{call.method} {target.resource} HTTP/1.1", f"host: {target.authority}"]
    if call.method == "POST":
        lines.append(f"content-length: {len(call.body)}")
    lines += [f"{name}: {value}" for name, value in call.headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


class Outgoing:
    """All calls of all accounts."""

    def __init__(self, core: "Core", rules: UrlRules, tls: ssl.SSLContext, resolver: Resolver) -> None:
        self._core = core
        self._rules = rules
        self._tls = tls
        self._resolver = resolver
        self._endpoints: dict[tuple[int, str], _Endpoint] = {}

    async def fetch(self, account: int, call: Call) -> Heard:
        """Make a call for an account. Raises Unheard."""
        try:
            target = read_url(call.url, self._rules)
        except BadUrl as wrong:
            raise Unheard(str(wrong)) from None
        endpoint = self._endpoint(account, target)
        endpoint.busy += 1
        try:
            async with endpoint.room:
                with trio.move_on_after(TIMEOUT_S):
                    return await endpoint.fetch(target, call)
                raise Unheard(f"No answer came within {TIMEOUT_S:g} s.")
        except Failed as failed:
            raise Unheard(failed.text) from None
        finally:
            endpoint.busy -= 1
            endpoint.called_at = self._core.clock.now()

    def _endpoint(self, account: int, target: Target) -> _Endpoint:
        key = (account, target.key)
        known = self._endpoints.get(key)
        if known is None:
            known = _Endpoint(
                account,
                self._rules,
                self._tls,
                self._resolver.resolve,
                self._core.ports.network.connect,
                self._core.clock,
            )
            self._endpoints[key] = known
        return known

    async def run(self) -> None:
        """Close what is not used any more, until cancelled."""
        try:
            while True:
                await trio.sleep(IDLE_S)
                now = self._core.clock.now()
                for key, endpoint in list(self._endpoints.items()):
                    if not endpoint.busy and now - endpoint.called_at > IDLE_S:
                        del self._endpoints[key]
                        await endpoint.close()
        finally:
            with trio.CancelScope(shield=True):
                for endpoint in self._endpoints.values():
                    await endpoint.close()
