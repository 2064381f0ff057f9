"""Calls to URLs that customers name, through the webhooks' guarded client: each connection goes to an address that
was checked, no redirects are followed, 64 KiB of an answer are read.

Beside what a webhook needs, a call here may be a GET, and its answer's body is looked at.
"""

import ssl
from typing import TYPE_CHECKING

import trio

from gateway.legacy.caller import Unheard
from gateway.legacy.calls import Call, Heard
from gateway.webhooks.client import Client, Failed
from gateway.webhooks.resolver import Resolver
from gateway.webhooks.targets import BadUrl, Target, UrlRules, read_url

if TYPE_CHECKING:
    from gateway.core import Core

TIMEOUT_S = 30.0  # Jasmin's; Kannel's is 240 s, which is no time for a report
CALLS_MAX = 16  # at once, of one account to one scheme, host and port
IDLE_S = 60.0  # a target that is not called for so long is forgotten


class _Endpoint:
    """What one account calls at one scheme, host and port."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.room = trio.CapacityLimiter(CALLS_MAX)
        self.busy = 0
        self.called_at = 0.0


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
                    answer = await endpoint.client.fetch(target, head_of(target, call) + call.body)
                    return Heard(answer.status, answer.body, answer.content_type)
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
            core = self._core
            known = _Endpoint(
                Client(
                    account,
                    self._rules,
                    self._tls,
                    self._resolver.resolve,
                    core.ports.network.connect,
                    core.clock,
                )
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
                        await endpoint.client.close()
        finally:
            with trio.CancelScope(shield=True):
                for endpoint in self._endpoints.values():
                    await endpoint.client.close()
