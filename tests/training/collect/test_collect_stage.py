"""The stage as a whole: resumed after kill -9, the same with any number of workers, without copies."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fireside.core.errors import Invalid
from fireside.training.collect import origins
from fireside.training.collect.parquet import export_parquet
from fireside.training.collect.settings import CollectSettings
from fireside.training.collect.stage import Collect
from fireside.training.stages import Desk, Hardware, perform

pytestmark = pytest.mark.train
HARDWARE = Hardware(cores=2, memory=8 << 30, disk=8 << 30)
KILLED = """
import os, signal, sys
from pathlib import Path
from fireside.training.collect import origins
from fireside.training.collect.settings import CollectSettings
from fireside.training.collect.stage import Collect
from fireside.training.stages import Desk, perform

origins.PART_BYTES = 1_000

def report(step):
    if step.done >= 3:
        os.kill(os.getpid(), signal.SIGKILL)

perform(Collect(CollectSettings(repositories=(sys.argv[1],), workers=1)), Desk(Path(sys.argv[2]), "collect", report=report))
"""


@pytest.fixture
def in_small_parts(monkeypatch):
    monkeypatch.setattr(origins, "PART_BYTES", 1_000)


@pytest.fixture
def wide(repository):
    """The repository with twelve more modules, each of its own words."""
    for number in range(12):
        words = [f"{stem}_{number * 7 + place}" for place, stem in enumerate(("reef", "mast", "keel", "oar", "hull"))]
        lines = [f"def {word}(value):\n    if value > {number}:\n        return value - {number}\n" for word in words]
        (repository / f"src/part_{number}.py").write_text(
            "\n\n".join(f"{line}    return {word!r}\n" for line, word in zip(lines, words, strict=True))
        )
    return repository


def shards(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((work / "collect/shards").iterdir())}


def test_after_kill_9_the_rest_is_done_and_the_shards_are_the_same_bytes(wide, tmp_path, collected, in_small_parts):
    collected("whole", repositories=(str(wide),))
    work = tmp_path / "killed"
    died = subprocess.run([sys.executable, "-c", KILLED, str(wide), str(work)], check=False)
    assert died.returncode == -signal.SIGKILL
    done = {path.name: path.stat().st_mtime_ns for path in (work / "collect/.parts").iterdir()}
    assert len(done) == 3
    steps = []
    desk = Desk(work, "collect", report=steps.append)
    perform(Collect(CollectSettings(repositories=(str(wide),), workers=1)), desk)
    assert steps[0].done == 4  # the first three were not made again
    assert shards(work) == shards(tmp_path / "whole")
    assert not (work / "collect/.parts").exists()


def test_ctrl_c_leaves_what_is_done_for_the_next_run(wide, tmp_path, in_small_parts):
    def interrupt(step):
        if step.done == 2:
            raise KeyboardInterrupt

    stage = Collect(CollectSettings(repositories=(str(wide),), workers=2))
    with pytest.raises(KeyboardInterrupt):
        perform(stage, Desk(tmp_path / "work", "collect", report=interrupt))
    steps = []
    _, fresh = perform(stage, Desk(tmp_path / "work", "collect", report=steps.append))
    assert fresh
    assert steps[0].done == 3
    assert not perform(stage, Desk(tmp_path / "work", "collect"))[1]


def test_the_rows_are_the_same_with_one_worker_and_with_three(wide, tmp_path, collected, in_small_parts):
    collected("one", repositories=(str(wide),), workers=1)
    collected("three", repositories=(str(wide),), workers=3)
    assert shards(tmp_path / "one") == shards(tmp_path / "three")


def test_a_change_in_the_repository_is_noticed(wide, tmp_path):
    settings = CollectSettings(repositories=(str(wide),), workers=1)
    perform(Collect(settings), Desk(tmp_path / "work", "collect"))
    (wide / "src/part_3.py").write_text("def changed(value):\n    return value * 2\n" * 5)
    assert perform(Collect(settings), Desk(tmp_path / "work", "collect"))[1]


def test_copies_and_near_copies_are_left_out_and_the_first_stays(wide, collected):
    text = (wide / "src/boats.py").read_text()
    (wide / "src/boats_again.py").write_text(text.replace("\n\n", "\n\n\n"))
    (wide / "src/boats_too.py").write_text(text.replace("Counts how often", "Counts exactly how often"))
    manifest, rows = collected(repositories=(str(wide),), kinds=("lm",))
    assert [row.path for row in rows if "boats" in row.path] == ["src/boats.py"]
    assert manifest.facts["left_out"]["an exact copy"] == 1
    assert manifest.facts["left_out"]["nearly a copy"] == 1


def test_near_copies_stay_when_only_exact_ones_are_asked_to_go(wide, collected):
    text = (wide / "src/boats.py").read_text()
    (wide / "src/boats_too.py").write_text(text.replace("Counts how often", "Counts exactly how often"))
    _, rows = collected(repositories=(str(wide),), kinds=("lm",), near_duplicates=0.0)
    assert "src/boats_too.py" in {row.path for row in rows}


def test_nothing_near_the_evaluation_set_is_taken_not_even_from_old_commits(wide, tmp_path, collected):
    held = tmp_path / "held"
    held.mkdir()
    (held / "task.py").write_text((wide / "src/boats.py").read_text().replace("cents", "dimes"))
    manifest, rows = collected(repositories=(str(wide),), against=(str(held),))
    assert "src/boats.py" not in {row.path for row in rows}
    assert manifest.facts["left_out"]["nearly in the evaluation set"] >= 2


def test_shards_are_bounded_and_hold_the_rows_in_order(wide, tmp_path, collected):
    manifest, rows = collected(repositories=(str(wide),), shard_bytes=10_000)
    assert manifest.facts["shards"] == len(shards(tmp_path / "work")) > 1
    assert [row.path for row in rows if row.kind == "lm"] == sorted(row.path for row in rows if row.kind == "lm")


def test_the_rows_can_be_had_as_parquet(wide, tmp_path, collected):
    from pyarrow import parquet

    _, rows = collected(repositories=(str(wide),), parquet=True)
    table = parquet.read_table(tmp_path / "work/collect/rows.parquet").to_pylist()
    assert [(one["kind"], one["text"], one["scrubbed"]) for one in table] == [
        (row.kind, row.text, list(row.scrubbed)) for row in rows
    ]


def test_a_damaged_shard_leaves_no_half_of_a_parquet_file(wide, tmp_path, collected):
    collected(repositories=(str(wide),))
    folder = tmp_path / "work/collect/shards"
    place = next(folder.iterdir())
    place.write_bytes(place.read_bytes()[:-20])
    with pytest.raises(Invalid, match="is damaged"):
        export_parquet(folder, tmp_path / "rows.parquet")
    assert not list(tmp_path.glob("rows.parquet*"))


def test_the_plan_tells_what_would_be_read_and_writes_nothing(wide, tmp_path):
    stage = Collect(CollectSettings(repositories=(str(wide),)))
    plan = stage.plan(Desk(tmp_path / "work", "collect"), HARDWARE)
    assert not plan.refusals
    assert plan.notes[0].startswith("repository ships: 15 files")
    assert min(plan.disk, plan.memory, plan.seconds) > 0
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    "settings", [{}, {"repositories": ("nowhere",)}, {"packages": ("no-such-package",)}, {"against": ("nowhere",)}]
)
def test_the_plan_refuses_what_cannot_be_collected(settings, tmp_path):
    (refusal,) = Collect(CollectSettings(**settings)).plan(Desk(tmp_path, "collect"), HARDWARE).refusals
    assert isinstance(refusal, Invalid)
    assert refusal.remedy


def test_where_nothing_is_left_it_says_why(wide, collected):
    with pytest.raises(Invalid, match="nothing is left to train on: another language"):
        collected(repositories=(str(wide),), languages=("rust",), kinds=("lm",))


def test_smoke_reads_a_small_part_and_fireside_itself_where_nothing_is_asked_for(tmp_path, collected):
    manifest, rows = collected(smoke=True)
    assert {row.repo for row in rows} == {"fireside"}
    assert {row.kind for row in rows} == {"lm", "fim", "doc"}
    assert 100_000 < manifest.facts["bytes"] <= 400_000


def test_preferred_are_spans_in_lines_that_recent_commits_brought(repository, collected, commit):
    old = "\n".join(f"def old_{number}(value):\n    return value + {number}\n" for number in range(60))
    (repository / "src/long.py").write_text(old)
    commit(repository, "Add the old part of it")
    for number in range(3):
        commit_text = f"def brand_new_{number}(value):\n    return value * {number} + value\n"
        (repository / "src/long.py").write_text((repository / "src/long.py").read_text() + commit_text)
        commit(repository, f"Add new part {number}")

    def share(work, recent):
        _, rows = collected(work, repositories=(str(repository),), kinds=("fim",), recent=recent, span_every=100)
        found = [row for row in rows if row.path == "src/long.py"]
        return sum("* " in row.text or "brand_new" in row.text for row in found) / len(found)

    assert share("new", 3) > share("any", 0)
