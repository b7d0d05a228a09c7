"""Locks on files, dropped by the operating system with the process that holds them, however it dies.

One file, two ways: many may share it, or one has it alone. That is all the supervisor and its child need to agree on who is alive, who
is using what, and who is leaving. Nothing here waits.
"""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: LlamaServerEngine says so before anything here is reached
    fcntl = None  # type: ignore[assignment]

AVAILABLE = fcntl is not None
FIRST_SPARE = 10  # descriptors below are given fixed meanings in a spawned child


class Lease:
    """A lock that is held from a successful ``take_*`` until ``release`` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def take_shared(self) -> bool:
        """Whether it is ours now, together with others; False when one holder has it alone."""
        return self._take(fcntl.LOCK_SH)

    def take_alone(self) -> bool:
        """Whether it is ours now and nobody else's."""
        return self._take(fcntl.LOCK_EX)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    @property
    def descriptor(self) -> int:
        """The open file that carries the lock; a process that inherits it holds the lock too."""
        if self._descriptor is None:
            raise ValueError(f"{self.path} is not held")
        return self._descriptor

    def _take(self, mode: int) -> bool:
        if self._descriptor is not None and not self._is_there(self._descriptor):
            self.release()
        if self._descriptor is None:
            opened = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            self._descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, FIRST_SPARE)
            os.close(opened)
        try:
            fcntl.flock(self._descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            return False
        return True

    def _is_there(self, descriptor: int) -> bool:
        """Whether the open file is the one others find under its name; a file that was deleted locks nobody out."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False


def is_taken(path: Path) -> bool:
    """Whether somebody holds the lock alone."""
    probe = Lease(path)
    try:
        free = probe.take_shared()
    except FileNotFoundError:  # not even its folder is there
        return False
    probe.release()
    return not free
