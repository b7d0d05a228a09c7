"""What our own API tells about models, how it brings one here, and vectors."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import partial
from typing import Protocol

from fireside.app.fireside import Fireside
from fireside.core.errors import ModelNotFound
from fireside.core.streams import closing
from fireside.engines.egress import Errand
from fireside.models.card import ModelCard
from fireside.server.asking import Asking
from fireside.server.exchange import Exchange
from fireside.server.offers import NEEDS
from fireside.server.own.schemas import EmbedAsked, PullAsked
from fireside.server.own.streams import Event, Events


class Step(Protocol):
    """``completed``, ``total``: bytes; 0: unknown."""

    @property
    def status(self) -> str: ...
    @property
    def completed(self) -> int: ...
    @property
    def total(self) -> int: ...


class Models:
    def __init__(self, fireside: Fireside, asking: Asking) -> None:
        self._fireside = fireside
        self._asking = asking

    async def all(self) -> dict[str, object]:
        """Every model of every engine that answers, what the names of your own mean, and the engines that do not answer."""
        gateway = self._fireside.gateway
        cards, health = await gateway.models(), await gateway.health()
        down = {
            name: {"detail": each.detail, "remedy": each.remedy}
            for name, each in health.items()
            if each.state == "down"
        }
        aliases = dict(self._fireside.config.settings.models)
        return {"models": [card_of(card) for card in cards], "aliases": aliases, "down": down}

    async def one(self, name: str) -> dict[str, object]:
        """Raises ``ModelNotFound`` with the closest names."""
        card = await self._fireside.gateway.card_for(name, needs=NEEDS.get(name, ()))
        if card is None:
            raise ModelNotFound(f"no model here answers to {name}", remedy="fireside models list")
        return card_of(card)

    async def pull(self, asked: PullAsked) -> Events:
        """From an address into the store, or by an engine. What was broken off goes on where it was."""
        async with closing(self._steps(asked)) as each:
            async for step in each:
                yield Event("progress", {"status": step.status, "completed": step.completed, "total": step.total})
        yield Event("finished", {"source": asked.source})

    def _steps(self, asked: PullAsked) -> AsyncIterator[Step]:
        if not asked.source.startswith(("http://", "https://")):
            return self._fireside.gateway.pull(asked.source)
        fetch = partial(self._fireside.transport.stream, "GET", errand=Errand(purpose="pull a model"))
        return self._fireside.store.pull(asked.source, asked.name, sha256=asked.sha256, fetch=fetch)

    async def embed(self, asked: EmbedAsked, exchange: Exchange) -> dict[str, object]:
        self._asking.permit(exchange, asked.model)
        vectors = await self._fireside.gateway.embed(asked.texts, asked.model, told=exchange.story.hear)
        return {"model": exchange.story.model, "vectors": vectors}


def card_of(card: ModelCard) -> dict[str, object]:
    """Without where its file is: who may see models need not see folders."""
    told = asdict(card) | {"capabilities": sorted(card.capabilities)}
    del told["path"]
    return told
