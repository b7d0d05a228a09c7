"""A tuning that was ended goes on as if it had not been."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from fireside.core.errors import OutOfResources
from fireside.training.stages import Desk, Step, perform
from fireside.training.tune import lora
from fireside.training.tune.settings import TuneSettings
from fireside.training.tune.stage import Tune

pytestmark = pytest.mark.train
STEPS = 12
SHAPE: dict[str, Any] = {"rate": 5e-3, "rank": 8, "forgetting": 0.0}


def stage(base: Path) -> Tune:
    told = {"base": str(base), "steps": STEPS, "epochs": 0, "bf16": "never", "checkpoint_minutes": 1e-6} | SHAPE
    return Tune(msgspec.convert(told, TuneSettings))


def weights(folder: Path) -> bytes:
    return (folder / "tune" / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.mark.filterwarnings("ignore")
def test_a_run_that_was_stopped_or_killed_goes_on_to_the_very_same_adapter(
    tuned_here: Callable[..., object], base: Path, work: Path
):
    tuned_here(steps=STEPS, **SHAPE)
    straight = weights(work)
    shutil.rmtree(work / "tune")
    for kind, at in ((signal.SIGINT, 5), (signal.SIGKILL, 9)):
        with pytest.raises((KeyboardInterrupt, OutOfResources)):
            perform(stage(base), Desk(work, "tune", report=Ending(kind, at)))
        assert not (work / "tune.json").exists()
    seen: list[float] = []
    again = Desk(work, "tune", report=lambda step: seen.append(step.done) if step.total else None)
    perform(stage(base), again)
    assert min(seen) > 5, "it went on, and did not begin anew"
    assert weights(work) == straight
    log = [orjson.loads(line) for line in (work / "tune" / "log.jsonl").read_bytes().splitlines()]
    assert [line["step"] for line in log if "step" in line] == list(range(1, STEPS + 1))


class Ending:
    """Ends the training's process at a step, as a terminal or the system would."""

    def __init__(self, kind: signal.Signals, at: int) -> None:
        self._kind, self._at = kind, at

    def __call__(self, step: Step) -> None:
        if step.total and step.done == self._at:
            for child in children():
                os.kill(child, self._kind)


def children() -> list[int]:
    """The processes that train for this one."""
    told = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    )
    return [int(line.split()[0]) for line in told.stdout.splitlines() if "training.tune.run" in line]


def test_a_process_whose_reader_is_gone_ends():
    script = (
        "import os, subprocess, sys\n"
        "from fireside.training.tune import jobs\n"
        "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)\n"
        "jobs.say(done=1)\n"
        "sys.exit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 1


def test_half_a_checkpoint_is_none(tmp_path: Path):
    for number, state in ((2, b'{"global_step": 2}'), (4, b'{"global_step": 4}'), (6, b'{"global_st')):
        place = tmp_path / f"checkpoint-{number}"
        place.mkdir()
        (place / lora.STATE).write_bytes(state)
    (tmp_path / "checkpoint-8").mkdir()
    assert lora.newest_checkpoint(tmp_path) == tmp_path / "checkpoint-4"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-4"]
    assert lora.newest_checkpoint(tmp_path / "none") is None
