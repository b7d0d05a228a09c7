"""Which files are kept from training. By file, not by row: what is cut from a held-out file is held out with it.

The rule needs nothing but the row, so that every stage and every machine agrees without a list.
"""

import hashlib
from collections.abc import Iterable

from fireside.training.rows import Row


def place_of(repo: str, path: str) -> float:
    """A number in [0, 1), the same for the same file for ever, as evenly spread as blake2b."""
    digest = hashlib.blake2b(f"{repo}\n{path}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def is_held_out(row: Row, share: float) -> bool:
    """Whether a row is from a file that is kept from training. ``share``: as ``settled`` gave it, in the facts of ``prepare``."""
    return place_of(row.repo, row.path) < share


def settled(files: Iterable[tuple[str, str]], share: float) -> float:
    """The share by which at least one of the files (repo, path) is held out, and at least one is not: ``share`` where that does.

    With fewer than two files there is nothing to hold out: 0.
    """
    places = sorted({place_of(repo, path) for repo, path in files})
    if len(places) < 2 or not share:
        return 0.0
    # Strictly between two files, so that rounding cannot move one of them over.
    least, most = (places[0] + places[1]) / 2, (places[-2] + places[-1]) / 2
    return max(least, min(share, most)) if places[0] >= share or places[-1] < share else share
