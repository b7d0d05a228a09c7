"""Which models an Ollama server has, and what each can do, as model cards.

``/api/show`` costs a request per model, so its answers are kept by digest: a model that did not change is not asked about again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from fireside.core.errors import ModelNotFound
from fireside.models.card import Capability, ModelCard
from fireside.models.families import family_of
from fireside.wire.ollama import Shown, Tag, read_parameters

AT_ONCE = 8
CAPABILITIES: dict[str, tuple[Capability, ...]] = {
    "completion": ("chat", "json_schema"),
    "tools": ("tools",),
    "vision": ("vision",),
    "thinking": ("thinking",),
    "embedding": ("embed",),
}


class Catalogue:
    """``show``: asks the server about one model by name. ``window``: from the tokens a model is made for to those it may use here."""

    def __init__(self, engine: str, show: Callable[[str], Awaitable[Shown]], window: Callable[[int], int]) -> None:
        self._engine = engine
        self._show = show
        self._window = window
        self._known: dict[str, Shown] = {}

    async def cards(self, tags: Sequence[Tag]) -> list[ModelCard]:
        """A card for each model that runs on this server; those Ollama would send to its cloud are left out."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(tag: Tag) -> ModelCard | None:
            async with turns:
                return await self._card(tag)

        local = [tag for tag in tags if not tag.is_remote]
        found = await asyncio.gather(*(one(tag) for tag in local))
        return [card for card in found if card is not None]

    async def _card(self, tag: Tag) -> ModelCard | None:
        try:
            shown = self._known.get(tag.digest) or await self._show(tag.name)
        except ModelNotFound:
            # Removed between the list and the question.
            return None
        if tag.digest:
            self._known[tag.digest] = shown
        return self._write(tag, shown)

    def _write(self, tag: Tag, shown: Shown) -> ModelCard:
        architecture = shown.architecture or tag.details.family
        family = family_of(tag.name, architecture)
        offered = shown.capabilities if shown.capabilities is not None else ["completion"]
        can = {capability for word in offered for capability in CAPABILITIES.get(word, ())}
        fim = family.fim if "chat" in can else None
        return ModelCard(
            name=tag.name,
            engine=self._engine,
            family=family.name,
            context_window=self._window(shown.context_length),
            capabilities=frozenset(can | ({"fim"} if fim else set())),
            fim=fim,
            quantization=tag.details.quantization_level,
            parameters=read_parameters(tag.details.parameter_size),
            size=tag.size,
            sha256=tag.digest.removeprefix("sha256:"),
        )
