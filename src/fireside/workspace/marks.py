"""What stands at a path, in a few characters: enough to tell whether it is still the same. Knows no rules and no store."""

import os
import stat
from errno import ENAMETOOLONG, ENOENT, ENOTDIR
from hashlib import blake2b, file_digest
from pathlib import Path

LINK = "link:"
FOLDER = "folder"
OTHER = "other"
# Nothing can stand at a path that is too long either.
NOWHERE = (ENOENT, ENOTDIR, ENAMETOOLONG)


def digest_of(data: bytes) -> str:
    """blake2b-128, hex: the digest ``files.read`` gives too."""
    return blake2b(data, digest_size=16).hexdigest()


def mark_of(path: Path) -> str | None:
    """The digest of a file; ``link:`` and where a link leads; ``folder``; ``other`` for pipes and the like; None when nothing is there.

    Links are not followed. Raises ``OSError`` for what cannot be read.
    """
    try:
        facts = os.lstat(path)
        if stat.S_ISLNK(facts.st_mode):
            return LINK + os.readlink(path)
        if stat.S_ISDIR(facts.st_mode):
            return FOLDER
        if not stat.S_ISREG(facts.st_mode):
            return OTHER
        with open(path, "rb") as file:
            return file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        if error.errno in NOWHERE:
            return None
        raise
