"""Any server that speaks OpenAI's chat, completion and embedding API: vLLM, LM Studio, llama.cpp, TGI, OpenRouter, OpenAI itself.

What a server does not say of its models comes from the settings, else from the model's family. Not used for Ollama, whose ``/v1`` routes
cannot set the context.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from fireside.core.errors import ErrorKind, FiresideError
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, ResponseFormat, Vectors
from fireside.core.streams import closing, singly
from fireside.core.values import replace
from fireside.engines.api import QUICK, Api, Json, Key, boundary_for, cannot, fitted, refuse_pull
from fireside.engines.base_url import BaseUrl, base_url
from fireside.engines.engine import Boundary, EngineHealth, PullProgress
from fireside.engines.healing import blanks_back, healed_batches, without_end
from fireside.engines.model_list import ModelSettings, cards_of
from fireside.engines.registry import EngineContext
from fireside.engines.transport import Timeouts
from fireside.models.card import ModelCard
from fireside.models.prompting import drawn_as_code, fim_prompt
from fireside.wire.forced import as_call, call_schema, forced_tools
from fireside.wire.openai import ChatReader, read_embeddings, write_chat, write_completion, write_embeddings

EMBED_BATCH = 64
OPENAI = "api.openai.com"
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class OpenAISettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="openai"
):
    """``base_url``: with or without ``/v1``. ``key_name``: which secret holds the key; empty: none, at OpenAI itself ``openai``.

    ``models``: what the server does not say of its models, and models it does not list. ``boundary``: how far a prompt travels; ``network``
    for a server of your own whose name looks public (it is refused should it lead outside). ``headers``: sent with every request.
    ``host_header``: sent as ``Host``. ``organization``: OpenAI's. The limits are in seconds. ``weight``: its share when several engines
    have the same model. ``parallel``: requests it is sent at once; most such servers compute them together.
    """

    base_url: str = "http://127.0.0.1:8000/v1"
    key_name: str = ""
    models: dict[str, ModelSettings] = {}
    boundary: Literal["auto", "network", "cloud"] = "auto"
    headers: dict[str, str] = {}
    host_header: str = ""
    organization: str = ""
    connect_seconds: Seconds = 3.0
    load_seconds: Seconds = 300.0
    first_token_seconds: Seconds = 120.0
    stall_seconds: Seconds = 60.0
    weight: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    parallel: Annotated[int, msgspec.Meta(ge=1)] = 128


@dataclass(slots=True)
class OpenAIEngine:
    """One such server. ``documented``: it takes only what OpenAI documents, under its newest names."""

    api: Api
    configured: dict[str, ModelSettings]
    documented: bool = False
    parallel: int = 128
    counts: bool | None = None

    @property
    def name(self) -> str:
        return self.api.name

    @property
    def boundary(self) -> Boundary:
        return self.api.boundary

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed in ``base_url``, one line each."""
        return self.api.base.notes

    def chat(self, request: ChatRequest, card: ModelCard) -> AsyncIterator[Delta]:
        return singly(self.stream(request, card))

    def complete(self, request: CompletionRequest, card: ModelCard) -> AsyncIterator[Delta]:
        return singly(self.stream(request, card))

    def stream(self, request: ChatRequest | CompletionRequest, card: ModelCard) -> AsyncIterator[list[Delta]]:
        """The answer, a batch for each read; asked for as a whole when nobody reads along."""
        try:
            if isinstance(request, ChatRequest):
                return self._chat(fitted(request, card), card)
            return self._complete(request, card)
        except FiresideError as error:
            return _refused(error)

    def _chat(self, request: ChatRequest, card: ModelCard) -> AsyncIterator[list[Delta]]:
        """Where a call must be made, it is asked for by a schema: many servers take ``tool_choice`` for a wish. OpenAI keeps to it."""
        forced = forced_tools(request)
        by_schema = bool(forced) and not self.documented
        if by_schema:
            sampling = replace(request.sampling, stop=())  # a stop inside an argument would cut the call
            schema = ResponseFormat(call_schema(forced))
            request = replace(request, tool_choice="none", response_format=schema, sampling=sampling)
        body = write_chat(request, card.name, stream=request.stream, documented=self.documented)
        answer = self.api.stream("/chat/completions", body, ChatReader(), purpose="chat", model=card.name)
        return _as_call(answer) if by_schema else answer

    def _complete(self, request: CompletionRequest, card: ModelCard) -> AsyncIterator[list[Delta]]:
        """With the family's own fill-in-the-middle tokens where it has them, else with the server's ``suffix``.

        Code is drawn at temperature 0 unless another was asked for; a raw prompt is left as it is.
        """
        drawn: CompletionRequest = request
        prompt: str | None = request.prefix
        end = blanks_back(request)
        if not request.raw:
            if not card.can("fim"):
                raise cannot(card, "fim", "fill in code")
            drawn = drawn_as_code(without_end(request, end), card.fim)
            prompt = fim_prompt(drawn, card.fim) if card.fim is not None else None
        body = write_completion(drawn, card.name, prompt=prompt, stream=request.stream, documented=self.documented)
        answer = self.api.stream("/completions", body, ChatReader(), purpose="complete", model=card.name)
        return healed_batches(answer, end) if end else answer

    async def embed(self, texts: Sequence[str], card: ModelCard) -> Vectors:
        if not card.can("embed"):
            raise cannot(card, "embed", "embed")
        vectors: Vectors = []
        for start in range(0, len(texts), EMBED_BATCH):
            # OpenAI refuses the empty text; a blank stands for it.
            batch = [text or " " for text in texts[start : start + EMBED_BATCH]]
            body = write_embeddings(batch, card.name)
            answer = await self.api.ask("POST", "/embeddings", body=body, purpose="embed", model=card.name)
            vectors += read_embeddings(answer, len(batch))
        return vectors

    async def models(self) -> list[ModelCard]:
        return cards_of(await self._list(), self.name, self.configured, suffix=not self.documented)

    async def health(self) -> EngineHealth:
        """A cloud is not asked: looking at it would leave the machine."""
        began = time.perf_counter()
        try:
            if self.boundary is Boundary.CLOUD:
                return self._untested()
            async with asyncio.timeout(1):
                state = await self._look()
        except TimeoutError:
            state = self._down(f"{self.api.base.url} does not answer within a second", "is the machine on and awake?")
        except FiresideError as error:
            state = self._down(error.message, error.remedy)
        return replace(state, latency=time.perf_counter() - began, busy=self.api.busy)

    async def count_tokens(self, request: ChatRequest | str, card: ModelCard) -> int | None:
        """Only vLLM has a route for it (``/tokenize``); whether this server does is found out once."""
        if self.counts is False or self.boundary is Boundary.CLOUD:
            return None
        if not request:
            return 0
        body: Json = {"model": card.name}
        if isinstance(request, str):
            body["prompt"] = request
        else:
            body |= {
                name: value for name, value in write_chat(request, card.name).items() if name in ("messages", "tools")
            }
        try:
            answer = await self.api.ask(
                "POST", f"{self.api.base.root}/tokenize", body=body, purpose="count", model=card.name
            )
        except FiresideError as error:
            if error.kind in (ErrorKind.CONNECTION, ErrorKind.TIMEOUT, ErrorKind.PERMISSION):
                raise
            self.counts = False
            return None
        count = answer.get("count")
        self.counts = isinstance(count, int)
        return count if isinstance(count, int) else None

    async def warm(self, request: ChatRequest, card: ModelCard) -> None:
        """Have one token said, so that the prompt is computed and kept. A cloud keeps nothing for us, and asks money for it."""
        if self.boundary is Boundary.CLOUD or not request.messages:
            return
        first = replace(
            request,
            sampling=replace(request.sampling, max_tokens=1),
            response_format=None,
            tool_choice="auto",
            stream=False,
        )
        async with closing(self.chat(first, card)) as answer:
            async for _ in answer:
                pass

    async def pull(self, name: str) -> AsyncIterator[PullProgress]:
        yield refuse_pull(name, self.name)

    async def aclose(self) -> None:
        """The transport is shared and closed by who made it."""

    async def _list(self) -> Json:
        """``/models``; when there is no such route, the address is tried with or without ``/v1``, and kept where it answers."""
        try:
            return await self.api.ask("GET", "/models", purpose="models")
        except FiresideError as error:
            if error.context.get("status") not in (404, 405):
                raise
            other = self.api.base.other
            try:
                found = await self.api.ask("GET", f"{other}/models", purpose="models")
            except FiresideError:
                if self.configured:
                    return {}
                raise error from None
        self.api.base = BaseUrl(other, (*self.api.base.notes, f"{other} is used, for only there an API answers"))
        return found

    async def _look(self) -> EngineHealth:
        try:
            await self.api.ask("GET", f"{self.api.base.root}/health", purpose="health", timeouts=QUICK)
        except FiresideError as error:
            if error.context.get("status") == 503:
                return EngineHealth("loading", error.message)
            if error.kind is ErrorKind.TIMEOUT or error.context.get("cause") not in ("protocol", None):
                raise
        listed = await self._list()
        entries = listed.get("data")
        count = len(entries) if isinstance(entries, list) else len(self.configured)
        return EngineHealth("ready", "; ".join((f"{count} models at {self.api.base.url}", *self.notes)))

    def _untested(self) -> EngineHealth:
        self.api.key.value(self.api.base.host)
        if not self.api.transport.egress.allows(self.api.base.host):
            host = self.api.base.host
            return self._down(f"{host} was not allowed", f"fireside config set privacy.allow_hosts '[\"{host}\"]'")
        return EngineHealth("idle", f"{self.api.base.url}, a cloud: not asked")

    def _down(self, detail: str, remedy: str) -> EngineHealth:
        return EngineHealth("down", "; ".join((detail, *self.notes)), remedy)


async def _as_call(answer: AsyncIterator[list[Delta]]) -> AsyncIterator[list[Delta]]:
    async with closing(as_call(singly(answer))) as deltas:
        async for delta in deltas:
            yield [delta]


async def _refused(error: FiresideError) -> AsyncIterator[list[Delta]]:
    """An answer that cannot be asked for fails when it is read, as any other does."""
    nothing: tuple[list[Delta], ...] = ()
    for batch in nothing:
        yield batch
    raise error


def build(name: str, settings: OpenAISettings, context: EngineContext) -> OpenAIEngine:
    """The entry point. Raises ``Invalid`` when ``base_url`` cannot be an address."""
    base = base_url(settings.base_url)
    itself = base.host == OPENAI
    extra = dict(settings.headers)
    if settings.host_header:
        extra["host"] = settings.host_header
    if settings.organization:
        extra["openai-organization"] = settings.organization
    api = Api(
        name=name,
        base=base,
        boundary=boundary_for(base, settings.boundary),
        timeouts=Timeouts(
            connect=settings.connect_seconds,
            load=settings.load_seconds,
            first_token=settings.first_token_seconds,
            stall=settings.stall_seconds,
        ),
        transport=context.transport,
        key=Key(settings.key_name or ("openai" if itself else ""), context.secret),
        headers=lambda key: {"authorization": f"Bearer {key}"},
        extra=extra,
    )
    return OpenAIEngine(api, settings.models, documented=itself, parallel=settings.parallel)


build.settings = OpenAISettings  # type: ignore[attr-defined]
