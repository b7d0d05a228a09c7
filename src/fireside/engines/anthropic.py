"""Anthropic's Messages API, and servers that speak it.

Chat only: there are no completions and no embeddings there.
"""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from fireside.core.errors import FiresideError
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, CompletionRequest, Delta, Vectors
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.engines.api import QUICK, Api, Json, Key, boundary_for, cannot, fitted, refuse_pull
from fireside.engines.base_url import base_url
from fireside.engines.engine import Boundary, EngineHealth, PullProgress
from fireside.engines.model_list import ModelSettings
from fireside.engines.registry import EngineContext
from fireside.engines.transport import Timeouts
from fireside.models.card import Capability, ModelCard
from fireside.wire.anthropic import MessagesReader, generation, write_messages, write_prompt

VERSION = "2023-06-01"
WINDOW = 200_000
EVERYTHING: frozenset[Capability] = frozenset(("chat", "tools", "json_schema", "vision", "thinking"))
# Claude 3.5 and 3 do not think; structured outputs came with 4.5.
THINKS_SINCE = (3, 7)
SCHEMA_SINCE = (4, 5)
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class AnthropicSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="anthropic"
):
    """``base_url``: with or without ``/v1``. ``key_name``: which secret holds the key, empty: none.

    ``models``: what is to be known of models beside what the server says. ``boundary``: how far a prompt travels.
    ``max_tokens``: the limit of an answer, in tokens, where a request names none. ``headers``, ``host_header``: sent with every request.
    The limits are in seconds. ``weight``: its share when several engines have the same model.
    """

    base_url: str = "https://api.anthropic.com"
    key_name: str = "anthropic"
    models: dict[str, ModelSettings] = {}
    boundary: Literal["auto", "network", "cloud"] = "auto"
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] = 8192
    headers: dict[str, str] = {}
    host_header: str = ""
    connect_seconds: Seconds = 3.0
    load_seconds: Seconds = 300.0
    first_token_seconds: Seconds = 120.0
    stall_seconds: Seconds = 60.0
    weight: Annotated[float, msgspec.Meta(ge=0)] = 1.0


@dataclass(frozen=True, slots=True)
class AnthropicEngine:
    """One such server."""

    api: Api
    configured: dict[str, ModelSettings]
    max_tokens: int

    @property
    def name(self) -> str:
        return self.api.name

    @property
    def boundary(self) -> Boundary:
        return self.api.boundary

    async def chat(self, request: ChatRequest, card: ModelCard) -> AsyncIterator[Delta]:
        request = fitted(request, card)
        body = write_messages(request, card.name, max_tokens=self.max_tokens)
        answer = self.api.answer("/messages", body, MessagesReader(), purpose="chat", model=card.name)
        async with closing(answer) as deltas:
            async for delta in deltas:
                yield delta

    async def complete(self, request: CompletionRequest, card: ModelCard) -> AsyncIterator[Delta]:
        yield _no_completion(card)

    async def embed(self, texts: Sequence[str], card: ModelCard) -> Vectors:
        raise cannot(card, "embed", "embed")

    async def models(self) -> list[ModelCard]:
        answer = await self.api.ask("GET", "/models?limit=1000", purpose="models")
        data = answer.get("data")
        entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
        windows = {str(entry["id"]): entry.get("max_input_tokens") for entry in entries if entry.get("id")}
        return [self._card(name, windows.get(name)) for name in dict.fromkeys((*windows, *self.configured))]

    async def health(self) -> EngineHealth:
        """A cloud is not asked: looking at it would leave the machine."""
        began = time.perf_counter()
        try:
            state = self._untested() if self.boundary is Boundary.CLOUD else await self._look()
        except FiresideError as error:
            state = EngineHealth("down", error.message, error.remedy)
        return replace(state, latency=time.perf_counter() - began, busy=self.api.busy)

    async def count_tokens(self, request: ChatRequest | str, card: ModelCard) -> int | None:
        """Counted by the server itself, which has the prompt for it: only where a chat could be sent too."""
        if not request:
            return 0
        asked = ChatRequest((Message("user", request),)) if isinstance(request, str) else request
        body: Json = {"model": card.name, **write_prompt(asked)}
        answer = await self.api.ask("POST", "/messages/count_tokens", body=body, purpose="count", model=card.name)
        count = answer.get("input_tokens")
        return count if isinstance(count, int) else None

    async def warm(self, request: ChatRequest, card: ModelCard) -> None:
        """Nothing: what the provider keeps is paid for, and goes after minutes."""

    async def pull(self, name: str) -> AsyncIterator[PullProgress]:
        yield refuse_pull(name, self.name)

    async def aclose(self) -> None:
        """The transport is shared and closed by who made it."""

    def _card(self, name: str, window: object) -> ModelCard:
        given = self.configured.get(name) or ModelSettings()
        told = window if isinstance(window, int) and window > 0 else WINDOW
        capabilities = _capabilities(name) if given.capabilities is None else frozenset(given.capabilities)
        return ModelCard(
            name=name,
            engine=self.name,
            family="claude" if generation(name) else "",
            context_window=given.context_window or told,
            capabilities=capabilities,
        )

    async def _look(self) -> EngineHealth:
        answer = await self.api.ask("GET", "/models?limit=1000", purpose="health", timeouts=QUICK)
        data = answer.get("data")
        return EngineHealth("ready", f"{len(data) if isinstance(data, list) else 0} models at {self.api.base.url}")

    def _untested(self) -> EngineHealth:
        host = self.api.base.host
        self.api.key.value(host)
        if not self.api.transport.egress.allows(host):
            remedy = f"fireside config set privacy.allow_hosts '[\"{host}\"]'"
            return EngineHealth("down", f"{host} was not allowed", remedy)
        return EngineHealth("idle", f"{self.api.base.url}, a cloud: not asked")


def _capabilities(name: str) -> frozenset[Capability]:
    version = generation(name)
    if version is None:
        return EVERYTHING
    old: set[Capability] = set()
    if version < THINKS_SINCE:
        old.add("thinking")
    if version < SCHEMA_SINCE:
        old.add("json_schema")
    return EVERYTHING - old


def _no_completion(card: ModelCard) -> Delta:
    raise cannot(card, "fim", "fill in code")


def build(name: str, settings: AnthropicSettings, context: EngineContext) -> AnthropicEngine:
    """The entry point. Raises ``Invalid`` when ``base_url`` cannot be an address."""
    base = base_url(settings.base_url)
    extra = {"anthropic-version": VERSION, **settings.headers}
    if settings.host_header:
        extra["host"] = settings.host_header
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
        key=Key(settings.key_name, context.secret),
        headers=lambda key: {"x-api-key": key},
        extra=extra,
    )
    return AnthropicEngine(api, settings.models, settings.max_tokens)


build.settings = AnthropicSettings  # type: ignore[attr-defined]
