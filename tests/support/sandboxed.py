"""Programs for the sandbox that say OUT when they got through, and the same without a sandbox."""

import subprocess
import sys

import pytest

from fireside.evals import sandbox
from fireside.evals.sandbox_limits import Limits

FEW = Limits(seconds=30, memory=512 << 20, disk=8 << 20, processes=16)
OUT = "OUT"


def working(kind: sandbox.Kind) -> sandbox.Kind:
    """Skip, with the reason and what helps, where this kind of sandbox does not work."""
    if reason := sandbox.why_not(kind):
        pytest.skip(f"{kind}: {reason}; {sandbox.REMEDY}")
    return kind


def openly(program: str) -> str:
    """What the program prints without any sandbox, as the same Python runs it."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=60, start_new_session=True
    )
    return done.stdout


def attempt(kind: sandbox.Kind, program: str, limits: Limits = FEW) -> sandbox.Ran:
    ran = sandbox.run(program, limits=limits, kind=kind)
    assert OUT not in ran.stdout, ran.stdout
    return ran


def stays_in(kind: sandbox.Kind, program: str, *, out_without: bool = True) -> None:
    """The program prints OUT when it got through. It must end by itself, and the last thing it says is that it was refused."""
    if out_without:
        assert OUT in openly(program)
    ran = attempt(kind, program + "\nprint('IN')")
    assert "IN" in ran.stdout or "Error" in ran.stderr, ran
