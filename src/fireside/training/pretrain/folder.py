"""The trained model as transformers reads it: config.json, model.safetensors and the tokenizer's files. Knows nothing of training."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fireside.models.disk import write_atomically
from fireside.training.prepare import packed, tokenizer
from fireside.training.pretrain.decoder import Shape
from fireside.training.weights_file import save_weights

if TYPE_CHECKING:
    from torch import Tensor


def save(folder: Path, shape: Shape, weights: "Mapping[str, Tensor]", prepared: Path, kind: str) -> None:
    """Write the model; config.json comes last, so that a folder that has one is whole. ``kind``: float32 or bfloat16."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    made = {name: weight.detach().cpu().to(getattr(torch, kind)).contiguous() for name, weight in weights.items()}
    save_weights(made, folder / "model.safetensors")
    for place in sorted((prepared / "tokenizer").iterdir()):
        if place.is_file():
            shutil.copyfile(place, folder / place.name)
    told = packed.meta(prepared)
    config: dict[str, Any] = shape.config() | {
        "bos_token_id": None,
        "eos_token_id": told.eot,
        "pad_token_id": told.pad,
        "dtype": kind,
        tokenizer.FIM_ORDER: told.fim_order,
    }
    write_atomically(folder / "config.json", msgspec.json.format(msgspec.json.encode(config)))
