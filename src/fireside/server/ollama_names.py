"""What a client of Ollama's calls a model, and which model that is: one of an engine, an alias, or one made by a Modelfile.

Answered from what the gateway remembers of its engines, never by asking one: editors ask this for every model, and wait for it.
"""

import hashlib
import os
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Literal

import msgspec

from fireside.core.errors import FiresideError, ModelNotFound
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, Reasoning, Sampling
from fireside.core.values import replace
from fireside.models.aliases import ROLES
from fireside.models.card import Capability, FimTokens, ModelCard
from fireside.models.modelfiles import Modelfile, Modelfiles
from fireside.models.store import LATEST
from fireside.server.offers import Offers
from fireside.wire.ollama_lists import Described
from fireside.wire.ollama_options import read_sampling
from fireside.wire.ollama_requests import read_messages
from fireside.wire.ollama_words import missing, unsupported

What = Literal["chat", "generate", "tools", "insert", "thinking", "vision", "embeddings"]
DIGEST_DIGITS = 64
STARTED = time.time()


@dataclass(frozen=True, slots=True)
class Named:
    """``name``: as the client wrote it. ``target``: what the gateway is to be asked for. ``card``: who answers to that now."""

    name: str
    target: str
    card: ModelCard
    modelfile: Modelfile | None = None

    def can(self, *capabilities: Capability) -> bool:
        """One of these; a model that is yet to be pulled may be able to do anything."""
        return not self.card.capabilities or not self.card.capabilities.isdisjoint(capabilities)

    def require(self, what: What, *capabilities: Capability) -> None:
        if not self.can(*capabilities):
            raise unsupported(self.name, what)

    def dressed(self, request: ChatRequest) -> ChatRequest:
        """The request as this model is to be asked. Raises ``Invalid`` for what it cannot do."""
        if request.tools:
            self.require("tools", "tools")
        if any(message.images for message in request.messages):
            self.require("vision", "vision")
        asked = replace(request, model=self.target, reasoning=self._reasoning(request.reasoning))
        return asked if self.modelfile is None else _made(asked, self.modelfile)

    def _reasoning(self, asked: Reasoning | None) -> Reasoning | None:
        """A model that thinks does so unless told not to; one that does not is not told anything."""
        if asked not in (None, "off"):
            self.require("thinking", "thinking")
            return asked
        return (asked or "medium") if self.card.can("thinking") else None


class Names:
    """``aliases``: the names of the user's own, as they are now."""

    def __init__(self, offers: Offers, aliases: Callable[[], Container[str]], modelfiles: Modelfiles) -> None:
        self._offers = offers
        self._aliases = aliases
        self._modelfiles = modelfiles

    async def find(self, name: str) -> Named:
        """Raises ``ModelNotFound`` in Ollama's words, with the closest names beside them."""
        made = self._modelfiles.find(name)
        target = self._plain(name) if made is None else made.model
        try:
            card = (await self._offers.one(target)).card
        except ModelNotFound as error:
            raise missing(name, error.remedy) from error
        # Keys name models as they are listed.
        exact = card.name.removesuffix(LATEST) == target.removesuffix(LATEST)
        return Named(name, card.name if exact else target, card, made)

    async def here(self, name: str) -> Named:
        """As ``find``; a model that would have to be pulled first is not there."""
        named = await self.find(name)
        if not named.card.capabilities:
            raise missing(name, f"fireside models pull {name}")
        return named

    async def all(self) -> list[Named]:
        """Each name once: models, then aliases, then what Modelfiles made."""
        found = {offer.name: Named(offer.name, offer.name, offer.card) for offer in await self._offers.all()}
        for made in self._modelfiles.all():
            try:
                found[made.name] = await self.find(made.name)
            except FiresideError:
                # What it stands on is away.
                found.pop(made.name, None)
        return list(found.values())

    def _plain(self, name: str) -> str:
        """An alias by its own name: models are found with ``:latest`` and without, aliases are not models."""
        plain = name.removesuffix(LATEST)
        return plain if plain != name and (plain in ROLES or plain in self._aliases()) else name


def described(named: Named) -> Described:
    card, made = named.card, named.modelfile
    told = Described(
        name=named.name,
        digest=_digest(card),
        size=card.size,
        modified=_modified(card),
        family=card.family,
        weights=card.parameters,
        quantization=card.quantization,
        context_window=card.context_window,
        capabilities=card.capabilities,
        template=_template(card.fim),
    )
    if made is None:
        return told
    return replace(
        told,
        digest=hashlib.sha256(msgspec.json.encode(made)).hexdigest(),
        modified=made.added,
        parent=made.model,
        system=made.system,
        template=made.template or told.template,
        license=made.license,
        parameters=made.parameters,
        messages=made.messages,
    )


def _digest(card: ModelCard) -> str:
    """The contents' own, where it is known; else a name for this model on this engine that stays the same."""
    if len(card.sha256) == DIGEST_DIGITS:
        return card.sha256
    return hashlib.sha256(f"{card.engine}/{card.name}/{card.size}/{card.sha256}".encode()).hexdigest()


def _modified(card: ModelCard) -> float:
    """Of the file; models elsewhere are as old as this server."""
    try:
        return os.stat(card.path).st_mtime if card.path else STARTED
    except OSError:
        return STARTED


def _template(fim: FimTokens | None) -> str:
    """Chats are formed by the engine with the model's own template. Editors look for ``.Suffix`` to learn whether a model fills in code."""
    if fim is None:
        return "{{ .Prompt }}"
    prompt, suffix = "{{ .Prompt }}", f"{fim.suffix}{{{{ .Suffix }}}}"
    filled = {
        "psm": f"{fim.prefix}{prompt}{suffix}{fim.middle}",
        "spm": f"{suffix}{fim.prefix}{prompt}{fim.middle}",
        "joined": f"{fim.prefix}{suffix}{fim.middle}{prompt}",
    }[fim.order]
    return f"{{{{- if .Suffix }}}}{filled}{{{{- else }}}}{{{{ .Prompt }}}}{{{{- end }}}}"


def _made(request: ChatRequest, made: Modelfile) -> ChatRequest:
    """With what the Modelfile says: its turns come first, and what the request says itself stays as it is."""
    messages = (*read_messages(made.messages), *request.messages) if made.messages else request.messages
    said = [message for message in messages if message.role == "system"]
    others = tuple(message for message in messages if message.role != "system")
    if not any(message.role == "system" for message in request.messages) and made.system:
        said = [Message("system", made.system)]
    system = (Message("system", "\n\n".join(message.content for message in said)),) if said else ()
    sampling = _filled(request.sampling, read_sampling({"options": made.parameters}))
    return replace(request, messages=(*system, *others), sampling=sampling)


def _filled(asked: Sampling, usual: Sampling) -> Sampling:
    """``asked``, and where it says nothing, what is usual."""
    unsaid = [name for name in Sampling.__struct_fields__ if getattr(asked, name) in (None, ())]
    return replace(asked, **{name: getattr(usual, name) for name in unsaid})
