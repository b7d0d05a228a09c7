"""From a question to the best spans: gather candidates by words and names, order files by evidence, then lines inside them.

Knows the store and the ranking; not the disk. Every weight is in ``Weights``, so that one can be switched off and measured.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fireside.index.chunks import Chunk, Hit
from fireside.index.languages import canonical
from fireside.index.lexical import WORD, Words, bm25, fold, idf_of, query_terms
from fireside.index.paths import is_test, kinds, matches
from fireside.index.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SYMBOL_LIKE = re.compile(r"[A-Za-z_$][\w$]*([.:#]{1,2}[A-Za-z_$][\w$]*)*(\(\))?")
IDENTIFIER = re.compile(r"\w*[a-z0-9][A-Z]\w*|\w*_\w+|\w+(?:[.:]{1,2}\w+)+")
ASKED = {
    "test": re.compile(r"\b(tests?|tested|testing|unittest|spec|fixtures?|mock(s|ed)?)\b", re.IGNORECASE),
    "document": re.compile(r"\b(docs?|documentation|readme|changelog|licen[cs]e|tutorial|guide)\b", re.IGNORECASE),
    "aside": re.compile(r"\b(examples?|samples?|demos?|benchmarks?|legacy|deprecated|migrations?)\b", re.IGNORECASE),
}
MAX_QUERY = 2_000


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each signal counts; tuned on the development set (docs/search.md)."""

    candidates: int = 200
    file_evidence: float = 0.5
    file_depth: int = 4
    name: float = 1.0
    stem: float = 1.0
    definition: float = 2.0
    saturation: float = 0.85
    penalties: Mapping[str, float] = field(
        default_factory=lambda: {"test": 0.4, "vendored": 0.5, "generated": 0.6, "aside": 0.6, "document": 0.6}
    )


@dataclass(slots=True)
class File:
    """What ranking wants to know of a file."""

    path: str
    language: str
    stem: frozenset[str] = frozenset()
    kinds: tuple[str, ...] = ()
    ready: bool = False


@dataclass(slots=True)
class Candidate:
    """A chunk under consideration. ``names``: terms of its symbol."""

    id: int
    file: int
    start_line: int
    end_line: int
    symbol: str
    score: float
    reasons: list[str] = field(default_factory=list)


class Searcher:
    """Answers questions over one generation of the store."""

    def __init__(self, store: Store, *, weights: Weights | None = None) -> None:
        self._store = store
        self._weights = weights or Weights()
        self._words = Words()
        self._layout = store.layout()
        self.generation = self._layout.generation
        rows = store.connection.execute("SELECT id, path, language FROM files WHERE unread = ''")
        self._files = {number: File(path, language) for number, path, language in rows}

    def search(
        self, query: str, limit: int, *, language: str | None = None, path: str | None = None, tests: bool | None = None
    ) -> list[Hit]:
        query = query[:MAX_QUERY]
        weights = query_terms(query, self._words)
        if not weights or not len(self._layout.lengths) or limit < 1:
            return []
        postings = self._store.postings(weights, self._layout)
        scores = bm25(postings, weights, self._layout.lengths)
        allowed = self._allowed(language, path, tests)
        if allowed is not None:
            scores[~allowed] = 0
        idf = {
            term: idf_of(len(postings[term][0]) if term in postings else 0, len(self._layout.lengths))
            for term in weights
        }
        defined = self._defined(query, allowed)
        candidates = self._candidates(scores, defined)
        if not candidates:
            return []
        self._rank(query, candidates, scores, idf, defined)
        return self._hits(self._choose(candidates, limit))

    def _file(self, number: int) -> File:
        file = self._files[number]
        if not file.ready:
            name = file.path.rpartition("/")[2].rpartition(".")[0] or file.path.rpartition("/")[2]
            file.stem = frozenset(term for word in WORD.findall(name) for term in self._words.of(word))
            file.kinds, file.ready = kinds(file.path), True
        return file

    def _allowed(self, language: str | None, path: str | None, tests: bool | None) -> "NDArray[np.bool_] | None":
        """Which chunks the filters leave, or None when there are no filters."""
        if language is None and path is None and tests is None:
            return None
        import numpy as np

        wanted = canonical(language) if language else None
        keep = [
            number
            for number, file in self._files.items()
            if (wanted is None or file.language == wanted or (wanted == "typescript" and file.language == "tsx"))
            and (path is None or matches(file.path, path))
            and (tests is None or is_test(file.path) == tests)
        ]
        return np.isin(self._layout.files, np.array(keep, np.uint32))

    def _defined(self, query: str, allowed: "NDArray[np.bool_] | None") -> dict[int, str]:
        """Chunk number -> name, for definitions of what the query names."""
        names = identifiers(query)
        if not names:
            return {}
        folded = sorted({fold(name.rpartition(".")[2]) for name in names})
        rows = self._store.select("SELECT file, folded, qualified, start_line FROM symbols WHERE folded IN", folded)
        result: dict[int, str] = {}
        for file, name, qualified, line in rows[:400]:
            exact = any(
                fold(qualified).endswith(fold(wanted)) for wanted in names if fold(wanted.rpartition(".")[2]) == name
            )
            if not exact:
                continue
            row = self._store.connection.execute(
                "SELECT id FROM chunks WHERE file = ? AND start_line <= ? ORDER BY start_line DESC LIMIT 1",
                (file, line),
            ).fetchone()
            if row and (allowed is None or allowed[row[0] - self._layout.first]):
                result[row[0] - self._layout.first] = qualified
        return result

    def _candidates(self, scores: "NDArray[np.float32]", defined: Iterable[int]) -> list[Candidate]:
        import numpy as np

        count = min(self._weights.candidates, int((scores > 0).sum()))
        best = np.argpartition(-scores, count - 1)[:count] if count else np.zeros(0, np.int64)
        numbers = sorted({*(int(one) for one in best), *defined})
        first = self._layout.first
        rows = self._store.select(
            "SELECT id, file, start_line, end_line, symbol FROM chunks WHERE id IN",
            [number + first for number in numbers],
        )
        return [
            Candidate(id, file, start, end, symbol, float(scores[id - first])) for id, file, start, end, symbol in rows
        ]

    def _rank(
        self,
        query: str,
        candidates: list[Candidate],
        scores: "NDArray[np.float32]",
        idf: Mapping[str, float],
        defined: Mapping[int, str],
    ) -> None:
        w = self._weights
        top = max(one.score for one in candidates) or 1.0
        by_file: dict[int, list[float]] = {}
        for one in candidates:
            by_file.setdefault(one.file, []).append(one.score)
        evidence = {
            file: sum(sorted(found, reverse=True)[: w.file_depth]) / w.file_depth / top
            for file, found in by_file.items()
        }
        asked = {kind for kind, pattern in ASKED.items() if pattern.search(query)}
        for one in candidates:
            file = self._file(one.file)
            stem = overlap(file.stem, idf)
            name = overlap(self._symbol_terms(one.symbol), idf)
            score = one.score / top + w.file_evidence * evidence[one.file]
            score *= (1 + w.stem * stem) * (1 + w.name * name)
            if one.id - self._layout.first in defined:
                score = score + w.definition
                one.reasons.append(f"defines {defined[one.id - self._layout.first]}")
            for kind in file.kinds:
                if kind not in asked:
                    score *= w.penalties.get(kind, 1.0)
            one.score = score

    def _symbol_terms(self, symbol: str) -> frozenset[str]:
        name = symbol.rpartition(".")[2]
        return frozenset(term for word in WORD.findall(name) for term in self._words.of(word))

    def _choose(self, candidates: list[Candidate], limit: int) -> list[Candidate]:
        """Best first; each further chunk of a file counts a little less."""
        taken: dict[int, int] = {}
        ordered = sorted(candidates, key=lambda one: (-one.score, one.id))
        for one in ordered:
            times = taken.get(one.file, 0)
            one.score *= self._weights.saturation**times
            taken[one.file] = times + 1
        return sorted(ordered, key=lambda one: (-one.score, one.id))[:limit]

    def _hits(self, chosen: Sequence[Candidate]) -> list[Hit]:
        texts = dict(self._store.select("SELECT id, text FROM chunks WHERE id IN", [one.id for one in chosen]))
        return [
            Hit(
                Chunk(
                    self._files[one.file].path,
                    one.start_line,
                    one.end_line,
                    texts[one.id],
                    self._files[one.file].language,
                    one.symbol,
                ),
                round(one.score, 4),
                tuple(one.reasons),
            )
            for one in chosen
        ]


def overlap(terms: Iterable[str], idf: Mapping[str, float]) -> float:
    """How much of a name the query says, and how much of the query the name says: 0 to 1."""
    names = list(terms)
    if not names:
        return 0.0
    shared = sum(idf.get(term, 0.0) for term in names)
    if not shared:
        return 0.0
    asked = sum(idf.values())
    typical = asked / len(idf)
    own = sum(idf.get(term, typical) for term in names)
    return (shared / own) * min(1.0, shared / asked * 2)


def identifiers(query: str) -> list[str]:
    """The names a query asks for: all of it when it looks like one name, else the words that can only be names."""
    text = query.strip()
    if SYMBOL_LIKE.fullmatch(text):
        return [plain_name(text)]
    return [plain_name(found) for found in IDENTIFIER.findall(text)]


def plain_name(text: str) -> str:
    return re.sub(r"::|[#:]", ".", text.removesuffix("()")).strip(".")
