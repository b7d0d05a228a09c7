"""Whether one path belongs to the project, without walking all of it. Knows the same rules as a walk (``files.scan``), and their files."""

from pathlib import Path

from fireside.workspace.ignore import MARKED_FOLDER, RULE_FILES, Chain, outermost


class Wanted:
    """Answers for paths under ``root``. Remembers the rules it has read: make a new one when a rule file may have changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._chain, self._prefix = outermost(root)
        self._folders: dict[str, Chain | None] = {}

    def file(self, path: str) -> bool:
        """Whether a walk would look at this file. ``path``: relative to the root, with forward slashes."""
        folder, _, name = path.rpartition("/")
        chain = self._within(folder)
        return chain is not None and name != ".git" and not chain.ignores(self._prefix + path, name)

    def folder(self, path: str) -> bool:
        """Whether a walk would enter this folder; "" is the root."""
        return self._within(path) is not None

    def _within(self, folder: str) -> Chain | None:
        """The rules inside a folder; ``None`` where nobody looks."""
        if folder not in self._folders:
            self._folders[folder] = self._enter(folder)
        return self._folders[folder]

    def _enter(self, folder: str) -> Chain | None:
        place = self._root / folder
        if not folder:
            return self._chain.within(place, self._prefix, _rule_files(place))
        parent, _, name = folder.rpartition("/")
        chain = self._within(parent)
        if chain is None or name == ".git" or chain.ignores(f"{self._prefix}{folder}/", f"{name}/"):
            return None
        if any((place / mark).exists() for mark in MARKED_FOLDER):
            return None
        return chain.within(place, f"{self._prefix}{folder}/", _rule_files(place))


def _rule_files(folder: Path) -> list[str]:
    return [name for name in RULE_FILES if (folder / name).exists()]
