"""Packed rows as an adapter is trained and measured on: the target's, other code's, and how they are mixed.

Reads what ``prepare`` left. Knows no model. What is measured is of files that were never trained on; of other code's, one half decides how
strong an adapter may be, and the other half tells how much it forgets after that.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fireside.core.errors import Invalid
from fireside.training.prepare.packed import Meta, meta, open_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tokens = NDArray[Any]

PIECE = 4096


@dataclass(frozen=True, slots=True)
class Texts:
    """Rows by use, (rows, context + 1). ``choosing``, ``other``: other code, for the alpha and for the report; ``held``: the target's.

    ``pad``: the token that fills the last row and is never learned; -1 where the end token does.
    """

    target: "Tokens"
    mixed: "Tokens"
    held: "Tokens"
    choosing: "Tokens"
    other: "Tokens"
    context: int
    vocabulary: int
    pad: int
    special: tuple[int, ...]


def read(folder: Path, *, measured: int) -> Texts:
    """What ``prepare`` left, at most ``measured`` rows of each that is scored. Raises ``Invalid``."""
    told = meta(folder)
    target, other = open_split(folder, "train"), open_split(folder, "other")
    if not len(target):
        raise Invalid(f"{folder} holds no row to train on", remedy="collect more: at least a few files")
    check(target, told, folder / "train.bin")
    check(other, told, folder / "other.bin")
    rest = open_split(folder, "other_held")
    half = len(rest) // 2
    return Texts(
        target=target,
        mixed=other,
        held=spread(open_split(folder, "held"), measured),
        choosing=spread(rest[:half] if half else rest, measured),
        other=spread(rest[half:], measured),
        context=told.context,
        vocabulary=told.vocabulary,
        pad=told.pad if told.pad != told.eot else -1,
        special=tuple(told.special),
    )


def check(rows: "Tokens", told: Meta, place: Path) -> None:
    """Raise ``Invalid`` that names the first row with a token the vocabulary does not have."""
    for start in range(0, len(rows), PIECE):
        highest = rows[start : start + PIECE].max(axis=1)
        if highest.max() >= told.vocabulary:
            row = start + int((highest >= told.vocabulary).argmax())
            raise Invalid(f"{place}, row {row}: a token is not in the vocabulary", remedy="run the stage prepare again")


def spread(rows: "Tokens", most: int) -> "Tokens":
    """At most ``most`` rows, evenly spread over all of them."""
    import numpy

    if len(rows) <= most:
        return rows
    found: Tokens = rows[numpy.linspace(0, len(rows) - 1, most).astype(int)]
    return found


class Mixed:
    """The rows of one epoch: every row of the target, and so many of other code that they make up ``share`` of all.

    Which rows of the other code are taken depends on ``seed`` alone.
    """

    def __init__(self, found: Texts, *, share: float, seed: int) -> None:
        self._target, self._other, self._pad = found.target, found.mixed, found.pad
        self._chosen = list(_chosen(len(found.mixed), mixed_rows(len(found.target), len(found.mixed), share), seed))

    @property
    def share(self) -> float:
        """The share of other code there really is."""
        return len(self._chosen) / len(self)

    def __len__(self) -> int:
        return len(self._target) + len(self._chosen)

    def row(self, number: int) -> "Tokens":
        own = len(self._target)
        found: Tokens = self._target[number] if number < own else self._other[self._chosen[number - own]]
        return found

    def dataset(self) -> Any:
        """The numbers of the rows: TRL takes nothing but a ``datasets.Dataset``, and the rows stay where they lie."""
        from datasets import Dataset

        return Dataset.from_dict({"row": list(range(len(self)))})

    def collate(self, numbers: list[dict[str, int]]) -> dict[str, Any]:
        """A batch of whole rows; padding, where there is any, is not learned."""
        import numpy
        import torch

        ids = torch.from_numpy(numpy.stack([self.row(one["row"]).astype("int64") for one in numbers]))
        labels = ids.clone()
        labels[labels == self._pad] = -100
        return {"input_ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids)}


def mixed_rows(target: int, other: int, share: float) -> int:
    """How many rows of other code make up ``share`` of all; none where there are none."""
    return round(target * share / (1 - share)) if other else 0


def _chosen(count: int, wanted: int, seed: int) -> Iterator[int]:
    """``wanted`` of ``count`` numbers; each once before any of them twice."""
    drawn = random.Random(seed)
    while wanted > 0:
        yield from (order := drawn.sample(range(count), min(count, wanted)))
        wanted -= len(order)
