"""How strongly signals count, and what they make of a candidate. Knows names, paths and numbers; not the store.

A chunk is scored by its own words and by its file's (so that files are ordered by evidence), then raised by what the names of its
definition, file and folder share with the question, and lowered by what its path says it is. Tuned on the development set
(docs/search.md); each weight can be set to its neutral value and measured.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fireside.index.lexical import Words

ASKED = {
    "test": re.compile(r"\b(tests?|tested|testing|unittest|spec|fixtures?|mock(s|ed)?)\b", re.IGNORECASE),
    "document": re.compile(
        r"\b(docs?|documentation|documented|readme|changelog|licen[cs]e|tutorial|guide)\b", re.IGNORECASE
    ),
    "aside": re.compile(r"\b(examples?|samples?|demos?|bench(mark)?s?|legacy|deprecated|migrations?)\b", re.IGNORECASE),
    "generated": re.compile(r"\b(generated|build|dist)\b", re.IGNORECASE),
    "vendored": re.compile(r"\b(vendor(ed)?|third.party)\b", re.IGNORECASE),
    "foreign": re.compile(
        r"\b(windows|win(32|64|api)?|bsd|(free|net|open)bsd|aix|solaris|sunos|cygwin|haiku|plan9|platforms?)\b",
        re.IGNORECASE,
    ),
}
# A question may speak of tests, as all do in a testing tool, without asking for the code that tests.
TESTS_WANTED = re.compile(
    r"^\s*(unit.?)?tests?\b|\b(tests?|specs?) (for|of|that|case)|\bunit.?tests?\b|\b(fixture|mock)s?\b", re.IGNORECASE
)
TOLD = 0.5


@dataclass(frozen=True, slots=True)
class Weights:
    """Neutral values: 0 for what is added or raises, 1 for ``damping``, ``saturation`` and ``penalties``.

    ``candidates``: chunks looked at for their words; ``similar``: and for their meaning. ``damping``: exponent of a chunk's own score.
    ``file_evidence``: the file's best chunks, ``file_depth`` of them. ``coverage``: share of the question the file has words for.
    ``meaning``: likeness of the chunk itself; ``file_meaning``: of its file. ``name``, ``stem``, ``folder``: what these names share with
    the question. ``definition``: the question is this name (``folded_definition``: in another spelling); ``mention``: or has it in it.
    ``compound``: the question's words in a row are the definition's name (``JSON reader``, ``JsonReader``); ``compound_stem``: or the
    file's. ``size``: the longest file against one of a single chunk: what much is said of is long. ``saturation``: what each further
    chunk of a file keeps. ``tests_spoken_of``: what a test keeps when the question has the word. ``joined_lines``: longest hit made of
    neighbouring chunks.
    """

    candidates: int = 170
    similar: int = 50
    meaning: float = 0.75
    file_meaning: float = 1.3
    damping: float = 0.7
    file_evidence: float = 0.4
    file_depth: int = 7
    coverage: float = 0.25
    name: float = 1.0
    stem: float = 0.9
    folder: float = 0.25
    definition: float = 8.0
    folded_definition: float = 7.0
    mention: float = 0.3
    tests_spoken_of: float = 0.7
    compound: float = 0.7
    compound_stem: float = 0.5
    size: float = 0.2
    saturation: float = 0.7
    joined_lines: int = 40
    penalties: Mapping[str, float] = field(
        default_factory=lambda: {
            "test": 0.4,
            "vendored": 0.5,
            "generated": 0.5,
            "aside": 0.35,
            "document": 0.35,
            "foreign": 0.65,
        }
    )


@dataclass(slots=True)
class File:
    """What ranking knows of a file: the terms of its name and folder, and what its path says it is. ``folded``: its name in one word.

    ``size``: logarithm of its chunks, 1 for the longest file of the project.
    """

    path: str
    language: str
    stem: frozenset[str]
    folder: frozenset[str]
    kinds: tuple[str, ...]
    folded: str
    size: float


@dataclass(slots=True)
class Candidate:
    """A chunk under consideration. ``own``: its BM25 score; ``coverage``: the share of the question its file has words for.

    ``likeness``: how similar its vector is to the question's, from 0 (as the whole project is) to 1 (the most similar chunk).
    """

    id: int
    file: int
    start_line: int
    end_line: int
    symbol: str
    own: float
    coverage: float = 0.0
    likeness: float = 0.0
    score: float = 0.0
    reasons: list[str] = field(default_factory=list)


class Ranker:
    """Scores the candidates of one question."""

    def __init__(
        self, query: str, idf: Mapping[str, float], words: Words, weights: Weights, *, is_name: bool = False
    ) -> None:
        """``is_name``: the query is nothing but a name."""
        self._idf = idf
        self._asked_in_all = sum(idf.values()) or 1.0
        self._words = words
        self._weights = weights
        asked = {kind for kind, pattern in ASKED.items() if pattern.search(query)}
        self._penalties = {kind: penalty for kind, penalty in weights.penalties.items() if kind not in asked}
        if "test" in asked and not TESTS_WANTED.search(query):
            self._penalties["test"] = max(weights.tests_spoken_of, weights.penalties.get("test", 1.0))
        self._defining = (
            (weights.definition, weights.folded_definition)
            if is_name
            else (min(weights.definition, weights.mention), min(weights.folded_definition, weights.mention))
        )

    def score(
        self,
        candidates: Sequence[Candidate],
        files: Mapping[int, File],
        defined: Mapping[int, "tuple[str, bool]"],
        *,
        compounds: Mapping[int, str],
        spelled: frozenset[str],
    ) -> None:
        """Set ``score`` and ``reasons``. ``defined``: chunk id -> (name the question asks for, whether in this very spelling).

        ``compounds``: chunk id -> name that words of the question make in a row; ``spelled``: all that they make, folded.
        """
        weights = self._weights
        damping, coverage, meaning, by_name = weights.damping, weights.coverage, weights.meaning, weights.name
        top = max((one.own for one in candidates), default=0.0) or 1.0
        evidence = self._of_files((one.file, one.own / top) for one in candidates if one.own)
        likeness = self._of_files((one.file, one.likeness) for one in candidates if one.likeness)
        known = {
            number: (
                self._factor(file, spelled),
                weights.file_evidence * evidence.get(number, 0.0) + weights.file_meaning * likeness.get(number, 0.0),
            )
            for number, file in files.items()
        }
        names: dict[str, float] = {}
        for one in candidates:
            (names_factor, kind_factor, stem), of_file = known[one.file]
            name = names.get(one.symbol)
            if name is None:
                name = names[one.symbol] = self.overlap(self._words.named(one.symbol.rpartition(".")[2]))
            score = of_file + coverage * one.coverage + meaning * one.likeness
            if one.own:
                score += (one.own / top) ** damping
            score *= 1 + by_name * name
            added = 0.0
            if one.id in defined:
                what, exact = defined[one.id]
                added = self._defining[0] if exact else self._defining[1]
                one.reasons.append(f"defines {what}")
            elif one.id in compounds:
                added = weights.compound
                one.reasons.append(f"defines {compounds[one.id]}")
            elif name > TOLD:
                one.reasons.append("its name")
            if stem > TOLD:
                one.reasons.append("the file's name")
            by_words = one.own or one.id in defined or one.id in compounds
            if meaning * one.likeness > TOLD or not by_words:
                one.reasons.append("its meaning")
            # What is added for a definition is not raised by the names of its file, but lowered by what kind of file it is.
            one.score = (score * names_factor + added) * kind_factor

    def _factor(self, file: File, spelled: frozenset[str]) -> tuple[float, float, float]:
        """What the names of a file and its folder raise, what the rest that is known of the file does, and how far its name is asked."""
        weights = self._weights
        stem = self.overlap(file.stem)
        kind = 1 + weights.size * file.size
        if file.folded in spelled:
            kind *= 1 + weights.compound_stem
        for one in file.kinds:
            kind *= self._penalties.get(one, 1.0)
        return (1 + weights.stem * stem) * (1 + weights.folder * self.overlap(file.folder)), kind, stem

    def overlap(self, terms: Iterable[str]) -> float:
        """How much of a name the question says, times how much of the question the name says (half is enough): 0 to 1."""
        if self._idf.keys().isdisjoint(terms):
            return 0.0
        shared = own = 0.0
        typical = self._asked_in_all / (len(self._idf) or 1)
        for term in terms:
            weight = self._idf.get(term)
            shared += weight or 0.0
            own += typical if weight is None else weight
        return (shared / own) * min(1.0, 2 * shared / self._asked_in_all) if own else 0.0

    def _of_files(self, values: Iterable[tuple[int, float]]) -> dict[int, float]:
        """Mean of each file's best chunks, absent chunks counting as 0."""
        found: dict[int, list[float]] = {}
        for file, value in values:
            found.setdefault(file, []).append(value)
        depth = self._weights.file_depth
        for some in found.values():
            some.sort(reverse=True)
        return {file: sum(some[:depth]) / depth for file, some in found.items()}


def choose(candidates: Sequence[Candidate], limit: int, weights: Weights) -> list[list[Candidate]]:
    """The best candidates, each with the neighbours it was joined with, in line order inside. At most ``limit`` groups."""
    ordered = sorted(candidates, key=lambda one: (-one.score, one.id))
    taken: dict[int, int] = {}
    for one in ordered:
        one.score *= weights.saturation ** taken.get(one.file, 0)
        taken[one.file] = taken.get(one.file, 0) + 1
    groups: list[list[Candidate]] = []
    for one in sorted(ordered, key=lambda one: (-one.score, one.id)):
        group = next((group for group in groups if _joins(one, group, weights.joined_lines)), None)
        if group is not None:
            group.append(one)
            group.sort(key=lambda one: one.start_line)
        elif len(groups) < limit:
            groups.append([one])
        else:
            break
    return groups


def _joins(one: Candidate, group: Sequence[Candidate], most_lines: int) -> bool:
    """Whether a chunk lies beside a group, in the same definition, and the whole stays short. Chunk ids follow the text."""
    first, last = group[0], group[-1]
    if (
        one.file != first.file
        or not one.symbol
        or one.symbol != first.symbol
        or one.id not in (first.id - 1, last.id + 1)
    ):
        return False
    return max(one.end_line, last.end_line) - min(one.start_line, first.start_line) < most_lines
