"""Code like a given chunk, by the rare words both hold and by their vectors. Knows nothing of ranking by names.

A definition's name says nothing here: who calls ``retry_after`` is not like the place that defines it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fireside.index.chunks import Chunk, Hit
from fireside.index.lexical import WORD, Words, add_counts, bm25, idf_of
from fireside.index.reading import chunk_at, read
from fireside.index.store import Layout, Store

if TYPE_CHECKING:
    from fireside.index.index import Index

MOST_TERMS = 40
MOST_OFTEN = 3
COMMON = 0.25
FEW = 5
# Below this share of what the chunk has in common with itself, two pieces share a word or two and nothing else.
ALIKE = 0.05
SAID = 6
MEANT = ("alike in meaning",)
LONG_WORD = 40


def related(index: "Index", path: str, line: int, *, limit: int = 10) -> tuple[Chunk, tuple[Hit, ...]] | None:
    """The chunk that holds a line, and what is most like it elsewhere; None where the index has nothing of that file.

    Scores are shares of what the chunk has in common with itself, 0 to 1; half of it is the similarity of vectors where there are any.
    """
    chunk = chunk_at(index, path, line)
    if chunk is None:
        return None
    similar = index.similar(path, chunk.start_line, 4 * limit)
    return chunk, read(index, lambda store: _alike(store, chunk, similar, limit))


def _alike(store: Store, chunk: Chunk, similar: Mapping[int, float], limit: int) -> tuple[Hit, ...]:
    import numpy as np

    layout = store.layout()
    row = store.connection.execute(
        "SELECT chunks.id FROM chunks JOIN files ON files.id = file WHERE path = ? AND start_line = ?",
        (chunk.path, chunk.start_line),
    ).fetchone()
    if row is None:
        return ()
    own = row[0] - layout.first
    weights = _rare(store, layout, chunk.text)
    scores = bm25(store.postings(weights, layout), weights, layout.lengths)
    shares = scores / (float(scores[own]) or 1.0)
    if similar:
        meant = np.zeros(len(shares), np.float32)
        for number, likeness in similar.items():
            if 0 <= number - layout.first < len(meant):
                meant[number - layout.first] = max(likeness, 0.0)
        shares = (shares + meant) / 2
    shares[own] = 0
    best = [int(one) for one in np.argsort(-shares, kind="stable")[:limit] if shares[one] >= ALIKE]
    rows = store.select(
        "SELECT chunks.id, path, start_line, end_line, text, language, symbol FROM chunks JOIN files ON files.id = file"
        " WHERE chunks.id IN",
        [one + layout.first for one in best],
    )
    found = {number - layout.first: Chunk(*rest) for number, *rest in rows}
    return tuple(
        Hit(found[one], min(1.0, round(float(shares[one]), 4)), _shared(found[one], weights) or MEANT)
        for one in best
        if one in found
    )


def _rare(store: Store, layout: Layout, text: str) -> dict[str, float]:
    """The terms that set a text apart, and their weights; neither what it alone has nor what a quarter of all chunks have."""
    words = Words()
    counts: dict[str, int] = {}
    for word in WORD.findall(text):
        add_counts(counts, dict.fromkeys(words.of(word), 1))
    total = int((layout.lengths > 0).sum())
    found = store.postings(counts, layout)
    telling = {
        term: min(counts[term], MOST_OFTEN) ** 0.5
        for term, (chunks, _) in found.items()
        if 1 < len(chunks) <= max(FEW, COMMON * total)
    }
    rarest = sorted(telling, key=lambda term: (-telling[term] * idf_of(len(found[term][0]), total), term))
    return {term: telling[term] for term in rarest[:MOST_TERMS]}


def _shared(chunk: Chunk, weights: Mapping[str, float]) -> tuple[str, ...]:
    """The words of a chunk that brought it here, rarest first."""
    words = Words()
    said: dict[str, str] = {}
    for word in WORD.findall(chunk.text):
        for term in words.of(word):
            if term in weights and len(word) <= LONG_WORD and (term not in said or len(word) < len(said[term])):
                said[term] = word
    shared = list(dict.fromkeys(said[term] for term in weights if term in said))[:SAID]
    return (f"shares: {', '.join(shared)}",) if shared else ()
