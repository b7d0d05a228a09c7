"""What a request asks of a model, and the plan that answers it: candidates, best first. Knows no engine's state and decides nothing."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

from fireside.core.errors import FiresideError
from fireside.core.requests import ChatRequest, CompletionRequest
from fireside.engines.engine import Engine
from fireside.models.aliases import ROLES
from fireside.models.card import Capability, ModelCard

Role = Literal["chat", "complete", "embed"]
Request = ChatRequest | CompletionRequest


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks of a model. ``needs``: all of these; ``one_of``: at least one of these, if any; ``prefers``: if it can be had."""

    role: Role
    model: str
    needs: frozenset[Capability] = frozenset()
    one_of: frozenset[Capability] = frozenset()
    prefers: frozenset[Capability] = frozenset()

    def served_by(self, card: ModelCard) -> bool:
        return self.needs <= card.capabilities and (not self.one_of or bool(self.one_of & card.capabilities))


@dataclass(frozen=True, slots=True)
class Candidate:
    engine: Engine
    card: ModelCard

    @property
    def label(self) -> str:
        return f"{self.card.name}@{self.engine.name}"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A choice of the user's that cannot be asked now. ``label``: as it was named."""

    label: str
    error: FiresideError


@dataclass(frozen=True, slots=True)
class Plan:
    """``candidates``, best first. ``named``: whether the user chose any model; else the gateway picked what is there.

    ``error``: why there is no candidate, when there is none.
    """

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...] = ()
    named: bool = False
    error: FiresideError | None = None


def wanted_by(request: Request) -> Wanted:
    if isinstance(request, CompletionRequest):
        return _completion(request.model, bool(request.suffix))
    tools = bool(request.tools) and request.tool_choice != "none"
    images = False
    for message in request.messages:
        if message.images:
            images = True
            break
    return _chat(
        request.model,
        tools=tools,
        schema=request.response_format is not None,
        images=images,
        thinks=request.reasoning not in (None, "off"),
    )


@lru_cache(maxsize=1024)
def _chat(model: str, *, tools: bool, schema: bool, images: bool, thinks: bool) -> Wanted:
    """Few different wishes come again and again, so each is made once."""
    asked = {"chat": True, "tools": tools, "json_schema": schema, "vision": images}
    needs = frozenset(cast(Capability, name) for name, needed in asked.items() if needed)
    return Wanted("chat", model, needs, prefers=frozenset(("thinking",)) if thinks else frozenset())


@lru_cache(maxsize=1024)
def _completion(model: str, fills: bool) -> Wanted:
    """Without a suffix there is no middle to fill in: any model that writes will do, one that knows code is better."""
    if fills:
        return Wanted("complete", model, frozenset(("fim",)))
    return Wanted("complete", model, one_of=frozenset(("fim", "chat")), prefers=frozenset(("fim",)))


def role_of(model: str, needs: Collection[Capability]) -> Role:
    """What a model is looked for to do: the role that is named, else the one its needs belong to."""
    if model in ROLES:
        return cast(Role, model)
    return "embed" if "embed" in needs else "complete" if "fim" in needs else "chat"
