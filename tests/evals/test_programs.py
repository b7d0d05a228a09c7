"""Programming tasks: how they are read, how code is taken out of answers, and that our own tasks tell right from wrong."""

import ast
import doctest
import gzip
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from fireside.core.errors import Invalid
from fireside.evals import sandbox
from fireside.evals.programs import Task, answered, blocks_of, continued, judge, read_tasks
from fireside.evals.sandbox_limits import Limits
from support.mutants import mutants

TASK = Task(
    task_id="t/0",
    prompt='import math\n\ndef half(x: int) -> int:\n    """Half of x."""\n',
    entry_point="half",
    canonical_solution="    return x // 2\n",
    test="def check(candidate):\n    assert candidate(4) == 2\n    assert candidate(5) == 2\n",
)
ROW = json.dumps({name: getattr(TASK, name) for name in TASK.__struct_fields__})


@pytest.fixture
def walls() -> None:
    if sandbox.available().kind is None:
        pytest.skip(f"{sandbox.available().reason}; {sandbox.REMEDY}")


def test_a_file_is_read_packed_or_not(tmp_path):
    plain, packed = tmp_path / "t.jsonl", tmp_path / "t.jsonl.gz"
    plain.write_text(ROW + "\n\n")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_tasks(plain) == read_tasks(packed) == (TASK,)


def test_a_file_packed_by_zstd_is_read_where_zstandard_is_there(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / "t.jsonl.zst"
    path.write_bytes(zstandard.compress(ROW.encode()))
    assert read_tasks(path) == (TASK,)
    path.write_bytes(b"no")
    with pytest.raises(Invalid, match="no zstd file"):
        read_tasks(path)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2"),
        ("[]", "line 2"),
        ('{"task_id": "x"}', "line 2.*missing required field"),
        (ROW, "t/0 comes twice"),
        (ROW.replace("t/0", "t/1").replace('"half"', '"other"'), "does not define other"),
        (ROW.replace("t/0", "t/1").replace('"half"', '"a b"'), "is no name"),
        (ROW.replace("t/0", "t/1").replace("def check", "def chick"), "does not define check"),
        (ROW.replace("t/0", "\udc80"), "line 2"),
    ],
)
def test_a_row_that_does_not_fit_is_named_by_its_line(tmp_path, line, says):
    path = tmp_path / "t.jsonl"
    path.write_bytes(f"{ROW}\n{line}\n".encode("utf-8", "surrogateescape"))
    with pytest.raises(Invalid, match=says):
        read_tasks(path)


def test_a_file_that_is_not_there_is_empty_or_damaged_is_refused(tmp_path):
    empty, cut = tmp_path / "t.jsonl", tmp_path / "t.jsonl.gz"
    empty.write_text("\n")
    cut.write_bytes(gzip.compress(ROW.encode())[:-9])
    for path, says in (
        (tmp_path / "no.jsonl", "cannot be read"),
        (empty, "no task"),
        (cut, "cannot be read"),
        (tmp_path, "read"),
    ):
        with pytest.raises(Invalid, match=says):
            read_tasks(path)


BODY = "    return x // 2\n"
WHOLE = "def half(x):\n    return x // 2\n"


@pytest.mark.parametrize(
    "completion",
    [
        BODY,
        BODY + "\n\ndef other():\n    return 1\n",
        BODY + "\nprint(half(3))",
        "return x // 2",
        BODY + "\n# half of\n```",
    ],
)
def test_a_completion_goes_on_from_the_prompt_and_ends_with_the_function(walls, completion):
    code = continued(TASK, completion)
    assert code.startswith(TASK.prompt)
    assert judge(TASK, code).passed


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\n{WHOLE}```",
        f"Sure:\n\n```py\n{WHOLE}```\nIt halves.",
        f"```\n{TASK.prompt}{BODY}```",
        f"```python\n{BODY}```",
        "```python\nreturn x // 2\n```",
        f"Not so:\n```python\ndef half(x):\n    return x / 2\n```\nbut so:\n```python\n{WHOLE}```",
        f"Use it:\n```python\n{WHOLE}```\nlike this:\n```python\nhalf(3)\n```",
        WHOLE,
        f"Here it is.\n\n{WHOLE}",
        f"<think>maybe\n```python\ndef half(x): pass\n```\n</think>\n```python\n{WHOLE}```",
        "1. so:\n   ```python\n   def half(x):\n       return x // 2\n   ```\n",
        f"```python\n{WHOLE}",
        f"~~~python\n{WHOLE}~~~",
        f"```python\n{WHOLE}```".replace("\n", "\r\n"),
        "```python\ndef half(x):\n    return math.floor(x / 2)\n```",
    ],
)
def test_the_code_of_a_chat_answer_is_found_however_it_is_wrapped(walls, answer):
    verdict = judge(TASK, answered(TASK, answer))
    assert verdict.passed, verdict


@pytest.mark.parametrize(
    "answer", ["", "I cannot.", "```python\n```", "```python\ndef other():\n    return 2\n```", "\ud800"]
)
def test_an_answer_without_the_code_does_not_pass(walls, answer):
    verdict = judge(TASK, answered(TASK, answer))
    assert not verdict.passed
    assert verdict.why


def test_no_block_is_found_where_there_is_none():
    assert blocks_of("plain `code` text") == []
    assert blocks_of("```\na\n```\n```\nb\n```") == ["a\n", "b\n"]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import sys\nsys.exit(0)", "ended before its check"),
        ("import os\nos._exit(0)", "ended before its check"),
        ("def half(x): return x", "AssertionError"),
        ("def half(x):\n    while True: pass", "timeout"),
        ("half = None", "TypeError: 'NoneType' object is not callable"),
        ("def half(x): return [0] * 10**10", "memory"),
        ("def half(x:", "SyntaxError: '(' was never closed"),
    ],
)
def test_a_verdict_says_why_it_is_one(walls, code, why):
    verdict = judge(TASK, code, limits=Limits(seconds=2))
    assert (verdict.passed, verdict.why) == (False, why)


OURS = read_tasks()


def test_there_are_enough_tasks_of_our_own_of_many_kinds():
    assert len(OURS) >= 60
    assert len({task.topic for task in OURS}) >= 10
    assert len({task.entry_point for task in OURS}) == len(OURS)


def test_the_examples_in_our_tasks_are_true():
    shown = 0
    for task in OURS:
        names: dict[str, object] = {}
        exec(task.prompt + task.canonical_solution, names)
        thing = names[task.entry_point]
        for found in doctest.DocTestFinder(recurse=False).find(thing, task.entry_point, module=False, globs=names):
            shown += len(found.examples)
            assert doctest.DocTestRunner(verbose=False).run(found).failed == 0
    assert shown >= 50


@pytest.mark.slow
def test_every_solution_of_ours_passes_its_own_check(walls):
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = list(pool.map(lambda task: judge(task, task.prompt + task.canonical_solution), OURS))
    assert [
        (task.task_id, verdict.why) for task, verdict in zip(OURS, verdicts, strict=True) if not verdict.passed
    ] == []


@pytest.mark.slow
def test_an_empty_body_passes_no_check(walls):
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = list(pool.map(lambda task: judge(task, task.prompt + "    pass\n"), OURS))
    assert [task.task_id for task, verdict in zip(OURS, verdicts, strict=True) if verdict.passed] == []


@pytest.mark.slow
def test_small_mistakes_in_our_solutions_are_caught(walls, record_property):
    """At least one of each task's, and 90 % of all: some mistakes change nothing that could be seen."""
    planted = [(task, code) for task in OURS for code in _some(mutants(task.prompt + task.canonical_solution))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        limits = Limits(seconds=1)
        caught = list(pool.map(lambda pair: not judge(*pair, limits=limits).passed, planted))
    share = sum(caught) / len(caught)
    record_property("caught", f"{sum(caught)} of {len(caught)}")
    print(f"caught {sum(caught)} of {len(caught)}")
    assert {task.task_id for task in OURS} == {
        task.task_id for (task, _), one in zip(planted, caught, strict=True) if one
    }
    assert share >= 0.9


def _some(codes: list[str], most: int = 4) -> list[str]:
    """Spread over the whole program."""
    return codes[:: -(-len(codes) // most)] if len(codes) > most else codes


def test_our_tasks_are_sound_python():
    for task in OURS:
        ast.parse(task.prompt + task.canonical_solution + task.test)
        assert task.prompt.endswith('"""\n')
