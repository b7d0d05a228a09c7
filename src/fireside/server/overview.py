"""What is going on, as one JSON document: for ``fireside top`` and whoever draws something like it.

Administrators see everybody's requests, keys and failures; others their own.
"""

import time
from collections.abc import Callable, Mapping

import orjson

from fireside import __version__
from fireside.gateway.gateway import Gateway
from fireside.records.keys import Role
from fireside.server.auth import Principal
from fireside.server.exchange import Exchange
from fireside.server.health import HealthMonitor, told
from fireside.server.metrics import WATCHING, Pace, ServerMetrics, key_of, quantile
from fireside.server.routes import Route, named
from fireside.wire.openai_lists import write_error

NO_PACE = Pace()
MOST_RUNNING = 100


class Overview:
    """``names``: key id -> its name. ``clock``: the event loop's time."""

    def __init__(
        self,
        metrics: ServerMetrics,
        gateway: Gateway,
        monitor: HealthMonitor,
        *,
        names: Callable[[], Mapping[str, str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics, self._gateway, self._monitor = metrics, gateway, monitor
        self._names, self._clock = names, clock

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return named({("GET", "/metrics.json"): (self.show, "view")}, write_error)

    async def show(self, exchange: Exchange) -> None:
        await exchange.reply(orjson.dumps(self.summary(exchange.principal)))

    def summary(self, principal: Principal) -> dict[str, object]:
        """``rates``: over the last ten seconds. Times in seconds; what is not known is null."""
        counts = self._gateway.metrics.counts
        requests = {
            place: count for place, count in self._metrics.requests.items() if not place[0].startswith(WATCHING)
        }
        a_second, tokens = self._metrics.rates(self._clock())
        hits, answers = counts["cache_hits"], sum(each.count for each in self._metrics.answers.values())
        return {
            "version": __version__,
            "uptime": round(time.time() - self._metrics.began, 1),
            "ready": self._monitor.ready,
            "health": told(self._monitor.findings),
            "rates": {"requests": round(a_second, 2), "tokens": round(tokens, 1)},
            "requests": {
                "total": sum(requests.values()),
                "failed": sum(count for (_, status), count in requests.items() if status >= 400),
                "rejections": dict(self._metrics.rejections),
            },
            "engines": self._engines(),
            "running": self._running(principal),
            "gateway": {
                **{name: counts[name] for name in ("retries", "cancelled", "superseded", "tool_calls", "trims")},
                "fallbacks": dict(self._gateway.metrics.fallbacks),
                "tool_repairs": dict(self._gateway.metrics.tool_repairs),
                "cache_hits": hits,
                "cache_hit_rate": round(hits / (hits + answers), 4) if hits + answers else None,
            },
            "keys": self._keys(principal),
            "errors": self._errors(principal),
        }

    def _engines(self) -> list[dict[str, object]]:
        """In the order of the gateway."""
        health, found = self._monitor.engines, []
        for name, (running, waiting) in self._gateway.load().items():
            known, pace = health.get(name), self._metrics.paces.get(name, NO_PACE)
            found.append(
                {
                    "name": name,
                    "state": known.state if known else "unknown",
                    "detail": known.detail if known else "",
                    "remedy": known.remedy if known else "",
                    "loaded": list(known.loaded) if known else [],
                    "running": running,
                    "waiting": waiting,
                    "tokens_per_second": quantile(pace.rates, 0.5),
                    "first_token_p50": quantile(pace.first, 0.5),
                    "first_token_p95": quantile(pace.first, 0.95),
                }
            )
        return found

    def _running(self, principal: Principal) -> list[dict[str, object]]:
        """The oldest first."""
        now, names = time.perf_counter(), self._names()
        asked = [each for each in self._metrics.running.values() if each.route and not each.route.startswith(WATCHING)]
        seen = [each for each in asked if may_see(principal, key_of(each))]
        return [
            {
                "id": each.request_id,
                "route": each.route,
                "key": names.get(key_of(each), ""),
                "engine": each.story.engine,
                "model": each.story.model,
                "seconds": round(now - each.began, 3),
                "position": each.story.position if each.story.first is None else 0,
                "streaming": each.status != 0,
            }
            for each in seen[:MOST_RUNNING]
        ]

    def _keys(self, principal: Principal) -> list[dict[str, object]]:
        names = self._names()
        return [
            {"name": names.get(key, key), "requests": use.requests, "failed": use.failed, "tokens": use.tokens}
            for key, use in self._metrics.keys.items()
            if may_see(principal, key)
        ]

    def _errors(self, principal: Principal) -> list[dict[str, object]]:
        """The newest first."""
        return [
            {
                "at": round(each.at, 3),
                "id": each.request_id,
                "route": each.route,
                "status": each.status,
                "kind": each.failure.kind,
                "cause": each.failure.cause,
                "message": each.failure.message,
            }
            for each in reversed(self._metrics.failures)
            if may_see(principal, each.key_id)
        ]


def may_see(principal: Principal, key: str) -> bool:
    return principal.role is Role.ADMIN or principal.id == key
