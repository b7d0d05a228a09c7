"""Anthropic's routes: messages, and how many tokens they would have."""

from collections.abc import Mapping
from urllib.parse import parse_qs

from fireside.core.errors import Invalid
from fireside.core.requests import Delta
from fireside.gateway.gateway import Gateway
from fireside.server.answering import answer_with
from fireside.server.asking import Asking
from fireside.server.exchange import Exchange
from fireside.server.offers import Offer, Offers
from fireside.server.routes import Route, named
from fireside.wire.anthropic_answers import (
    PAGE,
    MessagesAnswer,
    ModelListed,
    write_count,
    write_error,
    write_model,
    write_models,
)
from fireside.wire.anthropic_requests import read_count, read_messages

BYTES_A_TOKEN = 4


class AnthropicRoutes:
    def __init__(self, gateway: Gateway, asking: Asking, offers: Offers) -> None:
        self._gateway = gateway
        self._asking = asking
        self._offers = offers

    def routes(self) -> Mapping[tuple[str, str], Route]:
        places = {
            ("POST", "/v1/messages"): (self.message, "chat"),
            ("POST", "/v1/messages/count_tokens"): (self.count, "chat"),
        }
        return named(places, write_error)

    async def message(self, exchange: Exchange) -> None:
        asked = read_messages(await exchange.json())
        request = self._asking.dressed(exchange, asked.request)
        answer = MessagesAnswer(asked)
        if asked.only_warms:
            await self._gateway.warm(request)
            await exchange.reply(answer.whole([Delta(finish_reason="length")]))
            return
        batches = self._gateway.stream(request, told=exchange.story.hear)
        await answer_with(exchange, answer, batches, stream=request.stream)

    async def count(self, exchange: Exchange) -> None:
        """With the model's own tokenizer; where it cannot be asked, four bytes a token, which is close for code and English."""
        body = await exchange.json()
        request = self._asking.dressed(exchange, read_count(body).request)
        with exchange.watched():
            await self._offers.one(request.model)
            tokens = await self._gateway.count_tokens(request, model=request.model)
            if tokens is None:
                said = sum(len(message.content) for message in request.messages)
                tokens = (said + sum(len(repr(tool)) for tool in request.tools)) // BYTES_A_TOKEN
            await exchange.reply(write_count(tokens))

    async def models(self, exchange: Exchange) -> None:
        query = parse_qs(exchange.query.decode("latin-1"))
        listed = [_listed(offer) for offer in await self._offers.all()]
        after, before = query.get("after_id", [""])[0], query.get("before_id", [""])[0]
        await exchange.reply(write_models(listed, after=after, before=before, limit=_limit(query)))

    async def model(self, exchange: Exchange) -> None:
        await exchange.reply(write_model(_listed(await self._offers.one(exchange.rest))))


def _listed(offer: Offer) -> ModelListed:
    return ModelListed(offer.name, context_window=offer.card.context_window)


def _limit(query: Mapping[str, list[str]]) -> int:
    text = query.get("limit", [str(PAGE)])[0]
    try:
        return int(text)
    except ValueError as error:
        raise Invalid(f"limit is {text!r}", remedy="a number of models", param="limit") from error
