"""A training over several processes of this machine, by ``torchrun``. Knows the processes; what they do is ``run``'s matter."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from fireside.core.errors import Invalid, OutOfResources, ToolFailed
from fireside.training.pretrain.loop import Job, Report

PATIENCE = 120.0
TOLD = {"invalid": Invalid, "out_of_resources": OutOfResources}


def spread(job: Job, processes: int, report: Report) -> dict[str, Any]:
    """Train in so many processes; returns the facts. Raises what the first of them said, ``KeyboardInterrupt`` when stopped."""
    with tempfile.TemporaryDirectory(prefix="fireside-") as place:
        told = Path(place) / "job.json"
        told.write_bytes(msgspec.json.encode(job))
        with (
            (Path(place) / "errors").open("w+b") as errors,
            _terminable(),
            _started(told, processes, errors.fileno()) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                said = _said(line)
                if "step" in said:
                    report(*said["step"])
                elif "facts" in said:
                    facts: dict[str, Any] = said["facts"]
                    return facts
                elif "error" in said:
                    error = said["error"]
                    raise TOLD.get(error["kind"], ToolFailed)(error["message"], remedy=error["remedy"])
            if process.wait() in (130, -signal.SIGINT, -signal.SIGTERM):
                raise KeyboardInterrupt
            errors.seek(0)
            last = errors.read().decode("utf-8", "replace").strip().splitlines()
    raise ToolFailed(
        f"a process of the training ended: {last[-1] if last else 'without a word'}",
        remedy="run it again, it goes on from the last checkpoint; or with pretrain.processes 1",
    )


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM is Ctrl-C: the processes in their own session would not hear of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _started(job: Path, processes: int, errors: int) -> Iterator["subprocess.Popen[bytes]"]:
    """``torchrun`` in a session of its own: it hears of Ctrl-C from us, once, and has time to write a checkpoint."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    threads = max((os.cpu_count() or 1) // processes, 1)
    process = subprocess.Popen(
        [*command, "-m", "fireside.training.pretrain.run", str(job)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _ended(process)


def _ended(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        if process.poll() is None:
            process.terminate()
    try:
        process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _said(line: bytes) -> dict[str, Any]:
    """One line of ``run``; whatever else a library prints is passed over."""
    try:
        found = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}
