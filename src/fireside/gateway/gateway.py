"""The inference wing's front: one place to ask a model, whatever engine it runs on.

Builds the parts of this room and walks each request through them: plan, cache, queue, engine, recovery. Knows no file of the user, no
configuration file and no API.
"""

import asyncio
import itertools
import logging
import random
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import msgspec

from fireside.core.errors import FiresideError
from fireside.core.events import EventBus
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, Priority, Vectors
from fireside.core.streams import closing
from fireside.engines.engine import Engine, EngineHealth, PullProgress
from fireside.gateway import signals
from fireside.gateway.attempts import Attempts, Call, Policy
from fireside.gateway.breaker import Breaker
from fireside.gateway.cache import ResponseCache
from fireside.gateway.catalog import Catalog
from fireside.gateway.fallback import Gate, Pipeline
from fireside.gateway.faults import typed
from fireside.gateway.health import HealthBoard
from fireside.gateway.metrics import Metrics
from fireside.gateway.pulls import Pulls
from fireside.gateway.queue import Queue
from fireside.gateway.router import (
    Candidate,
    Plan,
    Router,
    Wanted,
    role_of,
    wanted_by_chat,
    wanted_by_completion,
)
from fireside.gateway.routes import Choice
from fireside.gateway.supersede import Supersession
from fireside.gateway.texts import sendable, whole
from fireside.gateway.warmup import Warmup
from fireside.models.card import Capability, ModelCard

PARALLEL = 2
log = logging.getLogger(__name__)
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``routes``: a name of your own -> models to share its requests by weight, and to stand in for each other.

    ``order``: engine names, the preferred first; others follow in the order of the configuration, those in the cloud last.
    ``cloud``: engines in the cloud may stand in for others; without it they answer only where they are named. ``fallback``: another
    model may stand in for the one an alias names; a model named in the request itself is never replaced. ``pull_missing``: a model that
    is named but missing is pulled. ``shrink_context``: a conversation too long for its model loses its oldest turns, else it is an error.

    ``parallel``: engine -> requests at once (else what the engine says, else 2). ``max_waiting``: requests in line per engine.
    ``ageing``: seconds of waiting worth one class (typing, chat, agent, batch). ``retries``: how often one engine is asked again.
    ``patience``: the longest "try again later" that is waited for, in seconds. ``breaker_failures`` in a row leave an engine alone for
    ``breaker_seconds``. ``cache_bytes``: memory for repeatable answers; 0 turns the cache off.
    """

    routes: dict[str, tuple[Choice, ...]] = {}
    order: tuple[str, ...] = ()
    cloud: bool = False
    fallback: bool = True
    pull_missing: bool = False
    shrink_context: bool = False
    parallel: dict[str, Annotated[int, msgspec.Meta(ge=1)]] = {}
    max_waiting: Annotated[int, msgspec.Meta(ge=0)] = 64
    ageing: Seconds = 10.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 2
    patience: Seconds = 2.0
    breaker_failures: Annotated[int, msgspec.Meta(ge=1)] = 5
    breaker_seconds: Seconds = 10.0
    cache_bytes: Annotated[int, msgspec.Meta(ge=0)] = 8 * 1024 * 1024


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
        self._memory = memory
        self._events = events
        self._rng = rng
        self.metrics = Metrics(events)
        self.cache = ResponseCache(settings.cache_bytes)
        self._gates = {engine.name: _gate(engine, settings, events) for engine in engines}
        self._board = HealthBoard(engines, answered=lambda name: self._gates[name].breaker.invite())
        self._catalog = Catalog(engines)
        self._warmup = Warmup(events)
        self._pulls = Pulls(engines, catalog=self._catalog, events=events)
        self._pipeline = Pipeline(self._gates, board=self._board, events=events)
        self._supersession = Supersession()
        self._numbers = itertools.count(1)
        self.configure(settings, aliases or {})

    def configure(self, settings: GatewaySettings, aliases: Mapping[str, str]) -> None:
        """Take over changed settings while running: aliases, routes, what is allowed, and queue limits.

        Breaker and cache keep the limits they were built with.
        """
        self._policy = Policy(
            retries=settings.retries,
            patience=settings.patience,
            pull=settings.pull_missing,
            shrink=settings.shrink_context,
        )
        self._router = Router(
            self._engines,
            aliases=aliases,
            routes=settings.routes,
            order=settings.order,
            cloud=settings.cloud,
            fallback=settings.fallback,
            pull_missing=settings.pull_missing,
            memory=self._memory,
            health=self._board.known,
            load=lambda name: self._gates[name].queue.load,
            rng=self._rng,
        )
        for engine in self._engines:
            self._gates[engine.name].queue.limit(_parallel(engine, settings), settings.max_waiting)

    def chat(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """The answer, piece by piece; the last piece says who answered. Close the iterator to cancel: the slot is free at once.

        Raises ``FiresideError`` when nobody can answer, and in mid-answer when the engine breaks off.
        A stream that a newer request supersedes ends with the finish reason "cancelled".
        """
        return self._answer("chat", sendable(request), wanted_by_chat(request))

    def complete(self, request: CompletionRequest) -> AsyncIterator[Delta]:
        """The text between prefix and suffix; otherwise as ``chat``."""
        return self._answer("complete", sendable(request), wanted_by_completion(request))

    async def embed(
        self, texts: Sequence[str], model: str = "embed", *, priority: Priority = Priority.AGENT
    ) -> Vectors:
        """One vector per text. Only the model that was chosen answers, on whichever engine: vectors of two models do not compare."""
        call, texts = Call(next(self._numbers), "embed", model, priority), [whole(text) for text in texts]
        self._events.publish(signals.RequestStarted(call.number, "embed", model, priority, None))
        try:
            plan = await self._plan(Wanted("embed", model, frozenset(("embed",))), call)
            candidates = [each for each in plan.candidates if each.card.name == plan.candidates[0].card.name]
            attempts = self._attempts(call, replace(plan, candidates=tuple(candidates)))
            vectors = await self._pipeline.once(call, attempts, lambda each: each.engine.embed(texts, each.card))
            self._finish(call, Delta(finish_reason="stop", engine=call.engine, model=attempts.candidate.card.name))
            return vectors
        except FiresideError as error:
            self._fail(call, error)
            raise
        finally:
            self._leave(call)

    async def models(self, *, refresh: bool = False) -> list[ModelCard]:
        """All models of all engines that answer, in the order of the engines."""
        listing = await self._catalog.listing(refresh=refresh)
        return [card for cards in listing.cards.values() for card in cards]

    async def card_for(self, model: str, *, needs: Collection[Capability] = ()) -> ModelCard | None:
        """The model that would answer to this name. ``None`` when nothing was chosen and nothing here can do it.

        Raises what is wrong with a choice: ``ModelNotFound`` (with the closest names), ``ConnectionFailed``, ``Invalid``, ...
        """
        wanted = Wanted(role_of(model, needs), model, frozenset(needs))
        plan = await self._look_up(wanted)
        if plan.candidates:
            return plan.candidates[0].card
        if plan.named and plan.error:
            raise plan.error.with_traceback(None)
        return None

    async def health(self) -> dict[str, EngineHealth]:
        """Every engine, looked at now; one that answers but cannot list its models is down, with that as the reason."""
        found, listing = await asyncio.gather(self._board.all(), self._catalog.listing())
        for name, error in listing.errors.items():
            if found[name].state != "down":
                found[name] = replace(found[name], state="down", detail=error.message, remedy=error.remedy)
        return found

    def load(self) -> dict[str, tuple[int, int]]:
        """Engine -> requests running and requests waiting there, as far as they came through here."""
        return {name: (gate.queue.running, gate.queue.waiting) for name, gate in self._gates.items()}

    async def warm(self, request: ChatRequest) -> None:
        """Load the model this request would get, and compute its stable start. Raises what the engine raises."""
        plan = await self._plan(wanted_by_chat(request))
        first = plan.candidates[0]
        await self._warmup.warm(first.engine, first.card, sendable(request))

    async def count_tokens(self, request: ChatRequest | str, *, model: str = "chat") -> int | None:
        """Prompt tokens of a request (or of a text, for ``model``) at the model that would answer; ``None`` where nobody can tell."""
        wanted = Wanted("chat", model) if isinstance(request, str) else wanted_by_chat(request)
        try:
            first = (await self._plan(wanted)).candidates[0]
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
        closed = await asyncio.gather(*(engine.aclose() for engine in self._engines), return_exceptions=True)
        for engine, error in zip(self._engines, closed, strict=True):
            if error is not None:
                # One that cannot close itself keeps nobody else from it.
                log.error("%s could not be closed", engine.name, exc_info=error)

    def _answer(
        self, kind: signals.Kind, request: ChatRequest | CompletionRequest, wanted: Wanted
    ) -> AsyncIterator[Delta]:
        call = Call(next(self._numbers), kind, request.model, request.priority, request.session, request)
        stream = self._stream(call, wanted)
        return self._supersession.guard(request.supersedes, call.line, stream) if request.supersedes else stream

    async def _stream(self, call: Call, wanted: Wanted) -> AsyncIterator[Delta]:
        self._events.publish(signals.RequestStarted(call.number, call.kind, call.model, call.priority, call.session))
        try:
            plan = await self._plan(wanted, call)
            async with closing(self._remembered(call, plan)) as deltas:
                async for delta in deltas:
                    if delta.finish_reason is not None:
                        self._finish(call, delta)
                    yield delta
        except FiresideError as error:
            self._fail(call, error)
            raise
        finally:
            self._leave(call)

    def _remembered(self, call: Call, plan: Plan) -> AsyncIterator[Delta]:
        """From the cache when the answer is known, else from the engines, and then remembered when it is repeatable."""
        first = plan.candidates[0]
        assert call.request is not None
        key = self.cache.key(call.request, first.card, first.engine.boundary)
        known = self.cache.get(key) if key else None
        if known:
            return self._replay(call, first, known)
        fresh = self._pipeline.stream(call, self._attempts(call, plan))
        return self._remember(key, first, fresh) if key else fresh

    async def _replay(self, call: Call, first: Candidate, answer: Sequence[Delta]) -> AsyncIterator[Delta]:
        call.cached, call.engine = True, first.engine.name
        self._events.publish(signals.CacheHit(call.number, call.engine, first.card.name))
        for delta in answer:
            call.usage = delta.usage or call.usage
            yield delta

    async def _remember(self, key: bytes, first: Candidate, fresh: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
        answer: list[Delta] = []
        async with closing(fresh) as deltas:
            async for delta in deltas:
                answer.append(delta)
                # Only the model the key was made for may answer under it; one that stood in may not.
                if delta.finish_reason and (delta.engine, delta.model) == (first.engine.name, first.card.name):
                    self.cache.put(key, answer)
                yield delta

    async def _plan(self, wanted: Wanted, call: Call | None = None) -> Plan:
        plan = await self._look_up(wanted)
        if plan.error is not None:
            raise plan.error.with_traceback(None)
        if call is not None:
            for skipped in plan.skipped:
                target = plan.candidates[0].label
                self._events.publish(signals.FellBack(call.number, skipped.label, target, skipped.error))
        return plan

    async def _look_up(self, wanted: Wanted) -> Plan:
        listing = await self._catalog.listing(needed=self._router.needed(wanted.model))
        plan = self._router.plan(wanted, listing)
        if plan.candidates:
            return plan
        # Perhaps it came a moment ago: pulled by another program, or the engine has just been started.
        return self._router.plan(wanted, await self._catalog.recheck())

    def _attempts(self, call: Call, plan: Plan) -> Attempts:
        return Attempts(call, plan, policy=self._policy, events=self._events, pull=self._pulls.bring)

    def _finish(self, call: Call, last: Delta) -> None:
        call.over = True
        self._events.publish(
            signals.RequestFinished(
                call.number,
                kind=call.kind,
                engine=last.engine,
                model=last.model,
                finish_reason=last.finish_reason or "stop",
                usage=call.usage,
                queued=call.queued,
                first_token=call.first,
                seconds=call.seconds,
                cached=call.cached,
            )
        )

    def _fail(self, call: Call, error: FiresideError) -> None:
        call.over = True
        self._events.publish(signals.RequestFailed(call.number, call.kind, call.engine, error, call.seconds))

    def _leave(self, call: Call) -> None:
        if not call.over:
            superseded = call.line.superseded
            self._events.publish(
                signals.RequestCancelled(call.number, call.kind, call.engine, superseded, call.seconds)
            )


def _gate(engine: Engine, settings: GatewaySettings, events: EventBus) -> Gate:
    queue = Queue(engine.name, ageing=settings.ageing)
    breaker = Breaker(engine.name, events=events, failures=settings.breaker_failures, seconds=settings.breaker_seconds)
    return Gate(queue, breaker)


def _parallel(engine: Engine, settings: GatewaySettings) -> int:
    """What the user says, else what the engine knows of itself, else a number that is fair on a CPU: chat and autocomplete."""
    own = getattr(engine, "parallel", PARALLEL)
    return settings.parallel.get(engine.name, own if isinstance(own, int) and own > 0 else PARALLEL)
