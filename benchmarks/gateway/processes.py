"""What a running gateway takes: memory, descriptors and processor time, of it and its children, as the kernel counts them."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """MB of it and everything it started."""
    return sum(_resident(each) for each in family(pid))


def descriptors(pid: int) -> int:
    return sum(len(list(Path(f"/proc/{each}/fd").iterdir())) for each in family(pid))


def cpu_seconds(pid: int) -> float:
    """Processor time so far; unlike time on the wall, it hardly depends on what else the machine does."""
    fields = (Path(f"/proc/{each}/stat").read_text().rpartition(") ")[2].split() for each in family(pid))
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS


def family(pid: int) -> list[int]:
    """The process, its children, and theirs."""
    children = [
        int(child)
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]
    return [pid, *(each for child in children for each in family(child))]


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)
