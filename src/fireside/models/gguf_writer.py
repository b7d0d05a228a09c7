"""Write a GGUF file, version 3 (ggml-org/ggml, docs/gguf.md). Knows the container, nothing of any architecture.

The file appears whole or not at all. Tensors are produced one at a time, so a large model never stands in memory twice.
"""

import os
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fireside.models.disk import check_space
from fireside.models.header import ARRAY, BOOL, FLOAT32, INT32, SCALARS, STRING, UINT32, Header
from fireside.models.header import Array as Listed
from fireside.models.tensors import TENSOR_TYPES

if TYPE_CHECKING:
    import numpy

ALIGNMENT = 32
BLOCK = 32
# The usual types by name, and how NumPy's floats become their bytes; what else TENSOR_TYPES names can only be written as bytes.
TYPE_CODES: Mapping[str, int] = {kind.name: code for code, kind in TENSOR_TYPES.items()}
FROM_FLOATS = ("F32", "F16", "BF16", "Q8_0")


@dataclass(frozen=True, slots=True)
class Raw:
    """A metadata value as the bytes another file had, its type before it: nothing is lost on the way."""

    data: bytes


Value = str | bool | int | float | Sequence[str] | Sequence[int] | Raw
TensorType = str


@dataclass(frozen=True, slots=True)
class Tensor:
    """``shape``: as NumPy has it, rows first. ``type``: a name of TENSOR_TYPES.

    ``values``: called once, when the tensor is written: float32 of that shape, or the bytes as they shall lie in the file.
    """

    name: str
    shape: tuple[int, ...]
    type: TensorType
    values: "Callable[[], numpy.ndarray | bytes]"

    @property
    def size(self) -> int:
        """Bytes in the file, without padding."""
        count = 1
        for length in self.shape:
            count *= length
        kind = TENSOR_TYPES[TYPE_CODES[self.type]]
        return count // kind.block * kind.bytes


def write(
    path: Path,
    metadata: Mapping[str, Value],
    tensors: Sequence[Tensor],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the file under a temporary name beside ``path`` and move it there. ``progress``: tensors written, and in all.

    Raises ``OutOfResources`` before it begins when the disk is too small.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    check_space(path.parent, sum(tensor.size for tensor in tensors))
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            for part in _header(metadata, tensors):
                file.write(part)
            _pad(file)
            for done, tensor in enumerate(tensors, 1):
                _put(file, tensor)
                progress(done, len(tensors))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def pack(values: "numpy.ndarray", kind: TensorType) -> bytes:
    """Float32 values as the bytes of a tensor type, one of FROM_FLOATS."""
    import numpy

    if kind == "Q8_0":
        return _q8_0(values)
    if kind == "BF16":
        bits = numpy.ascontiguousarray(values, "<f4").view("<u4")
        # To the nearest, ties to even, as hardware rounds; adding half of what is cut off carries over by itself.
        rounded: bytes = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
        return rounded
    return values.astype("<f4" if kind == "F32" else "<f2").tobytes()


def copied(header: Header) -> dict[str, Value]:
    """The metadata of another file, every value of the type it has there."""
    return {key: Raw(_stored(header, key)) for key in header.metadata if key != "general.alignment"}


def _stored(header: Header, key: str) -> bytes:
    value, kind = header.metadata[key], header.kinds[key]
    if isinstance(value, Listed):
        if value.kind == STRING:
            entries = b"".join(struct.pack("<Q", len(text)) + text for text in value.texts())
        else:
            entries = b"".join(SCALARS[value.kind].pack(entry) for entry in value)
        return struct.pack("<IIQ", ARRAY, value.kind, len(value)) + entries
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    return struct.pack("<I", kind) + SCALARS[kind].pack(value)


def _put(file: IO[bytes], tensor: Tensor) -> None:
    values = tensor.values()
    data = bytes(values) if isinstance(values, bytes | bytearray) else pack(values, tensor.type)
    if len(data) != tensor.size:
        raise ValueError(f"{tensor.name} has {len(data)} bytes, and its shape asks for {tensor.size}")
    file.write(data)
    _pad(file)


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
    if isinstance(value, Raw):
        return value.data
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
