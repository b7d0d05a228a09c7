"""Every process that runs tests finds the same ones: several share the work, and refuse to begin when they disagree."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def collected(seed: int) -> list[str]:
    """The tests as another process finds them; its sets are in another order, and its clock has moved on."""
    words = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-o",
        "addopts=--strict-markers --import-mode=importlib",
        "tests",
    ]
    environ = os.environ | {"PYTHONHASHSEED": str(seed)}
    found = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, check=False).stdout
    return [line for line in found.splitlines() if "::" in line]


@pytest.mark.slow
def test_every_process_finds_the_same_tests_in_the_same_order():
    once = collected(1)
    assert len(once) > 5_000
    assert collected(2) == once
