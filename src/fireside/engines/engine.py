"""The waist of the inference wing: what every engine can be asked.

An engine turns a request into Deltas and raises ``FiresideError`` when it cannot. It does not retry, queue, fall back or cache:
that is the gateway's. Closing a stream (``aclose`` on the iterator) frees the engine's slot at once.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Protocol

from fireside.core.requests import ChatRequest, CompletionRequest, Delta, Vectors
from fireside.models.card import ModelCard


class Boundary(IntEnum):
    """How far a prompt travels to this engine. A request never moves to a larger number without the user's yes."""

    MACHINE = 0
    NETWORK = 1
    CLOUD = 2


@dataclass(frozen=True, slots=True)
class Resident:
    """A model in memory. ``size``, ``size_vram``: bytes; ``context``: tokens; 0 where the engine does not say.

    ``expires``: when it leaves, in seconds since 1970; negative: never; ``None``: nobody knows.
    """

    name: str
    size: int = 0
    size_vram: int = 0
    context: int = 0
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """``state``: ready (answers now), loading, idle (would start on demand) or down. ``detail``: one line; ``remedy`` when down.

    ``latency``: seconds one look took; ``loaded``: names of models in memory; ``busy``: requests running, where the engine says.
    ``residents``: what the engine knows of those that are loaded.
    """

    state: Literal["ready", "loading", "idle", "down"]
    detail: str = ""
    remedy: str = ""
    latency: float = 0.0
    loaded: tuple[str, ...] = ()
    busy: int = 0
    residents: tuple[Resident, ...] = ()


@dataclass(frozen=True, slots=True)
class PullProgress:
    """``completed`` and ``total`` in bytes; ``total`` is 0 while unknown. ``digest``: of the part that is coming, where there are parts."""

    status: str
    completed: int = 0
    total: int = 0
    digest: str = ""


class Engine(Protocol):
    """One place where models run.

    Streams end with exactly one Delta that has a ``finish_reason``, or raise. A stream the other side ends without one raises
    ``ConnectionFailed`` (cause "cut"): a finish reason is never invented.
    """

    @property
    def name(self) -> str: ...

    @property
    def boundary(self) -> Boundary: ...

    def chat(self, request: ChatRequest, card: ModelCard) -> AsyncIterator[Delta]: ...

    def complete(self, request: CompletionRequest, card: ModelCard) -> AsyncIterator[Delta]: ...

    async def embed(self, texts: Sequence[str], card: ModelCard) -> Vectors: ...

    async def models(self) -> list[ModelCard]:
        """What can be asked for here now. Raises ``ConnectionFailed`` when nothing answers."""
        ...

    async def health(self) -> EngineHealth:
        """Never raises; answers within about a second."""
        ...

    async def count_tokens(self, request: ChatRequest | str, card: ModelCard) -> int | None:
        """Prompt tokens of a text, or of a whole request with its template; ``None`` where the engine cannot tell without running."""
        ...

    async def warm(self, request: ChatRequest, card: ModelCard) -> None:
        """Load the model and, where the engine can, compute the prompt, so that the next request that starts alike is quick."""
        ...

    def pull(self, name: str) -> AsyncIterator[PullProgress]:
        """Bring a model here. Raises ``Invalid`` where that cannot be asked."""
        ...

    async def aclose(self) -> None: ...
