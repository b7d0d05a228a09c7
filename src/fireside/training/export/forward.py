"""What a GGUF answers, number by number: llama.cpp's own logits, for comparing a file with the model it was made of.

The library of the embedded engine is called through its C interface (llama.h), in a child process (``python -m
fireside.training.export.forward``). The structures it hands over by value grow from version to version, so they are passed on as they
came, in room enough for any; of their fields only those that have been first for years are touched, and what they hold is checked before.
"""

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from fireside.core.errors import FiresideError, Invalid, ToolFailed
from fireside.models.gguf import read_header, verify
from fireside.models.native import function

if TYPE_CHECKING:
    import numpy

BATCH = 512
SPACIOUS = 128
Wanted = Literal["logits", "losses", "greedy", "tokens"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """``sequences``: token ids, at most BATCH each. ``new``: how many tokens ``greedy`` adds. ``texts``: for ``tokens``."""

    model: str
    wanted: Wanted
    target: str
    adapter: str = ""
    sequences: list[list[int]] = []
    new: int = 0
    texts: list[str] = []
    threads: int = 1


class _Blob(ctypes.Structure):
    """A structure whose size nobody tells: large enough, and passed on as it came."""

    _fields_ = (("words", ctypes.c_uint64 * SPACIOUS),)


class _Batch(ctypes.Structure):
    """llama_batch. ``rest``: room for fields it may get."""

    _fields_ = (
        ("count", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embedding", ctypes.c_void_p),
        ("position", ctypes.POINTER(ctypes.c_int32)),
        ("sequences", ctypes.POINTER(ctypes.c_int32)),
        ("sequence", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("output", ctypes.POINTER(ctypes.c_int8)),
        ("rest", ctypes.c_uint64 * 16),
    )


def logits(model: Path, sequences: Sequence[Sequence[int]], *, adapter: Path | None = None) -> "list[numpy.ndarray]":
    """After each token of each sequence the scores of all that may follow: (tokens, vocabulary), float32."""
    found = _run(model, "logits", adapter, sequences=[list(each) for each in sequences])
    return [found[f"arr_{number}"] for number in range(len(sequences))]


def losses(model: Path, sequences: Sequence[Sequence[int]], *, adapter: Path | None = None) -> "list[numpy.ndarray]":
    """Nats each token but the first of each sequence costs: (tokens - 1,), float64."""
    found = _run(model, "losses", adapter, sequences=[list(each) for each in sequences])
    return [found[f"arr_{number}"] for number in range(len(sequences))]


def greedy(model: Path, prompts: Sequence[Sequence[int]], new: int, *, adapter: Path | None = None) -> list[list[int]]:
    """The ``new`` tokens that follow each prompt, always the likeliest."""
    found = _run(model, "greedy", adapter, sequences=[list(each) for each in prompts], new=new)
    return [found[f"arr_{number}"].tolist() for number in range(len(prompts))]


def tokens(model: Path, texts: Sequence[str]) -> list[list[int]]:
    """Each text as the file's tokenizer cuts it; what looks like a special token is text."""
    found = _run(model, "tokens", None, texts=list(texts))
    return [found[f"arr_{number}"].tolist() for number in range(len(texts))]


def _run(model: Path, wanted: Wanted, adapter: Path | None, **told: Any) -> "dict[str, numpy.ndarray]":
    """Ask the child. Raises ``Invalid`` for a file that cannot be loaded, ``ToolFailed`` when llama.cpp fails."""
    import numpy

    verify(read_header(model))
    if any(len(each) > BATCH for each in told.get("sequences", ())):
        raise ValueError(f"a sequence may have {BATCH} tokens")
    with tempfile.TemporaryDirectory(prefix="fireside-forward-") as folder:
        target = Path(folder) / "answer.npz"
        job = Job(
            model=str(model),
            adapter=str(adapter or ""),
            wanted=wanted,
            target=str(target),
            threads=int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1),
            **told,
        )
        done = subprocess.run(
            [sys.executable, "-m", "fireside.training.export.forward"],
            input=msgspec.json.encode(job),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            words = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.returncode}"]
            raise ToolFailed(f"llama.cpp could not run {model.name}: {words[-1]}", remedy="fireside doctor")
        with numpy.load(target) as found:
            return {name: found[name] for name in found.files}


# In the child


class Native:
    """A model in memory, ready to be asked. Raises ``Invalid`` when llama.cpp refuses it."""

    def __init__(self, model: Path, adapter: Path | None, threads: int, *, context: int = BATCH) -> None:
        self._quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(_say_nothing)
        function("llama_log_set", None, ctypes.c_void_p, ctypes.c_void_p)(self._quiet, None)
        function("llama_backend_init", None)()
        settings = function("llama_model_default_params", _Blob)()
        load = function("llama_model_load_from_file", ctypes.c_void_p, ctypes.c_char_p, _Blob)
        self._model = load(os.fsencode(model), settings)
        if not self._model:
            raise Invalid(f"llama.cpp does not load {model.name}", remedy="export it again")
        self._context = self._begin(context, threads)
        self._vocabulary = function("llama_model_get_vocab", ctypes.c_void_p, ctypes.c_void_p)(self._model)
        self.size = function("llama_vocab_n_tokens", ctypes.c_int32, ctypes.c_void_p)(self._vocabulary)
        self._batch = self._room(context)
        if adapter is not None:
            self._lay(adapter)

    def after(self, sequence: Sequence[int], start: int = 0) -> "numpy.ndarray":
        """Decode tokens that stand from place ``start`` on; their logits, (tokens, vocabulary). Start 0 forgets what was before."""
        import numpy

        if start == 0:
            memory = function("llama_get_memory", ctypes.c_void_p, ctypes.c_void_p)(self._context)
            function("llama_memory_clear", None, ctypes.c_void_p, ctypes.c_bool)(memory, True)
        batch = self._batch
        batch.count = len(sequence)
        for place, token in enumerate(sequence):
            batch.token[place], batch.position[place] = token, start + place
            batch.sequences[place], batch.sequence[place][0], batch.output[place] = 1, 0, 1
        code = function("llama_decode", ctypes.c_int32, ctypes.c_void_p, _Batch)(self._context, batch)
        if code:
            raise ToolFailed(f"llama_decode returned {code}")
        read = function("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), ctypes.c_void_p, ctypes.c_int32)
        rows = [numpy.ctypeslib.as_array(read(self._context, place), (self.size,)) for place in range(len(sequence))]
        return numpy.stack(rows).astype(numpy.float32)

    def tokens(self, text: str) -> list[int]:
        data = text.encode()
        room = (ctypes.c_int32 * (len(data) + 8))()
        cut = function(
            "llama_tokenize",
            ctypes.c_int32,
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_int32,
            ctypes.c_void_p,
            ctypes.c_int32,
            ctypes.c_bool,
            ctypes.c_bool,
        )
        count = cut(self._vocabulary, data, len(data), room, len(room), False, False)
        if count < 0:
            raise ToolFailed(f"llama_tokenize returned {count}")
        return list(room[:count])

    def _begin(self, context: int, threads: int) -> int:
        settings = function("llama_context_default_params", _Blob)()
        words = ctypes.cast(ctypes.byref(settings), ctypes.POINTER(ctypes.c_uint32))
        # n_ctx, n_batch, n_ubatch, n_seq_max, in that order, with llama.cpp's defaults: else this is another layout.
        if tuple(words[:4]) != (512, 2048, 512, 1):
            raise ToolFailed(f"this llama.cpp has other settings than we know: {words[:4]}")
        words[0] = context
        begun = function("llama_init_from_model", ctypes.c_void_p, ctypes.c_void_p, _Blob)(self._model, settings)
        if not begun:
            raise Invalid("llama.cpp makes no context of the model", remedy="free some memory")
        if function("llama_n_ctx", ctypes.c_uint32, ctypes.c_void_p)(begun) < context:
            raise ToolFailed("llama.cpp did not take the context that was asked for")
        function("llama_set_n_threads", None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)(begun, threads, threads)
        return int(begun)

    def _room(self, context: int) -> _Batch:
        batch: _Batch = function("llama_batch_init", _Batch, ctypes.c_int32, ctypes.c_int32, ctypes.c_int32)(
            context, 0, 1
        )
        there = (batch.token, batch.position, batch.sequences, batch.sequence, batch.output)
        if batch.count or batch.embedding or not all(bool(pointer) for pointer in there):
            raise ToolFailed("this llama.cpp has another llama_batch than we know")
        return batch

    def _lay(self, adapter: Path) -> None:
        start = function("llama_adapter_lora_init", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
        laid = start(self._model, os.fsencode(adapter))
        if not laid:
            raise Invalid(f"llama.cpp does not lay {adapter.name} over this model", remedy="export the adapter again")
        adapters, scales = (ctypes.c_void_p * 1)(laid), (ctypes.c_float * 1)(1.0)
        use = function(
            "llama_set_adapters_lora",
            ctypes.c_int32,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_void_p,
        )
        if use(self._context, adapters, 1, scales):
            raise ToolFailed("llama.cpp did not take the adapter")


def answer(job: Job) -> "list[numpy.ndarray]":
    """What a job asks for, one array for each sequence or text."""
    import numpy

    model = Native(Path(job.model), Path(job.adapter) if job.adapter else None, job.threads)
    if job.wanted == "tokens":
        return [numpy.array(model.tokens(text), numpy.int64) for text in job.texts]
    if job.wanted == "greedy":
        return [numpy.array(_greedy(model, prompt, job.new), numpy.int64) for prompt in job.sequences]
    if job.wanted == "losses":
        return [_losses(model.after(each), each) for each in job.sequences]
    return [model.after(each) for each in job.sequences]


def _greedy(model: Native, prompt: Sequence[int], new: int) -> list[int]:
    found: list[int] = []
    scores = model.after(prompt)
    for place in range(len(prompt), len(prompt) + new):
        found.append(int(scores[-1].argmax()))
        scores = model.after(found[-1:], place)
    return found


def _losses(scores: "numpy.ndarray", sequence: Sequence[int]) -> "numpy.ndarray":
    import numpy

    wide = scores[:-1].astype(numpy.float64)
    top = wide.max(axis=1, keepdims=True)
    total = numpy.log(numpy.exp(wide - top).sum(axis=1)) + top[:, 0]
    told: numpy.ndarray = total - wide[numpy.arange(len(sequence) - 1), numpy.array(sequence[1:], numpy.int64)]
    return told


def _say_nothing(level: int, text: bytes, data: object) -> None:
    """llama.cpp tells much while it loads."""


def main() -> int:
    """The child: a Job on standard input; the arrays go to its target."""
    import numpy

    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        arrays = answer(job)
    except FiresideError as error:
        print(error.message, file=sys.stderr)
        return 1
    numpy.savez(job.target, *arrays)
    return 0


if __name__ == "__main__":
    sys.exit(main())
