"""Make a model smaller: its weights in fewer bits, mixed as llama.cpp's own tool mixes them. Knows GGUF files, no model.

``quantize`` works in a child process (``python -m fireside.models.quantize``), for it calls into llama.cpp's library. One tensor is in
memory at a time. The target appears whole or not at all.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fireside.core.errors import FiresideError, Invalid, OutOfResources, ToolFailed
from fireside.models.disk import check_space, disk_errors
from fireside.models.gguf import read_header, verify
from fireside.models.gguf_writer import TYPE_CODES, Tensor, Value, copied, write
from fireside.models.header import Header, printable
from fireside.models.tensors import FILE_TYPES, TENSOR_TYPES, TensorInfo

if TYPE_CHECKING:
    import numpy

# What most weights of a kind are stored as.
KINDS: Mapping[str, str] = {"Q8_0": "Q8_0", "Q6_K": "Q6_K", "Q5_K_M": "Q5_K", "Q4_K_M": "Q4_K"}
READABLE = ("F32", "F16", "BF16", "Q8_0")
# Rows that are no multiple of 256 cannot be of a K type (llama-quant.cpp, tensor_type_fallback).
FALLBACK: Mapping[str, str] = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
LAYER = re.compile(r"blk\.(\d+)\.(\w+)\.weight")
KEPT = ("ffn_gate_inp.weight", "altup", "laurel", "per_layer_model_proj", "ssm_conv1d", "shortconv.conv")
QUANTIZATION_VERSION = 2
# Values of one tensor that are turned into floats at a time.
SLICE = 32 << 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Quantized:
    """``size``: bytes of the new file. ``types``: tensor type -> tensors. ``fallbacks``: those that could not have their type, each with
    the reason."""

    path: Path
    size: int
    types: Mapping[str, int]
    fallbacks: tuple[str, ...]


class _Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the child says: how far it is, or how it ended."""

    done: int = 0
    total: int = 0
    error: str = ""
    remedy: str = ""
    full: bool = False


def quantize(source: Path, target: Path, kind: str, *, progress: Progress = lambda done, total: None) -> Quantized:
    """Write the model in ``source`` to ``target`` as ``kind``, one of KINDS. ``progress``: tensors done, and in all.

    Raises ``Invalid`` for a kind that is none and for a source that is no whole model in F32, F16, BF16 or Q8_0 (what was quantized
    further has lost what a better kind would keep), ``OutOfResources`` when the disk is too small.
    """
    header = check(source, kind)
    types = mixture(header, kind)
    if target.exists() and target.samefile(source):
        raise Invalid(f"{target} is the model itself", remedy="name another file")
    with disk_errors("quantizing"):
        target.parent.mkdir(parents=True, exist_ok=True)
        check_space(target.parent, estimate(header, kind))
    _run_child(source, target, kind, progress)
    counted = {name: list(types.values()).count(name) for name in sorted(set(types.values()))}
    return Quantized(target, target.stat().st_size, counted, tuple(fallbacks(header, kind)))


def check(source: Path, kind: str) -> Header:
    """The header of a file that can be quantized as ``kind``. Raises ``Invalid``."""
    if kind not in KINDS:
        raise Invalid(f"{printable(kind)} is no quantization Fireside makes", remedy=f"name one of: {', '.join(KINDS)}")
    header = read_header(source)
    verify(header)
    spent = sorted({TENSOR_TYPES[one.type].name for one in header.tensors if _changes(one)}.difference(READABLE))
    if spent:
        raise Invalid(
            f"{printable(source.name)} is quantized already ({', '.join(spent)}); again would cost quality twice",
            remedy="start from the file it was made of: F32, F16, BF16 or Q8_0",
        )
    return header


def mixture(header: Header, kind: str) -> dict[str, str]:
    """Tensor -> type, as llama.cpp's llama_tensor_get_type chooses them for a dense model (no importance matrix)."""
    names = {tensor.name for tensor in header.tensors}
    layers = header.number(f"{header.architecture}.block_count") or 1
    return {
        tensor.name: _fitting(tensor, _wanted(tensor.name, kind, layers, tied="output.weight" not in names))
        if _changes(tensor)
        else TENSOR_TYPES[tensor.type].name
        if len(tensor.shape) > 1
        else "F32"
        for tensor in header.tensors
    }


def fallbacks(header: Header, kind: str) -> Iterator[str]:
    """A line for each kind of row that cannot have its type."""
    names = {tensor.name for tensor in header.tensors}
    layers = header.number(f"{header.architecture}.block_count") or 1
    found: dict[tuple[int, str, str], int] = {}
    for tensor in filter(_changes, header.tensors):
        wanted = _wanted(tensor.name, kind, layers, tied="output.weight" not in names)
        got = _fitting(tensor, wanted)
        if got != wanted:
            found[tensor.row, wanted, got] = found.get((tensor.row, wanted, got), 0) + 1
    for (row, wanted, got), count in found.items():
        yield f"{count} tensors have rows of {row}, no multiple of {_block(wanted)}: {got} instead of {wanted}"


def estimate(header: Header, kind: str) -> int:
    """Bytes the new file will have, near enough."""
    types = mixture(header, kind)
    return header.data_start + sum(
        tensor.elements // _block(types[tensor.name]) * TENSOR_TYPES[TYPE_CODES[types[tensor.name]]].bytes
        for tensor in header.tensors
    )


def _wanted(name: str, kind: str, layers: int, *, tied: bool) -> str:
    usual = KINDS[kind]
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        return usual if usual == "Q8_0" else "Q6_K"
    found = LAYER.fullmatch(name)
    if found is None or kind not in ("Q4_K_M", "Q5_K_M"):
        return usual
    layer, part = int(found[1]), found[2]
    if part in ("attn_v", "ffn_down") and _more_bits(layer, layers):
        return "Q6_K"
    if part == "attn_qkv":
        return "Q5_K" if kind == "Q4_K_M" else "Q6_K"
    return usual


def _more_bits(layer: int, layers: int) -> bool:
    """llama-quant.cpp's use_more_bits: the first and the last eighth, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _fitting(tensor: TensorInfo, wanted: str) -> str:
    if tensor.row % _block(wanted) == 0:
        return wanted
    other = FALLBACK.get(wanted, "F16")
    return other if tensor.row % _block(other) == 0 else "F16"


def _block(kind: str) -> int:
    return TENSOR_TYPES[TYPE_CODES[kind]].block


def _changes(tensor: TensorInfo) -> bool:
    """Whether a tensor is quantized: matrices of weights are; norms, biases and what routes experts are not."""
    return (
        len(tensor.shape) > 1
        and tensor.name.endswith("weight")
        and "_norm" not in tensor.name
        and not any(part in tensor.name for part in KEPT)
    )


# In the child


def convert(source: Path, target: Path, kind: str, progress: Progress) -> None:
    """Do the work, here and now."""
    header = check(source, kind)
    types = mixture(header, kind)
    code = next(code for code, name in FILE_TYPES.items() if name == kind)
    metadata: dict[str, Value] = copied(header)
    metadata |= {"general.file_type": code, "general.quantization_version": QUANTIZATION_VERSION}
    tensors = [
        Tensor(one.name, tuple(reversed(one.shape)), types[one.name], _maker(header, one, types[one.name]))
        for one in header.tensors
    ]
    write(target, metadata, tensors, progress=progress)


def _maker(header: Header, tensor: TensorInfo, kind: str) -> Callable[[], bytes]:
    return lambda: _made(header, tensor, kind)


def _made(header: Header, tensor: TensorInfo, kind: str) -> bytes:
    """The bytes of one tensor in its new type."""
    import numpy

    from fireside.models.gguf_writer import pack
    from fireside.models.native import quantized

    stored = TENSOR_TYPES[tensor.type]
    data = numpy.memmap(header.path, numpy.uint8, "r", header.data_start + tensor.offset, (tensor.bytes,))
    if stored.name == kind:
        return data.tobytes()
    rows = tensor.elements // tensor.row
    width = tensor.row // stored.block * stored.bytes
    many = max(1, SLICE // tensor.row)
    parts = []
    for start in range(0, rows, many):
        values = floats(data[start * width : (start + many) * width], stored.name).reshape(-1, tensor.row)
        if not numpy.isfinite(values).all():
            raise Invalid(
                f"{printable(header.path.name)} has weights that are no numbers, in {tensor.name}",
                remedy="the training went wrong: train again at a lower rate",
            )
        parts.append(pack(values, kind) if kind in ("F32", "F16") else quantized(values, TYPE_CODES[kind]))
    return b"".join(parts)


def floats(data: "numpy.ndarray", kind: str) -> "numpy.ndarray":
    """Bytes of a tensor type in READABLE as float32, flat."""
    import numpy

    if kind == "F32":
        return data.view("<f4")
    if kind == "F16":
        return data.view("<f2").astype(numpy.float32)
    if kind == "BF16":
        return (data.view("<u2").astype(numpy.uint32) << 16).view(numpy.float32)
    blocks = data.view([("scale", "<f2"), ("values", "i1", 32)])
    scaled: numpy.ndarray = blocks["values"] * blocks["scale"].astype(numpy.float32)[:, None]
    return scaled.reshape(-1)


def _run_child(source: Path, target: Path, kind: str, progress: Progress) -> None:
    command = [sys.executable, "-m", "fireside.models.quantize", str(source), str(target), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            last = _Line()
            for line in child.stdout:
                last = msgspec.json.decode(line, type=_Line)
                if last.total:
                    progress(last.done, last.total)
            told = child.stderr.read().decode("utf-8", "replace")
        except BaseException:
            child.terminate()
            raise
    if last.error:
        kind_of: type[FiresideError] = OutOfResources if last.full else Invalid
        raise kind_of(last.error, remedy=last.remedy)
    if child.returncode:
        words = told.strip().splitlines() or [f"exit code {child.returncode}"]
        raise ToolFailed(f"quantizing {printable(source.name)} failed: {words[-1]}", remedy="fireside doctor")


def main(words: Sequence[str]) -> int:
    """The child: SOURCE TARGET KIND. Lines of JSON on standard output."""
    import signal

    signal.signal(signal.SIGTERM, _stop)
    source, target, kind = words

    def say(line: _Line) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        sys.stdout.buffer.flush()

    try:
        with disk_errors("quantizing"):
            convert(Path(source), Path(target), kind, lambda done, total: say(_Line(done=done, total=total)))
    except FiresideError as error:
        say(_Line(error=error.message, remedy=error.remedy, full=isinstance(error, OutOfResources)))
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    return 0


def _stop(number: int, frame: object) -> None:
    """Leave by the way that clears away what is half written."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
