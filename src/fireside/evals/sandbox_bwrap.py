"""A sandbox of namespaces: bubblewrap. The program sees an empty machine with a Python, without a network and without other processes.

Knows the command line; how it is run and watched is ``sandbox_capture``'s.
"""

import os
import shutil
from pathlib import Path

from fireside.core.errors import NotPermitted
from fireside.evals.sandbox_limits import Interpreter, Limits, counts_apart, system_limits

_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache")


def bubblewrap() -> str:
    """Where ``bwrap`` is. Raises NotPermitted when it is not installed."""
    found = shutil.which("bwrap", path="/usr/bin:/usr/local/bin:/bin:/run/current-system/sw/bin")
    if found is None:
        raise NotPermitted("bubblewrap is not installed", remedy="apt install bubblewrap")
    return found


def _shown(interpreter: Interpreter) -> list[str]:
    arguments = ["--ro-bind", "/usr", "/usr"]
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            arguments += ["--symlink", os.readlink(path), str(path)]
        elif path.exists():
            arguments += ["--ro-bind", str(path), str(path)]
    for folder in interpreter.folders:
        for parent in reversed(Path(folder).parents[:-1]):
            arguments += ["--perms", "0755", "--dir", str(parent)]  # else only root might pass
        arguments += ["--ro-bind", folder, folder]
    return arguments


def walls(interpreter: Interpreter, limits: Limits, *, uid: int, filter_file: int) -> list[str]:
    """The command up to the interpreter. ``uid``: the user that root becomes inside, 0 for a user's own namespace.

    ``filter_file``: an open file with the seccomp filter. Everything but ``/tmp`` is read-only, the folders bubblewrap makes included:
    they lie in memory and would be a disk without a bound.
    """
    rights = ["--cap-drop", "ALL"]
    if uid:
        rights += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        rights += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    apart = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    alone = ["--new-session", "--die-with-parent", "--clearenv", "--hostname", "sandbox"]
    places = ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", str(limits.disk), "--tmpfs", "/tmp"]
    closed = ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]
    surroundings = ["--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp", "--setenv", "LC_ALL", "C.UTF-8"]
    filtered = ["--seccomp", str(filter_file), "--"]
    return [
        bubblewrap(),
        *rights,
        *apart,
        *alone,
        *_shown(interpreter),
        *places,
        *closed,
        *surroundings,
        *filtered,
    ]


def orders(limits: Limits, *, uid: int, program: int) -> dict[str, object]:
    """What ``sandbox_launch`` has to do inside. ``program``: the open file with the program's text."""
    numbers = system_limits(limits, shared_user=not uid and not counts_apart())
    return {"program": program, "limits": numbers, "uid": uid, "keep_reading": False, "alone": None}
