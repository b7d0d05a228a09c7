"""Ollama's routes that ask a model: chat, generate, embeddings; and what its clients ask to see whether it is there."""

import time
from collections.abc import Mapping

from fireside import __version__
from fireside.core.errors import ContextTooLong, FiresideError, RateLimited
from fireside.core.requests import ChatRequest, CompletionRequest, Priority, Vectors
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.gateway.gateway import Gateway
from fireside.server.answering import answer_with
from fireside.server.asking import Asking
from fireside.server.exchange import Exchange
from fireside.server.ollama_models import OllamaModels
from fireside.server.ollama_names import Named, Names
from fireside.server.routes import Handler, Route, named
from fireside.wire.ollama_answers import ChatAnswer, GenerateAnswer, Lines
from fireside.wire.ollama_lists import write_embedded, write_old_embedding, write_status, write_version
from fireside.wire.ollama_requests import (
    ChatAsked,
    EmbedAsked,
    GenerateAsked,
    read_chat,
    read_embed,
    read_generate,
    read_old_embeddings,
)
from fireside.wire.ollama_words import INPUT_TOO_LONG, busy, exactly, write_error

RUNNING = b"Ollama is running"
TEXT = b"text/plain; charset=utf-8"
BYTES_A_TOKEN = 3
# Of an answer without a limit, by a model whose window is not known.
UNKNOWN_ROOM = 4096
CUTS = 8
# What is said of a text's tokens may leave out those that mark its ends.
MARGIN = 0.97


class OllamaRoutes:
    """``models``: the routes that are about models themselves."""

    def __init__(self, gateway: Gateway, asking: Asking, names: Names, models: OllamaModels) -> None:
        self._gateway = gateway
        self._asking = asking
        self._names = names
        self._models = models

    def routes(self) -> Mapping[tuple[str, str], Route]:
        places: dict[tuple[str, str], tuple[Handler, str]] = {
            ("GET", "/"): (self.running, ""),
            ("GET", "/api/version"): (self.version, ""),
            ("GET", "/api/status"): (self.status, ""),
            ("POST", "/api/chat"): (patient(self.chat), "chat"),
            ("POST", "/api/generate"): (patient(self.generate), "chat"),
            ("POST", "/api/embed"): (patient(self.embed), "embed"),
            ("POST", "/api/embeddings"): (patient(self.old_embeddings), "embed"),
            **self._models.places(),
        }
        return named(places, write_error)

    async def running(self, exchange: Exchange) -> None:
        await exchange.reply(RUNNING, media_type=TEXT)

    async def version(self, exchange: Exchange) -> None:
        await exchange.reply(write_version(__version__))

    async def status(self, exchange: Exchange) -> None:
        await exchange.reply(write_status())

    async def chat(self, exchange: Exchange) -> None:
        asked = read_chat(await exchange.json())
        model = await self._names.find(asked.model)
        model.require("chat", "chat")
        answer = ChatAnswer(asked, lambda: exchange.story.first)
        if asked.only_loads:
            await self._load(exchange, asked, answer, model)
            return
        request = self._asking.dressed(exchange, model.dressed(asked.request))
        batches = self._gateway.stream(request, told=exchange.story.hear)
        await answer_with(exchange, answer, batches, stream=request.stream)

    async def generate(self, exchange: Exchange) -> None:
        asked = read_generate(await exchange.json())
        model = await self._names.find(asked.model)
        model.require("generate", "chat", "fim")
        answer = GenerateAnswer(asked, lambda: exchange.story.first)
        if asked.only_loads:
            await self._load(exchange, asked, answer, model)
            return
        if asked.raw or asked.suffix or not model.can("chat"):
            request: ChatRequest | CompletionRequest = self._asking.dressed(exchange, completion(asked, model))
        else:
            request = self._asking.dressed(exchange, model.dressed(asked.request))
        batches = self._gateway.stream(request, told=exchange.story.hear)
        await answer_with(exchange, answer, batches, stream=request.stream)

    async def embed(self, exchange: Exchange) -> None:
        asked = read_embed(await exchange.json())
        began = time.perf_counter()
        with exchange.watched():
            vectors, tokens = await self._embed(exchange, asked)
            body = write_embedded(
                asked.model,
                vectors,
                dimensions=asked.dimensions,
                seconds=time.perf_counter() - began,
                tokens=tokens,
            )
            await exchange.reply(body, headers=exchange.story.headers())

    async def old_embeddings(self, exchange: Exchange) -> None:
        asked = read_old_embeddings(await exchange.json())
        with exchange.watched():
            vectors, _ = await self._embed(exchange, asked)
            await exchange.reply(write_old_embedding(vectors), headers=exchange.story.headers())

    async def _load(self, exchange: Exchange, asked: ChatAsked, answer: Lines, model: Named) -> None:
        """Load the model, or with ``keep_alive`` 0 have it leave memory. A model without talk is loaded by the shortest answer."""
        self._asking.permit(exchange, model.target)
        keep_alive = asked.request.keep_alive
        with exchange.watched():
            if model.can("chat"):
                await self._gateway.warm(ChatRequest((), model=model.target, keep_alive=keep_alive))
            else:
                shortest = CompletionRequest(" ", model=model.target, max_tokens=1, raw=True, keep_alive=keep_alive)
                async with closing(self._gateway.stream(shortest)) as batches:
                    async for _ in batches:
                        pass
            await exchange.reply(answer.loaded())

    async def _embed(self, exchange: Exchange, asked: EmbedAsked) -> tuple[Vectors, int]:
        """The vectors, and how many tokens the texts were."""
        model = await self._names.find(asked.model)
        model.require("embeddings", "embed")
        self._asking.permit(exchange, model.target)
        self._asking.permit(exchange, model.target)
        if not asked.texts:
            return [], 0
        texts = list(asked.texts)
        for _ in range(CUTS):
            try:
                vectors = await self._gateway.embed(
                    texts, model.target, priority=Priority.CHAT, told=exchange.story.hear
                )
                break
            except ContextTooLong as error:
                if not asked.truncate:
                    raise exactly(INPUT_TOO_LONG) from error
                texts = shortened(texts, error, model.card.context_window)
        else:
            raise exactly(INPUT_TOO_LONG)
        usage = exchange.story.usage
        said = sum(len(text) for text in texts) // BYTES_A_TOKEN + len(texts)
        return vectors, (usage.prompt_tokens if usage else 0) or said


def completion(asked: GenerateAsked, model: Named) -> CompletionRequest:
    """The prompt without a conversation around it. Without a limit, the answer may be as long as there is room."""
    if asked.suffix and not asked.raw:
        model.require("insert", "fim")
    window = model.card.context_window or UNKNOWN_ROOM
    prompt = (len(asked.prompt) + len(asked.suffix)) // BYTES_A_TOKEN
    return replace(asked.completion(max(1, window - prompt)), model=model.target)


def shortened(texts: list[str], error: FiresideError, window: int) -> list[str]:
    """The texts, of which one has too many tokens, with the longest cut to what may fit.

    The engine says how many tokens it counted, but not in which text: those that are as long as that one share its fate.
    """
    tokens, allowed = error.context.get("prompt_tokens"), error.context.get("context_window")
    longest = max(len(text) for text in texts)
    share = 0.5
    if isinstance(tokens, int) and isinstance(allowed, int) and tokens > allowed > 0:
        share = allowed / tokens
    elif window:
        share = min(share, window * BYTES_A_TOKEN / longest)
    kept = max(1, int(longest * share * MARGIN))
    return [text[:kept] for text in texts]


def patient(handler: Handler) -> Handler:
    """A full line is 503 to Ollama's clients: they know it, and come again."""

    async def handle(exchange: Exchange) -> None:
        try:
            await handler(exchange)
        except RateLimited as error:
            if error.context.get("cause") != "queue" or exchange.status:
                raise
            raise busy(error) from error

    return handle
