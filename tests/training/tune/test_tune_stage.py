"""An adapter is trained in a process of its own: what it leaves, what it tells, how it refuses."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from fireside.core.errors import Invalid, ModelNotFound, OutOfResources
from fireside.training import hardware
from fireside.training.stages import Desk, Hardware, Manifest, Step, perform
from fireside.training.tune.settings import TuneSettings
from fireside.training.tune.stage import Tune

pytestmark = pytest.mark.train
STEPS = 24


def settings(base: Path | str, **changes: Any) -> TuneSettings:
    told = {"base": str(base), "steps": STEPS, "epochs": 0, "rate": 5e-3, "rank": 8, "bf16": "never", "forgetting": 0.0}
    return msgspec.convert(told | changes, TuneSettings)


def tuned(base: Path | str, work: Path, *, smoke: bool = False, **changes: Any) -> Manifest:
    return perform(Tune(settings(base, **changes)), Desk(work, "tune", smoke=smoke))[0]


def test_an_adapter_learns_the_target_and_both_columns_are_told_before_and_after(base: Path, work: Path):
    heard: list[Step] = []
    facts = perform(Tune(settings(base)), Desk(work, "tune", report=heard.append))[0].facts
    assert facts["after"]["target"]["bits"] < 0.9 * facts["before"]["target"]["bits"]
    assert facts["target_change"] < -0.1
    for column in ("target", "choosing", "other"):
        assert facts["before"][column]["bytes"] == facts["after"][column]["bytes"] > 0
    assert facts["other_change"] == pytest.approx(
        facts["after"]["other"]["bits"] / facts["before"]["other"]["bits"] - 1, abs=1e-4
    )
    assert 0.15 < facts["mix"] < 0.25
    assert [step.done for step in heard if step.total] == list(range(1, STEPS + 1))
    log = [orjson.loads(line) for line in (work / "tune" / "log.jsonl").read_bytes().splitlines()]
    assert [line["measured"] for line in log if "measured" in line] == ["before", "after"]
    assert sum("loss" in line for line in log) == STEPS


def test_what_is_left_is_the_adapter_its_base_and_the_log(base: Path, work: Path):
    manifest = tuned(base, work, smoke=True)
    assert {name.partition("/")[0] for name in manifest.files} == {"adapter", "base.json", "log.jsonl"}
    assert manifest.facts["steps"] == 4, "the smallest run that does everything"
    told = orjson.loads((work / "tune" / "base.json").read_bytes())
    assert (told["path"], told["kind"], told["architecture"]) == (str(base), "hf", "LlamaForCausalLM")
    config = orjson.loads((work / "tune" / "adapter" / "adapter_config.json").read_bytes())
    assert (config["r"], config["base_model_name_or_path"]) == (8, str(base))
    assert not [path for path in (work / "tune").rglob("*") if path.suffix in (".bin", ".part")]


def test_the_base_may_be_what_the_same_run_pretrained(base: Path, work: Path):
    shutil.copytree(base, work / "pretrain" / "model")
    manifest = Manifest(
        stage="pretrain", fingerprint="made", facts={}, files={}, seed=7, seconds=0, finished=0, versions={}
    )
    (work / "pretrain.json").write_bytes(msgspec.json.encode(manifest))
    stage = Tune(settings("", steps=2))
    assert perform(stage, Desk(work, "tune"))[0].facts["base"]["path"] == str(work / "pretrain" / "model")


def test_a_plan_tells_what_it_takes_and_refuses_what_cannot_fit(base: Path, work: Path):
    desk = Desk(work, "tune")
    plan = Tune(settings(base)).plan(desk, hardware.look(work))
    assert not plan.refusals
    assert plan.memory > 500 << 20
    assert "LoRA, rank 8" in plan.notes[0]
    small = Hardware(cores=2, memory=200 << 20, disk=1 << 30)
    (refusal,) = Tune(settings(base)).plan(desk, small).refusals
    assert isinstance(refusal, OutOfResources)
    assert "tune.batch = 1" in refusal.remedy
    with pytest.raises(OutOfResources):
        tuned(base, work, max_memory=100 << 20)
    assert not (work / "tune" / "adapter").exists()


def test_rows_longer_than_the_base_reads_are_refused(base: Path, work: Path, tmp_path: Path):
    short = Path(shutil.copytree(base, tmp_path / "short"))
    config = orjson.loads((short / "config.json").read_bytes()) | {"max_position_embeddings": 32}
    (short / "config.json").write_bytes(orjson.dumps(config))
    (refusal,) = Tune(settings(short)).plan(Desk(work, "tune"), hardware.look(work)).refusals
    assert "64 tokens long" in refusal.message
    assert refusal.remedy == "prepare.context = 32"


def test_a_base_that_is_not_there_or_is_none_is_refused_before_anything_begins(work: Path, tmp_path: Path):
    desk, here = Desk(work, "tune"), hardware.look(work)
    (missing,) = Tune(settings(tmp_path / "nowhere")).plan(desk, here).refusals
    assert isinstance(missing, ModelNotFound)
    empty = tmp_path / "empty"
    empty.mkdir()
    (none,) = Tune(settings(empty)).plan(desk, here).refusals
    assert "config.json" in none.message
    with pytest.raises(Invalid, match="no base is named"):
        tuned("", work)
