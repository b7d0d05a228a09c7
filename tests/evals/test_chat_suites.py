"""The suites that chat: their own tasks are sound, right answers score, wrong ones do not, and each says what went wrong."""

import ast
import json

import jsonschema_rs
import pytest

from fireside.core.messages import ToolCall
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.evals import edits, review, tools
from fireside.evals.asking import rows
from fireside.evals.latency import Latency
from fireside.evals.memory import held
from fireside.evals.subjects import GatewaySubject
from fireside.evals.suite import CaseSettings, Outcome, measure
from fireside.workspace.edits.apply import apply_edits
from support.gateways import opened

ALL = CaseSettings(cases=0)


async def answered(suite, case, *replies: Reply | str) -> Outcome:
    async with opened(ScriptedEngine(*replies), cache_bytes=0) as (gateway, _):
        return await suite.run(case, GatewaySubject(gateway, "script@scripted", "script"))


def case_of(suite, name: str):
    return next(case for case in suite.cases(ALL) if case.id == name)


def test_there_are_at_least_thirty_tasks_of_each_kind() -> None:
    assert len(rows("edits.jsonl", edits.Task)) >= 30
    assert len(rows("toolcalls.jsonl", tools.Task)) >= 30
    assert len(rows("review.jsonl", review.Task)) >= 30


def test_no_two_tasks_of_a_suite_share_a_name() -> None:
    for suite in (edits.Edits(), tools.Tools(), review.Review(), Latency()):
        names = [case.id for case in suite.cases(ALL)]
        assert len(names) == len(set(names))


# Edits


@pytest.mark.parametrize("task", rows("edits.jsonl", edits.Task), ids=lambda task: task.id)
def test_each_edit_is_one_that_can_be_told_from_the_file_as_it_was(task: edits.Task) -> None:
    assert not edits.same(task.path, task.before, task.after)
    assert edits.same(task.path, task.after, task.after)
    whole = f"{task.path}\n```\n{task.after}```\n"
    assert edits.same(task.path, apply_edits(whole, {task.path: task.before}, format="whole")[task.path], task.after)


async def test_an_edit_in_its_format_that_does_what_was_asked_is_right() -> None:
    case = case_of(edits.Edits(), "cart-default/search_replace")
    answer = "cart.py\n<<<<<<< SEARCH\n    count: int = 1\n=======\n    count: int = 2\n>>>>>>> REPLACE\n"
    outcome = await answered(edits.Edits(), case, answer)
    assert (outcome.scores["applies"], outcome.scores["correct"], outcome.detail) == (1.0, 1.0, "")


async def test_an_edit_that_applies_but_does_something_else_is_not() -> None:
    case = case_of(edits.Edits(), "cart-default/search_replace")
    answer = "cart.py\n<<<<<<< SEARCH\n    count: int = 1\n=======\n    count: int = 3\n>>>>>>> REPLACE\n"
    outcome = await answered(edits.Edits(), case, answer)
    assert (outcome.scores["applies"], outcome.scores["correct"]) == (1.0, 0.0)
    assert outcome.detail


async def test_an_edit_that_does_not_apply_says_why() -> None:
    case = case_of(edits.Edits(), "cart-default/udiff")
    outcome = await answered(edits.Edits(), case, "I would rather not.")
    assert (outcome.scores["applies"], outcome.scores["correct"]) == (0.0, 0.0)
    assert outcome.detail.startswith("malformed")


@pytest.mark.parametrize("name", [name for name in edits.EXAMPLES if name != "function"])
def test_the_example_of_each_format_is_in_that_format(name: str) -> None:
    example = edits.EXAMPLES[name].partition("\n\n")[2]
    assert apply_edits(example, {"notes.py": 'print("helo")\n'}, format=name) == {"notes.py": 'print("hello")\n'}


def test_python_is_compared_by_what_it_says() -> None:
    assert edits.same("a.py", "x = 'a'  # why\n", 'x = "a"\n')
    assert not edits.same("a.py", "x = 'a'\n", "x = 'b'\n")
    assert not edits.same("a.py", "x = (\n", "x = 1\n")
    assert edits.same("a.json", '{"a":1}', '{\n  "a": 1\n}')


# Tool calls


@pytest.mark.parametrize("task", rows("toolcalls.jsonl", tools.Task), ids=lambda task: task.id)
def test_each_wanted_call_can_be_made_with_the_tools_offered(task: tools.Task) -> None:
    offered = {tool.name: tool for tool in tools.toolbox() if not task.offered or tool.name in task.offered}
    assert set(task.offered) <= set(offered)
    if task.wanted:
        schema = dict(offered[task.wanted].parameters)
        jsonschema_rs.validator_for(schema | {"required": []}).validate(task.arguments)


async def test_the_right_call_is_right() -> None:
    case = case_of(tools.Tools(), "git-log")
    call = ToolCall("1", "git_log", '{"count": 5}')
    outcome = await answered(tools.Tools(), case, Reply(tool_calls=(call,)))
    assert outcome.scores["right"] == 1.0
    assert outcome.detail == ""


@pytest.mark.parametrize(
    ("name", "arguments", "valid", "detail"),
    [
        ("git_log", {"count": 6}, 1.0, "count is not what was asked for"),
        ("git_log", {"count": "many"}, 0.0, "do not fit"),
        ("git_log", {}, 0.0, "do not fit"),
        ("read_file", {"path": "x"}, 1.0, "instead of git_log"),
        ("rm_rf", {}, 0.0, "not offered"),
    ],
)
def test_a_wrong_call_is_wrong_in_its_own_way(name: str, arguments: object, valid: float, detail: str) -> None:
    case = case_of(tools.Tools(), "git-log")
    schemas = {tool.name: tool.parameters for tool in tools.toolbox()}
    scores, told = tools.judge(case, [ToolCall("1", name, json.dumps(arguments))], schemas)
    assert (scores["right"], scores["valid arguments"]) == (0.0, valid)
    assert detail in told


async def test_a_call_where_none_is_needed_is_wrong_and_an_answer_is_right() -> None:
    case = case_of(tools.Tools(), "none-math")
    assert (await answered(tools.Tools(), case, "4")).scores["right"] == 1.0
    call = ToolCall("1", "read_file", '{"path": "x"}')
    outcome = await answered(tools.Tools(), case, Reply(tool_calls=(call,)))
    assert outcome.scores["no needless call"] == 0.0
    assert "read_file" in outcome.detail


# Review


@pytest.mark.parametrize("task", rows("review.jsonl", review.Task), ids=lambda task: task.id)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_each_bug_is_on_its_line_and_both_files_are_code(task: review.Task) -> None:
    bad, clean = task.text.split("\n"), task.clean.split("\n")
    assert bad != clean
    assert bad[task.line - 1].strip()
    first = next(index for index, (one, other) in enumerate(zip(bad, clean, strict=False), 1) if one != other)
    assert first <= task.line
    if task.path.endswith(".py"):
        ast.parse(task.text)
        ast.parse(task.clean)


def findings(*lines: int) -> str:
    return json.dumps({"findings": [{"line": line, "problem": "wrong"} for line in lines]})


@pytest.mark.parametrize(("lines", "found"), [((2,), 1.0), ((4,), 1.0), ((9, 1), 1.0), ((5,), 0.0), ((), 0.0)])
async def test_a_bug_is_found_within_two_lines(lines: tuple[int, ...], found: float) -> None:
    case = case_of(review.Review(), "binary-search/bug")
    outcome = await answered(review.Review(), case, findings(*lines))
    assert outcome.scores["found"] == found
    assert bool(outcome.detail) is not bool(found)


async def test_a_finding_in_a_clean_file_is_a_false_alarm() -> None:
    case = case_of(review.Review(), "binary-search/clean")
    assert (await answered(review.Review(), case, findings(3))).scores["false alarm"] == 1.0
    assert (await answered(review.Review(), case, findings())).scores["false alarm"] == 0.0


def test_an_answer_that_is_no_json_finds_nothing_and_is_not_valid() -> None:
    scores, detail = review.judge(case_of(review.Review(), "binary-search/bug"), "looks good to me")
    assert (scores["found"], scores["valid"]) == (0.0, 0.0)
    assert "looks good" in detail


# Latency


async def test_latency_tells_first_token_speed_and_memory_for_each_kind_of_prompt() -> None:
    suite, engine = Latency(at_once=3), ScriptedEngine(says="one two three four")
    async with opened(engine, cache_bytes=0) as (gateway, _):
        cases = suite.cases(CaseSettings(cases=6))
        result = await measure(suite, GatewaySubject(gateway, "script@scripted", "script"), cases=cases)
    names = {score.name for score in result.scores}
    assert {"short: first token p50", "long: p95", "short x3: all tokens/s"} <= names
    assert len(engine.requests) == 2 + 2 + 3 * 2
    prompts = [request.messages[-1].content for request in engine.requests]
    assert len({prompt[:8] for prompt in prompts}) == len(prompts), "no two prompts may begin alike"


def test_memory_is_told_in_bytes_where_the_system_tells_it() -> None:
    found = held()
    assert found is None or 10 << 20 < found < 1 << 40
