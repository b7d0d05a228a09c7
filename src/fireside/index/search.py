"""From a question to the best spans: gather candidates by words and names, order files by evidence, then lines inside them.

Knows the store and the ranking; not the disk.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from fireside.index.chunks import Chunk, Hit
from fireside.index.languages import canonical
from fireside.index.lexical import WORD, Words, bm25, fold, idf_of, query_terms
from fireside.index.paths import is_test, kinds, matches
from fireside.index.rank import Candidate, File, Ranker, Weights, choose, name_terms
from fireside.index.store import Postings, Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SYMBOL_LIKE = re.compile(r"[A-Za-z_$][\w$]*([.:#]{1,2}[A-Za-z_$][\w$]*)*(\(\))?")
IDENTIFIER = re.compile(r"\w*[a-z0-9][A-Z]\w*|\w*_\w+|\w+(?:[.:]{1,2}\w+)+")
MAX_QUERY = 2_000
MAX_DEFINITIONS = 400
MAX_SAID = 6


class Searcher:
    """Answers questions over one generation of the store. Used by one thread at a time."""

    def __init__(self, store: Store, *, weights: Weights | None = None) -> None:
        import numpy as np

        self._store = store
        self._weights = weights or Weights()
        self._words = Words()
        self._layout = store.layout()
        self.generation = self._layout.generation
        self._alive = self._layout.lengths > 0
        self._total = int(self._alive.sum())
        self._file_ids, self._file_of = np.unique(self._layout.files, return_inverse=True)
        rows = store.connection.execute("SELECT id, path, language FROM files WHERE unread = ''")
        self._paths: dict[int, tuple[str, str]] = {number: (path, language) for number, path, language in rows}
        self._files: dict[int, File] = {}

    def search(
        self, query: str, limit: int, *, language: str | None = None, path: str | None = None, tests: bool | None = None
    ) -> list[Hit]:
        """The best hits, best first. The caller holds a snapshot of the store."""
        query = query[:MAX_QUERY]
        terms = query_terms(query, self._words)
        if not terms or not len(self._layout.lengths) or limit < 1:
            return []
        postings = self._living(self._store.postings(terms, self._layout))
        scores = bm25(postings, terms, self._layout.lengths)
        allowed = self._allowed(language, path, tests)
        if allowed is not None:
            scores[~allowed] = 0
        idf = {term: idf_of(len(postings[term][0]) if term in postings else 0, self._total) for term in terms}
        defined = self._defined(query, allowed)
        candidates = self._candidates(scores, defined, self._coverage(postings, idf))
        files = {one.file: self._file(one.file) for one in candidates}
        Ranker(query, idf, self._words, self._weights).score(candidates, files, defined)
        return [self._hit(group, query, postings) for group in choose(candidates, limit, self._weights)]

    def _living(self, postings: Postings) -> Postings:
        """Postings without dead chunks, so that an index changed many times ranks as a fresh one does."""
        if self._total == len(self._alive):
            return postings
        kept = {term: (chunks, counts, self._alive[chunks]) for term, (chunks, counts) in postings.items()}
        return {term: (chunks[alive], counts[alive]) for term, (chunks, counts, alive) in kept.items() if alive.any()}

    def _file(self, number: int) -> File:
        known = self._files.get(number)
        if known is None:
            path, language = self._paths[number]
            *folders, name = path.split("/")
            known = self._files[number] = File(
                path,
                language,
                name_terms(name.rpartition(".")[0] or name, self._words),
                name_terms(" ".join(folders[-2:]), self._words),
                kinds(path),
            )
        return known

    def _allowed(self, language: str | None, path: str | None, tests: bool | None) -> "NDArray[np.bool_] | None":
        """Which chunks the filters leave, or None when there are no filters."""
        if language is None and path is None and tests is None:
            return None
        import numpy as np

        wanted = canonical(language) if language else None
        keep = [
            number
            for number, (place, spoken) in self._paths.items()
            if (wanted is None or spoken == wanted or (wanted == "typescript" and spoken == "tsx"))
            and (path is None or matches(place, path))
            and (tests is None or is_test(place) == tests)
        ]
        return np.isin(self._layout.files, np.array(keep, np.uint32))

    def _defined(self, query: str, allowed: "NDArray[np.bool_] | None") -> dict[int, tuple[str, bool]]:
        """Chunk id -> (qualified name, whether spelled exactly so), for definitions of what the query names."""
        names = identifiers(query)
        if not names:
            return {}
        folded = sorted({fold(name.rpartition(".")[2]) for name in names})
        rows = self._store.select("SELECT file, name, qualified, start_line FROM symbols WHERE folded IN", folded)
        result: dict[int, tuple[str, bool]] = {}
        for file, name, qualified, line in rows[:MAX_DEFINITIONS]:
            meant = [wanted for wanted in names if f".{fold(qualified)}".endswith(f".{fold(wanted)}")]
            if not meant:
                continue
            row = self._store.connection.execute(
                "SELECT id FROM chunks WHERE file = ? AND start_line <= ? ORDER BY start_line DESC LIMIT 1",
                (file, line),
            ).fetchone()
            if row and (allowed is None or allowed[row[0] - self._layout.first]):
                exact = any(wanted.rpartition(".")[2] == name for wanted in meant)
                if exact or row[0] not in result:
                    result[row[0]] = (qualified, exact)
        return result

    def _coverage(self, postings: Postings, idf: Mapping[str, float]) -> "NDArray[np.float32]":
        """For each file (by its place in ``_file_ids``) the share of the question, by rarity, that it has words for."""
        import numpy as np

        covered = np.zeros(len(self._file_ids), np.float32)
        for term, (chunks, _) in postings.items():
            has = np.zeros(len(covered), np.float32)
            has[self._file_of[chunks]] = idf[term]
            covered += has
        return covered / np.float32(sum(idf.values()) or 1.0)

    def _candidates(
        self, scores: "NDArray[np.float32]", defined: Iterable[int], coverage: "NDArray[np.float32]"
    ) -> list[Candidate]:
        import numpy as np

        count = min(self._weights.candidates, int((scores > 0).sum()))
        best = np.argpartition(-scores, count - 1)[:count] if count else np.zeros(0, np.int64)
        first = self._layout.first
        ids = sorted({*(int(one) + first for one in best), *defined})
        rows = self._store.select("SELECT id, file, start_line, end_line, symbol FROM chunks WHERE id IN", ids)
        return [
            Candidate(
                id, file, start, end, symbol, float(scores[id - first]), float(coverage[self._file_of[id - first]])
            )
            for id, file, start, end, symbol in rows
        ]

    def _hit(
        self,
        group: Sequence[Candidate],
        query: str,
        postings: Postings,
    ) -> Hit:
        best = max(group, key=lambda one: one.score)
        file = self._files[best.file]
        rows = self._store.select("SELECT id, start_line, text FROM chunks WHERE id IN", [one.id for one in group])
        chunk = Chunk(
            file.path,
            group[0].start_line,
            group[-1].end_line,
            _joined(sorted(rows)),
            file.language,
            best.symbol or group[0].symbol,
        )
        said = self._said(best.id - self._layout.first, query, postings)
        reasons = list(dict.fromkeys(reason for one in group for reason in one.reasons))
        return Hit(chunk, round(best.score, 4), (*reasons, *([f"words: {', '.join(said)}"] if said else [])))

    def _said(self, chunk: int, query: str, postings: Postings) -> list[str]:
        """The words of the query that a chunk holds, in the query's order."""
        found: dict[str, None] = {}
        for word in WORD.findall(query):
            for term in self._words.parts(word):
                entry = postings.get(term)
                if (
                    entry is not None
                    and (place := int(entry[0].searchsorted(chunk))) < len(entry[0])
                    and entry[0][place] == chunk
                ):
                    found[word.lower()] = None
                    break
        return list(found)[:MAX_SAID]


def _joined(rows: Sequence[tuple[int, int, str]]) -> str:
    """Texts of chunks that follow each other, with the blank lines between them."""
    text, line = "", rows[0][1]
    for _, start, part in rows:
        text += "\n" * (start - line) + part
        line = start + part.count("\n")
    return text


def identifiers(query: str) -> list[str]:
    """The names a query asks for: all of it when it looks like one name, else the words that can only be names."""
    text = query.strip()
    if SYMBOL_LIKE.fullmatch(text):
        return [plain_name(text)]
    return [plain_name(found) for found in IDENTIFIER.findall(text)]


def plain_name(text: str) -> str:
    return re.sub(r"::|[#:]", ".", text.removesuffix("()")).strip(".")
