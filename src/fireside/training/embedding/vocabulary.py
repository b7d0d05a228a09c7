"""Which terms the embedding knows, and what becomes of the others. Knows terms; no vectors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fireside.index.static import Pieces
from fireside.training.embedding.corpus import Bags, Corpus, document_frequency

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_PACKAGES = 3
LONGEST = 40


def choose(corpus: Corpus, size: int) -> list[str]:
    """The ``size`` terms that occur in most packages, the most widespread first: what one project alone says helps no other."""
    import numpy as np

    spread = document_frequency(corpus)
    order = np.argsort(-spread, kind="stable")
    terms = [corpus.vocabulary[one] for one in order.tolist() if spread[one] >= MIN_PACKAGES]
    return [term for term in terms if len(term) <= LONGEST and not term.isdigit() and "\n" not in term][:size]


def mapped(bags: Bags, vocabulary: Sequence[str], pieces: Pieces) -> Bags:
    """The same bags in numbers of known terms; an unknown term gives its pieces, or nothing."""
    import numpy as np

    found = [pieces.of(term) for term in vocabulary]
    lengths = np.array([len(one) for one in found], np.int64)
    flat = np.array([number for one in found for number in one], np.int32)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    repeats = lengths[bags.terms]
    total = np.concatenate([[0], np.cumsum(repeats)])
    inner = np.arange(total[-1]) - np.repeat(total[:-1], repeats)
    terms: NDArray[np.int32] = flat[np.repeat(first[bags.terms], repeats) + inner]
    return Bags(total[bags.starts], terms, np.repeat(bags.counts, repeats))
