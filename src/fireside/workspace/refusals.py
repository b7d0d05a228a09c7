"""Why nothing was written, in words a user or a model can act on. Knows the system's complaints, not what was to be written.

Every refusal names its ``path`` and a machine word as ``reason`` in its context: outside_root, protected, exists, missing,
changed_since_read, overlap, read_only, not_a_file, too_long, disk_full, failed.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fireside.core.errors import FiresideError, Invalid, NotPermitted, OutOfResources

FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY)


@contextmanager
def spoken(path: Path | str) -> Iterator[None]:
    """Turn an ``OSError`` inside into a one-line error about ``path``."""
    try:
        yield
    except OSError as error:
        raise in_words(error, os.fspath(path)) from error


def in_words(error: OSError, path: str) -> FiresideError:
    """The system's complaint about ``path`` as an error of ours."""
    words = error.strerror or str(error)
    name = path if len(path) <= 200 else f"{path[:200]}..."
    if error.errno in FULL:
        return OutOfResources(
            f"there is no room on the disk for {name}",
            remedy="free some disk space: df -h",
            path=path,
            reason="disk_full",
        )
    if error.errno in FORBIDDEN:
        return NotPermitted(
            f"{name} cannot be written: {words}", remedy=f"ls -ld {name}", path=path, reason="read_only"
        )
    if error.errno == errno.ENAMETOOLONG:
        return Invalid(f"{name!r} is too long for a name", remedy="choose a shorter path", path=path, reason="too_long")
    if error.errno in IN_THE_WAY:
        return Invalid(
            f"something else is in the way of {name}: {words}", remedy="choose another path", path=path, reason="exists"
        )
    if error.errno == errno.ENOENT:
        return changed(path)
    return Invalid(f"{name} cannot be written: {words}", remedy=f"ls -ld {name}", path=path, reason="failed")


def changed(path: str) -> Invalid:
    """The file is not what it was when it was read."""
    return Invalid(
        f"{path} has changed since it was read", remedy="read it again, then repeat the change", path=path,
        reason="changed_since_read",
    )  # fmt: skip
