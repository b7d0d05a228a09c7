"""An answer as its reader gets it: from memory when it is known, else from the engines, its tool calls put right, and then remembered.

Knows the way of one answer through these three and nothing of engines, queues or names.
"""

from collections.abc import Sequence

from fireside.core.requests import ChatRequest, Delta
from fireside.core.streams import closing
from fireside.gateway import signals
from fireside.gateway.attempts import Attempts, Call
from fireside.gateway.batches import Batches
from fireside.gateway.cache import ResponseCache
from fireside.gateway.fallback import Pipeline
from fireside.gateway.plans import Candidate
from fireside.gateway.repair import Repaired, repaired


class Answers:
    def __init__(self, cache: ResponseCache, pipeline: Pipeline) -> None:
        self._cache = cache
        self._pipeline = pipeline

    def to(self, call: Call, first: Candidate, attempts: Attempts) -> Batches:
        """The answer to ``call``. ``first``: who is asked first, and whose answer would be remembered."""
        request = call.request
        assert request is not None
        key = self._cache.key(request, first.card, first.engine.boundary)
        known = self._cache.get(key) if key else None
        if known:
            return _replayed(call, first, known)
        fresh = self._pipeline.stream(call, attempts)
        if isinstance(request, ChatRequest) and (request.tools or request.response_format is not None):
            fresh = repaired(request, fresh, heard=lambda repair: _tell(call, repair))
        return self._remembered(key, first, fresh) if key else fresh

    async def _remembered(self, key: bytes, first: Candidate, fresh: Batches) -> Batches:
        answer: list[Delta] = []
        async with closing(fresh) as batches:
            async for batch in batches:
                answer += batch
                last = batch[-1]
                # Only the model the key was made for may answer under it; one that stood in may not.
                if last.finish_reason and (last.engine, last.model) == (first.engine.name, first.card.name):
                    self._cache.put(key, answer)
                yield batch


async def _replayed(call: Call, first: Candidate, answer: Sequence[Delta]) -> Batches:
    call.cached, call.engine = True, first.engine.name
    call.say(signals.CacheHit(call.number, call.engine, first.card.name))
    call.heard(answer)
    yield list(answer)


def _tell(call: Call, repair: Repaired) -> None:
    call.say(signals.ToolCallRepaired(call.number, call.engine, repair.fault))
