"""Several roots seen as one workspace: the path of a file is the name of its root, a slash, and its path there.

Knows the roots by name and asks each one's own workspace, whose ignore rules and borders hold. Knows no index.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path

from fireside.core.errors import Invalid, NotPermitted
from fireside.core.values import replace
from fireside.workspace.files import FileEntry, Scan, SourceText, Unread
from fireside.workspace.workspace import Workspace


class Gathering(Workspace):
    """The files of ``roots`` (name -> folder; see ``named``). ``folder``: where what is made of them is kept; it holds none of them.

    The roots may be away, on another machine or a disk that is not mounted: then whatever needs one of them raises ``Invalid``.
    """

    def __init__(self, folder: Path, roots: Mapping[str, Path]) -> None:
        super().__init__(folder)
        self.roots = dict(roots)
        self._opened: dict[str, Workspace] = {}

    def scan(self) -> Scan:
        """One walk through all roots. A root that is away raises: its files are not taken for deleted."""
        found: list[FileEntry] = []
        skipped: Counter[str] = Counter()
        for name in sorted(self.roots, key=lambda name: f"{name}/"):
            scan = self._workspace(name).scan()
            skipped.update(scan.skipped)
            found += (FileEntry(f"{name}/{one.path}", one.size, one.mtime_ns, one.ctime_ns) for one in scan.files)
        return Scan(tuple(found), dict(skipped))

    def look(self, path: Path | str) -> SourceText | Unread:
        name, inside = self._split(path)
        source = self._workspace(name).look(inside)
        return source if isinstance(source, Unread) else replace(source, path=f"{name}/{inside}")

    def resolve(self, path: Path | str) -> Path:
        """The real place of ``NAME/path``, or of an absolute path inside a root. Raises as ``Workspace.resolve`` does."""
        name, inside = self._split(path)
        return self._workspace(name).resolve(inside)

    def relative(self, path: Path | str) -> str:
        name, inside = self._split(path)
        return f"{name}/{self._workspace(name).relative(inside)}"

    def _split(self, path: Path | str) -> tuple[str, str]:
        text = os.fspath(path)
        if os.path.isabs(text):
            for name, root in self.roots.items():
                if Path(text).is_relative_to(root):
                    return name, Path(text).relative_to(root).as_posix()
            raise NotPermitted(f"{text[:200]} is in none of: {', '.join(self.roots)}", remedy="give a path inside one")
        name, _, inside = Path(text).as_posix().partition("/")
        if name not in self.roots:
            raise NotPermitted(f"{text[:200]!r} begins with none of: {', '.join(self.roots)}", remedy="NAME/path")
        return name, inside or "."

    def _workspace(self, name: str) -> Workspace:
        """Raises ``Invalid`` or ``NotPermitted`` when the root is not there any more, also when it was a moment ago."""
        root = self.roots[name]
        if not root.is_dir():
            raise Invalid(
                f"{name} is not at {root} any more",
                remedy=f"put it back, or change or remove it in {self.root / 'sources.json'}",
            )
        if name not in self._opened:
            self._opened[name] = Workspace(root, max_bytes=self.max_bytes)
        return self._opened[name]


def named(folders: Iterable[Path], known: Mapping[str, Path]) -> dict[str, Path]:
    """``known`` and, after them, ``folders`` under names of their own: the folder's, with more of its path in front where that is taken.

    A name once given stays. Raises ``Invalid`` for a folder in another one, whose files would be there twice, and for a whole disk.
    """
    roots = dict(known)
    for folder in folders:
        place = Workspace(folder).root
        if place in roots.values():
            continue
        for other in roots.values():
            if place.is_relative_to(other) or other.is_relative_to(place):
                inner, outer = sorted((place, other), key=lambda one: len(one.parts), reverse=True)
                raise Invalid(f"{inner} is a part of {outer}; it would be read twice", remedy="name only one of them")
        roots[_name(place, roots)] = place
    return roots


def _name(root: Path, taken: Iterable[str]) -> str:
    parts = root.parts[1:]
    if not parts:
        raise Invalid(f"{root} is a whole disk, no project", remedy="name the projects' folders")
    try:
        str(root).encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"the name of {str(root)!r} is not UTF-8", remedy="give the folder another name") from error
    for length in range(1, len(parts) + 1):
        name = "-".join(parts[-length:])
        if name not in taken:
            return name
    return next(name for number in count(2) if (name := f"{parts[-1]}-{number}") not in taken)
