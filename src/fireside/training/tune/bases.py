"""The model an adapter is trained on: where it is, what it is, how large. Reads headers only; nothing heavy is loaded.

A base is a folder as Hugging Face writes them, or a GGUF.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from fireside.core.errors import FiresideError, Invalid, ModelNotFound
from fireside.models.gguf import Header, read_header

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
GGUF_ARCHITECTURES = ("llama", "qwen2")
SAMPLE = 1 << 20


@dataclass(frozen=True, slots=True)
class Base:
    """``path``: a folder or a GGUF. ``architecture``: as its own file calls it. ``stored``: bytes of the weights as they lie there."""

    path: Path
    kind: Literal["hf", "gguf"]
    architecture: str
    parameters: int
    stored: int
    hidden: int
    inner: int
    layers: int
    vocabulary: int
    context: int
    digest: str


def look(path: Path) -> Base:
    """What is at ``path``. Raises ``ModelNotFound`` when nothing is, ``Invalid`` when it is nothing one can tune."""
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return _gguf(path)
    raise ModelNotFound(
        f"the base model {path} is not there",
        remedy="name a folder with config.json and model.safetensors, or a GGUF; the models you have: fireside models",
    )


def _folder(path: Path) -> Base:
    config = _config(path / "config.json")
    files = [file for pattern in WEIGHTS for file in sorted(path.glob(pattern))]
    if not files:
        raise Invalid(f"{path} holds no weights (model.safetensors)", remedy="copy the whole model folder")
    stored = sum(file.stat().st_size for file in files)
    tensors = [shape for file in files if file.suffix == ".safetensors" for shape in _shapes(file)]
    architectures = config.get("architectures") or [config.get("model_type", "?")]
    return Base(
        path=path,
        kind="hf",
        architecture=str(architectures[0]),
        parameters=sum(tensors) if tensors else stored // 2,
        stored=stored,
        hidden=_number(config, "hidden_size", 1024),
        inner=_number(config, "intermediate_size", 4096),
        layers=_number(config, "num_hidden_layers", 12),
        vocabulary=_number(config, "vocab_size", 32000),
        context=_number(config, "max_position_embeddings", 2048),
        digest=digest([path / "config.json", *files]),
    )


def _gguf(path: Path) -> Base:
    header = read_header(path)
    name = header.architecture
    if name not in GGUF_ARCHITECTURES:
        raise Invalid(
            f"{path.name} is of the architecture {name}; an adapter can be trained on a GGUF of {' or '.join(GGUF_ARCHITECTURES)}",
            remedy="name the folder the GGUF was made from (config.json and model.safetensors)",
        )
    if any(tensor.name == "rope_freqs.weight" for tensor in header.tensors):
        raise Invalid(
            f"{path.name} scales its positions (rope_freqs), which a GGUF does not tell in full",
            remedy="name the folder the GGUF was made from (config.json and model.safetensors)",
        )
    return Base(
        path=path,
        kind="gguf",
        architecture=name,
        parameters=sum(tensor.elements for tensor in header.tensors),
        stored=header.size,
        hidden=_told(header, "embedding_length"),
        inner=_told(header, "feed_forward_length"),
        layers=_told(header, "block_count"),
        vocabulary=next((max(one.shape) for one in header.tensors if one.name == "token_embd.weight"), 0),
        context=_told(header, "context_length"),
        digest=digest([path]),
    )


def digest(files: list[Path]) -> str:
    """Changes when a file does: of its size and its beginning, middle and end. Gigabytes are not read for a plan."""
    told = hashlib.blake2b(digest_size=16)
    for path in files:
        size = path.stat().st_size
        told.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for place in (0, max(0, size // 2 - SAMPLE // 2), max(0, size - SAMPLE)):
                file.seek(place)
                told.update(file.read(SAMPLE))
    return told.hexdigest()


def _config(path: Path) -> dict[str, Any]:
    try:
        found = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise Invalid(f"{path.parent} holds no config.json", remedy="name the folder of a model") from error
    except (OSError, orjson.JSONDecodeError) as error:
        raise Invalid(f"{path} cannot be read: {error}", remedy="copy the model folder again") from error
    if not isinstance(found, dict):
        raise Invalid(f"{path} is no model's configuration", remedy="name the folder of a model")
    return found


def _shapes(path: Path) -> list[int]:
    """How many elements each tensor of a safetensors file has, from its header (8 bytes of length, then JSON)."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            behind = path.stat().st_size - 8 - size
            header = orjson.loads(file.read(size)) if behind >= 0 else {}
        tensors = [told for name, told in header.items() if name != "__metadata__"]
        needed = max((told["data_offsets"][1] for told in tensors), default=0)
        shapes = [_product(told["shape"]) for told in tensors]
    except (OSError, orjson.JSONDecodeError, AttributeError, KeyError, IndexError, TypeError) as error:
        raise Invalid(f"{path} is damaged: {error}", remedy="copy the model folder again") from error
    if behind < needed or behind < 0:
        raise Invalid(f"{path} is cut off", remedy="copy the model folder again")
    return shapes


def _product(shape: list[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _number(config: dict[str, Any], key: str, default: int) -> int:
    found = config.get(key, default)
    return found if isinstance(found, int) else default


def _told(header: Header, key: str) -> int:
    found = header.number(f"{header.architecture}.{key}")
    if not found:
        raise Invalid(f"{header.path} does not tell its {key}", remedy="make the GGUF again")
    return found


def refusal(path: Path) -> FiresideError | None:
    """Why ``path`` is no base, or ``None``."""
    try:
        look(path)
    except FiresideError as error:
        return error
    return None
