"""Who can be measured: a model behind a gateway, or nobody, so that what needs no model is measured alone."""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from fireside.core.errors import ModelNotFound
from fireside.core.requests import ChatRequest, CompletionRequest, Delta
from fireside.gateway.gateway import Gateway
from fireside.models.card import Capability, ModelCard

REMEDY = "name one: --model NAME, or --url URL"


@dataclass(frozen=True, slots=True)
class GatewaySubject:
    """``model``: an alias, a name, or NAME@ENGINE, as the gateway understands it."""

    gateway: Gateway
    model: str
    name: str

    def chat(self, request: ChatRequest) -> AsyncIterator[Delta]:
        return self.gateway.chat(request)

    def complete(self, request: CompletionRequest) -> AsyncIterator[Delta]:
        return self.gateway.complete(request)

    async def card_for(self, model: str, *, needs: Collection[Capability] = ()) -> ModelCard | None:
        return await self.gateway.card_for(model, needs=needs)


@dataclass(frozen=True, slots=True)
class Nobody:
    """No model: whoever asks it is told to name one."""

    name: str = "no model"
    model: str = ""

    def chat(self, request: ChatRequest) -> AsyncIterator[Delta]:
        raise ModelNotFound("no model was named to be measured", remedy=REMEDY)

    def complete(self, request: CompletionRequest) -> AsyncIterator[Delta]:
        raise ModelNotFound("no model was named to be measured", remedy=REMEDY)

    async def card_for(self, model: str, *, needs: Collection[Capability] = ()) -> ModelCard | None:
        return None
