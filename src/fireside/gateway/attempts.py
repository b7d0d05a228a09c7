"""One request, its candidates, and what becomes of it when one of them fails.

``recovery`` decides; here it is done: wait, pull, shorten, move on, or raise. Knows no queue, no breaker and no stream.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fireside.core.errors import ContextTooLong, FiresideError, Invalid
from fireside.core.events import EventBus
from fireside.core.requests import ChatRequest, CompletionRequest, Priority, Usage
from fireside.core.retry import Backoff
from fireside.gateway import signals
from fireside.gateway.recovery import FINAL, Action, Facts, Step, decide, shrink
from fireside.gateway.router import Candidate, Plan
from fireside.gateway.supersede import Line


@dataclass(slots=True, eq=False)
class Call:
    """One request on its way through the gateway, and how far it has come. Times from ``time.perf_counter``, in seconds."""

    number: int
    kind: signals.Kind
    model: str
    priority: Priority
    session: str | None = None
    request: ChatRequest | CompletionRequest | None = None
    engine: str = ""
    began: float = field(default_factory=time.perf_counter)
    queued: float = 0.0
    first: float | None = None
    usage: Usage = field(default_factory=Usage)
    given: bool = False
    over: bool = False
    cached: bool = False
    line: Line = field(default_factory=Line)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began


@dataclass(frozen=True, slots=True)
class Policy:
    """``retries``: how often one engine is asked again. ``patience``: seconds. ``pull``, ``shrink``: what the user allows."""

    retries: int = 2
    patience: float = 2.0
    pull: bool = False
    shrink: bool = False
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.1, limit=2.0, jitter=0.5))


class Attempts:
    """Where one request stands among its candidates."""

    def __init__(
        self,
        call: Call,
        plan: Plan,
        *,
        policy: Policy,
        events: EventBus,
        pull: Callable[[Candidate], Awaitable[Candidate]],
    ) -> None:
        self._call = call
        self._left = list(plan.candidates)
        self._policy = policy
        self._events = events
        self._pull = pull
        self._retries = 0
        self._may_pull = policy.pull
        self._may_shrink = policy.shrink and isinstance(call.request, ChatRequest)
        self.failures = 0
        self._first_error: FiresideError | None = None
        self._waits = policy.backoff.waits()

    @property
    def candidate(self) -> Candidate:
        return self._left[0]

    @property
    def alone(self) -> bool:
        return len(self._left) == 1

    async def recover(self, error: FiresideError) -> None:
        """Make the next try possible. Raises when there is none: the first candidate's error, for that is the one the user chose."""
        self.failures += 1
        self._events.publish(signals.AttemptFailed(self._call.number, self.candidate.engine.name, error))
        action = decide(error, self._retries, self._facts(error))
        match action.step:
            case Step.RETRY:
                await self._again(action, error)
            case Step.PULL:
                await self._bring(error)
            case Step.SHRINK:
                self._shorten(error)
            case Step.NEXT:
                self._move_on(error)
            case Step.GIVE_UP:
                raise self._final(error)

    def _facts(self, error: FiresideError) -> Facts:
        others = self._left[1:]
        return Facts(
            started=self._call.given,
            others=bool(others),
            wider=any(_wider(other, self.candidate) for other in others),
            retries=self._policy.retries,
            patience=self._policy.patience,
            may_pull=self._may_pull,
            may_shrink=self._may_shrink,
        )

    async def _again(self, action: Action, error: FiresideError) -> None:
        self._retries += 1
        wait = next(self._waits, self._policy.backoff.limit) if action.wait is None else action.wait
        name = self.candidate.engine.name
        self._events.publish(signals.Retried(self._call.number, name, self._retries, wait, error))
        await asyncio.sleep(wait)

    async def _bring(self, missing: FiresideError) -> None:
        self._may_pull = False
        try:
            self._left[0] = await self._pull(self.candidate)
        except Invalid:
            # This engine cannot pull at all; then the model is simply missing here.
            await self.recover(missing)
        except FiresideError as error:
            await self.recover(error)

    def _shorten(self, error: FiresideError) -> None:
        self._may_shrink = False
        call, card = self._call, self.candidate.card
        window = _number(error.context.get("context_window")) or card.context_window
        tokens = _number(error.context.get("prompt_tokens"))
        assert isinstance(call.request, ChatRequest)
        shorter = shrink(call.request, tokens or 2 * window, window) if window else None
        if shorter is None:
            raise self._final(error)
        call.request, left_out = shorter
        self._events.publish(signals.Trimmed(call.number, self.candidate.engine.name, card.name, left_out))

    def _move_on(self, error: FiresideError) -> None:
        self._first_error = self._first_error or error
        source = self._left.pop(0)
        if isinstance(error, ContextTooLong):
            self._left = [other for other in self._left if _wider(other, source)]
        self._retries = 0
        self._waits = self._policy.backoff.waits()
        self._events.publish(signals.FellBack(self._call.number, source.label, self.candidate.label, error))

    def _final(self, error: FiresideError) -> FiresideError:
        """A request that is wrong is told so; otherwise the first engine's error says most."""
        return error if error.kind in FINAL else self._first_error or error


def _wider(other: Candidate, than: Candidate) -> bool:
    """Whether a longer prompt may fit there; an unknown window may."""
    return not other.card.context_window or other.card.context_window > than.card.context_window


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
