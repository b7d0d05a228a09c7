"""Words of code and questions, and how well chunks match them (BM25).

Knows text and numbers; no files, no store. Identifiers are kept whole and also split (``readHTTPBody2`` is read, http, body, 2), plural and
verb endings are cut so that a question's words meet the code's.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORD = re.compile(r"[^\W_][\w$]*|_+\w[\w$]*")
PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_A-Za-z]+")
NOT_TELLING = """
a an and any are as at be been being by can could did do does doing done each every few for from get gets had has have having he her
here how i if in into is it its itself let like me more most much must my need no nor of off on once one only or our over own please
same shall she should show so some such than that the their them then there these they this those through to too under until up us use
used uses using very via was we were what when where whether which while who whom whose why will with within without would you your
code codebase file files find function implemented implementation
"""
NAMES_NOTHING = """
util utils helper helpers impl base common core index main mod init lib src inl internal manager handler default abstract
"""
STOP_WORDS = frozenset(NOT_TELLING.split())
K1 = 1.5
B = 0.75
STEM_WEIGHT = 2
FOLDERS = 3
MAX_COUNT = 255
MAX_REMEMBERED = 400_000
ENDING = re.compile(
    r"(?:(?<=....)(?:ization|isation|ational|fulness|iveness|ousness|ation|ition|ator|itor|izer|iser|ments?|ness|ities|ity|ible|able|ive"
    r"|ize|ise|ate|ion|ors|ers|or|al|ly)|(?<=[aeiouy]..|.[aeiouy].|..[aeiouy])(?:ing|ed|er))$"
)


class Words:
    """Splits words into terms and remembers what it has split. Not shared between threads."""

    def __init__(self) -> None:
        self._terms: dict[str, tuple[str, ...]] = {}
        self._named: dict[str, frozenset[str]] = {}
        self._nothing: frozenset[str] = frozenset()

    def of(self, word: str) -> tuple[str, ...]:
        """The terms of one word: its parts, stemmed, and then the whole of it when there are several."""
        known = self._terms.get(word)
        if known is None:
            if len(self._terms) > MAX_REMEMBERED:
                self._terms.clear()
            parts = tuple(stem(part.lower()) for part in PART.findall(word))
            known = self._terms[word] = parts if len(parts) == 1 else (*parts, word.strip("_$").lower())
        return known

    def parts(self, word: str) -> tuple[str, ...]:
        """The parts of one word, stemmed."""
        terms = self.of(word)
        return terms if len(terms) == 1 else terms[:-1]

    def named(self, name: str) -> frozenset[str]:
        """The parts of a name, without those that name nothing (utils, base, index) if others are left."""
        known = self._named.get(name)
        if known is None:
            if len(self._named) > MAX_REMEMBERED:
                self._named.clear()
            parts = frozenset(part for word in WORD.findall(name) for part in self.parts(word))
            self._nothing = self._nothing or frozenset(
                part for one in NAMES_NOTHING.split() for part in self.parts(one)
            )
            known = self._named[name] = parts - self._nothing or parts
        return known

    def count(self, text: str) -> dict[str, int]:
        """How often each term occurs in a text."""
        counts: dict[str, int] = {}
        known = self._terms
        for word, times in Counter(WORD.findall(text)).items():
            for term in known.get(word) or self.of(word):
                counts[term] = counts.get(term, 0) + times
        return counts

    def count_path(self, path: str) -> dict[str, int]:
        """Terms of a file's name (twice) and of its last folders."""
        place = PurePosixPath(path)
        counts = self.count(" ".join(place.parts[-1 - FOLDERS : -1]))
        add_counts(counts, {term: STEM_WEIGHT * times for term, times in self.count(place.stem).items()})
        return counts


def add_counts(counts: dict[str, int], more: Mapping[str, int]) -> None:
    """Add ``more`` to ``counts``. Plain dictionaries: ``Counter`` takes three times as long, and this is where indexing spends its time."""
    for term, times in more.items():
        counts[term] = counts.get(term, 0) + times


def stem(word: str) -> str:
    """Cut English endings, twice: validates, validation and validator become valid (in the manner of Porter, 1980, but rougher).

    Only for matching; short words, and words that are not plain ASCII letters, stay.
    """
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for _ in range(2):
        ending = ENDING.search(word)
        if ending is None:
            break
        word = word[: ending.start()]
        if ending[0] in ("ed", "ing") and word.endswith(("at", "iz", "bl")):
            word += "e"
        elif len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
            word = word[:-1]
    return word[:-1] if word.endswith("e") and len(word) > 4 else word


def query_terms(query: str, words: Words) -> dict[str, float]:
    """Terms of a query and their weights. Words that only make a sentence are left out, unless there is nothing else."""
    found = WORD.findall(query)
    telling = [word for word in found if word.lower() not in STOP_WORDS] or found
    weights: dict[str, float] = {}
    for word in telling:
        for term in words.of(word):
            weights[term] = min(weights.get(term, 0.0) + 1.0, 2.0)
    return weights


def bm25(
    postings: Mapping[str, "tuple[NDArray[np.uint32], NDArray[np.uint8]]"],
    weights: Mapping[str, float],
    lengths: "NDArray[np.uint32]",
    norms: "NDArray[np.float32] | None" = None,
) -> "NDArray[np.float32]":
    """Scores of all chunks (Robertson & Zaragoza, 2009). ``postings``: term -> (chunk numbers, counts); length 0 marks a dead chunk.

    ``norms``: what ``length_norms`` makes of the lengths, for who asks often.
    """
    import numpy as np

    scores = np.zeros(len(lengths), dtype=np.float32)
    total = int(np.count_nonzero(lengths))
    if not total:
        return scores
    norms = length_norms(lengths) if norms is None else norms
    for term, weight in weights.items():
        entry = postings.get(term)
        if entry is None:
            continue
        chunks, counts = entry
        frequency = counts.astype(np.float32)
        factor = np.float32(weight * idf_of(len(chunks), total) * (K1 + 1))
        scores[chunks] += factor * frequency / (frequency + norms[chunks])
    if total < len(lengths):
        scores[lengths == 0] = 0
    return scores


def length_norms(lengths: "NDArray[np.uint32]") -> "NDArray[np.float32]":
    """How much longer than the average each chunk is, as BM25 counts it."""
    import numpy as np

    average = float(lengths.sum()) / max(int(np.count_nonzero(lengths)), 1)
    norms: NDArray[np.float32] = (K1 * (1 - B + B * lengths / (average or 1.0))).astype(np.float32)
    return norms


def idf_of(containing: int, total: int) -> float:
    """Inverse document frequency in the form that never turns negative."""
    from math import log

    containing = min(containing, total)
    return log(1 + (total - containing + 0.5) / (containing + 0.5))


def fold(name: str) -> str:
    """A name as it is looked up: ``parse_config`` and ``parseConfig`` are one."""
    return name.lower().replace("_", "").replace("$", "")
