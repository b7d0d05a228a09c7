"""A folder the user works in: its files, their text, and the border nobody reads past. Knows nothing of what the text means."""

import os
from collections.abc import Iterator
from pathlib import Path

from fireside.core.errors import Invalid, NotPermitted
from fireside.workspace import files
from fireside.workspace.files import MAX_BYTES, FileEntry, Scan, SourceText, Unread

MARKERS = (".fireside.toml", ".git")
MAX_PATH = 4_096


def find_root(start: Path | None = None) -> Path:
    """The nearest folder at or above ``start`` (else: the current folder) with a ``.fireside.toml`` or a ``.git``.

    When there is none, ``start`` itself, or its folder when it is a file.
    """
    folder = Path(os.path.abspath(start if start is not None else "."))
    folder = folder.parent if folder.is_file() else folder
    return next((at for at in (folder, *folder.parents) if any((at / name).exists() for name in MARKERS)), folder)


class Workspace:
    """The files under ``root``, taken literally (see ``find_root``). ``max_bytes``: larger files are left out.

    Raises ``Invalid`` when ``root`` is not a folder that can be read.
    """

    def __init__(self, root: Path | str, *, max_bytes: int = MAX_BYTES) -> None:
        try:
            self.root = Path(root).resolve()
            if not self.root.exists():
                raise Invalid(f"{root} does not exist", remedy="check the path")
            if not self.root.is_dir():
                raise Invalid(f"{root} is not a folder", remedy="name the project's folder, not a file in it")
            os.scandir(self.root).close()
        except PermissionError as error:
            raise NotPermitted(f"{root} cannot be read: {error.strerror}", remedy=f"check: ls -ld {root}") from error
        except (OSError, RuntimeError, ValueError) as error:
            raise Invalid(f"{str(root)[:200]!r} is not a folder: {error}", remedy="check the path") from error
        self.max_bytes = max_bytes

    def files(self) -> Iterator[FileEntry]:
        """Every file no rule leaves out, by path."""
        return iter(self.scan().files)

    def scan(self) -> Scan:
        """The same with a count of what was left out and why."""
        return files.scan(self.root, max_bytes=self.max_bytes)

    def read(self, path: Path | str) -> SourceText | None:
        """The text of a file, or None when it is binary, too large or cannot be read. Raises as ``resolve`` does."""
        text = self.look(path)
        return None if isinstance(text, Unread) else text

    def look(self, path: Path | str) -> SourceText | Unread:
        """The text of a file, or the reason why there is none. Raises as ``resolve`` does."""
        inside = self.resolve(path).relative_to(self.root)
        return files.read(self.root, inside.as_posix(), max_bytes=self.max_bytes)

    def relative(self, path: Path | str) -> str:
        """``path`` relative to the root, with forward slashes. Raises as ``resolve`` does."""
        return self.resolve(path).relative_to(self.root).as_posix()

    def resolve(self, path: Path | str) -> Path:
        """The real place of ``path`` (relative to the root, or absolute), which need not exist.

        Raises ``Invalid`` for what cannot be a path, ``NotPermitted`` for what lies outside the root, also through links.
        """
        text = os.fspath(path)
        if not text or "\0" in text or len(text) > MAX_PATH:
            raise Invalid(f"{text[:80]!r} is not a path", remedy="give a path relative to the project")
        try:
            real = (self.root / text).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise Invalid(f"{text[:200]!r} cannot be followed: {error}", remedy="check the links in it") from error
        if real.is_symlink():
            raise Invalid(f"{text[:200]!r} is a link that leads to itself", remedy="check the links in it")
        if not real.is_relative_to(self.root):
            raise NotPermitted(f"{text[:200]} is outside {self.root}", remedy="give a path inside the project")
        return real
