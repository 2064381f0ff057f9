"""Control operations on webhooks of a running daemon: webhooks.list, .test, .dead, .replay."""

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.api.times import show_time
from gateway.api.webhook_shapes import ReplayIn
from gateway.api.webhooks import range_of
from gateway.control import ControlError, Handler
from gateway.webhooks.service import Webhooks
from gateway.webhooks.targets import BadUrl, shown
from store.directory import Webhook

if TYPE_CHECKING:
    from gateway.daemon import Daemon

NEWEST = (1 << 63) - 1


class WebhookLine(msgspec.Struct):
    """One endpoint, for people."""

    account: str
    name: str
    url: str  # without its query
    condition: str  # active | slow | open | paused | gone
    waiting: int
    dead_letters: int
    delivered: int
    last_error: str


class DeadLine(msgspec.Struct):
    """One dead letter, for people."""

    at: str
    kind: str
    first: int
    last: int
    events: int
    attempts: int
    error: str


def webhook_operations(daemon: "Daemon") -> dict[str, Handler]:
    """Handlers by name."""

    def service() -> Webhooks:
        if daemon.front is None:
            raise ControlError("Webhooks run beside the HTTP listener, which is off. Set http.listen.")
        return daemon.front.webhooks

    def find(params: dict[str, Any]) -> Webhook:
        account = daemon.core.accounts_by_system_id.get(str(params.get("account")))
        found = [w for w in daemon.core.directory.webhooks.values() if account and w.account == account.id]
        for webhook in found:
            if webhook.name == params.get("name"):
                return webhook
        names = ", ".join(webhook.name for webhook in found) or "none"
        raise ControlError(
            f'Account "{params.get("account")}" has no endpoint "{params.get("name")}". It has: {names}.'
        )

    async def list_all(params: dict[str, Any]) -> Any:
        webhooks, lines = service(), []
        for webhook in daemon.core.directory.webhooks.values():
            waiting, dead = await webhooks.waiting(webhook)
            endpoint = webhooks.endpoints.get(webhook.id)
            lines.append(
                WebhookLine(
                    daemon.core.accounts[webhook.account].account.system_id,
                    webhook.name,
                    shown(webhook.url) or "hosts " + " ".join(webhook.hosts),
                    endpoint.condition if endpoint else webhook.state,
                    waiting,
                    dead,
                    endpoint.counts.delivered if endpoint else 0,
                    endpoint.counts.last_error if endpoint else "",
                )
            )
        return msgspec.to_builtins(lines)

    async def test(params: dict[str, Any]) -> Any:
        try:
            return msgspec.to_builtins(await service().test(find(params)))
        except BadUrl as error:
            raise ControlError(str(error)) from error

    async def dead(params: dict[str, Any]) -> Any:
        rows = await service().dead(find(params), NEWEST, int(params.get("limit", 50)))
        return msgspec.to_builtins(
            [
                DeadLine(show_time(r.dead_at), r.kind, r.first, r.last, r.events, r.attempts, r.error)
                for r in rows
            ]
        )

    async def replay(params: dict[str, Any]) -> Any:
        webhooks, webhook = service(), find(params)
        asked = msgspec.convert(params.get("range", {}), ReplayIn, strict=False)
        first, last = range_of(asked)
        if asked.dead_letters:
            deliveries, events = await webhooks.revive(webhook, first, last)
            return {"deliveries": deliveries, "events": events, "through": last}
        deliveries, events, through = await webhooks.replay(webhook, first, last)
        return {"deliveries": deliveries, "events": events, "through": through}

    return {
        "webhooks.list": list_all,
        "webhooks.test": test,
        "webhooks.dead": dead,
        "webhooks.replay": replay,
    }
