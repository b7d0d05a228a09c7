"""What one process trains with: its device, its place among the processes, and what fits. Knows torch's devices; nothing of the model."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fireside.training import hardware
from fireside.training.pretrain.decoder import Shape
from fireside.training.pretrain.settings import PretrainSettings

if TYPE_CHECKING:
    from torch import Tensor

# Dense bf16 operations a second, as the makers' data sheets say; for the share of them that is used.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12, "L4": 121e12, "T4": 65e12}
# Sequences at once beyond which nothing gets faster.
MOST_CPU, MOST_GPU = 8, 64
# Below this, compiling (16 to 38 s) does not pay.
WORTH_COMPILING = 240.0
# Sustained operations a second, to plan with: a CPU core with and without bf16 (docs/training.md), one large GPU (an estimate).
CORE_BF16, CORE_PLAIN, GPU = 110e9, 45e9, 160e12


@dataclass(frozen=True, slots=True)
class Machine:
    """``rank`` of ``world`` processes. ``peak``: operations a second of the device, 0 = unknown."""

    device: str = "cpu"
    bf16: bool = False
    compiles: bool = False
    rank: int = 0
    world: int = 1
    peak: float = 0.0

    def summed(self, values: "Tensor") -> None:
        """Add up over all processes, in place."""
        import torch.distributed as processes

        if self.world > 1:
            processes.all_reduce(values)


@contextmanager
def joined(settings: PretrainSettings, folder: Path, seconds: float) -> Iterator[Machine]:
    """The machine of this process; where ``torchrun`` started it, as one of several. ``seconds``: how long it will train, 0 = unknown."""
    import torch
    import torch.distributed as processes

    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        torch.set_float32_matmul_precision("high")
    fast = torch.cuda.is_bf16_supported() if cuda else hardware.look(folder).bf16
    worth = (not seconds or seconds >= WORTH_COMPILING) and shutil.which(os.environ.get("CXX", "c++")) is not None
    machine = Machine(
        device="cuda" if cuda else "cpu",
        bf16=chosen(settings.bf16, fast),
        compiles=chosen(settings.compile, worth),
        rank=rank,
        world=world,
        peak=next((peak for name, peak in PEAKS.items() if name in torch.cuda.get_device_name()), 0.0) if cuda else 0.0,
    )
    if world > 1:
        processes.init_process_group("nccl" if cuda else "gloo")
    try:
        yield machine
    finally:
        if world > 1:
            processes.destroy_process_group()


def chosen(switch: str, automatic: bool) -> bool:
    return automatic if switch == "auto" else switch == "yes"


def weights_bytes(shape: Shape) -> int:
    """Weights, gradients and what the optimisers keep, at most: four numbers of four bytes each."""
    return 16 * shape.parameters


def sequence_bytes(shape: Shape, *, bf16: bool) -> int:
    """What one sequence of a batch keeps until its gradients are there: between the layers, and one row of logits a token."""
    layer = 16 * shape.width + 6 * shape.ff
    return shape.context * ((2 if bf16 else 4) * shape.layers * layer + 10 * shape.vocabulary)


def at_once(shape: Shape, settings: PretrainSettings, memory: int, *, gpu: bool, bf16: bool, world: int) -> int:
    """Sequences a device takes at once: what was asked for, or the most that divides the batch and fits into half of the memory."""
    each = settings.batch // world
    room = max(memory // 2 - weights_bytes(shape), 0) // sequence_bytes(shape, bf16=bf16)
    most = settings.micro or min(room, MOST_GPU if gpu else MOST_CPU)
    return next((size for size in range(min(most, each), 0, -1) if each % size == 0), 1)


def speed(shape: Shape, *, cores: int, gpus: int, bf16: bool) -> float:
    """Tokens a second to plan with."""
    return (GPU * gpus if gpus else cores * (CORE_BF16 if bf16 else CORE_PLAIN)) / shape.flops
