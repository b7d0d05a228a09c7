"""Which file each operation of an answer is about. Knows names and, where none is given, what the files hold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import PurePosixPath

from fireside.workspace.edits.document import Document, read_document
from fireside.workspace.edits.ladder import STEPS, find
from fireside.workspace.edits.names import Names
from fireside.workspace.edits.operations import Operation, Replace, Substitute, Write
from fireside.workspace.edits.refusals import EditRefused, refuse

ANYWHERE = frozenset(
    (
        "__init__",
        "__main__",
        "index",
        "main",
        "mod",
        "readme",
        "conftest",
        "setup",
        "makefile",
        "dockerfile",
        "license",
        "package",
        "tsconfig",
    )
)
SURE_STEPS = STEPS[:3]
MOST_LOOKED_THROUGH = 2_000
RELATED = 0.3
COMPARED = 20_000


class Targets:
    """``files``: read only where an answer names them, or names none. ``excluded``: files the user wants left alone."""

    def __init__(
        self, files: Mapping[str, str | bytes], *, root: str = "", excluded: Callable[[str], bool] | None = None
    ) -> None:
        self.files = files
        self.names = Names(files, root=root)
        self.excluded = excluded or (lambda name: False)
        self._documents: dict[str, Document] = {}

    def document(self, path: str) -> Document:
        """Raises ``EditRefused`` (binary, and whatever reading the file raises)."""
        if path not in self._documents:
            self._documents[path] = read_document(self.files[path])
        return self._documents[path]

    def texts(self, path: str) -> list[str]:
        """The lines of a file, none for what cannot be read."""
        try:
            return self.document(path).texts if path in self.files else []
        except EditRefused:
            return []

    def find(self, operation: Operation) -> str | None:
        """The file that is there already, None for a new one. Raises ``EditRefused``."""
        if not operation.name:
            return self._unnamed(operation)
        # Before any repair: a name that leads out of the project must not come to mean another file in it.
        spelled = self.allowed(operation.name)
        if spelled in self.files:
            # Files a scan leaves out are there all the same.
            self.names.add(spelled)
        action = operation.action
        creates = isinstance(action, Write) or (isinstance(action, Replace) and not action.search)
        if creates and _is_new(action):
            return self._same_name(operation.name)
        found = self.names.find(operation.name, loosely=not creates)
        if found is not None and isinstance(action, Write) and self._elsewhere(operation.name, found):
            return self._meant(operation.name, found, action)
        return found

    def allowed(self, path: str) -> str:
        """``path`` itself. Raises ``EditRefused`` (protected, outside_root) for what is not to be written."""
        spelled = self.names.spelled(path)
        if self.excluded(spelled):
            raise refuse("protected", "you keep this file from being read and edited", path=spelled)
        return spelled

    def known(self, name: str) -> frozenset[str]:
        """The lines of the file that a name means, none where it means none."""
        return frozenset(text for path in self._meant_by(name) for text in self.texts(path))

    def holds(self, name: str, texts: Sequence[str]) -> bool:
        """Whether the file that a name means (any of a few, for no name) has these lines, one below the other."""
        return any(_fits(texts, self.texts(path)) for path in self._meant_by(name))

    def first_line(self, name: str) -> str:
        return next((text for path in self._meant_by(name) for text in self.texts(path)[:1]), "") if name else ""

    def _meant_by(self, name: str) -> list[str]:
        if not name:
            return list(self.names.known)[:50]
        try:
            self.allowed(name)
            found = name if name in self.files else self.names.find(name)
        except EditRefused:
            return []
        return [found] if found is not None else []

    def _same_name(self, name: str) -> str | None:
        """The file of this very name, in whatever case."""
        spelled = self.names.spelled(name).casefold()
        return next((known for known in self.names.known if known.casefold() == spelled), None)

    def _elsewhere(self, name: str, found: str) -> bool:
        return "/" not in self.names.spelled(name) and "/" in found

    def _meant(self, name: str, found: str, action: Write) -> str | None:
        """A whole file named without its folders: the one of that name if it is like it, else a new one if such names are common."""
        if alike(self.texts(found), action.texts) >= RELATED:
            return found
        if PurePosixPath(name).stem.lower() in ANYWHERE:
            return None
        raise refuse("ambiguous", f"{found} has this name but other content; give the whole path", [found], path=name)

    def _unnamed(self, operation: Operation) -> str:
        said = dict.fromkeys(path for name in operation.mentions for path in self._meant_by(name))
        said.pop("", None)
        if not said and len(self.names.known) == 1:
            return next(iter(self.names.known))
        fitting = list(self._fitting(list(said) or list(self.names.known), operation))
        if len(fitting) == 1:
            return fitting[0]
        if len(fitting) > 1:
            raise refuse("ambiguous", "no file is named, and more than one has these lines; name it", fitting[:20])
        if len(said) == 1:
            return next(iter(said))
        raise refuse("missing", "no file is named; write its path above the edit")

    def _fitting(self, candidates: Sequence[str], operation: Operation) -> Iterator[str]:
        """Those of the files that surely hold what the operation looks for."""
        action = operation.action
        wanted: Sequence[str] = ()
        if isinstance(action, Replace):
            wanted = action.search
        elif isinstance(action, Substitute):
            wanted = action.old.strip("\n").split("\n")
        if not any(text.strip() for text in wanted) or len(candidates) > MOST_LOOKED_THROUGH:
            return
        for path in candidates:
            if _fits(wanted, self.texts(path)):
                yield path


def same_content(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether two texts have the same lines but for blanks."""
    return [text.split() for text in before if text.strip()] == [text.split() for text in after if text.strip()]


def alike(before: Sequence[str], after: Sequence[str]) -> float:
    """How much of two texts agrees, from 0 to 1, by lines or by characters, whichever is more."""
    by_lines = (
        SequenceMatcher(None, before, after, autojunk=False).ratio() if len(before) * len(after) < 4_000_000 else 0
    )
    one, other = "\n".join(before)[:COMPARED], "\n".join(after)[:COMPARED]
    if by_lines >= RELATED or len(one) * len(other) > 4_000_000:
        return by_lines
    return max(by_lines, SequenceMatcher(None, one, other, autojunk=False).ratio())


def _fits(wanted: Sequence[str], texts: Sequence[str]) -> bool:
    return any(find(step, wanted, texts) for step in SURE_STEPS)


def _is_new(action: object) -> bool:
    return (isinstance(action, Write) and action.new) or isinstance(action, Replace)
