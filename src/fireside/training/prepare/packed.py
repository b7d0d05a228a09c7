"""Tokens in files, as trainers read them: rows of ``context`` + 1 tokens, numbers in the machine's order, mapped and not read.

Consecutive rows of a split overlap by one token, so that every token is predicted exactly once. ``held_fim`` holds one document a row and a
mask of what is scored. Knows no text.
"""

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fireside.core.errors import Invalid
from fireside.models.disk import write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

META = "meta.json"


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """``tokens``: that are predicted, without padding. ``bytes``: UTF-8 bytes of the texts; of held_fim: of what is scored."""

    rows: int
    tokens: int
    documents: int
    bytes: int


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """``special``: tokens that stand for no text and are never scored. ``fim_order``: joined, psm or none."""

    context: int
    dtype: str
    vocabulary: int
    eot: int
    pad: int
    special: list[int]
    fim_order: str
    splits: dict[str, Split]


def write_meta(folder: Path, meta: Meta) -> None:
    write_atomically(folder / META, msgspec.json.format(msgspec.json.encode(meta)))


def meta(folder: Path) -> Meta:
    """What the stage prepare left in its folder. Raises ``Invalid``."""
    try:
        return msgspec.json.decode((folder / META).read_bytes(), type=Meta)
    except (OSError, msgspec.MsgspecError) as error:
        raise Invalid(f"{folder / META} cannot be read: {error}", remedy="run the stage prepare again") from error


def open_split(folder: Path, name: str) -> "NDArray[Any]":
    """The rows of a split, (rows, context + 1), mapped read-only. Raises ``Invalid`` for a file of another length than it was told."""
    import numpy as np

    told = meta(folder)
    rows = told.splits[name].rows if name in told.splits else 0
    place = folder / f"{name}.bin"
    shape = (rows, told.context + 1)
    if not rows:
        return np.zeros(shape, np.dtype(told.dtype))
    kind = np.dtype(told.dtype)
    _check(place, rows * shape[1] * kind.itemsize)
    return np.memmap(place, kind, "r", shape=shape)


def open_mask(folder: Path) -> "NDArray[np.uint8]":
    """What of ``held_fim`` is scored: (rows, context), 1 where the target is part of the answer."""
    import numpy as np

    told = meta(folder)
    rows = told.splits["held_fim"].rows if "held_fim" in told.splits else 0
    if not rows:
        return np.zeros((0, told.context), np.uint8)
    place = folder / "held_fim.mask"
    _check(place, rows * told.context)
    return np.memmap(place, np.uint8, "r", shape=(rows, told.context))


def _check(place: Path, size: int) -> None:
    found = place.stat().st_size if place.is_file() else -1
    if found != size:
        raise Invalid(f"{place} is not as prepare left it", remedy="run the stage prepare again")


class Packer:
    """Documents to rows, in a file that appears whole. A document that must not be cut begins a row when it does not fit into this one.

    The room it leaves is filled with documents that may be cut; only where there are none is it cut after all.
    """

    def __init__(self, place: Path, context: int, dtype: str, first: int, pad: int) -> None:
        import numpy as np

        self._place, self._part = place, place.with_name(place.name + ".part")
        self._file = self._part.open("wb")
        # The token before the first: what it predicts is the first of the first document.
        self._row = np.full(context + 1, first, dtype)
        self._at = 1
        self._pad = pad
        self._waiting: deque[NDArray[Any]] = deque()
        self._held = 0
        self.rows = self.tokens = self.documents = 0

    def add(self, tokens: "NDArray[Any]", *, whole: bool) -> None:
        self.documents += 1
        if not whole:
            self._waiting.append(tokens)
            self._held += len(tokens)
            if self._held > 4 * len(self._row):
                self._fill(self._held)
            return
        room = len(self._row) - self._at
        if len(tokens) > room and self._held >= room:
            self._fill(room)
        self._write(tokens)

    def close(self) -> Split:
        """Write what waits, pad the last row, and give the file its name. ``bytes`` is the caller's to tell."""
        self._fill(self._held)
        if self._at > 1:
            self._row[self._at :] = self._pad
            self._flush()
        self._file.close()
        self._part.replace(self._place)
        return Split(rows=self.rows, tokens=self.tokens, documents=self.documents, bytes=0)

    def abandon(self) -> None:
        """Leave nothing behind of what was not closed."""
        self._file.close()
        self._part.unlink(missing_ok=True)

    def _fill(self, count: int) -> None:
        """Write the first ``count`` of the tokens that wait."""
        while count > 0:
            tokens = self._waiting.popleft()
            if len(tokens) > count:
                self._waiting.appendleft(tokens[count:])
                tokens = tokens[:count]
            self._held -= len(tokens)
            count -= len(tokens)
            self._write(tokens)

    def _write(self, tokens: "NDArray[Any]") -> None:
        self.tokens += len(tokens)
        while len(tokens):
            taken = tokens[: len(self._row) - self._at]
            self._row[self._at : self._at + len(taken)] = taken
            self._at += len(taken)
            tokens = tokens[len(taken) :]
            if self._at == len(self._row):
                self._flush()

    def _flush(self) -> None:
        self._file.write(self._row.tobytes())
        self._row[0] = self._row[-1]
        self._at = 1
        self.rows += 1
