"""A run from its first step, or from where it stopped, to its annealed end: clock, checkpoints, measures, log.

Knows what a run leaves in its folder; how the model learns is ``decoder``'s matter.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fireside.core.errors import FiresideError, OutOfResources
from fireside.training import hardware
from fireside.training.prepare import packed
from fireside.training.pretrain import checkpoint, folder
from fireside.training.pretrain.batches import Rows
from fireside.training.pretrain.decoder import IGNORED, Learner, shape_of
from fireside.training.pretrain.machine import Machine, at_once, joined
from fireside.training.pretrain.measure import Measure
from fireside.training.pretrain.settings import PretrainSettings

if TYPE_CHECKING:
    from torch import Tensor

MODEL = "model"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What one process has to know. ``prepared``, ``folder``: the stages' folders; ``resumed``: go on with what is in ``folder``."""

    settings: PretrainSettings
    prepared: str
    folder: str
    seed: int = 7
    resumed: bool = False


@dataclass(slots=True)
class Clock:
    """How far the run is. ``minutes``, ``tokens``: its ends, 0 = none; what was done before it was resumed counts.

    ``setup``: seconds that went into compiling and the first measure. They count against the minutes, but not as progress: the warm-up
    would be over before the first step.
    """

    minutes: float
    tokens: int
    seconds: float = 0.0
    setup: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    def elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self.began

    def progress(self, tokens: int) -> float:
        """0 at the beginning, 1 at the end: by the end that is nearer."""
        by_tokens = tokens / self.tokens if self.tokens else 0.0
        left = max(self.minutes * 60 - self.setup, 1.0)
        by_time = (self.elapsed() - self.setup) / left if self.minutes else 0.0
        return min(max(by_tokens, by_time), 1.0)


Report = Callable[[float, float, str, str], None]


def train(job: Job, report: Report) -> dict[str, Any]:
    """Run the job; returns its facts. ``report``: done, total, unit, note.

    Raises ``KeyboardInterrupt`` at Ctrl-C and SIGTERM, after a checkpoint; ``OutOfResources`` where the memory is too small; ``ToolFailed``
    where the loss is no number any more (the checkpoint then holds the last weights that were good).
    """
    settings = job.settings
    with ExitStack() as stack:
        machine = stack.enter_context(joined(settings, Path(job.folder), settings.minutes * 60))
        stopped = stack.enter_context(_stoppable())
        try:
            run = _Run(job, machine, report, stopped)
            return run.to_the_end()
        except (RuntimeError, MemoryError) as error:
            if not _is_memory(error):
                raise
            raise OutOfResources(
                "the training does not fit into the memory",
                remedy="lower pretrain.micro (1 is the least), pretrain.depth or prepare.context",
            ) from error


class _Run:
    """One process of a run, with what its steps share."""

    def __init__(self, job: Job, machine: Machine, report: Report, stopped: threading.Event) -> None:
        self.job, self.machine, self.report, self.stopped = job, machine, report, stopped
        self.settings, self.folder, self.prepared = job.settings, Path(job.folder), Path(job.prepared)
        told = packed.meta(self.prepared)
        self.shape = shape_of(self.settings, told.vocabulary, told.context)
        self.rows = Rows(self.prepared, batch=self.settings.batch, other_share=self.settings.other_share, seed=job.seed)
        self.learner = Learner(
            self.shape,
            self.settings,
            seed=job.seed,
            device=machine.device,
            bf16=machine.bf16,
            padding=IGNORED if told.pad == told.eot else told.pad,
            world=machine.world,
            summed=machine.summed if machine.world > 1 else None,
        )
        self.micro = at_once(
            self.shape,
            self.settings,
            _memory(machine, self.folder),
            gpu=machine.device == "cuda",
            bf16=machine.bf16,
            world=machine.world,
        )
        self.measure = Measure(self.prepared, self.learner, machine, self.micro)
        self.each = self.settings.batch * told.context
        self.clock = Clock(self.settings.minutes, self.settings.tokens)
        self.done, self.progress, self.measured = 0, 0.0, 0.0
        self.curve: list[float] = []
        self.before: dict[str, float] = {}
        self.notes: list[str] = []

    def to_the_end(self) -> dict[str, Any]:
        self._set_up()
        log = checkpoint.Log(self.folder, self.done) if self.machine.rank == 0 else None
        try:
            self._steps(log)
            after = self.measure.all(self.done * self.each)
            if log is not None:
                log.write(step=self.done, tokens=self.done * self.each, **after)
        finally:
            if log is not None:
                log.close()
        if self.machine.rank == 0:
            kind = self.settings.saved
            folder.save(self.folder / MODEL, self.shape, self.learner.weights, self.prepared, kind)
            (self.folder / checkpoint.NAME).unlink(missing_ok=True)
        return self._facts(after)

    def _set_up(self) -> None:
        """Go on with what is there, compile, and measure what the weights know before the first step."""
        found = checkpoint.load(self.folder, self.machine.device) if self.job.resumed else None
        if found is not None:
            self.learner.restore(found["learner"])
            self.done, self.curve, self.progress = found["step"], found["curve"], found["progress"]
            self.clock.seconds, self.clock.setup = found["seconds"], found["setup"]
        began = time.perf_counter()
        self.before = found["before"] if found is not None else self.measure.all()
        if self.machine.compiles and self.progress < 1:
            self.report(0, 0, "", "compiling")
            try:
                self.learner.compile(self._parts(self.done)[0])
            except RuntimeError as error:
                if _is_memory(error) or self.settings.compile == "yes":
                    raise
                self.notes.append(f"not compiled: {str(error).splitlines()[0][:200]}")
        self.clock.setup += time.perf_counter() - began

    def _steps(self, log: checkpoint.Log | None) -> None:
        saved = self.measured = time.perf_counter()
        # All processes leave at the same step: they go by what the first of them said.
        while self.progress < 1:
            began = time.perf_counter()
            try:
                loss, norm, (progress, due, stop) = self.learner.step(self._parts(self.done), self._say)
            except FiresideError:
                self._save()
                raise
            self.done += 1
            self.curve.append(loss)
            by_tokens = self.done * self.each / self.settings.tokens if self.settings.tokens else 0.0
            self.progress = min(max(progress, by_tokens), 1.0)
            self._tell(log, loss, norm, time.perf_counter() - began)
            if stop:
                self._save()
                raise KeyboardInterrupt
            if due:
                found = self.measure.all()
                self.measured = time.perf_counter()
                if log is not None:
                    log.write(step=self.done, tokens=self.done * self.each, **found)
            if time.perf_counter() - saved >= self.settings.checkpoint_seconds:
                self._save()
                saved = time.perf_counter()

    def _parts(self, step: int) -> "list[Tensor]":
        """The rows of a step for this process, in pieces that fit."""
        import torch

        rows = torch.from_numpy(self.rows.batch(step, self.machine.rank, self.machine.world))
        if self.machine.device == "cuda":
            rows = rows.pin_memory().to("cuda", non_blocking=True)
        return list(rows.split(self.micro))

    def _say(self) -> list[float]:
        """What the processes agree on: the progress and whether to measure as the first of them sees it; whether any was stopped."""
        stopped = float(self.stopped.is_set())
        if self.machine.rank:
            return [0.0, 0.0, stopped]
        due = time.perf_counter() - self.measured >= self.settings.measure_seconds
        return [self.clock.progress(self.done * self.each), float(due), stopped]

    def _tell(self, log: checkpoint.Log | None, loss: float, norm: float, seconds: float) -> None:
        if log is None:
            return
        tokens, speed = self.done * self.each, self.each / seconds
        used = {"mfu": speed * self.shape.flops / self.machine.peak / self.machine.world} if self.machine.peak else {}
        told = {"loss": loss, "norm": norm, "progress": self.progress, "tokens_per_second": speed}
        log.write(step=self.done, tokens=tokens, **told, **used)
        note = f"step {self.done}, loss {loss:.3f}, {speed:,.0f} tokens/s"
        if self.settings.minutes:
            total = self.settings.minutes * 60
            self.report(self.progress * total, total, "seconds", note)
        else:
            self.report(tokens, self.settings.tokens, "tokens", note)

    def _save(self) -> None:
        if self.machine.rank == 0:
            state = {
                "learner": self.learner.state(),
                "step": self.done,
                "seconds": self.clock.elapsed(),
                "setup": self.clock.setup,
                "progress": self.progress,
                "curve": self.curve,
                "before": self.before,
            }
            checkpoint.save(self.folder, state)

    def _facts(self, after: dict[str, float]) -> dict[str, Any]:
        seconds = self.clock.elapsed()
        told = packed.meta(self.prepared)
        return {
            "parameters": self.shape.parameters,
            "shape": {"width": self.shape.width, "layers": self.shape.layers, "ff": self.shape.ff},
            "vocabulary": self.shape.vocabulary,
            "tokens": self.done * self.each,
            "epochs": round(self.done * self.settings.batch / len(self.rows), 3),
            "steps": self.done,
            "seconds": round(seconds, 1),
            "setup_seconds": round(self.clock.setup, 1),
            "tokens_per_second": round(self.done * self.each / max(seconds - self.clock.setup, 1e-9)),
            "loss": round(sum(self.curve[-20:]) / max(len(self.curve[-20:]), 1), 4),
            "before": self.before,
            "after": after,
            "bf16": self.machine.bf16,
            "compiled": self.machine.compiles and not self.notes,
            "device": self.machine.device,
            "processes": self.machine.world,
            "micro": self.micro,
            "fim_order": told.fim_order,
            "notes": self.notes,
        }


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM end the run after the step it is in: half a step would leave weights and optimisers of different steps.

    The second Ctrl-C ends it at once. Signals are only the main thread's to take.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def stop(number: int, frame: object) -> None:
        if stopped.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _memory(machine: Machine, place: Path) -> int:
    if machine.device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    return hardware.look(place).memory // machine.world


def _is_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
