"""A sandbox without namespaces, for machines without bubblewrap: Landlock for files, a seccomp filter for all else.

Stricter than bubblewrap, because less can be bounded: the program is one process (threads are allowed), writes no file and opens no socket.
What Landlock cannot hide is that a file exists and how long it is (stat); its content it does. Landlock's third version (Linux 6.2) is
needed: earlier ones let anybody truncate a file.
"""

import ctypes
import os
from pathlib import Path

from fireside.core.errors import NotPermitted
from fireside.evals.sandbox_filter import OWN_PROCESS, filter_program
from fireside.evals.sandbox_limits import Interpreter, Limits, system_limits

NEEDED = 3
_CREATE_RULESET, _VERSION = 444, 1
_READABLE = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
)
_WRITABLE = ("/dev/null",)


def landlock() -> int:
    """Which version of Landlock this kernel has. Raises NotPermitted when it has none, or one that is too old."""
    try:
        version = int(ctypes.CDLL(None, use_errno=True).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION))
    except (OSError, AttributeError):  # no C library of that kind: not Linux
        version = -1
    if version < NEEDED:
        had = f"version {version}" if version > 0 else "none"
        raise NotPermitted(f"Landlock's version {NEEDED} is needed (Linux 6.2 or newer), here is {had}")
    return version


def orders(interpreter: Interpreter, limits: Limits, *, uid: int, program: int) -> dict[str, object]:
    """What ``sandbox_launch`` has to do. ``program``: the open file with the program's text."""
    alone = {
        "abi": landlock(),
        "readable": [*filter(os.path.exists, _READABLE), *interpreter.folders],
        "writable": [path for path in _WRITABLE if Path(path).exists()],
        "parent": os.getpid(),
        "filter": filter_program(alone=True).hex(),
        "placeholder": OWN_PROCESS,
    }
    return {
        "program": program,
        "limits": system_limits(limits, shared_user=not uid),
        "uid": uid,
        "keep_reading": bool(uid) and interpreter.hidden,
        "alone": alone,
    }
