"""Processes by number and birth, so that a number the system has given out again is never mistaken for the old one."""

import os
import signal
import sys
from pathlib import Path


def birth(pid: int) -> str:
    """When process ``pid`` began, as the system writes it; empty when there is none (a zombie counts as none)."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        state, started = fields[0], fields[19]
    else:
        state, _, started = _told_by("ps", "-o", "stat=,lstart=", "-p", str(pid)).partition(" ")
    return "" if state.startswith(("Z", "X")) else started.strip()


def lives(pid: int, born: str) -> bool:
    """Whether that very process runs. Cheap, for every request: outside Linux its birth is not compared."""
    if sys.platform == "linux":
        return birth(pid) == born
    else:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True


def send(pid: int, born: str, number: signal.Signals) -> None:
    """Signal that very process, or nobody."""
    if born and birth(pid) == born:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return


def physical_cores() -> int:
    """Cores this process may use, hyper-threads counted once."""
    if sys.platform == "linux":
        return len({_siblings(cpu) for cpu in os.sched_getaffinity(0)})
    else:
        return int(_told_by("sysctl", "-n", "hw.physicalcpu") or os.cpu_count() or 1)


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _told_by(*command: str) -> str:
    import subprocess

    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
