"""What every place for vectors checks and does alike: shapes, and looking ids up in a sorted list."""

from typing import TYPE_CHECKING

from fireside.core.errors import Invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def fitted(
    ids: "NDArray[np.int64]", vectors: "NDArray[np.float32]", dimensions: int
) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
    """Both as they are kept. Raises ``Invalid`` when there is not one vector of this length for each id."""
    import numpy as np

    if vectors.shape != (len(ids), dimensions):
        raise Invalid(
            f"vectors of shape {vectors.shape} do not fit {len(ids)} chunks of {dimensions} dimensions",
            remedy="fireside index --rebuild",
        )
    return np.ascontiguousarray(ids, np.int64), np.ascontiguousarray(vectors, np.float32)


def among(ids: "NDArray[np.int64]", known: "NDArray[np.int64]") -> "NDArray[np.bool_]":
    """Which of ``ids`` are in ``known``, which is ascending. Quicker than ``numpy.isin`` where few are looked up among many."""
    import numpy as np

    if not len(known):
        return np.zeros(len(ids), np.bool_)
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, ids), len(known) - 1)] == ids
    return found
