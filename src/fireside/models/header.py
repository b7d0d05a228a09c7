"""Read the header of a GGUF file: its metadata and its list of tensors, never its weights.

Written for files nobody vouches for. Every count and length is held against the size of the file before it is used, nothing is
allocated on the file's word alone, and whatever is wrong is said in plain words with the byte where it is. Whether a well-formed
header describes a model that can run is ``soundness``'s question.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Version 2 and 3, little-endian.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NoReturn

from fireside.core.errors import Invalid
from fireside.models.magic import looks_like
from fireside.models.tensors import TENSOR_TYPES, TensorInfo

HEADER_LIMIT = 128 << 20
"""Bytes a header may take. The largest known, 256,000 tokens with half a million merges, takes about 20 MB."""
FIRST_READ = 1 << 20
KEY_LIMIT = 65_535
NAME_LIMIT = 64
COUNT_LIMIT = 65_536
"""Tensors, and metadata entries, a file may have; the largest known have about 3,000 and 100."""
DIMENSIONS = 4
ELEMENTS_LIMIT = 2**63
ALIGNMENT = 32

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
SCALARS: Mapping[int, struct.Struct] = MappingProxyType(
    {code: struct.Struct("<" + letter) for code, letter in zip((*range(8), 10, 11, 12), "BbHhIif?Qqd", strict=True)}
)
LENGTH = struct.Struct("<Q")
TYPE = struct.Struct("<I")
DAMAGED = "download it again: fireside models pull URL"
SMALLEST_PAIR = 8 + 1 + 4 + 1
SMALLEST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8

Scalar = int | float | bool | str


class Array:
    """A list in the metadata, kept as the file's bytes: counting is free, values are made when they are asked for."""

    __slots__ = ("_raw", "kind", "size")

    def __init__(self, kind: int, size: int, raw: bytes) -> None:
        self.kind = kind
        self.size = size
        self._raw = raw

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Scalar]:
        if self.kind == STRING:
            return (text.decode("utf-8", "replace") for text in self.texts())
        return (value for (value,) in SCALARS[self.kind].iter_unpack(self._raw))

    def pick(self, indexes: Iterable[int]) -> dict[int, str]:
        """The strings at these places, in one pass; places the list does not have are left out."""
        unpack, found = LENGTH.unpack_from, {}
        at = here = 0
        for index in sorted(index for index in set(indexes) if 0 <= index < self.size):
            for _ in range(index - here):
                at += 8 + unpack(self._raw, at)[0]
            here = index
            length = unpack(self._raw, at)[0]
            found[index] = self._raw[at + 8 : at + 8 + length].decode("utf-8", "replace")
        return found

    def holds(self, text: str) -> bool:
        """Whether a list of strings has this entry (its bytes are searched, so an entry that looks like a list could deceive)."""
        data = text.encode()
        return LENGTH.pack(len(data)) + data in self._raw

    def texts(self) -> Iterator[bytes]:
        """The entries of a list of strings, undecoded."""
        at = 0
        for _ in range(self.size):
            end = at + 8 + LENGTH.unpack_from(self._raw, at)[0]
            yield self._raw[at + 8 : end]
            at = end


Value = Scalar | Array


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF says about itself. ``size``: of the file; ``data_start``: where the weights begin; both in bytes.

    ``kinds``: the type each metadata entry was stored as (UINT32 and its neighbours), by key.
    """

    path: Path
    version: int
    metadata: Mapping[str, Value]
    kinds: Mapping[str, int]
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_start: int
    size: int

    @property
    def architecture(self) -> str:
        return self.text("general.architecture")

    def text(self, key: str) -> str:
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int | None:
        """A whole number, or ``None`` when the key is missing or is something else."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def array(self, key: str) -> Array | None:
        value = self.metadata.get(key)
        return value if isinstance(value, Array) else None


def read_header(path: str | Path) -> Header:
    """Read and check the structure of a GGUF's header. Raises ``Invalid`` saying what is wrong and where."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _Reader(path, file).header()
    except OSError as error:
        reason = {FileNotFoundError: "does not exist", IsADirectoryError: "is a folder, not a file"}.get(
            type(error), f"cannot be read: {error.strerror}"
        )
        raise Invalid(f"{printable(path)} {reason}", remedy="fireside models list") from error


def printable(name: object) -> str:
    """A name from outside as one short line."""
    text = "".join(char if char.isprintable() else "?" for char in str(name))
    return text if len(text) <= 200 else text[:197] + "..."


class _Reader:
    """A cursor over the first bytes of one file; more of them are read when the cursor needs them."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.size = file.seek(0, 2)
        file.seek(0)
        self.buffer = file.read(FIRST_READ)
        self.at = 0
        self.kinds: dict[str, int] = {}

    def header(self) -> Header:
        version, tensor_count, pair_count = self.opening()
        metadata = self.metadata(pair_count)
        alignment = self.alignment(metadata)
        tensors = self.tensors(tensor_count)
        data_start = -(-self.at // alignment) * alignment
        self.check_places(tensors, alignment, data_start)
        return Header(
            path=self.path,
            version=version,
            metadata=MappingProxyType(metadata),
            kinds=MappingProxyType(self.kinds),
            tensors=tensors,
            alignment=alignment,
            data_start=data_start,
            size=self.size,
        )

    # What a header is made of

    def opening(self) -> tuple[int, int, int]:
        if self.buffer[:4] != b"GGUF":
            kind, remedy = looks_like(self.buffer[:4096], self.path.suffix)
            raise Invalid(f"{printable(self.path.name)} is not a GGUF file: {kind}", remedy=remedy)
        self.at = 4
        version = self.u32("the version")
        if version & 0xFFFF == 0:
            self.fail("is a big-endian GGUF; this reader and llama.cpp on this machine take little-endian files")
        if version not in (2, 3):
            self.fail(f"has GGUF version {version}; versions 2 and 3 can be read")
        tensors = self.count("tensors", SMALLEST_TENSOR)
        return version, tensors, self.count("metadata entries", SMALLEST_PAIR)

    def metadata(self, count: int) -> dict[str, Value]:
        pairs: dict[str, Value] = {}
        for index in range(count):
            start = self.at
            key = self.string(f"the name of metadata entry {index}", KEY_LIMIT)
            if not key or not key.isprintable():
                self.fail(f"has a damaged name for metadata entry {index}", start)
            if key in pairs:
                self.fail(f"has the metadata entry {key} twice", start)
            pairs[key] = self.value(key)
        return pairs

    def value(self, key: str) -> Value:
        start = self.at
        kind = self.kinds[key] = self.u32(f"the type of {key}")
        if kind == STRING:
            return self.string(f"the text of {key}", HEADER_LIMIT)
        if kind == ARRAY:
            return self.array(key)
        if kind not in SCALARS:
            self.fail(f"gives {key} the unknown type {kind}", start)
        return self.scalar(SCALARS[kind], f"the value of {key}")

    def array(self, key: str) -> Array:
        start = self.at
        kind = self.u32(f"the element type of {key}")
        size = self.u64(f"the length of {key}")
        if kind == ARRAY:
            self.fail(f"has a list of lists in {key}, which GGUF readers do not take", start)
        if kind != STRING and kind not in SCALARS:
            self.fail(f"gives {key} the unknown element type {kind}", start)
        width = 8 if kind == STRING else SCALARS[kind].size
        if size * width > self.size - self.at:
            self.fail(f"says {key} has {size:,} entries, more than the file has room for", start)
        begin = self.at
        if kind == STRING:
            self.skip_strings(key, size)
        else:
            self.skip(size * width, key)
        return Array(kind, size, self.buffer[begin : self.at])

    def tensors(self, count: int) -> tuple[TensorInfo, ...]:
        found: dict[str, TensorInfo] = {}
        for index in range(count):
            start = self.at
            name = self.string(f"the name of tensor {index}", self.size)
            if not name or not name.isprintable() or len(name.encode()) >= NAME_LIMIT:
                self.fail(f"has a damaged name for tensor {index} of {count}", start)
            if name in found:
                self.fail(f"has the tensor {name} twice", start)
            found[name] = self.tensor(name)
        return tuple(found.values())

    def tensor(self, name: str) -> TensorInfo:
        start = self.at
        dimensions = self.u32(f"the dimensions of {name}")
        if dimensions > DIMENSIONS:
            self.fail(f"gives tensor {name} {dimensions:,} dimensions; at most {DIMENSIONS} exist", start)
        shape = tuple(self.u64(f"the shape of {name}") for _ in range(dimensions))
        kind = self.u32(f"the type of {name}")
        offset = self.u64(f"the offset of {name}")
        if kind not in TENSOR_TYPES:
            self.fail(f"stores tensor {name} as type {kind}, which is damaged or newer than this Fireside", start)
        tensor = TensorInfo(name, shape, kind, offset)
        if tensor.elements == 0:
            self.fail(f"has the empty tensor {name} {tensor.dimensions}", start)
        if tensor.elements >= ELEMENTS_LIMIT:
            self.fail(f"gives tensor {name} the impossible shape {tensor.dimensions}", start)
        if tensor.row % TENSOR_TYPES[kind].block:
            wanted = TENSOR_TYPES[kind]
            self.fail(f"gives tensor {name} rows of {tensor.row}, but {wanted.name} comes in {wanted.block}s", start)
        return tensor

    def alignment(self, metadata: Mapping[str, Value]) -> int:
        value = metadata.get("general.alignment", ALIGNMENT)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0 or value & (value - 1):
            self.fail(f"has general.alignment {printable(value)}; it must be a power of two")
        return value

    def check_places(self, tensors: tuple[TensorInfo, ...], alignment: int, data_start: int) -> None:
        """Tensors follow each other in order, each at the next aligned byte, as llama.cpp demands."""
        expected = 0
        for tensor in tensors:
            if tensor.offset != expected:
                why = "not aligned" if tensor.offset % alignment else "out of place"
                self.fail(
                    f"has tensor {tensor.name} {why}: at offset {tensor.offset:,}, expected {expected:,}", data_start
                )
            end = data_start + tensor.offset + tensor.bytes
            if end > self.size:
                raise Invalid(
                    f"{printable(self.path.name)} is truncated: tensor {tensor.name} ends at byte {end:,}, "
                    f"but the file has {self.size:,}",
                    remedy=DAMAGED,
                )
            expected += -(-tensor.bytes // alignment) * alignment

    # How its parts are read

    def count(self, what: str, smallest: int) -> int:
        start = self.at
        number = self.u64(f"the number of {what}")
        if number * smallest > self.size or number > COUNT_LIMIT:
            self.fail(f"says it has {number:,} {what}, more than its {self.size:,} bytes can hold", start)
        return number

    def u32(self, what: str) -> int:
        return int(self.scalar(TYPE, what))

    def u64(self, what: str) -> int:
        return int(self.scalar(LENGTH, what))

    def scalar(self, layout: struct.Struct, what: str) -> int | float | bool:
        self.need(layout.size, what)
        value: int | float | bool = layout.unpack_from(self.buffer, self.at)[0]
        self.at += layout.size
        return value

    def string(self, what: str, limit: int) -> str:
        start = self.at
        length = self.u64(f"the length of {what}")
        if length > limit or length > self.size - self.at:
            self.fail(f"says {what} is {length:,} bytes long", start)
        begin = self.skip(length, what)
        return self.buffer[begin : self.at].decode("utf-8", "replace")

    def skip(self, length: int, what: str) -> int:
        """Go ``length`` bytes on; returns where they begin."""
        self.need(length, what)
        begin = self.at
        self.at += length
        return begin

    def skip_strings(self, key: str, count: int) -> None:
        # 300,000 of these stand in a usual header, so the loop does nothing but add; running over the end shows as an exception.
        at, done = self.at, 0
        unpack, buffer = LENGTH.unpack_from, self.buffer
        while done < count:
            try:
                for done in range(done, count):  # noqa: B007, B020  goes on where it stopped
                    at += 8 + unpack(buffer, at)[0]
                done = count
            except (struct.error, OverflowError):
                if at > self.size:
                    self.fail(f"is cut off or damaged: an entry of {key} runs past the end of the file", self.at)
                self.at = at
                self.need(8, f"entry {done:,} of {key}")
                buffer = self.buffer
        if at > self.size:
            self.fail(f"is cut off or damaged: an entry of {key} runs past the end of the file", self.at)
        self.at = at
        self.need(0, key)

    def need(self, length: int, what: str) -> None:
        """Have the next ``length`` bytes in the buffer."""
        end = self.at + length
        if end > self.size:
            self.fail(f"is truncated: it ends in the middle of {what}")
        if end > HEADER_LIMIT:
            self.fail(f"has a header of more than {HEADER_LIMIT:,} bytes ({what}), so it is damaged")
        if end > len(self.buffer):
            wanted = min(max(end, 2 * len(self.buffer)), self.size)
            self.buffer += self.file.read(wanted - len(self.buffer))
            if end > len(self.buffer):
                self.fail("became shorter while it was read")

    def fail(self, what: str, at: int | None = None) -> NoReturn:
        where = self.at if at is None else at
        raise Invalid(f"{printable(self.path.name)} {what} (at byte {where:,})", remedy=DAMAGED, at=where)
