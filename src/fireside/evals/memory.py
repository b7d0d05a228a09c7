"""How much memory this process and its children hold, where the system tells: Linux, from /proc."""

import os
from pathlib import Path

PROC = Path("/proc")


def held() -> int | None:
    """Bytes in memory (RSS) of this process and of all that it started; ``None`` where nobody can tell.

    Pages that several of them share are counted in each.
    """
    return held_by(os.getpid())


def held_by(process: int) -> int | None:
    """The same of any process. A child that has left in the meantime counts for nothing."""
    own = _resident(process)
    if own is None:
        return None
    return own + sum(filter(None, map(_resident, _below(process))))


def _below(process: int) -> list[int]:
    """Children, their children and so on: whoever has them as ancestors."""
    parents: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            parents.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    pending = list(parents.get(process, ()))
    while pending:
        child = pending.pop()
        found.append(child)
        pending += parents.get(child, ())
    return found


def _parent(entry: Path) -> int | None:
    try:
        # The name stands in brackets, and may hold blanks and brackets itself.
        return int((entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _resident(process: int) -> int | None:
    try:
        pages = int((PROC / str(process) / "statm").read_text("utf-8").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
