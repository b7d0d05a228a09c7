"""Pairs as numbers: the terms of each question and passage with their counts, one file per package, joined over all packages.

Knows terms and arrays. A package's file is written once and whole, so mining can be broken off and taken up again.
"""

import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fireside.core.values import replace
from fireside.index.embedder import Passage
from fireside.index.lexical import Words, add_counts
from fireside.training.archives import SourceFile
from fireside.training.embedding.pairs import KINDS, mine
from fireside.training.embedding.questions import asked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_PAIRS = 8_000
AS_QUESTION = 0.25
MAX_TERMS = 400


@dataclass(frozen=True, slots=True)
class Bags:
    """Many bags of terms, one after the other: bag i is ``terms[starts[i]:starts[i + 1]]`` with ``counts`` beside it."""

    starts: "NDArray[np.int64]"
    terms: "NDArray[np.int32]"
    counts: "NDArray[np.uint8]"

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True, slots=True)
class Corpus:
    """``questions[i]`` is answered by ``passages[i]``. ``packages``, ``languages``, ``kinds``: numbers into the names."""

    vocabulary: list[str]
    questions: Bags
    passages: Bags
    packages: "NDArray[np.int32]"
    languages: "NDArray[np.int32]"
    kinds: "NDArray[np.int8]"
    package_names: list[str]
    language_names: list[str]


def passage_counts(words: Words, passage: Passage) -> dict[str, int]:
    """The terms of a passage exactly as the index counts them: its text, its path and the name of what it defines."""
    counts = words.count(passage.text)
    add_counts(counts, words.count_path(passage.path))
    if passage.symbol:
        add_counts(counts, words.count(passage.symbol))
    return counts


class Shard:
    """The pairs of one package, gathered file by file."""

    def __init__(self, seed: str) -> None:
        self._words = Words()
        self._seed = seed
        self._rows: list[tuple[dict[str, int], dict[str, int], str, int]] = []
        self._seen: set[str] = set()
        self.files = 0

    def add(self, source: SourceFile) -> None:
        """Mine one file. A question is taken once in a package: what is said often says little."""
        self.files += 1
        chance = random.Random(f"{self._seed}/{source.path}")
        for pair in mine(source, chance):
            text = pair.question
            if text.lower() in self._seen:
                continue
            self._seen.add(text.lower())
            if chance.random() < AS_QUESTION:
                text = asked(text, chance)
            question = self._words.count(text)
            if question:
                row = (question, passage_counts(self._words, pair.passage), source.language, KINDS.index(pair.kind))
                self._rows.append(row)

    def save(self, path: Path) -> int:
        """Write what was gathered, at most ``MAX_PAIRS``; returns how many pairs."""
        import numpy as np

        rows = self._rows
        if len(rows) > MAX_PAIRS:
            rows = random.Random(self._seed).sample(rows, MAX_PAIRS)
        numbers: dict[str, int] = {}
        arrays: dict[str, Any] = {}
        for name, column in (("question", 0), ("passage", 1)):
            bags = _pack([row[column] for row in rows], numbers)  # type: ignore[misc]
            arrays |= {f"{name}_starts": bags.starts, f"{name}_terms": bags.terms, f"{name}_counts": bags.counts}
        part = path.with_suffix(".part.npz")
        np.savez_compressed(
            part,
            vocabulary=np.frombuffer("\n".join(numbers).encode(), np.uint8),
            languages=np.frombuffer("\n".join(row[2] for row in rows).encode(), np.uint8),
            kinds=np.array([row[3] for row in rows], np.int8),
            files=np.array(self.files),
            **arrays,
        )
        os.replace(part, path)
        return len(rows)


def _pack(bags: Sequence[dict[str, int]], numbers: dict[str, int]) -> Bags:
    import numpy as np

    terms: list[int] = []
    counts: list[int] = []
    starts = [0]
    for bag in bags:
        few = list(bag.items())[:MAX_TERMS]
        terms += [numbers.setdefault(term, len(numbers)) for term, _ in few]
        counts += [min(times, 255) for _, times in few]
        starts.append(len(terms))
    return Bags(np.array(starts, np.int64), np.array(terms, np.int32), np.array(counts, np.uint8))


def load(paths: Iterable[Path]) -> Corpus:
    """All shards as one corpus."""
    import numpy as np

    numbers: dict[str, int] = {}
    languages: dict[str, int] = {}
    questions: list[Bags] = []
    passages: list[Bags] = []
    spoken: list[NDArray[np.int32]] = []
    kinds: list[NDArray[np.int8]] = []
    names: list[str] = []
    for path in paths:
        with np.load(path) as arrays:
            if not len(arrays["kinds"]):
                continue
            words = arrays["vocabulary"].tobytes().decode().split("\n")
            mapped = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int32)
            for name, into in (("question", questions), ("passage", passages)):
                into.append(Bags(arrays[f"{name}_starts"], mapped[arrays[f"{name}_terms"]], arrays[f"{name}_counts"]))
            own = arrays["languages"].tobytes().decode().split("\n")
            spoken.append(np.array([languages.setdefault(one, len(languages)) for one in own], np.int32))
            kinds.append(arrays["kinds"])
            names.append(path.stem)
    return Corpus(
        list(numbers),
        _join(questions),
        _join(passages),
        np.repeat(np.arange(len(names), dtype=np.int32), [len(one) for one in kinds]),
        np.concatenate(spoken),
        np.concatenate(kinds),
        names,
        list(languages),
    )


def _join(bags: Sequence[Bags]) -> Bags:
    import numpy as np

    offsets = np.cumsum([0, *(len(one.terms) for one in bags)])
    starts = [one.starts[:-1] + offset for one, offset in zip(bags, offsets, strict=False)]
    return Bags(
        np.concatenate([*starts, offsets[-1:]]),
        np.concatenate([one.terms for one in bags]),
        np.concatenate([one.counts for one in bags]),
    )


def document_frequency(corpus: Corpus) -> "NDArray[np.int32]":
    """In how many packages each term occurs, in questions or passages."""
    import numpy as np

    seen = np.zeros(len(corpus.vocabulary), np.int32)
    for bags in (corpus.questions, corpus.passages):
        bag_of = np.repeat(np.arange(len(bags)), np.diff(bags.starts))
        pairs = np.unique(corpus.packages[bag_of].astype(np.int64) * len(seen) + bags.terms)
        np.add.at(seen, pairs % len(seen), 1)
    return seen


def rows_of(bags: Bags, rows: "NDArray[np.int64]") -> Bags:
    """The bags of these rows, in this order."""
    import numpy as np

    lengths = bags.starts[rows + 1] - bags.starts[rows]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    at = np.arange(starts[-1]) + np.repeat(bags.starts[rows] - starts[:-1], lengths)
    return Bags(starts, bags.terms[at], bags.counts[at])


def chosen(corpus: Corpus, rows: "NDArray[np.int64]") -> Corpus:
    """The pairs of these rows as a corpus of their own; the vocabulary stays."""
    return replace(
        corpus,
        questions=rows_of(corpus.questions, rows),
        passages=rows_of(corpus.passages, rows),
        packages=corpus.packages[rows],
        languages=corpus.languages[rows],
        kinds=corpus.kinds[rows],
    )
