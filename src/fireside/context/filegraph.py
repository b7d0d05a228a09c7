"""Which files of a project hang together, and how much: files are nodes, uses of names are edges (personalised PageRank).

A use of a name leads from the file that uses it to the files that define it, and back with less weight, so that both what much stands
on and what holds much together rank high. Knows names, paths and numbers; not how a map is drawn.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from math import log, sqrt
from typing import TYPE_CHECKING, NamedTuple

from fireside.index.lexical import Words
from fireside.index.outline import FileOutline
from fireside.index.paths import kinds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DAMPING = 0.85
ROUNDS = 40
# What a use gives back to the file it stands in: 0 would put nothing but foundations on the page.
BACKWARDS = 0.8
MANY_DEFINE = 8
STANDING = {"test": 0.05, "vendored": 0.02, "generated": 0.05, "aside": 0.1, "document": 0.01}
FAMILIES = {
    "tsx": "javascript",
    "typescript": "javascript",
    "cpp": "c",
    "kotlin": "java",
    "scala": "java",
    "groovy": "java",
}


class _Edge(NamedTuple):
    """``uses``: what the use says of the name; ``weight``: what it says of the two files."""

    source: int
    target: int
    name: str
    uses: float
    weight: float


class FileGraph:
    """Files as nodes (by their place in ``files``), uses of names as edges."""

    def __init__(self, files: Sequence[FileOutline], focus: frozenset[int]) -> None:
        self.files = files
        self.focus = focus
        self.standing = [min((STANDING.get(kind, 1.0) for kind in kinds(file.path)), default=1.0) for file in files]
        self._edges: list[_Edge] = []
        self._connect()

    def _connect(self) -> None:
        defined: dict[tuple[str, str], list[int]] = defaultdict(list)
        words = Words()
        for number, file in enumerate(self.files):
            for name in dict.fromkeys(one.name for one in file.symbols if one.kind != "section"):
                defined[_family(file.language), name].append(number)
        users = Counter(key for file in self.files for key in self._keys(file, defined))
        telling = {key: _telling(key[1], words) / len(where) for key, where in defined.items()}
        rarity = {key: log(1 + len(self.files) / count) / log(1 + len(self.files)) for key, count in users.items()}
        for source, file in enumerate(self.files):
            for key in self._keys(file, defined):
                where = defined[key]
                if not telling[key] or len(where) > MANY_DEFINE or source in where:
                    continue
                uses = telling[key] * self.standing[source]
                for target in where:
                    self._edges.append(
                        _Edge(source, target, key[1], uses, uses * rarity[key] * sqrt(file.words[key[1]]))
                    )

    def _keys(self, file: FileOutline, defined: Mapping[tuple[str, str], object]) -> Iterator[tuple[str, str]]:
        family = _family(file.language)
        return (key for key in ((family, word) for word in file.words) if key in defined)

    @cached_property
    def ranks(self) -> "NDArray[np.float64]":
        """The share of each file; all together 1."""
        import numpy as np

        count = len(self.files)
        sources, targets, weights = self._both_ways()
        leaving = np.bincount(sources, weights, minlength=count)
        shares = weights / leaving[sources]
        start = np.array(self.standing)
        if self.focus:
            start = np.array([float(number in self.focus) for number in range(count)])
        start /= start.sum() or 1.0
        ranks: NDArray[np.float64] = start.copy()
        for _ in range(ROUNDS):
            resting = float(ranks[leaving == 0].sum())
            ranks = (1 - DAMPING + DAMPING * resting) * start + DAMPING * np.bincount(
                targets, ranks[sources] * shares, minlength=count
            )
        return np.asarray(ranks * np.array(self.standing))

    def _both_ways(self) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]":
        """(from, to, weight)."""
        import numpy as np

        sources = np.array([one.source for one in self._edges], np.int64)
        targets = np.array([one.target for one in self._edges], np.int64)
        weights = np.array([one.weight for one in self._edges], np.float64)
        both = np.concatenate((sources, targets)), np.concatenate((targets, sources))
        return *both, np.concatenate((weights, BACKWARDS * weights))

    def shares(self) -> dict[tuple[int, str], float]:
        """How much each name of a file is used, by the ranks of those who use it: (file, name) -> a number to compare within the file."""
        roots = [sqrt(float(rank)) for rank in self.ranks]
        found: dict[tuple[int, str], float] = defaultdict(float)
        for one in self._edges:
            found[one.target, one.name] += one.uses * roots[one.source]
        return found


def _telling(name: str, words: Words) -> float:
    """How likely two files that share a name mean the same: hardly, for one small everyday word."""
    if name.startswith("__"):
        return 0.0
    weight = 1.0 if len(words.parts(name)) > 1 or name[0].isupper() else 0.1
    return weight * 0.1 if name.startswith("_") else weight


def _family(language: str) -> str:
    """Languages that call each other's names."""
    return FAMILIES.get(language, language)
