"""All endpoints of a daemon: started, changed and stopped as the directory says; tests, replays, what they have done.

webhooks = Webhooks(daemon, ledger)
nursery.start_soon(webhooks.run)
webhooks.reconcile()                    after each change of the directory
"""

import ssl
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Literal

import msgspec
import structlog
import trio

from gateway.api import ids
from gateway.api.ledger import Ledger
from gateway.api.times import show_time
from gateway.events.seq import seq_of
from gateway.events.shapes import LoggedEvent
from gateway.links.link import reraise_store_failure
from gateway.webhooks.attempts import EVENTS_MAX, Result, active_keys, attempt, body_of
from gateway.webhooks.callbacks import rules_of
from gateway.webhooks.client import KEEP_IDLE_S, Client, client_tls
from gateway.webhooks.endpoint import Endpoint, Outside
from gateway.webhooks.resolver import Resolver
from gateway.webhooks.targets import read_url
from store import webhook_rows
from store.api_db import ApiFull
from store.directory import Webhook
from store.files import StoreError
from store.webhook_rows import DeliveryRow
from store.webhooks_edit import change_webhook, end_overlap

if TYPE_CHECKING:
    from gateway.daemon import Daemon
    from gateway.settings import Config

log = structlog.get_logger("webhooks")

SAVE_PERIOD_S = 1.0  # after a crash at most so much is posted again
UPKEEP_PERIOD_S = 600.0
RESTART_S = 30.0  # an endpoint that broke for a reason of ours begins anew after this
DEAD_LETTER_DAYS = 30
MS_A_DAY = 86_400_000
REPLAY_EVENTS_MAX = 100_000  # by one request
ACTOR = "webhooks"
_TEST_DATA = msgspec.Raw(b'{"text":"A test of this endpoint."}')


def tls_context(config: "Config") -> ssl.SSLContext:
    """TLS towards receivers. Raises StoreError with the setting whose file cannot be used."""
    try:
        return client_tls(config.webhooks.tls_ca)
    except OSError as error:
        raise StoreError(
            f"webhooks.tls_ca {config.webhooks.tls_ca} cannot be used: {error.strerror or error}. Name a PEM file."
        ) from error


NewsState = Literal["settled", "ahead", "again", "dead"]


class WebhookNews(msgspec.Struct, frozen=True):
    """How far an endpoint is with an event: nothing outstanding, not read yet, tried again at a time, given up."""

    name: str
    event: int
    state: NewsState
    attempts: int = 0
    status: int = 0
    error: str = ""
    at: int = 0


class Webhooks:
    """One for the daemon."""

    def __init__(self, daemon: "Daemon", ledger: Ledger, resolver: Resolver | None = None) -> None:
        self._daemon = daemon
        self._core = daemon.core
        self._ledger = ledger
        self.rules = rules_of(daemon.config.webhooks.allow_private, daemon.config.webhooks.ports)
        self._tls = tls_context(daemon.config)
        self.resolver = resolver or Resolver()
        self.endpoints: dict[int, Endpoint] = {}
        self._scopes: dict[int, trio.CancelScope] = {}
        self._positions: dict[int, int] = {}
        self._nursery: trio.Nursery | None = None
        self._outside = Outside(
            self._core.event_log,
            self._core.clock,
            self._core.ports.random("webhooks"),
            self.rules,
            daemon.config.webhooks.timeout_s,
            self._client,
            ledger.read,
            ledger.write,
            self._gone,
        )

    def _client(self, account: int) -> Client:
        return Client(
            account,
            self.rules,
            self._tls,
            self.resolver.resolve,
            self._core.ports.network.connect,
            self._core.clock,
        )

    async def news(self, account: int, event_id: int) -> list[WebhookNews]:
        """How far each endpoint of an account is with one of its message events."""
        found = []
        seq = seq_of(event_id)
        for endpoint in list(self.endpoints.values()):
            webhook = endpoint.webhook
            if webhook.account != account or (webhook.events and "message.status" not in webhook.events):
                continue
            rows = await self._ledger.read(partial(webhook_rows.covering, webhook.id, seq))
            if rows:
                row = rows[-1]
                state: NewsState = "dead" if row.dead_at else "again"
                at = row.dead_at or row.due_at
                found.append(
                    WebhookNews(webhook.name, event_id, state, row.attempts, row.status, row.error, at)
                )
            else:
                found.append(
                    WebhookNews(webhook.name, event_id, "settled" if seq <= endpoint.position else "ahead")
                )
        return found

    # -- running ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Raises StoreFailed when the disk does."""
        self._positions = await self._ledger.read(webhook_rows.positions)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self.reconcile()
                nursery.start_soon(self._save_positions)
                nursery.start_soon(self._upkeep)
                nursery.start_soon(self._close_idle)
        finally:
            self._nursery = None
            with trio.CancelScope(shield=True), trio.move_on_after(2):
                await self._save()

    def reconcile(self) -> None:
        """Take the endpoints as the directory has them."""
        nursery = self._nursery
        if nursery is None:
            return
        declared = self._core.directory.webhooks
        for identifier in [known for known in self.endpoints if known not in declared]:
            self._scopes.pop(identifier).cancel()
            del self.endpoints[identifier]
            self._positions.pop(identifier, None)
        for webhook in declared.values():
            endpoint = self.endpoints.get(webhook.id)
            if endpoint is None:
                # A new endpoint hears what happens from now on; what was before it can ask for (replay).
                position = self._positions.get(webhook.id, self._core.event_log.head)
                endpoint = self.endpoints[webhook.id] = Endpoint(webhook, self._outside, position)
                self._scopes[webhook.id] = trio.CancelScope()
                nursery.start_soon(self._supervise, endpoint, self._scopes[webhook.id])
            elif endpoint.webhook != webhook:
                endpoint.apply(webhook)

    async def _supervise(self, endpoint: Endpoint, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                try:
                    await endpoint.run()
                except* Exception as broken:
                    reraise_store_failure(broken)
                    log.exception("an endpoint broke", webhook=endpoint.webhook.name, exc_info=broken)
                # What was read and not settled is read again.
                endpoint = Endpoint(endpoint.webhook, self._outside, endpoint.position)
                self.endpoints[endpoint.webhook.id] = endpoint
                await trio.sleep(RESTART_S)

    async def _save_positions(self) -> None:
        while True:
            await self.remember()
            await trio.sleep(SAVE_PERIOD_S)

    async def remember(self) -> None:
        """Store how far everybody has heard. A new endpoint counts once this is done: what happens from then on
        it hears, whatever happens to the process."""
        try:
            await self._save()
        except ApiFull as full:
            log.error("positions were not stored", because=str(full))

    async def _save(self) -> None:
        moved = {e.webhook.id: e.position for e in self.endpoints.values() if e.position != e.saved}
        if moved:
            await self._ledger.write(partial(webhook_rows.save_positions, moved))
            self._positions |= moved
            for identifier, position in moved.items():
                if identifier in self.endpoints:
                    self.endpoints[identifier].saved = position

    async def _close_idle(self) -> None:
        while True:
            await trio.sleep(KEEP_IDLE_S)
            for endpoint in list(self.endpoints.values()):
                await endpoint.close_idle()

    async def _upkeep(self) -> None:
        """Forget old dead letters, what belongs to removed endpoints, and secrets whose time is over."""
        while True:
            before_ms = self._core.clock.wall_ms() - DEAD_LETTER_DAYS * MS_A_DAY
            known = frozenset(self._core.directory.webhooks)
            try:
                while await self._ledger.write(partial(webhook_rows.forget, known, before_ms)):
                    await trio.lowlevel.checkpoint()
            except ApiFull as full:
                log.error("dead letters were not removed", because=str(full))
            now_ms = self._core.clock.wall_ms()
            if any(0 < w.overlap_until <= now_ms for w in self._core.directory.webhooks.values()):
                await self._core.ports.off_loop(self._end_overlap, now_ms)
                await self._daemon.reload_directory()
            await trio.sleep(UPKEEP_PERIOD_S)

    def _end_overlap(self, now_ms: int) -> None:
        with self._daemon.configuration.writing(ACTOR) as transaction:
            end_overlap(transaction, now_ms)

    async def _gone(self, webhook: Webhook) -> None:
        """A receiver answered 410: nothing more goes there until somebody says so."""

        def stop() -> None:
            with self._daemon.configuration.writing(ACTOR) as transaction:
                change_webhook(transaction, webhook.account, webhook.id, {"state": "gone"})

        log.warning("a receiver answered 410; its endpoint is off", webhook=webhook.name)
        await self._core.ports.off_loop(stop)
        await self._daemon.reload_directory()

    # -- asked for --------------------------------------------------------------------------------

    async def test(self, webhook: Webhook) -> Result:
        """Post a `test` event now; what came of it. Raises BadUrl."""
        target = read_url(webhook.url, self.rules)
        core = self._core
        now_ms = core.clock.wall_ms()
        name = ids.show(ids.EVENT, core.ids.mint())
        event = LoggedEvent(name, 0, "test", show_time(now_ms), _TEST_DATA)
        client = self._client(webhook.account)
        try:
            return await attempt(
                client,
                target,
                active_keys(webhook, now_ms),
                name,
                body_of("test", [event]),
                core.clock,
                self._daemon.config.webhooks.timeout_s,
            )
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await client.close()

    async def revive(self, webhook: Webhook, first: int, last: int) -> tuple[int, int]:
        """Try dead letters with events in a range of seqs again, from the beginning: (deliveries, events)."""
        now_ms = self._core.clock.wall_ms()
        counts = await self._ledger.write(partial(webhook_rows.revive, webhook.id, first, last, now_ms))
        self._poke(webhook)
        return counts

    async def replay(self, webhook: Webhook, first: int, last: int) -> tuple[int, int, int]:
        """Post the events of a range of seqs again, delivered before or not.

        Returns: deliveries, events, and the seq up to which they were taken: less than `last` where there are more than
        REPLAY_EVENTS_MAX.
        """
        endpoint = self.endpoints[webhook.id]
        event_log, after, deliveries, count = self._core.event_log, first - 1, 0, 0
        last = min(last, event_log.head)
        while after < last and count < REPLAY_EVENTS_MAX:
            page = await event_log.page(webhook.account, after, EVENTS_MAX)
            some = [event for event in page.events if event.seq <= last]
            rows = endpoint.rows_of(some)
            if rows:
                await self._ledger.write(partial(webhook_rows.save_deliveries, rows))
                deliveries += len(rows)
                count += sum(row.events for row in rows)
                endpoint.poke()
            after = min(last, page.through)
        return deliveries, count, max(after, 0)

    async def dead(self, webhook: Webhook, before: int, limit: int) -> list[DeliveryRow]:
        """Dead letters, newest first."""
        return await self._ledger.read(partial(webhook_rows.dead, webhook.id, before, limit))

    async def waiting(self, webhook: Webhook) -> tuple[int, int]:
        """(deliveries that wait for another attempt, dead letters)."""
        return await self._ledger.read(partial(webhook_rows.counts, webhook.id))

    def of_account(self, account: int) -> Iterator[Webhook]:
        """An account's endpoints, the oldest first."""
        return (one for one in self._core.directory.webhooks.values() if one.account == account)

    def _poke(self, webhook: Webhook) -> None:
        endpoint = self.endpoints.get(webhook.id)
        if endpoint is not None:
            endpoint.poke()
