"""A trained table as the file the runtime reads: int8, with its terms, in one archive.

Knows both sides of the file; nothing of training.
"""

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fireside.training.embedding.fit import Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST = 127


def quantize(table: Table) -> "tuple[NDArray[np.int8], Table]":
    """Vectors as int8, each row on a scale of its own, and what they stand for: the same table with the rounding in it."""
    import numpy as np

    scale = np.abs(table.vectors).max(axis=1, keepdims=True) / LARGEST
    scale[scale == 0] = 1
    rounded = np.rint(table.vectors / scale).astype(np.int8)
    return rounded, Table((rounded * scale).astype(np.float32), table.passage_weights, table.query_weights)


def export(table: Table, terms: Sequence[str], path: Path) -> str:
    """Write the runtime's file, whole or not at all; returns the embedding's id, which names its content."""
    import numpy as np

    rounded, _ = quantize(table)
    scale = np.abs(table.vectors).max(axis=1) / LARGEST
    arrays = {
        "terms": np.frombuffer("\n".join(terms).encode(), np.uint8),
        "vectors": rounded,
        # A row's scale is part of its weights: the runtime multiplies once.
        "passage_weights": (table.passage_weights * scale).astype(np.float16),
        "query_weights": (table.query_weights * scale).astype(np.float16),
    }
    digest = hashlib.blake2b(b"".join(one.tobytes() for one in arrays.values()), digest_size=6).hexdigest()
    name = f"fireside-static-{table.vectors.shape[1]}-{digest}"
    content = io.BytesIO()
    np.savez(content, id=np.frombuffer(name.encode(), np.uint8), **arrays)
    part = path.with_suffix(".part")
    part.write_bytes(content.getvalue())
    os.replace(part, path)
    return name
