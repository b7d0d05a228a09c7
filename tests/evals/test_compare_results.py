"""Comparing two results: the same cases or none, a difference with its interval, and chance is not taken for progress."""

import random

import pytest

from fireside.core.errors import Invalid
from fireside.core.values import replace
from fireside.evals.compare import against, compare
from fireside.evals.statistics import share
from fireside.evals.suite import Outcome, Result


def result(right: list[bool], *, subject: str = "model", **fields: object) -> Result:
    outcomes = tuple(
        Outcome(f"case {number}", {"exact": float(one), "ms": 100.0 + number}) for number, one in enumerate(right)
    )
    known: dict[str, object] = {"suite": "fim-line", "rivals": {}, "seed": 7, "seconds": 1.0, "finished": 0.0}
    return Result(
        subject=subject,
        model=subject,
        scores=(share("exact", outcomes),),
        outcomes=outcomes,
        asked=len(outcomes),
        **{**known, **fields},
    )


def row(comparison, name: str):
    return next(row for row in comparison.rows if row.name == name)


def test_a_real_difference_is_found_with_its_interval() -> None:
    first, second = result([False] * 60 + [True] * 40), result([False] * 40 + [True] * 60)
    found = row(compare(first, second), "exact")
    assert (found.first, found.second, found.difference) == (40.0, 60.0, pytest.approx(20.0))
    assert 10 < found.low < 20 < found.high < 30
    assert found.p < 0.001
    assert (found.n, found.verdict) == (100, "better")


def test_a_difference_that_may_be_chance_has_no_verdict() -> None:
    rng = random.Random(1)
    first = result([rng.random() < 0.5 for _ in range(60)])
    second = result([rng.random() < 0.5 for _ in range(60)])
    found = row(compare(first, second), "exact")
    assert found.low <= 0 <= found.high
    assert found.p > 0.05
    assert found.verdict == ""


def test_the_same_pairs_give_the_same_figures() -> None:
    first, second = result([True, False] * 20), result([False, True, True, True] * 10)
    assert compare(first, second) == compare(first, second)


def test_pairing_finds_what_two_separate_intervals_would_not() -> None:
    # Ten more of the same two hundred: far within each result's own interval, and no case is lost.
    first, second = result([True] * 90 + [False] * 110), result([True] * 100 + [False] * 100)
    found = row(compare(first, second), "exact")
    assert found.low > 0
    assert first.scores[0].high > second.scores[0].value


def test_slower_is_worse() -> None:
    first = result([True] * 30)
    slower = tuple(replace(one, scores={**one.scores, "ms": one.scores["ms"] + 50}) for one in first.outcomes)
    found = row(compare(first, replace(first, outcomes=slower)), "ms")
    assert (found.difference, found.unit, found.verdict) == (pytest.approx(50.0), "ms", "worse")


def test_a_case_nobody_answered_counts_as_wrong() -> None:
    first = result([True] * 20)
    failed = (Outcome("case 0", {}, failed=True), *first.outcomes[1:])
    found = row(compare(first, replace(first, outcomes=failed)), "exact")
    assert (found.n, found.second) == (20, pytest.approx(95.0))


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (result([True] * 3, suite="fim-syntax"), "different suites"),
        (result([True] * 4), "different cases"),
        (result([True] * 3, material="changed"), "not the same content"),
    ],
)
def test_results_that_do_not_compare_are_refused(other: Result, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        compare(result([True] * 3), other)


def test_a_rival_measured_on_the_way_is_compared_like_another_model() -> None:
    plain = result([True] * 50 + [False] * 50)
    outcomes = tuple(
        replace(one, rivals={"copy": {"exact": float(number < 20), "ms": 1.0}})
        for number, one in enumerate(plain.outcomes)
    )
    scored = replace(plain, outcomes=outcomes, rivals={"copy": (share("exact", outcomes),)})
    assert row(against(scored, "copy"), "exact").difference == pytest.approx(30.0)
    with pytest.raises(Invalid, match="nobody called 'magic'"):
        against(scored, "magic")
