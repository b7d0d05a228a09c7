"""OpenAI's routes: chat, completions, embeddings and models."""

from collections.abc import Mapping, Sequence

from fireside.core.requests import Priority
from fireside.gateway.batches import Batches
from fireside.gateway.gateway import Gateway
from fireside.server.answering import answer_with
from fireside.server.anthropic import AnthropicRoutes
from fireside.server.asking import Asking, Request
from fireside.server.choices import Several, answer_all
from fireside.server.exchange import Exchange
from fireside.server.offers import Offers
from fireside.server.routes import Route, named
from fireside.wire.openai_answers import ChatAnswer, CompletionAnswer
from fireside.wire.openai_lists import write_embeddings, write_error, write_model, write_models
from fireside.wire.openai_requests import read_chat, read_completion, read_embeddings
from fireside.wire.responses_answers import ResponsesAnswer
from fireside.wire.responses_requests import read_responses


class OpenAIRoutes:
    """``anthropic``: lists the models for clients of Anthropic's, who ask for them at the same place."""

    def __init__(self, gateway: Gateway, asking: Asking, offers: Offers, anthropic: AnthropicRoutes) -> None:
        self._gateway = gateway
        self._asking = asking
        self._offers = offers
        self._anthropic = anthropic

    def routes(self) -> Mapping[tuple[str, str], Route]:
        places = {
            ("POST", "/v1/chat/completions"): (self.chat, "chat"),
            ("POST", "/v1/completions"): (self.complete, "complete"),
            ("POST", "/v1/responses"): (self.respond, "chat"),
            ("POST", "/v1/embeddings"): (self.embed, "embed"),
            ("GET", "/v1/models"): (self.models, "models"),
            ("GET", "/v1/models/*"): (self.model, "models"),
        }
        # Some clients are given the address without /v1.
        bare = {(method, path[3:]): what for (method, path), what in places.items() if path != "/v1/completions"}
        return named({**bare, **places}, write_error)

    async def chat(self, exchange: Exchange) -> None:
        asked = read_chat(await exchange.json())
        answer = ChatAnswer(asked)
        if asked.count > 1:
            await self._several(exchange, answer, asked.choices())
            return
        request = self._asking.dressed(exchange, asked.request)
        batches = self._gateway.stream(request, told=exchange.story.hear)
        await answer_with(exchange, answer, batches, stream=request.stream)

    async def respond(self, exchange: Exchange) -> None:
        asked = read_responses(await exchange.json())
        request = self._asking.dressed(exchange, asked.request)
        batches = self._gateway.stream(request, told=exchange.story.hear)
        await answer_with(exchange, ResponsesAnswer(asked), batches, stream=request.stream)

    async def complete(self, exchange: Exchange) -> None:
        asked = read_completion(await exchange.json())
        await self._several(exchange, CompletionAnswer(asked), asked.choices())

    async def embed(self, exchange: Exchange) -> None:
        asked = read_embeddings(await exchange.json())
        self._asking.permit(exchange, asked.model)
        with exchange.watched():
            vectors = await self._gateway.embed(
                asked.texts, asked.model, priority=Priority.CHAT, told=exchange.story.hear
            )
            usage = exchange.story.usage
            body = write_embeddings(vectors, asked, tokens=usage.prompt_tokens if usage else None)
            await exchange.reply(body, headers=exchange.story.headers())

    async def models(self, exchange: Exchange) -> None:
        if b"anthropic-version" in exchange.headers:
            await self._anthropic.models(exchange)
            return
        await exchange.reply(write_models((offer.name, offer.card) for offer in await self._offers.all()))

    async def model(self, exchange: Exchange) -> None:
        if b"anthropic-version" in exchange.headers:
            await self._anthropic.model(exchange)
            return
        offer = await self._offers.one(exchange.rest)
        await exchange.reply(write_model(offer.name, offer.card))

    async def _several(self, exchange: Exchange, answer: Several, choices: Sequence[Request]) -> None:
        requests = [self._asking.dressed(exchange, choice) for choice in choices]
        story = exchange.story

        def ask(index: int) -> Batches:
            return self._gateway.stream(requests[index], told=story.hear)

        if len(requests) == 1:
            await answer_with(exchange, answer, ask(0), stream=requests[0].stream)
        else:
            await answer_all(exchange, answer, ask, len(requests), stream=requests[0].stream)
