"""How long until something stands on the screen, and how much memory that takes: whole processes, best of N, files warm."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pexpect

from benchmarks.table import Figure, show

FIRESIDE = str(Path(sys.executable).with_name("fireside"))
RUNS = 9


def best(command: Sequence[str], runs: int = RUNS) -> float:
    """The shortest of ``runs`` wall times in seconds, after one warm-up."""
    times = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - begun)
    return min(times[1:])


def to_prompt(home: Path) -> tuple[float, float, float]:
    """Seconds until ``fireside chat`` shows its prompt; its resident memory then, and when everything behind it is open, in MB."""
    environ = {**os.environ, "FIRESIDE_HOME": str(home), "TERM": "xterm-256color"}
    begun = time.perf_counter()
    child = pexpect.spawn(FIRESIDE, ["chat"], env=environ, dimensions=(30, 100), timeout=20, encoding="utf-8")
    child.expect("›")
    seconds = time.perf_counter() - begun
    memory = _resident(child.pid)
    child.send("/model\r")
    child.expect("no model|tokens")
    opened = _resident(child.pid)
    child.expect("›")
    child.send("/quit\r")
    child.expect(pexpect.EOF)
    child.close()
    return seconds, memory, opened


def _resident(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def main() -> None:
    bare = best([sys.executable, "-S", "-E", "-c", "pass"])
    with tempfile.TemporaryDirectory() as home:
        prompts = [to_prompt(Path(home)) for _ in range(5)]
    show(
        [
            Figure("bare Python (python -S -E -c pass)", bare, "s"),
            Figure("fireside --version", best([FIRESIDE, "--version"]), "s", 0.07),
            Figure("fireside --help", best([FIRESIDE, "--help"]), "s", 0.13),
            Figure("fireside chat to the prompt", min(seconds for seconds, _, _ in prompts), "s", 0.35),
            Figure("fireside chat, resident memory at the prompt", min(memory for _, memory, _ in prompts), "MB", 70),
            Figure(
                "fireside chat, when the project behind it is open", min(opened for _, _, opened in prompts), "MB", 70
            ),
        ]
    )
