"""How much a sandboxed program may take, and as whom it runs.

Limits on processes count per user and never bind root, so a sandbox started by root runs its program as a user nobody else is.
Knows nothing of namespaces or of Landlock.
"""

import os
import platform
import random
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fireside.core.errors import NotPermitted

# Users that no system hands out (systemd's list of user numbers), where all numbers can be had; else those above the dynamic ones.
_FREE_USERS, _FREE_USERS_COUNT = 1_900_000_000, 100_000_000
_FEW_USERS, _FEW_USERS_COUNT = 61_184, 4_000
_OPEN_FILES = 64


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``seconds``: of wall-clock time. ``memory``, ``disk``, ``output``: bytes, for all processes together. ``processes``: at once, threads
    counted like processes. ``files``: in the private folder."""

    seconds: float = 10.0
    memory: int = 1 << 30
    disk: int = 64 << 20
    output: int = 1 << 20
    processes: int = 32
    files: int = 4096

    def __post_init__(self) -> None:
        if self.seconds <= 0 or min(self.memory, self.disk, self.output, self.processes, self.files) <= 0:
            raise ValueError("every limit is greater than zero")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The Python that runs the program. ``folders``: what it needs to be able to read of this machine."""

    executable: str
    folders: tuple[str, ...]

    @property
    def hidden(self) -> bool:
        """Whether another user than the owner could not reach it."""
        above = [parent for folder in self.folders for parent in Path(folder).parents]
        return any(not parent.stat().st_mode & 0o001 for parent in above)


def interpreter() -> Interpreter:
    """This very interpreter without its virtual environment. Raises NotPermitted where showing it would show a home folder."""
    executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    library = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix})).resolve()
    folders = {str(Path(prefix).resolve()) for prefix in (sys.base_prefix, sys.base_exec_prefix)}
    if not any(library.is_relative_to(folder) for folder in folders):
        folders.add(str(library))
    homes = {Path.home().resolve(), Path("/"), Path("/home"), Path("/root"), Path.cwd()}
    for folder in folders:
        if any(home == Path(folder) or home.is_relative_to(folder) for home in homes if folder != "/usr"):
            raise NotPermitted(
                f"no sandbox: Python is installed in {folder}, together with files of yours",
                remedy="use a Python that has a folder of its own (uv python install 3.12)",
            )
    return Interpreter(str(executable), tuple(sorted(folders - {"/usr"})))


def system_limits(limits: Limits, *, shared_user: bool) -> dict[str, int]:
    """Names of ``resource.RLIMIT_*`` with their values. ``shared_user``: other processes of this user count as well."""
    others = _threads_of(os.getuid()) if shared_user else 0
    return {
        "AS": limits.memory,
        "CORE": 0,
        "CPU": int(limits.seconds) + 2,
        "FSIZE": limits.disk,
        "MEMLOCK": 0,
        "MSGQUEUE": 0,
        "NOFILE": _OPEN_FILES,
        "NPROC": others + limits.processes,
        "SIGPENDING": limits.processes,
    }


def counts_apart() -> bool:
    """Whether the kernel counts the processes of a user namespace apart (since Linux 5.14)."""
    major, minor = platform.release().split(".")[:2]
    return (int(major), int("".join(filter(str.isdigit, minor)))) >= (5, 14)


def other_user() -> int:
    """The number of a user that nobody is, for root to become; 0 for anybody else, and for a root that can be nobody else."""
    if os.geteuid() != 0:
        return 0
    spans = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    for first, count in ((_FREE_USERS, _FREE_USERS_COUNT), (_FEW_USERS, _FEW_USERS_COUNT)):
        if any(start <= first and first + count <= start + length for start, _, length in spans):
            return random.SystemRandom().randrange(first, first + count)
    return 0


def _threads_of(uid: int) -> int:
    count = 0
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and process.stat().st_uid == uid:
                count += len(os.listdir(process / "task"))
        except OSError:  # it has just ended
            continue
    return count
