"""llama.cpp's routes, as llama.vscode and llama.vim use them: fill in code, and whether and with what the server runs."""

import time
from collections.abc import Mapping

from fireside import __version__
from fireside.core.requests import CompletionRequest, Delta
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.gateway.batches import Batches
from fireside.gateway.gateway import Gateway
from fireside.server.answering import answer_with, gathered
from fireside.server.asking import Asking
from fireside.server.exchange import Exchange
from fireside.server.offers import Offers
from fireside.server.routes import Route, named
from fireside.wire.infill import (
    Indented,
    InfillAnswer,
    InfillAsked,
    read_infill,
    write_alternatives,
    write_error,
    write_health,
    write_props,
)


class InfillRoutes:
    def __init__(self, gateway: Gateway, asking: Asking, offers: Offers) -> None:
        self._gateway = gateway
        self._asking = asking
        self._offers = offers

    def routes(self) -> Mapping[tuple[str, str], Route]:
        places = {
            ("POST", "/infill"): (self.infill, "complete"),
            ("GET", "/props"): (self.props, "models"),
            ("GET", "/health"): (self.health, ""),
            ("GET", "/v1/health"): (self.health, ""),
        }
        return named(places, write_error)

    async def infill(self, exchange: Exchange) -> None:
        asked = read_infill(await exchange.json())
        if asked.only_warms:
            # The editor does not wait for it; the prompt is computed by the completion that follows.
            await exchange.reply(InfillAnswer(asked).whole([]))
            return
        # Read along even for an answer given as a whole: only so it can end where the editor wants it to.
        requests = [replace(self._asking.dressed(exchange, each), stream=True) for each in asked.requests()]
        first = InfillAnswer(asked)
        batches = ended_early(self._gateway.stream(requests[0], told=exchange.story.hear), asked)
        if len(requests) == 1:
            await answer_with(exchange, first, batches, stream=asked.request.stream)
            return
        with exchange.watched():
            bodies = [first.whole(await gathered(batches))]
            for number, request in enumerate(requests[1:], 1):
                bodies.append(await self._other(asked, request, number))
            await exchange.reply(write_alternatives(bodies), headers=exchange.story.headers())

    async def _other(self, asked: InfillAsked, request: CompletionRequest, number: int) -> bytes:
        answer = InfillAnswer(asked, index=number)
        async with closing(ended_early(self._gateway.stream(request), asked)) as batches:
            return answer.whole(await gathered(batches))

    async def props(self, exchange: Exchange) -> None:
        offer = await self._offers.one("complete")
        card = offer.card
        body = write_props(card.name, card.context_window, vision=card.can("vision"), build=f"fireside {__version__}")
        await exchange.reply(body)

    async def health(self, exchange: Exchange) -> None:
        await exchange.reply(write_health())


async def ended_early(batches: Batches, asked: InfillAsked) -> Batches:
    """The answer until it leaves the block it began in, or its time is over: then the engine is let go, and that is its end."""
    lines, began = Indented(asked.least_indent), 0.0
    async with closing(batches):
        async for batch in batches:
            yield batch
            if batch[-1].finish_reason is not None:
                return
            began = began or time.perf_counter()
            for delta in batch:
                lines.feed(delta.text)
            limit = asked.predict_seconds
            overdue = limit is not None and lines.broken and time.perf_counter() - began > limit
            if lines.ended or overdue:
                break
    yield [Delta(finish_reason="stop")]
