"""The inference wing's front: one place to ask a model, whatever engine it runs on.

Builds the parts of this room and walks each request through them: plan, cache, queue, engine, recovery. Knows no file of the user, no
configuration file and no API.
"""

import asyncio
import itertools
import logging
import random
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from fireside.core.errors import FiresideError
from fireside.core.events import EventBus
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, Priority, Vectors
from fireside.core.streams import closing, singly
from fireside.core.values import replace
from fireside.engines.engine import Engine, EngineHealth, PullProgress
from fireside.gateway import signals
from fireside.gateway.answers import Answers
from fireside.gateway.attempts import Attempts, Call, Policy, Told
from fireside.gateway.batches import Batches
from fireside.gateway.breaker import Breaker
from fireside.gateway.cache import ResponseCache
from fireside.gateway.catalog import Catalog
from fireside.gateway.experiments import Experiments
from fireside.gateway.fallback import Pipeline
from fireside.gateway.faults import typed
from fireside.gateway.gates import Gate, Gates
from fireside.gateway.health import HealthBoard
from fireside.gateway.hedge import Hedging
from fireside.gateway.metrics import Metrics
from fireside.gateway.planning import Planning
from fireside.gateway.plans import Plan, Request, Wanted, role_of, wanted_by
from fireside.gateway.pulls import Pulls
from fireside.gateway.queue import Queue
from fireside.gateway.router import Router
from fireside.gateway.settings import GatewaySettings
from fireside.gateway.supersede import Line, Supersession
from fireside.gateway.texts import scan, sendable, whole
from fireside.gateway.warmup import Warmup
from fireside.models.card import Capability, ModelCard

PARALLEL = 2
log = logging.getLogger(__name__)


class Gateway:
    """``engines``: in the order of the configuration; the gateway owns them and closes them.

    ``aliases``: name -> MODEL, MODEL@ENGINE or @ENGINE. ``memory``: bytes a model on this machine should fit in when the gateway
    picks one, 0 = unknown. ``rng``: the dice of weighted routes.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        *,
        settings: GatewaySettings,
        events: EventBus,
        aliases: Mapping[str, str] | None = None,
        memory: int = 0,
        rng: random.Random | None = None,
    ) -> None:
        self._engines = tuple(engines)
        self._settings = settings
        self._memory = memory
        self._events = events
        self._rng = rng
        self.metrics = Metrics(events)
        self.experiments = Experiments(events, rng)
        self.cache = ResponseCache(settings.cache_bytes)
        self._closing: set[asyncio.Task[None]] = set()
        self._gates = Gates(engines, self._gate, close=self._close)
        self._board = HealthBoard(engines, answered=self._answered)
        self._catalog = Catalog(engines)
        self._warmup = Warmup(events)
        self._pulls = Pulls(engines, catalog=self._catalog, events=events)
        self._pipeline = Pipeline(self._gates, board=self._board)
        self._answers = Answers(self.cache, self._pipeline)
        self._planning = Planning(
            self._router(settings, aliases or {}), catalog=self._catalog, experiments=self.experiments
        )
        self._supersession = Supersession()
        self._numbers = itertools.count(1)
        self.configure(settings, aliases or {})

    def configure(self, settings: GatewaySettings, aliases: Mapping[str, str]) -> None:
        """Take over changed settings while running: aliases, routes, what is allowed, and queue limits.

        Breaker and cache keep the limits they were built with.
        """
        self.experiments.configure(settings.experiments)
        self._settings, self._aliases = settings, aliases
        self._policy = Policy(
            retries=settings.retries,
            patience=settings.patience,
            pull=settings.pull_missing,
            shrink=settings.shrink_context,
        )
        self._planning.router = self._router(settings, aliases)
        self._pipeline.slow = settings.slow
        self._pipeline.hedging = None
        if settings.hedge is not None:
            self._pipeline.hedging = Hedging(
                settings.hedge,
                standing=lambda candidate: self._gates.of(candidate.engine).standing(),
                seen=self.metrics.first_token,
            )
        for gate in self._gates:
            gate.queue.limit(_parallel(gate.engine, settings), settings.max_waiting, kept=settings.typing_slots)

    def exchange(
        self,
        engines: Sequence[Engine],
        *,
        settings: GatewaySettings | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        """Take over another set of engines while running, with other settings or aliases if there are any.

        An engine that is in both sets (the same object) keeps its queue, its breaker, what is known of it and its streams. One that is
        not in the new set is asked no more, and closed when its last stream ends.
        """
        self._engines = tuple(engines)
        self._settings = settings or self._settings
        for part in (self._gates, self._board, self._catalog, self._pulls):
            part.exchange(engines)
        self.configure(self._settings, self._aliases if aliases is None else aliases)

    def chat(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """The answer, piece by piece; the last piece says who answered. Close the iterator to cancel: the slot is free at once.

        Raises ``FiresideError`` when nobody can answer, and in mid-answer when the engine breaks off.
        A stream that a newer request supersedes ends with the finish reason "cancelled".
        """
        return singly(self.stream(request))

    def complete(self, request: CompletionRequest) -> AsyncIterator[Delta]:
        """The text between prefix and suffix; otherwise as ``chat``."""
        return singly(self.stream(request))

    def stream(self, request: ChatRequest | CompletionRequest, *, told: Told | None = None) -> Batches:
        """As ``chat`` and ``complete``, in batches: what one read from the network brought comes together. None is empty.

        ``told``: hears what is said about this request (its place in line, who takes over, that it is over), while it happens.
        """
        request, size = scan(request)
        kind: signals.Kind = "chat" if isinstance(request, ChatRequest) else "complete"
        number = next(self._numbers)
        call = Call(
            self._events, number, kind, request.model, request.priority, request.session, request, size, told=told
        )
        stream = self._stream(call, wanted_by(request))
        if not request.supersedes:
            return stream
        call.line = Line()
        return self._supersession.guard(request.supersedes, call.line, stream)

    async def embed(
        self,
        texts: Sequence[str],
        model: str = "embed",
        *,
        priority: Priority = Priority.AGENT,
        told: Told | None = None,
    ) -> Vectors:
        """One vector per text. Only the model that was chosen answers, on whichever engine: vectors of two models do not compare."""
        call = Call(self._events, next(self._numbers), "embed", model, priority, told=told)
        texts = [whole(text) for text in texts]
        call.say(signals.RequestStarted(call.number, "embed", model, priority, None))
        try:
            plan = await self._planning.plan(Wanted("embed", model, frozenset(("embed",))), call=call)
            candidates = [each for each in plan.candidates if each.card.name == plan.candidates[0].card.name]
            attempts = self._attempts(call, replace(plan, candidates=tuple(candidates)))
            vectors = await self._pipeline.once(call, attempts, lambda each: each.engine.embed(texts, each.card))
            call.finished(Delta(finish_reason="stop", engine=call.engine, model=attempts.candidate.card.name))
            return vectors
        except FiresideError as error:
            call.failed(error)
            raise
        finally:
            call.left()

    async def models(self, *, refresh: bool = False) -> list[ModelCard]:
        """All models of all engines that answer, in the order of the engines."""
        listing = await self._catalog.listing(refresh=refresh)
        return [card for cards in listing.cards.values() for card in cards]

    async def card_for(self, model: str, *, needs: Collection[Capability] = ()) -> ModelCard | None:
        """The model that would answer to this name. ``None`` when nothing was chosen and nothing here can do it.

        Raises what is wrong with a choice: ``ModelNotFound`` (with the closest names), ``ConnectionFailed``, ``Invalid``, ...
        """
        wanted = Wanted(role_of(model, needs), model, frozenset(needs))
        plan = await self._planning.look_up(wanted)
        if plan.candidates:
            return plan.candidates[0].card
        if plan.named and plan.error:
            raise plan.error.with_traceback(None)
        return None

    async def health(self) -> dict[str, EngineHealth]:
        """Every engine, looked at now; one that answers but cannot list its models is down, with that as the reason."""
        found, listing = await asyncio.gather(self._board.all(), self._catalog.listing())
        for name, error in listing.errors.items():
            if name in found and found[name].state != "down":
                found[name] = replace(found[name], state="down", detail=error.message, remedy=error.remedy)
        return found

    def load(self) -> dict[str, tuple[int, int]]:
        """Engine -> requests running and requests waiting there, as far as they came through here."""
        return {gate.engine.name: (gate.queue.running, gate.queue.waiting) for gate in self._gates}

    def feedback(self, about: int | str, good: bool, *, request: Request | None = None) -> None:
        """Whether an answer was of use: to the request with this number, or of the arm of an experiment that ``request`` gets."""
        self.experiments.feedback(about, good, request=request)

    async def warm(self, request: ChatRequest) -> None:
        """Load the model this request would get, and compute its stable start. Raises what the engine raises."""
        plan = await self._planning.plan(wanted_by(request), request)
        first = plan.candidates[0]
        await self._warmup.warm(first.engine, first.card, sendable(request))

    async def count_tokens(self, request: ChatRequest | str, *, model: str = "chat") -> int | None:
        """Prompt tokens of a request (or of a text, for ``model``) at the model that would answer; ``None`` where nobody can tell."""
        wanted = Wanted("chat", model) if isinstance(request, str) else wanted_by(request)
        try:
            plan = await self._planning.plan(wanted, None if isinstance(request, str) else request)
            first = plan.candidates[0]
            with typed(first.engine.name):
                text = whole(request) if isinstance(request, str) else sendable(request)
                return await first.engine.count_tokens(text, first.card)
        except FiresideError:
            return None

    def pull(self, name: str, engine: str | None = None) -> AsyncIterator[PullProgress]:
        """Bring a model (MODEL or MODEL@ENGINE) to an engine; without one, to the first that can pull. Raises ``FiresideError``."""
        return self._pulls.pull(name, engine)

    async def aclose(self) -> None:
        """End all background work and close the engines. Safe to call twice."""
        for part in (self._warmup, self._pulls, self._catalog, self._board):
            await part.aclose()
        self.metrics.close()
        self.experiments.close()
        await asyncio.gather(*map(_closed, (*self._engines, *self._gates.leaving)), *self._closing)

    def _router(self, settings: GatewaySettings, aliases: Mapping[str, str]) -> Router:
        return Router(
            self._engines,
            aliases=aliases,
            routes=settings.routes,
            order=settings.order,
            cloud=settings.cloud,
            fallback=settings.fallback,
            pull_missing=settings.pull_missing,
            memory=self._memory,
            weights=settings.weights,
            health=self._board.view,
            standing=lambda engine: self._gates.of(engine).standing(),
            rng=self._rng,
        )

    def _gate(self, engine: Engine) -> Gate:
        settings = self._settings
        breaker = Breaker(
            engine.name,
            events=self._events,
            failures=settings.breaker_failures,
            seconds=settings.breaker_seconds,
        )
        return Gate(engine, Queue(engine.name, ageing=settings.ageing), breaker)

    def _close(self, engine: Engine) -> None:
        """Behind everybody's back: an engine that was exchanged has given its last answer."""
        task = asyncio.ensure_future(_closed(engine))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _answered(self, name: str) -> None:
        """Somebody saw an engine answer."""
        gate = self._gates.named(name)
        if gate is not None:
            gate.breaker.invite()

    async def _stream(self, call: Call, wanted: Wanted) -> Batches:
        call.say(signals.RequestStarted(call.number, call.kind, call.model, call.priority, call.session))
        try:
            plan = await self._planning.plan(wanted, call.request, call=call)
            answer = self._answers.to(call, plan.candidates[0], self._attempts(call, plan))
            async with closing(answer) as batches:
                async for batch in batches:
                    if batch[-1].finish_reason is not None:
                        call.finished(batch[-1])
                    yield batch
        except FiresideError as error:
            call.failed(error)
            raise
        finally:
            call.left()

    def _attempts(self, call: Call, plan: Plan) -> Attempts:
        return Attempts(call, plan, policy=self._policy, pull=self._pulls.bring)


async def _closed(engine: Engine) -> None:
    try:
        await engine.aclose()
    except Exception:
        # One that cannot close itself keeps nobody else from it.
        log.exception("%s could not be closed", engine.name)


def _parallel(engine: Engine, settings: GatewaySettings) -> int:
    """What the user says, else what the engine knows of itself, else a number that is fair on a CPU: chat and autocomplete."""
    own = getattr(engine, "parallel", PARALLEL)
    return settings.parallel.get(engine.name, own if isinstance(own, int) and own > 0 else PARALLEL)
