"""How well questions find their passages among others of the same package. Knows vectors; where they come from is another's matter."""

from typing import TYPE_CHECKING

from fireside.index.static import sublinear
from fireside.training.embedding.corpus import Bags
from fireside.training.embedding.fit import Pairs, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOP = 10
MOST = 2_000


def embed(bags: Bags, vectors: "NDArray[np.float32]", weights: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Rows of length 1 (or 0), as the runtime makes them."""
    import numpy as np

    result = np.zeros((len(bags), vectors.shape[1]), np.float32)
    times = sublinear()
    for row in range(len(bags)):
        part = slice(bags.starts[row], bags.starts[row + 1])
        known = bags.terms[part]
        result[row] = (weights[known] * times[bags.counts[part]]) @ vectors[known]
    lengths = np.linalg.norm(result, axis=1, keepdims=True)
    return (result / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)


def ranks(pairs: Pairs, table: Table) -> "NDArray[np.int64]":
    """For each pair the rank (from 1) of its passage among at most ``MOST`` passages of its package; equal passages count once."""
    import numpy as np

    found = np.zeros(len(pairs.questions), np.int64)
    questions = embed(pairs.questions, table.vectors, table.query_weights)
    passages = embed(pairs.passages, table.vectors, table.passage_weights)
    for package in np.unique(pairs.packages):
        rows = np.flatnonzero(pairs.packages == package)[:MOST]
        scores = questions[rows] @ passages[rows].T
        keys = pairs.same[rows]
        own = np.diag(scores)[:, None]
        first = np.zeros(len(rows), bool)
        first[np.unique(keys, return_index=True)[1]] = True
        better = (scores > own) & (keys[:, None] != keys[None, :]) & first[None, :]
        found[rows] = 1 + better.sum(axis=1)
    return found


def summary(found: "NDArray[np.int64]") -> dict[str, float]:
    """MRR and NDCG over the first ten; ranks of 0 (not asked) are left out."""
    import numpy as np

    asked = found[found > 0]
    if not len(asked):
        return {"queries": 0, "mrr10": 0.0, "ndcg10": 0.0}
    shown = asked <= TOP
    return {
        "queries": len(asked),
        "mrr10": round(float((shown / asked).mean()), 4),
        "ndcg10": round(float((shown / np.log2(asked + 1)).mean()), 4),
    }
