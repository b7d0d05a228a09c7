"""The first look at all rows: how much of which kind there is, what is held out, what lies on both sides. Keeps digests, no texts."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fireside.core.errors import Invalid
from fireside.training.prepare.split import place_of, settled
from fireside.training.rows import Row


@dataclass(slots=True)
class Survey:
    """``held_out``: the share that holds at least one file out. ``characters``: by kind, of the rows to train on.

    ``copies``: files outside the held-out part whose text is in it: they belong to neither. ``texts``: digests of what is held out.
    """

    held_out: float = 0.0
    characters: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    copies: frozenset[float] = frozenset()
    texts: frozenset[str] = frozenset()

    def side(self, row: Row) -> str:
        """Where a row belongs: train, held, or nowhere (empty)."""
        place = place_of(row.repo, row.path)
        if place < self.held_out:
            return "held"
        return "" if place in self.copies else "train"


def survey(rows: Iterable[Row], share: float, note: Callable[[int], None]) -> Survey:
    """Read all rows once. ``note`` hears of every thousandth. Raises ``Invalid`` where there is nothing to train on."""
    found = Survey()
    files: dict[tuple[str, str], str] = {}
    sizes: Counter[tuple[float, str]] = Counter()
    for number, row in enumerate(rows):
        key = (row.repo, row.path)
        if row.kind == "lm":
            files[key] = row.sha256 or hashlib.sha256(row.text.encode("utf-8", "replace")).hexdigest()
        found.rows[row.kind] += 1
        sizes[place_of(*key), row.kind] += len(row.text)
        if number % 1000 == 0:
            note(number)
    if not found.rows:
        raise Invalid("there is no row to train on", remedy="collect from more repositories or packages")
    found.held_out = settled(files, share)
    held = {digest for key, digest in files.items() if place_of(*key) < found.held_out}
    found.texts = frozenset(held)
    found.copies = frozenset(
        place for key, digest in files.items() if (place := place_of(*key)) >= found.held_out and digest in held
    )
    for (place, kind), size in sizes.items():
        if place >= found.held_out and place not in found.copies:
            found.characters[kind] += size
    return found
