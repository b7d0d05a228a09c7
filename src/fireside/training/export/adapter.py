"""A LoRA adapter of PEFT as a GGUF that llama.cpp lays over its base. Knows PEFT's folder and llama.cpp's names for its tensors.

Both add ``B A x`` times a factor; llama.cpp's is alpha / rank, one alpha for all. Whatever else PEFT's factor is (rank-stabilised, another
alpha or rank for single modules) goes into B. Format: llama.cpp, convert_lora_to_gguf.py and llama-adapter.cpp.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fireside.core.errors import Invalid
from fireside.models.disk import disk_errors
from fireside.models.gguf import read_header
from fireside.models.gguf_writer import Tensor, Value, write
from fireside.training.export.architectures import NAMES, SUPPORTED, Sizes, ordered, tensor_name
from fireside.training.export.architectures import sizes as sizes_of
from fireside.training.export.checkpoint import Weights, read, read_json, tensors_of

if TYPE_CHECKING:
    import numpy

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
TRAIN_OTHERWISE = "train it again as plain LoRA: fireside train tune"
MODULE = re.compile(r"base_model\.model\.(.+)\.lora_([AB])(?:\.\w+)?\.weight")


@dataclass(frozen=True, slots=True)
class Target:
    """The model an adapter is laid over. ``shapes``: of its matrices, rows first, by GGUF name; empty = unknown."""

    shape: Sizes
    shapes: Mapping[str, tuple[int, ...]]


def target_of(base: Path) -> Target:
    """What an adapter must know of its base, a folder or a GGUF. Raises ``Invalid`` and ``ModelNotFound``."""
    if base.is_dir():
        found = read(base)
        named = ((tensor_name(weights.name), weights.shape) for weights in found.tensors.values())
        return Target(sizes_of(found), {name: shape for name, shape in named if name})
    header = read_header(base)
    name = header.architecture
    if name not in NAMES.values():
        raise Invalid(f"{base.name} is of the architecture {name or 'nobody says which'}", remedy=SUPPORTED)

    def number(key: str) -> int:
        return header.number(f"{name}.{key}") or 0

    heads = number("attention.head_count")
    shape = Sizes(
        name=name,
        layers=number("block_count"),
        heads=heads,
        kv_heads=number("attention.head_count_kv") or heads,
        head=number("attention.key_length") or number("embedding_length") // max(1, heads),
        tied=all(tensor.name != "output.weight" for tensor in header.tensors),
    )
    return Target(shape, {tensor.name: tuple(reversed(tensor.shape)) for tensor in header.tensors})


def write_adapter(
    folder: Path, base: Target, target: Path, *, told: Mapping[str, Value] | None = None
) -> dict[str, int]:
    """Write the adapter in ``folder`` to ``target``; returns its rank and how many matrices it changes.

    Raises ``Invalid`` for one that llama.cpp cannot lay over a model (DoRA, whole modules saved, trained biases, embeddings), and for one
    that was trained on another base.
    """
    config = read_json(folder / CONFIG)
    _refuse(folder, config)
    alpha = float(config.get("lora_alpha", 0))
    if not (math.isfinite(alpha) and alpha > 0):
        raise Invalid(f"{folder / CONFIG} has the lora_alpha {config.get('lora_alpha')!r}", remedy=TRAIN_OTHERWISE)
    pairs = _pairs(folder)
    tensors: list[Tensor] = []
    for module, parts in sorted(pairs.items()):
        tensors += _adapted(module, parts, config, alpha, base)
    header: dict[str, Value] = {
        "general.architecture": base.shape.name,
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": alpha,
    }
    with disk_errors(f"writing {target.name}"):
        write(target, header | dict(told or {}), tensors)
    return {"rank": int(config.get("r", 0)), "matrices": len(pairs)}


def _refuse(folder: Path, config: Mapping[str, Any]) -> None:
    kind = str(config.get("peft_type", "")).upper()
    reasons = {
        f"is of the kind {kind or 'nobody says which'}": kind != "LORA",
        "is DoRA, which llama.cpp cannot lay over a model": bool(config.get("use_dora")),
        "holds whole modules (modules_to_save)": bool(config.get("modules_to_save")),
        "has trained biases": config.get("bias", "none") != "none" or bool(config.get("lora_bias")),
        "repeats layers (layer_replication)": bool(config.get("layer_replication")),
    }
    for reason, holds in reasons.items():
        if holds:
            raise Invalid(f"the adapter in {folder} {reason}", remedy=TRAIN_OTHERWISE)


def _pairs(folder: Path) -> dict[str, dict[str, Weights]]:
    """Module -> its A and B."""
    pairs: dict[str, dict[str, Weights]] = {}
    for weights in tensors_of(folder / WEIGHTS):
        found = MODULE.fullmatch(weights.name)
        if found is None:
            raise Invalid(
                f"the adapter in {folder} has {weights.name}, which is no LoRA matrix", remedy=TRAIN_OTHERWISE
            )
        pairs.setdefault(found[1], {})[found[2]] = weights
    if not pairs:
        raise Invalid(f"the adapter in {folder} is empty", remedy=TRAIN_OTHERWISE)
    for module, parts in pairs.items():
        if set(parts) != {"A", "B"} or any(len(part.shape) != 2 for part in parts.values()):
            raise Invalid(f"the adapter in {folder} has half of {module}", remedy="copy the whole folder again")
    return pairs


def _adapted(
    module: str, parts: Mapping[str, Weights], config: Mapping[str, Any], alpha: float, base: Target
) -> list[Tensor]:
    """A and B of one matrix."""
    name = tensor_name(f"{module}.weight")
    first, second = parts["A"], parts["B"]
    rank = first.shape[0]
    if name is None or name == "token_embd.weight":
        raise Invalid(f"the adapter changes {module}, which llama.cpp cannot adapt", remedy=TRAIN_OTHERWISE)
    wanted = base.shapes.get(name)
    if wanted is None or second.shape[1] != rank or wanted != (second.shape[0], first.shape[1]):
        has = "none" if wanted is None else f"{wanted[0]} x {wanted[1]}"
        raise Invalid(
            f"the adapter was trained on another base: it changes {name} of {second.shape[0]} x {first.shape[1]}, the base has {has}",
            remedy="name the model it was trained on as the base",
        )
    factor = _factor(module, config) / (alpha / rank)
    return [
        Tensor(f"{name}.lora_a", first.shape, "F32", first.floats),
        Tensor(f"{name}.lora_b", second.shape, "F32", _scaled(second, name, factor, base.shape)),
    ]


def _scaled(weights: Weights, name: str, factor: float, shape: Sizes) -> "Callable[[], numpy.ndarray]":
    return lambda: ordered(weights.floats(), name, shape) * factor


def _factor(module: str, config: Mapping[str, Any]) -> float:
    """What PEFT multiplies B A x with (peft, LoraLayer.update_layer)."""
    rank = float(_patterned(module, config.get("rank_pattern"), config.get("r", 1)))
    alpha = float(_patterned(module, config.get("alpha_pattern"), config.get("lora_alpha", 1)))
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _patterned(module: str, patterns: object, default: Any) -> Any:
    """PEFT's get_pattern_key: a key fits a module whose name is it, or ends in it after a dot."""
    for pattern, value in (patterns if isinstance(patterns, dict) else {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            return value
    return default
