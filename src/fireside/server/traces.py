"""Traces of requests for an OpenTelemetry collector (extra ``otel``): a span a request, below it the line, each try, and the first token.

Off unless settings name a collector, and nothing of OpenTelemetry is loaded then. A client's W3C traceparent is honoured and handed on to
engines of the user's own. Spans leave through the same guarded transport as everything else. They hold names and numbers, no text.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fireside import __version__
from fireside.app.serving import ServerSettings
from fireside.core.errors import FiresideError
from fireside.core.events import EventBus
from fireside.engines.egress import Errand
from fireside.engines.trail import TRAIL
from fireside.engines.transport import Timeouts, Transport
from fireside.gateway import signals
from fireside.server.exchange import Exchange
from fireside.server.metrics import GONE, WATCHING

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExportResult
    from opentelemetry.trace import Span, Tracer

log = logging.getLogger("fireside.traces")
PLACE = "/v1/traces"
ERRAND = Errand("otel", "traces")
SEND_SECONDS = 10.0
LONGEST_MODEL = 200
NANO = 1_000_000_000


@dataclass(slots=True)
class Trace:
    """A request that is traced, and its calls of the gateway by number."""

    tracer: "Tracer"
    span: "Span"
    context: "Context"
    calls: "dict[int, Tries]"

    def hear(self, signal: signals.RequestSignal) -> None:
        match signal:
            case signals.RequestStarted(request=number, kind=kind, model=model):
                self.calls[number] = Tries(self, time.time_ns())
                asked = {"gen_ai.operation.name": kind, "gen_ai.request.model": model[:LONGEST_MODEL]}
                self.span.set_attributes(asked)
            case signals.FellBack(source=source, target=target, error=error):
                told = {"source": source, "target": target, "error.type": str(error.kind)}
                self.span.add_event("fell back", told)
        tries = self.calls.get(signal.request)
        if tries is not None:
            tries.hear(signal)

    def child(self, name: str, began: int, ended: int, **facts: str | int) -> None:
        span = self.tracer.start_span(name, context=self.context, start_time=began, attributes=facts)
        if "error" in facts:
            fail(span, str(facts["error"]))
        span.end(max(began, ended))


class Tries:
    """One call of the gateway: from try to try. Times in nanoseconds since 1970."""

    def __init__(self, trace: Trace, began: int) -> None:
        self._trace = trace
        self._began: int | None = began
        self._queued: int | None = None
        self._spent = 0
        self._first: int | None = None

    def hear(self, signal: signals.RequestSignal) -> None:
        now = time.time_ns()
        match signal:
            case signals.AttemptFailed(engine=engine, error=error):
                self._over(now, now, engine=engine, error=str(error.kind))
            case signals.RequestFinished(engine=engine, model=model, queued=queued):
                seated = (self._queued or 0) + max(0, round(queued * NANO) - self._spent)
                self._over(now, seated, engine=engine, model=model)
            case signals.RequestCancelled(engine=engine):
                self._over(now, now, engine=engine, cancelled=1)
            case signals.RequestFailed():
                pass
            case _:
                self._go_on(signal, now)

    def _go_on(self, signal: signals.RequestSignal, now: int) -> None:
        if self._began is None:
            wait = signal.wait if isinstance(signal, signals.Retried) else 0.0
            self._began = now + round(wait * NANO)
        if isinstance(signal, signals.Queued) and self._queued is None:
            self._queued = now
        elif isinstance(signal, signals.FirstToken):
            self._first = now

    def _over(self, now: int, seated: int, **facts: str | int) -> None:
        """``seated``: when the line was left, if there was one."""
        began, first = self._began, self._first
        if began is None:
            return
        if self._queued is not None:
            left = min(seated, first or now)
            self._trace.child("queue", self._queued, left, **facts)
            self._spent += left - self._queued
            began = max(began, left)
        self._trace.child("attempt", began, now, **facts)
        if first is not None:
            self._trace.child("first token", began, first, **facts)
        self._began = self._queued = self._first = None


TRACE: ContextVar[Trace | None] = ContextVar("trace", default=None)


class Traces:
    """``settings``: ``traces_endpoint`` and ``traces_ratio``. Nothing is traced before ``start``."""

    def __init__(self, transport: Transport, settings: ServerSettings) -> None:
        self._address = address_of(settings.traces_endpoint)
        self._ratio = settings.traces_ratio
        self._transport = transport
        self._provider: TracerProvider | None = None
        self._tracer: Tracer | None = None
        self._open: dict[str, Trace] = {}

    async def start(self, events: EventBus) -> None:
        """Without the extra it stays off, and says so: a server is not held up by a collector."""
        exporter = Exporter(self._transport, self._address, asyncio.get_running_loop())
        try:
            provider = await asyncio.to_thread(provider_for, exporter, self._ratio)
        except ModuleNotFoundError:
            log.warning("traces are not sent: run pip install 'fireside[otel]', or unset server.traces_endpoint")
            return
        self._provider = provider
        self._tracer = provider.get_tracer("fireside", __version__)
        self._unsubscribe = events.subscribe(signals.RequestSignal, self._hear)

    async def aclose(self) -> None:
        """Send what is left."""
        if self._provider is not None:
            self._unsubscribe()
            provider, self._provider, self._tracer = self._provider, None, None
            await asyncio.to_thread(provider.shutdown)

    def came(self, exchange: Exchange) -> None:
        if self._tracer is None or exchange.path.startswith(WATCHING):
            return
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        propagator = TraceContextTextMapPropagator()
        carried = {name: exchange.header(name.encode()) for name in ("traceparent", "tracestate")}
        parent = propagator.extract(carried)
        span = self._tracer.start_span(exchange.method, context=parent, kind=SpanKind.SERVER)
        context = set_span_in_context(span, parent)
        trail: dict[str, str] = {}
        propagator.inject(trail, context)
        # Each request is a task of its own, so these end with it.
        TRAIL.set(trail)
        if span.is_recording():
            trace = self._open[exchange.request_id] = Trace(self._tracer, span, context, {})
            TRACE.set(trace)

    def left(self, exchange: Exchange) -> None:
        trace = self._open.pop(exchange.request_id, None)
        if trace is None:
            return
        span, failure = trace.span, exchange.story.failure
        status = exchange.status or GONE
        span.update_name(f"{exchange.method} {exchange.route}".rstrip())
        span.set_attributes(attributes_of(exchange, status))
        # OpenTelemetry's rule: what a client did wrong is no error of a server's.
        if status >= 500 or (failure is not None and status < 400):
            fail(span, failure.cause if failure is not None else str(status))
        span.end()

    def _hear(self, signal: signals.RequestSignal) -> None:
        trace = TRACE.get()
        if trace is not None:
            trace.hear(signal)


class Exporter:
    """Spans to a collector, as OTLP over HTTP. Its methods are called in threads of OpenTelemetry's; sending is done in the loop."""

    def __init__(self, transport: Transport, address: str, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._address, self._loop = transport, address, loop
        self._problem = ""

    def export(self, spans: "Sequence[ReadableSpan]") -> "SpanExportResult":
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
        from opentelemetry.sdk.trace.export import SpanExportResult

        body = encode_spans(spans).SerializeToString()
        problem = asyncio.run_coroutine_threadsafe(self._send(body), self._loop).result()
        if problem and problem != self._problem:
            log.warning("traces are lost: %s", problem)
        self._problem = problem
        return SpanExportResult.FAILURE if problem else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        return None

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    async def _send(self, body: bytes) -> str:
        """What went wrong, or "". A collector outside needs its host allowed, and each batch is in the ledger."""
        limits = Timeouts(connect=3.0, load=SEND_SECONDS, first_token=SEND_SECONDS, stall=SEND_SECONDS)
        headers = {"content-type": "application/x-protobuf"}
        try:
            answer = await self._transport.request(
                "POST", self._address, body=body, headers=headers, timeouts=limits, errand=ERRAND
            )
        except FiresideError as error:
            return f"{error.message}; {error.remedy}" if error.remedy else error.message
        return "" if answer.ok else f"{answer.url} answered {answer.status}"


def provider_for(exporter: Exporter, ratio: float) -> "TracerProvider":
    """Raises ``ModuleNotFoundError`` without the extra. Blocking: loads OpenTelemetry."""
    import opentelemetry.exporter.otlp.proto.common.trace_encoder  # noqa: F401  missing with the extra half installed
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    resource = Resource.create({"service.name": "fireside", "service.version": __version__})
    provider = TracerProvider(ParentBased(TraceIdRatioBased(ratio)), resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def address_of(endpoint: str) -> str:
    """OpenTelemetry's variable names a collector without the path; settings may name either."""
    bare = endpoint.rstrip("/")
    return bare if bare.endswith(PLACE) else bare + PLACE


def attributes_of(exchange: Exchange, status: int) -> dict[str, str | int]:
    """By OpenTelemetry's names, where it has some; without what is not known."""
    story = exchange.story
    usage = story.usage
    known: dict[str, str | int] = {
        "http.request.method": exchange.method,
        "http.route": exchange.route,
        "http.response.status_code": status,
        "fireside.request_id": exchange.request_id,
        "gen_ai.provider.name": story.engine,
        "gen_ai.response.model": story.model,
        "gen_ai.usage.input_tokens": usage.prompt_tokens if usage else 0,
        "gen_ai.usage.output_tokens": usage.completion_tokens if usage else 0,
        "fireside.cached": "hit" if story.cached else "",
        "error.type": story.failure.cause if story.failure else "",
    }
    return {name: value for name, value in known.items() if value}


def fail(span: "Span", why: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR, why))
