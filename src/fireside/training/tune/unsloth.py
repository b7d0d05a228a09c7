"""Unsloth as a backend: a process in an environment of its own, because it pins other versions of what Fireside stands on.

The exchange is files: ``job.json`` in, ``adapter/`` out, progress on stdout. Knows how to ask an interpreter whether it can; the work is
done by ``unsloth_runner``, which that interpreter runs as a plain script.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from fireside.core.errors import FiresideError, Invalid
from fireside.training.tune import unsloth_runner
from fireside.training.tune.jobs import Job
from fireside.training.tune.settings import TuneSettings

RUNNER = Path(unsloth_runner.__file__)
JOB_FOR_IT = "unsloth.json"
SECONDS = 120
INSTALL = "make an environment for it (python -m venv unsloth; unsloth/bin/pip install unsloth) and set tune.python to its python"


def refusal(settings: TuneSettings, gpus: int) -> FiresideError | None:
    """Why Unsloth cannot be used here; ``None`` when it can."""
    if not gpus:
        return Invalid("Unsloth needs an NVIDIA GPU, and there is none here", remedy="tune.backend = 'peft'")
    if settings.spread.launch != "one":
        return Invalid("Unsloth trains in one process", remedy="tune.backend = 'peft' for several")
    if not settings.python:
        return Invalid("the interpreter of Unsloth's environment is not set", remedy=INSTALL)
    told = asked(settings.python)
    if told.get("unsloth") and told.get("cuda"):
        return None
    why = told.get("error") or ("it sees no GPU" if told.get("unsloth") else "Unsloth is not installed there")
    return Invalid(f"{settings.python} cannot run Unsloth: {why}", remedy=INSTALL)


def asked(python: str) -> Mapping[str, Any]:
    """What an interpreter says of itself: ``unsloth``, its version or empty; ``cuda``, whether torch sees a GPU; ``error``."""
    try:
        done = subprocess.run(
            [python, str(RUNNER), "--check"], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": str(error)}
    try:
        told = orjson.loads(done.stdout.strip().rpartition("\n")[2])
    except orjson.JSONDecodeError:
        return {"error": (done.stderr.strip().rpartition("\n")[2] or "it gave no answer")[:300]}
    return told if isinstance(told, dict) else {}


def command(job: Job, told: Path) -> list[str]:
    """``told``: the job's file."""
    return [job.settings.python, str(RUNNER), str(told)]
