"""A tuning as files: what a process of its own is told, and how it answers. The same for every backend and every number of processes.

In: ``job.json``. Out: ``adapter/`` in the job's folder, and on stdout one JSON object a line: how far it is, what it measured, what went
wrong. A process of its own, because torch and Hugging Face read their settings (offline, threads) once, when they are imported, and
because a process that runs out of memory must not take Fireside with it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson

from fireside.core.errors import ERRORS, ErrorKind, FiresideError, Invalid, Unknown
from fireside.training.tune.settings import TuneSettings

JOB = "job.json"
ADAPTER = "adapter"
LOG = "log.jsonl"
CHECKPOINTS = ".checkpoints"
UNPACKED = ".base"
# No request leaves: what Hugging Face, TRL and bitsandbytes would ask for or tell is switched off before they are imported.
OFFLINE: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "USE_HUB_KERNELS": "0",
    "WANDB_DISABLED": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``base``: an HF folder or a GGUF; ``prepared``: what ``prepare`` left; ``folder``: where the work is done.

    ``dtype``: of the base's weights in memory; ``autocast``: multiply in bfloat16. ``resume``: go on with a checkpoint where there is one.
    """

    base: str
    prepared: str
    folder: str
    seed: int
    settings: TuneSettings
    dtype: Literal["float32", "bfloat16"] = "float32"
    autocast: bool = False
    resume: bool = False

    @property
    def place(self) -> Path:
        return Path(self.folder)


def write(job: Job, name: str = JOB) -> Path:
    path = job.place / name
    path.write_bytes(msgspec.json.format(msgspec.json.encode(job)))
    return path


def read(path: Path) -> Job:
    """Raises ``Invalid`` that names the field."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Job)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", remedy="name the job.json of a tuning") from error
    except msgspec.MsgspecError as error:
        raise Invalid(f"{path}: {error}", remedy="run the stage tune again; it writes the file") from error


def say(**told: Any) -> None:
    """One line to the process that waits. When nobody does any more, this one ends: two runs would write each other's files."""
    try:
        os.write(1, orjson.dumps(told) + b"\n")
    except BrokenPipeError:
        os._exit(1)


def complaint(error: FiresideError) -> dict[str, str]:
    return {"kind": str(error.kind), "message": error.message, "remedy": error.remedy}


def complained(told: Mapping[str, Any]) -> FiresideError:
    """The error a child told of, as what it was."""
    kinds = {str(kind): kind for kind in ErrorKind}
    shape = ERRORS.get(kinds.get(str(told.get("kind")), ErrorKind.UNKNOWN), Unknown)
    return shape(str(told.get("message", "the training failed")), remedy=str(told.get("remedy", "")))
