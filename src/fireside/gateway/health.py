"""What is known of each engine's health, without making a request wait for it.

A look is cached for a moment and shared by all who ask at once; what happens to real requests counts as a look too. Knows engines and
times, nothing of requests.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from fireside.core.errors import ErrorKind, FiresideError
from fireside.engines.engine import Engine, EngineHealth
from fireside.gateway.faults import typed
from fireside.gateway.flights import Flights

# Knowledge older than this many seconds is no longer worth routing by.
STALE = 30.0


@dataclass(frozen=True, slots=True)
class _Seen:
    health: EngineHealth
    at: float


class HealthBoard:
    """``fresh``: seconds a look stays good. ``limit``: the longest a look may take. ``answered``: told of each engine seen not down."""

    def __init__(
        self,
        engines: Iterable[Engine],
        *,
        fresh: float = 2.0,
        limit: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        answered: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._engines = {engine.name: engine for engine in engines}
        self._fresh = fresh
        self._limit = limit
        self._clock = clock
        self._answered = answered
        self._seen: dict[str, _Seen] = {}
        self._looks: Flights[EngineHealth] = Flights()

    def known(self, name: str) -> EngineHealth | None:
        """The last thing known, at once; an old look is renewed behind the caller's back. ``None``: nothing worth knowing."""
        seen = self._seen.get(name)
        age = self._clock() - seen.at if seen else STALE
        if age >= self._fresh:
            self._looks.start(name, lambda: self._look(name))
        return seen.health if seen and age < STALE else None

    async def look(self, name: str, *, refresh: bool = False) -> EngineHealth:
        """The engine's health, at most ``fresh`` seconds old. Never raises, never takes longer than ``limit``."""
        seen = self._seen.get(name)
        if seen and not refresh and self._clock() - seen.at < self._fresh:
            return seen.health
        return await self._looks.join(name, lambda: self._look(name))

    async def all(self) -> dict[str, EngineHealth]:
        """Every engine, looked at now and all at once."""
        looks = await asyncio.gather(*(self.look(name, refresh=True) for name in self._engines))
        return dict(zip(self._engines, looks, strict=True))

    def succeeded(self, name: str, model: str) -> None:
        """A request was answered: as good as a look."""
        seen = self._seen.get(name)
        health = seen.health if seen else EngineHealth("ready", "answered a request")
        if health.state != "ready" or model not in health.loaded:
            health = replace(health, state="ready", loaded=(*health.loaded, model), remedy="")
        self._seen[name] = _Seen(health, self._clock())

    def failed(self, name: str, error: FiresideError) -> None:
        """A request could not reach the engine: as bad as a look."""
        if error.kind is ErrorKind.CONNECTION and error.context.get("cause") != "breaker":
            self._seen[name] = _Seen(EngineHealth("down", error.message, error.remedy), self._clock())

    async def aclose(self) -> None:
        await self._looks.aclose()

    async def _look(self, name: str) -> EngineHealth:
        started = self._clock()
        try:
            async with asyncio.timeout(self._limit):
                with typed(name):
                    health = await self._engines[name].health()
        except TimeoutError:
            health = EngineHealth("down", f"no answer within {self._limit:g} s", "fireside doctor", self._limit)
        except FiresideError as error:
            health = EngineHealth("down", error.message, error.remedy)
        if not health.latency:
            health = replace(health, latency=self._clock() - started)
        self._seen[name] = _Seen(health, self._clock())
        if health.state != "down":
            self._answered(name)
        return health
