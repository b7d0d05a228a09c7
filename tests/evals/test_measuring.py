"""Measuring: every case becomes an outcome, whatever comes of it; scores stand with their intervals and the cases they stand on."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from fireside.core.errors import ConnectionFailed, Invalid
from fireside.core.messages import Message
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.evals.asking import ask
from fireside.evals.registry import SUITES, check, suite
from fireside.evals.statistics import mean, quantile, ratio, share, wilson
from fireside.evals.subjects import GatewaySubject, Nobody
from fireside.evals.suite import Case, CaseSettings, Outcome, Score, Step, Subject, measure
from support.gateways import opened, until


@dataclass(frozen=True)
class Says(Case):
    wanted: str = "yes"


class Echo:
    """Each case asks its own id; "yes" is right."""

    name, about = "echo", "for tests"

    def __init__(self) -> None:
        self.running = self.most = 0

    def cases(self, settings: CaseSettings) -> Sequence[Says]:
        return [Says(f"case {number}") for number in range(settings.cases)]

    async def run(self, case: Says, subject: Subject) -> Outcome:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            answer = await ask(subject, [Message("user", case.id)], max_tokens=8)
        finally:
            self.running -= 1
        return Outcome(case.id, {"right": float(answer.text == case.wanted)})

    def score(self, outcomes: Sequence[Outcome]) -> tuple[Score, ...]:
        return (share("right", outcomes), share("nobody has this", outcomes, failed=None))


def of(gateway) -> GatewaySubject:
    return GatewaySubject(gateway, "script@scripted", "script")


async def test_every_case_is_scored_with_n_and_an_interval() -> None:
    engine = ScriptedEngine(Reply(text="no", when="case 3$"), Reply(text="yes"), Reply(text="yes", when="case [^3]"))
    async with opened(engine, cache_bytes=0) as (gateway, _):
        result = await measure(Echo(), of(gateway), cases=Echo().cases(CaseSettings(cases=10)))
    (right,) = result.scores
    assert (right.name, right.value, right.n, right.unit) == ("right", 90.0, 10, "%")
    assert right.low == pytest.approx(59.6, abs=0.1)
    assert right.high == pytest.approx(98.2, abs=0.1)
    assert [outcome.case for outcome in result.outcomes] == [f"case {number}" for number in range(10)]
    assert result.card["name"] == "script"
    assert result.hardware["cores"] >= 1
    assert "fireside" in result.versions


async def test_a_case_nobody_answered_counts_as_wrong_and_says_why() -> None:
    engine = ScriptedEngine(Reply(error=Invalid("too hard"), when="case 1"), Reply(text="yes", when="case [^1]"))
    async with opened(engine, cache_bytes=0) as (gateway, _):
        result = await measure(Echo(), of(gateway), cases=Echo().cases(CaseSettings(cases=4)))
    assert result.scores[0].value == 75.0
    assert result.scores[0].n == 4
    assert [outcome.detail for outcome in result.outcomes if outcome.failed] == ["validation: too hard"]


async def test_when_nobody_is_there_the_first_error_is_told_instead_of_a_thousand_zeroes() -> None:
    engine = ScriptedEngine(error=ConnectionFailed("nobody listens", cause="refused"))
    asked: list[Step] = []
    async with opened(engine, cache_bytes=0, retries=0, fallback=False) as (gateway, _):
        cases = Echo().cases(CaseSettings(cases=1000))
        with pytest.raises(ConnectionFailed):
            await measure(Echo(), of(gateway), cases=cases, parallel=3, report=asked.append)
    assert len(asked) < 20


async def test_no_more_cases_run_at_a_time_than_were_allowed() -> None:
    suite_, engine = Echo(), ScriptedEngine(says="yes")
    async with opened(engine, cache_bytes=0, parallel={"scripted": 16}) as (gateway, _):
        await measure(suite_, of(gateway), cases=suite_.cases(CaseSettings(cases=20)), parallel=4)
    assert suite_.most == 4


async def test_what_is_done_when_it_is_stopped_is_kept() -> None:
    never = asyncio.Event()
    engine = ScriptedEngine(Reply(text="yes", when="case [0-4]"), Reply(text="yes", when="case [5-9]", hold=never))
    steps: list[Step] = []
    async with opened(engine, cache_bytes=0) as (gateway, _):
        cases = Echo().cases(CaseSettings(cases=10))
        task = asyncio.ensure_future(measure(Echo(), of(gateway), cases=cases, report=steps.append))
        await until(lambda: len(steps) == 5 and engine.running == 1)
        task.cancel()
        result = await task
        assert engine.running == 0
    assert result.stopped
    assert (len(result.outcomes), result.asked, result.scores[0].n) == (5, 10, 5)


async def test_nobody_can_be_measured_only_where_nobody_is_needed() -> None:
    with pytest.raises(Invalid, match="no cases"):
        await measure(Echo(), Nobody(), cases=())


def test_every_suite_loads_and_says_in_one_line_what_it_is_about() -> None:
    for name in SUITES:
        made = suite(name)
        assert made.name == name
        assert made.about
        assert "\n" not in made.about


def test_a_suite_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(Invalid, match="no suite 'fim-lime'") as refused:
        check(("fim-line", "fim-lime"))
    assert "fim-line" in refused.value.remedy


@pytest.mark.parametrize(
    ("part", "n", "low", "high"), [(0.0, 10, 0.0, 0.2775), (0.5, 100, 0.4038, 0.5962), (1.0, 5, 0.5655, 1.0)]
)
def test_shares_have_wilsons_interval(part: float, n: int, low: float, high: float) -> None:
    assert wilson(part, n) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_means_and_quantiles_have_an_interval_around_them_that_is_always_the_same() -> None:
    outcomes = [Outcome(str(number), {"ms": float(number)}) for number in range(1, 101)]
    middle, late = mean("ms", outcomes, unit="ms"), quantile("p95", outcomes, 0.95, key="ms")
    assert middle.value == 50.5
    assert 44 < middle.low < 50.5 < middle.high < 57
    assert 88 < late.low <= late.value <= late.high <= 100
    assert mean("ms", outcomes, unit="ms") == middle


def test_a_ratio_weighs_every_case_by_its_size() -> None:
    outcomes = [Outcome("a", {"saved": 9.0, "typed": 10.0}), Outcome("b", {"saved": 0.0, "typed": 90.0})]
    assert ratio("saved", outcomes, "saved", "typed").value == 9.0
