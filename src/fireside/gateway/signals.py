"""What the gateway says while it works: one small frozen class per happening.

Nothing here holds a prompt or an answer: names, numbers and typed errors only, so any listener may log what it hears.
All times are in seconds.
"""

from dataclasses import dataclass
from typing import Literal

from fireside.core.errors import FiresideError
from fireside.core.requests import FinishReason, Priority, Usage
from fireside.engines.engine import PullProgress

Kind = Literal["chat", "complete", "embed"]


@dataclass(frozen=True, slots=True)
class Signal:
    """Anything the gateway says; subscribe to this to hear all of it."""


@dataclass(frozen=True, slots=True)
class RequestSignal(Signal):
    """Belongs to one request. ``request``: its number, unique within one gateway."""

    request: int


@dataclass(frozen=True, slots=True)
class RequestStarted(RequestSignal):
    kind: Kind
    model: str
    priority: Priority
    session: str | None


@dataclass(frozen=True, slots=True)
class Queued(RequestSignal):
    """Said again whenever the ``position`` changes; 1 goes next. ``session``: so that a door knows whether this is its own."""

    engine: str
    position: int
    session: str | None


@dataclass(frozen=True, slots=True)
class FirstToken(RequestSignal):
    """The first content is here, ``seconds`` after the request came."""

    engine: str
    model: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Retried(RequestSignal):
    """The same engine is asked again after ``wait``; ``attempt`` counts from 1."""

    engine: str
    attempt: int
    wait: float
    error: FiresideError


@dataclass(frozen=True, slots=True)
class FellBack(RequestSignal):
    """Another candidate takes over. ``source`` and ``target`` read ``model@engine``."""

    source: str
    target: str
    error: FiresideError


@dataclass(frozen=True, slots=True)
class Recovered(RequestSignal):
    """An answer came after all, ``failures`` failed tries later."""

    engine: str
    model: str
    failures: int


@dataclass(frozen=True, slots=True)
class Trimmed(RequestSignal):
    """The conversation was too long for the model: its oldest ``messages`` (a count) were left out of this request."""

    engine: str
    model: str
    messages: int


@dataclass(frozen=True, slots=True)
class CacheHit(RequestSignal):
    """The answer was known; no engine was asked."""

    engine: str
    model: str


@dataclass(frozen=True, slots=True)
class RequestFinished(RequestSignal):
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


@dataclass(frozen=True, slots=True)
class RequestFailed(RequestSignal):
    """``engine`` is empty when no engine could be chosen."""

    kind: Kind
    engine: str
    error: FiresideError
    seconds: float


@dataclass(frozen=True, slots=True)
class RequestCancelled(RequestSignal):
    """The reader went away, or (``superseded``) a newer request made this one pointless."""

    kind: Kind
    engine: str
    superseded: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class AttemptFailed(RequestSignal):
    """One try on one engine failed; what follows (a retry, another engine, the end) is said separately."""

    engine: str
    error: FiresideError


@dataclass(frozen=True, slots=True)
class BreakerOpened(Signal):
    """``engine`` failed ``failures`` times in a row and is left alone for ``seconds``."""

    engine: str
    failures: int
    seconds: float
    error: FiresideError


@dataclass(frozen=True, slots=True)
class BreakerClosed(Signal):
    engine: str


@dataclass(frozen=True, slots=True)
class ModelWarmed(Signal):
    engine: str
    model: str
    seconds: float


@dataclass(frozen=True, slots=True)
class PullMoved(Signal):
    """A model is on its way to ``engine``."""

    engine: str
    model: str
    progress: PullProgress
