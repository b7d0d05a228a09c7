"""Which rows are learnt from when: a function of the seed and the step alone, so that a run goes on where it stopped without a list.

Knows the files of ``prepare``; nothing of the model.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fireside.core.errors import Invalid
from fireside.training.prepare import packed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Rows:
    """The rows of ``train``, and so many of ``other`` that they are ``other_share`` of all. Each epoch has an order of its own."""

    def __init__(self, prepared: Path, *, batch: int, other_share: float, seed: int) -> None:
        self._own = packed.open_split(prepared, "train")
        if not len(self._own):
            raise Invalid(f"{prepared} holds no row to train on", remedy="collect more, and prepare again")
        other = packed.open_split(prepared, "other")
        wanted = round(len(self._own) * other_share / (1 - other_share))
        self._other = other[: min(wanted, len(other))]
        self._batch, self._seed = batch, seed
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return len(self._own) + len(self._other)

    def batch(self, step: int, part: int = 0, parts: int = 1) -> "NDArray[np.int64]":
        """The rows of a step, (sequences, context + 1); of them what the process ``part`` of ``parts`` learns from."""
        import numpy as np

        first = step * self._batch
        share = self._batch // parts
        places = range(first + part * share, first + (part + 1) * share)
        return np.stack([self._row(place) for place in places]).astype(np.int64)

    def _row(self, place: int) -> Any:
        epoch, at = divmod(place, len(self))
        number = int(self._epoch(epoch)[at])
        return self._own[number] if number < len(self._own) else self._other[number - len(self._own)]

    def _epoch(self, number: int) -> "NDArray[np.int64]":
        import numpy as np

        if self._order is None or self._order[0] != number:
            self._order = number, np.random.default_rng((self._seed, number)).permutation(len(self))
        return self._order[1]


def spread(rows: "NDArray[Any]", most: int) -> "NDArray[np.int64]":
    """At most so many of the rows, from everywhere."""
    import numpy as np

    chosen = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64))
    return np.asarray(rows[chosen]).astype(np.int64)


def in_parts(rows: "NDArray[np.int64]", size: int) -> "Iterator[NDArray[np.int64]]":
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
