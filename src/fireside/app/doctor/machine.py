"""The machine: Python, processor, memory, disk, folders, and whether the embedded engine runs on it."""

import asyncio
import os
import platform
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fireside.app.doctor.diagnosis import Diagnosis, Subject
from fireside.app.doctor.inputs import DoctorInputs
from fireside.core.errors import FiresideError
from fireside.engines.lease import AVAILABLE, is_taken
from fireside.models.store import StoredModel

GIB = 2**30
DISK_LOW = 2 * GIB
DISK_FULL = 200 * 2**20
WORKING_MEMORY = 1 * GIB
X86 = ("x86_64", "amd64", "AMD64")


async def python(inputs: DoctorInputs) -> list[Diagnosis]:
    subject = Subject("Python")
    version = platform.python_version()
    if inputs.in_environment:
        return [subject.ok(f"{version} in {sys.prefix}")]
    remedy = "keep it apart: python3 -m venv .venv && .venv/bin/pip install fireside"
    return [subject.note("python-no-venv", f"{version}, not in a virtual environment of its own", remedy)]


async def processor(inputs: DoctorInputs) -> list[Diagnosis]:
    """The wheel of the embedded engine is built for AVX2. AVX-512 was measured to be worth 1.6x on prompts, 1.1x on generation."""
    subject, features = Subject("processor"), inputs.machine.features
    if not features or platform.machine() not in X86:
        return [subject.ok(platform.machine() or "unknown")]
    if not {"avx2", "fma"} <= features:
        remedy = "name a llama-server built for it (engines.embedded.binary), or use Ollama"
        message = "it has no AVX2: the embedded engine is built for processors that have"
        return [subject.warning("cpu-no-avx2", message, remedy)]
    if "avx512f" in features:
        message = "it has AVX-512: a native build would process prompts about 1.6x faster"
        return [subject.note("cpu-avx512", message, "pip install --no-binary xllamacpp xllamacpp  (needs a compiler)")]
    return [subject.ok("it has AVX2, as the embedded engine needs")]


async def embedded(inputs: DoctorInputs) -> list[Diagnosis]:
    """Import llama.cpp in a process of its own: where it dies, only that process does."""
    subject = Subject("embedded engine")
    process = await asyncio.create_subprocess_exec(
        *inputs.probe, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return [subject.ok(f"llama.cpp (xllamacpp {out.decode().strip()})")]
    reinstall = "pip install --force-reinstall xllamacpp"
    if (process.returncode or 0) < 0:
        message = (
            f"llama.cpp dies when it is loaded (signal {-(process.returncode or 0)}): it does not fit this processor"
        )
        return [subject.error("embedded-crashes", message, "name a llama-server of your own: engines.embedded.binary")]
    reason = (err.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
    if "No module named" in reason:
        return [subject.error("embedded-missing", "xllamacpp is not installed", reinstall)]
    return [subject.error("embedded-broken", f"xllamacpp cannot be loaded: {reason}", reinstall)]


async def self_test(inputs: DoctorInputs) -> list[Diagnosis]:
    subject = Subject("self-test")
    if inputs.self_test is None:
        return []
    try:
        return [subject.ok(await inputs.self_test())]
    except FiresideError as error:
        return [subject.failed("self-test-failed", error)]


async def memory(inputs: DoctorInputs) -> list[Diagnosis]:
    """A model is mapped into memory whole, and needs some more to work with."""
    subject, machine = Subject("memory"), inputs.machine
    if not machine.memory:
        return [subject.ok("unknown on this system")]
    found = [finding for model in inputs.models for finding in _room_for(inputs, model)]
    free = f", {_gib(machine.available)} of it free" if machine.available else ""
    return found or [subject.ok(f"{_gib(machine.memory)}{free}")]


def _room_for(inputs: DoctorInputs, model: StoredModel) -> Iterator[Diagnosis]:
    subject, machine = Subject("memory"), inputs.machine
    needs = model.size + WORKING_MEMORY
    if needs > machine.memory:
        message = f"{model.name} needs about {_gib(needs)}, this machine has {_gib(machine.memory)}"
        yield subject.warning("memory-too-small", message, "choose a smaller model or quantization, for example Q4_K_M")
    elif machine.available and needs > machine.available:
        message = f"{model.name} needs about {_gib(needs)}, {_gib(machine.available)} is free now"
        yield subject.note("memory-low", message, "close something, or unload another model: ollama stop MODEL")


async def disk(inputs: DoctorInputs) -> list[Diagnosis]:
    subject = Subject("disk")
    folder = _existing(inputs.paths.data)
    free = (await asyncio.to_thread(shutil.disk_usage, folder)).free
    remedy = f"make room on the disk of {folder}: fireside models list shows what is large"
    if free < DISK_FULL:
        return [subject.error("disk-full", f"{_gib(free)} free: nothing can be saved safely", remedy)]
    if free < DISK_LOW:
        return [subject.warning("disk-low", f"{_gib(free)} free: too little for a model", remedy)]
    return [subject.ok(f"{_gib(free)} free")]


async def folders(inputs: DoctorInputs) -> list[Diagnosis]:
    """Each of the user's folders must take a file; one that does not exist yet is made when it is needed."""
    subject, paths = Subject("folders"), inputs.paths
    found = []
    for folder in (paths.config, paths.data, paths.cache, paths.runtime):
        place = _existing(folder)
        if reason := await asyncio.to_thread(_refuses, place):
            remedy = f"make it yours (ls -ld {place}), or set FIRESIDE_HOME to a folder you own"
            found.append(subject.error("folder-not-writable", f"{folder}: {reason}", remedy))
    return found or [subject.ok(f"{paths.data} and the others can be written")]


async def runtime(inputs: DoctorInputs) -> list[Diagnosis]:
    """Traces of engines that run or ran, and who may read them: their keys are in there."""
    subject, folder = Subject("running engines"), inputs.paths.runtime
    if not folder.is_dir():
        return [subject.ok("none")]
    found = []
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        message = f"others can read {folder}, where running engines keep their keys"
        found.append(subject.warning("runtime-exposed", message, f"chmod 700 {folder}"))
    entries = [entry.parent for entry in folder.glob("engines/*/spec.json")]
    living = [entry for entry in entries if AVAILABLE and is_taken(entry / "alive")]
    if stale := [entry for entry in entries if entry not in living and (entry / "ready.json").exists()]:
        message = (
            f"{len(stale)} engine{'s' * (len(stale) > 1)} ended without leaving in order; the next start tidies up"
        )
        log = f"see why: tail {stale[0] / 'log'}"
        found.append(subject.note("runtime-stale", message, log))
    return found or [subject.ok(f"{len(living)} running" if living else "none")]


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _refuses(folder: Path) -> str:
    """Why no file can be made there; empty when one can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"
