"""Bring a missing model to an engine. Several requests that miss the same model wait for one pull."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager

from fireside.core.errors import Invalid, ModelNotFound
from fireside.core.events import EventBus
from fireside.core.streams import closing
from fireside.engines.engine import Boundary, Engine, PullProgress
from fireside.gateway.attempts import Call
from fireside.gateway.catalog import Catalog
from fireside.gateway.faults import typed
from fireside.gateway.flights import Flights
from fireside.gateway.plans import Candidate
from fireside.gateway.signals import PullAwaited, PullMoved
from fireside.models.aliases import Aliases


class Pulls:
    def __init__(self, engines: Iterable[Engine], *, catalog: Catalog, events: EventBus) -> None:
        self._engines = {engine.name: engine for engine in engines}
        self._catalog = catalog
        self._events = events
        self._flights: Flights[None] = Flights()
        self._followers: dict[tuple[str, str], list[Call]] = {}
        self._moved: dict[tuple[str, str], PullMoved] = {}

    async def pull(self, name: str, engine: str | None = None) -> AsyncIterator[PullProgress]:
        """``name``: MODEL or MODEL@ENGINE. Without an engine the first that can pull does; never one in the cloud.

        Raises ``ModelNotFound`` for an engine that does not exist, ``Invalid`` when none can pull, and what the engine raises.
        """
        model, _, at = name.partition("@") if engine is None else (name, "", engine)
        refusal: Invalid | None = None
        for target in self._targets(at):
            moved = False
            try:
                with typed(target.name):
                    async with closing(target.pull(model)) as progress:
                        async for step in progress:
                            moved = True
                            self._tell(PullMoved(target.name, model, step))
                            yield step
            except Invalid as error:
                if moved:
                    raise
                refusal = refusal or error
                continue
            await self._catalog.renew(target.name)
            return
        raise refusal or Invalid("no engine here can pull a model", remedy="fireside doctor")

    async def bring(self, candidate: Candidate, call: Call) -> Candidate:
        """The candidate with the card its engine gives it once it is there; until then the call's asker hears how far it is."""
        engine, model = candidate.engine, candidate.card.name
        with self._followed(call, engine.name, model):
            await self._flights.join((engine.name, model), lambda: self._run(model, engine.name))
        listing = await self._catalog.listing(needed=(engine.name,))
        cards = listing.cards.get(engine.name, ())
        return Candidate(engine, Aliases({}).resolve(f"{model}@{engine.name}", cards, frozenset()))

    def exchange(self, engines: Iterable[Engine]) -> None:
        """Know other engines from now on; a pull under way goes on."""
        self._engines = {engine.name: engine for engine in engines}

    async def aclose(self) -> None:
        await self._flights.aclose()

    async def _run(self, model: str, engine: str) -> None:
        async with closing(self.pull(model, engine)) as progress:
            async for _ in progress:
                pass

    @contextmanager
    def _followed(self, call: Call, engine: str, model: str) -> Iterator[None]:
        followers = self._followers.setdefault((engine, model), [])
        followers.append(call)
        if (engine, model) in self._moved:
            self._say(call, self._moved[engine, model])
        try:
            yield
        finally:
            followers.remove(call)
            if not followers:
                self._followers.pop((engine, model), None)
                self._moved.pop((engine, model), None)

    def _tell(self, moved: PullMoved) -> None:
        self._events.publish(moved)
        key = (moved.engine, moved.model)
        for call in self._followers.get(key, ()):
            self._moved[key] = moved
            self._say(call, moved)

    def _say(self, call: Call, moved: PullMoved) -> None:
        call.say(PullAwaited(call.number, moved.engine, moved.model, moved.progress))

    def _targets(self, at: str) -> Sequence[Engine]:
        if at and at not in self._engines:
            known = ", ".join(self._engines) or "none"
            raise ModelNotFound(f"there is no engine called {at} (there are: {known})", remedy="fireside config show")
        if at:
            return [self._engines[at]]
        return [engine for engine in self._engines.values() if engine.boundary < Boundary.CLOUD]
