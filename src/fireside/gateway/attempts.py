"""One request, its candidates, and what becomes of it when one of them fails.

``recovery`` decides; here it is done: wait, pull, shorten, move on, or raise. Knows no queue, no breaker and no stream.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fireside.core.errors import ContextTooLong, FiresideError, Invalid
from fireside.core.events import EventBus
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, Priority, Usage
from fireside.core.retry import Backoff
from fireside.gateway import signals
from fireside.gateway.plans import Candidate, Plan
from fireside.gateway.recovery import FINAL, Action, Facts, Step, decide, shrink
from fireside.gateway.supersede import Line

NOTHING = Usage()
Told = Callable[[signals.RequestSignal], None]


@dataclass(slots=True, eq=False)
class Call:
    """One request on its way through the gateway, and how far it has come. Times from ``time.perf_counter``, in seconds.

    ``size``: bytes of the request's text, ``None`` = not looked at. ``given``: whether the reader has got something. ``counted``: the
    prompt's tokens, where the engine's tokenizer said so. ``told``: who asked, if they want to hear what is said about this request.
    """

    events: EventBus
    number: int
    kind: signals.Kind
    model: str
    priority: Priority
    session: str | None = None
    request: ChatRequest | CompletionRequest | None = None
    size: int | None = None
    engine: str = ""
    began: float = field(default_factory=time.perf_counter)
    queued: float = 0.0
    first: float | None = None
    usage: Usage = NOTHING
    counted: int | None = None
    given: bool = False
    over: bool = False
    cached: bool = False
    line: Line | None = None
    told: Told | None = None

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def say(self, signal: signals.RequestSignal) -> None:
        """To everybody who listens to the gateway, and to who asked."""
        self.events.publish(signal)
        if self.told is not None:
            self.events.deliver(self.told, signal)

    def finished(self, last: Delta) -> None:
        """The last piece is here; it says who answered."""
        self.over = True
        self.say(
            signals.RequestFinished(
                self.number,
                kind=self.kind,
                engine=last.engine,
                model=last.model,
                finish_reason=last.finish_reason or "stop",
                usage=self.usage,
                queued=self.queued,
                first_token=self.first,
                seconds=self.seconds,
                cached=self.cached,
            )
        )

    def failed(self, error: FiresideError) -> None:
        self.over = True
        self.say(signals.RequestFailed(self.number, self.kind, self.engine, error, self.seconds))

    def left(self) -> None:
        """Whoever asked goes; before the end, that is a cancellation."""
        if not self.over:
            superseded = self.line is not None and self.line.superseded
            self.say(signals.RequestCancelled(self.number, self.kind, self.engine, superseded, self.seconds))

    def heard(self, batch: Iterable[Delta]) -> None:
        """Remember the usage, wherever in the answer it comes."""
        for delta in batch:
            if delta.usage is not None:
                self.usage = delta.usage


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
        pull: Callable[[Candidate, Call], Awaitable[Candidate]],
    ) -> None:
        self._call = call
        self._left = list(plan.candidates)
        self._policy = policy
        self._pull = pull
        self._retries = 0
        self._may_pull = policy.pull
        self._may_shrink = policy.shrink and isinstance(call.request, ChatRequest)
        self.failures = 0
        self._first_error: FiresideError | None = None
        self._waits: Iterator[float] | None = None

    @property
    def candidate(self) -> Candidate:
        return self._left[0]

    @property
    def others(self) -> Sequence[Candidate]:
        return self._left[1:]

    def prefer(self, candidate: Candidate) -> None:
        """It answers: it is the one that counts from now on."""
        self._left = [candidate, *(other for other in self._left if other is not candidate)]

    def failed(self, candidate: Candidate, error: FiresideError) -> None:
        """One that was asked beside the first did not answer."""
        self.failures += 1
        self._call.say(signals.AttemptFailed(self._call.number, candidate.engine.name, error))
        self._left = [other for other in self._left if other is not candidate]

    @property
    def alone(self) -> bool:
        return len(self._left) == 1

    async def recover(self, error: FiresideError) -> None:
        """Make the next try possible. Raises when there is none: the first candidate's error, for that is the one the user chose."""
        self.failures += 1
        self._call.say(signals.AttemptFailed(self._call.number, self.candidate.engine.name, error))
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
        if self._waits is None:
            self._waits = self._policy.backoff.waits()
        wait = next(self._waits, self._policy.backoff.limit) if action.wait is None else action.wait
        name = self.candidate.engine.name
        self._call.say(signals.Retried(self._call.number, name, self._retries, wait, error))
        await asyncio.sleep(wait)

    async def _bring(self, missing: FiresideError) -> None:
        self._may_pull = False
        try:
            self._left[0] = await self._pull(self.candidate, self._call)
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
        (call.request, left_out), call.size = shorter, None
        self._call.say(signals.Trimmed(call.number, self.candidate.engine.name, card.name, left_out))

    def _move_on(self, error: FiresideError) -> None:
        self._first_error = self._first_error or error
        source = self._left.pop(0)
        if isinstance(error, ContextTooLong):
            self._left = [other for other in self._left if _wider(other, source)]
        self._retries = 0
        self._waits = None
        self._call.say(signals.FellBack(self._call.number, source.label, self.candidate.label, error))

    def _final(self, error: FiresideError) -> FiresideError:
        """A request that is wrong is told so; otherwise the first engine's error says most."""
        return error if error.kind in FINAL else self._first_error or error


def _wider(other: Candidate, than: Candidate) -> bool:
    """Whether a longer prompt may fit there; an unknown window may."""
    return not other.card.context_window or other.card.context_window > than.card.context_window


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
