"""What is known of each engine's health, without making a request wait for it.

A look is cached for a moment and shared by all who ask at once; what happens to real requests counts as a look too. Knows engines and
times, nothing of requests.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fireside.core.errors import ErrorKind, FiresideError
from fireside.core.values import replace
from fireside.engines.engine import Engine, EngineHealth
from fireside.gateway.faults import typed
from fireside.gateway.flights import Flights

# Knowledge older than this many seconds is no longer worth routing by.
STALE = 30.0


@dataclass(slots=True)
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
        self._view: Mapping[str, EngineHealth] = {}
        self._view_until = 0.0
        self._looks: Flights[EngineHealth] = Flights()

    def known(self, name: str) -> EngineHealth | None:
        """The last thing known, at once; an old look is renewed behind the caller's back. ``None``: nothing worth knowing."""
        seen = self._seen.get(name)
        age = self._clock() - seen.at if seen else STALE
        if age >= self._fresh:
            engine = self._engines[name]
            self._looks.start(id(engine), lambda: self._look(engine))
        return seen.health if seen and age < STALE else None

    def view(self) -> Mapping[str, EngineHealth]:
        """All that is worth knowing, at once: the same mapping as long as no engine changes in more than how fast and busy it is."""
        if self._clock() >= self._view_until:
            found = {name: health for name in self._engines if (health := self.known(name)) is not None}
            if {name: _lasting(health) for name, health in found.items()} != {
                name: _lasting(health) for name, health in self._view.items()
            }:
                self._view = found
            # Until the oldest look must be renewed there is nothing to do.
            oldest = min((seen.at for seen in self._seen.values()), default=0.0)
            self._view_until = oldest + self._fresh if len(self._seen) == len(self._engines) else 0.0
        return self._view

    async def look(self, name: str, *, refresh: bool = False) -> EngineHealth:
        """The engine's health, at most ``fresh`` seconds old. Never raises, never takes longer than ``limit``."""
        seen = self._seen.get(name)
        if seen and not refresh and self._clock() - seen.at < self._fresh:
            return seen.health
        engine = self._engines[name]
        return await self._looks.join(id(engine), lambda: self._look(engine))

    async def all(self) -> dict[str, EngineHealth]:
        """Every engine, looked at now and all at once."""
        names = tuple(self._engines)
        looks = await asyncio.gather(*(self.look(name, refresh=True) for name in names))
        return dict(zip(names, looks, strict=True))

    def succeeded(self, name: str, model: str) -> None:
        """A request was answered: as good as a look."""
        seen = self._seen.get(name)
        health = seen.health if seen else EngineHealth("ready", "answered a request")
        if seen is not None and health.state == "ready" and model in health.loaded:
            seen.at = self._clock()
            return
        loaded = health.loaded if model in health.loaded else (*health.loaded, model)
        self._see(name, replace(health, state="ready", loaded=loaded, remedy=""))

    def failed(self, name: str, error: FiresideError) -> None:
        """A request could not reach the engine: as bad as a look."""
        if error.kind is ErrorKind.CONNECTION and error.context.get("cause") != "breaker":
            self._see(name, EngineHealth("down", error.message, error.remedy))

    def exchange(self, engines: Iterable[Engine]) -> None:
        """Know other engines from now on; what is known of those that stay, stays."""
        before, self._engines = self._engines, {engine.name: engine for engine in engines}
        stay = {name for name, engine in self._engines.items() if before.get(name) is engine}
        self._seen = {name: seen for name, seen in self._seen.items() if name in stay}
        self._view_until = 0.0

    async def aclose(self) -> None:
        await self._looks.aclose()

    async def _look(self, engine: Engine) -> EngineHealth:
        name, started = engine.name, self._clock()
        try:
            async with asyncio.timeout(self._limit):
                with typed(name):
                    health = await engine.health()
        except TimeoutError:
            health = EngineHealth("down", f"no answer within {self._limit:g} s", "fireside doctor", self._limit)
        except FiresideError as error:
            health = EngineHealth("down", error.message, error.remedy)
        if not health.latency:
            health = replace(health, latency=self._clock() - started)
        if self._engines.get(name) is engine:
            self._see(name, health)
            if health.state != "down":
                self._answered(name)
        return health

    def _see(self, name: str, health: EngineHealth) -> None:
        self._seen[name] = _Seen(health, self._clock())
        self._view_until = 0.0


def _lasting(health: EngineHealth) -> EngineHealth:
    return replace(health, latency=0.0, busy=0)
