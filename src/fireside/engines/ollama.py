"""Ollama, on this machine or another, through its own ``/api/*`` routes.

Never through ``/v1``, which ignores ``num_ctx``, cannot keep a model in memory and knows thinking only in part. The size of the context is
always sent, and what the server says it read is compared with what was sent: a prompt that was cut is an error, even when the answer to
the rest has been shown.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Literal

import msgspec

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, NotPermitted
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, ResponseFormat, Vectors
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.engines import ollama_errors as errors
from fireside.engines.endpoint import parse
from fireside.engines.engine import Boundary, EngineHealth, PullProgress, Resident
from fireside.engines.healing import blanks_back, healed, without_end
from fireside.engines.ollama_calls import marked
from fireside.engines.ollama_client import OllamaClient
from fireside.engines.ollama_context import ContextSizes, Measure, check, measure, measure_text
from fireside.engines.ollama_models import Catalogue
from fireside.engines.registry import EngineContext
from fireside.engines.transport import Timeouts
from fireside.models.card import ModelCard
from fireside.models.prompting import drawn_as_code, fim_prompt
from fireside.wire import ollama as wire
from fireside.wire.forced import as_call, call_schema, forced_tools

COUNTS_ALL = (0, 33)
PULL_STALL = 600.0
Line = wire.ChatLine | wire.GenerateLine
Reader = Callable[[wire.Json], tuple[list[Delta], Line]]


class OllamaSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="ollama"
):
    """``url``: as in ``OLLAMA_HOST``; empty: 127.0.0.1:11434. ``host_header``: sent as ``Host``, for a server that refuses its name.

    ``num_ctx``: tokens of context; 0: begin at 8192 and rise as prompts need it, to ``max_num_ctx`` at most. ``keep_alive``: how long a
    model stays in memory: 5m, 1h30m, 0 (not at all), -1 (for ever). The limits are in seconds, see ``Timeouts``.
    """

    url: str = ""
    host_header: str = ""
    num_ctx: Annotated[int, msgspec.Meta(ge=0, le=16_777_216)] = 0
    max_num_ctx: Annotated[int, msgspec.Meta(ge=2048, le=16_777_216)] = 32768
    keep_alive: Annotated[str, msgspec.Meta(pattern=r"^-?([0-9]+|([0-9]+(ms|s|m|h))+)$")] = "5m"
    connect_seconds: Annotated[float, msgspec.Meta(gt=0)] = 3.0
    load_seconds: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    first_token_seconds: Annotated[float, msgspec.Meta(gt=0)] = 120.0
    stall_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0


class OllamaEngine:
    """One Ollama server."""

    def __init__(self, client: OllamaClient, *, sizes: ContextSizes, keep_alive: str | float) -> None:
        self.client = client
        self._keep_alive = keep_alive
        self._sizes = sizes
        self._catalogue = Catalogue(client.name, client.show, sizes.window)
        self._in_force: dict[tuple[str, int], int] = {}
        self._counts_all: bool | None = None
        self._busy = 0

    @property
    def name(self) -> str:
        return self.client.name

    @property
    def boundary(self) -> Boundary:
        return self.client.boundary

    async def chat(self, request: ChatRequest, card: ModelCard) -> AsyncIterator[Delta]:
        _refuse_impossible(request, card)
        prompt = measure(request)
        num_ctx = self._fit(card, prompt, request.sampling.max_tokens)
        forced = forced_tools(request)
        if forced:
            request = replace(request, response_format=ResponseFormat(call_schema(forced)))
        body = wire.write_chat(
            request,
            card.name,
            options=wire.write_options(request.sampling, num_ctx=num_ctx),
            keep_alive=self._stays(request),
            think=wire.write_think(request.reasoning) if card.can("thinking") else None,
        )
        deltas = self._answer("/api/chat", body, _read_chat, card, prompt)
        async with closing(as_call(deltas) if forced else marked(deltas)) as called:
            async for delta in called:
                yield delta

    async def complete(self, request: CompletionRequest, card: ModelCard) -> AsyncIterator[Delta]:
        """The model's own fill-in-the-middle form, sent raw: Ollama's ``suffix`` fails for every model that came as a GGUF.

        Code is drawn at temperature 0 unless another was asked for; the model's default is meant for talk. A raw prompt goes as it is.
        """
        text, sampling, answer, end = (
            request.prefix,
            request.sampling,
            request.sampling.max_tokens,
            blanks_back(request),
        )
        if not request.raw:
            if card.fim is None:
                raise Invalid(
                    f"{card.name} cannot fill in code", remedy="choose a model that can: fireside models list"
                )
            text = fim_prompt(without_end(request, end), card.fim)
            sampling = drawn_as_code(request, card.fim).sampling
            answer = sampling.max_tokens or request.max_tokens
        prompt = measure_text(text)
        options = wire.write_options(sampling, num_ctx=self._fit(card, prompt, answer), max_tokens=request.max_tokens)
        body = wire.write_generate(
            card.name, text, options=options, keep_alive=self._stays(request), logprobs=sampling.logprobs
        )
        deltas = self._answer("/api/generate", body, _read_generate, card, prompt)
        async with closing(healed(deltas, end) if end else deltas) as answered:
            async for delta in answered:
                yield delta

    async def embed(self, texts: Sequence[str], card: ModelCard) -> Vectors:
        if not card.can("embed"):
            raise Invalid(f"{card.name} does not embed", remedy=await self._embedder())
        if not texts:
            return []
        longest = max((measure_text(text) for text in texts), key=lambda text: text.likely)
        num_ctx = self._fit(card, longest, 0)
        body = wire.write_embed(card.name, texts, num_ctx=num_ctx, keep_alive=self._keep_alive)
        try:
            found = await self.client.ask("POST", "/api/embed", wire.Embedded, body=body, model=card.name)
        except Invalid as error:
            if error.context.get("status") != 501:
                raise
            raise Invalid(f"{card.name} does not embed: {error.message}", remedy=await self._embedder()) from error
        if len(found.embeddings) != len(texts):
            what = f"{len(found.embeddings)} vectors for {len(texts)} texts"
            raise ConnectionFailed(f"Ollama gave {what}", remedy="fireside doctor", cause="protocol", retryable=False)
        return found.embeddings

    async def models(self) -> list[ModelCard]:
        return await self._catalogue.cards(await self.client.tags())

    async def health(self) -> EngineHealth:
        """``loaded`` is what Ollama has in memory, whoever asked for it; ``busy`` counts only our own requests."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(1):
                version, loaded = await asyncio.gather(self.client.version(), self.client.loaded())
        except (FiresideError, TimeoutError) as error:
            detail, remedy = f"Ollama at {self.client.url} does not answer within a second", "fireside doctor"
            if isinstance(error, FiresideError):
                detail, remedy = error.message, error.remedy
            return EngineHealth("down", detail, remedy, time.perf_counter() - began, busy=self._busy)
        names = tuple(model.name for model in loaded)
        detail = f"Ollama {version} at {self.client.url}"
        latency = time.perf_counter() - began
        residents = tuple(_resident(model) for model in loaded)
        state: Literal["ready", "idle"] = "ready" if names else "idle"
        return EngineHealth(state, detail, "", latency, loaded=names, busy=self._busy, residents=residents)

    async def count_tokens(self, request: ChatRequest | str, card: ModelCard) -> int | None:
        """``None``: Ollama has no route that counts."""
        return None

    async def warm(self, request: ChatRequest, card: ModelCard) -> None:
        """Load the model; with messages, also have their prompt computed, which Ollama keeps for the next request that begins alike."""
        if request.messages:
            first = replace(request, sampling=replace(request.sampling, max_tokens=1), tool_choice="auto")
            async with closing(self.chat(first, card)) as deltas:
                async for _ in deltas:
                    pass
            return
        options: wire.Json = {"num_ctx": self._fit(card, measure(request), None)}
        body: wire.Json = {"model": card.name, "keep_alive": self._stays(request), "options": options, "stream": False}
        await self.client.ask("POST", "/api/generate", wire.GenerateLine, body=body, model=card.name)

    async def pull(self, name: str) -> AsyncIterator[PullProgress]:
        if "://" in name:
            raise Invalid(f"{name} is an address", remedy="pull by name: fireside models pull qwen2.5-coder:7b")
        _refuse_cloud(name)
        patient = msgspec.structs.replace(self.client.timeouts, stall=PULL_STALL)
        async with closing(self.client.lines("/api/pull", {"model": name}, model=name, timeouts=patient)) as lines:
            async for line in lines:
                if "error" in line:
                    raise errors.explain_pull(line, name)
                pulled = wire.read(line, wire.Pulled)
                yield PullProgress(pulled.status, pulled.completed, pulled.total, pulled.digest)
                if pulled.status == "success":
                    return
        remedy = f"go on with it: fireside models pull {name}@{self.name}"
        raise ConnectionFailed(f"the pull of {name} broke off", remedy=remedy, cause="cut")

    async def aclose(self) -> None:
        """The transport is shared and closed by who made it; models leave Ollama's memory by ``keep_alive``."""

    def _stays(self, request: ChatRequest | CompletionRequest) -> str | float:
        """How long the model stays in memory: as the request says, else as the settings do."""
        return self._keep_alive if request.keep_alive is None else request.keep_alive

    def _fit(self, card: ModelCard, prompt: Measure, answer: int | None) -> int:
        """The ``num_ctx`` for this request. Raises ``ContextTooLong``, and ``NotPermitted`` for a model of Ollama's cloud."""
        _refuse_cloud(card.name)
        window = self._sizes.window(card.context_window)
        return self._sizes.choose(card.name, prompt, window=window, answer=answer)

    async def _answer(
        self, path: str, body: wire.Json, reader: Reader, card: ModelCard, prompt: Measure
    ) -> AsyncIterator[Delta]:
        """The stream of one answer. Its last piece is held back until what the server read has been checked."""
        self._busy += 1
        try:
            async with closing(self.client.lines(path, body, model=card.name)) as lines:
                async for value in lines:
                    if "error" in value:
                        raise errors.explain_text(value, model=card.name)
                    deltas, line = reader(value)
                    if line.done:
                        await self._check(card.name, prompt, line, body)
                    for delta in deltas:
                        yield delta
                    if line.done:
                        return
        finally:
            self._busy -= 1
        raise ConnectionFailed("Ollama's answer broke off before its end", remedy="ask again", cause="cut")

    async def _check(self, model: str, prompt: Measure, line: Line, body: wire.Json) -> None:
        options = body["options"]
        assert isinstance(options, dict)
        in_force = await self._context_in_force(model, options["num_ctx"])
        if self._counts_all is None:
            self._counts_all = await self._reads_counts()
        check(model, prompt, read=line.prompt_eval_count, in_force=in_force, counts_all=self._counts_all)

    async def _context_in_force(self, model: str, num_ctx: int) -> int:
        """What the server made of ``num_ctx``, asked once for each size: it changes only when the model is loaded anew."""
        if (model, num_ctx) not in self._in_force:
            try:
                loaded = await self.client.loaded()
            except FiresideError:
                return num_ctx
            lengths = [entry.context_length for entry in loaded if entry.name in (model, f"{model}:latest")]
            self._in_force[model, num_ctx] = min(num_ctx, *lengths) if lengths and lengths[0] else num_ctx
        return self._in_force[model, num_ctx]

    async def _reads_counts(self) -> bool:
        """Whether ``prompt_eval_count`` has the cached tokens in it: since 0.33; servers before left them out in some cases."""
        try:
            return wire.read_version(await self.client.version()) >= COUNTS_ALL
        except FiresideError:
            return False

    async def _embedder(self) -> str:
        names = [card.name for card in await self.models() if card.can("embed")]
        return f"use {names[0]}, which does" if names else f"fireside models pull nomic-embed-text@{self.name}"


def _resident(model: wire.Loaded) -> Resident:
    return Resident(model.name, model.size, model.size_vram, model.context_length, wire.read_time(model.expires_at))


def _read_chat(value: wire.Json) -> tuple[list[Delta], Line]:
    line = wire.read(value, wire.ChatLine)
    return wire.read_chat_line(line), line


def _read_generate(value: wire.Json) -> tuple[list[Delta], Line]:
    line = wire.read(value, wire.GenerateLine)
    return wire.read_generate_line(line), line


def _refuse_impossible(request: ChatRequest, card: ModelCard) -> None:
    if not request.messages:
        # To Ollama it would mean: load the model, and say nothing.
        raise Invalid("a conversation needs at least one message", remedy="ask something")
    remedy = "choose a model that can: fireside models list"
    if request.tools and request.tool_choice != "none" and not card.can("tools"):
        raise Invalid(f"{card.name} cannot call tools", remedy=remedy)
    if any(message.images for message in request.messages) and not card.can("vision"):
        raise Invalid(f"{card.name} cannot see images", remedy=remedy)


def _refuse_cloud(model: str) -> None:
    if wire.is_cloud(model):
        raise NotPermitted(
            f"{model} would run at ollama.com, not on this server",
            remedy="choose a model that runs on your own machine: fireside models list",
            model=model,
        )


def _keep_alive(text: str) -> str | float:
    """Ollama reads a bare number only as a number."""
    return text if text[-1].isalpha() else float(text)


def build(name: str, settings: OllamaSettings, context: EngineContext) -> OllamaEngine:
    """The entry point. Raises ``Invalid`` when ``url`` cannot be an address."""
    timeouts = Timeouts(
        connect=settings.connect_seconds,
        load=settings.load_seconds,
        first_token=settings.first_token_seconds,
        stall=settings.stall_seconds,
    )
    client = OllamaClient(name, parse(settings.url), context.transport, settings.host_header, timeouts)
    sizes = ContextSizes(fixed=settings.num_ctx, most=settings.max_num_ctx)
    return OllamaEngine(client, sizes=sizes, keep_alive=_keep_alive(settings.keep_alive))


build.settings = OllamaSettings  # type: ignore[attr-defined]
