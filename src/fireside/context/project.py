"""The knowledge wing as others see it: one project, its files, its index. Knows no model."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from fireside.core.errors import Invalid
from fireside.core.requests import Snippet
from fireside.index.chunks import IndexReport, IndexStatus, Progress, SearchResult, Symbol
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace

IMPORT_LINE = re.compile(
    r"^\s*(?:from|import|use|using|require|include|#\s*include|export|source|\.|mod|require_relative)\b|\brequire\(|\bimport\(",
    re.MULTILINE,
)
IMPORTED = re.compile(r"[\w$@./\\:-]+")
HEAD_LINES = 200
SNIPPET_LENGTH = 20_000
SAME_FOLDER = 2.0
IMPORTED_BY = 4.0
SHARED_FOLDER = 0.5


class Project:
    """``workspace`` and ``index`` of one root. ``too_wide``: it is no project (a home folder, a whole disk), and is not read."""

    def __init__(self, workspace: Workspace, index: Index, *, too_wide: bool = False) -> None:
        self.workspace = workspace
        self.index = index
        self.too_wide = too_wide

    @property
    def root(self) -> Path:
        return self.workspace.root

    def update(self, progress: Callable[[Progress], None] | None = None, *, rebuild: bool = False) -> IndexReport:
        """See ``Index.update``. Raises ``Invalid`` for a root that is too wide."""
        if self.too_wide:
            raise Invalid(
                f"{self.root} is not a project; reading all of it would take long",
                remedy="go to a project's folder\nor name one: fireside --root DIR ...",
            )
        return self.index.update(progress, rebuild=rebuild)

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        language: str | None = None,
        path: str | None = None,
        tests: bool | None = None,
    ) -> SearchResult:
        """See ``Index.search``."""
        return self.index.search(query, limit=limit, language=language, path=path, tests=tests)

    def symbols(self, name: str) -> list[Symbol]:
        """See ``Index.symbols``."""
        return self.index.symbols(name)

    def status(self) -> IndexStatus:
        """See ``Index.status``."""
        return self.index.status()

    def languages(self) -> dict[str, int]:
        """How many files there are in each language, most first."""
        return self.index.languages()

    def neighbours(self, path: str, limit: int = 8) -> list[Snippet]:
        """Whole texts of the files most like ``path``, best first: those it imports, those beside it, those of its language.

        ``path`` need not exist yet. Texts are cut after 20,000 characters.
        """
        place = self.workspace.relative(path)
        source = self.workspace.read(place)
        head = "\n".join(source.text.split("\n", HEAD_LINES)[:HEAD_LINES]) if source is not None else ""
        snippets: list[Snippet] = []
        for other in self._related(place, imported_stems(head)):
            if len(snippets) >= limit:
                break
            text = self.workspace.read(other)
            if text is not None:
                snippets.append(Snippet(other, text.text[:SNIPPET_LENGTH]))
        return snippets

    def _related(self, path: str, imported: Counter[str]) -> list[str]:
        """Other files of the same language, most related first."""
        place = PurePosixPath(path)
        languages = self.index.paths()
        extension = place.suffix.lower()
        mine = languages.get(path)
        scored: list[tuple[float, str]] = []
        for other, language in languages.items():
            if other == path or (language != mine if mine else not other.lower().endswith(extension)):
                continue
            there = PurePosixPath(other)
            named = min(
                imported[there.stem]
                or (imported[there.parent.name] if there.stem in ("__init__", "index", "mod") else 0),
                1,
            )
            shared = sum(1 for a, b in zip(place.parts[:-1], there.parts[:-1], strict=False) if a == b)
            score = IMPORTED_BY * named + SAME_FOLDER * (place.parent == there.parent) + SHARED_FOLDER * shared
            scored.append((-score, other))
        return [other for _, other in sorted(scored)]

    def close(self) -> None:
        """Safe to call twice."""
        self.index.close()


def imported_stems(text: str) -> Counter[str]:
    """Last parts of what import lines name: ``from a.b import c`` gives b and c, ``'./x/y.js'`` gives y."""
    stems: Counter[str] = Counter()
    for line in text.split("\n"):
        if IMPORT_LINE.search(line):
            for word in IMPORTED.findall(line):
                if "/" in word:
                    stems[word.rstrip("/").rpartition("/")[2].partition(".")[0]] += 1
                else:
                    stems.update(re.split(r"::|\.|:|\\", word)[-2:])
    del stems[""]
    return stems
