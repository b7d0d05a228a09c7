"""What stands between the project's files and a prompt: what looks like a key is kept out, and it is said.

Knows which texts go in and where they come from; what a key looks like is for ``workspace.exposure``.
"""

from dataclasses import dataclass

from fireside.context.builder import names
from fireside.core.errors import FiresideError
from fireside.core.values import replace
from fireside.index.chunks import Chunk
from fireside.workspace import exposure
from fireside.workspace.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Screened:
    """The lines of a file as they are and as they may be shown; ``rules``: (line from 1, what was found there), by line."""

    lines: tuple[str, ...]
    shown: tuple[str, ...]
    rules: tuple[tuple[int, str], ...]


class Screen:
    """One turn's guard over the files of ``workspace``. ``on`` False: everything passes and nothing is said."""

    def __init__(self, workspace: Workspace, *, on: bool = True) -> None:
        self.on = on
        self._workspace = workspace
        self._files: dict[str, Screened | None] = {}
        self._found: dict[str, None] = {}

    def withheld(self, path: str) -> str:
        """Why nothing of this file may be shown, or ""."""
        return exposure.withheld(path) if self.on else ""

    def text(self, text: str, path: str, *, numbered: bool = True) -> str:
        """``text`` without what looks like a key. ``path``: what to call it, and where rules for some files hold.

        ``numbered``: its lines are those of ``path``.
        """
        if not self.on:
            return text
        redacted = exposure.redact(text, path)
        for one in redacted.findings:
            self._say(path, one.line if numbered else 0, one.rule)
        return redacted.text

    def lines(self, path: str, first: int = 1, last: int | None = None) -> str | None:
        """Lines of a file on disk as they may be shown; ``None`` when it is gone, no text, or nothing of it may be."""
        file = self._file(path)
        if file is None:
            return None
        end = len(file.lines) if last is None else min(last, len(file.lines))
        for number in range(first, end + 1):
            if file.lines[number - 1] != file.shown[number - 1]:
                for line, rule in _rules_at(file, number):
                    self._say(path, line, rule)
        return "\n".join(file.shown[first - 1 : end])

    def hidden(self, path: str) -> frozenset[str]:
        """The lines of a file on disk that are not shown as they are."""
        file = self._file(path)
        pairs = zip(file.lines, file.shown, strict=True) if file else ()
        return frozenset(line for line, shown in pairs if line != shown)

    def chunk(self, chunk: Chunk) -> Chunk | None:
        """The chunk as it may be shown; ``None`` as for ``lines``."""
        file = self._file(chunk.path)
        if file is None:
            return None
        if "\n".join(file.lines[chunk.start_line - 1 : chunk.end_line]) != chunk.text:
            # The file has changed since it was indexed: what the index holds is screened by itself.
            return replace(chunk, text=self.text(chunk.text, chunk.path))
        return replace(chunk, text=self.lines(chunk.path, chunk.start_line, chunk.end_line) or "")

    def typed(self, question: str) -> list[str]:
        """What to tell of the user's own words, which are sent as they are."""
        found = exposure.findings(question) if self.on else []
        places = [f"line {one.line} ({one.rule})" for one in found]
        return [f"nothing of what you typed, though it holds what looks like a key: {names(places)}"] if places else []

    def notes(self) -> list[str]:
        """What was kept out so far."""
        places = list(self._found)
        values = f"{len(places)} values that look like keys" if len(places) > 1 else "a value that looks like a key"
        return [f"{values}: {names(places)}"] if places else []

    def _say(self, path: str, line: int, rule: str) -> None:
        self._found[f"{path}:{line} ({rule})" if line else f"{path} ({rule})"] = None

    def _file(self, path: str) -> Screened | None:
        if path not in self._files:
            self._files[path] = self._read(path)
        return self._files[path]

    def _read(self, path: str) -> Screened | None:
        """A whole file is screened at once: the middle of a key of many lines looks like nothing."""
        try:
            source = None if self.withheld(path) else self._workspace.read(path)
        except FiresideError:
            return None
        if source is None:
            return None
        lines = tuple(source.text.split("\n"))
        if not self.on:
            return Screened(lines, lines, ())
        redacted = exposure.redact(source.text, path)
        rules = sorted((one.line, one.rule) for one in redacted.findings)
        return Screened(lines, tuple(redacted.text.split("\n")), tuple(rules))


def _rules_at(file: Screened, number: int) -> list[tuple[int, str]]:
    """What was found at a line; a key of many lines is found at its first one."""
    here = [entry for entry in file.rules if entry[0] == number]
    return here or [entry for entry in file.rules if entry[0] < number][-1:]
