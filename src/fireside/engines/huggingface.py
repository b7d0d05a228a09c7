"""Transformers checkpoints from folders of this machine, each in a child process. Needs the extra ``fireside[hf]``.

For fresh checkpoints and odd architectures: slower and larger than llama.cpp on the same weights. Nothing is fetched from a hub. The
child speaks OpenAI's JSON (see ``hf_child``); what it cannot do (tools, a given JSON form, images) is refused here, before it is started.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from fireside.core.errors import FiresideError, Invalid, ModelNotFound
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, Vectors
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.engines.egress import Errand
from fireside.engines.engine import Boundary, EngineHealth, PullProgress
from fireside.engines.healing import healed, taken_back, without_end
from fireside.engines.hf_folder import read_card
from fireside.engines.registry import EngineContext
from fireside.engines.reply import Response, explain
from fireside.engines.spec import ChildSpec
from fireside.engines.supervisor import Running, Supervisor
from fireside.engines.transport import Stream, Timeouts, Transport
from fireside.models.card import Capability, ModelCard
from fireside.models.prompting import fim_prompt, fim_stops
from fireside.wire import openai as wire
from fireside.wire.framing import sse

MODULE = "fireside.engines.hf_child"
PACKAGES = ("torch", "transformers")
LOOK = Timeouts(connect=0.5, load=0.5, first_token=0.5, stall=0.5)


class HuggingFaceSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="huggingface"
):
    """``models``: folders, each with one checkpoint. ``device``: auto (a GPU where there is one) or cpu.

    ``context``: tokens of one request at most; ``parallel``: requests that compute at a time. ``start_seconds``: how long loading may
    take; ``idle_seconds``: without a request for so long, a model leaves memory. ``threads``: 0 chooses. ``timeouts``: seconds.
    """

    models: tuple[str, ...] = ()
    device: Literal["auto", "cpu"] = "auto"
    context: Annotated[int, msgspec.Meta(ge=256)] = 8192
    parallel: Annotated[int, msgspec.Meta(ge=1)] = 1
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    start_seconds: Annotated[float, msgspec.Meta(gt=0)] = 180.0
    idle_seconds: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    timeouts: Timeouts = Timeouts()


class HuggingFaceEngine:
    """One child per checkpoint, started by the first request that needs it."""

    boundary = Boundary.MACHINE

    def __init__(
        self, name: str, settings: HuggingFaceSettings, *, transport: Transport, supervisor: Supervisor
    ) -> None:
        self.name = name
        self._settings = settings
        self._transport = transport
        self.supervisor = supervisor
        self._busy = 0

    async def chat(self, request: ChatRequest, card: ModelCard) -> AsyncIterator[Delta]:
        _need(card, "chat", "chat")
        _check_chat(request, card)
        # Tools that must not be called are not offered: the model's template could not keep it from trying.
        body = wire.write_chat(replace(request, tools=(), tool_choice="auto"), card.name)
        async with closing(self._answer("/v1/chat/completions", body, card)) as deltas:
            async for delta in deltas:
                yield delta

    async def complete(self, request: CompletionRequest, card: ModelCard) -> AsyncIterator[Delta]:
        _need(card, "fim", "fill in code")
        assert card.fim is not None
        stop = tuple(dict.fromkeys((*request.sampling.stop, *fim_stops(card.fim))))
        end = taken_back(request)
        request = replace(without_end(request, end), sampling=replace(request.sampling, stop=stop))
        body = wire.write_completion(request, card.name, prompt=fim_prompt(request, card.fim))
        body |= {"begins_with": end} if end else {}
        answer = self._answer("/v1/completions", body, card)
        async with closing(healed(answer, end) if end else answer) as deltas:
            async for delta in deltas:
                yield delta

    async def embed(self, texts: Sequence[str], card: ModelCard) -> Vectors:
        _need(card, "embed", "embed")
        if not texts:
            return []
        async with self.supervisor.use(self.spec(card)) as server:
            answer = await self._ask(server, "/v1/embeddings", wire.write_embeddings(texts, card.name))
        if not answer.ok:
            raise explain(answer, model=card.name)
        return wire.read_embeddings(answer.object(), len(texts))

    async def models(self) -> list[ModelCard]:
        """Raises ``Invalid`` without torch and transformers, and for a folder that holds no checkpoint."""
        check_packages()
        return await asyncio.to_thread(self._cards)

    async def health(self) -> EngineHealth:
        """``loaded``: the checkpoints in memory, whichever Fireside process asked for them."""
        began = time.perf_counter()
        try:
            running = {card.name: self.supervisor.running(self.spec(card)) for card in await self.models()}
        except FiresideError as error:
            return EngineHealth("down", error.message, error.remedy, time.perf_counter() - began, busy=self._busy)
        loaded = tuple(name for name, server in running.items() if server is not None)
        detail = f"{len(running)} checkpoints, {len(loaded)} in memory"
        state: Literal["ready", "idle"] = "ready" if loaded else "idle"
        return EngineHealth(
            state, detail, "", time.perf_counter() - began, loaded=loaded, busy=await self._at_work(running.values())
        )

    async def count_tokens(self, request: ChatRequest | str, card: ModelCard) -> int | None:
        """``None`` while the checkpoint is not in memory: loading it takes seconds."""
        server = self.supervisor.running(self.spec(card))
        if server is None:
            return None
        content: dict[str, object] = (
            {"content": request} if isinstance(request, str) else wire.write_chat(request, card.name)
        )
        answer = await self._ask(server, "/tokenize", content)
        if not answer.ok:
            raise explain(answer, model=card.name)
        tokens = answer.object().get("tokens")
        return len(tokens) if isinstance(tokens, list) else None

    async def warm(self, request: ChatRequest, card: ModelCard) -> None:
        """Load the checkpoint. Prompts are computed anew for each request, so there is nothing else to prepare."""
        await self.supervisor.acquire(self.spec(card))

    def pull(self, name: str) -> AsyncIterator[PullProgress]:
        raise Invalid(
            f"{self.name} fetches nothing from a hub",
            remedy=f"download the checkpoint, then: fireside config set engines.{self.name}.models '[\"FOLDER\"]'",
        )

    async def aclose(self) -> None:
        await self.supervisor.aclose()

    def _cards(self) -> list[ModelCard]:
        context = self._settings.context
        return [read_card(Path(folder).expanduser(), self.name, context=context) for folder in self._settings.models]

    def spec(self, card: ModelCard) -> ChildSpec:
        """What to run for a card. Raises ``ModelNotFound`` when no configured folder is the card's."""
        check_packages()
        folders = {Path(folder).name: Path(folder).expanduser() for folder in self._settings.models}
        if card.name not in folders:
            raise ModelNotFound(
                f"{card.name} is none of the checkpoints of {self.name}",
                remedy=f"name its folder: fireside config set engines.{self.name}.models",
                model=card.name,
            )
        return ChildSpec(
            model=str(folders[card.name].resolve()),
            module=MODULE,
            context=self._settings.context,
            parallel=self._settings.parallel,
            threads=self._settings.threads,
            gpu_layers=0 if self._settings.device == "cpu" else -1,
            idle_seconds=self._settings.idle_seconds,
        )

    async def _answer(self, path: str, body: dict[str, object], card: ModelCard) -> AsyncIterator[Delta]:
        self._busy += 1
        try:
            async with self.supervisor.use(self.spec(card)) as server, self._open(server, path, body) as stream:
                if stream.status != 200:
                    raise explain(await stream.whole(), model=card.name)
                reader = wire.ChatReader()
                async with closing(sse(stream.chunks())) as events:
                    async for event in events:
                        for delta in reader.read(event):
                            yield delta
                for delta in reader.end():
                    yield delta
        finally:
            self._busy -= 1

    def _open(self, server: Running, path: str, body: object) -> AbstractAsyncContextManager[Stream]:
        return self._transport.stream(
            "POST",
            server.base_url + path,
            json=body,
            headers=_key(server),
            timeouts=self._settings.timeouts,
            errand=Errand(self.name, "answer", Boundary.MACHINE),
        )

    async def _ask(self, server: Running, path: str, body: object) -> Response:
        async with self._open(server, path, body) as stream:
            return await stream.whole(64 * 1024 * 1024)

    async def _at_work(self, servers: Iterable[Running | None]) -> int:
        """Requests the children work on, those of other processes included; our own count where a child does not say in time."""
        busy = 0
        for server in servers:
            if server is None:
                continue
            try:
                answer = await self._transport.request("GET", f"{server.base_url}/health", timeouts=LOOK)
                busy += int(str(answer.object().get("busy", 0)))
            except FiresideError:
                return self._busy
        return busy


def check_packages() -> None:
    """Raises ``Invalid`` when the extra is not installed; imports nothing."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise Invalid(f"{' and '.join(missing)} are not installed", remedy='pip install "fireside[hf]"')


def _need(card: ModelCard, capability: Capability, verb: str) -> None:
    if not card.can(capability):
        raise Invalid(f"{card.name} cannot {verb}", remedy="choose a model that can: fireside models list")


def _check_chat(request: ChatRequest, card: ModelCard) -> None:
    if not request.messages:
        raise Invalid("there is no message to answer", remedy="send at least one message")
    if request.tools and request.tool_choice != "none":
        _need(card, "tools", "call tools")
    if request.response_format is not None:
        _need(card, "json_schema", "keep to a given JSON form")
    if any(message.images for message in request.messages):
        _need(card, "vision", "see images")


def _key(server: Running) -> dict[str, str]:
    return {"authorization": f"Bearer {server.api_key}"}


def build(name: str, settings: HuggingFaceSettings, context: EngineContext) -> HuggingFaceEngine:
    """The entry point. The packages are looked for when a model is needed, not here: without them the engine is listed, and says why."""
    supervisor = Supervisor(context.runtime, start_seconds=settings.start_seconds)
    return HuggingFaceEngine(name, settings, transport=context.transport, supervisor=supervisor)


build.settings = HuggingFaceSettings  # type: ignore[attr-defined]
