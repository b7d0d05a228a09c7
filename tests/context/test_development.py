"""The three forms a development set may have, and what is wrong with one that cannot be used."""

import json
from pathlib import Path

import pytest

from fireside.context.development import FILES, LABELLED, SPANS, evaluate, subjects
from fireside.core.errors import Invalid
from fireside.index.evaluate import ALL, Target
from support.project import write_project


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """A set of one repository in each kind, with its checkouts beside it."""
    folder = tmp_path / "set"
    (folder / "annotations").mkdir(parents=True)
    for name in ("port", "quay"):
        write_project(folder / "checkouts" / name)
    (folder / "repos.json").write_text(
        json.dumps(
            [
                {"set": "files", "name": "port", "root": "harbour", "language": "python", "revision": "1"},
                {"set": "spans", "name": "quay", "root": "harbour", "language": "python"},
            ]
        )
    )
    (folder / "annotations" / "port.json").write_text(
        json.dumps(
            [
                {"query": "how high is the tide", "relevant": ["harbour/tides.py"], "secondary": [], "category": "x"},
                {
                    "query": "free berth for a ship",
                    "relevant": [{"path": "harbour/berths.py", "start_line": 12, "end_line": 20}],
                    "secondary": ["harbour/tides.py"],
                },
            ]
        )
    )
    return folder


def test_an_annotated_set_is_measured_kind_by_kind(annotated):
    files, spans = evaluate(subjects(annotated))
    assert (files.kind, spans.kind) == (FILES, SPANS)
    assert [(one.name, one.questions, one.missing) for one in files.repositories] == [("port", 2, ())]
    whole = files.rows[0]
    assert (whole.name, whole.questions, whole.hit) == (ALL, 2, 1.0)
    assert spans.repositories[0].questions == 1
    assert spans.languages["python"].span_ndcg == 1.0


def test_paths_are_those_of_the_folder_that_is_searched(annotated):
    (library,) = subjects(annotated, only="port")
    (whole,) = subjects(annotated, only="port", whole=True)
    assert library.root == annotated / "checkouts/port/harbour"
    assert whole.root == annotated / "checkouts/port"
    assert library.questions is not None
    assert whole.questions is not None
    assert library.questions[1].targets == (Target("berths.py", 12, 20), Target("tides.py", main=False))
    assert whole.questions[0].targets == (Target("harbour/tides.py"),)
    assert evaluate([whole])[0].repositories[0].missing == ()


def test_checkouts_may_lie_elsewhere_and_a_set_may_be_chosen(annotated, tmp_path):
    (annotated / "checkouts").rename(tmp_path / "code")
    with pytest.raises(Invalid, match="2 of 2 checkouts are not there"):
        subjects(annotated)
    assert [one.name for one in subjects(annotated, checkouts=tmp_path / "code", which=SPANS)] == ["quay"]


def test_questions_of_ones_own_are_asked_of_the_folder_they_lie_in(tmp_path):
    root = write_project(tmp_path / "port")
    lines = [
        {
            "query": "height of the tide at an hour",
            "targets": [{"path": "harbour/tides.py", "start_line": 6, "end_line": 8}],
        },
        {"query": "free berth", "targets": [{"path": "harbour/berths.py"}, {"path": "harbour/gone.py"}]},
    ]
    (root / "queries.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    (table,) = evaluate(subjects(root))
    assert table.kind == LABELLED
    assert table.repositories[0].missing == ("harbour/gone.py",)
    assert table.rows[0].questions == 2
    assert table.rows[0].span_ndcg == 1.0
    assert set(table.languages) == {"python"}


def test_any_project_is_asked_what_its_documentation_says(tmp_path):
    (table,) = evaluate(subjects(write_project(tmp_path / "port")))
    assert (table.kind, table.repositories[0].questions) == (SPANS, 1)
    assert table.rows[0].hit == 1.0


def test_nothing_is_written_into_what_is_measured(annotated):
    before = {path: path.stat().st_mtime_ns for path in annotated.rglob("*")}
    evaluate(subjects(annotated))
    assert {path: path.stat().st_mtime_ns for path in annotated.rglob("*")} == before


def test_a_project_without_documentation_says_that_there_is_nothing_to_ask(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(Invalid, match="nothing to ask"):
        evaluate(subjects(tmp_path))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"query": "x"}', "targets"),
        ('{"query": "x", "targets": []}', "a target"),
        ('{"query": " ", "targets": [{"path": "a.py"}]}', "a query"),
        ('{"query": "x", "targets": [{"path": 1}]}', "path"),
        ("not json", "queries.jsonl:2"),
        ('{"query": "\\ud800', "queries.jsonl:2"),
    ],
)
def test_a_question_that_makes_no_sense_is_told_with_its_line(tmp_path, line, says):
    (tmp_path / "queries.jsonl").write_text(f'{{"query": "a", "targets": [{{"path": "a.py"}}]}}\n{line}\n')
    with pytest.raises(Invalid, match=says):
        subjects(tmp_path)


def test_an_empty_file_of_questions_is_told(tmp_path):
    (tmp_path / "queries.jsonl").write_text("\n\n")
    with pytest.raises(Invalid, match="no question"):
        subjects(tmp_path)


def test_a_set_that_cannot_be_read_is_told(annotated):
    with pytest.raises(Invalid, match="no such set or repository"):
        subjects(annotated, only="pier")
    (annotated / "annotations" / "port.json").unlink()
    with pytest.raises(Invalid, match=r"port\.json cannot be read"):
        subjects(annotated)
    (annotated / "repos.json").write_text('[{"set": "lines", "name": "port"}]')
    with pytest.raises(Invalid, match="'lines'"):
        subjects(annotated)
    (annotated / "repos.json").write_text("{}")
    with pytest.raises(Invalid, match=r"repos\.json"):
        subjects(annotated)
