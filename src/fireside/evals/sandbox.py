"""Run a program that nobody has read: no network, no files of this machine, a bound on everything, or not at all.

Two kinds, tried in this order: bubblewrap (namespaces), then Landlock with a seccomp filter. Which one works is found out by running a
program in it that tries to get out. Where neither works, nothing is run. What a program is for is not known here.
"""

import functools
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import orjson

from fireside.core.errors import FiresideError, Invalid, NotPermitted
from fireside.evals import sandbox_bwrap, sandbox_landlock
from fireside.evals.sandbox_capture import Captured, capture
from fireside.evals.sandbox_filter import filter_program
from fireside.evals.sandbox_limits import Limits, interpreter, other_user

Kind = Literal["bubblewrap", "landlock"]
Ended = Literal["done", "timeout", "memory", "disk", "output", "killed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
REMEDY = "apt install bubblewrap (or dnf, pacman, apk); without it a Linux of 6.2 or newer with Landlock"

_CPU_TIME_IS_UP = 128 + 24
_LAUNCHER = Path(__file__).with_name("sandbox_launch.py")
_TRIAL_SECONDS = 20.0
_FOLDERS: dict[Kind, str] = {"bubblewrap": "/tmp", "landlock": ""}


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended. ``status``: its exit status, 128 + n after signal n. ``ended``: done (by itself, also with an error), or by
    which bound. ``stdout``, ``stderr``: no more than the limit's bytes of both together; what is no UTF-8 is replaced."""

    status: int
    stdout: str
    stderr: str
    seconds: float
    ended: Ended
    kind: Kind


@dataclass(frozen=True, slots=True)
class Availability:
    """``kind``: the sandbox that works here, if any. ``reason``: why each other kind does not, one line."""

    kind: Kind | None
    reason: str


@functools.cache
def available() -> Availability:
    """Which sandbox works on this machine, found out by trying; asked once per process (some 100 ms)."""
    reasons: list[str] = []
    for kind in KINDS:
        reason = why_not(kind)
        if not reason:
            return Availability(kind, "; ".join(reasons))
        reasons.append(f"{kind}: {reason}")
    return Availability(None, "; ".join(reasons))


@functools.cache
def why_not(kind: Kind) -> str:
    """Why this kind cannot be trusted here, one line; empty when it can. A program runs in it and tries to read a file of ours."""
    word = secrets.token_hex(8)
    try:
        with tempfile.NamedTemporaryFile(mode="w") as secret:
            secret.write(word)
            secret.flush()
            text = f"import fractions\nprint(6 * 7)\ntry:\n    print(open({secret.name!r}).read())\nexcept OSError:\n    print('closed')\n"
            ran = _run(text, kind, Limits(seconds=_TRIAL_SECONDS), b"")
    except FiresideError as error:
        return error.message
    except OSError as error:
        return str(error)
    if ran.stdout.split() == ["42", "closed"]:
        return ""
    said = ran.stderr.strip().splitlines()
    return "it let a program read a file of this machine" if word in ran.stdout else said[-1] if said else ran.ended


def run(program: str, *, stdin: str = "", limits: Limits | None = None, kind: Kind | None = None) -> Ran:
    """Run Python source in a sandbox and wait for its end.

    ``limits``: seconds, memory, disk, output and processes. ``kind``: a certain sandbox instead of the best that works. Blocks; a program
    that does nothing takes about 50 ms. Raises NotPermitted, with a remedy, where no sandbox works: then nothing is run.
    """
    found = available() if kind is None else Availability(None if why_not(kind) else kind, why_not(kind))
    if found.kind is None:
        raise NotPermitted(f"no sandbox works here, so the program is not run ({found.reason})", remedy=REMEDY)
    try:
        stdin_bytes, _ = stdin.encode(), program.encode()
    except UnicodeEncodeError as error:
        raise Invalid("the program or its input holds half a character (a lone surrogate)") from error
    return _run(program, found.kind, limits or Limits(), stdin_bytes)


def _run(program: str, kind: Kind, limits: Limits, stdin: bytes) -> Ran:
    with tempfile.TemporaryFile() as text, tempfile.TemporaryFile() as calls:
        text.write(program.encode())
        text.seek(0)
        command, files = _COMMANDS[kind](limits, text.fileno(), calls.fileno())
        captured = capture(command, limits, stdin=stdin, files=files, folder=_FOLDERS[kind])
    return Ran(
        status=captured.status,
        stdout=captured.stdout.decode(errors="replace"),
        stderr=captured.stderr.decode(errors="replace"),
        seconds=captured.seconds,
        ended=_ended(captured),
        kind=kind,
    )


def _ended(captured: Captured) -> Ended:
    if captured.stopped in get_args(Ended):
        return captured.stopped  # type: ignore[return-value]
    if captured.status == _CPU_TIME_IS_UP:
        return "timeout"
    if captured.status > 128:
        return "killed"
    said = captured.stderr.strip().rpartition(b"\n")[2]
    return "memory" if captured.status and said.startswith(b"MemoryError") else "done"


def _python(orders: dict[str, object]) -> list[str]:
    flags = ["-I", "-S", "-B", "-X", "utf8"]
    return [interpreter().executable, *flags, "-c", _LAUNCHER.read_text(), orjson.dumps(orders).decode()]


def _bubblewrap(limits: Limits, program: int, calls: int) -> tuple[list[str], list[int]]:
    uid = other_user()
    os.write(calls, filter_program(alone=False))
    os.lseek(calls, 0, os.SEEK_SET)
    walls = sandbox_bwrap.walls(interpreter(), limits, uid=uid, filter_file=calls)
    return walls + _python(sandbox_bwrap.orders(limits, uid=uid, program=program)), [program, calls]


def _landlock(limits: Limits, program: int, calls: int) -> tuple[list[str], list[int]]:
    del calls
    orders = sandbox_landlock.orders(interpreter(), limits, uid=other_user(), program=program)
    return _python(orders), [program]


_COMMANDS: dict[Kind, Callable[[Limits, int, int], tuple[list[str], list[int]]]] = {
    "bubblewrap": _bubblewrap,
    "landlock": _landlock,
}
