"""Completion suites: holes are cut alike each time, answers are judged by what stood there, plain copying is always beside the model."""

from pathlib import Path

import pytest

from fireside.core.errors import Invalid
from fireside.engines.scripted import Reply, ScriptedEngine, scripted_card
from fireside.evals.copying import plain_copy
from fireside.evals.fill import Filled, Hole, judge
from fireside.evals.fim_line import COPY, FimLine, Verdict, ships
from fireside.evals.fim_syntax import FimSyntax
from fireside.evals.statistics import share
from fireside.evals.subjects import GatewaySubject, Nobody
from fireside.evals.suite import CaseSettings, Outcome, Result, measure
from support.gateways import opened

FUNCTION = '''

def scale_{0}(values, factor):
    """Scale the values of row {0}."""
    total = sum(values) + {0}
    return [value * factor / total for value in values if value != {0}]
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two Python files of 100 lines and more, a short one, one that is no code."""
    place = tmp_path / "project"
    place.mkdir()
    for name, begin in (("one.py", 0), ("two.py", 40)):
        text = '"""Rows."""\n' + "".join(FUNCTION.format(begin + number) for number in range(20))
        (place / name).write_text(text)
    (place / "short.py").write_text("x = 1\n")
    (place / "notes.md").write_text("words\n" * 200)
    return place


def hole(text: str, target: str, *, language: str = "python") -> Hole:
    """The last place where ``target`` stands."""
    start = text.rindex(target)
    return Hole("h", text=text, start=start, end=start + len(target), language=language, path="a.py")


def wanted(folder: Path, cases: int = 40, seed: int = 7) -> CaseSettings:
    return CaseSettings(sources=(str(folder),), cases=cases, seed=seed)


def test_the_same_seed_cuts_the_same_holes_and_another_seed_others(folder: Path) -> None:
    for suite in (FimLine(), FimSyntax()):
        assert suite.cases(wanted(folder)) == suite.cases(wanted(folder))
        assert suite.cases(wanted(folder)) != suite.cases(wanted(folder, seed=8))


def test_a_line_hole_ends_with_its_line_and_hides_something(folder: Path) -> None:
    cases = FimLine().cases(wanted(folder))
    assert len(cases) == len({case.id for case in cases}) == 40
    for case in cases:
        assert case.target.strip()
        assert "\n" not in case.target
        assert case.suffix.startswith("\n")
        assert case.prefix + case.target + case.suffix == (folder / case.path).read_text()


def test_only_files_of_a_hundred_lines_and_more_are_cut(folder: Path) -> None:
    assert {case.path for case in FimLine().cases(wanted(folder))} == {"one.py", "two.py"}


def test_a_syntax_hole_is_a_whole_node_of_its_kind(folder: Path) -> None:
    cases = FimSyntax().cases(wanted(folder, 60))
    assert {case.group for case in cases} >= {"body", "expression", "arguments", "statement"}
    for case in cases:
        if case.group == "arguments":
            assert case.target.startswith("(")
            assert case.target.endswith(")")


def test_where_there_is_nothing_to_cut_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text("x = 1\n")
    with pytest.raises(Invalid, match="no source file of 8"):
        FimLine().cases(wanted(tmp_path))


def test_short_files_are_cut_only_where_there_are_no_longer_ones(tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text("".join(f"name_{number} = {number}\n" for number in range(20)))
    assert {case.path for case in FimLine().cases(wanted(tmp_path))} == {"short.py"}
    (tmp_path / "long.py").write_text("".join(f"other_{number} = {number}\n" for number in range(200)))
    assert {case.path for case in FimLine().cases(wanted(tmp_path))} == {"long.py"}


async def test_plain_copying_takes_the_rest_of_the_line_behind_the_longest_agreement() -> None:
    text = "alpha = compute(1, 2)\nbeta = other(5)\nalpha = compute(3)\nbeta = other(5)\n"
    assert await plain_copy(hole(text, "(5)\n"[:-1])) == Filled("(5)")
    text = "value.first = 1\nvalue.second = 2\nvalue.sec"
    assert await plain_copy(Hole("h", text=text, start=len(text), end=len(text))) == Filled("ond = 2")


async def test_plain_copying_says_nothing_where_nothing_agrees() -> None:
    assert await plain_copy(hole("abc = 1\nxyz = 2\n", "= 2")) == Filled("")


def test_an_answer_is_judged_by_what_stood_there() -> None:
    text = "def area(width, height):\n    return width * height\n"
    right = judge(hole(text, "width * height"), Filled("width * height", 0.8), whole=False)
    assert (right["exact"], right["first word"], right["saved"], right["typed"]) == (1.0, 1.0, 14.0, 14.0)
    assert (right["parses"], right["offered at 0.7"], right["offered at 0.9"]) == (1.0, 1.0, 0.0)
    wrong = judge(hole(text, "width * height"), Filled("width + (height"), whole=False)
    assert (wrong["exact"], wrong["first word"], wrong["saved"], wrong["parses"]) == (0.0, 1.0, 6.0, 0.0)
    silent = judge(hole(text, "width * height"), Filled(""), whole=False)
    assert (silent["offered"], silent["exact"]) == (0.0, 0.0)
    assert "parses" not in silent


def test_damage_that_was_there_before_is_not_laid_on_the_answer() -> None:
    text = "def broken(:\n    pass\n\n\ntotal = 1 + 2\n"
    assert judge(hole(text, "1 + 2"), Filled("3 * 4"), whole=False)["parses"] == 1.0


async def test_a_model_is_measured_beside_plain_copying_on_the_same_holes(folder: Path) -> None:
    cases = FimLine().cases(wanted(folder, 12))
    replies = [Reply(text=case.target + "\nand more") for case in cases]
    async with opened(ScriptedEngine(*replies), cache_bytes=0) as (gateway, _):
        result = await measure(FimLine(), GatewaySubject(gateway, "script@scripted", "script"), cases=cases)
    own = {score.name: score for score in result.scores}
    assert own["exact"].value == 100.0
    assert own["characters saved"].value == 100.0
    assert own["exact"].n == 12
    assert 0 < next(score for score in result.rivals[COPY] if score.name == "exact").value < 100


async def test_without_a_model_what_needs_none_is_measured(folder: Path) -> None:
    result = await measure(FimLine(), Nobody(), cases=FimLine().cases(wanted(folder, 10)))
    assert result.scores == ()
    assert {score.name for score in result.rivals[COPY]} >= {"exact", "first word", "characters saved", "parses"}
    assert not any(score.name.startswith("offered at") for score in result.rivals[COPY])


async def test_a_model_that_fails_on_a_case_does_not_take_its_rivals_with_it(folder: Path) -> None:
    cases = FimSyntax().cases(wanted(folder, 4))
    engine = ScriptedEngine(error=Invalid("cannot"))
    async with opened(engine, cache_bytes=0) as (gateway, _):
        result = await measure(FimSyntax(), GatewaySubject(gateway, "script@scripted", "script"), cases=cases)
    assert all(outcome.failed and COPY in outcome.rivals for outcome in result.outcomes)
    assert next(score for score in result.scores if score.name == "exact").value == 0.0


async def test_a_prompt_is_cut_to_the_context_of_the_model(folder: Path) -> None:
    cases = FimLine().cases(wanted(folder, 5))
    engine = ScriptedEngine(says="x", cards=[scripted_card("scripted", context_window=256)])
    async with opened(engine, cache_bytes=0) as (gateway, _):
        result = await measure(FimLine(), GatewaySubject(gateway, "script@scripted", "script"), cases=cases)
    assert not any(outcome.failed for outcome in result.outcomes)
    assert all(len(request.prefix) + len(request.suffix) <= 600 for request in engine.requests)


def result_with(exact: float, copy: float, parses: float, **fields: object) -> Result:
    def scores(right: float, parsing: float) -> tuple:
        outcomes = [
            Outcome(str(number), {"exact": float(number < right), "parses": float(number < parsing)})
            for number in range(100)
        ]
        return share("exact", outcomes), share("parses", outcomes)

    return Result(
        suite="fim-line",
        subject="m",
        model="m",
        scores=scores(exact, parses),
        rivals={COPY: scores(copy, 70)},
        outcomes=(),
        asked=100,
        seed=7,
        seconds=1.0,
        finished=0.0,
        **fields,
    )


@pytest.mark.parametrize(
    ("exact", "copy", "parses", "verdict"),
    [(28, 20, 80, True), (27, 20, 95, False), (40, 20, 79, False), (20, 40, 99, False)],
)
def test_a_model_ships_only_well_above_copying_and_when_its_lines_parse(
    exact: float, copy: float, parses: float, verdict: bool
) -> None:
    found = ships(result_with(exact, copy, parses))
    assert isinstance(found, Verdict)
    assert found.ships is verdict
    assert len(found.reasons) == 2


def test_what_was_stopped_half_way_proves_nothing() -> None:
    assert not ships(result_with(40, 20, 90, stopped=True)).ships
