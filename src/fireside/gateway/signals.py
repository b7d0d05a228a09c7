"""What the gateway says while it works: one small frozen class per happening.

Nothing here holds a prompt or an answer: names, numbers and typed errors only, so any listener may log what it hears.
All times are in seconds.
"""

from typing import Literal

import msgspec

from fireside.core.errors import FiresideError
from fireside.core.requests import FinishReason, Priority, Usage
from fireside.engines.engine import PullProgress

Kind = Literal["chat", "complete", "embed"]


class Signal(msgspec.Struct, frozen=True, gc=False):
    """Anything the gateway says; subscribe to this to hear all of it."""


class RequestSignal(Signal, frozen=True, gc=False):
    """Belongs to one request. ``request``: its number, unique within one gateway."""

    request: int


class RequestStarted(RequestSignal, frozen=True, gc=False):
    kind: Kind
    model: str
    priority: Priority
    session: str | None


class Queued(RequestSignal, frozen=True, gc=False):
    """Said again whenever the ``position`` changes; 1 goes next. ``session``: so that a door knows whether this is its own."""

    engine: str
    position: int
    session: str | None


class FirstToken(RequestSignal, frozen=True, gc=False):
    """The first content is here, ``seconds`` after the request came."""

    engine: str
    model: str
    seconds: float


class Retried(RequestSignal, frozen=True, gc=False):
    """The same engine is asked again after ``wait``; ``attempt`` counts from 1."""

    engine: str
    attempt: int
    wait: float
    error: FiresideError


class FellBack(RequestSignal, frozen=True, gc=False):
    """Another candidate takes over. ``source`` and ``target`` read ``model@engine``."""

    source: str
    target: str
    error: FiresideError


class Hedged(RequestSignal, frozen=True, gc=False):
    """The first engine has not begun in time; a second one is asked as well. ``source`` and ``target`` read ``model@engine``."""

    source: str
    target: str


class HedgeWon(RequestSignal, frozen=True, gc=False):
    """The second engine spoke first; the first was cancelled."""

    source: str
    target: str


class Recovered(RequestSignal, frozen=True, gc=False):
    """An answer came after all, ``failures`` failed tries later."""

    engine: str
    model: str
    failures: int


class Trimmed(RequestSignal, frozen=True, gc=False):
    """The request was too long for the model: of a conversation its oldest ``messages``, of code what is far from the cursor, in
    ``characters``, were left out."""

    engine: str
    model: str
    messages: int
    characters: int = 0


class Clamped(RequestSignal, frozen=True, gc=False):
    """More tokens were asked for than the window has room for beside the prompt: ``given`` instead of ``asked``."""

    engine: str
    model: str
    asked: int
    given: int


class PullAwaited(RequestSignal, frozen=True, gc=False):
    """The model this request needs is on its way to ``engine``; several requests may wait for the same one."""

    engine: str
    model: str
    progress: PullProgress


class ToolCallRepaired(RequestSignal, frozen=True, gc=False):
    """``fault``: what was wrong with a tool call (``text_json``, ``arguments_closed``, ``name``, ...); one signal for each fault."""

    engine: str
    fault: str


class CacheHit(RequestSignal, frozen=True, gc=False):
    """The answer was known; no engine was asked."""

    engine: str
    model: str


class RequestFinished(RequestSignal, frozen=True, gc=False):
    """``queued``: time spent in line; ``first_token``: until the first content, ``None`` without any; ``cached``: a replayed answer."""

    kind: Kind
    engine: str
    model: str
    finish_reason: FinishReason
    usage: Usage
    queued: float
    first_token: float | None
    seconds: float
    cached: bool = False

    @property
    def rate(self) -> float:
        """Tokens a second, as the engine measured it where it did; 0 where there is nothing to tell."""
        if self.first_token is None or self.usage.completion_tokens < 2:
            return 0.0
        spent = self.usage.completion_seconds or self.seconds - self.first_token
        return self.usage.completion_tokens / spent if spent > 0 else 0.0


class Assigned(RequestSignal, frozen=True, gc=False):
    """An experiment gave the request to one of its arms."""

    experiment: str
    arm: str


class RequestFailed(RequestSignal, frozen=True, gc=False):
    """``engine`` is empty when no engine could be chosen."""

    kind: Kind
    engine: str
    error: FiresideError
    seconds: float


class RequestCancelled(RequestSignal, frozen=True, gc=False):
    """The reader went away, or (``superseded``) a newer request made this one pointless."""

    kind: Kind
    engine: str
    superseded: bool
    seconds: float


class AttemptFailed(RequestSignal, frozen=True, gc=False):
    """One try on one engine failed; what follows (a retry, another engine, the end) is said separately."""

    engine: str
    error: FiresideError


class BreakerOpened(Signal, frozen=True, gc=False):
    """``engine`` failed ``failures`` times in a row and is left alone for ``seconds``."""

    engine: str
    failures: int
    seconds: float
    error: FiresideError


class BreakerClosed(Signal, frozen=True, gc=False):
    engine: str


class ModelWarmed(Signal, frozen=True, gc=False):
    engine: str
    model: str
    seconds: float


class PullMoved(Signal, frozen=True, gc=False):
    """A model is on its way to ``engine``."""

    engine: str
    model: str
    progress: PullProgress
