"""Which model a name means: an alias, a model, ``model@engine``, or ``@engine`` for the best one there.

Knows cards, not engines: whether an engine answers is the gateway's question.

**The best model**, where nobody has chosen one, is decided by these questions in turn, so that the same cards always give the same model:

1. Does it do what the role needs? chat: chat; complete: fill in the middle, or else chat; embed: embeddings.
2. Does it fit in memory? Only asked when the memory is known.
3. chat: is it of a coder family, and can it use tools? complete: does it fill in the middle, is it of a coder family, and is it quick
   enough to type with (at most 8 billion weights)? embed: is it made for embedding alone?
4. Which has more weights, then the larger context window?
5. Which comes first in the list of cards, that is, in the order of the engines?
"""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

from fireside.core.errors import Invalid, ModelNotFound
from fireside.models.card import Capability, ModelCard
from fireside.models.families import FAMILIES

ROLES = ("chat", "complete", "embed")
CODERS = frozenset(family.name for _, family in FAMILIES if family.coder)
QUICK = 8_500_000_000
LONGEST_CHAIN = 8
LIST = "fireside models list"
GET_ONE: Mapping[str, str] = {
    "chat": "fireside models pull URL (a GGUF), or: ollama pull qwen2.5-coder:7b",
    "complete": "fireside models pull URL (a GGUF that fills in the middle), or: ollama pull qwen2.5-coder:1.5b",
    "embed": "ollama pull nomic-embed-text",
}
DOES: Mapping[str, str] = {
    "chat": "chat",
    "tools": "call tools",
    "fim": "fill in the middle",
    "embed": "make embeddings",
    "json_schema": "answer in JSON",
    "vision": "see images",
    "thinking": "think aloud",
}


class Aliases:
    """``mapping``: alias -> alias, MODEL, MODEL@ENGINE or @ENGINE. ``memory``: bytes a model should fit in; 0 = unknown."""

    def __init__(self, mapping: Mapping[str, str], *, memory: int = 0) -> None:
        self._mapping = dict(mapping)
        self._memory = memory

    def resolve(self, name: str, cards: Sequence[ModelCard], needs: Collection[Capability] = ()) -> ModelCard:
        """The card ``name`` means. ``cards``: all there are, the preferred engine's first. ``needs``: what the model must be able to do.

        Raises ``ModelNotFound`` with the closest names, or ``Invalid`` when the model that was named cannot do what is needed.
        """
        target = self.target(name)
        role = name if name in ROLES else "embed" if "embed" in needs else "complete" if "fim" in needs else "chat"
        model, _, engine = target.rpartition("@") if "@" in target else (target, "", "")
        here = [card for card in cards if not engine or card.engine == engine]
        if engine and not here:
            raise _no_engine(engine, cards)
        if not model or model in ROLES:
            return self._best(model or role, here, needs, engine)
        found = _named(model, here)
        if not found:
            raise _not_found(name, target, model, here, self._mapping)
        able = [card for card in found if set(needs) <= card.capabilities]
        if not able:
            raise _unable(found[0], needs, here)
        return able[0]

    def target(self, name: str) -> str:
        """What an alias leads to, through other aliases; the name itself when it is none. Raises ``Invalid`` for a circle."""
        seen = [name]
        while seen[-1] in self._mapping:
            following = self._mapping[seen[-1]].strip()
            if following in seen:
                if following == seen[-1]:
                    break  # an alias may be called like its model
                raise Invalid(
                    f"the aliases {' -> '.join([*seen, following])} go in a circle",
                    remedy=f"fireside models use {name} MODEL",
                )
            seen.append(following)
        return seen[-1]

    def _best(self, role: str, cards: Sequence[ModelCard], needs: Collection[Capability], engine: str) -> ModelCard:
        able = [card for card in cards if _serves(card, role) and set(needs) <= card.capabilities]
        if not able:
            where = f" on {engine}" if engine else ""
            words = " and ".join(DOES[need] for need in sorted(needs)) or f"serve for {role}"
            raise ModelNotFound(f"no model{where} can {words}", remedy=GET_ONE[role])
        return max(able, key=lambda card: self._rank(card, role))  # of equals, max keeps the first

    def _rank(self, card: ModelCard, role: str) -> tuple[int, ...]:
        fits = not self._memory or card.size <= self._memory
        coder = card.family in CODERS
        asked: tuple[bool, ...]
        if role == "complete":
            asked = (card.can("fim"), coder, card.parameters <= QUICK)
        elif role == "embed":
            asked = (not card.can("chat"), True, True)
        else:
            asked = (coder, card.can("tools"), True)
        return (fits, *asked, card.parameters or card.size, card.context_window)


def _serves(card: ModelCard, role: str) -> bool:
    if role == "complete":
        return card.can("fim") or card.can("chat")
    return card.can("embed") if role == "embed" else card.can("chat")


def _named(name: str, cards: Sequence[ModelCard]) -> list[ModelCard]:
    """The cards a name fits, exact spelling first: ``name`` is ``name:latest``, and case is forgiven."""
    for key in (str, _without_latest, str.casefold, lambda text: _without_latest(text).casefold()):
        found = [card for card in cards if key(card.name) == key(name)]
        if found:
            return found
    return []


def _without_latest(name: str) -> str:
    return name.removesuffix(":latest")


def _no_engine(engine: str, cards: Sequence[ModelCard]) -> ModelNotFound:
    known = list(dict.fromkeys(card.engine for card in cards))
    close = get_close_matches(engine, known, n=1, cutoff=0.5) or known
    remedy = f"did you mean @{close[0]}?" if close else "fireside doctor"
    return ModelNotFound(f"the engine {engine} has no models, or there is no such engine", remedy=remedy)


def _not_found(
    name: str, target: str, model: str, cards: Sequence[ModelCard], aliases: Mapping[str, str]
) -> ModelNotFound:
    known = list(dict.fromkeys([*(card.name for card in cards), *(alias for alias in aliases if alias != name)]))
    folded = {text.casefold(): text for text in known}
    close = [folded[text] for text in get_close_matches(model.casefold(), folded, n=3, cutoff=0.5)]
    stands_for = f" (alias {name})" if target != name else ""
    where = f" on {target.rpartition('@')[2]}" if "@" in target else ""
    remedy = f"did you mean {' or '.join(close)}?" if close else f"see what there is: {LIST}"
    return ModelNotFound(
        f"there is no model {model}{where}{stands_for}", remedy=remedy, model=model, close=", ".join(close)
    )


def _unable(card: ModelCard, needs: Collection[Capability], cards: Sequence[ModelCard]) -> Invalid:
    lacking = " or ".join(DOES[need] for need in sorted(set(needs) - card.capabilities))
    others = [other.name for other in cards if set(needs) <= other.capabilities]
    remedy = f"these can: {', '.join(others[:3])}" if others else f"no other model here can either; {LIST}"
    return Invalid(f"{card.name} cannot {lacking}", remedy=remedy, model=card.name)
