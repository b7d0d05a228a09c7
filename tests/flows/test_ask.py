"""From a question to an answer, through the real command."""

import json
import re
from pathlib import Path

from support.project import fireside, scripted


def test_without_any_model_the_answer_is_the_code_itself_and_says_so(harbour: Path):
    done = fireside("ask", "how is a berth chosen for a ship?", cwd=harbour)
    assert done.returncode == 0, done.stderr
    assert re.search(r"harbour/berths\.py:\d+-\d+", done.stdout)
    assert "Choose the shortest free berth" in done.stdout
    assert "No model wrote this" in done.stdout
    assert "fireside models pull" in done.stdout


def test_a_model_is_shown_the_lines_and_its_answer_names_its_sources(harbour: Path):
    done = fireside(*scripted("See harbour/berths.py."), "ask", "how is a berth chosen?", "--json", cwd=harbour)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["answer"] == "See harbour/berths.py."
    assert answer["generated"] is True
    assert answer["engine"] == "script"
    assert answer["sources"][0]["path"] == "harbour/berths.py"


def test_what_is_piped_in_is_handed_over_with_the_question(harbour: Path):
    done = fireside(*scripted("ok"), "ask", "what changed?", cwd=harbour, stdin="-old line\n+new line\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ok\n"
    assert "script on script" in done.stderr


def test_a_question_may_come_through_the_pipe_alone(harbour: Path):
    done = fireside(*scripted("heard"), "ask", cwd=harbour, stdin="where do ships lie?")
    assert done.stdout == "heard\n"


def test_no_question_at_all_is_a_usage_error(harbour: Path):
    done = fireside("ask", cwd=harbour)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "fireside ask" in done.stderr


def test_binary_input_is_refused_with_one_line(harbour: Path):
    done = fireside("ask", "what is this?", cwd=harbour, stdin="PNG\0\0\0")
    assert done.returncode == 1
    assert "not text" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_name_with_a_typo_offers_the_closest(harbour: Path):
    done = fireside(*scripted("x")[:4], "--model", "scrpt@script", "ask", "hello", cwd=harbour)
    assert done.returncode == 1
    assert "script" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_setting_names_the_closest_and_changes_nothing(harbour: Path):
    done = fireside("--set", "gatway.cloud=true", "ask", "hello", cwd=harbour)
    assert done.returncode == 1
    assert "gateway" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cloned_project_cannot_open_the_network(harbour: Path):
    (harbour / ".fireside.toml").write_text('[privacy]\nallow_hosts = ["evil.example"]\n')
    done = fireside("ask", "hello", cwd=harbour)
    assert done.returncode == 1
    assert ".fireside.toml:2" in done.stderr


def test_an_outside_host_is_refused_before_a_byte_is_sent(harbour: Path):
    words = (
        "--set",
        "engines.far.kind=openai",
        "--set",
        "engines.far.base_url=http://203.0.113.7:8000",
        "--model",
        "m@far",
    )
    done = fireside(*words, "ask", "hello", cwd=harbour)
    assert done.returncode == 1
    assert "privacy.allow_hosts" in done.stderr
