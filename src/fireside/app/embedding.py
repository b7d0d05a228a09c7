"""Embeddings for the index from models behind the gateway: Ollama, llama.cpp, or any server that speaks OpenAI's API.

Here the two wings meet: the index asks for vectors from threads, the gateway answers inside an event loop. What the gateway decides (which
engine, how often again, what may leave the machine) is not decided again here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from fireside.app.embed_prompts import prompt_of
from fireside.app.loop_thread import LoopThread
from fireside.core.errors import ContextTooLong, Invalid, ModelNotFound
from fireside.core.events import EventBus
from fireside.core.requests import Priority, Vectors
from fireside.core.values import replace
from fireside.index.embedder import Embedder, Passage
from fireside.index.settings import IndexSettings
from fireside.index.vector_cache import CachedEmbedder, VectorCache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fireside.engines.registry import EngineContext
    from fireside.gateway.gateway import Gateway
    from fireside.models.card import Capability, ModelCard

# Another number when passages are written down in another way: their vectors then differ.
LAYOUT = 1
BATCH = 16
AT_ONCE = 4
# Code has three to four characters a token; what is longer than three is likely to be too long for the model.
CHARACTERS_PER_TOKEN = 3
SHORTEST = 16
NEEDS: "tuple[Capability, ...]" = ("embed",)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model as it was when it was looked up. ``id``: another one whenever vectors would not compare."""

    card: "ModelCard"
    dimensions: int
    id: str


class GatewayEmbedder:
    """An ``Embedder``. ``model``: MODEL, MODEL@ENGINE or an alias; ``opened``: makes a gateway of its own, inside its own event loop.

    Nothing is asked before the first question. Every method and property raises ``FiresideError`` when the model cannot be had; a model
    that was exchanged under its name raises ``Invalid`` once, and has a new ``id`` from then on. ``truncated``: passages so far whose end
    the model could not take.
    """

    cheap = False
    # Each model has a scale of its own.
    floor = 0.0

    def __init__(
        self,
        model: str,
        opened: "Callable[[], AbstractAsyncContextManager[Gateway]]",
        *,
        say: Callable[[str], None] = log.warning,
    ) -> None:
        self._model = model
        self._say = say
        self._thread = LoopThread(f"the model {model}", opened)
        self._chosen: Chosen | None = None
        self.truncated = 0

    @property
    def id(self) -> str:
        return self._choose().id

    @property
    def dimensions(self) -> int:
        return self._choose().dimensions

    def passages(self, passages: Sequence[Passage]) -> "NDArray[np.float32]":
        chosen = self._choose()
        before = prompt_of(chosen.card.name).passage
        rows, cut = self._vectors([before + written(passage) for passage in passages], chosen, Priority.BATCH)
        if cut and not self.truncated:
            window = f"{chosen.card.context_window} tokens" if chosen.card.context_window else "only so much"
            self._say(f"{chosen.card.name} takes {window}: of longer chunks only the beginning is embedded")
        self.truncated += cut
        return rows

    def query(self, text: str) -> "NDArray[np.float32]":
        import numpy as np

        chosen = self._choose()
        if not text.strip():
            return np.zeros(chosen.dimensions, np.float32)
        rows, _ = self._vectors([prompt_of(chosen.card.name).query + text], chosen, Priority.CHAT)
        return rows.reshape(-1)

    def close(self) -> None:
        """Breaks off what is being asked. Safe to call twice."""
        self._thread.close()

    def _choose(self) -> Chosen:
        if self._chosen is None:
            self._chosen = self._thread.run(self._look_up)
        return self._chosen

    async def _look_up(self, gateway: "Gateway") -> Chosen:
        """The model's card, and the length of its vectors, which only a vector tells."""
        card = await self._card(gateway, self._model)
        # Of several engines that have it, the first as configured, whichever is the least busy: the choice must not change with the hour.
        card = next((one for one in await gateway.models() if one.name == card.name and one.can("embed")), card)
        (vector,) = await gateway.embed(["def"], _named(card))
        return Chosen(card, len(vector), _id(card, len(vector)))

    async def _card(self, gateway: "Gateway", model: str) -> "ModelCard":
        try:
            card = await gateway.card_for(model, needs=NEEDS)
        except ModelNotFound as error:
            if "did you mean" in error.remedy:
                raise
            raise ModelNotFound(error.message, remedy=_remedy(self._model)) from error
        if card is None:
            raise ModelNotFound("no model here can make embeddings", remedy=_remedy(self._model))
        return card

    def _vectors(self, texts: Sequence[str], chosen: Chosen, priority: Priority) -> "tuple[NDArray[np.float32], int]":
        """One row per text, and how many texts were cut."""
        import numpy as np

        if not texts:
            return np.zeros((0, chosen.dimensions), np.float32), 0
        found, cut = self._thread.run(lambda gateway: self._embed(gateway, texts, chosen, priority))
        if {len(vector) for vector in found} != {chosen.dimensions}:
            raise self._exchanged(chosen)
        rows = np.array(found, np.float32)
        rows[~np.isfinite(rows).all(axis=1)] = 0
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12)), cut

    async def _embed(
        self, gateway: "Gateway", texts: Sequence[str], chosen: Chosen, priority: Priority
    ) -> tuple[Vectors, int]:
        if _id(await self._card(gateway, _named(chosen.card)), chosen.dimensions) != chosen.id:
            raise self._exchanged(chosen)
        fit = _Fit(gateway, chosen.card, priority)
        batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        found: Vectors = []
        for start in range(0, len(batches), AT_ONCE):
            at_once = (fit.embed(batch) for batch in batches[start : start + AT_ONCE])
            for answer in await asyncio.gather(*at_once, return_exceptions=True):
                if isinstance(answer, BaseException):
                    raise answer
                found += answer
        return found, fit.truncated

    def _exchanged(self, chosen: Chosen) -> Invalid:
        """Vectors of before and after do not compare: begin anew, with another id."""
        self._chosen = None
        return Invalid(
            f"{chosen.card.name} is not the model any more that it was a moment ago",
            remedy="fireside index makes its vectors anew",
            retryable=True,
        )


class _Fit:
    """Embeds texts with one model, and cuts those that are too long for it. ``truncated``: how many."""

    def __init__(self, gateway: "Gateway", card: "ModelCard", priority: Priority) -> None:
        self._gateway = gateway
        self._name = _named(card)
        self._priority = priority
        self._most = card.context_window * CHARACTERS_PER_TOKEN or 1 << 30
        self.truncated = 0

    async def embed(self, texts: Sequence[str]) -> Vectors:
        cut = [text[: self._most] for text in texts]
        self.truncated += sum(len(text) > self._most for text in texts)
        return await self._halved(cut)

    async def _halved(self, texts: Sequence[str]) -> Vectors:
        """Where one text of several is too long nobody says which: ask for each half."""
        try:
            return await self._gateway.embed(texts, self._name, priority=self._priority)
        except ContextTooLong as error:
            if len(texts) == 1:
                return await self._shortened(texts[0], error)
        middle = len(texts) // 2
        return await self._halved(texts[:middle]) + await self._halved(texts[middle:])

    async def _shortened(self, text: str, error: ContextTooLong) -> Vectors:
        if len(text) != self._most:  # else it was cut, and counted, already
            self.truncated += 1
        while True:
            tokens, window = (error.context.get(key) for key in ("prompt_tokens", "context_window"))
            share = window / tokens if isinstance(tokens, int) and isinstance(window, int) and tokens > window else 0.5
            text = text[: int(len(text) * min(0.9, share * 0.95))]
            if len(text) < SHORTEST:
                raise error
            try:
                return await self._gateway.embed([text], self._name, priority=self._priority)
            except ContextTooLong as again:
                error = again


def written(passage: Passage) -> str:
    """A chunk as a model reads it: where it stands, what it defines, its text."""
    return f"{passage.path} {passage.symbol}".strip() + f"\n{passage.text}"


def choose_embedder(
    settings: IndexSettings,
    *,
    built_in: Callable[[], Embedder | None],
    opened: "Callable[[], AbstractAsyncContextManager[Gateway]]",
    cache: Path,
    say: Callable[[str], None] = log.warning,
) -> Embedder | None:
    """The embedder of the settings; ``None``: search by words alone. Asks nobody yet.

    ``built_in``: makes our own. ``opened``: see ``own_gateway``. ``cache``: a folder for vectors, shared by all projects of the user.
    """
    if settings.embedder == "none":
        return None
    if settings.embedder == "built-in":
        return built_in()
    embedder = GatewayEmbedder(settings.embedder, opened, say=say)
    if not settings.vector_cache_bytes:
        return embedder

    def open_cache(embedder_id: str, dimensions: int) -> VectorCache:
        return VectorCache(cache, embedder_id, dimensions, limit=settings.vector_cache_bytes, say=say)

    return CachedEmbedder(embedder, open_cache)


@asynccontextmanager
async def own_gateway(
    context: "EngineContext", build: "Callable[[EngineContext], Gateway]"
) -> "AsyncIterator[Gateway]":
    """A gateway for another event loop than the house's, under the same privacy guard. ``build``: makes it from a context."""
    from fireside.engines.transport import Transport

    # Connections belong to one loop, and the numbers of requests to one gateway: so a transport and a bus of its own.
    transport = Transport(context.egress)
    gateway = build(replace(context, transport=transport, events=EventBus()))
    try:
        yield gateway
    finally:
        await gateway.aclose()
        await transport.aclose()


def _id(card: "ModelCard", dimensions: int) -> str:
    """The name to be read, and a digest of all that decides on the vectors: the engine, too, where it says no digest of its models."""
    facts = (LAYOUT, card.sha256, card.size, card.quantization, prompt_of(card.name).passage, dimensions)
    name = card.name if card.sha256 else _named(card)
    return f"{name}#{blake2b(repr(facts).encode(), digest_size=6).hexdigest()}"


def _named(card: "ModelCard") -> str:
    return f"{card.name}@{card.engine}"


def _remedy(model: str) -> str:
    name, _, engine = model.rpartition("@") if "@" in model else (model, "", "")
    pull = f"fireside models pull {model}" if engine else f"ollama pull {name}"
    return f"{pull}; or use our own: fireside config set index.embedder built-in"
