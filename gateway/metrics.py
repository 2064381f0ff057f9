"""`/metrics` in Prometheus' text format, and the path of `/healthz`: read from the daemon's own counters when asked.

Nothing here runs on a message's way. Names carry their unit; labels are carriers, binds, reasons and, where
the operator wants it, accounts by system_id: never a number, never a text.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from filters.verdict import name_of
from gateway.health import Health
from gateway.http.messages import JSON, Request, Response
from gateway.http.routes import Admit, Route
from gateway.http.server import HttpServer
from gateway.latency import Latencies, Latency
from gateway.links.carrier import CarrierLink

if TYPE_CHECKING:
    from gateway.core import Core
    from gateway.daemon import Daemon
    from gateway.legacy.front import LegacyFront

LIMITED_BY = ("nothing to send", "paused", "throttled by the carrier", "bind", "window", "rate")
QUANTILES = (0.5, 0.9, 0.99, 1.0)


def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"sluice_{name}", text, labels=labels)


def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> CounterMetricFamily:
    return CounterMetricFamily(f"sluice_{name}", text, labels=labels)


def single(
    make: Callable[[str, str], GaugeMetricFamily | CounterMetricFamily], name: str, text: str, value: float
) -> Metric:
    """A family of one sample without labels."""
    family = make(name, text)
    family.add_metric((), value)
    return family


def histogram(name: str, text: str, latency: Latency) -> HistogramMetricFamily:
    """A latency's buckets, in seconds as Prometheus wants them."""
    family = HistogramMetricFamily(f"sluice_{name}_seconds", text)
    seen = 0
    buckets = []
    for bound, count in zip((*latency.bounds_ms, float("inf")), latency.counts, strict=True):
        seen += count
        buckets.append(("+Inf" if bound == float("inf") else repr(bound / 1000), seen))
    family.add_metric((), buckets, latency.sum_ms / 1000)
    return family


class DaemonCollector(Collector):
    """Reads the daemon when Prometheus asks."""

    def __init__(
        self,
        daemon: "Daemon",
        *,
        latencies: Latencies | None = None,
        http: HttpServer | None = None,
        by_account: bool = False,
    ) -> None:
        self._daemon = daemon
        self._core: Core = daemon.core
        self._latencies = latencies
        self._http = http
        self._by_account = by_account

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read the daemon."""
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._carriers()
        yield from self._binds()
        yield from self._accounts()
        yield from self._commits()
        yield from self._receipts()
        yield from self._daemon_itself()
        yield from self._webhooks()
        if self._daemon.legacy is not None:
            yield from self._legacy(self._daemon.legacy)
        if self._http is not None:
            yield from self._http_server(self._http)
        if self._latencies is not None:
            yield histogram("accept", "submit_sm read to its response.", self._latencies.accept)
            yield histogram("http_accept", "POST of a message read to its 202.", self._latencies.http)
            yield histogram(
                "receipt", "Receipt read to the customer's acknowledgement.", self._latencies.receipt
            )

    def _webhooks(self) -> Iterator[Metric]:
        front = self._daemon.front
        endpoints = list(front.webhooks.endpoints.values()) if front is not None else []
        states = gauge("webhook_endpoints", "Endpoints, by what holds them.", ("state",))
        for state in ("active", "slow", "open", "paused", "gone"):
            states.add_metric((state,), sum(endpoint.condition == state for endpoint in endpoints))
        yield states
        requests = counter("webhook_requests", "Requests to receivers.", ("result",))
        failed = sum(endpoint.counts.failed for endpoint in endpoints)
        requests.add_metric(("taken",), sum(endpoint.counts.requests for endpoint in endpoints) - failed)
        requests.add_metric(("failed",), failed)
        yield requests
        for name, text, field in (
            ("events_delivered", "Events that receivers took.", "delivered"),
            ("dead_letters", "Deliveries that were given up.", "dead"),
        ):
            total = sum(getattr(endpoint.counts, field) for endpoint in endpoints)
            yield single(counter, f"webhook_{name}", text, total)

    # -- carriers ---------------------------------------------------------------------------------

    def _carriers(self) -> Iterator[Metric]:
        one = ("carrier",)
        up = gauge("carrier_up", "1 while a bind can send.", one)
        limited = gauge("carrier_limited_by", "1 for what holds the carrier back now.", ("carrier", "by"))
        queue = gauge("carrier_queue_parts", "Parts that wait in memory.", one)
        factor = gauge("carrier_adaptive_factor", "Share of its rate used since it throttled us.", one)
        rate = gauge("carrier_rate_parts_per_second", "Parts accepted in the last second.", one)
        rate_max = gauge("carrier_rate_max_parts_per_second", "The pace now; 0 is no limit.", one)
        open_ids = gauge("carrier_correlation_entries", "Carrier message ids in memory, no receipt yet.", one)
        sent = counter("carrier_parts_sent", "submit_sm written.", one)
        accepted = counter("carrier_parts_accepted", "submit_sm answered with ESME_ROK.", one)
        refused = counter("carrier_parts_refused", "submit_sm answered otherwise.", ("carrier", "status"))
        throttled = counter("carrier_throttled", "Answers that asked us to slow down.", one)
        doubles = counter("carrier_maybe_duplicates", "Parts whose outcome was unknown.", one)
        receipts = counter("carrier_receipts", "Delivery receipts read.", one)
        for state in self._core.carriers.values():
            name = state.carrier.name
            up.add_metric((name,), state.up)
            for by in LIMITED_BY:
                limited.add_metric((name, by), state.limited_by == by)
            queue.add_metric((name,), state.queue.length)
            factor.add_metric((name,), state.adaptive.factor)
            rate.add_metric((name,), state.accepted_rate)
            rate_max.add_metric((name,), state.pacer.rate)
            open_ids.add_metric((name,), len(state.correlation.live))
            sent.add_metric((name,), state.sent)
            accepted.add_metric((name,), state.accepted)
            for status, count in state.refused.items():
                refused.add_metric((name, name_of(status)), count)
            throttled.add_metric((name,), state.throttled)
            doubles.add_metric((name,), state.maybe_duplicates)
            receipts.add_metric((name,), state.receipts)
        yield from (up, limited, queue, factor, rate, rate_max, open_ids)
        yield from (sent, accepted, refused, throttled, doubles, receipts)

    def _binds(self) -> Iterator[Metric]:
        labels = ("carrier", "bind")
        used = gauge("bind_window_used", "Unanswered submit_sm.", labels)
        most = gauge("bind_window_max", "Unanswered submit_sm allowed.", labels)
        states = gauge("bind_state", "1 for the state of the bind.", (*labels, "state"))
        for state in self._core.carriers.values():
            # Numbered within the carrier: the daemon's own numbers grow with every reconnection.
            for number, bind in enumerate(sorted(state.binds, key=lambda bind: bind.number), 1):
                if isinstance(bind, CarrierLink):
                    key = (state.carrier.name, str(number))
                    used.add_metric(key, bind.session.window_used)
                    most.add_metric(key, bind.session.window_max)
                    states.add_metric((*key, bind.session.state.value), 1)
        yield from (used, most, states)

    # -- accounts ---------------------------------------------------------------------------------

    def _accounts(self) -> Iterator[Metric]:
        label = ("system_id",) if self._by_account else ()
        accepted = counter("accounts_accepted", "Messages accepted.", label)
        refused = counter("accounts_refused", "Messages refused.", (*label, "reason"))
        waiting = gauge("accounts_events_waiting", "Receipts and MO in memory, not delivered.", label)
        delivered = counter("accounts_events_delivered", "Receipts and MO answered by customers.", label)
        binds = gauge("accounts_binds", "Bound sessions of customers.", label)
        totals: dict[tuple[str, ...], list[int]] = {} if self._by_account else {(): [0, 0, 0, 0]}
        refusals: dict[tuple[str, ...], int] = {}
        for state in self._core.accounts.values():
            key: tuple[str, ...] = (state.account.system_id,) if self._by_account else ()
            row = totals.setdefault(key, [0, 0, 0, 0])
            row[0] += state.accepted
            row[1] += state.outbox.waiting()
            row[2] += state.delivered
            row[3] += len(state.binds)
            for reason, count in state.refused.items():
                at = (*key, name_of(reason))
                refusals[at] = refusals.get(at, 0) + count
        for labels, row in totals.items():
            accepted.add_metric(labels, row[0])
            waiting.add_metric(labels, row[1])
            delivered.add_metric(labels, row[2])
            binds.add_metric(labels, row[3])
        for at, count in refusals.items():
            refused.add_metric(at, count)
        yield from (accepted, refused, waiting, delivered, binds)

    # -- the store, receipts, the daemon ----------------------------------------------------------

    def _commits(self) -> Iterator[Metric]:
        committer = self._core.committer
        figures = committer.statistics()
        yield single(counter, "commit_rounds", "Commit rounds made durable.", figures.rounds)
        yield single(counter, "commit_parts", "Parts stored by them.", figures.parts)
        yield single(counter, "commit_rounds_refused", "Rounds refused, disk full.", figures.refused_rounds)
        yield single(gauge, "commit_waiting", "Changes waiting for a round.", figures.waiting_changes)
        times = sorted(committer.commit_s)
        took = gauge("commit_seconds", f"Time of the last {committer.commit_s.maxlen} rounds.", ("quantile",))
        for quantile in QUANTILES:
            if times:
                took.add_metric((repr(quantile),), times[min(len(times) - 1, int(quantile * len(times)))])
        yield took
        yield single(
            gauge, "disk_ok", "1: room enough; 0.5: low, no new messages; 0: nothing is sent.",
            {"ok": 1.0, "low": 0.5}.get(self._core.disk, 0.0),
        )  # fmt: skip

    def _receipts(self) -> Iterator[Metric]:
        core = self._core
        parked = {entry.id for waiting in core.outcomes.parked.values() for entry, _ in waiting}
        yield single(gauge, "receipts_parked", "Receipts that match nothing yet.", len(parked))
        yield single(
            counter, "receipts_unmatched", "Receipts that matched nothing when they came.",
            core.outcomes.unmatched_receipts,
        )  # fmt: skip
        yield single(
            counter, "receipts_duplicate", "Receipts of parts that were final already.",
            core.outcomes.duplicate_receipts,
        )  # fmt: skip
        yield single(gauge, "split_messages_open", "Messages of several parts, some final.", len(core.splits))
        yield single(counter, "inbound_segments", "MO segments read.", core.inbound.received)
        yield single(counter, "inbound_unowned", "MO to numbers that nobody owns.", core.inbound.unowned)

    def _daemon_itself(self) -> Iterator[Metric]:
        server = self._daemon.server
        yield single(gauge, "smpp_connections", "SMPP connections of customers.", server.connections)
        yield single(gauge, "smpp_connections_unbound", "Of these, not bound yet.", server.unbound)
        yield single(counter, "smpp_connections_refused", "Connections closed at once.", server.refused)
        yield single(gauge, "draining", "1 while the daemon ends.", self._core.draining)

    def _legacy(self, legacy: "LegacyFront") -> Iterator[Metric]:
        answers = counter(
            "legacy_responses", "Responses in Kannel's and Jasmin's form.", ("listener", "route", "status")
        )
        for name, server in legacy.servers.items():
            for (template, status), count in server.answers.items():
                answers.add_metric((name, template, str(status)), count)
        yield answers
        yield single(
            counter, "legacy_logins_refused", "Requests whose name and password were not right.",
            legacy.credentials.refused,
        )  # fmt: skip
        caller = legacy.caller
        calls = counter("callbacks", "Reports and MO told to a URL, or given up.", ("style", "outcome"))
        tries = counter("callback_retries", "Further tries of a report or MO.", ("style",))
        for style in caller.told:
            calls.add_metric((style, "told"), caller.told[style])
            calls.add_metric((style, "given up"), caller.given_up[style])
            tries.add_metric((style,), caller.retried[style])
        yield from (calls, tries)
        yield single(gauge, "callbacks_waiting", "Reports and MO not told yet.", caller.waiting)
        yield single(counter, "callback_replies", "Answers to MO that were sent back.", caller.replies)

    def _http_server(self, http: HttpServer) -> Iterator[Metric]:
        yield single(gauge, "http_connections", "HTTP connections.", len(http.connections))
        yield single(counter, "http_connections_accepted", "HTTP connections taken.", http.accepted)
        yield single(counter, "http_connections_refused", "Over the bound of an address.", http.refused)
        yield single(counter, "http_connections_timed_out", "Cut off for being slow or idle.", http.timed_out)
        answers = counter("http_responses", "HTTP responses.", ("route", "status"))
        for (template, status), count in http.answers.items():
            answers.add_metric((template, str(status)), count)
        yield answers
        front = self._daemon.front
        if front is not None:
            listening = gauge("http_listeners", "Open WebSockets, event streams and long polls.", ("kind",))
            told = counter("http_events_sent", "Events of accounts' logs that were sent.", ("kind",))
            for kind in ("poll", "sse", "websocket"):
                listening.add_metric((kind,), front.streams.open[kind])
                told.add_metric((kind,), front.streams.sent[kind])
            yield from (listening, told)


# -- routes ---------------------------------------------------------------------------------------


class Monitoring:
    """The two paths. `/healthz` is open to all: it names nobody.

    Args:
      admit: who may read /metrics; None: everybody.
      by_account: a label for each account's system_id; without it accounts are added up.
    """

    def __init__(
        self,
        daemon: "Daemon",
        http: HttpServer,
        *,
        latencies: Latencies | None = None,
        admit: Admit | None = None,
        by_account: bool = False,
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._admit = admit
        ProcessCollector(registry=self._registry)
        collector = DaemonCollector(daemon, latencies=latencies, http=http, by_account=by_account)
        self._registry.register(collector)
        self.health = Health(daemon.core)
        daemon.ticker.call_each_time(self.health.tick)

    def metrics(self, request: Request) -> Response:
        accept = (request.header(b"accept") or b"").decode("latin-1")
        encode, content_type = choose_encoder(accept)
        return Response(200, encode(self._registry), content_type.encode())

    def healthz(self, request: Request) -> Response:
        report = self.health.report()
        return Response(503 if report.status == "failing" else 200, msgspec.json.encode(report), JSON)

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/metrics", self.metrics, admit=self._admit),
            Route("GET", "/healthz", self.healthz),
        ]
