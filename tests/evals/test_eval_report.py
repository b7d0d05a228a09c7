"""Results as files: what is written can be read again, the page needs nothing from outside, and no text of a model becomes markup."""

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fireside.core.errors import Invalid
from fireside.core.values import replace
from fireside.evals.fill import THRESHOLDS
from fireside.evals.fim_line import FimLine
from fireside.evals.page import page
from fireside.evals.report import cell, markdown, read, write
from fireside.evals.statistics import share
from fireside.evals.suite import Outcome, Result, scored, scores_of_rivals

EVIL = "</code><script>alert(1)</script>"


@pytest.fixture
def result() -> Result:
    outcomes = tuple(_outcome(number) for number in range(40))
    return Result(
        suite="fim-line",
        subject="tiny <model>",
        model="tiny@embedded",
        scores=scored(FimLine(), outcomes),
        rivals=scores_of_rivals(FimLine(), outcomes),
        outcomes=outcomes,
        asked=40,
        seed=7,
        seconds=12.5,
        finished=1_800_000_000.0,
        card={"name": "tiny", "sha256": "ab" * 32},
        hardware={"cores": 2, "processor": "a processor"},
        versions={"fireside": "1", "python": "3"},
        config="c" * 32,
        material="d" * 32,
    )


def _outcome(number: int) -> Outcome:
    right = float(number % 3 == 0)
    scores = {
        "exact": right,
        "first word": 1.0,
        "saved": 5.0 * right,
        "typed": 10.0,
        "offered": 1.0,
        "ms": 10.0 + number,
    }
    scores |= {"confidence": number / 40, "right when offered": right, "parses": 1.0}
    for threshold in THRESHOLDS:
        scores[f"offered at {threshold}"] = float(number / 40 >= threshold)
        if number / 40 >= threshold:
            scores[f"right at {threshold}"] = right
    copied = {"exact": 0.0, "saved": 1.0, "typed": 10.0, "ms": 0.1}
    return Outcome(f"a.py:{number}:1", scores, 0.01, "" if right else f"got {EVIL}", rivals={"copy": copied})


def test_what_was_written_is_read_again(result: Result, tmp_path: Path) -> None:
    write([result], tmp_path / "out")
    assert read(tmp_path / "out") == (result,)
    assert read(tmp_path / "out" / "results.json") == (result,)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results.json", "results.md", "results.html"}


def test_a_file_that_holds_no_results_is_refused(tmp_path: Path) -> None:
    for number, data in enumerate((b"", b"{}", b'{"results": []}', b"\xff\xfe", b'{"results": [{"suite": 1}]}')):
        path = tmp_path / f"{number}.json"
        path.write_bytes(data)
        with pytest.raises(Invalid):
            read(path)
    with pytest.raises(Invalid, match="cannot be read"):
        read(tmp_path / "nothing.json")


def test_every_figure_of_the_table_stands_with_its_interval_and_n(result: Result) -> None:
    rows = [line for line in markdown([result]).splitlines() if line.startswith("| ") and "| score" not in line]
    assert len(rows) >= 8
    for row in rows:
        for figure in row.strip("|").split("|")[1:]:
            assert re.fullmatch(r" (-|[\d.,-]+( \S+)? \[[\d.,-]+, [\d.,-]+\] n=\d+) ", figure), figure
    assert cell(share("exact", result.outcomes)) == "35.0 % [22.1, 50.5] n=40"


def test_the_page_is_whole_by_itself(result: Result) -> None:
    text = page([result])
    tags = _Tags()
    tags.feed(text)
    assert "script" not in tags.names
    assert not tags.names & {"link", "img", "iframe", "object"}
    assert not re.search(r"https?:|url\(|@import", text)
    assert {"svg", "table", "details"} <= tags.names


def test_what_a_model_said_stays_text(result: Result) -> None:
    text = page([result])
    assert EVIL not in text
    assert "&lt;script&gt;" in text
    assert "tiny &lt;model&gt;" in text


def test_each_plot_is_sound_xml_and_draws_every_interval(result: Result) -> None:
    plots = re.findall(r"<svg.*?</svg>", page([result]), re.DOTALL)
    assert len(plots) >= 4
    drawn = 0
    for plot in plots:
        tree = ElementTree.fromstring(plot)
        drawn += sum(1 for one in tree.iter() if one.get("class") == "range")
    shown = [
        score for scores in (result.scores, result.rivals["copy"]) for score in scores if " at 0." not in score.name
    ]
    assert drawn == len(shown)


def test_the_gate_stands_on_the_page_of_a_completion_model(result: Result) -> None:
    assert "does not pass the gate" not in page([replace(result, scores=())])
    assert "beats plain copying" in page([result])


def test_a_result_without_a_model_and_without_rivals_is_drawn_too(result: Result) -> None:
    text = page([replace(result, suite="tools", scores=(share("right", [Outcome("a", {"right": 1.0})]),), rivals={})])
    assert "right" in text


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
