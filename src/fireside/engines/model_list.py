"""Model lists of OpenAI-compatible servers, read into cards.

The settings go before what the server says, and that before what is known of the model's family. Knows many servers' extra fields, none
of their addresses.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from fireside.models.card import Capability, ModelCard
from fireside.models.families import family_of

WINDOWS = (
    "max_model_len",
    "max_context_length",
    "context_length",
    "context_window",
    "max_total_tokens",
    "loaded_context_length",
)
# An unknown name is taken for an instruct model of today; servers refuse clearly what it cannot do.
USUAL: frozenset[Capability] = frozenset(("chat", "tools", "json_schema"))
SUPPORTED: Mapping[str, Capability] = {"tools": "tools", "structured_outputs": "json_schema", "reasoning": "thinking"}


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``context_window``: tokens one request may use, 0: as the server says. ``capabilities``: None: as the server or the family says."""

    context_window: Annotated[int, msgspec.Meta(ge=0)] = 0
    capabilities: tuple[Capability, ...] | None = None


def cards_of(
    listed: Mapping[str, object], engine: str, configured: Mapping[str, ModelSettings], *, suffix: bool
) -> list[ModelCard]:
    """One card a model: those listed, in the server's order, then those only configured.

    ``suffix``: whether the server has ``/v1/completions``, so that a family's own tokens can be used to fill in code.
    """
    data = listed.get("data")
    entries = (
        [entry for entry in data if isinstance(entry, Mapping) and entry.get("id")] if isinstance(data, list) else []
    )
    by_name: dict[str, Mapping[str, object]] = {str(entry["id"]): entry for entry in entries}
    names: Iterable[str] = dict.fromkeys((*by_name, *configured))
    return [card_of(name, engine, by_name.get(name, {}), configured.get(name), completes=suffix) for name in names]


def card_of(
    name: str, engine: str, entry: Mapping[str, object], settings: ModelSettings | None, *, completes: bool
) -> ModelCard:
    given = settings or ModelSettings()
    family = family_of(name)
    capabilities = frozenset(given.capabilities) if given.capabilities is not None else _capabilities(name, entry)
    fim = family.fim if completes else None
    if given.capabilities is None and fim is None:
        capabilities -= {"fim"}
    return ModelCard(
        name=name,
        engine=engine,
        family=family.name,
        context_window=given.context_window or _window(entry),
        capabilities=capabilities,
        fim=fim if "fim" in capabilities else None,
    )


def _window(entry: Mapping[str, object]) -> int:
    """Tokens, 0 where the server does not say; llama.cpp says it under ``meta``."""
    meta = entry.get("meta")
    places = [entry, meta] if isinstance(meta, Mapping) else [entry]
    found = (place.get(field) for place in places for field in (*WINDOWS, "n_ctx", "n_ctx_train"))
    return next((int(value) for value in found if isinstance(value, int | float) and value > 0), 0)


def _capabilities(name: str, entry: Mapping[str, object]) -> frozenset[Capability]:
    family = family_of(name)
    told: set[Capability] = set(family.capabilities if family.name else USUAL)
    supported = entry.get("supported_parameters")
    if isinstance(supported, list):
        told = {"chat", *(SUPPORTED[word] for word in supported if word in SUPPORTED)}
    architecture = entry.get("architecture")
    if isinstance(architecture, Mapping) and "image" in (architecture.get("input_modalities") or ()):
        told.add("vision")
    return frozenset(told)
