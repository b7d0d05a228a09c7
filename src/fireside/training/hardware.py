"""What this machine has to train with, read without loading anything heavy. Sizes in bytes."""

import os
import shutil
import subprocess
from pathlib import Path

from fireside.training.stages import Hardware

MEMORY = Path("/proc/meminfo")
PROCESSOR = Path("/proc/cpuinfo")
QUERY = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")


def look(work: Path) -> Hardware:
    """The machine as it is now. ``work``: where the run would write; its nearest folder that is there tells the disk."""
    place = work.absolute()
    while not place.exists():
        place = place.parent
    return Hardware(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=free_memory(),
        disk=shutil.disk_usage(place).free,
        gpus=gpus(),
        bf16=_has_bf16(),
    )


def free_memory() -> int:
    """Memory a new program may take without pushing others out; what there is in all where the system does not say."""
    try:
        lines = MEMORY.read_text("ascii", "replace").splitlines()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    told = {
        name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines) if rest.split()
    }
    return told.get("MemAvailable", told.get("MemTotal", 0))


def gpus() -> tuple[int, ...]:
    """The memory of each NVIDIA GPU, as its driver says; none where there is no driver."""
    if shutil.which(QUERY[0]) is None:
        return ()
    try:
        told = subprocess.run(QUERY, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(int(line) << 20 for line in told.split() if line.isdigit())


def _has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself; without that, it is slower than float32."""
    try:
        flags = PROCESSOR.read_text("ascii", "replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
