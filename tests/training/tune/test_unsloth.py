"""Unsloth lives in an environment of its own: what it is told, how it answers, and when it is not used."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fireside.core.errors import Invalid
from fireside.training.tune import unsloth, unsloth_runner
from fireside.training.tune.jobs import JOB, Job, write
from fireside.training.tune.settings import SpreadSettings, TuneSettings

GPU = 1


def job(folder: Path, **changes: Any) -> Path:
    base, prepared = folder / "base", folder / "prepare"
    for place in (base, prepared):
        place.mkdir(exist_ok=True)
    (prepared / "meta.json").write_text('{"context": 3, "dtype": "uint16"}')
    told = {
        "base": str(base),
        "prepared": str(prepared),
        "folder": str(folder),
        "seed": 7,
        "settings": TuneSettings(mix=0.5),
    }
    return write(Job(**(told | changes)))


def rows(folder: Path, name: str, count: int, first: int) -> None:
    import numpy

    tokens = numpy.arange(first, first + count * 4, dtype="uint16")
    (folder / "prepare" / f"{name}.bin").write_bytes(tokens.tobytes())


def test_the_runner_imports_nothing_of_fireside():
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(unsloth.RUNNER), "--check"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {"unsloth": "", "cuda": False}


def test_the_runner_reads_the_job_that_fireside_writes(tmp_path: Path):
    told = unsloth_runner.read(job(tmp_path))
    assert told["settings"]["rank"] == 16
    assert told["settings"]["targets"] == ["all-linear"]


def test_the_runner_mixes_other_code_as_it_is_told(tmp_path: Path):
    told = unsloth_runner.read(job(tmp_path))
    rows(tmp_path, "train", 4, 0)
    rows(tmp_path, "other", 10, 100)
    found = unsloth_runner.rows(told)
    assert found[:4] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
    assert len(found) == 8
    assert all(row[0] >= 100 for row in found[4:])


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"base": "/nowhere/model"}, "trains on the folder of a model"), ({"prepared": "/nowhere"}, "no prepared rows")],
)
def test_the_runner_refuses_a_job_it_cannot_do_in_one_line(tmp_path: Path, changes: dict[str, str], says: str):
    done = subprocess.run(
        [sys.executable, str(unsloth.RUNNER), str(job(tmp_path, **changes))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert says in json.loads(done.stdout)["error"]["message"]


def test_the_runner_refuses_a_file_that_is_no_job(tmp_path: Path):
    (tmp_path / JOB).write_text('{"base": "x"}')
    with pytest.raises(unsloth_runner.Refused, match="lacks prepared, folder, seed, settings"):
        unsloth_runner.read(tmp_path / JOB)
    (tmp_path / JOB).write_text("{")
    with pytest.raises(unsloth_runner.Refused, match="cannot be read"):
        unsloth_runner.read(tmp_path / JOB)


def test_without_a_gpu_an_interpreter_or_unsloth_the_plan_says_why_not(tmp_path: Path):
    refusals = [
        unsloth.refusal(TuneSettings(backend="unsloth"), 0),
        unsloth.refusal(TuneSettings(backend="unsloth"), GPU),
        unsloth.refusal(TuneSettings(backend="unsloth", python=str(tmp_path / "none")), GPU),
        unsloth.refusal(TuneSettings(backend="unsloth", python=sys.executable), GPU),
        unsloth.refusal(TuneSettings(backend="unsloth", spread=SpreadSettings(launch="ray")), GPU),
    ]
    says = ("needs an NVIDIA GPU", "is not set", "cannot run Unsloth", "not installed there", "one process")
    for refusal, words in zip(refusals, says, strict=True):
        assert isinstance(refusal, Invalid)
        assert words in refusal.message
        assert refusal.remedy
