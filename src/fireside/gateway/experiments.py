"""A/B experiments: an alias's requests shared among several models, who asks keeps to one of them, and what came of it is counted.

Which arm a request gets, and which settings a decision changes, are pure functions; ``Experiments`` follows what runs. Whether a model
exists, or may be asked, is the router's question; who writes settings is the caller's.
"""

import random
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from fireside.core.errors import Invalid
from fireside.core.events import EventBus
from fireside.gateway import signals
from fireside.gateway.balance import score
from fireside.gateway.metrics import RATES, SECONDS, Histogram
from fireside.gateway.plans import Request
from fireside.models.aliases import ROLES

# Requests that can still be judged after they are over.
REMEMBERED = 4096
LIST = "fireside experiments list"
Changes = dict[tuple[str, ...], object]


class Arm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``model``: MODEL or MODEL@ENGINE. ``weight``: its share of the requests; 0 gets none."""

    model: str
    weight: Annotated[float, msgspec.Meta(ge=0)] = 1.0


class Experiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``alias``: the name whose requests are shared. ``sticky``: what keeps to its arm: an API key, a conversation, or nothing."""

    alias: str
    arms: dict[str, Arm]
    sticky: Literal["key", "session", "none"] = "key"

    def __post_init__(self) -> None:
        if not any(arm.weight for arm in self.arms.values()):
            raise ValueError("an experiment needs an arm with a weight above 0")
        if self.alias == "embed":
            raise ValueError("vectors of two models do not compare: embed cannot be shared")


class Promoted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an alias was made to mean, by an experiment or at once. ``former``: what it meant before, empty = nothing.

    ``arm``: of the experiment, or the model. ``step``: grows with each decision about one alias, so that they can be taken back in turn.
    """

    alias: str
    arm: str
    former: str = ""
    step: int = 0


@dataclass(frozen=True, slots=True)
class Assigned:
    """``models``: the arm's, then those of the other arms, which stand in for it."""

    experiment: str
    arm: str
    models: tuple[str, ...]


def drawn(name: str, experiment: Experiment, request: Request | None, rng: random.Random) -> list[str]:
    """All arms with a weight, the one for this request first.

    Weighted rendezvous hashing: a key keeps its arm as long as weights only grow towards that arm. Without a request, or for one that
    nothing sticks to, the heaviest first, or dice.
    """
    arms = {arm: choice.weight for arm, choice in experiment.arms.items() if choice.weight}
    if request is None:
        return sorted(arms, key=lambda arm: -arms[arm])
    keys = {"key": request.client or request.session, "session": request.session, "none": None}
    key = keys[experiment.sticky] or str(rng.random())
    return sorted(arms, key=lambda arm: -score(f"{name}\0{key}", arm, arms[arm]))


def begin(
    experiments: Mapping[str, Experiment],
    name: str,
    *,
    alias: str,
    model: str,
    share: float,
    aliases: Mapping[str, str],
) -> Changes:
    """The settings that give ``model`` a ``share`` (above 0, below 1) of an alias's requests; the rest stays as it was.

    Raises ``Invalid`` when they are shared out already, or when the alias means nothing.
    """
    running = running_on(experiments, alias)
    if running:
        raise Invalid(
            f"the experiment {running} shares {alias} already",
            remedy=f"decide it first: fireside experiments show {running}",
        )
    current = aliases.get(alias, "") or (alias if alias in ROLES else "")
    if not current:
        raise Invalid(f"{alias} means no model yet", remedy=f"fireside models promote {model} --alias {alias}")
    arms = {"current": {"model": current, "weight": round(1 - share, 6)}, "new": {"model": model, "weight": share}}
    told = {"alias": alias, "arms": arms}
    try:
        msgspec.convert(told, Experiment)
    except msgspec.ValidationError as error:
        raise Invalid(str(error), remedy="share another alias") from error
    return {("gateway", "experiments", name): told}


def adopt(
    experiments: Mapping[str, Experiment],
    promoted: Mapping[str, Promoted],
    *,
    alias: str,
    model: str,
    aliases: Mapping[str, str],
) -> Changes:
    """The settings that make an alias mean ``model``, and remember what it meant. An experiment that has it as an arm is decided for it.

    Raises ``Invalid`` while an experiment shares the alias among others.
    """
    running = running_on(experiments, alias)
    if running:
        arms = experiments[running].arms
        arm = next(
            (arm for arm, choice in arms.items() if choice.model.partition("@")[0] == model.partition("@")[0]), ""
        )
        if not arm:
            raise Invalid(
                f"the experiment {running} shares {alias} among {', '.join(choice.model for choice in arms.values())}",
                remedy=f"end it first: fireside models rollback {alias}",
            )
        return promote(experiments, running, arm, aliases=aliases, promoted=promoted)
    step = next_step(promoted, alias)
    name = next(
        name for name in (f"{alias}-{step + more}" for more in range(len(promoted) + 1)) if name not in promoted
    )
    decided = {"alias": alias, "arm": model, "former": aliases.get(alias, "")} | ({"step": step} if step else {})
    return {("gateway", "promoted", name): decided, ("models", alias): model}


def back(experiments: Mapping[str, Experiment], promoted: Mapping[str, Promoted], alias: str) -> Changes:
    """The settings that take the last decision about an alias back, or end the experiment that shares it. Raises ``Invalid``."""
    running = running_on(experiments, alias)
    if running:
        return rollback(experiments, {}, running)
    decided = [name for name, each in promoted.items() if each.alias == alias]
    if not decided:
        raise Invalid(
            f"nothing was ever promoted to {alias}", remedy=f"choose what it means: fireside models use {alias} MODEL"
        )
    return rollback(experiments, promoted, max(reversed(decided), key=lambda name: promoted[name].step))


def running_on(experiments: Mapping[str, Experiment], alias: str) -> str:
    """The experiment that shares this alias's requests, or an empty name."""
    return next((name for name, experiment in experiments.items() if experiment.alias == alias), "")


def next_step(promoted: Mapping[str, Promoted], alias: str) -> int:
    return 1 + max((each.step for each in promoted.values() if each.alias == alias), default=-1)


def promote(
    experiments: Mapping[str, Experiment],
    name: str,
    arm: str,
    *,
    aliases: Mapping[str, str],
    promoted: Mapping[str, Promoted] | None = None,
) -> Changes:
    """The settings that make ``arm`` what the alias means and end the experiment; ``None`` takes a setting out. Raises ``Invalid``."""
    experiment = _named(experiments, name)
    if arm not in experiment.arms:
        raise Invalid(
            f"{name} has no arm {arm} (it has {', '.join(experiment.arms)})", remedy=f"fireside experiments show {name}"
        )
    former = aliases.get(experiment.alias, "")
    step = next_step(promoted or {}, experiment.alias)
    decided = {"alias": experiment.alias, "arm": arm, "former": former} | ({"step": step} if step else {})
    return {
        ("gateway", "promoted", name): decided,
        ("models", experiment.alias): experiment.arms[arm].model,
        ("gateway", "experiments", name): None,
    }


def rollback(experiments: Mapping[str, Experiment], promoted: Mapping[str, Promoted], name: str) -> Changes:
    """The settings that undo a promotion, or end an experiment that runs, its alias meaning again what it meant before."""
    if name in promoted:
        decided = promoted[name]
        return {("models", decided.alias): decided.former or None, ("gateway", "promoted", name): None}
    _named(experiments, name)
    return {("gateway", "experiments", name): None}


def _named(experiments: Mapping[str, Experiment], name: str) -> Experiment:
    if name not in experiments:
        known = ", ".join(experiments) or "none"
        raise Invalid(f"there is no experiment {name} (there are: {known})", remedy=LIST)
    return experiments[name]


@dataclass(slots=True)
class Outcome:
    """What came of one arm. ``errors``: requests that failed or that another model had to answer. Times in seconds."""

    requests: int = 0
    errors: int = 0
    cancelled: int = 0
    tool_calls: int = 0
    repaired: int = 0
    accepted: int = 0
    rejected: int = 0
    first_token: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    tokens_per_second: Histogram = field(default_factory=lambda: Histogram(RATES))

    def snapshot(self) -> dict[str, object]:
        return {
            "requests": self.requests,
            "errors": self.errors,
            "cancelled": self.cancelled,
            "tool_calls": {"valid": self.tool_calls - self.repaired, "repaired": self.repaired},
            "feedback": {"accepted": self.accepted, "rejected": self.rejected},
            "first_token_seconds": {
                "p50": round(self.first_token.quantile(0.5), 6),
                "p95": round(self.first_token.quantile(0.95), 6),
            },
            "tokens_per_second": {
                "p50": round(self.tokens_per_second.quantile(0.5), 3),
                "p95": round(self.tokens_per_second.quantile(0.95), 3),
            },
        }


@dataclass(slots=True)
class _Followed:
    """One request of an experiment."""

    outcome: Outcome
    mended: bool = False
    stood_in: bool = False


class Experiments:
    """Those that run now, and what came of them since this process began."""

    def __init__(self, events: EventBus, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()
        self._running: dict[str, tuple[str, Experiment]] = {}
        self._outcomes: dict[str, dict[str, Outcome]] = {}
        self._followed: OrderedDict[int, _Followed] = OrderedDict()
        self._events = events
        self._unsubscribe: Callable[[], None] | None = None

    def configure(self, experiments: Mapping[str, Experiment]) -> None:
        """Take over what is in the settings; an arm that stays keeps its figures."""
        running = {experiment.alias: (name, experiment) for name, experiment in experiments.items()}
        self._running = running
        if running and self._unsubscribe is None:
            self._unsubscribe = self._events.subscribe(signals.RequestSignal, self._hear)
        self._outcomes = {
            name: {arm: self._outcomes.get(name, {}).get(arm) or Outcome() for arm in experiment.arms}
            for name, experiment in experiments.items()
        }

    def assigned(self, model: str, request: Request | None = None) -> Assigned | None:
        """The arm for a request that asks for this name; ``None`` where the name is in no experiment."""
        if model not in self._running:
            return None
        name, experiment = self._running[model]
        arms = drawn(name, experiment, request, self._rng)
        return Assigned(name, arms[0], tuple(experiment.arms[arm].model for arm in arms))

    def follow(self, number: int, assigned: Assigned) -> None:
        """Count what comes of the request with this number for its arm."""
        outcome = self._outcomes[assigned.experiment][assigned.arm]
        outcome.requests += 1
        self._followed[number] = _Followed(outcome)
        if len(self._followed) > REMEMBERED:
            self._followed.popitem(last=False)

    def feedback(self, about: int | str, good: bool, *, request: Request | None = None) -> None:
        """``about``: the number of a request; or an experiment, whose arm is the one ``request`` gets. Raises ``Invalid`` if unknown."""
        if isinstance(about, int):
            followed = self._followed.get(about)
            if followed is None:
                raise Invalid(f"request {about} is in no experiment, or too long ago", remedy=LIST)
            outcome = followed.outcome
        else:
            found = next((each for each in self._running.values() if each[0] == about), None)
            if found is None:
                raise Invalid(f"there is no experiment {about}", remedy=LIST)
            outcome = self._outcomes[about][drawn(about, found[1], request, self._rng)[0]]
        if good:
            outcome.accepted += 1
        else:
            outcome.rejected += 1

    def snapshot(self) -> dict[str, dict[str, object]]:
        """Experiment -> arm -> figures, ready for JSON."""
        return {name: {arm: one.snapshot() for arm, one in arms.items()} for name, arms in self._outcomes.items()}

    def close(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()

    def _hear(self, signal: signals.RequestSignal) -> None:
        followed = self._followed.get(signal.request)
        if followed is None:
            return
        outcome = followed.outcome
        match signal:
            case signals.ToolCallRepaired():
                followed.mended = True
            case signals.FellBack():
                followed.stood_in = True
            case signals.RequestFailed():
                outcome.errors += 1
            case signals.RequestCancelled():
                outcome.cancelled += 1
            case signals.RequestFinished():
                _count(followed, signal)


def _count(followed: _Followed, finished: signals.RequestFinished) -> None:
    outcome = followed.outcome
    if followed.stood_in:
        outcome.errors += 1
        return
    if finished.finish_reason == "tool_calls":
        outcome.tool_calls += 1
        outcome.repaired += followed.mended
    if finished.cached:
        return
    if finished.first_token is not None:
        outcome.first_token.add(finished.first_token)
    if finished.rate:
        outcome.tokens_per_second.add(finished.rate)


def arms_of(experiment: Experiment) -> Sequence[tuple[str, Arm, float]]:
    """Each arm with its share of the requests, 0 to 1."""
    total = sum(arm.weight for arm in experiment.arms.values())
    return [(name, arm, arm.weight / total) for name, arm in experiment.arms.items()]
