"""Ollama's routes that are about models: which there are, what they can do, which are loaded; pull, create, copy and delete.

Models of GGUF files go into the store, where every door finds them. What is made of another model and a few words (a Modelfile) is known
by its name to Ollama's clients only. A model on a server of the user's can be given another name here, but not deleted there.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec

from fireside.core.errors import FiresideError, Invalid, ModelNotFound, NotPermitted
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.engines.engine import EngineHealth, Resident
from fireside.gateway.gateway import Gateway
from fireside.models.card import ModelCard
from fireside.models.gguf import read_header
from fireside.models.modelfiles import Modelfile, Modelfiles
from fireside.models.store import ModelStore
from fireside.models.uploads import Uploads, plain_digest
from fireside.server.exchange import Exchange
from fireside.server.ollama_names import Named, Names, described
from fireside.server.routes import Handler
from fireside.wire.answers import status_of
from fireside.wire.ollama_lists import Described, InMemory, write_progress, write_ps, write_show, write_tags
from fireside.wire.ollama_model_requests import (
    CreateAsked,
    read_copy,
    read_create,
    read_delete,
    read_pull,
    read_show,
)
from fireside.wire.ollama_words import exactly, missing, write_error

NDJSON = b"application/x-ndjson"
# How long a model stays that nobody said anything about, as Ollama and our own engine have it.
STAYS_SECONDS = 300.0
PRESENT = ("pulling manifest", "verifying sha256 digest", "writing manifest", "success")
Lines = AsyncIterator[bytes]


class OllamaModels:
    def __init__(self, gateway: Gateway, names: Names, store: ModelStore, modelfiles: Modelfiles) -> None:
        self._gateway = gateway
        self._names = names
        self._store = store
        self._modelfiles = modelfiles
        self._uploads = Uploads(store)

    def places(self) -> Mapping[tuple[str, str], tuple[Handler, str]]:
        return {
            ("GET", "/api/tags"): (self.tags, "models"),
            ("GET", "/api/ps"): (self.ps, "models"),
            ("POST", "/api/show"): (self.show, "models"),
            ("POST", "/api/pull"): (self.pull, "models"),
            ("POST", "/api/push"): (self.push, "admin"),
            ("POST", "/api/create"): (self.create, "admin"),
            ("POST", "/api/copy"): (self.copy, "admin"),
            ("DELETE", "/api/delete"): (self.delete, "admin"),
            ("HEAD", "/api/blobs/*"): (self.find_blob, "admin"),
            ("POST", "/api/blobs/*"): (self.receive_blob, "admin"),
        }

    async def tags(self, exchange: Exchange) -> None:
        await exchange.reply(write_tags(described(each) for each in await self._names.all()))

    async def show(self, exchange: Exchange) -> None:
        asked = read_show(await exchange.json())
        named = await self._names.here(asked.model)
        told = described(named)
        if asked.verbose and named.card.path:
            told = await asyncio.to_thread(_read_along, told, Path(named.card.path))
        await exchange.reply(write_show(told))

    async def ps(self, exchange: Exchange) -> None:
        health = await self._gateway.health()
        cards = {(card.engine, card.name): card for card in await self._gateway.models()}
        loaded = [_in_memory(cards.get((engine, each.name)), each) for engine, each in _residents(health)]
        await exchange.reply(write_ps(each for each in loaded if each is not None))

    async def pull(self, exchange: Exchange) -> None:
        """Whoever may see models may ask whether one is here; only an administrator may have one brought."""
        asked = read_pull(await exchange.json())
        try:
            present: Named | None = await self._names.here(asked.model)
        except ModelNotFound:
            present = None
        if "admin" in exchange.principal.rights:
            await self._tell(exchange, self._pulled(asked.model, present), stream=asked.stream)
        elif present is not None:
            await self._tell(exchange, _already(), stream=asked.stream)
        else:
            raise NotPermitted(f"this key may not pull {asked.model}", remedy="ask for a key with the right admin")

    async def push(self, exchange: Exchange) -> None:
        asked = read_pull(await exchange.json())
        await self._names.here(asked.model)
        await self._tell(exchange, _pushed(asked.model), stream=asked.stream)

    async def create(self, exchange: Exchange) -> None:
        asked = read_create(await exchange.json())
        await self._tell(exchange, self._created(asked), stream=asked.stream)

    async def copy(self, exchange: Exchange) -> None:
        source, destination = read_copy(await exchange.json())
        named = await self._names.here(source)
        if named.modelfile is not None:
            made = msgspec.structs.replace(named.modelfile, name=destination)
            await asyncio.to_thread(self._modelfiles.put, made)
        elif await asyncio.to_thread(self._is_stored, named.card):
            await asyncio.to_thread(self._store.copy, named.card.name, destination)
            await self._gateway.models(refresh=True)
        else:
            made = Modelfile(name=destination, model=f"{named.card.name}@{named.card.engine}")
            await asyncio.to_thread(self._modelfiles.put, made)
        await exchange.reply(b"")

    async def delete(self, exchange: Exchange) -> None:
        name = read_delete(await exchange.json())
        made = await asyncio.to_thread(self._modelfiles.remove, name)
        try:
            await asyncio.to_thread(self._store.remove, name)
        except ModelNotFound:
            if not made:
                await self._refuse_elsewhere(name)
        else:
            await self._gateway.models(refresh=True)
        await exchange.reply(b"")

    async def find_blob(self, exchange: Exchange) -> None:
        found = await asyncio.to_thread(self._uploads.find, exchange.rest)
        await exchange.reply(b"", status=200 if found else 404)

    async def receive_blob(self, exchange: Exchange) -> None:
        if await asyncio.to_thread(self._uploads.find, exchange.rest):
            # Read to its end all the same: a client in the middle of sending would take an early reply for a broken connection.
            async for _ in exchange.pieces():
                pass
            await exchange.reply(b"")
            return
        await self._uploads.receive(exchange.rest, exchange.pieces())
        await exchange.reply(b"", status=201)

    async def _pulled(self, name: str, present: Named | None) -> Lines:
        target, engine = (name, None) if present is None else (present.card.name, present.card.engine)
        try:
            async with closing(self._gateway.pull(target, engine)) as steps:
                async for step in steps:
                    yield write_progress(step.status, digest=step.digest, total=step.total, completed=step.completed)
        except Invalid:
            # Its engine cannot pull; but it is here.
            if present is None:
                raise
            async for line in _already():
                yield line

    async def _created(self, asked: CreateAsked) -> Lines:
        if asked.adapters or asked.quantize:
            what = "adapters cannot be put on" if asked.adapters else "models cannot be quantized"
            raise exactly(f"{what} here", remedy="send a GGUF that is ready to run")
        made = Modelfile(name=asked.model, model=asked.model)
        if asked.files:
            async for line in self._stored(asked):
                yield line
        else:
            source = await self._names.here(asked.source)
            made = msgspec.structs.replace(source.modelfile or made, name=asked.model, model=source.target)
            yield write_progress(f"using existing layer sha256:{described(source).digest}")
        said = _said(asked)
        if said or not asked.files:
            await asyncio.to_thread(self._modelfiles.put, msgspec.structs.replace(made, **said))
        yield write_progress("writing manifest")
        yield write_progress("success")

    async def _stored(self, asked: CreateAsked) -> Lines:
        """Make the file that was sent a model of the store."""
        if len(asked.files) > 1:
            raise exactly("only one file can be made a model", remedy="join its parts: llama-gguf-split --merge")
        digest = next(iter(asked.files.values()))
        contents = await asyncio.to_thread(self._uploads.find, digest)
        if contents is None:
            raise exactly(f"there is no blob {digest}", remedy="send it first: POST /api/blobs/sha256:...")
        plain = plain_digest(digest)
        yield write_progress("parsing GGUF")
        await asyncio.to_thread(self._store.adopt, contents, asked.model, sha256=plain)
        yield write_progress(f"creating new layer sha256:{plain}")
        await asyncio.to_thread(self._modelfiles.remove, asked.model)
        await self._gateway.models(refresh=True)

    async def _tell(self, exchange: Exchange, lines: Lines, *, stream: bool) -> None:
        """All lines, or the last of them. What goes wrong before the first has its own status, later it is a line."""
        with exchange.watched():
            async with closing(lines):
                if not stream:
                    told = [line async for line in lines]
                    await exchange.reply(told[-1].rstrip())
                    return
                try:
                    async for line in lines:
                        if not exchange.status:
                            await exchange.begin(NDJSON)
                        await exchange.write(line)
                except FiresideError as error:
                    if not exchange.status:
                        raise
                    await exchange.end(write_error(error, status_of(error)) + b"\n")
                else:
                    await exchange.end()

    async def _refuse_elsewhere(self, name: str) -> None:
        """Raises ``ModelNotFound``, or ``Invalid`` for a model that is there but not ours to delete."""
        card = (await self._names.here(name)).card
        if name.partition(":")[0] != card.name.partition(":")[0]:
            raise missing(name, "it is an alias: fireside models use")
        remedy = "delete the file itself" if card.path else f"delete it there: ollama rm {card.name}"
        raise Invalid(f"{card.name} belongs to {card.engine} and cannot be deleted here", remedy=remedy)

    def _is_stored(self, card: ModelCard) -> bool:
        return any(stored.name == card.name and str(stored.path) == card.path for stored in self._store.list())


def _said(asked: CreateAsked) -> dict[str, object]:
    """What the client said of a new model."""
    told: dict[str, object] = {
        "system": asked.system,
        "template": asked.template,
        "license": asked.license,
        "parameters": dict(asked.parameters),
        "messages": list(asked.messages),
    }
    return {name: value for name, value in told.items() if value}


async def _already() -> Lines:
    for status in PRESENT:
        yield write_progress(status)


async def _pushed(model: str) -> Lines:
    yield write_progress("retrieving manifest")
    raise Invalid(f"{model} stays here: Fireside sends no model anywhere", http_status=501)


def _residents(health: Mapping[str, EngineHealth]) -> list[tuple[str, Resident]]:
    """What each engine has in memory, as far as it tells."""
    found = []
    for engine, state in health.items():
        told = {each.name: each for each in state.residents}
        found += [(engine, told.get(name, Resident(name))) for name in state.loaded]
    return found


def _in_memory(card: ModelCard | None, each: Resident) -> InMemory | None:
    if card is None:
        return None
    expires = time.time() + STAYS_SECONDS if each.expires is None else each.expires
    model = described(Named(card.name, card.name, card))
    return InMemory(model, each.size or card.size, each.size_vram, each.context or card.context_window, expires)


def _read_along(told: Described, path: Path) -> Described:
    """With what the file says of itself, but for its lists."""
    header = read_header(path)
    metadata = {key: value for key, value in header.metadata.items() if isinstance(value, str | int | float | bool)}
    template = metadata.pop("tokenizer.chat_template", told.template)
    return replace(told, metadata=metadata, template=str(template))
