"""A checkpoint as a GGUF. Knows which tensors go where; the tokenizer and the architectures have rooms of their own."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fireside.core.errors import Invalid
from fireside.models.disk import disk_errors
from fireside.models.gguf_writer import Tensor, Value, write
from fireside.training.export import vocabulary
from fireside.training.export.architectures import (
    Sizes,
    metadata,
    ordered,
    sizes,
    stretching,
    tensor_name,
    vocabulary_size,
)
from fireside.training.export.checkpoint import Checkpoint, Weights, read

if TYPE_CHECKING:
    import numpy

FILE_TYPES: Mapping[str, int] = {"F32": 0, "F16": 1, "BF16": 32}
Progress = Callable[[int, int], None]


def write_model(
    folder: Path,
    target: Path,
    *,
    kind: str = "auto",
    told: Mapping[str, Value] | None = None,
    tokenizer: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> str:
    """Write the model in ``folder`` to ``target``; returns the type of its weights (F32, F16, BF16).

    ``kind``: that type, or auto = the widest the checkpoint has. ``told``: further metadata (``general.name`` ...). ``tokenizer``: where
    its files are, when not beside the weights. Vectors stay F32. Raises ``Invalid``, ``ModelNotFound`` and ``OutOfResources``.
    """
    found = read(folder)
    shape = sizes(found)
    chosen = found.kind if kind == "auto" else kind
    # Everything is read and judged before the first byte is written.
    tensors = model_tensors(found, shape, chosen)
    header: dict[str, Value] = metadata(found, shape)
    header |= {"general.type": "model", "general.file_type": FILE_TYPES[chosen]}
    header |= dict(told or {})
    header |= vocabulary.metadata(tokenizer or folder, vocabulary_size(found))
    with disk_errors(f"writing {target.name}"):
        write(target, header, tensors, progress=progress)
    return chosen


def model_tensors(found: Checkpoint, shape: Sizes, kind: str) -> list[Tensor]:
    """All tensors of the file, in the order of the layers. Raises ``Invalid`` when one is missing."""
    tensors: dict[str, Tensor] = {}
    for weights in found.tensors.values():
        name = tensor_name(weights.name)
        if name is None or (shape.tied and name == "output.weight"):
            continue
        stored = kind if len(weights.shape) > 1 else "F32"
        tensors[name] = Tensor(name, weights.shape, stored, _values(weights, name, shape))
    factors = stretching(found, shape)
    if factors is not None:
        tensors["rope_freqs.weight"] = Tensor("rope_freqs.weight", factors.shape, "F32", lambda: factors)
    missing = [name for name in _needed(shape) if name not in tensors]
    if missing:
        raise Invalid(f"{found.folder} lacks the tensor {missing[0]}", remedy="copy the whole folder again")
    return sorted(tensors.values(), key=_place)


def _values(weights: Weights, name: str, shape: Sizes) -> "Callable[[], numpy.ndarray]":
    return lambda: ordered(weights.floats(), name, shape)


def _needed(shape: Sizes) -> list[str]:
    parts = ("attn_norm", "ffn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    layers = [f"blk.{layer}.{part}.weight" for layer in range(shape.layers) for part in parts]
    return ["token_embd.weight", "output_norm.weight", *layers]


def _place(tensor: Tensor) -> tuple[int, str]:
    """What is outside the layers first, then layer by layer."""
    parts = tensor.name.split(".")
    return (int(parts[1]) if parts[0] == "blk" else -1, tensor.name)
