"""What a tuning will take, told before it starts: memory, time, disk. Estimates; the figures are from the runs named beside them."""

from dataclasses import dataclass
from typing import Literal

from fireside.core.errors import FiresideError, OutOfResources
from fireside.models.disk import in_words
from fireside.training.stages import Hardware
from fireside.training.tune.bases import Base
from fireside.training.tune.settings import TuneSettings

# torch, transformers, peft and trl as they lie in memory once imported, seen on a CPU; the driver's part adds to it on a GPU.
RUNTIME = 800 << 20
GPU_RUNTIME = 900 << 20
# Bytes a trained number takes: itself, its gradient, AdamW's two moments (float32), or two moments of 8 bits.
ADAPTER = {"adamw": 16, "adamw_8bit": 10}
WEIGHT = {"float32": 4.0, "bfloat16": 2.0}
PACKED = {4: 0.56, 8: 1.06}
# Multiply-adds a core or a GPU really does in a second while tuning (two operations each): seen on a CPU at 5M; a GPU's is a guess.
CORE = 3.0e10
CORE_BF16 = 4.5e10
GPU = 1.0e14
SMALL = 400_000_000


@dataclass(frozen=True, slots=True)
class Need:
    """``weights``, ``trained``, ``activations``: bytes of memory; ``trainable``: numbers in the adapter; ``tokens``: in the whole run."""

    weights: int
    trained: int
    activations: int
    trainable: int
    tokens: int
    seconds: float
    disk: int

    @property
    def memory(self) -> int:
        return self.weights + self.trained + self.activations + RUNTIME


def dtype(base: Base, hardware: Hardware) -> Literal["float32", "bfloat16"]:
    """How the base's weights lie in memory: small ones exactly; large ones in half, where the machine counts in it."""
    if hardware.gpus:
        return "bfloat16"
    return "bfloat16" if base.parameters > SMALL and hardware.bf16 else "float32"


def autocast(settings: TuneSettings, hardware: Hardware) -> bool:
    """Whether to multiply in bfloat16."""
    if settings.bf16 == "auto":
        return bool(hardware.gpus) or hardware.bf16
    return settings.bf16 == "always"


def need(base: Base, settings: TuneSettings, hardware: Hardware, *, context: int, rows: int) -> Need:
    """``rows``: of one epoch, the mixed ones included. On a GPU, ``memory`` is the GPU's."""
    kept = base.parameters * (PACKED[settings.bits] if settings.bits else WEIGHT[dtype(base, hardware)])
    trainable = settings.rank * base.layers * (7 * base.hidden + 3 * base.inner)
    tokens = planned_steps(settings, rows) * settings.batch * settings.accumulation * context
    speed = hardware.cores * (CORE_BF16 if hardware.bf16 else CORE)
    if hardware.gpus:
        speed = len(hardware.gpus) * GPU
    # Forward, and backward to the activations only: four operations a parameter and token; six with gradient checkpointing.
    seconds = tokens * base.parameters * (3 if settings.gradient_checkpointing else 2) / speed
    if settings.minutes:
        seconds = min(seconds, settings.minutes * 60) if tokens else settings.minutes * 60
    copied = base.parameters * 4 if base.kind == "gguf" else 0
    return Need(
        weights=int(kept),
        trained=trainable * ADAPTER[settings.optimizer],
        activations=activations(base, settings, context),
        trainable=trainable,
        tokens=tokens,
        seconds=seconds + 20,
        disk=copied + 4 * trainable * 12,
    )


def activations(base: Base, settings: TuneSettings, context: int) -> int:
    """Bytes kept for the backward pass: about 18 widths and 5 inner widths a layer and token, and the logits of a part of the row."""
    layer = (18 * base.hidden + 5 * base.inner) * 4
    tokens = settings.batch * context
    kept = layer + base.layers * base.hidden * 4 if settings.gradient_checkpointing else layer * base.layers
    return tokens * kept + min(tokens, 2048) * base.vocabulary * 8


def planned_steps(settings: TuneSettings, rows: int) -> int:
    """How many steps epochs and steps allow; 0 when minutes alone end the run."""
    step = settings.batch * settings.accumulation * max(1, settings.spread.processes)
    limits = []
    if settings.epochs:
        limits.append(max(1, -(-round(settings.epochs * rows) // step)))
    if settings.steps:
        limits.append(settings.steps)
    return min(limits, default=0)


def refusal(found: Need, base: Base, settings: TuneSettings, hardware: Hardware) -> FiresideError | None:
    """Why the run cannot fit here, with what would make it fit; ``None`` when it does."""
    if hardware.gpus:
        free, where, wanted = max(hardware.gpus), "of GPU memory", found.memory - RUNTIME + GPU_RUNTIME
        if settings.spread.sharding == "fsdp":
            wanted = wanted - found.weights + found.weights // max(1, settings.spread.processes)
    else:
        free, where, wanted = (
            hardware.memory,
            "of memory",
            found.memory * (settings.spread.processes if settings.spread.hosts == 1 else 1),
        )
    free = min(free, settings.max_memory) if settings.max_memory else free
    if wanted <= free:
        return None
    return OutOfResources(
        f"tuning {base.path.name} needs about {in_words(wanted)} {where}, and {in_words(free)} are free",
        remedy="; ".join(remedies(found, settings)),
        needed=wanted,
        free=free,
    )


def remedies(found: Need, settings: TuneSettings) -> list[str]:
    """What would help most, first."""
    said = []
    if not settings.bits and found.weights > found.activations // 2:
        said.append("QLoRA: tune.bits = 4")
    if settings.batch > 1:
        said.append(f"a smaller batch: tune.batch = {max(1, settings.batch // 4)}")
    if not settings.gradient_checkpointing:
        said.append("tune.gradient_checkpointing = true")
    return [*said, "a shorter prepare.context", "a smaller base"]
