"""What can go wrong with a disk, in words; and files that appear whole or not at all."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fireside.core.errors import FiresideError, NotPermitted, OutOfResources

SPARE = 64 << 20
"""Bytes left free beside what is about to be written: a disk that is full to the last byte breaks other programs."""
FULL = (errno.ENOSPC, errno.EDQUOT)


def check_space(folder: Path, size: int) -> None:
    """Raise ``OutOfResources`` unless ``size`` more bytes fit on the disk of ``folder``."""
    free = shutil.disk_usage(folder).free
    if size + SPARE > free:
        raise OutOfResources(
            f"this needs {in_words(size)}, and {in_words(free)} are free in {folder}",
            remedy="free some space, or remove a model: fireside models rm NAME",
            needed=size,
            free=free,
        )


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn a failure of the disk within into one typed error."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, doing) from error


def disk_error(error: OSError, doing: str) -> FiresideError:
    place = error.filename or "the store"
    if error.errno in FULL:
        return OutOfResources(
            f"the disk became full during {doing}",
            remedy="free some space and run it again, or remove a model: fireside models rm NAME",
        )
    if error.errno == errno.EFBIG:
        return OutOfResources(
            f"the disk does not take a file this large ({doing})",
            remedy="FAT disks end at 4 GB, and a limit may be set: ulimit -f",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotPermitted(f"{place} cannot be written ({error.strerror})", remedy=f"check: ls -ld {place}")
    return OutOfResources(f"the disk failed during {doing}: {error.strerror}", remedy="check the disk")


def write_atomically(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        replace_file(Path(temporary), path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def replace_file(source: Path, target: Path) -> None:
    """Move a file into place; readers see the old one or the new one."""
    os.replace(source, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` last through a power cut, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def in_words(size: int) -> str:
    """Bytes as people say them: 4.1 GB (powers of 1000)."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
