"""The server's numbers in Prometheus' text format, and OpenMetrics' for who asks for it.

Written in a thread and kept for a second: a hundred histograms take ten milliseconds, in which no stream shall stand still. Loads
prometheus_client when it is first asked. Labels are of bounded sets.
"""

import asyncio
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from fireside import __version__
from fireside.gateway.gateway import Gateway
from fireside.gateway.metrics import Histogram
from fireside.records.writer import WriterState
from fireside.server.exchange import Exchange
from fireside.server.health import ANSWERS, HealthMonitor
from fireside.server.metrics import OTHER, ServerMetrics
from fireside.server.routes import Route, named
from fireside.wire.openai_lists import write_error

if TYPE_CHECKING:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        InfoMetricFamily,
        Metric,
    )

KEPT_SECONDS = 1.0
MOST_SERIES = 256
COUNTS: Mapping[str, tuple[str, str]] = {
    "cache_hits": ("fireside_cache_hits", "Answers that were known already."),
    "cancelled": ("fireside_cancelled", "Requests whose reader went away."),
    "superseded": ("fireside_superseded", "Requests that a newer one of the same document ended."),
    "retries": ("fireside_retries", "Engines that were asked again after they failed."),
    "recoveries": ("fireside_recoveries", "Answers that came after a failed try."),
    "trims": ("fireside_trims", "Conversations whose oldest messages were left out."),
    "tool_calls": ("fireside_tool_calls", "Answers that called tools."),
    "failures": ("fireside_failures", "Requests no engine answered."),
    "breakers_opened": ("fireside_breakers_opened", "Engines that were left alone for a while after failing."),
    "warm_ups": ("fireside_warm_ups", "Models that were loaded ahead."),
}
Values = Iterable[tuple[Sequence[str], float]]
Histograms = Iterable[tuple[Sequence[str], Histogram]]


class Exposition:
    """``writers``: how those fare who write in the background. ``source``: where the numbers come from: this process, or several."""

    def __init__(
        self,
        metrics: ServerMetrics,
        gateway: Gateway,
        monitor: HealthMonitor,
        writers: Callable[[], list[WriterState]],
    ) -> None:
        self._metrics, self._gateway, self._monitor, self._writers = metrics, gateway, monitor, writers
        self.source: Callable[[], Iterable[Metric]] = self.own
        self._written: dict[str, tuple[float, bytes]] = {}
        self._writing = asyncio.Lock()

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return named({("GET", "/metrics"): (self.show, "view")}, write_error)

    async def show(self, exchange: Exchange) -> None:
        body, media_type = await self.text(exchange.header(b"accept"))
        await exchange.reply(body, media_type=media_type.encode())

    async def text(self, accept: str = "") -> tuple[bytes, str]:
        """The text, and its content type: what ``accept`` asks for, else the plain format everybody reads."""
        async with self._writing:
            return await asyncio.to_thread(self._text, accept)

    def collect(self) -> "Iterable[Metric]":
        """For a registry of prometheus_client's."""
        return self.source()

    def own(self) -> "Iterator[Metric]":
        """All families of this process. Runs in a thread beside the loop: each number is true, their sum nearly."""
        yield from self._server()
        yield from self._engines()
        yield from self._gateway_counts()
        yield from self._house()
        yield from _process()

    def _text(self, accept: str) -> tuple[bytes, str]:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder

        encode, media_type = choose_encoder(accept)
        at, body = self._written.get(media_type, (0.0, b""))
        if not body or time.monotonic() - at >= KEPT_SECONDS:
            registry = CollectorRegistry(auto_describe=False)
            registry.register(self)
            body = encode(registry)
            # What clients may ask for is theirs to choose; how much of it is kept is not.
            self._written = {media_type: (time.monotonic(), body)}
        return body, media_type

    def _server(self) -> "Iterator[Metric]":
        metrics = self._metrics
        requests = {(route, str(status)): count for (route, status), count in metrics.requests.copy().items()}
        yield counter("fireside_requests", "Requests, by route and HTTP status.", ("route", "status"), requests.items())
        seconds = (((route,), each) for route, each in metrics.seconds.copy().items())
        yield histogram("fireside_request_seconds", "From a request's head to its answer's end.", ("route",), seconds)
        yield gauge("fireside_requests_running", "Requests being answered.", (), [((), len(metrics.running))])
        refused = (((reason,), count) for reason, count in bounded(metrics.rejections.copy()))
        yield counter("fireside_rejections", "Requests that were refused, by reason.", ("reason",), refused)

    def _engines(self) -> "Iterator[Metric]":
        answers, labels = self._metrics.answers.copy(), ("engine", "model")
        kinds = ("prompt", "completion", "cached")
        tokens = [((kind, *pair), getattr(each, kind)) for pair, each in answers.items() for kind in kinds]
        yield counter("fireside_answers", "Answers that engines completed.", labels, _of(answers, "count"))
        yield counter("fireside_tokens", "Tokens of answers, by kind.", ("kind", *labels), tokens)
        first = ((pair, each.first_token) for pair, each in answers.items())
        yield histogram("fireside_time_to_first_token_seconds", "Until the first content.", labels, first)
        rates = ((pair, each.tokens_per_second) for pair, each in answers.items())
        yield histogram("fireside_tokens_per_second", "How fast answers came.", labels, rates)
        waits = (((name,), pace.wait) for name, pace in self._metrics.paces.copy().items())
        yield histogram("fireside_queue_wait_seconds", "Time answers spent in line.", ("engine",), waits)
        load = self._gateway.load().items()
        yield gauge("fireside_engine_running", "Running there.", ("engine",), [((n,), run) for n, (run, _) in load])
        yield gauge("fireside_queue_depth", "In line there.", ("engine",), [((n,), wait) for n, (_, wait) in load])
        health = self._monitor.engines.items()
        up = [((name,), float(each.state in ANSWERS)) for name, each in health]
        yield gauge("fireside_engine_up", "1 when the engine can answer.", ("engine",), up)
        busy = [((name,), float(each.busy)) for name, each in health]
        yield gauge("fireside_engine_busy", "Running there, whoever asked, where the engine says.", ("engine",), busy)

    def _gateway_counts(self) -> "Iterator[Metric]":
        told = self._gateway.metrics
        for name, (family, said) in COUNTS.items():
            yield counter(family, said, (), [((), told.counts[name])])
        fallbacks = ((tuple(key.partition(" -> ")[::2]), count) for key, count in bounded(told.fallbacks.copy()))
        yield counter("fireside_fallbacks", "Another model took over.", ("source", "target"), fallbacks)
        faults = (((fault,), count) for fault, count in bounded(told.tool_repairs.copy()))
        yield counter("fireside_tool_repairs", "Tool calls put right, by fault.", ("fault",), faults)
        errors = [
            ((engine, kind), n) for engine, kinds in told.errors.copy().items() for kind, n in kinds.copy().items()
        ]
        yield counter("fireside_engine_errors", "Tries that failed, by engine and kind.", ("engine", "kind"), errors)

    def _house(self) -> "Iterator[Metric]":
        checks = [((each.check,), float(each.ok)) for each in self._monitor.findings]
        yield gauge("fireside_health", "1 when the check is well.", ("check",), checks)
        yield gauge("fireside_ready", "1 when requests can be answered.", (), [((), float(self._monitor.ready))])
        lag = "How late the event loop was at most, between two looks."
        yield gauge("fireside_loop_lag_seconds", lag, (), [((), self._monitor.lag)])
        states = self._writers()
        lost = [((state.name,), float(state.lost)) for state in states]
        yield counter(
            "fireside_records_lost", "Entries that were never written: gaps in the audit log.", ("log",), lost
        )
        pending = [((state.name,), float(state.pending)) for state in states]
        yield gauge("fireside_records_pending", "Entries that wait to be written.", ("log",), pending)
        yield info("fireside_build", "What runs here.", {"version": __version__, "python": platform.python_version()})


def bounded(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The largest, and all others as one."""
    ordered = sorted(counts.items(), key=lambda each: -each[1])
    rest = sum(count for _, count in ordered[MOST_SERIES:])
    return [*ordered[:MOST_SERIES], *([(OTHER, rest)] if rest else [])]


def counter(name: str, said: str, labels: Sequence[str], values: Values) -> "CounterMetricFamily":
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, said, labels=labels)
    for place, value in values:
        family.add_metric(place, value)
    return family


def gauge(name: str, said: str, labels: Sequence[str], values: Values) -> "GaugeMetricFamily":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, said, labels=labels)
    for place, value in values:
        family.add_metric(place, value)
    return family


def histogram(name: str, said: str, labels: Sequence[str], values: Histograms) -> "HistogramMetricFamily":
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, said, labels=labels)
    for place, each in values:
        family.add_metric(place, _buckets(each), each.sum)
    return family


def info(name: str, said: str, facts: dict[str, str]) -> "InfoMetricFamily":
    from prometheus_client.core import InfoMetricFamily

    return InfoMetricFamily(name, said, value=facts)


def _buckets(each: Histogram) -> list[tuple[str, float]]:
    # Added up from one copy of the buckets, so that the last is always their sum.
    total, buckets = 0, []
    for bound, count in zip((*map(str, each.bounds), "+Inf"), each.counts.copy(), strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


def _of(answers: Mapping[tuple[str, str], object], name: str) -> Values:
    return [(pair, float(getattr(each, name))) for pair, each in answers.items()]


def _process() -> "Iterable[Metric]":
    """Memory, descriptors and processor time of this process, where the system tells."""
    from prometheus_client import ProcessCollector

    return ProcessCollector(registry=None).collect()
