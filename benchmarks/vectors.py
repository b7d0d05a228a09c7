"""The places where vectors can be kept: how long filling, opening and asking take, and what is found. Run: python -m benchmarks.vectors

Vectors in clusters, as those of code are; each place in a process of its own. ``--count`` and ``--dimensions`` as you like; chroma is
measured where chromadb is installed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fireside.index.store import Store
from fireside.index.vectors import VectorStore
from fireside.index.vectors_chroma import ChromaVectors, EmbeddedCollection
from fireside.index.vectors_numpy import NumpyVectors
from fireside.index.vectors_usearch import UsearchVectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PLACES = ("numpy", "usearch", "chroma")
QUERIES = 200
BATCH = 2_048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--place", choices=PLACES)
    chosen = parser.parse_args()
    if chosen.place:
        measure(chosen.place, chosen.count, chosen.dimensions)
        return
    print(
        "| place | fill s (CPU) | one chunk more ms | open + first query ms | query CPU ms, p50 / p95 | recall@50 | disk MB |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    for place in PLACES:
        if place != "chroma" or find_spec("chromadb"):
            more = ["--count", str(chosen.count), "--dimensions", str(chosen.dimensions), "--place", place]
            # Threads that wait for each other burn time that nobody asked for.
            environ = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            subprocess.run([sys.executable, "-m", "benchmarks.vectors", *more], check=True, env=environ)


def measure(place: str, count: int, dimensions: int) -> None:
    import numpy as np

    rows, queries = clustered(count, dimensions)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        vectors = opened(place, Path(folder), dimensions, fresh=True)
        for start in range(0, count, BATCH):
            end = min(start + BATCH, count)
            vectors.add(np.arange(start, end), rows[start:end])
        filled = time.process_time() - began
        more = timed(lambda: vectors.add(np.array([count]), rows[:1]))
        vectors.close()
        vectors = opened(place, Path(folder), dimensions)
        first = timed(lambda: vectors.nearest(queries[0], 50))
        times, found = [], 0
        for query in queries:
            began = time.process_time()
            ids, _ = vectors.nearest(query, 50)
            times.append((time.process_time() - began) * 1_000)
            found += len(set(ids.tolist()) & set(np.argpartition(-(rows @ query), 50)[:50].tolist()))
        vectors.close()
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e6
    p50, p95 = np.percentile(times, [50, 95])
    recall = found / (50 * len(queries))
    print(
        f"| {place} | {filled:.1f} | {more:.0f} | {first:.0f} | {p50:.2f} / {p95:.2f} | {recall:.3f} | {size:.0f} |",
        flush=True,
    )


def opened(place: str, folder: Path, dimensions: int, *, fresh: bool = False) -> VectorStore:
    if place == "usearch":
        return UsearchVectors(folder, "bench", "bench", dimensions)
    if place == "chroma":
        return ChromaVectors(EmbeddedCollection(folder / "chroma", "bench-a-b"), dimensions)
    store = Store.create(folder) if fresh else Store.open(folder)
    assert isinstance(store, Store)
    return NumpyVectors(store, dimensions)


def timed(work: object) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    assert callable(work)
    work()
    return (time.perf_counter() - began) * 1_000


def clustered(count: int, dimensions: int) -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
    """Points around 300 centres in 24 directions, with a little noise in all; and questions that lie among them."""
    import numpy as np

    rng = np.random.default_rng(0)
    directions = rng.standard_normal((24, dimensions)).astype(np.float32)
    centres = rng.standard_normal((300, 24)).astype(np.float32)
    inner = centres[rng.integers(300, size=count + QUERIES)] + 0.7 * rng.standard_normal((count + QUERIES, 24)).astype(
        np.float32
    )
    rows = inner @ directions + 0.5 * rng.standard_normal((count + QUERIES, dimensions)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[:count], rows[count:]


if __name__ == "__main__":
    main()
