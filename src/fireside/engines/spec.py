"""What a child is to run, and the command line that runs it. Standard library only: the child reads this too."""

import sys
from pathlib import Path
from typing import Literal, NamedTuple

from fireside.engines.processes import physical_cores


class ChildSpec(NamedTuple):
    """One model server. Two Fireside processes that ask for the same one share it.

    ``model``: a GGUF file. ``context``: tokens of one request, prompt and answer; ``parallel``: requests at a time, each with a whole
    context. ``threads``: 0 chooses. ``gpu_layers``: -1 lets llama.cpp choose. ``loras``: (file, scale). ``binary``: a ``llama-server``
    to run instead of the built-in one. ``prompt_cache``: MiB of memory for prefixes that left their slot. ``nice``: added to the
    process's niceness. ``idle_seconds``: without a request for so long, the child leaves. ``module``: what serves, without a ``binary``.
    """

    model: str
    context: int = 8192
    parallel: int = 2
    embedding: bool = False
    pooling: Literal["", "mean", "cls", "last"] = ""
    threads: int = 0
    gpu_layers: int = -1
    kv_cache: Literal["f16", "q8_0"] = "f16"
    prompt_cache: int = 1024
    loras: tuple[tuple[str, float], ...] = ()
    binary: str = ""
    nice: int = 0
    idle_seconds: float = 300.0
    module: str = "fireside.engines.host"

    @property
    def total_context(self) -> int:
        """llama.cpp divides its context among the slots; Fireside counts per request."""
        return self.context * self.parallel


def command_line(spec: ChildSpec, folder: Path, port: int) -> list[str]:
    """The server's arguments. Its key travels in ``LLAMA_API_KEY``, never here, where ``ps`` would show it."""
    if not spec.binary:
        return [sys.executable, "-P", "-m", spec.module, str(folder / "spec.json"), str(port)]
    threads = str(thread_count(spec.threads))
    arguments = [spec.binary, "--host", "127.0.0.1", "--port", str(port), "--model", spec.model, "--jinja"]
    arguments += ["--ctx-size", str(spec.total_context), "--parallel", str(spec.parallel)]
    arguments += ["--threads", threads, "--threads-batch", threads, "--cache-ram", str(spec.prompt_cache)]
    arguments += ["--cache-type-k", spec.kv_cache, "--cache-type-v", spec.kv_cache]
    if spec.gpu_layers >= 0:
        arguments += ["--n-gpu-layers", str(spec.gpu_layers)]
    if spec.embedding:
        arguments += ["--embeddings", "--batch-size", str(spec.context), "--ubatch-size", str(spec.context)]
        arguments += ["--kv-unified"]
        arguments += ["--pooling", spec.pooling] if spec.pooling else []
    if spec.loras:  # of a repeated argument only the last would count
        arguments += ["--lora-scaled", ",".join(f"{path}:{scale}" for path, scale in spec.loras)]
    return arguments


def thread_count(asked: int) -> int:
    """Threads to compute with: one core is left to the editor when there are more than two."""
    cores = physical_cores()
    return asked or (cores - 1 if cores > 2 else cores)
