"""How strongly signals count, and what they make of a candidate. Knows names, paths and numbers; not the store.

A chunk is scored by its own words and by its file's (so that files are ordered by evidence), then raised by what the names of its
definition, file and folder share with the question, and lowered by what its path says it is. Tuned on the development set
(docs/search.md); each weight can be set to its neutral value and measured.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fireside.index.lexical import WORD, Words

ASKED = {
    "test": re.compile(r"\b(tests?|tested|testing|unittest|spec|fixtures?|mock(s|ed)?)\b", re.IGNORECASE),
    "document": re.compile(
        r"\b(docs?|documentation|documented|readme|changelog|licen[cs]e|tutorial|guide)\b", re.IGNORECASE
    ),
    "aside": re.compile(r"\b(examples?|samples?|demos?|bench(mark)?s?|legacy|deprecated|migrations?)\b", re.IGNORECASE),
    "generated": re.compile(r"\b(generated|build|dist)\b", re.IGNORECASE),
    "vendored": re.compile(r"\b(vendor(ed)?|third.party)\b", re.IGNORECASE),
}
NAMES_NOTHING = "util utils helper helpers impl base common core index main mod init lib src inl internal manager handler default abstract"


@dataclass(frozen=True, slots=True)
class Weights:
    """Neutral values: 0 for what is added or raises, 1 for ``damping``, ``saturation`` and ``penalties``.

    ``candidates``: chunks looked at. ``file_depth``: best chunks of a file that count as its evidence. ``damping``: exponent of a chunk's
    own score. ``saturation``: what each further chunk of a file keeps. ``joined_lines``: longest hit made of neighbouring chunks.
    """

    candidates: int = 200
    damping: float = 0.7
    file_evidence: float = 0.5
    file_depth: int = 5
    coverage: float = 0.25
    name: float = 1.0
    stem: float = 1.5
    folder: float = 0.25
    definition: float = 2.0
    folded_definition: float = 1.75
    saturation: float = 0.8
    joined_lines: int = 40
    penalties: Mapping[str, float] = field(
        default_factory=lambda: {"test": 0.4, "vendored": 0.5, "generated": 0.5, "aside": 0.35, "document": 0.35}
    )


@dataclass(slots=True)
class File:
    """What ranking knows of a file: the terms of its name and folder, and what its path says it is."""

    path: str
    language: str
    stem: frozenset[str]
    folder: frozenset[str]
    kinds: tuple[str, ...]


@dataclass(slots=True)
class Candidate:
    """A chunk under consideration. ``own``: its BM25 score; ``coverage``: the share of the question its file has words for."""

    id: int
    file: int
    start_line: int
    end_line: int
    symbol: str
    own: float
    coverage: float = 0.0
    score: float = 0.0
    reasons: list[str] = field(default_factory=list)


class Ranker:
    """Scores the candidates of one question."""

    def __init__(self, query: str, idf: Mapping[str, float], words: Words, weights: Weights) -> None:
        self._idf = idf
        self._asked_in_all = sum(idf.values()) or 1.0
        self._words = words
        self._weights = weights
        self._asked = {kind for kind, pattern in ASKED.items() if pattern.search(query)}

    def score(
        self, candidates: Sequence[Candidate], files: Mapping[int, File], defined: Mapping[int, "tuple[str, bool]"]
    ) -> None:
        """Set ``score`` and ``reasons``. ``defined``: chunk id -> (name the question asks for, whether in this very spelling)."""
        weights = self._weights
        evidence = self._evidence(candidates)
        top = max((one.own for one in candidates), default=0.0) or 1.0
        for one in candidates:
            file = files[one.file]
            base = (
                (one.own / top) ** weights.damping
                + weights.file_evidence * evidence[one.file] / top
                + weights.coverage * one.coverage
            )
            name = self.overlap(name_terms(one.symbol.rpartition(".")[2], self._words))
            stem, folder = self.overlap(file.stem), self.overlap(file.folder)
            score = base * (1 + weights.stem * stem) * (1 + weights.name * name) * (1 + weights.folder * folder)
            if one.id in defined:
                what, exact = defined[one.id]
                score += weights.definition if exact else weights.folded_definition
                one.reasons.append(f"defines {what}")
            elif name > 0.5:
                one.reasons.append("its name")
            if stem > 0.5:
                one.reasons.append("the file's name")
            for kind in file.kinds:
                if kind not in self._asked:
                    score *= weights.penalties.get(kind, 1.0)
            one.score = score

    def overlap(self, terms: Iterable[str]) -> float:
        """How much of a name the question says, times how much of the question the name says (half is enough): 0 to 1."""
        shared = own = 0.0
        typical = self._asked_in_all / (len(self._idf) or 1)
        for term in terms:
            weight = self._idf.get(term)
            shared += weight or 0.0
            own += typical if weight is None else weight
        return (shared / own) * min(1.0, 2 * shared / self._asked_in_all) if shared else 0.0

    def _evidence(self, candidates: Sequence[Candidate]) -> dict[int, float]:
        """Mean of each file's best chunk scores, absent chunks counting as 0."""
        found: dict[int, list[float]] = {}
        for one in candidates:
            found.setdefault(one.file, []).append(one.own)
        depth = self._weights.file_depth
        return {file: sum(sorted(scores, reverse=True)[:depth]) / depth for file, scores in found.items()}


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


def name_terms(text: str, words: Words) -> frozenset[str]:
    """The parts of a name, without those that name nothing (utils, base, index) if others are left."""
    parts = frozenset(part for word in WORD.findall(text) for part in words.parts(word))
    return parts - words.generic(NAMES_NOTHING) or parts
