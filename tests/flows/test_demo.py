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


def test_the_map_a_search_and_an_edit_with_its_undo_are_shown(harbour: Path):
    before = {path: path.read_bytes() for path in harbour.rglob("*.py")}
    done = fireside(*scripted("Yes."), "demo", cwd=harbour, timeout=120)
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    assert "\nharbour/berths.py  Berths: where ships lie\n" in shown, "the map"
    assert 'Searching "Height of the tide at an hour of the day' in shown
    assert re.search(r"^harbour/tides\.py:\d+-\d+  tide_height$", shown, re.MULTILINE)
    assert "no model was asked, nothing was sent" in shown
    added = re.search(r"^-def (\w+)\(.*\n\+def \1_again\(", shown, re.MULTILINE)
    assert added, "the edit as a diff"
    assert "refused, nothing was written" in shown
    assert "undone: every byte as it was" in shown
    assert {path: path.read_bytes() for path in harbour.rglob("*.py")} == before


def test_a_folder_without_any_code_is_no_reason_to_fail(tmp_path: Path):
    done = fireside(*scripted("Nothing."), "demo", cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "0 files" in done.stdout
    assert "Searching" not in done.stdout


def test_with_a_model_it_answers_and_is_measured(harbour: Path):
    done = fireside(*scripted("See harbour/berths.py."), "demo", cwd=harbour, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "See harbour/berths.py." in done.stdout
    assert "script on script" in done.stdout
    assert re.search(r"\d+ tokens at [\d,]+ tokens/s", done.stdout)
    assert "self-test" not in done.stdout


def test_question_and_search_are_the_readmes_own_examples(harbour: Path):
    (harbour / "README.md").write_text(
        '# Harbour\n\n    fireside ask "how high is the tide?"\n    fireside search "where ships lie"\n'
    )
    done = fireside(*scripted("High."), "demo", cwd=harbour, timeout=120)
    assert "how high is the tide?" in done.stdout
    assert 'Searching "where ships lie"' in done.stdout
