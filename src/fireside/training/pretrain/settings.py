"""What the stage ``pretrain`` can be told, and the sizes of the model that follow from it. Loads nothing."""

from typing import Annotated, Literal

import msgspec

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Size = Annotated[int, msgspec.Meta(ge=0)]
Switch = Literal["auto", "yes", "no"]


class PretrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model from nothing.

    ``depth``: one dial for the model's sizes (4: 5M parameters, 8: 29M with 8,192 tokens); 0: ``width`` and the rest are told one by one.
    ``minutes``, ``tokens``: the training ends with the first that is reached; 0 = no such end. ``batch``: sequences a step, over all
    processes; ``micro``: sequences a device takes at once (0 = what fits). ``matrix_rate``: Muon's learning rate, ``rate``: AdamW's for
    embeddings and norms; ``warm_up``, ``decay``: first and last share of the run. ``clip``: the gradient's longest norm.

    ``bf16``, ``compile``: auto = where it is faster. ``processes``: with more than one, ``torchrun`` starts them here.
    ``checkpoint_seconds``, ``measure_seconds``: how often the state is written, and the held-out text measured.
    ``other_share``: how much of the rows are other people's code. ``saved``: the numbers of ``model.safetensors``.
    """

    depth: Annotated[int, msgspec.Meta(ge=0, le=64)] = 8
    width: Count = 512
    layers: Count = 8
    heads: Count = 8
    kv_heads: Count = 4
    ff: Count = 1536
    minutes: Annotated[float, msgspec.Meta(ge=0)] = 10
    tokens: Size = 0
    batch: Count = 16
    micro: Size = 0
    matrix_rate: Rate = 0.02
    rate: Rate = 3e-3
    warm_up: Share = 0.01
    decay: Share = 0.3
    clip: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    bf16: Switch = "auto"
    compile: Switch = "auto"
    processes: Count = 1
    checkpoint_seconds: Annotated[float, msgspec.Meta(ge=0)] = 240
    measure_seconds: Annotated[float, msgspec.Meta(ge=0)] = 120
    other_share: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    saved: Literal["float32", "bfloat16"] = "float32"
