"""`fireside demo`, which is what `make run` ends with."""

import re
from pathlib import Path

from support.project import fireside, scripted


def test_without_a_model_every_part_is_shown_at_work(harbour: Path):
    done = fireside("demo", cwd=harbour, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "4 files" in done.stdout
    assert re.search(r"harbour/\w+\.py:\d+-\d+", done.stdout)
    assert "No model wrote this" in done.stdout
    assert re.search(r"64 tokens at [\d,]+ tokens/s", done.stdout)
    assert "a self-test: random weights say nothing" in done.stdout
    assert "fireside doctor" in done.stdout


def test_with_a_model_it_answers_and_is_measured(harbour: Path):
    done = fireside(*scripted("See harbour/berths.py."), "demo", cwd=harbour, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "See harbour/berths.py." in done.stdout
    assert "script on script" in done.stdout
    assert re.search(r"\d+ tokens at [\d,]+ tokens/s", done.stdout)
    assert "self-test" not in done.stdout


def test_the_question_is_the_readmes_own_example(harbour: Path):
    (harbour / "README.md").write_text('# Harbour\n\n    fireside ask "how high is the tide?"\n')
    done = fireside(*scripted("High."), "demo", cwd=harbour, timeout=120)
    assert "how high is the tide?" in done.stdout
