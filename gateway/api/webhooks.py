"""/v1/webhooks: endpoints of the key's account, their secrets, tests, dead letters and replays."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.api import ids
from gateway.api.invalid import Invalid, Malformed, decode, refuse
from gateway.api.keys import Identity
from gateway.api.messages import is_json, not_json
from gateway.api.parameters import Parameters, next_cursor
from gateway.api.times import milliseconds, show_time
from gateway.api.webhook_shapes import (
    DeadLetter,
    DeadLetterPage,
    ReplayIn,
    ReplayOut,
    RotateIn,
    SecretOut,
    TestedOut,
    WebhookAdded,
    WebhookChange,
    WebhookIn,
    WebhookOut,
    WebhookPage,
)
from gateway.events.seq import SEQ_MAX, seq_of
from gateway.http.messages import Request, Response
from gateway.http.problems import problem
from gateway.webhooks.service import Webhooks
from gateway.webhooks.targets import BadUrl, check_hosts, read_url
from store.directory import Webhook
from store.ids import SECOND_BITS
from store.refusals import Refused
from store.webhook_secrets import key_of, new_secret
from store.webhooks_edit import add_webhook, change_webhook, remove_webhook, rotate_secret

if TYPE_CHECKING:
    from gateway.daemon import Daemon
    from store.config_db import Writing

WEBHOOK = "whk"
OVERLAP_S_MAX = 7 * 86_400
_encode = msgspec.json.Encoder().encode
_read_in = msgspec.json.Decoder(WebhookIn)
_read_change = msgspec.json.Decoder(WebhookChange)
_read_rotate = msgspec.json.Decoder(RotateIn)
_read_replay = msgspec.json.Decoder(ReplayIn)


class WebhookRoutes:
    """The handlers."""

    def __init__(self, daemon: "Daemon", webhooks: Webhooks) -> None:
        self._daemon = daemon
        self._core = daemon.core
        self._webhooks = webhooks
        self._testing: set[int] = set()

    # -- endpoints --------------------------------------------------------------------------------

    async def add(self, request: Request) -> Response:
        """A new endpoint; its secret is in this answer only."""
        asked = self._decoded(request, _read_in)
        if isinstance(asked, Response):
            return asked
        try:
            if (asked.url is None) == (not asked.hosts):
                raise Invalid("/url", "one-of", "Give exactly one of url and hosts.")
            self._check(asked)
            secret = _secret(asked.secret)
        except Invalid as error:
            return refuse(error, request)
        account = self._account(request)
        given = {
            name: value
            for name in ("url", "hosts", "events", "concurrency")
            if (value := getattr(asked, name))
        }
        made: list[int] = []

        def write(transaction: "Writing") -> None:
            made.append(add_webhook(transaction, account, asked.name, secret, given))

        refusal = await self._write(request, write)
        if refusal is not None:
            return refusal
        webhook = self._core.directory.webhooks[made[0]]
        shown = ids.show(WEBHOOK, webhook.id).encode()
        return Response(
            201,
            _encode(WebhookAdded(await self._out(webhook), secret)),
            headers=[(b"location", b"/v1/webhooks/" + shown)],
        )

    async def list(self, request: Request) -> Response:
        """All endpoints of the account."""
        found = [await self._out(webhook) for webhook in self._webhooks.of_account(self._account(request))]
        return Response(200, _encode(WebhookPage(found)))

    async def one(self, request: Request) -> Response:
        """One endpoint, and how it is."""
        webhook = self._find(request)
        return _unknown(request) if webhook is None else Response(200, _encode(await self._out(webhook)))

    async def change(self, request: Request) -> Response:
        """Set fields of an endpoint."""
        webhook = self._find(request)
        if webhook is None:
            return _unknown(request)
        asked = self._decoded(request, _read_change)
        if isinstance(asked, Response):
            return asked
        given = {
            name: value for name in asked.__struct_fields__ if (value := getattr(asked, name)) is not None
        }
        try:
            if ("url" in given and not (webhook.url and given["url"])) or (
                "hosts" in given and (webhook.url or not given["hosts"])
            ):
                raise Invalid("/url", "one-of", "An endpoint keeps its kind: change its url, or its hosts.")
            self._check(asked)
        except Invalid as error:
            return refuse(error, request)
        call = partial(change_webhook, account=webhook.account, identifier=webhook.id, given=given)
        refusal = await self._write(request, call)
        if refusal is not None:
            return refusal
        return Response(200, _encode(await self._out(self._core.directory.webhooks[webhook.id])))

    async def remove(self, request: Request) -> Response:
        """Remove an endpoint with what waits for it; as it was."""
        webhook = self._find(request)
        if webhook is None:
            return _unknown(request)
        out = await self._out(webhook)
        call = partial(remove_webhook, account=webhook.account, identifier=webhook.id)
        refusal = await self._write(request, call)
        return refusal if refusal is not None else Response(200, _encode(out))

    async def rotate(self, request: Request) -> Response:
        """Another secret; for a while both sign."""
        webhook = self._find(request)
        if webhook is None:
            return _unknown(request)
        asked = self._decoded(request, _read_rotate)
        if isinstance(asked, Response):
            return asked
        overlap_s = asked.overlap.total_seconds()
        try:
            if not 0 <= overlap_s <= OVERLAP_S_MAX:
                raise Invalid("/overlap", "range", "The overlap is from P0D to P7D.")
            secret = _secret(asked.secret)
        except Invalid as error:
            return refuse(error, request)
        overlap_ms = round(overlap_s * 1000)
        call = partial(
            rotate_secret,
            account=webhook.account,
            identifier=webhook.id,
            secret=secret,
            overlap_ms=overlap_ms,
        )
        refusal = await self._write(request, call)
        if refusal is not None:
            return refusal
        return Response(200, _encode(SecretOut(secret, show_time(self._core.clock.wall_ms() + overlap_ms))))

    # -- deliveries -------------------------------------------------------------------------------

    async def test(self, request: Request) -> Response:
        """Post a `test` event now, once, and say what came of it."""
        webhook = self._find(request)
        if webhook is None:
            return _unknown(request)
        if not webhook.url:
            return refuse(Invalid("", "no-url", "Only an endpoint with a url can be tested."), request)
        if webhook.id in self._testing:
            return problem(
                "rate-limited",
                "A test of this endpoint is under way. Wait for its answer.",
                request,
                headers=[(b"retry-after", b"15")],
            )
        self._testing.add(webhook.id)
        try:
            result = await self._webhooks.test(webhook)
        except BadUrl as error:
            return refuse(Invalid("", "bad-url", str(error)), request)
        finally:
            self._testing.discard(webhook.id)
        tested = TestedOut(result.verdict == "taken", round(result.took_s * 1000), result.status, result.text)
        return Response(200, _encode(tested))

    async def dead_letters(self, request: Request) -> Response:
        """What could not be delivered within three days, for 30 days."""
        webhook = self._find(request)
        if webhook is None:
            return _unknown(request)
        try:
            asked = Parameters(request, ("cursor", "limit"))
            limit, before = asked.limit(), asked.cursor()
        except Invalid as error:
            return refuse(error, request)
        rows = await self._webhooks.dead(webhook, before, limit)
        data = [
            DeadLetter(
                row.id, row.kind, row.first, row.last, row.events, row.attempts, show_time(row.dead_at), row.error,
                row.status, row.url,
            )
            for row in rows
        ]  # fmt: skip
        return Response(
            200, _encode(DeadLetterPage(data, next_cursor(rows[-1].id) if len(rows) == limit else None))
        )

    async def replay(self, request: Request) -> Response:
        """Post a range again."""
        webhook = self._find(request)
        if webhook is None:
            return _unknown(request)
        asked = self._decoded(request, _read_replay)
        if isinstance(asked, Response):
            return asked
        first, last = range_of(asked)
        if first > last:
            return refuse(
                Invalid("", "range", "The range is empty: its end lies before its beginning."), request
            )
        if asked.dead_letters:
            deliveries, events = await self._webhooks.revive(webhook, first, last)
            return Response(200, _encode(ReplayOut(deliveries, events, last)))
        deliveries, events, through = await self._webhooks.replay(webhook, first, last)
        return Response(200, _encode(ReplayOut(deliveries, events, through)))

    # -- helpers ----------------------------------------------------------------------------------

    def _account(self, request: Request) -> int:
        identity: Identity = request.context
        return identity.account.id

    def _find(self, request: Request) -> Webhook | None:
        webhook = self._core.directory.webhooks.get(ids.read(WEBHOOK, request.params["id"]))
        return webhook if webhook is not None and webhook.account == self._account(request) else None

    def _decoded(self, request: Request, decoder: "msgspec.json.Decoder[Any]") -> Any:
        if not is_json(request):
            return not_json(request)
        try:
            return decode(decoder, request.body)
        except (Invalid, Malformed) as error:
            return refuse(error, request)

    def _check(self, asked: WebhookIn | WebhookChange) -> None:
        """Raises Invalid for a URL or hosts that cannot be used."""
        try:
            if asked.url:
                read_url(asked.url, self._webhooks.rules)
        except BadUrl as error:
            raise Invalid("/url", "bad-url", str(error)) from None
        try:
            check_hosts(asked.hosts or ())
        except BadUrl as error:
            raise Invalid("/hosts", "bad-host", str(error)) from None

    async def _write(self, request: Request, call: "Callable[[Writing], object]") -> Response | None:
        """Change config.db and go by it; the refusal where that is against a rule."""
        identity: Identity = request.context
        configuration = self._daemon.configuration

        def write() -> None:
            with configuration.writing(f"api:{identity.key.hint}") as transaction:
                call(transaction)

        try:
            await self._core.ports.off_loop(write)
        except Refused as refused:
            pointer = "/name" if refused.code == "webhook-taken" else ""
            return refuse(Invalid(pointer, refused.code, str(refused)), request)
        await self._daemon.reload_directory()
        return None

    async def _out(self, webhook: Webhook) -> WebhookOut:
        endpoint = self._webhooks.endpoints.get(webhook.id)
        waiting, dead = await self._webhooks.waiting(webhook)
        out = WebhookOut(
            ids.show(WEBHOOK, webhook.id),
            webhook.name,
            webhook.state,
            webhook.concurrency,
            endpoint.circuit if endpoint else "closed",
            waiting,
            dead,
            endpoint.position if endpoint else 0,
            webhook.url,
            [*webhook.hosts],
            [*webhook.events],
        )
        if endpoint is not None:
            counts = endpoint.counts
            out.delivered, out.last_error = counts.delivered, counts.last_error
            if counts.last_success_at:
                out.last_success_at = show_time(counts.last_success_at)
            if counts.last_failure_at:
                out.last_failure_at = show_time(counts.last_failure_at)
        return out


def range_of(asked: ReplayIn) -> tuple[int, int]:
    """The seqs, first and last, that a replay means."""
    first, last = asked.first or 0, SEQ_MAX if asked.last is None else asked.last
    if asked.since is not None:
        first = max(first, seq_of(max(0, milliseconds(asked.since) // 1000) << SECOND_BITS))
    if asked.until is not None:
        last = min(last, seq_of(max(0, milliseconds(asked.until) // 1000) << SECOND_BITS))
    return first, last


def _secret(given: str | None) -> str:
    if given is None:
        return new_secret()
    try:
        key_of(given)
    except ValueError as error:
        raise Invalid("/secret", "bad-secret", f"{str(error)[0].upper()}{str(error)[1:]}.") from None
    return given


def _unknown(request: Request) -> Response:
    return problem("not-found", "There is no such endpoint of this account.", request)
