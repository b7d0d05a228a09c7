"""A run as a whole: it goes on where it was killed as if nothing had happened, alone or as several processes.

What it leaves is read elsewhere.
"""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fireside.core.errors import Invalid, ToolFailed
from fireside.core.values import replace
from fireside.training.prepare.settings import PrepareSettings
from fireside.training.prepare.stage import Prepare
from fireside.training.pretrain import checkpoint, launch
from fireside.training.pretrain.batches import Rows
from fireside.training.pretrain.loop import Clock, Job, train
from fireside.training.pretrain.settings import PretrainSettings
from fireside.training.pretrain.stage import Pretrain
from fireside.training.stages import Desk, Hardware, perform
from support.corpora import collected, standard_library

pytestmark = pytest.mark.train
BATCH, CONTEXT, STEPS = 4, 64, 12
TINY = PretrainSettings(
    depth=0, width=64, layers=2, heads=4, kv_heads=2, ff=128, minutes=0, tokens=STEPS * BATCH * CONTEXT, batch=BATCH,
    rate=0.01, compile="no", checkpoint_seconds=0,
)  # fmt: skip
HERE = Hardware(cores=2, memory=8 << 30, disk=8 << 30, bf16=True)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads that wait for each other on a busy machine are slower than one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = collected(tmp_path_factory.mktemp("run"), standard_library(12))
    settings = PrepareSettings(vocabulary=512, context=CONTEXT, held_out=0.01, other_bytes=40_000)
    perform(Prepare(settings), Desk(place, "prepare"))
    return place


def job(work: Path, folder: Path, settings: PretrainSettings = TINY, **more: object) -> Job:
    folder.mkdir(exist_ok=True)
    return Job(settings=settings, prepared=str(work / "prepare"), folder=str(folder), **more)  # type: ignore[arg-type]


def quietly(done: float, total: float, unit: str, note: str) -> None:
    pass


def weights(folder: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(folder / "model" / "model.safetensors")


def curve(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_bytes().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def same(left: dict, right: dict) -> bool:
    import torch

    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def straight(work: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A run from beginning to end."""
    folder = tmp_path_factory.mktemp("straight")
    return folder, train(job(work, folder), quietly)


def test_a_run_learns_and_says_how_well(straight: tuple[Path, dict]):
    folder, facts = straight
    assert facts["steps"] == STEPS
    assert facts["after"]["held_bits_per_byte"] < facts["before"]["held_bits_per_byte"]
    assert facts["after"]["held_fim_bits_per_byte"] < facts["before"]["held_fim_bits_per_byte"]
    assert {"other_bits_per_byte", "other_bytes", "held_bytes", "held_fim_bytes"} <= facts["after"].keys()
    assert len(curve(folder)) == STEPS
    assert not (folder / checkpoint.NAME).exists()


def test_bits_per_byte_are_what_transformers_finds_on_the_same_text(work: Path, straight: tuple[Path, dict]):
    import torch
    from transformers import AutoModelForCausalLM

    from fireside.training.prepare import packed

    folder, facts = straight
    model = AutoModelForCausalLM.from_pretrained(str(folder / "model"), dtype=torch.float32).eval()
    told = packed.meta(work / "prepare")
    rows = torch.from_numpy(packed.open_split(work / "prepare", "held").astype("int64"))
    nats = 0.0
    with torch.no_grad():
        for row in rows:
            targets = row[1:].clone()
            targets[torch.isin(targets, torch.tensor(told.special))] = -100
            found = model(row[None, :-1]).logits[0]
            nats += float(torch.nn.functional.cross_entropy(found, targets, ignore_index=-100, reduction="sum"))
    wanted = nats / math.log(2) / told.splits["held"].bytes
    assert facts["after"]["held_bytes"] == told.splits["held"].bytes
    assert facts["after"]["held_bits_per_byte"] == pytest.approx(wanted, rel=0.01)


def test_the_folder_is_a_model_that_transformers_writes_with(straight: tuple[Path, dict]):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = straight[0] / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(str(folder)), AutoModelForCausalLM.from_pretrained(str(folder))
    asked = tokenizer("def main(", return_tensors="pt")
    assert model.generate(**asked, max_new_tokens=4, do_sample=False).shape[1] > asked["input_ids"].shape[1]
    assert json.loads((folder / "config.json").read_bytes())["fireside_fim_order"] == "joined"


def killed(given: Job, number: int, at: int) -> subprocess.CompletedProcess[str]:
    """Train in a process that sends itself a signal when it has reached a step."""
    program = (
        "import os, sys, msgspec, torch; from pathlib import Path; torch.set_num_threads(1)\n"
        "from fireside.training.pretrain.loop import Job, train\n"
        f"def report(done, total, unit, note):\n    if note.startswith('step {at},'): os.kill(os.getpid(), {number})\n"
        "try: train(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job), report)\n"
        "except KeyboardInterrupt: sys.exit(130)\n"
    )
    place = Path(given.folder).with_suffix(".job")
    place.write_bytes(msgspec.json.encode(given))
    return subprocess.run([sys.executable, "-c", program, str(place)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_a_run_that_was_stopped_goes_on_bit_by_bit(
    work: Path, straight: tuple[Path, dict], tmp_path: Path, number: int, code: int
):
    folder = tmp_path / "stopped"
    ended = killed(job(work, folder), number, 7)
    assert ended.returncode == code, ended.stderr
    assert (folder / checkpoint.NAME).is_file()
    assert not (folder / "model").exists()
    facts = train(job(work, folder, resumed=True), quietly)
    assert same(weights(folder), weights(straight[0]))
    assert curve(folder) == curve(straight[0])
    assert facts["before"] == straight[1]["before"]


def test_two_processes_learn_what_one_learns(work: Path, straight: tuple[Path, dict], tmp_path: Path):
    facts = launch.spread(job(work, tmp_path / "two", replace(TINY, processes=2)), 2, quietly)
    assert facts["processes"] == 2
    assert curve(tmp_path / "two") == pytest.approx(curve(straight[0]), rel=0.02)
    assert facts["after"]["held_bytes"] == straight[1]["after"]["held_bytes"]


def test_two_processes_that_were_stopped_go_on_too(work: Path, straight: tuple[Path, dict], tmp_path: Path):
    def stop(done: float, total: float, unit: str, note: str) -> None:
        if note.startswith("step 5,"):
            raise KeyboardInterrupt

    settings, folder = replace(TINY, processes=2), tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        launch.spread(job(work, folder, settings), 2, stop)
    assert (folder / checkpoint.NAME).is_file()
    assert not (folder / "model").exists()
    launch.spread(job(work, folder, settings, resumed=True), 2, quietly)
    assert curve(folder) == pytest.approx(curve(straight[0]), rel=0.02)


def test_a_loss_that_is_no_number_ends_the_run_and_says_what_to_do(work: Path, tmp_path: Path):
    folder = tmp_path / "wild"
    killed(job(work, folder), signal.SIGKILL, 4)
    state = checkpoint.load(folder, "cpu")
    assert state is not None
    state["learner"]["weights"]["model.norm.weight"][0] = math.inf
    checkpoint.save(folder, state)
    with pytest.raises(ToolFailed, match="no longer a number") as caught:
        train(job(work, folder, resumed=True), quietly)
    assert "matrix_rate" in caught.value.remedy
    assert (folder / checkpoint.NAME).is_file()
    assert not (folder / "model").exists()


def test_a_checkpoint_that_is_damaged_is_named(work: Path, tmp_path: Path):
    folder = tmp_path / "damaged"
    given = job(work, folder, resumed=True)
    (folder / checkpoint.NAME).write_bytes(b"not a checkpoint")
    with pytest.raises(Invalid, match=r"checkpoint\.pt cannot be read"):
        train(given, quietly)


def test_each_epoch_has_every_row_once_and_an_order_of_its_own(work: Path):
    rows = Rows(work / "prepare", batch=1, other_share=0.2, seed=1)
    count = len(rows)
    first, second = ([rows.batch(step).tobytes() for step in range(start, start + count)] for start in (0, count))
    assert sorted(first) == sorted(second)
    assert first != second
    alone = len(Rows(work / "prepare", batch=1, other_share=0, seed=1))
    assert (count - alone) / count == pytest.approx(0.2, abs=0.02)


def test_two_processes_share_each_batch(work: Path):
    import numpy as np

    rows = Rows(work / "prepare", batch=4, other_share=0, seed=1)
    assert np.array_equal(np.concatenate([rows.batch(3, part, 2) for part in range(2)]), rows.batch(3))


def test_a_run_ends_with_whichever_limit_comes_first():
    clock = Clock(minutes=1, tokens=1000, seconds=30, setup=20)
    assert clock.progress(100) == pytest.approx(0.25, abs=0.01)
    assert clock.progress(900) == pytest.approx(0.9)
    assert Clock(minutes=1, tokens=0, seconds=61).progress(0) == 1.0


def test_the_plan_refuses_what_cannot_fit_or_never_ends(work: Path):
    def refused(hardware: Hardware = HERE, **settings: object) -> list[str]:
        stage = Pretrain(msgspec.convert(settings, PretrainSettings))
        return [
            str(type(one).__name__) + " " + one.message for one in stage.plan(Desk(work, "pretrain"), hardware).refusals
        ]

    assert refused(depth=4) == []
    assert refused(minutes=0) == ["Invalid the training has no end"]
    assert "cannot be shared evenly" in refused(batch=5, processes=2)[0]
    assert "do not divide each other" in refused(depth=0, width=100, heads=3)[0]
    assert refused(replace(HERE, memory=256 << 20))[0].startswith("OutOfResources the training needs about")
    assert "of disk" in refused(replace(HERE, disk=1 << 20))[0]


def test_the_plan_tells_tokens_and_what_k_quants_will_say(work: Path):
    plan = Pretrain(replace(TINY, width=320, heads=5, kv_heads=5)).plan(Desk(work, "pretrain"), HERE)
    assert plan.seconds > 0
    assert any("parameters, about" in note for note in plan.notes)
    assert any("no multiples of 256" in note for note in plan.notes)


def test_memory_that_runs_out_is_one_clear_error(work: Path, tmp_path: Path):
    program = (
        "import resource, sys, msgspec, torch; from pathlib import Path; torch.set_num_threads(1)\n"
        "from fireside.core.errors import OutOfResources\n"
        "from fireside.training.pretrain.loop import Job, train\n"
        "job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job)\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20),) * 2)\n"
        "try: train(job, print)\n"
        "except OutOfResources as error: sys.exit(f'{error.message}. {error.remedy}')\n"
    )
    place = tmp_path / "large.job"
    place.write_bytes(msgspec.json.encode(job(work, tmp_path / "large", replace(TINY, width=4096, ff=8192))))
    ended = subprocess.run([sys.executable, "-c", program, str(place)], capture_output=True, text=True, check=False)
    assert ended.stderr.startswith("the training does not fit into the memory. lower pretrain.micro"), ended.stderr


def test_the_smallest_run_does_everything(tmp_path: Path):
    place = collected(tmp_path / "run", standard_library(6))
    perform(Prepare(PrepareSettings()), Desk(place, "prepare", smoke=True))
    manifest, _ = perform(Pretrain(PretrainSettings()), Desk(place, "pretrain", smoke=True))
    assert {
        "model/config.json",
        "model/model.safetensors",
        "model/tokenizer.json",
        "log.jsonl",
    } <= manifest.files.keys()
    assert manifest.facts["after"]["held_bits_per_byte"] < manifest.facts["before"]["held_bits_per_byte"]
    assert os.environ.get("WORLD_SIZE") is None
