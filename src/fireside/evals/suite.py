"""What a suite is, and how it is measured: cases with known answers, a subject that answers, and scores with their intervals.

A subject is whatever can be asked: a gateway with a model's name, or nobody at all, where only rivals without a model are measured. Knows
no particular suite, draws nothing and writes nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

import msgspec

from fireside.core.errors import ErrorKind, FiresideError, Invalid
from fireside.core.requests import ChatRequest, CompletionRequest, Delta
from fireside.evals.surroundings import card_facts, digest, hardware, versions, with_digest
from fireside.models.card import Capability, ModelCard

Better = Literal["higher", "lower", "neither"]
# Nobody waits for three hundred cases when nobody is there to answer the first few.
GIVE_UP = 8
HOPELESS = frozenset((ErrorKind.CONNECTION, ErrorKind.MODEL_NOT_FOUND, ErrorKind.PERMISSION))
FORMAT = 1


class Subject(Protocol):
    """Who is measured. ``model``: what goes into the requests; ``name``: what the report calls it."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> str: ...
    def chat(self, request: ChatRequest, /) -> AsyncIterator[Delta]: ...
    def complete(self, request: CompletionRequest, /) -> AsyncIterator[Delta]: ...
    async def card_for(self, model: str, *, needs: Collection[Capability] = ()) -> ModelCard | None: ...


@dataclass(frozen=True, slots=True)
class Score:
    """One figure over many cases. ``low``, ``high``: its 95 % interval; ``n``: cases it stands on. Shares are in %: ``unit`` is "%"."""

    name: str
    value: float
    low: float
    high: float
    n: int
    unit: str = ""
    better: Better = "higher"


@dataclass(frozen=True, slots=True)
class Case:
    """One task. Suites add what they need in a subclass, which must be picklable. ``group``: what kind of case it is, or ""."""

    id: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one case. ``scores``: shares as 0.0 or 1.0, or parts of 1; times in ms; a name that does not apply is left out.

    ``detail``: one line on what went wrong, or "". ``failed``: nobody answered: it counts as 0 in every share. ``rivals``: the scores of
    others on the same case, by name. ``seconds``: the subject's.
    """

    case: str
    scores: Mapping[str, float]
    seconds: float = 0.0
    detail: str = ""
    failed: bool = False
    group: str = ""
    rivals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


class CaseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which cases. ``sources``: folders or files to make them of, for suites that do. ``cases``: at most so many, 0 = all there are."""

    sources: tuple[str, ...] = ()
    cases: int = 300
    seed: int = 7


class Suite(Protocol):
    """A kind of task. ``about``: one line. Same settings, same cases, in the same order, on every machine."""

    name: str
    about: str

    def cases(self, settings: CaseSettings) -> Sequence[Case]:
        """Raises ``Invalid`` when there is nothing to make cases of."""
        ...

    async def run(self, case: Any, subject: Subject) -> Outcome:
        """May raise ``FiresideError``: then the case has failed, with its message as the detail."""
        ...

    def score(self, outcomes: Sequence[Outcome]) -> tuple[Score, ...]: ...


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One suite measured on one subject. ``settings``, ``hardware``, ``card``, ``versions``: what is needed to measure it again.

    ``rivals``: name -> scores on the same cases. ``asked``: cases there were; fewer outcomes when it was ``stopped``. ``config``,
    ``material``: digests of how it was asked, and of the cases word for word.
    """

    suite: str
    subject: str
    model: str
    scores: tuple[Score, ...]
    rivals: dict[str, tuple[Score, ...]]
    outcomes: tuple[Outcome, ...]
    asked: int
    seed: int
    seconds: float
    finished: float
    card: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    hardware: dict[str, Any] = {}
    versions: dict[str, str] = {}
    config: str = ""
    material: str = ""
    stopped: bool = False
    parallel: int = 1
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Step:
    """How far a suite is. ``failed``: cases nobody answered."""

    suite: str
    done: int
    total: int
    failed: int = 0


Report = Callable[[Step], None]


async def measure(
    suite: Suite,
    subject: Subject,
    *,
    cases: Sequence[Case],
    parallel: int = 1,
    seed: int = 7,
    settings: Mapping[str, Any] | None = None,
    report: Report = lambda step: None,
) -> Result:
    """Run every case, ``parallel`` at a time, and score what came of them.

    A case that fails is an outcome; only when the first ``GIVE_UP`` all fail because nobody is there is that error raised. When the task
    is cancelled (Ctrl-C), what is done is scored and returned with ``stopped``; the cancellation is used up by that.
    """
    if not cases:
        raise Invalid(f"the suite {suite.name} has no cases here", remedy="name other sources: --from DIR")
    begun = time.perf_counter()
    done, stopped = await _all(suite, subject, cases, max(1, parallel), report)
    return await result_of(
        suite,
        subject,
        cases,
        done,
        seed=seed,
        seconds=time.perf_counter() - begun,
        settings=settings,
        stopped=stopped,
        parallel=parallel,
    )


async def result_of(
    suite: Suite,
    subject: Subject,
    cases: Sequence[Case],
    done: Mapping[str, Outcome],
    *,
    seed: int,
    seconds: float,
    settings: Mapping[str, Any] | None = None,
    stopped: bool = False,
    parallel: int = 1,
) -> Result:
    """What the outcomes (by case, wherever they came from) amount to."""
    facts = {**(settings or {}), "cases": len(cases)}
    outcomes = tuple(done[case.id] for case in cases if case.id in done)
    return Result(
        suite=suite.name,
        subject=subject.name,
        model=subject.model,
        scores=scored(suite, outcomes),
        rivals=scores_of_rivals(suite, outcomes),
        outcomes=outcomes,
        asked=len(cases),
        seed=seed,
        seconds=round(seconds, 3),
        finished=time.time(),
        card=card_facts(await asyncio.to_thread(with_digest, await _card(subject))),
        settings=facts,
        hardware=hardware(),
        versions=versions(),
        config=digest(suite.name, subject.model, facts, seed),
        material=digest(*(_told(case) for case in cases)),
        stopped=stopped,
        parallel=parallel,
    )


def scores_of_rivals(suite: Suite, outcomes: Sequence[Outcome]) -> dict[str, tuple[Score, ...]]:
    """The same scores of everybody else who was asked on the way."""
    names = dict.fromkeys(name for outcome in outcomes for name in outcome.rivals)
    return {name: scored(suite, [of_rival(outcome, name) for outcome in outcomes]) for name in names}


def scored(suite: Suite, outcomes: Sequence[Outcome]) -> tuple[Score, ...]:
    """The suite's scores, but for those that stand on no case at all."""
    return tuple(score for score in suite.score(outcomes) if score.n)


def of_rival(outcome: Outcome, name: str) -> Outcome:
    """The outcome as if this rival had been the subject."""
    return Outcome(outcome.case, outcome.rivals.get(name, {}), group=outcome.group)


async def attempt(suite: Suite, case: Case, subject: Subject) -> tuple[Outcome, FiresideError | None]:
    """One case, whatever comes of it."""
    begun = time.perf_counter()
    try:
        return await suite.run(case, subject), None
    except FiresideError as error:
        detail = " ".join(f"{error.kind}: {error.message}".split())
        return Outcome(case.id, {}, time.perf_counter() - begun, detail, failed=True, group=case.group), error


async def _all(
    suite: Suite, subject: Subject, cases: Sequence[Case], parallel: int, report: Report
) -> tuple[dict[str, Outcome], bool]:
    """Outcomes by case, in the order they came; and whether it was stopped."""
    done: dict[str, Outcome] = {}
    errors: list[FiresideError] = []
    waiting = iter(cases)

    async def work() -> None:
        for case in waiting:
            outcome, error = await attempt(suite, case, subject)
            done[case.id] = outcome
            if error is not None:
                errors.append(error)
            report(Step(suite.name, len(done), len(cases), len(errors)))
            if error is not None and error.kind in HOPELESS and len(errors) == len(done) >= min(GIVE_UP, len(cases)):
                raise error

    workers = [asyncio.ensure_future(work()) for _ in range(min(parallel, len(cases)))]
    try:
        await asyncio.gather(*workers)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not done or task is None:
            raise
        task.uncancel()
        return done, True
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return done, False


def _told(case: Case) -> dict[str, object]:
    """The case but for where it lay on this machine."""
    return {one.name: getattr(case, one.name) for one in fields(case) if one.name != "folder"}


async def _card(subject: Subject) -> ModelCard | None:
    try:
        return await subject.card_for(subject.model)
    except FiresideError:
        return None
