"""pass@k: the estimate is the right one, and a model is measured by what its programs do."""

import itertools
import json
import math

import pytest

from fireside.core.errors import Invalid
from fireside.core.values import replace
from fireside.engines.scripted import Reply, ScriptedEngine, scripted_card
from fireside.evals import sandbox
from fireside.evals.passk import PassAtK, pass_at_k
from fireside.evals.programs import read_tasks
from fireside.evals.subjects import GatewaySubject
from fireside.evals.suite import CaseSettings, Outcome, measure
from support.gateways import opened

NAMES = ("alpha", "beta", "gamma")


def row(name: str) -> str:
    return json.dumps(
        {
            "task_id": f"t/{name}",
            "prompt": f'def {name}(x):\n    """Twice x."""\n',
            "entry_point": name,
            "canonical_solution": "    return 2 * x\n",
            "test": "def check(candidate):\n    assert candidate(3) == 6\n",
        }
    )


@pytest.fixture
def tasks(tmp_path):
    if sandbox.available().kind is None:
        pytest.skip(f"{sandbox.available().reason}; {sandbox.REMEDY}")
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join(map(row, NAMES)))
    return path


def right(name: str) -> Reply:
    return Reply(f"Here:\n```python\ndef {name}(x):\n    return x + x\n```", when=rf"\b{name}\b")


def wrong(name: str) -> Reply:
    return Reply(f"```python\ndef {name}(x):\n    return x\n```", when=rf"\b{name}\b")


async def measured(suite: PassAtK, engine: ScriptedEngine, settings: CaseSettings = CaseSettings(), **options):
    async with opened(engine, cache_bytes=0, fallback=False) as (gateway, _):
        subject = GatewaySubject(gateway, "script@scripted", "scripted")
        return await measure(suite, subject, cases=suite.cases(settings), seed=settings.seed, **options)


@pytest.mark.parametrize(
    ("samples", "right_ones", "k"), [(5, 2, 1), (5, 2, 3), (10, 1, 10), (10, 10, 3), (7, 0, 4), (4, 3, 2)]
)
def test_the_estimate_is_the_share_of_all_ways_to_take_k_of_the_samples(samples, right_ones, k):
    ways = list(itertools.combinations(range(samples), k))
    share = sum(any(one < right_ones for one in way) for way in ways) / len(ways)
    assert pass_at_k(samples, right_ones, k) == pytest.approx(share)


def test_the_estimate_holds_for_numbers_whose_factorials_do_not_fit():
    exact = 1 - math.comb(19_990, 100) / math.comb(20_000, 100)
    assert pass_at_k(20_000, 10, 100) == pytest.approx(exact)


@pytest.mark.parametrize(("samples", "right_ones", "k"), [(5, 2, 6), (5, 6, 1), (5, -1, 1), (5, 2, 0), (0, 0, 1)])
def test_what_cannot_be_told_is_refused(samples, right_ones, k):
    with pytest.raises(Invalid, match="cannot be told"):
        pass_at_k(samples, right_ones, k)


def test_more_attempts_than_samples_are_refused_before_anything_is_asked():
    with pytest.raises(Invalid, match="pass@10"):
        PassAtK(samples=5, ks=(1, 10))


async def test_a_model_is_measured_by_what_its_programs_do(tasks):
    engine = ScriptedEngine(right("alpha"), wrong("beta"), right("gamma"))
    result = await measured(PassAtK(tasks=tasks), engine)
    found = {outcome.case: outcome for outcome in result.outcomes}
    assert [found[f"t/{name}"].scores["pass@1"] for name in NAMES] == [1.0, 0.0, 1.0]
    assert found["t/beta"].detail == "AssertionError"
    score = result.scores[0]
    assert (score.name, score.n, score.unit) == ("pass@1", 3, "%")
    assert score.value == pytest.approx(200 / 3)
    assert 0 < score.low < score.value < score.high < 100


async def test_several_samples_have_seeds_of_their_own_and_are_warm(tasks):
    engine = ScriptedEngine(
        wrong("alpha"), right("alpha"), wrong("alpha"), right("alpha"), wrong("beta"), right("gamma")
    )
    result = await measured(PassAtK(4, (1, 2, 4), tasks=tasks), engine)
    assert [score.name for score in result.scores[:3]] == ["pass@1", "pass@2", "pass@4"]
    alpha = result.outcomes[0].scores
    assert (alpha["pass@1"], alpha["pass@4"]) == (0.5, 1.0)
    assert alpha["pass@2"] == pytest.approx(5 / 6)
    seeds = [request.sampling.seed for request in engine.requests]
    assert len(seeds) == 12
    assert len(set(seeds[:4])) == 4
    assert {request.sampling.temperature for request in engine.requests} == {0.8}


async def test_the_same_settings_ask_the_same(tasks):
    asked = []
    for _ in range(2):
        engine = ScriptedEngine(right("alpha"), right("beta"), right("gamma"))
        await measured(PassAtK(2, tasks=tasks), engine, CaseSettings(cases=2, seed=3))
        asked.append([(request.messages, request.sampling) for request in engine.requests])
    assert asked[0] == asked[1]
    assert len(asked[0]) == 4


async def test_a_model_without_a_chat_goes_on_from_the_prompt(tasks):
    card = replace(scripted_card("scripted"), capabilities=frozenset(("fim",)))
    engine = ScriptedEngine("    return 2 * x\n\n\ndef more():\n    pass", cards=[card])
    result = await measured(PassAtK(tasks=tasks), engine)
    assert result.scores[0].value == 100.0
    request = engine.requests[0]
    assert request.raw
    assert request.prefix == read_tasks(tasks)[0].prompt


async def test_a_task_nobody_answers_counts_as_not_solved(tasks):
    engine = ScriptedEngine(right("alpha"), right("beta"))
    result = await measured(PassAtK(tasks=tasks), engine)
    assert [outcome.failed for outcome in result.outcomes] == [False, False, True]
    assert result.scores[0].value == pytest.approx(200 / 3)


def test_a_file_of_tasks_can_stand_among_the_sources(tasks):
    suite = PassAtK()
    assert [case.id for case in suite.cases(CaseSettings(sources=("src", str(tasks))))] == [
        f"t/{name}" for name in NAMES
    ]
    assert len(suite.cases(CaseSettings(sources=("src",), cases=0))) == len(read_tasks())
    with pytest.raises(Invalid, match="in common"):
        suite.cases(CaseSettings(sources=(str(tasks), str(tasks))))


def test_the_interval_is_over_the_tasks():
    suite = PassAtK(2, (1,))
    outcomes = [Outcome(str(number), {"pass@1": number % 2 * 0.5}) for number in range(200)]
    score = suite.score(outcomes)[0]
    assert score.value == pytest.approx(25.0)
    assert 20 < score.low < 25 < score.high < 30


def test_that_no_task_was_solved_is_no_certainty():
    score = PassAtK().score([Outcome(str(number), {"pass@1": 0.0}) for number in range(20)])[0]
    assert (score.value, score.low) == (0.0, 0.0)
    assert 10 < score.high < 20
