"""The knowledge wing as others see it: one project, its files, its index. Knows no model."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from fireside.core.errors import Invalid, NotPermitted
from fireside.core.requests import Snippet
from fireside.index import references
from fireside.index.chunks import Chunk, Hit, IndexReport, IndexStatus, Progress, SearchResult, Symbol
from fireside.index.index import FEW_VECTORS, Index
from fireside.index.languages import canonical, language_of
from fireside.index.paths import is_test, matches
from fireside.index.references import References, rank_of
from fireside.index.related import related
from fireside.index.search import plain_name
from fireside.workspace.files import Unread
from fireside.workspace.grep import Found, Query, grep
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

    def update(
        self,
        progress: Callable[[Progress], None] | None = None,
        *,
        rebuild: bool = False,
        most_vectors: int | None = FEW_VECTORS,
    ) -> IndexReport:
        """See ``Index.update``. Raises ``Invalid`` for a root that is too wide."""
        if self.too_wide:
            raise self._refusal()
        return self.index.update(progress, rebuild=rebuild, most_vectors=most_vectors)

    def _refusal(self) -> Invalid:
        return Invalid(
            f"{self.root} is not a project; reading all of it would take long",
            remedy="go to a project's folder\nor name one: fireside --root DIR ...",
        )

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
        """Definitions called ``name`` (``Class.method`` narrows), exact ones first; of these, source before tests and prose."""
        found = self.index.symbols(name)
        wanted = f".{plain_name(name.strip())}"
        return sorted(
            found, key=lambda one: (not f".{one.qualified}".endswith(wanted), one.kind == "section", rank_of(one.path))
        )

    def references(self, name: str, *, limit: int = 200) -> References:
        """Where ``name`` is used; see ``references.find``."""
        return references.find(self.index, name, limit=limit)

    def nearest(self, name: str) -> list[str]:
        """Names of definitions that may have been meant by ``name``."""
        return references.nearest(self.index, name)

    def body(self, symbol: Symbol) -> str | None:
        """The source of a definition as it is on disk now; None when its file is gone or no text any more."""
        try:
            source = self.workspace.read(symbol.path)
        except (Invalid, NotPermitted):
            return None  # it has become a link out of the project
        return None if source is None else "\n".join(source.text.split("\n")[symbol.start_line - 1 : symbol.end_line])

    def related(self, path: str, line: int, *, limit: int = 10) -> tuple[Chunk, tuple[Hit, ...]]:
        """The chunk that holds a line (from 1), and what is like it in other places of the project.

        Raises ``Invalid`` for a place that does not exist or that the index knows nothing of, ``NotPermitted`` for one outside the root.
        """
        place = self.workspace.relative(path)
        source = self.workspace.look(place)
        if isinstance(source, Unread):
            what = source.reason if (self.root / place).exists() else "there is no such file"
            raise Invalid(f"{place[:200]}: {what}", remedy="name a text file of this project, and a line: PATH:LINE")
        lines = source.text.count("\n") + (not source.text.endswith("\n"))
        if not 1 <= line <= lines:
            raise Invalid(
                f"{place} has {lines} lines, none with the number {line}", remedy=f"name one of them: {place}:1"
            )
        found = related(self.index, place, line, limit=limit)
        if found is None:
            raise Invalid(
                f"{place} is not in the index: a rule leaves it out, or it is empty",
                remedy="fireside index tells what was left out, and why",
            )
        chunk, hits = found
        return chunk, tuple(hit for hit in hits if (self.root / hit.chunk.path).is_file())

    def grep(
        self,
        query: Query,
        *,
        language: str | None = None,
        path: str | None = None,
        tests: bool | None = None,
        context: int = 0,
        limit: int = 1_000,
    ) -> Found:
        """Exact text or a regular expression in the files as they are now; see ``grep.grep``. Needs no index."""
        if self.too_wide:
            raise self._refusal()
        spoken = canonical(language) if language else None

        def wanted(place: str) -> bool:
            return (path is None or matches(place, path)) and (tests is None or is_test(place) == tests)

        def accepted(place: str, text: str) -> bool:
            found = language_of(place, text)
            return spoken is None or found == spoken or (spoken == "typescript" and found == "tsx")

        return grep(self.workspace, query, limit=limit, context=context, wanted=wanted, accepted=accepted)

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
