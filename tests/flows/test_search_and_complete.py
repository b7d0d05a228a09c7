"""Finding lines and completing them, through the real command."""

import json
import subprocess
import sys
from pathlib import Path

from support.project import fireside


def test_search_finds_the_lines_as_json(harbour: Path):
    done = fireside("search", "height of the tide", "--json", cwd=harbour)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["query"] == "height of the tide"
    assert found["pending"] == 0
    best = found["results"][0]
    assert best["path"] == "harbour/tides.py"
    assert best["start_line"] <= 6 <= best["end_line"]
    assert {"score", "symbol", "text"} <= best.keys()


def test_a_changed_file_is_seen_by_the_next_search(harbour: Path):
    fireside("index", cwd=harbour)
    (harbour / "harbour/pilots.py").write_text(
        'def assign_pilot(ship):\n    """Give the ship a pilot."""\n    return ship\n'
    )
    done = fireside("search", "assign_pilot", "--json", cwd=harbour)
    assert json.loads(done.stdout)["results"][0]["path"] == "harbour/pilots.py"


def test_a_line_is_completed_without_any_model(harbour: Path):
    path = harbour / "harbour/berths.py"
    text = (
        path.read_text()
        + "\n\ndef longest(ship_length: float, berths: list[Berth]) -> Berth:\n    fitting = [berth for berth in"
    )
    path.write_text(text)
    line = text.count("\n") + 1
    done = fireside("complete", f"harbour/berths.py:{line}", "--json", cwd=harbour)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["source"] == "copying"
    assert answer["text"].strip().startswith("berths if berth.length >= ship_length]")


def test_a_place_that_is_not_in_the_file_names_its_length(harbour: Path):
    done = fireside("complete", "harbour/tides.py:999", cwd=harbour)
    assert done.returncode == 1
    assert "lines" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_place_without_a_line_is_a_usage_error(harbour: Path):
    assert fireside("complete", "harbour/tides.py", cwd=harbour).returncode == 2


def test_a_named_folder_is_searched_and_nothing_above_it(harbour: Path):
    done = fireside("search", "allocate_berth", "--root", str(harbour / "tests"), "--json", cwd=harbour)
    assert {hit["path"] for hit in json.loads(done.stdout)["results"]} == {"test_berths.py"}


def test_a_home_folder_is_not_taken_for_a_project(own_home: Path):
    done = fireside("search", "anything", cwd=own_home)
    assert done.returncode == 1
    assert "not a project" in done.stderr
    assert "--root" in done.stderr
    assert fireside("models", "list", cwd=own_home).returncode == 0


def test_a_root_that_is_a_file_is_refused_in_words(harbour: Path):
    done = fireside("--root", "README.md", "ask", "hello", cwd=harbour)
    assert done.returncode == 1
    assert done.stderr.startswith("error: README.md is not a folder")


def test_a_closed_standard_output_is_no_fault(harbour: Path):
    command = f"exec {sys.executable} -m fireside search tide >&-"
    done = subprocess.run(["sh", "-c", command], cwd=harbour, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
