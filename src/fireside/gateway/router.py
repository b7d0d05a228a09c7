"""Which model on which engine may answer a request, best first.

Decides by name, capability, privacy boundary, health and load; asks nobody and changes nothing. The privacy rule is here and nowhere
else: an engine in the cloud is a candidate only if the user opted in, or named that very engine in the request, its alias or its route.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from types import MappingProxyType

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid, ModelNotFound, NotPermitted
from fireside.engines.engine import Boundary, Engine, EngineHealth
from fireside.gateway.balance import Replica, Standing, arranged
from fireside.gateway.catalog import Listing
from fireside.gateway.plans import Candidate, Plan, Request, Skipped, Wanted
from fireside.gateway.routes import Choice, ordered
from fireside.models.aliases import DOES, GET_ONE, ROLES, Aliases
from fireside.models.card import ModelCard

Health = Mapping[str, EngineHealth]
UNKNOWN: Health = MappingProxyType({})
# Outlines kept at most: names come from outside, and nobody may fill the memory with them.
REMEMBERED = 512


@dataclass(frozen=True, slots=True)
class Outline:
    """A plan as long as nothing is known of load: ``groups`` of engines that have the same model, the best model first.

    ``settled``: the plan itself, where no group leaves a choice.
    """

    groups: tuple[tuple[Candidate, ...], ...]
    skipped: tuple[Skipped, ...]
    named: bool
    settled: Plan | None


class Router:
    """``order``: engine names, the preferred first; the others follow as given, those in the cloud last.

    ``health``: what is known of the engines, the same mapping as long as that stays so. ``standing``: how busy one is now.
    ``weights``: engine -> its share beside others with the same model. ``memory``: bytes a model on this machine should fit in, 0 =
    unknown. ``cloud``, ``fallback``, ``pull_missing``: what the user allows.
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
        weights: Mapping[str, float] = MappingProxyType({}),
        health: Callable[[], Health] = lambda: UNKNOWN,
        standing: Callable[[Engine], Standing] = lambda engine: Standing(),
        rng: random.Random | None = None,
    ) -> None:
        self._engines = {engine.name: engine for engine in _in_order(engines, order)}
        self._aliases = aliases
        self._routes = routes
        self._cloud = cloud
        self._fallback = fallback
        self._pull_missing = pull_missing
        self._weights = weights
        self._health = health
        self._known: Health = UNKNOWN
        self._standing = standing
        self._rng = rng or random.Random()
        self._names = Aliases(aliases)
        self._here = Aliases({}, memory=memory)
        self._anywhere = Aliases({})
        self._outlines: dict[tuple[Wanted, tuple[str, ...]], Outline] = {}
        self._basis: tuple[Listing, Health] | None = None

    def needed(self, model: str, instead: tuple[str, ...] = ()) -> frozenset[str]:
        """The engines the user named for this model, alias or route, or for those asked ``instead``."""
        choices = list(instead) or [choice.model for choice in self._routes.get(model, ())] or [model]
        return frozenset(_split(self._names.target(choice))[1] for choice in choices) - {""}

    def plan(
        self, wanted: Wanted, listing: Listing, request: Request | None = None, *, instead: tuple[str, ...] = ()
    ) -> Plan:
        """Who may answer ``request`` (or a question without one), best first. ``instead``: models to ask for the one it names."""
        outline = self._outline(wanted, instead or self._drawn(wanted.model, request), listing)
        if outline.settled is not None:
            return outline.settled
        candidates = [each for group in outline.groups for each in self._arrange(group, request)]
        return Plan(tuple(candidates), outline.skipped, outline.named)

    def _outline(self, wanted: Wanted, drawn: tuple[str, ...], listing: Listing) -> Outline:
        """What follows from names, models and health alone: worked out once, as long as these stay what they are."""
        health = self._health()
        if self._basis is None or self._basis[0] is not listing or self._basis[1] is not health:
            self._basis, self._known = (listing, health), health
            self._outlines.clear()
        outline = self._outlines.get((wanted, drawn))
        if outline is None:
            if len(self._outlines) >= REMEMBERED:
                self._outlines.clear()
            outline = self._outlines[wanted, drawn] = self._work_out(wanted, drawn, listing)
        return outline

    def _work_out(self, wanted: Wanted, drawn: tuple[str, ...], listing: Listing) -> Outline:
        targets = self._targets(wanted, drawn)
        named = {engine for _, engine in map(_split, targets)}
        permitted = [engine for engine in self._engines.values() if self._permits(engine, named)]
        groups: list[list[Candidate]] = []
        skipped: list[Skipped] = []
        for target in targets:
            try:
                groups.append(self._resolve(target, wanted, permitted, listing))
            except FiresideError as refusal:
                skipped.append(Skipped(target, refusal))
        if self._may_replace(wanted, targets, drawn):
            groups += ([each] for each in self._others(wanted, permitted, listing, stand_in=bool(targets)))
        groups, moved = self._healthy_first(_unique(groups))
        if groups:
            return _outlined(groups, (*skipped, *moved), named=bool(targets))
        error = skipped[0].error if skipped else _nothing(wanted, permitted, listing)
        return _outlined([], tuple(skipped), named=bool(targets), error=error)

    def _drawn(self, model: str, request: Request | None) -> tuple[str, ...]:
        """The models of a route, in the order drawn for this request; nothing for any other name."""
        route = self._routes.get(model)
        if route is None:
            return ()
        # One conversation keeps to one model: its prefix is warm there.
        session = request.session if request is not None else None
        return tuple(ordered(route, random.Random(session) if session else self._rng))

    def _targets(self, wanted: Wanted, drawn: tuple[str, ...]) -> list[str]:
        """What the user chose for this name: MODEL, MODEL@ENGINE or @ENGINE; nothing for a role nobody has set.

        An experiment's arm may be such a role: then the best model there is has its turn, before the arms that follow.
        """
        found = [self._names.target(model) for model in drawn or (wanted.model,)]
        return [target for target in takewhile(lambda target: target not in ROLES, found) if target]

    def _permits(self, engine: Engine, named: set[str]) -> bool:
        return engine.boundary < Boundary.CLOUD or self._cloud or engine.name in named

    def _may_replace(self, wanted: Wanted, targets: Sequence[str], drawn: Sequence[str]) -> bool:
        """Whether a model the user did not name may answer. Never for a model named in the request itself.

        Nor for embeddings the user chose a model for: vectors of two models cannot be compared.
        """
        if not targets:
            return True
        by_name = not drawn and wanted.model not in self._aliases and wanted.model not in ROLES
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
        return [Candidate(self._engines[card.engine], card) for card in replicas]

    def _best_at(self, at: str, wanted: Wanted, cards: Sequence[ModelCard]) -> ModelCard:
        able = [card for card in cards if wanted.served_by(card)]
        if not able:
            raise ModelNotFound(f"no model on {at} can {_ability(wanted)}", remedy=GET_ONE[wanted.role])
        return self._best(wanted, able, self._engines[at])

    def _arrange(self, group: Sequence[Candidate], request: Request | None) -> Sequence[Candidate]:
        """Engines with the same model, as busy as they are at this moment."""
        if len(group) == 1:
            return group
        replicas = [
            Replica(
                each,
                self._standing(each.engine),
                self._is_loaded(each),
                self._weights.get(each.engine.name, 1.0),
            )
            for each in group
        ]
        return arranged(replicas, request)

    def _is_loaded(self, candidate: Candidate) -> bool:
        """Loading costs seconds to minutes. An engine that is ready and names no model has no such thing as loading."""
        health = self._known.get(candidate.engine.name)
        if health is None:
            return False
        return candidate.card.name in health.loaded or (health.state == "ready" and not health.loaded)

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

    def _healthy_first(self, groups: Sequence[list[Candidate]]) -> tuple[list[list[Candidate]], list[Skipped]]:
        """Engines known to be down go last; if that displaces the first choice, it is said why."""
        ready = [[each for each in group if not self._down(each.engine.name)] for group in groups]
        resting = [[each for each in group if self._down(each.engine.name)] for group in groups]
        moved: list[Skipped] = []
        if groups and not ready[0] and any(ready):
            health = self._known[groups[0][0].engine.name]
            error = ConnectionFailed(health.detail or "it is down", remedy=health.remedy, cause="down")
            moved.append(Skipped(groups[0][0].label, error))
        return [group for group in (*ready, *resting) if group], moved

    def _down(self, name: str) -> bool:
        health = self._known.get(name)
        return health is not None and health.state == "down"

    def _loaded(self, name: str) -> frozenset[str]:
        health = self._known.get(name)
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


def _unique(groups: Iterable[list[Candidate]]) -> list[list[Candidate]]:
    """Each candidate where it comes first; no group without any."""
    seen: set[str] = set()
    found = []
    for group in groups:
        fresh = list({each.label: each for each in group if each.label not in seen}.values())
        seen.update(each.label for each in fresh)
        if fresh:
            found.append(fresh)
    return found


def _outlined(
    groups: Sequence[Sequence[Candidate]],
    skipped: tuple[Skipped, ...],
    *,
    named: bool,
    error: FiresideError | None = None,
) -> Outline:
    settled = None
    if all(len(group) == 1 for group in groups):
        settled = Plan(tuple(group[0] for group in groups), skipped, named, error)
    return Outline(tuple(map(tuple, groups)), skipped, named, settled)


def _ability(wanted: Wanted) -> str:
    return " and ".join(DOES[need] for need in sorted(wanted.needs)) or "write code"


def _silent(permitted: Iterable[Engine], listing: Listing) -> str:
    """A model that cannot be found may well be on an engine that could not be asked."""
    names = [engine.name for engine in permitted if engine.name in listing.errors]
    return f" ({' and '.join(names)} {'do' if len(names) > 1 else 'does'} not answer)" if names else ""


def _nothing(wanted: Wanted, permitted: Iterable[Engine], listing: Listing) -> ModelNotFound:
    return ModelNotFound(
        f"no model here can {_ability(wanted)}{_silent(permitted, listing)}", remedy=GET_ONE[wanted.role]
    )
