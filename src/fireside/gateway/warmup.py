"""Load a model, and compute the start of its prompt, before someone waits for it; once, however many ask."""

import time

from fireside.core.events import EventBus
from fireside.core.requests import ChatRequest
from fireside.engines.engine import Engine
from fireside.gateway.faults import typed
from fireside.gateway.flights import Flights
from fireside.gateway.prefixes import stable_start
from fireside.gateway.signals import ModelWarmed
from fireside.models.card import ModelCard


class Warmup:
    """Who asks for a warm-up that is under way waits for that one; when the last of them leaves, it is broken off."""

    def __init__(self, events: EventBus) -> None:
        self._events = events
        self._flights: Flights[None] = Flights()

    async def warm(self, engine: Engine, card: ModelCard, request: ChatRequest) -> None:
        """Raises what the engine raises."""
        # To load and to unload are two things.
        key = (engine.name, card.name, request.keep_alive, stable_start(request))
        await self._flights.join(key, lambda: self._run(engine, card, request))

    async def aclose(self) -> None:
        await self._flights.aclose()

    async def _run(self, engine: Engine, card: ModelCard, request: ChatRequest) -> None:
        started = time.monotonic()
        with typed(engine.name):
            await engine.warm(request, card)
        self._events.publish(ModelWarmed(engine.name, card.name, time.monotonic() - started))
