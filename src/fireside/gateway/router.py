"""Which model on which engine may answer a request, best first.

Decides by name, capability, privacy boundary, health and load; asks nobody and changes nothing. The privacy rule is here and nowhere
else: an engine in the cloud is a candidate only if the user opted in, or named that very engine in the request, its alias or its route.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, ModelNotFound, NotPermitted
from fireside.core.requests import ChatRequest, CompletionRequest
from fireside.engines.engine import Boundary, Engine, EngineHealth
from fireside.gateway.catalog import Listing
from fireside.gateway.routes import Choice, ordered
from fireside.models.aliases import DOES, GET_ONE, ROLES, Aliases
from fireside.models.card import Capability, ModelCard

Role = Literal["chat", "complete", "embed"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks of a model. ``needs``: all of these; ``one_of``: at least one of these, if any; ``prefers``: if it can be had."""

    role: Role
    model: str
    needs: frozenset[Capability] = frozenset()
    one_of: frozenset[Capability] = frozenset()
    prefers: frozenset[Capability] = frozenset()
    session: str | None = None

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


def wanted_by_chat(request: ChatRequest) -> Wanted:
    needs: set[Capability] = {"chat"}
    if request.tools and request.tool_choice != "none":
        needs.add("tools")
    if request.response_format is not None:
        needs.add("json_schema")
    if any(message.images for message in request.messages):
        needs.add("vision")
    thinks = request.reasoning not in (None, "off")
    prefers: frozenset[Capability] = frozenset(("thinking",)) if thinks else frozenset()
    return Wanted("chat", request.model, frozenset(needs), prefers=prefers, session=request.session)


def wanted_by_completion(request: CompletionRequest) -> Wanted:
    """Without a suffix there is no middle to fill in: any model that writes will do, one that knows code is better."""
    if request.suffix:
        return Wanted("complete", request.model, frozenset(("fim",)), session=request.session)
    one_of: frozenset[Capability] = frozenset(("fim", "chat"))
    return Wanted("complete", request.model, one_of=one_of, prefers=frozenset(("fim",)), session=request.session)


def role_of(model: str, needs: Collection[Capability]) -> Role:
    """What a model is looked for to do: the role that is named, else the one its needs belong to."""
    if model in ROLES:
        return cast(Role, model)
    return "embed" if "embed" in needs else "complete" if "fim" in needs else "chat"


class Router:
    """``order``: engine names, the preferred first; the others follow as given, those in the cloud last.

    ``health`` and ``load`` tell what is known of an engine by name. ``memory``: bytes a model on this machine should fit in, 0 = unknown.
    ``cloud``, ``fallback``, ``pull_missing``: what the user allows.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        *,
        aliases: Mapping[str, str],
        routes: Mapping[str, Sequence[Choice]],
        order: Sequence[str] = (),
        cloud: bool = False,
        fallback: bool = True,
        pull_missing: bool = False,
        memory: int = 0,
        health: Callable[[str], EngineHealth | None] = lambda name: None,
        load: Callable[[str], float] = lambda name: 0.0,
        rng: random.Random | None = None,
    ) -> None:
        self._engines = {engine.name: engine for engine in _in_order(engines, order)}
        self._aliases = aliases
        self._routes = routes
        self._cloud = cloud
        self._fallback = fallback
        self._pull_missing = pull_missing
        self._health = health
        self._load = load
        self._rng = rng or random.Random()
        self._names = Aliases(aliases)
        self._here = Aliases({}, memory=memory)
        self._anywhere = Aliases({})

    def needed(self, model: str) -> frozenset[str]:
        """The engines the user named for this model, alias or route."""
        choices = [choice.model for choice in self._routes.get(model, ())] or [model]
        return frozenset(_split(self._names.target(choice))[1] for choice in choices) - {""}

    def plan(self, wanted: Wanted, listing: Listing) -> Plan:
        targets = self._targets(wanted)
        named = {engine for _, engine in map(_split, targets)}
        permitted = [engine for engine in self._engines.values() if self._permits(engine, named)]
        candidates: list[Candidate] = []
        skipped: list[Skipped] = []
        for target in targets:
            try:
                candidates += self._resolve(target, wanted, permitted, listing)
            except FiresideError as refusal:
                skipped.append(Skipped(target, refusal))
        if self._may_replace(wanted, targets):
            candidates += self._others(wanted, permitted, listing, stand_in=bool(targets))
        candidates, moved = self._healthy_first(_unique(candidates))
        if candidates:
            return Plan(tuple(candidates), (*skipped, *moved), bool(targets))
        error = skipped[0].error if skipped else _nothing(wanted, permitted, listing)
        return Plan((), tuple(skipped), bool(targets), error)

    def _targets(self, wanted: Wanted) -> list[str]:
        """What the user chose for this name: MODEL, MODEL@ENGINE or @ENGINE; nothing for a role nobody has set."""
        if wanted.model in self._routes:
            # One conversation keeps to one model: its prefix is warm there.
            rng = random.Random(wanted.session) if wanted.session else self._rng
            found = [self._names.target(model) for model in ordered(self._routes[wanted.model], rng)]
        else:
            found = [self._names.target(wanted.model)]
        return [target for target in found if target and target not in ROLES]

    def _permits(self, engine: Engine, named: set[str]) -> bool:
        return engine.boundary < Boundary.CLOUD or self._cloud or engine.name in named

    def _may_replace(self, wanted: Wanted, targets: Sequence[str]) -> bool:
        """Whether a model the user did not name may answer. Never for a model named in the request itself.

        Nor for embeddings the user chose a model for: vectors of two models cannot be compared.
        """
        if not targets:
            return True
        by_name = wanted.model not in self._aliases and wanted.model not in self._routes and wanted.model not in ROLES
        return self._fallback and not by_name and wanted.role != "embed"

    def _resolve(self, target: str, wanted: Wanted, permitted: Sequence[Engine], listing: Listing) -> list[Candidate]:
        name, at = _split(target)
        if at and at not in self._engines:
            known = ", ".join(self._engines) or "none"
            raise ModelNotFound(f"there is no engine called {at} (there are: {known})", remedy="fireside config show")
        if at in listing.errors:
            raise listing.errors[at]
        engines = [self._engines[at]] if at else permitted
        cards = [card for engine in engines for card in listing.cards.get(engine.name, ())]
        if at and name in ("", *ROLES):
            return [Candidate(self._engines[at], self._best_at(at, wanted, cards))]
        try:
            found = self._names.resolve(target, cards, wanted.needs)
        except ModelNotFound as error:
            if self._pull_missing:
                return [Candidate(engine, ModelCard(name, engine.name)) for engine in engines if _takes_pulls(engine)]
            if at:
                raise
            raise self._elsewhere(name, error, permitted, listing) from None
        replicas = [card for card in cards if card.name == found.name and wanted.served_by(card)]
        if not replicas:
            raise Invalid(f"{found.name} cannot write text", remedy=GET_ONE[wanted.role])
        return self._by_readiness(replicas)

    def _best_at(self, at: str, wanted: Wanted, cards: Sequence[ModelCard]) -> ModelCard:
        able = [card for card in cards if wanted.served_by(card)]
        if not able:
            raise ModelNotFound(f"no model on {at} can {_ability(wanted)}", remedy=GET_ONE[wanted.role])
        return self._best(wanted, able, self._engines[at])

    def _by_readiness(self, cards: Iterable[ModelCard]) -> list[Candidate]:
        """The same model on several engines: where it is loaded first (loading costs seconds to minutes), then the least busy."""

        def rank(candidate: Candidate) -> tuple[bool, float]:
            name = candidate.engine.name
            return (candidate.card.name not in self._loaded(name), self._load(name))

        found = [Candidate(self._engines[card.engine], card) for card in cards]
        return sorted(found, key=rank) if len(found) > 1 else found

    def _others(
        self, wanted: Wanted, permitted: Iterable[Engine], listing: Listing, *, stand_in: bool
    ) -> list[Candidate]:
        """One model of each engine that will do, without any name: what answers when nothing is named, or what is named fails.

        A ``stand_in`` should answer soon, so one that is loaded goes first. Where nothing is named that would let the model change with
        what happens to be loaded, in the middle of a conversation.
        """
        found = []
        for engine in permitted:
            if engine.boundary == Boundary.CLOUD and not self._cloud:
                # Named for one model; that is no yes to any other, and others cost.
                continue
            cards = [card for card in listing.cards.get(engine.name, ()) if wanted.served_by(card)]
            loaded = self._loaded(engine.name) if stand_in else frozenset()
            cards = [card for card in cards if card.name in loaded] or cards
            if cards:
                found.append(Candidate(engine, self._best(wanted, cards, engine)))
        return found

    def _best(self, wanted: Wanted, cards: Sequence[ModelCard], engine: Engine) -> ModelCard:
        """Of cards that all will do, the one that suits the role best."""
        preferred = [card for card in cards if wanted.prefers <= card.capabilities] or cards
        names = self._here if engine.boundary == Boundary.MACHINE else self._anywhere
        return names.resolve(wanted.role, preferred, wanted.needs)

    def _healthy_first(self, candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Skipped]]:
        """Engines known to be down go last; if that displaces the first choice, it is said why."""
        if len(candidates) < 2:
            return list(candidates), []
        down = {name: health for name, health in self._states(candidates) if health and health.state == "down"}
        ready = [candidate for candidate in candidates if candidate.engine.name not in down]
        resting = [candidate for candidate in candidates if candidate.engine.name in down]
        first = candidates[0]
        if not ready or ready[0] is first:
            return [*ready, *resting], []
        health = down[first.engine.name]
        error = ConnectionFailed(health.detail or "it is down", remedy=health.remedy, cause="down")
        return [*ready, *resting], [Skipped(first.label, error)]

    def _states(self, candidates: Iterable[Candidate]) -> list[tuple[str, EngineHealth | None]]:
        return [(name, self._health(name)) for name in {candidate.engine.name for candidate in candidates}]

    def _loaded(self, name: str) -> frozenset[str]:
        health = self._health(name)
        return frozenset(health.loaded) if health else frozenset()

    def _elsewhere(
        self, name: str, error: ModelNotFound, permitted: Sequence[Engine], listing: Listing
    ) -> FiresideError:
        """A model that no permitted engine lists: perhaps it is in the cloud, perhaps its engine does not answer."""
        for engine in self._engines.values():
            if engine not in permitted and any(card.name == name for card in listing.cards.get(engine.name, ())):
                return NotPermitted(
                    f"{name} is in the cloud ({engine.name}), where nothing goes without your yes",
                    remedy=f"name it with its engine: {name}@{engine.name}; or: fireside config set gateway.cloud true",
                )
        aside = _silent(permitted, listing)
        return ModelNotFound(error.message + aside, remedy=error.remedy) if aside else error


def _in_order(engines: Iterable[Engine], order: Sequence[str]) -> list[Engine]:
    place = {name: index for index, name in enumerate(order)}
    last = len(place)
    return sorted(engines, key=lambda engine: (place.get(engine.name, last), engine.boundary == Boundary.CLOUD))


def _split(target: str) -> tuple[str, str]:
    """MODEL@ENGINE -> (MODEL, ENGINE); a name without engine -> (name, "")."""
    model, at, engine = target.rpartition("@")
    return (model, engine) if at else (engine, "")


def _takes_pulls(engine: Engine) -> bool:
    return engine.boundary < Boundary.CLOUD


def _unique(candidates: Iterable[Candidate]) -> list[Candidate]:
    return list({candidate.label: candidate for candidate in candidates}.values())


def _ability(wanted: Wanted) -> str:
    return " and ".join(DOES[need] for need in sorted(wanted.needs)) or "write code"


def _silent(permitted: Iterable[Engine], listing: Listing) -> str:
    """A model that cannot be found may well be on an engine that could not be asked."""
    names = [engine.name for engine in permitted if engine.name in listing.errors]
    return f" ({', '.join(names)} does not answer)" if names else ""


def _nothing(wanted: Wanted, permitted: Iterable[Engine], listing: Listing) -> ModelNotFound:
    return ModelNotFound(
        f"no model here can {_ability(wanted)}{_silent(permitted, listing)}", remedy=GET_ONE[wanted.role]
    )
