"""llama.cpp's own functions, called in the library that the embedded engine brings with it (xllamacpp): no other package is needed.

Whoever loads it does so in a process of its own: a fault in there ends the process. Knows where the library is and a few of its functions
(ggml.h); what they are used for is told elsewhere.
"""

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fireside.core.errors import Invalid, ToolFailed
from fireside.models.tensors import TENSOR_TYPES

if TYPE_CHECKING:
    import numpy

MISSING = "pip install --force-reinstall xllamacpp"


def library_path() -> Path:
    """Where the library is. Raises ``Invalid`` when the package is not installed."""
    found = importlib.util.find_spec("xllamacpp")
    place = None if found is None or found.origin is None else Path(found.origin).parent
    for pattern in ("xllamacpp*.so", "xllamacpp*.pyd", "xllamacpp*.dylib"):
        for path in sorted(place.glob(pattern)) if place else ():
            return path
    raise Invalid("the library of llama.cpp (xllamacpp) is not installed", remedy=MISSING)


@cache
def library() -> ctypes.CDLL:
    """The library, loaded. Raises ``Invalid`` when it cannot be."""
    path = library_path()
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise Invalid(f"{path.name} cannot be loaded: {error}", remedy=MISSING) from error


def function(name: str, result: object, *arguments: object) -> "ctypes._NamedFuncPointer":
    """A function of the library with its types. Raises ``ToolFailed`` when this version has none of that name."""
    try:
        found: ctypes._NamedFuncPointer = getattr(library(), name)
    except AttributeError as error:
        raise ToolFailed(f"this version of llama.cpp has no {name}", remedy="pip install --upgrade fireside") from error
    found.restype = result  # type: ignore[assignment]
    found.argtypes = arguments  # type: ignore[assignment]
    return found


def quantized(values: "numpy.ndarray", code: int) -> bytes:
    """Rows of float32 as the bytes of a tensor type (a key of TENSOR_TYPES), as llama.cpp makes them (ggml_quantize_chunk).

    ``values``: (rows, row length); the length must be a multiple of the type's block.
    """
    import numpy

    plain = numpy.ascontiguousarray(values, numpy.float32)
    rows, length = plain.shape
    kind = TENSOR_TYPES[code]
    target = ctypes.create_string_buffer(rows * length // kind.block * kind.bytes)
    function("ggml_quantize_init", None, ctypes.c_int)(code)
    chunk = function(
        "ggml_quantize_chunk",
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_void_p,
    )
    written = chunk(code, plain.ctypes.data, target, 0, rows, length, None)
    if written != len(target):
        raise ToolFailed(f"llama.cpp wrote {written} bytes of {kind.name}, not {len(target)}")
    return target.raw
