"""What can be chosen when a model is tuned. Imports nothing heavy: a recipe is read without torch."""

from typing import Annotated, Literal

import msgspec

Backend = Literal["peft", "unsloth"]
Launch = Literal["one", "accelerate", "ray"]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class SpreadSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Over which processes a training is spread.

    ``launch``: ``one`` process, ``accelerate`` launch, or ``ray`` train. ``processes``: in all. ``hosts``, ``rank``: how many machines, and
    which of them this one is; ``address``, ``port``: of machine 0. ``sharding``: ``ddp`` (each process holds the model) or ``fsdp`` (each
    holds a part). ``ray_address``: of a Ray cluster that runs; empty: one on this machine.
    """

    launch: Launch = "one"
    processes: Count = 1
    hosts: Count = 1
    rank: Annotated[int, msgspec.Meta(ge=0)] = 0
    address: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 29500
    sharding: Literal["ddp", "fsdp"] = "ddp"
    ray_address: str = ""


class TuneSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """LoRA (Hu et al., 2021), or QLoRA (Dettmers et al., 2023) with ``bits`` 4 or 8.

    ``base``: an HF folder or a GGUF; empty: the model of the run's own stage ``pretrain``. ``targets``: modules by name, or ``all-linear``.
    ``rate``: the highest learning rate; it rises over ``warmup`` of the run and falls as a cosine to a tenth. The run ends at the first of
    ``epochs``, ``steps`` and ``minutes`` (0: no such limit) and is annealed whichever it was; with ``minutes`` two runs are not alike.
    ``mix``: share of rows that are other code, against forgetting. ``forgetting``: by how much other code may get worse, in bits/byte;
    an adapter that forgets more is weakened (its alpha) until it holds; 0: leave it as it was trained.
    ``batch`` rows at a time, ``accumulation`` times a step. ``bf16``: where it is fast, always, or never. ``measured``: at most so many
    rows of each held-out text are scored. ``python``: the interpreter of Unsloth's own environment. ``max_memory``: bytes a run may take,
    0: what is free.
    """

    base: str = ""
    backend: Backend = "peft"
    bits: Literal[0, 4, 8] = 0
    rank: Count = 16
    alpha: Positive = 32.0
    dropout: Share = 0.0
    targets: tuple[str, ...] = ("all-linear",)
    rate: Positive = 1e-3
    epochs: NotNegative = 3.0
    steps: Annotated[int, msgspec.Meta(ge=0)] = 0
    minutes: NotNegative = 0.0
    batch: Count = 4
    accumulation: Count = 1
    warmup: Share = 0.05
    weight_decay: NotNegative = 0.0
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    mix: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    forgetting: NotNegative = 0.03
    gradient_checkpointing: bool = False
    bf16: Literal["auto", "always", "never"] = "auto"
    checkpoint_minutes: Positive = 4.0
    measured: Count = 64
    max_memory: Annotated[int, msgspec.Meta(ge=0)] = 0
    python: str = ""
    spread: SpreadSettings = SpreadSettings()

    def __post_init__(self) -> None:
        if not (self.epochs or self.steps or self.minutes):
            raise ValueError("a tuning needs an end: set epochs, steps or minutes")
