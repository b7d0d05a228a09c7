"""Write a GGUF file, version 3 (ggml-org/ggml, docs/gguf.md). Knows the container, nothing of any architecture.

The file appears whole or not at all. Tensors are produced one at a time, so a large model never stands in memory twice.
"""

import os
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy

ALIGNMENT = 32
BLOCK = 32
Value = str | bool | int | float | Sequence[str] | Sequence[int]
TensorType = Literal["F32", "F16", "Q8_0"]
TYPE_CODES: Mapping[TensorType, int] = {"F32": 0, "F16": 1, "Q8_0": 8}
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9


@dataclass(frozen=True, slots=True)
class Tensor:
    """``shape``: as NumPy has it, rows first. ``values``: called once, when the tensor is written; float32 of that shape."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    values: "Callable[[], numpy.ndarray]"

    @property
    def size(self) -> int:
        """Bytes in the file, without padding."""
        count = 1
        for length in self.shape:
            count *= length
        return {"F32": count * 4, "F16": count * 2, "Q8_0": count // BLOCK * (2 + BLOCK)}[self.type]


def write(path: Path, metadata: Mapping[str, Value], tensors: Sequence[Tensor]) -> Path:
    """Write the file under a temporary name beside ``path`` and move it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            for part in _header(metadata, tensors):
                file.write(part)
            _pad(file)
            for tensor in tensors:
                file.write(pack(tensor.values(), tensor.type))
                _pad(file)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def pack(values: "numpy.ndarray", kind: TensorType) -> bytes:
    """Float32 values as the bytes of a tensor type."""
    if kind == "Q8_0":
        return _q8_0(values)
    return values.astype("<f4" if kind == "F32" else "<f2").tobytes()


def _q8_0(values: "numpy.ndarray") -> bytes:
    """Blocks of 32 values: a float16 scale (largest magnitude / 127), then 32 signed bytes."""
    import numpy

    blocks = values.astype(numpy.float32).reshape(-1, BLOCK)
    scales = numpy.abs(blocks).max(axis=1) / 127
    inverse = numpy.divide(1, scales, out=numpy.zeros_like(scales), where=scales > 0)
    packed = numpy.empty(len(blocks), dtype=[("scale", "<f2"), ("values", "i1", BLOCK)])
    packed["scale"] = scales
    packed["values"] = numpy.rint(blocks * inverse[:, None])
    return packed.tobytes()


def _header(metadata: Mapping[str, Value], tensors: Sequence[Tensor]) -> Iterator[bytes]:
    yield b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        yield _string(key) + _value(value)
    offset = 0
    for tensor in tensors:
        dimensions = tuple(reversed(tensor.shape))
        shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        yield _string(tensor.name) + shape + struct.pack("<IQ", TYPE_CODES[tensor.type], offset)
        offset += -(-tensor.size // ALIGNMENT) * ALIGNMENT


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", FLOAT32, value)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", ARRAY, STRING, len(value)) + b"".join(_string(str(item)) for item in value)
    numbers = [int(item) for item in value]
    return struct.pack(f"<IIQ{len(numbers)}i", ARRAY, INT32, len(numbers), *numbers)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _pad(file: IO[bytes]) -> None:
    file.write(bytes(-file.tell() % ALIGNMENT))
