"""A second engine is asked when the first takes too long to begin; whoever says something first answers, the other is cancelled.

Costs work for time, so it is opt-in and has a budget (Dean & Barroso, "The Tail at Scale", CACM 2013). Never reaches further than the
first engine, and never into the cloud.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from fireside.core.requests import Delta
from fireside.core.streams import closing
from fireside.engines.engine import Boundary
from fireside.gateway.attempts import Attempts, Call
from fireside.gateway.balance import Standing
from fireside.gateway.batches import Batches
from fireside.gateway.metrics import Histogram
from fireside.gateway.plans import Candidate

# Answers that must have been seen before it is known what is late.
ENOUGH = 20
# Hedges that may be saved up; more would let a burst double the load.
SAVED = 5.0


class Hedge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``after``: seconds without a word, or ``p95``: longer than nineteen of twenty answers took. ``budget``: share of the requests."""

    after: Annotated[float, msgspec.Meta(gt=0)] | Literal["p95"] = "p95"
    budget: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.05


class Hedging:
    """Whether, when and where a request is hedged. ``standing``: how a candidate's engine is doing. ``seen``: when answers began."""

    def __init__(self, hedge: Hedge, *, standing: Callable[[Candidate], Standing], seen: Histogram) -> None:
        self._hedge = hedge
        self._standing = standing
        self._seen = seen
        self._saved = 0.0

    def second(self, call: Call, attempts: Attempts) -> Candidate | None:
        """Who may be asked beside the first. ``None`` where nobody may, or the budget is spent."""
        if call.request is None or call.request.supersedes:
            return None
        self._saved = min(SAVED, self._saved + self._hedge.budget)
        if self._saved < 1:
            return None
        reach = attempts.candidate.engine.boundary
        for other in attempts.others:
            if other.engine.boundary <= reach and other.engine.boundary < Boundary.CLOUD and self._free(other):
                return other
        return None

    @property
    def after(self) -> float | None:
        """Seconds to wait for the first; ``None`` while it is not known what is late."""
        if self._hedge.after != "p95":
            return self._hedge.after
        return self._seen.quantile(0.95) if self._seen.count >= ENOUGH else None

    def spend(self) -> None:
        self._saved -= 1

    def _free(self, other: Candidate) -> bool:
        standing = self._standing(other)
        return not standing.refuses and not standing.slow and standing.load < 1


class Runner:
    """A stream that is read in a task of its own, a batch ahead. ``begun``: done with its first word, or with what it failed of before."""

    def __init__(self, stream: Batches) -> None:
        self.begun: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._read: asyncio.Queue[list[Delta] | Exception | None] = asyncio.Queue(1)
        self._task = asyncio.ensure_future(self._run(stream))

    async def batches(self) -> Batches:
        while (item := await self._read.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    async def aclose(self) -> None:
        """Leave the stream, and wait until it is left."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, stream: Batches) -> None:
        end: Exception | None = None
        try:
            async with closing(stream) as batches:
                async for batch in batches:
                    self._begin(None)
                    await self._read.put(batch)
        except Exception as error:  # noqa: BLE001  whatever it is, whoever reads shall have it
            end = error
        self._begin(end)
        await self._read.put(end)

    def _begin(self, error: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_result(error)


async def first_to_speak(first: Runner, second: Runner) -> Runner:
    """The one that says something first, the first of them where both do; the first of them, too, where neither ever does."""
    waiting = {first.begun, second.begun}
    while waiting:
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for runner in (first, second):
            if runner.begun.done() and runner.begun.result() is None:
                return runner
    return first
