"""What a client may name as model: every model of every engine, and the aliases that stand for one now."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fireside.core.errors import FiresideError, ModelNotFound
from fireside.gateway.gateway import Gateway
from fireside.models.aliases import ROLES
from fireside.models.card import Capability, ModelCard

NEEDS: dict[str, tuple[Capability, ...]] = {"chat": ("chat",), "complete": ("fim",), "embed": ("embed",)}


@dataclass(frozen=True, slots=True)
class Offer:
    """``name``: what to ask for. ``card``: the model that answers to it."""

    name: str
    card: ModelCard


class Offers:
    """``aliases``: the names of the user's own, as they are now."""

    def __init__(self, gateway: Gateway, aliases: Callable[[], Iterable[str]]) -> None:
        self._gateway = gateway
        self._aliases = aliases

    async def all(self) -> list[Offer]:
        """Models first, each name once; then the aliases."""
        found = {card.name: Offer(card.name, card) for card in reversed(await self._gateway.models())}
        listed = list(reversed(found.values()))
        for alias in dict.fromkeys((*ROLES, *self._aliases())):
            card = await self._behind(alias)
            if card is not None and alias not in found:
                listed.append(Offer(alias, card))
        return listed

    async def one(self, name: str) -> Offer:
        """Raises ``ModelNotFound`` with the closest names."""
        card = await self._gateway.card_for(name, needs=NEEDS.get(name, ()))
        if card is None:
            raise ModelNotFound(f"no model here answers to {name}", remedy="fireside models list")
        return Offer(name, card)

    async def _behind(self, alias: str) -> ModelCard | None:
        try:
            return await self._gateway.card_for(alias, needs=NEEDS.get(alias, ()))
        except FiresideError:
            return None
