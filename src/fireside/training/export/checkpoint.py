"""A model's folder as Hugging Face writes it: its configuration and its tensors, read without torch.

Weights are mapped, not loaded: a tensor is in memory while somebody holds it. The format: huggingface.co/docs/safetensors.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from fireside.core.errors import Invalid, ModelNotFound

if TYPE_CHECKING:
    import numpy

# safetensors' names -> how many bytes a number has.
SIZES: Mapping[str, int] = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
HEADER_LIMIT = 100 << 20
AGAIN = "copy the whole folder again"


@dataclass(frozen=True, slots=True)
class Weights:
    """One tensor of a file. ``shape``: rows first. ``start``: its first byte in the file."""

    path: Path
    name: str
    kind: str
    shape: tuple[int, ...]
    start: int

    def floats(self) -> "numpy.ndarray":
        """Its values as float32. Raises ``Invalid`` when one of them is no number."""
        import numpy

        stored = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}[self.kind]
        values = numpy.memmap(self.path, stored, "r", self.start, self.shape) if prod(self.shape) else numpy.zeros(0)
        if self.kind == "BF16":
            plain = (values.astype(numpy.uint32) << 16).view(numpy.float32)
        else:
            plain = numpy.asarray(values, numpy.float32)
        if not numpy.isfinite(plain).all():
            raise Invalid(
                f"{self.name} in {self.path.name} has values that are no numbers",
                remedy="the training went wrong: train again at a lower rate",
            )
        return plain.reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``config``: config.json. ``tensors``: by Hugging Face's names. ``kind``: the widest of their types."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Weights]

    @property
    def kind(self) -> str:
        kinds = {tensor.kind for tensor in self.tensors.values()}
        return next((kind for kind in ("F32", "BF16", "F16") if kind in kinds), "F32")

    @property
    def size(self) -> int:
        """Bytes of the weights as they lie there."""
        return sum(prod(tensor.shape) * SIZES[tensor.kind] for tensor in self.tensors.values())

    def number(self, key: str) -> int:
        """Raises ``Invalid`` when the configuration does not say."""
        value = self.config.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise Invalid(f"{self.folder / 'config.json'} does not tell {key}", remedy=AGAIN)
        return value


def read(folder: Path) -> Checkpoint:
    """A model's folder. Raises ``ModelNotFound`` when there is none, ``Invalid`` for one that cannot be read."""
    if not folder.is_dir():
        raise ModelNotFound(
            f"the model folder {folder} is not there", remedy="name a folder with config.json and model.safetensors"
        )
    config = read_json(folder / "config.json")
    return Checkpoint(folder, config, _all_tensors(folder))


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds a JSON object. Raises ``Invalid``."""
    try:
        found = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise Invalid(f"{path.parent} has no {path.name}", remedy=AGAIN) from error
    except (OSError, orjson.JSONDecodeError) as error:
        raise Invalid(f"{path} cannot be read: {error}", remedy=AGAIN) from error
    if not isinstance(found, dict):
        raise Invalid(f"{path} does not hold what its name says", remedy=AGAIN)
    return found


def tensors_of(path: Path) -> Iterator[Weights]:
    """What a safetensors file holds, from its header. Raises ``Invalid`` for one that is damaged, or of a type we do not read."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(HEADER_LIMIT, size - 8):
                raise Invalid(f"{path.name} is no safetensors file, or is cut off", remedy=AGAIN)
            header = orjson.loads(file.read(length))
    except FileNotFoundError as error:
        raise Invalid(f"{path.parent} has no {path.name}", remedy=AGAIN) from error
    except (OSError, orjson.JSONDecodeError) as error:
        raise Invalid(f"{path.name} is damaged: {error}", remedy=AGAIN) from error
    for name, told in header.items():
        if name != "__metadata__":
            yield _tensor(path, name, told, 8 + length, size)


def _tensor(path: Path, name: str, told: object, data: int, size: int) -> Weights:
    try:
        assert isinstance(told, dict)
        kind, shape = str(told["dtype"]), tuple(int(length) for length in told["shape"])
        start, end = (int(place) for place in told["data_offsets"])
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise Invalid(f"{path.name} is damaged: it does not describe {name}", remedy=AGAIN) from error
    if kind not in SIZES:
        raise Invalid(
            f"{path.name} stores {name} as {kind}; a checkpoint in {', '.join(SIZES)} is needed",
            remedy="name the checkpoint before it was quantized",
        )
    if start < 0 or end - start != prod(shape) * SIZES[kind] or data + end > size:
        raise Invalid(f"{path.name} is cut off or damaged at {name}", remedy=AGAIN)
    return Weights(path, name, kind, shape, data + start)


def _all_tensors(folder: Path) -> dict[str, Weights]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        places = read_json(index).get("weight_map")
        if not isinstance(places, dict):
            raise Invalid(f"{index} names no files", remedy=AGAIN)
        files = [folder / Path(str(name)).name for name in sorted(set(places.values()))]
    elif (folder / "model.safetensors").is_file():
        files = [folder / "model.safetensors"]
    else:
        pickled = any(folder.glob("pytorch_model*.bin"))
        raise Invalid(
            f"{folder} has no model.safetensors" + (", only PyTorch's own files" if pickled else ""),
            remedy="save it again as safetensors: model.save_pretrained(FOLDER)" if pickled else AGAIN,
        )
    return {tensor.name: tensor for file in files for tensor in tensors_of(file)}
