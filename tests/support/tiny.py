"""One tiny random model per test run, shared by all workers. Never committed, never downloaded."""

import os
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path

from fireside.models import gguf_writer, tiny


@cache
def tiny_gguf(size: tiny.Size = "tiny", quantization: tiny.Quantization = "F16", seed: int = 0) -> Path:
    """The path of a small random model; written by the first who asks (atomically, so two workers may race)."""
    sources = Path(tiny.__file__).read_bytes() + Path(gguf_writer.__file__).read_bytes()
    name = f"{size}-{quantization}-{seed}-{sha256(sources).hexdigest()[:16]}.gguf"
    path = Path(tempfile.gettempdir()) / f"fireside-test-models-{os.getuid()}" / name
    return path if path.exists() else tiny.write(path, size=size, seed=seed, quantization=quantization)
