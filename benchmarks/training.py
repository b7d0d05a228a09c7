"""How fast a model is trained from nothing, beside the Trainer of Hugging Face on the same model and data.

Run: python -m benchmarks.training

Each trainer in a process of its own, one after the other, on all cores: batches of 8 rows of 512 tokens, bf16 where the processor has it.
Ours compiles and uses Muon, theirs is ``transformers.Trainer``, on which TRL stands, with fused AdamW and the packed rows as they are. The
first steps (compiling, caches) are left out on both sides. ``--size``: which model; ``--seconds``: how long each is measured.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.table import Figure, show
from fireside.training import hardware
from fireside.training.prepare import other, packed
from fireside.training.prepare.settings import PrepareSettings
from fireside.training.prepare.stage import Prepare
from fireside.training.pretrain.decoder import Shape, begin, shape_of
from fireside.training.pretrain.settings import PretrainSettings
from fireside.training.rows import Row, write_shard
from fireside.training.stages import Desk, Facts, Hardware, Plan, Step, perform

CONTEXT, BATCH, VOCABULARY = 512, 8, 6144
SIZES = {
    "5M": PretrainSettings(depth=4, batch=BATCH),
    "8M": PretrainSettings(depth=0, width=256, layers=8, heads=4, kv_heads=2, ff=768, batch=BATCH),
}
BARS = {"5M": 7_000.0, "8M": 4_500.0}
RATIO = 1.3
WARM = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rows", type=int, default=400, help="files of the standard library")
    parser.add_argument("--trainer", choices=("ours", "theirs"))
    parser.add_argument("--work", type=Path)
    chosen = parser.parse_args()
    if chosen.trainer:
        measured = ours if chosen.trainer == "ours" else theirs
        print(json.dumps(measured(chosen.work / "prepare", SIZES[chosen.size], chosen.seconds)))
        return
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        figures = [prepared(work, chosen.rows)]
        for size in [chosen.size] if chosen.size else list(SIZES):
            figures += compared(work, size, chosen.seconds)
    show(figures)


def prepared(work: Path, count: int) -> Figure:
    """Rows to train on, and how fast they were made."""
    rows = list(other.read(other.STDLIB))[:count]
    perform(_Given(rows), Desk(work, "collect"))
    stage = Prepare(PrepareSettings(vocabulary=VOCABULARY, context=CONTEXT, other=""))
    times: dict[str, float] = {}

    def heard(step: Step) -> None:
        times.setdefault(step.note, time.process_time())

    perform(stage, Desk(work, "prepare", report=heard))
    spent = time.process_time() - times["tokenising"]
    size = sum(len(row.text) for row in rows) / 1e6
    return Figure("rows cut, tokenised and packed", size / spent, "MB/s a core", 2.0, at_most=False)


def compared(work: Path, size: str, seconds: float) -> list[Figure]:
    found = {}
    for trainer in ("ours", "theirs"):
        command = ["--trainer", trainer, "--size", size, "--seconds", str(seconds), "--work", str(work)]
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.training", *command], check=True, stdout=subprocess.PIPE
        )
        found[trainer] = json.loads(ran.stdout.splitlines()[-1])
    note = f"{found['ours']['parameters'] / 1e6:.1f}M parameters, peak {found['ours']['memory'] / 1e6:.0f} MB"
    return [
        Figure(f"{size}: pretrain", found["ours"]["speed"], "tokens/s", BARS[size], at_most=False, note=note),
        Figure(f"{size}: Hugging Face Trainer", found["theirs"]["speed"], "tokens/s"),
        Figure(f"{size}: ratio", found["ours"]["speed"] / found["theirs"]["speed"], "x", RATIO, at_most=False),
    ]


def ours(folder: Path, settings: PretrainSettings, seconds: float) -> dict[str, float]:
    """The loop of ``pretrain`` without its checkpoints."""
    import torch

    from fireside.training.pretrain.batches import Rows
    from fireside.training.pretrain.decoder import Learner

    shape = shape_of(settings, packed.meta(folder).vocabulary, CONTEXT)
    learner = Learner(shape, settings, seed=1, device="cpu", bf16=hardware.look(folder).bf16)
    rows = Rows(folder, batch=BATCH, other_share=0, seed=1)
    learner.compile(torch.from_numpy(rows.batch(0)))
    step = 0

    def one() -> None:
        nonlocal step
        learner.step([torch.from_numpy(rows.batch(step))], lambda: [0.5])
        step += 1

    return _timed(one, seconds) | {"parameters": shape.parameters}


def theirs(folder: Path, settings: PretrainSettings, seconds: float) -> dict[str, float]:
    """``transformers.Trainer`` on ``LlamaForCausalLM`` with the same weights and rows."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    shape: Shape = shape_of(settings, packed.meta(folder).vocabulary, CONTEXT)
    model = LlamaForCausalLM(LlamaConfig(**shape.config()))
    model.load_state_dict(begin(shape, 1), strict=False)
    rows = torch.from_numpy(packed.open_split(folder, "train").astype("int64"))[:, :-1]
    data = [{"input_ids": row, "labels": row} for row in rows]
    times: list[float] = []

    class Ended(TrainerCallback):  # type: ignore[misc]  torch's types are not read
        def on_step_end(self, args: object, state: object, control: object, **more: object) -> None:
            times.append(time.perf_counter())
            if len(times) > WARM + 1 and times[-1] - times[WARM] > seconds:
                control.should_training_stop = True  # type: ignore[attr-defined]

    with tempfile.TemporaryDirectory() as place:
        arguments = TrainingArguments(
            output_dir=place, per_device_train_batch_size=BATCH, num_train_epochs=1000, learning_rate=3e-3,
            bf16=hardware.look(folder).bf16, use_cpu=True, optim="adamw_torch_fused", report_to=[], save_strategy="no",
            logging_strategy="no", disable_tqdm=True, max_grad_norm=1.0,
        )  # fmt: skip
        Trainer(model=model, args=arguments, train_dataset=data, callbacks=[Ended()]).train()
    return {"speed": (len(times) - 1 - WARM) * BATCH * CONTEXT / (times[-1] - times[WARM])}


def _timed(one: Callable[[], None], seconds: float) -> dict[str, float]:
    """Steps a second after the first few, in tokens."""
    import resource

    for _ in range(WARM):
        one()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        one()
        steps += 1
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"speed": steps * BATCH * CONTEXT / (time.perf_counter() - began), "memory": memory}


class _Given:
    """A stage ``collect`` whose rows are given."""

    name = "collect"
    needs: tuple[str, ...] = ()
    settings = PrepareSettings()

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def sources(self) -> Mapping[str, str]:
        return {}

    def plan(self, desk: Desk, hardware: Hardware) -> Plan:
        return Plan(self.name)

    def run(self, desk: Desk) -> Facts:
        (desk.folder / "shards").mkdir()
        return {"rows": write_shard(desk.folder / "shards" / "rows-00000.jsonl.zst", self._rows)}


if __name__ == "__main__":
    main()
