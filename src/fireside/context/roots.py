"""Several projects asked at once, with one ranking for all.

Scores of different indexes do not compare: each index measures by its own best answer, and a project with nothing on the subject has a
best answer too. So each project's scores are weighed by how much of the question its best hits say, rare words counting more, and how
rare a word is is counted over all projects. The order within one project stays.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fireside.context.project import Project
from fireside.index.chunks import Hit, IndexReport, Progress, SearchResult
from fireside.index.lexical import Words, idf_of, query_terms
from fireside.index.reading import frequencies
from fireside.index.search import MAX_QUERY, SYMBOL_LIKE

JUDGED = 5
# A hit may be right without a word of the question (found by likeness): among projects that say nothing of it their own scores decide.
UNSAID = 0.05
DEFINES = "defines "


@dataclass(frozen=True, slots=True)
class RootHit:
    """``root``: the name of the project the hit is from; ``folder``: where that is. ``score`` compares within this answer."""

    root: str
    folder: Path
    hit: Hit
    score: float


@dataclass(frozen=True, slots=True)
class Asked:
    """One project's part in an answer. ``covered``: the share of the question its best hits say, 0 to 1. ``note``: see ``SearchResult``."""

    root: str
    folder: Path
    generation: int
    pending: int
    covered: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class RootsResult:
    query: str
    hits: tuple[RootHit, ...]
    roots: tuple[Asked, ...]


class Roots:
    """Several projects, each named by its folder (by more of its path where two are called alike). A root given twice counts once."""

    def __init__(self, projects: Sequence[Project]) -> None:
        self.projects = list({project.root: project for project in projects}.values())
        self.names = _names([project.root for project in self.projects])

    def update(self, progress: Callable[[Progress], None] | None = None) -> list[IndexReport]:
        """See ``Project.update``; one report per project."""
        return [project.update(progress) for project in self.projects]

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        language: str | None = None,
        path: str | None = None,
        tests: bool | None = None,
    ) -> RootsResult:
        """The best hits of all projects. A query that is one name finds its definitions first, wherever they are."""
        results = [
            project.search(query, limit=limit, language=language, path=path, tests=tests) for project in self.projects
        ]
        covered = self._covered(query, results)
        exact = SYMBOL_LIKE.fullmatch(query.strip()) is not None
        merged: list[tuple[bool, float, int, int, RootHit]] = []
        for number, (project, result) in enumerate(zip(self.projects, results, strict=True)):
            for place, hit in enumerate(result.hits):
                score = round(hit.score * max(covered[number], UNSAID) ** 2, 4)
                other = not (exact and any(reason.startswith(DEFINES) for reason in hit.reasons))
                merged.append((other, -score, place, number, RootHit(self.names[number], project.root, hit, score)))
        if len(results) > 1:
            merged.sort(key=lambda one: one[:4])
        return RootsResult(
            query,
            tuple(_without_doubles([one[-1] for one in merged])[:limit]),
            tuple(
                Asked(name, project.root, result.generation, result.pending, round(share, 4), result.note)
                for name, project, result, share in zip(self.names, self.projects, results, covered, strict=True)
            ),
        )

    def _covered(self, query: str, results: Sequence[SearchResult]) -> list[float]:
        """For each project what its first hits say of the question, rare words counting more: halfway from their mean to the best.

        The mean alone would hold it against a project that it speaks of the subject in one place only.
        """
        if len(results) == 1:
            return [1.0]
        words = Words()
        terms = set(query_terms(query[:MAX_QUERY], words))
        rarity = self._rarity(terms)
        whole = sum(rarity.values()) or 1.0
        covered: list[float] = []
        for result in results:
            shares = [sum(rarity[term] for term in _said(hit, terms, words)) / whole for hit in result.hits[:JUDGED]]
            covered.append((max(shares) + sum(shares) / len(shares)) / 2 if shares else 0.0)
        return covered

    def _rarity(self, terms: set[str]) -> Mapping[str, float]:
        counted = [frequencies(project.index, terms) for project in self.projects]
        total = sum(one.total for one in counted)
        return {term: idf_of(sum(one.chunks[term] for one in counted), total) for term in terms}

    def close(self) -> None:
        """Safe to call twice."""
        for project in self.projects:
            project.close()


def _said(hit: Hit, terms: set[str], words: Words) -> set[str]:
    """Which of the terms a hit's text, path and name have."""
    chunk = hit.chunk
    return terms & {*words.count(chunk.text), *words.count_path(chunk.path), *words.count(chunk.symbol)}


def _without_doubles(hits: Sequence[RootHit]) -> list[RootHit]:
    """One root may lie in another: of hits on the same lines of the same file the best stays."""
    seen: dict[Path, list[tuple[int, int]]] = {}
    kept: list[RootHit] = []
    for one in hits:
        chunk = one.hit.chunk
        spans = seen.setdefault(one.folder / chunk.path, [])
        if not any(first <= chunk.end_line and chunk.start_line <= last for first, last in spans):
            spans.append((chunk.start_line, chunk.end_line))
            kept.append(one)
    return kept


def _names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    names: list[str] = []
    for folder in folders:
        others = [other.parts for other in folders if other != folder]
        parts = folder.parts
        count = next((n for n in range(1, len(parts)) if all(other[-n:] != parts[-n:] for other in others)), len(parts))
        names.append("/".join(parts[-count:]) if count < len(parts) else folder.as_posix())
    return names
