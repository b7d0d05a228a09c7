"""The training itself: LoRA over a base with PEFT and TRL's ``SFTTrainer``, on rows that are packed already.

Knows one process and its place among others. Checkpoints are the trainer's own (adapter, optimizer, schedule, order of the rows, random
numbers), so a run that was ended goes on as if it had not been: on a CPU bit for bit, unless a clock ends it.
"""

import math
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from fireside.core.errors import Invalid
from fireside.training.tune import texts, weights
from fireside.training.tune.estimate import planned_steps
from fireside.training.tune.jobs import ADAPTER, CHECKPOINTS, LOG, Job, say
from fireside.training.tune.settings import TuneSettings
from fireside.training.tune.texts import Mixed

FLOOR = 0.1
ENDLESS = 10**9
STATE = "trainer_state.json"
PACE = "pace.json"


class Pace:
    """How far a run is: by its steps and, where minutes are set, by the clock; time spent before a resume counts."""

    def __init__(self, settings: TuneSettings, steps: int, spent: float = 0.0) -> None:
        self.limit = settings.minutes * 60
        self.steps = steps
        self.warmup = settings.warmup
        self._before = spent
        self._began = time.monotonic()
        self.clock = 0.0
        """The share of the minutes that is gone, as process 0 saw it after the last step."""

    @property
    def spent(self) -> float:
        return self._before + time.monotonic() - self._began

    def begin(self) -> None:
        """Loading is over; from here on time is training."""
        self._began = time.monotonic()
        self.look()

    def look(self) -> None:
        self.clock = self.spent / self.limit if self.limit else 0.0

    def rate(self, step: int) -> float:
        """The learning rate of the next step, as a share of the highest: up in a line, then down as a cosine to ``FLOOR``."""
        gone = max(step / self.steps, self.clock)
        if gone < self.warmup:
            return min(1.0, max(gone, 1 / self.steps if self.steps < ENDLESS else 0.01) / self.warmup)
        fallen = (min(1.0, gone) - self.warmup) / max(1e-9, 1 - self.warmup)
        return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * fallen)) / 2


class Stop:
    """Set by Ctrl-C and SIGTERM: the step that runs is finished and the state written; a second Ctrl-C ends at once."""

    asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heard(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def train(job: Job, stop: Stop) -> dict[str, Any]:
    """Train until one of the limits; leave the adapter in the job's folder. Returns what was counted.

    Raises ``KeyboardInterrupt`` when it was stopped, after the state is written; ``Invalid`` when the loss is no number any more.
    """
    found = texts.read(Path(job.prepared), measured=job.settings.measured)
    rows = Mixed(found, share=job.settings.mix, seed=job.seed)
    resumed = newest_checkpoint(job.place / CHECKPOINTS) if job.resume else None
    if resumed is None:
        shutil.rmtree(job.place / CHECKPOINTS, ignore_errors=True)
    pace = Pace(job.settings, planned_steps(job.settings, len(rows)) or ENDLESS, _spent(resumed))
    trainer = _trainer(job, rows, pace, stop)
    if trainer.is_world_process_zero():
        trim_log(job.place / LOG, resumed)
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    if stop.asked:
        raise KeyboardInterrupt
    trainer.save_model(str(job.place / ADAPTER))
    return {
        "steps": trainer.state.global_step,
        "tokens": trainer.state.global_step * _tokens(job, found.context, trainer.args.world_size),
        "trainable": sum(one.numel() for one in trainer.model.parameters() if one.requires_grad),
        "processes": trainer.args.world_size,
        "mix": round(rows.share, 4),
        "minutes": round(pace.spent / 60, 3),
    }


def _trainer(job: Job, rows: Mixed, pace: Pace, stop: Stop) -> Any:
    import torch
    from transformers import PrinterCallback, TrainerCallback
    from transformers.trainer_utils import set_seed
    from trl import SFTTrainer

    set_seed(job.seed)
    model = weights.base_model(job)
    if job.settings.bits:
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=job.settings.gradient_checkpointing)

    class Trainer(SFTTrainer):  # type: ignore[misc, unused-ignore]
        lr_scheduler: Any

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            if self.lr_scheduler is None:
                self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, pace.rate)
                self._created_lr_scheduler = True
            return self.lr_scheduler

    trainer = Trainer(
        model=model,
        args=_arguments(job, pace),
        train_dataset=rows.dataset(),
        data_collator=rows.collate,
        processing_class=weights.tokenizer_of(job),
        peft_config=weights.lora(job),
        callbacks=[_watching(TrainerCallback)(job, pace, stop)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(job: Job, pace: Pace) -> Any:
    import torch
    from trl import SFTConfig

    settings = job.settings
    names = {"adamw": "adamw_torch", "adamw_8bit": "adamw_bnb_8bit"}
    return SFTConfig(
        output_dir=str(job.place / CHECKPOINTS),
        max_steps=pace.steps,
        per_device_train_batch_size=settings.batch,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.rate,
        weight_decay=settings.weight_decay,
        optim=names[settings.optimizer],
        max_grad_norm=1.0,
        seed=job.seed,
        data_seed=job.seed,
        use_cpu=not torch.cuda.is_available(),
        bf16=job.autocast,
        gradient_checkpointing=settings.gradient_checkpointing,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=False,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _watching(kind: type[Any]) -> type[Any]:
    """What looks on at every step: writes the log, holds the limits, decides when the state is written, tells who waits."""

    class Watching(kind):  # type: ignore[misc]
        def __init__(self, job: Job, pace: Pace, stop: Stop) -> None:
            self._job, self._pace, self._stop = job, pace, stop
            self._saved = time.monotonic()

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._pace.begin()
            self._saved = time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
            if "loss" not in logs:
                return
            loss = float(logs["loss"])
            if not (math.isfinite(loss) and math.isfinite(float(logs.get("grad_norm", 0.0)))):
                raise Invalid(
                    f"the loss or its gradient is no number any more at step {state.global_step}",
                    remedy=f"a lower tune.rate (it was {self._job.settings.rate:g}); the last good state is kept",
                )
            if state.is_world_process_zero:
                told = {"step": state.global_step, "loss": round(loss, 4), "rate": logs.get("learning_rate")}
                _append(self._job.place / LOG, told)
                _tell(self._pace, state.global_step, loss)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._pace.look()
            due = time.monotonic() - self._saved >= self._job.settings.checkpoint_minutes * 60
            told = _agreed(args, [float(self._stop.asked), float(due), self._pace.clock])
            self._stop.asked, self._pace.clock = bool(told[0]), told[2]
            if self._stop.asked or self._pace.clock >= 1:
                control.should_training_stop = True
            if self._stop.asked or (told[1] and state.global_step < self._pace.steps):
                control.should_save = True
                self._saved = time.monotonic()

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            if state.is_world_process_zero:
                (folder / PACE).write_bytes(orjson.dumps({"spent": self._pace.spent}))

    return Watching


def _agreed(args: Any, told: list[float]) -> list[float]:
    """What process 0 thinks: clocks differ, and processes that decide differently wait for each other for ever."""
    import torch
    from torch import distributed

    if args.world_size < 2 or not distributed.is_initialized():
        return told
    shared = torch.tensor(told, dtype=torch.float64, device=args.device)
    distributed.broadcast(shared, 0)
    return [float(one) for one in shared.tolist()]


def _tell(pace: Pace, step: int, loss: float) -> None:
    by_clock = pace.limit and (pace.steps >= ENDLESS or pace.clock > step / pace.steps)
    done, total = (pace.spent, pace.limit) if by_clock else (step, pace.steps)
    say(done=round(done, 2), total=total, unit="seconds" if by_clock else "steps", note=f"loss {loss:.3f}")


def _tokens(job: Job, context: int, processes: int) -> int:
    return job.settings.batch * job.settings.accumulation * context * processes


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest that was written to its end: the trainer's own state comes last. Those that were not are deleted."""
    whole = []
    for place in folder.glob("checkpoint-*"):
        try:
            whole.append((int(orjson.loads((place / STATE).read_bytes())["global_step"]), place))
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            shutil.rmtree(place, ignore_errors=True)
    return max(whole)[1] if whole else None


def _spent(checkpoint: Path | None) -> float:
    """Seconds trained before a checkpoint."""
    if checkpoint is None or not (checkpoint / PACE).is_file():
        return 0.0
    try:
        return float(orjson.loads((checkpoint / PACE).read_bytes())["spent"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return 0.0


def trim_log(log: Path, checkpoint: Path | None) -> None:
    """Take out the steps after a checkpoint: they are done again. Without one, all steps."""
    last = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    lines = log.read_bytes().splitlines() if log.is_file() else []
    kept = []
    for line in lines:
        try:
            told = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if told.get("step", 0) <= last:
            kept.append(line + b"\n")
    log.write_bytes(b"".join(kept))


def _append(log: Path, told: dict[str, Any]) -> None:
    with log.open("ab") as file:
        file.write(orjson.dumps(told) + b"\n")
