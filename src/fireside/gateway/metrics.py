"""Counts and times of everything the gateway did, gathered from its events. Knows no engine, keeps no text."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from itertools import accumulate

from fireside.core.events import EventBus
from fireside.gateway import signals

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
RATES = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0, 2560.0, 5120.0)


class Histogram:
    """Values counted in buckets. ``bounds``: upper ends, rising; larger values fall into a last bucket without an end."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.count = 0
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.count += 1
        self.sum += value

    def quantile(self, share: float) -> float:
        """An estimate: linear within the bucket that holds it; the last bound for what lies beyond it; 0 without values."""
        if not self.count:
            return 0.0
        wanted = share * self.count
        below = 0.0
        for index, upper in enumerate(self.bounds):
            inside = self.counts[index]
            if inside and below + inside >= wanted:
                lower = self.bounds[index - 1] if index else 0.0
                return lower + (upper - lower) * (wanted - below) / inside
            below += inside
        return self.bounds[-1]

    def snapshot(self) -> dict[str, object]:
        """``buckets``: upper end -> how many values were at or below it."""
        return {
            "count": self.count,
            "sum": round(self.sum, 6),
            "p50": round(self.quantile(0.5), 6),
            "p95": round(self.quantile(0.95), 6),
            "p99": round(self.quantile(0.99), 6),
            "buckets": dict(zip(map(str, self.bounds), accumulate(self.counts), strict=False)),
        }


class Metrics:
    """Listens to one event bus. Reading is cheap; ``snapshot`` is plain data, ready for JSON."""

    def __init__(self, events: EventBus) -> None:
        self.requests: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.fallbacks: Counter[str] = Counter()
        self.tool_repairs: Counter[str] = Counter()
        self.errors: dict[str, Counter[str]] = {}
        self.first_token = Histogram(SECONDS)
        self.queue_wait = Histogram(SECONDS)
        self.duration = Histogram(SECONDS)
        self.tokens_per_second = Histogram(RATES)
        self._handlers: dict[type[signals.Signal], Callable[[signals.Signal], None]] = {
            signals.RequestStarted: self._started,
            signals.RequestFinished: self._finished,
            signals.RequestFailed: self._failed,
            signals.RequestCancelled: self._cancelled,
            signals.AttemptFailed: self._attempt_failed,
            signals.FellBack: self._fell_back,
            signals.ToolCallRepaired: self._repaired,
            signals.Retried: self._counter("retries"),
            signals.Recovered: self._counter("recoveries"),
            signals.Trimmed: self._counter("trims"),
            signals.Hedged: self._counter("hedges"),
            signals.HedgeWon: self._counter("hedges_won"),
            signals.Clamped: self._counter("clamps"),
            signals.BreakerOpened: self._counter("breakers_opened"),
            signals.BreakerClosed: self._counter("breakers_closed"),
            signals.ModelWarmed: self._counter("warm_ups"),
        }
        self._unsubscribe = events.subscribe(signals.Signal, self._hear)

    def snapshot(self) -> dict[str, object]:
        return {
            "requests": dict(self.requests),
            "answers": dict(self.answers),
            "tokens": dict(self.tokens),
            "counts": dict(self.counts),
            "fallbacks": dict(self.fallbacks),
            "tool_repairs": dict(self.tool_repairs),
            "errors": {engine: dict(kinds) for engine, kinds in self.errors.items()},
            "first_token_seconds": self.first_token.snapshot(),
            "queue_wait_seconds": self.queue_wait.snapshot(),
            "duration_seconds": self.duration.snapshot(),
            "tokens_per_second": self.tokens_per_second.snapshot(),
        }

    def close(self) -> None:
        self._unsubscribe()

    def _hear(self, signal: signals.Signal) -> None:
        handler = self._handlers.get(type(signal))
        if handler is not None:
            handler(signal)

    def _started(self, signal: signals.Signal) -> None:
        assert isinstance(signal, signals.RequestStarted)
        self.requests[signal.kind] += 1

    def _finished(self, signal: signals.Signal) -> None:
        assert isinstance(signal, signals.RequestFinished)
        if signal.cached:
            # No engine worked for it, so its times and tokens would only flatter the engines.
            self.counts["cache_hits"] += 1
            return
        self.answers[f"{signal.model}@{signal.engine}"] += 1
        if signal.finish_reason == "tool_calls":
            self.counts["tool_calls"] += 1
        self.duration.add(signal.seconds)
        self.queue_wait.add(signal.queued)
        usage = signal.usage
        self.tokens["prompt"] += usage.prompt_tokens
        self.tokens["completion"] += usage.completion_tokens
        self.tokens["cached"] += usage.cached_tokens
        if signal.first_token is not None:
            self.first_token.add(signal.first_token)
            if rate := signal.rate:
                self.tokens_per_second.add(rate)

    def _failed(self, signal: signals.Signal) -> None:
        assert isinstance(signal, signals.RequestFailed)
        self.counts["failures"] += 1

    def _cancelled(self, signal: signals.Signal) -> None:
        assert isinstance(signal, signals.RequestCancelled)
        self.counts["superseded" if signal.superseded else "cancelled"] += 1

    def _attempt_failed(self, signal: signals.Signal) -> None:
        assert isinstance(signal, signals.AttemptFailed)
        self.errors.setdefault(signal.engine, Counter())[str(signal.error.kind)] += 1

    def _fell_back(self, signal: signals.Signal) -> None:
        assert isinstance(signal, signals.FellBack)
        self.fallbacks[f"{signal.source} -> {signal.target}"] += 1

    def _repaired(self, signal: signals.Signal) -> None:
        assert isinstance(signal, signals.ToolCallRepaired)
        self.tool_repairs[signal.fault] += 1

    def _counter(self, name: str) -> Callable[[signals.Signal], None]:
        def count(signal: signals.Signal) -> None:
            self.counts[name] += 1

        return count
