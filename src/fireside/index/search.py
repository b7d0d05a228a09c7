"""From a question to the best spans: gather candidates by words and names, order files by evidence, then lines inside them.

Knows the store and the ranking; not the disk.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from math import log
from typing import TYPE_CHECKING

from fireside.core.errors import FiresideError
from fireside.index.chunks import Chunk, Hit
from fireside.index.embed import Embedding
from fireside.index.embedder import Passage
from fireside.index.languages import canonical
from fireside.index.lexical import STOP_WORDS, WORD, Words, bm25, fold, idf_of, length_norms, query_terms
from fireside.index.paths import is_test, kinds, matches
from fireside.index.rank import Candidate, File, Ranker, Weights, choose
from fireside.index.store import Postings, Store
from fireside.index.vectors import VectorStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SYMBOL_LIKE = re.compile(r"[A-Za-z_$][\w$]*([.:#]{1,2}[A-Za-z_$][\w$]*)*(\(\))?")
IDENTIFIER = re.compile(r"\w*[a-z0-9][A-Z]\w*|\w*_\w+|\w+(?:[.:]{1,2}\w+)+")
PLAIN_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*")
MAX_COMPOUND = 4
MAX_QUERY = 2_000
MAX_DEFINITIONS = 400
MAX_SAID = 6
# Where filters or changes leave few of the nearest vectors, so many more are asked for each time, up to so many.
FURTHER = 8
# What is no more like the question than the rest still counts so much of its similarity: it may be all there is.
LEAST_LIKENESS = 0.01
FURTHEST = 6_400


class Searcher:
    """Answers questions over one generation of the store. Used by one thread at a time."""

    def __init__(self, store: Store, *, weights: Weights | None = None, embedding: Embedding | None = None) -> None:
        import numpy as np

        self._embedding = embedding
        self._vectors = self._opened(store)
        self._store = store
        self._weights = weights or Weights()
        self._words = Words()
        self._layout = store.layout()
        self.generation = self._layout.generation
        self._alive = self._layout.lengths > 0
        self._total = int(self._alive.sum())
        self._norms = length_norms(self._layout.lengths)
        self._file_ids, self._file_of = np.unique(self._layout.files, return_inverse=True)
        rows = store.connection.execute("SELECT id, path, language, chunks FROM files WHERE unread = ''").fetchall()
        self._paths: dict[int, tuple[str, str]] = {number: (path, language) for number, path, language, _ in rows}
        self._sizes = {number: log(max(chunks, 1)) for number, *_, chunks in rows}
        self._largest = max(self._sizes.values(), default=0.0) or 1.0
        self._files: dict[int, File] = {}
        self._asked: NDArray[np.float32] | None = None

    def _opened(self, store: Store) -> VectorStore | None:
        """The vectors, when there is one for every chunk."""
        if self._embedding is None:
            return None
        try:
            return None if self._embedding.due(store) else self._embedding.vectors(store)
        except FiresideError as error:
            self._embedding.fail(error)
            return None

    @property
    def has_vectors(self) -> bool:
        return self._vectors is not None

    def close(self) -> None:
        """Let go of the vectors. Safe to call twice."""
        if self._vectors is not None:
            self._vectors.close()

    def search(
        self, query: str, limit: int, *, language: str | None = None, path: str | None = None, tests: bool | None = None
    ) -> list[Hit]:
        """The best hits, best first. The caller holds a snapshot of the store."""
        query = query[:MAX_QUERY]
        terms = query_terms(query, self._words)
        if not terms or not len(self._layout.lengths) or limit < 1:
            return []
        postings = self._living(self._store.postings(terms, self._layout))
        scores = bm25(postings, terms, self._layout.lengths, self._norms)
        allowed = self._allowed(language, path, tests)
        if allowed is not None:
            scores[~allowed] = 0
        idf = {term: idf_of(len(postings[term][0]) if term in postings else 0, self._total) for term in terms}
        defined = self._defined(query, allowed)
        is_name = SYMBOL_LIKE.fullmatch(query.strip()) is not None
        spelled = compounds(query)
        named = self._named(spelled, allowed)
        meant = self._meant(query, allowed)
        candidates = self._candidates(scores, {*defined, *named, *meant}, self._coverage(postings, idf))
        self._liken(candidates)
        files = {one.file: self._file(one.file) for one in candidates}
        ranker = Ranker(query, idf, self._words, self._weights, is_name=is_name)
        # The file that bears a name is the first to look in.
        called = spelled | {fold(plain_name(query).rpartition(".")[2])} if is_name else spelled
        ranker.score(candidates, files, defined, compounds=named, spelled=called)
        groups = choose(candidates, limit, self._weights)
        texts = self._texts(one.id for group in groups for one in group)
        return [self._hit(group, texts, query, postings) for group in groups]

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
                self._words.named(name.rpartition(".")[0] or name),
                self._words.named(" ".join(folders[-2:])),
                kinds(path),
                fold((name.rpartition(".")[0] or name).replace("-", "").replace(".", "")),
                self._sizes[number] / self._largest,
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
            chunk = self._chunk_at(file, line, allowed) if meant else None
            if chunk is not None:
                exact = any(wanted.rpartition(".")[2] == name for wanted in meant)
                if exact or chunk not in result:
                    result[chunk] = (qualified, exact)
        return result

    def _named(self, spelled: frozenset[str], allowed: "NDArray[np.bool_] | None") -> dict[int, str]:
        """Chunk id -> qualified name, for definitions whose name several words of the question make in a row."""
        if not spelled or not self._weights.compound:
            return {}
        rows = self._store.select("SELECT file, qualified, start_line FROM symbols WHERE folded IN", sorted(spelled))
        found = ((self._chunk_at(file, line, allowed), qualified) for file, qualified, line in rows[:MAX_DEFINITIONS])
        return {chunk: qualified for chunk, qualified in found if chunk is not None}

    def _chunk_at(self, file: int, line: int, allowed: "NDArray[np.bool_] | None") -> int | None:
        """The chunk in which a definition begins, unless the filters leave it out."""
        row = self._store.connection.execute(
            "SELECT id FROM chunks WHERE file = ? AND start_line <= ? ORDER BY start_line DESC LIMIT 1", (file, line)
        ).fetchone()
        if row is None or (allowed is not None and not allowed[row[0] - self._layout.first]):
            return None
        return int(row[0])

    def _meant(self, query: str, allowed: "NDArray[np.bool_] | None") -> list[int]:
        """The chunks whose vectors are most like the question's, whatever their words."""
        self._asked = None
        if self._embedding is None:
            return []
        if self._vectors is None:
            self._embedding.wait()
            return []
        wanted = self._alive if allowed is None else self._alive & allowed
        try:
            self._asked = self._embedding.query(query)
            return [one for one, _ in self._nearest(self._vectors, self._asked, self._weights.similar, wanted)]
        except FiresideError as error:
            self._do_without(error)
            return []

    def _nearest(
        self, vectors: VectorStore, asked: "NDArray[np.float32]", count: int, wanted: "NDArray[np.bool_]"
    ) -> list[tuple[int, float]]:
        """At most ``count`` chunks that are ``wanted`` and have to do with what is asked, best first, and how similar they are."""
        import numpy as np

        floor = self._embedding.embedder.floor if self._embedding is not None else 0.0
        among = min(count, FURTHEST)
        enough = min(count, int(wanted.sum()))
        while enough:
            ids, likeness = vectors.nearest(asked, among)
            places = ids - self._layout.first
            inside = (places >= 0) & (places < len(wanted))
            # A question on another subject has nearest passages too.
            keep = inside & (likeness > floor) & wanted[np.where(inside, places, 0)]
            if int(keep.sum()) >= enough or len(ids) < among or likeness[-1] <= floor or among >= FURTHEST:
                return [(int(one), float(how)) for one, how in zip(ids[keep], likeness[keep], strict=True)][:count]
            among = min(among * FURTHER, FURTHEST)
        return []

    def _do_without(self, error: FiresideError) -> None:
        """Go by words alone until the embedder, or the place of its vectors, is asked again."""
        if self._embedding is not None:
            self._embedding.fail(error)
        self.close()
        self._vectors = self._asked = None

    def similar(self, chunk: int, limit: int) -> list[tuple[int, float]]:
        """The chunks most like one, best first, and how similar they are; [] where there are no vectors. The caller holds a snapshot."""
        row = self._store.connection.execute(
            "SELECT path, symbol, text FROM chunks JOIN files ON files.id = file WHERE chunks.id = ?", (chunk,)
        ).fetchone()
        if row is None or self._embedding is None or self._vectors is None:
            return []
        wanted = self._alive.copy()
        wanted[chunk - self._layout.first] = False
        try:
            (own,) = self._embedding.passages([Passage(*row)])
            return self._nearest(self._vectors, own, limit, wanted)
        except FiresideError as error:
            self._do_without(error)
            return []

    def _liken(self, candidates: Sequence[Candidate]) -> None:
        """Set ``likeness``."""
        import numpy as np

        if self._vectors is None or self._asked is None or not candidates:
            return
        try:
            found = self._vectors.similarities(self._asked, np.array([one.id for one in candidates], np.int64))
        except FiresideError as error:
            self._do_without(error)
            return
        low, high = float(np.sort(found)[len(found) // 2]), float(found.max())
        for one, similarity in zip(candidates, found, strict=True):
            one.likeness = max(
                0.0, LEAST_LIKENESS * float(similarity), (float(similarity) - low) / max(high - low, 1e-6)
            )

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

    def _texts(self, chunks: Iterable[int]) -> dict[int, tuple[int, str]]:
        """Chunk id -> its first line and text."""
        rows = self._store.select("SELECT id, start_line, text FROM chunks WHERE id IN", list(chunks))
        return {number: (line, text) for number, line, text in rows}

    def _hit(
        self,
        group: Sequence[Candidate],
        texts: Mapping[int, tuple[int, str]],
        query: str,
        postings: Postings,
    ) -> Hit:
        best = max(group, key=lambda one: one.score)
        file = self._files[best.file]
        chunk = Chunk(
            file.path,
            group[0].start_line,
            group[-1].end_line,
            _joined([texts[one.id] for one in group]),
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


def _joined(parts: Sequence[tuple[int, str]]) -> str:
    """Texts of chunks that follow each other, each with its first line, with the blank lines between them."""
    text, line = "", parts[0][0]
    for start, part in parts:
        text += "\n" * (start - line) + part
        line = start + part.count("\n")
    return text


def identifiers(query: str) -> list[str]:
    """The names a query asks for: all of it when it looks like one name, else the words that can only be names."""
    text = query.strip()
    if SYMBOL_LIKE.fullmatch(text):
        return [plain_name(text)]
    return [plain_name(found) for found in IDENTIFIER.findall(text)]


def compounds(query: str) -> frozenset[str]:
    """What two to four words of a query in a row spell as one name: ``JSON readers`` gives jsonreaders and jsonreader."""
    words = [word.lower() for word in PLAIN_WORD.findall(query[:MAX_QUERY])]
    found: set[str] = set()
    for count in range(2, MAX_COMPOUND + 1):
        for start in range(len(words) - count + 1):
            first, *_, last = some = words[start : start + count]
            if first not in STOP_WORDS and last not in STOP_WORDS:
                found |= {"".join(some), "".join(some[:-1]) + singular(last)}
    return frozenset(found)


def singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def plain_name(text: str) -> str:
    return re.sub(r"::|[#:]", ".", text.removesuffix("()")).strip(".")
