"""The standard performance test: the same question everywhere, and figures that can be laid side by side."""

import pytest

from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.evals.calculator import QUESTION, TOKENS, Calculator, parses
from fireside.evals.subjects import GatewaySubject
from fireside.evals.suite import CaseSettings, measure
from support.gateways import opened

ANSWER = "Here it is:\n\n```python\nimport ast\n\n\ndef value(text):\n    return ast.literal_eval(text)\n```\n"


async def measured(answer: str, runs: int = 2):
    engine = ScriptedEngine(Reply(answer))
    suite = Calculator(runs)
    async with opened(engine, cache_bytes=0, fallback=False) as (gateway, _):
        subject = GatewaySubject(gateway, "script@scripted", "scripted")
        return engine, await measure(suite, subject, cases=suite.cases(CaseSettings()))


async def test_every_run_asks_the_same_question_with_the_same_seed_and_limit():
    engine, _ = await measured(ANSWER)
    assert [request.messages[0].content for request in engine.requests] == [QUESTION, QUESTION]
    assert {(request.sampling.seed, request.sampling.max_tokens) for request in engine.requests} == {(1, TOKENS)}
    assert "calculator" in QUESTION


async def test_time_lines_speed_and_memory_are_told_with_their_intervals():
    _, result = await measured(ANSWER, runs=3)
    scores = {score.name: score for score in result.scores}
    assert {"seconds", "first token p50", "tokens/s", "tokens", "lines", "code lines", "parses", "memory"} == set(
        scores
    )
    assert (scores["lines"].value, scores["code lines"].value, scores["parses"].value) == (9, 3, 100.0)
    assert scores["tokens"].value > 5
    assert all(score.n == 3 and score.low <= score.value <= score.high for score in scores.values() if score.n)


async def test_an_answer_without_code_is_told_as_such():
    _, result = await measured("I would rather not.")
    assert result.outcomes[0].scores["code lines"] == 0
    assert result.outcomes[0].scores["parses"] == 0.0


def test_the_settings_of_a_run_change_nothing_but_how_often():
    suite = Calculator()
    assert [case.id for case in suite.cases(CaseSettings(seed=1))] == [
        case.id for case in suite.cases(CaseSettings(seed=2))
    ]
    assert len(suite.cases(CaseSettings(cases=1))) == 1
    assert len(suite.cases(CaseSettings(cases=0))) == 3


@pytest.mark.parametrize(
    ("code", "sound"),
    [
        ("a = 1", True),
        ("", False),
        ("# only words", False),
        ("a = (1 +", False),
        ("x = 1\ndef f(:\n  pass\n", True),
        ("def f():\n    return (1 +", False),
    ],
)
def test_code_that_the_limit_cut_off_still_counts_as_code(code, sound):
    assert parses(code) is sound


def test_backslashes_and_null_characters_are_no_accident():
    assert parses("a = '\\d'")
    assert not parses("\0")
