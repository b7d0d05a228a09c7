"""What the server counts: requests, refusals, times and tokens, by route, engine, model and key.

On the way of a request nothing happens but additions to numbers in memory; ``exposition`` and ``overview`` read them. Everything it counts
by is of a bounded set: routes of the table, engines, models that answered, keys. Knows no format.
"""

import time
from collections import Counter, deque
from dataclasses import dataclass, field

from fireside.gateway import signals
from fireside.gateway.metrics import RATES, SECONDS, Histogram
from fireside.server.exchange import Exchange
from fireside.server.story import Failure

OTHER = "other"
# Models come and go while a server runs for months; more than these are counted together.
MOST_PAIRS = 256
MOST_KEYS = 256
RECENT = 256
FAILURES = 20
SAMPLES = 61
GONE = 499
REFUSED = (400, 499)
# Whoever watches the server is not what it is watched for.
WATCHING = ("/healthz", "/metrics")
Pair = tuple[str, str]


@dataclass(slots=True)
class Answers:
    """What one model of one engine answered. Tokens by kind: prompt, completion, cached."""

    count: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    first_token: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    tokens_per_second: Histogram = field(default_factory=lambda: Histogram(RATES))


@dataclass(slots=True)
class Pace:
    """One engine's last answers: ``first``: seconds until their first token; ``rates``: tokens a second."""

    first: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    wait: Histogram = field(default_factory=lambda: Histogram(SECONDS))


@dataclass(slots=True)
class KeyUse:
    """Of one key, since the server started."""

    requests: int = 0
    failed: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """A request that went wrong. ``at``: seconds since 1970."""

    at: float
    request_id: str
    key_id: str
    route: str
    status: int
    failure: Failure


class ServerMetrics:
    """``running``: what is being answered, by request id. ``failures``: the last that went wrong, newest last."""

    def __init__(self) -> None:
        self.began = time.time()
        self.requests: Counter[tuple[str, int]] = Counter()
        self.seconds: dict[str, Histogram] = {}
        self.rejections: Counter[str] = Counter()
        self.answers: dict[Pair, Answers] = {}
        self.paces: dict[str, Pace] = {}
        self.keys: dict[str, KeyUse] = {}
        self.running: dict[str, Exchange] = {}
        self.failures: deque[Failed] = deque(maxlen=FAILURES)
        self._served = 0
        self._tokens = 0
        self._samples: deque[tuple[float, int, int]] = deque(maxlen=SAMPLES)

    def came(self, exchange: Exchange) -> None:
        self.running[exchange.request_id] = exchange

    def left(self, exchange: Exchange) -> None:
        """A request is over, however it ended."""
        del self.running[exchange.request_id]
        status = exchange.status or GONE
        route = exchange.route or OTHER
        if not route.startswith(WATCHING):
            self._served += 1
        self.requests[route, status] += 1
        seconds = self.seconds.get(route)
        if seconds is None:
            seconds = self.seconds[route] = Histogram(SECONDS)
        seconds.add(time.perf_counter() - exchange.began)
        failure = exchange.story.failure
        if failure is not None:
            self._failed(exchange, status, failure)
        key = key_of(exchange)
        if key:
            self._used(key, exchange, failed=failure is not None)

    def finished(self, signal: signals.RequestFinished) -> None:
        """An answer is complete. One from the cache is nobody's work, and would only flatter the engine it once came from."""
        if signal.cached:
            return
        pair = (signal.engine, signal.model)
        answers = self.answers.get(pair) or self._answers(pair)
        pace = self.paces.get(signal.engine)
        if pace is None:
            pace = self.paces[signal.engine] = Pace()
        usage, first = signal.usage, signal.first_token
        answers.count += 1
        answers.prompt += usage.prompt_tokens
        answers.completion += usage.completion_tokens
        answers.cached += usage.cached_tokens
        self._tokens += usage.completion_tokens
        pace.wait.add(signal.queued)
        if first is None:
            return
        answers.first_token.add(first)
        pace.first.append(first)
        spent = usage.completion_seconds or signal.seconds - first
        if spent > 0 and usage.completion_tokens > 1:
            rate = usage.completion_tokens / spent
            answers.tokens_per_second.add(rate)
            pace.rates.append(rate)

    def sample(self, now: float) -> None:
        """Remember where the counters stand; asked about once a second."""
        self._samples.append((now, self._served, self._tokens))

    def rates(self, now: float, *, window: float = 10.0) -> tuple[float, float]:
        """Requests and completion tokens a second, over the last ``window`` seconds as far as they are known."""
        then = next((each for each in self._samples if each[0] >= now - window), None)
        if then is None or now <= then[0]:
            return 0.0, 0.0
        seconds = now - then[0]
        return (self._served - then[1]) / seconds, (self._tokens - then[2]) / seconds

    def _answers(self, pair: Pair) -> Answers:
        if len(self.answers) >= MOST_PAIRS:
            pair = (pair[0], OTHER)
        return self.answers.setdefault(pair, Answers())

    def _failed(self, exchange: Exchange, status: int, failure: Failure) -> None:
        if REFUSED[0] <= status < REFUSED[1] or failure.cause == "draining":
            self.rejections[failure.cause] += 1
        place = exchange.route or OTHER
        self.failures.append(Failed(time.time(), exchange.request_id, key_of(exchange), place, status, failure))

    def _used(self, key: str, exchange: Exchange, *, failed: bool) -> None:
        if key not in self.keys and len(self.keys) >= MOST_KEYS:
            key = OTHER
        use = self.keys.setdefault(key, KeyUse())
        usage = exchange.story.usage
        use.requests += 1
        use.failed += failed
        if usage is not None:
            use.tokens += usage.prompt_tokens + usage.completion_tokens


def key_of(exchange: Exchange) -> str:
    """The id of the key that was shown; empty for none, and for somebody who was not let in."""
    principal = getattr(exchange, "principal", None)
    return principal.id if principal is not None else ""


def quantile(values: deque[float], share: float) -> float | None:
    """Of the last answers, exactly; ``None`` without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
