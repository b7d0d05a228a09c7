"""llama.cpp: built in (xllamacpp in a supervised child), a ``llama-server`` binary kept the same way, or a server that runs elsewhere.

All three speak the same HTTP. Where llama-server does not keep a promise of the protocol, this room does: a tool call that must be made
is asked for by a schema of our own, and read back whole or not at all. Knows nothing of processes (``supervisor``) or files
(``llama_models``).
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from fireside.core.errors import ConnectionFailed, ContextTooLong, FiresideError, Invalid
from fireside.core.messages import JsonSchema, ToolSpec
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, Priority, ResponseFormat, Vectors
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.engines.egress import boundary_of
from fireside.engines.engine import Boundary, EngineHealth, PullProgress
from fireside.engines.healing import grammar, healed, taken_back, without_end
from fireside.engines.llama_models import Shelf
from fireside.engines.llama_places import Asker, Embedded, Json, Place, Remote
from fireside.engines.llama_schema import check_schema, checked, held
from fireside.engines.registry import EngineContext
from fireside.engines.reply import Response, explain
from fireside.engines.spec import ChildSpec
from fireside.engines.supervisor import Supervisor
from fireside.engines.transport import BODY_LIMIT, Stream, Timeouts
from fireside.models.card import Capability, ModelCard
from fireside.models.prompting import drawn_as_code, fim_prompt
from fireside.wire.forced import as_call, call_schema, forced_tools
from fireside.wire.framing import sse
from fireside.wire.openai import ChatReader, read_embeddings, write_chat, write_completion, write_embeddings

RECONNECT_SECONDS = 0.05
TOO_LARGE = re.compile(r"input \((\d+) tokens\) is too large")
Request = TypeVar("Request", ChatRequest, CompletionRequest)
OF_CHATS = ("messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "chat_template_kwargs")


class LlamaServerSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="llama_server"
):
    """``url``: a llama-server that runs already; ``key_name`` names its key. ``binary``: one to run; empty: the built-in one.

    ``models``: GGUF files and folders of them, besides the store's. ``context``: tokens of one request, prompt and answer;
    ``parallel``: requests at a time, each with a whole context. ``threads``: 0 leaves one physical core free where there are more than
    two. ``gpu_layers``: -1 lets llama.cpp choose. ``prompt_cache``: MiB. ``loras``: adapter file -> scale. ``nice``: 0 to 19, higher
    gives way to other programs. ``idle_seconds``: without a request for so long, the model leaves memory. The other limits: seconds.
    """

    url: str = ""
    key_name: str = ""
    binary: str = ""
    models: tuple[str, ...] = ()
    context: Annotated[int, msgspec.Meta(ge=256, le=16_777_216)] = 8192
    parallel: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    threads: Annotated[int, msgspec.Meta(ge=0, le=512)] = 0
    gpu_layers: Annotated[int, msgspec.Meta(ge=-1)] = -1
    kv_cache: Literal["f16", "q8_0"] = "f16"
    prompt_cache: Annotated[int, msgspec.Meta(ge=0)] = 1024
    loras: dict[str, float] = {}
    nice: Annotated[int, msgspec.Meta(ge=0, le=19)] = 0
    idle_seconds: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    start_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    first_token_seconds: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    stall_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0


class LlamaServerEngine:
    """One llama.cpp. ``parallel``: requests that run at a time; more wait at the server."""

    # What the gateway asks of an engine before it lets requests that begin alike wait for the first of them.
    keeps_prefixes = True

    def __init__(self, place: Place, asker: Asker, *, parallel: int, timeouts: Timeouts) -> None:
        self.name = asker.engine
        self.boundary = asker.boundary
        self.parallel = parallel
        self._place = place
        self._asker = asker
        self._timeouts = timeouts
        self._busy = 0

    async def chat(self, request: ChatRequest, card: ModelCard) -> AsyncIterator[Delta]:
        forced = forced_tools(request)
        path, body = "/v1/chat/completions", write_request(request, card, forced)
        if "response_format" in body and not any(message.images for message in request.messages):
            path, body = "/v1/completions", await self._templated(body, card)
        with self._place.slot(card, request.session) as slot:
            deltas = self._answer(path, body | {"id_slot": slot}, card, "chat")
            if request.response_format is not None:
                deltas = checked(deltas, card.name)
            async with closing(as_call(deltas) if forced else deltas) as answer:
                async for delta in answer:
                    yield delta

    async def _templated(self, body: Json, card: ModelCard) -> Json:
        """The same request as a ready prompt. llama-server reads a constrained answer to a chat through a parser of its own, which turns
        some that were cut by their limit into an error; the schema alone holds the answer, and a cut one is given as it is.
        """
        prompt = (await self._json("/apply-template", body, card, "chat"))["prompt"]
        kept = {key: value for key, value in body.items() if key not in OF_CHATS}
        return kept | {"prompt": prompt, "json_schema": held(read_format(body["response_format"]))}

    async def complete(self, request: CompletionRequest, card: ModelCard) -> AsyncIterator[Delta]:
        """The model's own fill-in-the-middle form, code drawn at temperature 0 unless another was asked for; or a raw prompt as it is."""
        drawn, prompt, end = request, request.prefix, ""
        if not request.raw:
            require(card, "fim", "fill in code")
            assert card.fim is not None
            end = taken_back(request, await self._place.tokens(card))
            drawn, prompt = drawn_as_code(request, card.fim), fim_prompt(without_end(request, end), card.fim)
        body = write_completion(told_of_tokens(drawn), card.name, prompt=prompt)
        body |= {"grammar": grammar(end)} if end else {}
        with self._place.slot(card, request.session, typing=request.priority == Priority.TYPING) as slot:
            body |= {"cache_prompt": True, "id_slot": slot}
            answer = self._answer("/v1/completions", body, card, "complete")
            async with closing(healed(answer, end) if end else answer) as deltas:
                async for delta in deltas:
                    yield delta

    async def embed(self, texts: Sequence[str], card: ModelCard) -> Vectors:
        require(card, "embed", "embed")
        if not texts:
            return []
        body = write_embeddings([text or " " for text in texts], card.name)  # an empty one would be refused
        try:
            return read_embeddings(await self._json("/v1/embeddings", body, card, "embed", embedding=True), len(texts))
        except FiresideError as error:
            found = TOO_LARGE.search(error.message)
            if found is None:
                raise
            raise ContextTooLong(
                f"a text has {found[1]} tokens, {card.name} embeds {card.context_window} at most",
                remedy="embed it in smaller pieces",
                prompt_tokens=int(found[1]),
                context_window=card.context_window,
            ) from error

    async def models(self) -> list[ModelCard]:
        return await self._place.cards()

    async def health(self) -> EngineHealth:
        began = time.perf_counter()
        try:
            health = await self._place.health()
        except FiresideError as error:
            health = EngineHealth("down", error.message, error.remedy or "fireside doctor", busy=self._busy)
        return replace(health, latency=time.perf_counter() - began)

    async def count_tokens(self, request: ChatRequest | str, card: ModelCard) -> int | None:
        """Exactly what the server will count. Loads the model when it is not loaded."""
        text: Json = {"content": request, "add_special": False, "parse_special": False}
        if not isinstance(request, str):
            templated = await self._json("/apply-template", write_request(request, card, ()), card, "count")
            text = {"content": templated["prompt"], "add_special": True, "parse_special": True}
        tokens = (await self._json("/tokenize", text, card, "count"))["tokens"]
        return len(tokens) if isinstance(tokens, list) else None

    async def warm(self, request: ChatRequest, card: ModelCard) -> None:
        """Load the model; with messages, also compute their prompt, which the slot then remembers. ``keep_alive`` 0 unloads it."""
        if not request.messages:
            if request.keep_alive == 0:
                await self._place.unload(card)
                return
            async with self._place.server(card):
                return
        first = replace(request, sampling=replace(request.sampling, max_tokens=1), tool_choice="auto")
        async with closing(self.chat(first, card)) as deltas:
            async for _ in deltas:
                pass

    def pull(self, name: str) -> AsyncIterator[PullProgress]:
        raise Invalid(
            f"{self.name} runs files that are here already; it cannot pull {name or 'nothing'}",
            remedy="fireside models pull URL fetches a GGUF into the store",
        )

    async def aclose(self) -> None:
        """Let go of the children; those that nobody else uses end."""
        await self._place.aclose()

    async def _answer(self, path: str, body: Json, card: ModelCard, purpose: str) -> AsyncIterator[Delta]:
        self._busy += 1
        try:
            reader = ChatReader()
            async with self._open(path, body, card, purpose) as stream, closing(sse(stream.chunks())) as events:
                async for event in events:
                    for delta in reader.read(event):
                        yield delta
            for delta in reader.end():
                yield delta
        finally:
            self._busy -= 1

    async def _json(self, path: str, body: Json, card: ModelCard, purpose: str, *, embedding: bool = False) -> Json:
        async with self._open(path, body, card, purpose, embedding=embedding) as stream:
            return (await stream.whole(BODY_LIMIT)).object()

    @asynccontextmanager
    async def _open(
        self, path: str, body: Json, card: ModelCard, purpose: str, *, embedding: bool = False
    ) -> AsyncIterator[Stream]:
        """The answer to a POST, its status 200. A child that died since its last answer is replaced, once."""
        async with AsyncExitStack() as stack:
            try:
                stream = await self._send(stack, path, body, card, purpose, embedding=embedding)
            except ConnectionFailed as error:
                if not self._place.restarts or error.context.get("cause") not in ("refused", "reset"):
                    raise
                await stack.aclose()
                await asyncio.sleep(RECONNECT_SECONDS)
                stream = await self._send(stack, path, body, card, purpose, embedding=embedding)
            if stream.status != 200:
                raise self._explain(await stream.whole(), card)
            yield stream

    def _explain(self, response: Response, card: ModelCard) -> FiresideError:
        """The error of an answer, with what the user can do about it here."""
        error = explain(response, model=card.name)
        if isinstance(error, ContextTooLong) and "prompt_tokens" in error.context:
            tokens, window = error.context["prompt_tokens"], error.context["context_window"]
            return ContextTooLong(
                f"the prompt has {tokens} tokens, {card.name} takes {window}",
                remedy=f"ask with less context, or raise it: fireside config set engines.{self.name}.context {tokens}",
                prompt_tokens=tokens,
                context_window=window,
            )
        error.remedy = error.remedy or "fireside doctor"
        return error

    async def _send(
        self, stack: AsyncExitStack, path: str, body: Json, card: ModelCard, purpose: str, *, embedding: bool
    ) -> Stream:
        address = await stack.enter_async_context(self._place.server(card, embedding=embedding))
        return await stack.enter_async_context(
            self._asker.transport.stream(
                "POST",
                address.base_url + path,
                json=body,
                headers=address.headers,
                timeouts=self._timeouts,
                errand=self._asker.errand(purpose),
            )
        )


def write_request(request: ChatRequest, card: ModelCard, forced: Sequence[ToolSpec]) -> Json:
    """The body of a chat. ``forced``: the tools one of which must be called. Raises ``Invalid`` for what the model cannot do."""
    if not request.messages:
        raise Invalid("a conversation without a message cannot be answered", remedy="ask something")
    require(card, "chat", "hold a conversation")
    if request.tools and request.tool_choice != "none":
        require(card, "tools", "call tools")
    if any(message.images for message in request.messages):
        require(card, "vision", "see images")
    if request.response_format is not None:
        check_schema(request.response_format.schema or {})
    extra: Json = {"cache_prompt": True}
    if request.reasoning is not None and card.can("thinking"):
        level = request.reasoning
        extra["chat_template_kwargs"] = {"enable_thinking": level != "off", "reasoning_effort": level}
    request = replace(request, reasoning=None)
    if forced:
        # The prompt lists all tools as it always does, so its prefix stays cached; which of them may be called, the schema says.
        schema = ResponseFormat(call_schema(forced))
        sampling = replace(request.sampling, stop=())  # a stop inside an argument would cut the call
        request = replace(request, tool_choice="none", response_format=schema, sampling=sampling)
        extra["logit_bias"] = [["\n", False]]  # JSON needs no line breaks, and small models lose themselves in them
    return write_chat(told_of_tokens(request), card.name) | extra


def told_of_tokens(request: Request) -> Request:
    """llama-server says nothing of its tokens when it is asked for none beside them; so it is asked for one, which may be left out."""
    if request.sampling.logprobs != 0:
        return request
    return replace(request, sampling=replace(request.sampling, logprobs=1))


def read_format(written: object) -> JsonSchema:
    """The schema of a ``response_format``; any object where it names none."""
    match written:
        case {"type": "json_schema", "json_schema": {"schema": schema}} if isinstance(schema, Mapping):
            return schema
    return {"type": "object"}


def require(card: ModelCard, capability: Capability, words: str) -> None:
    if not card.can(capability):
        raise Invalid(f"{card.name} cannot {words}", remedy="choose a model that can: fireside models list")


def build(name: str, settings: LlamaServerSettings, context: EngineContext) -> LlamaServerEngine:
    """The entry point. Starts nothing."""
    boundary = boundary_of(urlsplit(settings.url).hostname or "") if settings.url else Boundary.MACHINE
    asker = Asker(context.transport, name, boundary)
    timeouts = Timeouts(
        load=settings.first_token_seconds, first_token=settings.first_token_seconds, stall=settings.stall_seconds
    )
    return LlamaServerEngine(_place(settings, context, asker), asker, parallel=settings.parallel, timeouts=timeouts)


build.settings = LlamaServerSettings  # type: ignore[attr-defined]


def _place(settings: LlamaServerSettings, context: EngineContext, asker: Asker) -> Place:
    if settings.url:
        return Remote(settings.url, context.secret(settings.key_name) if settings.key_name else None, asker)
    spec = ChildSpec(
        model="",
        parallel=settings.parallel,
        threads=settings.threads,
        gpu_layers=settings.gpu_layers,
        kv_cache=settings.kv_cache,
        prompt_cache=settings.prompt_cache,
        loras=tuple((str(Path(path).expanduser().absolute()), scale) for path, scale in settings.loras.items()),
        binary=str(Path(settings.binary).expanduser()) if settings.binary else "",
        nice=settings.nice,
        idle_seconds=settings.idle_seconds,
    )
    shelf = Shelf(asker.engine, context.models, settings.models, context=settings.context)
    return Embedded(shelf, Supervisor(context.runtime, start_seconds=settings.start_seconds), spec, asker)
