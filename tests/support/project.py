"""A small project to ask about, and the command run in it as a user would."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

FILES: Mapping[str, str] = {
    "README.md": "# Harbour\n\nA toy port authority. Ships dock at berths.\n",
    "harbour/berths.py": '''\
"""Berths: where ships lie."""

from dataclasses import dataclass


@dataclass
class Berth:
    number: int
    length: float


def allocate_berth(ship_length: float, berths: list[Berth]) -> Berth:
    """Choose the shortest free berth that is long enough.

    Raises LookupError when the ship is longer than every berth.
    """
    fitting = [berth for berth in berths if berth.length >= ship_length]
    if not fitting:
        raise LookupError("no berth is long enough")
    return min(fitting, key=lambda berth: berth.length)
''',
    "harbour/tides.py": '''\
"""Tides, in metres above chart datum."""

import math


def tide_height(hour: float, amplitude: float = 2.0) -> float:
    """Height of the tide at an hour of the day, by a sine of 12.42 hours."""
    return amplitude * math.sin(2 * math.pi * hour / 12.42)
''',
    "tests/test_berths.py": "from harbour.berths import allocate_berth\n\n\ndef test_allocate():\n    assert allocate_berth\n",
}


def write_project(root: Path) -> Path:
    """The project's files under ``root``; returns ``root``."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / ".git").mkdir(exist_ok=True)
    return root


def fireside(
    *words: str, cwd: Path, stdin: str | None = None, environ: Mapping[str, str] | None = None, timeout: float = 60
) -> "subprocess.CompletedProcess[str]":
    """Run the real command in ``cwd``, in a process of its own. No Ollama is listening where it looks."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "fireside", *words],
        cwd=cwd,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        env={**os.environ, "OLLAMA_HOST": "127.0.0.1:9", **(environ or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def scripted(says: str) -> Sequence[str]:
    """Flags for a run in which a scripted engine answers every chat with ``says``."""
    return (
        "--set",
        "engines.script.kind=scripted",
        "--set",
        f"engines.script.says={says}",
        "--set",
        "models.chat=@script",
    )
