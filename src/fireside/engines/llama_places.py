"""Where llama.cpp answers: in children of our own, one a model, or at a URL. The engine asks both the same questions."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from fireside.core.errors import ConnectionFailed, FiresideError
from fireside.engines.egress import Errand
from fireside.engines.engine import Boundary, EngineHealth
from fireside.engines.llama_models import Shelf
from fireside.engines.llama_slots import ANY, Slots
from fireside.engines.reply import Response, explain
from fireside.engines.spec import ChildSpec
from fireside.engines.supervisor import Supervisor
from fireside.engines.transport import Timeouts, Transport
from fireside.models.card import Capability, FimTokens, ModelCard
from fireside.models.families import EMBED, family_of
from fireside.models.gguf import THINKING_MARKS
from fireside.models.trie import TokenTrie

GLANCE = Timeouts(connect=0.4, load=0.6, first_token=0.6, stall=0.6)
Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Address:
    """A server, and the headers it wants."""

    base_url: str
    headers: Mapping[str, str] = field(repr=False)


class Slot(msgspec.Struct):
    """One entry of ``/slots``."""

    is_processing: bool = False


class Listed(msgspec.Struct):
    id: str


class Models(msgspec.Struct):
    """``/v1/models``."""

    data: list[Listed]


class Defaults(msgspec.Struct):
    """``n_ctx``: tokens of one slot."""

    n_ctx: int = 0


class Modalities(msgspec.Struct):
    vision: bool = False


class Props(msgspec.Struct):
    """``/props``."""

    default_generation_settings: Defaults = msgspec.field(default_factory=Defaults)
    chat_template: str = ""
    modalities: Modalities = msgspec.field(default_factory=Modalities)


Shape = TypeVar("Shape", Models, Props)


class Place(Protocol):
    """``restarts``: whether a server that died is replaced when it is asked again."""

    restarts: bool

    async def cards(self) -> list[ModelCard]: ...

    def server(self, card: ModelCard, *, embedding: bool = False) -> AbstractAsyncContextManager[Address]:
        """The server of a model, started if need be and kept for the length of one request."""
        ...

    def slot(self, card: ModelCard, session: str | None, *, typing: bool = False) -> AbstractContextManager[int]:
        """The number of the slot a request should ask for."""
        ...

    async def tokens(self, card: ModelCard) -> TokenTrie | None:
        """The model's vocabulary; ``None`` where it is not at hand."""
        ...

    async def unload(self, card: ModelCard) -> None:
        """Have a model leave memory, unless it is at work or others use it."""
        ...

    async def health(self) -> EngineHealth: ...

    async def aclose(self) -> None: ...


class Asker:
    """Short questions to a server. ``engine``, ``boundary``: who asks, and how far it said it would go."""

    def __init__(self, transport: Transport, engine: str, boundary: Boundary) -> None:
        self.transport = transport
        self.engine = engine
        self.boundary = boundary

    def errand(self, purpose: str) -> Errand:
        return Errand(engine=self.engine, purpose=purpose, within=self.boundary)

    async def get(self, address: Address, path: str) -> Response:
        return await self.transport.request(
            "GET", address.base_url + path, headers=address.headers, timeouts=GLANCE, errand=self.errand("look")
        )

    async def post(self, address: Address, path: str, body: Json) -> Response:
        return await self.transport.request(
            "POST",
            address.base_url + path,
            json=body,
            headers=address.headers,
            timeouts=GLANCE,
            errand=self.errand("look"),
        )

    async def busy(self, address: Address) -> int | None:
        """How many slots work now; ``None`` when the server does not say (in time)."""
        try:
            response = await self.get(address, "/slots")
            slots = msgspec.json.decode(response.body, type=list[Slot]) if response.ok else None
        except (FiresideError, msgspec.DecodeError):
            return None
        return None if slots is None else sum(slot.is_processing for slot in slots)


class Embedded:
    """Children of our own. ``spec``: what every child has in common; its ``model`` is put in."""

    restarts = True

    def __init__(self, shelf: Shelf, supervisor: Supervisor, spec: ChildSpec, asker: Asker) -> None:
        self.shelf = shelf
        self._supervisor = supervisor
        self._spec = spec
        self._asker = asker
        self._slots: dict[str, Slots] = {}

    async def cards(self) -> list[ModelCard]:
        return await asyncio.to_thread(self.shelf.cards)

    @asynccontextmanager
    async def server(self, card: ModelCard, *, embedding: bool = False) -> AsyncIterator[Address]:
        found = await asyncio.to_thread(self.shelf.find, card.name)
        async with self._supervisor.use(self._spec_of(found, embedding=embedding)) as running:
            yield _local(running.base_url, running.api_key)

    def slot(self, card: ModelCard, session: str | None, *, typing: bool = False) -> AbstractContextManager[int]:
        slots = self._slots.setdefault(card.name, Slots(self._spec.parallel))
        return slots.hold(session, typing=typing)

    async def tokens(self, card: ModelCard) -> TokenTrie | None:
        return await asyncio.to_thread(self.shelf.tokens, card.name)

    async def unload(self, card: ModelCard) -> None:
        for embedding in (False, True):
            await self._supervisor.dismiss(self._spec_of(card, embedding=embedding))

    async def health(self) -> EngineHealth:
        cards = await self.cards()
        if not cards:
            return await self._without_models()
        running = {}
        for card in cards:
            for embedding in (False, True):
                found = self._supervisor.running(self._spec_of(card, embedding=embedding))
                if found is not None:
                    running[card.name] = found
        if not running:
            return EngineHealth("idle", f"{len(cards)} model files; a child starts when one is asked")
        addresses = [_local(child.base_url, child.api_key) for child in running.values()]
        busy = await asyncio.gather(*(self._asker.busy(address) for address in addresses))
        # A server too busy to answer in time is at work.
        return EngineHealth(
            "ready",
            "runs in a child process",
            loaded=tuple(running),
            busy=sum(1 if each is None else each for each in busy),
        )

    async def aclose(self) -> None:
        await self._supervisor.aclose()

    async def _without_models(self) -> EngineHealth:
        problems = await asyncio.to_thread(self.shelf.problems)
        if problems:
            error = next(iter(problems.values()))
            return EngineHealth("down", error.message, error.remedy)
        return EngineHealth(
            "down", "there is no model file", "fireside models pull URL, or: fireside models add FILE.gguf"
        )

    def _spec_of(self, card: ModelCard, *, embedding: bool) -> ChildSpec:
        loras = (*self._spec.loras, (card.adapter, 1.0)) if card.adapter else self._spec.loras
        spec = self._spec._replace(model=card.path, context=card.context_window, loras=loras)
        return spec._replace(embedding=True, pooling=self.shelf.pooling(card.name)) if embedding else spec


class Remote:
    """One llama-server that runs by itself."""

    restarts = False

    def __init__(self, url: str, api_key: str | None, asker: Asker) -> None:
        base_url = url.rstrip("/").removesuffix("/v1")
        self._address = Address(base_url, {"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._asker = asker

    async def cards(self) -> list[ModelCard]:
        models = await self._read("/v1/models", Models)
        props = await self._read("/props", Props)
        return [await self._card(model.id, props) for model in models.data]

    @asynccontextmanager
    async def server(self, card: ModelCard, *, embedding: bool = False) -> AsyncIterator[Address]:
        yield self._address

    def slot(self, card: ModelCard, session: str | None, *, typing: bool = False) -> AbstractContextManager[int]:
        return nullcontext(ANY)

    async def tokens(self, card: ModelCard) -> TokenTrie | None:
        return None  # no route tells them all

    async def unload(self, card: ModelCard) -> None:
        """A server that runs by itself keeps its model."""

    async def health(self) -> EngineHealth:
        response = await self._asker.get(self._address, "/health")
        if response.status == 503:
            return EngineHealth("loading", f"{self._address.base_url} loads its model")
        if not response.ok:
            raise explain(response)
        busy = await self._asker.busy(self._address)
        return EngineHealth("ready", f"llama-server at {self._address.base_url}", busy=busy or 0)

    async def aclose(self) -> None:
        """Nothing of ours runs there."""

    async def _card(self, name: str, props: Props) -> ModelCard:
        family = family_of(Path(name).stem)
        able: set[Capability] = {"chat", "json_schema"}
        able |= {"tools"} if "tools" in props.chat_template else set()
        able |= {"thinking"} if any(mark in props.chat_template for mark in THINKING_MARKS) else set()
        able |= {"vision"} if props.modalities.vision else set()
        fim = family.fim if family.fim is not None and await self._knows(family.fim) else None
        return ModelCard(
            name=Path(name).stem if name.endswith(".gguf") else name,
            engine=self._asker.engine,
            family=family.name,
            context_window=props.default_generation_settings.n_ctx,
            capabilities=EMBED if family.capabilities == EMBED else frozenset(able | ({"fim"} if fim else set())),
            fim=fim,
        )

    async def _knows(self, fim: FimTokens) -> bool:
        """Whether the model has these fill-in-the-middle tokens as single tokens."""
        body: Json = {"content": fim.prefix, "add_special": False, "parse_special": True}
        tokens = (await self._asker.post(self._address, "/tokenize", body)).object().get("tokens")
        return isinstance(tokens, list) and len(tokens) == 1

    async def _read(self, path: str, shape: type[Shape]) -> Shape:
        response = await self._asker.get(self._address, path)
        if not response.ok:
            raise explain(response)
        try:
            return msgspec.convert(response.object(), shape)
        except msgspec.ValidationError as error:
            raise ConnectionFailed(
                f"{self._address.base_url}{path} does not answer as llama-server does: {error}",
                remedy='check engines.<name>.url; other servers are reached with kind = "openai"',
                cause="protocol",
                retryable=False,
            ) from error


def _local(base_url: str, api_key: str) -> Address:
    return Address(base_url, {"Authorization": f"Bearer {api_key}"})
