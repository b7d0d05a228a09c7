"""How good answers are, and what each signal of the ranking is worth.

Knows questions whose answers are known, the metrics, and the weights; not where the questions come from. Each signal is set to its
neutral value in turn. All variants answer the same questions over the same index, so differences are taken question by question and tell
more than two means do.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from fireside.core.values import replace
from fireside.index.chunks import Hit
from fireside.index.embed import Embedding
from fireside.index.rank import Weights
from fireside.index.search import Searcher
from fireside.index.store import Store

DEPTH = 10
EARLY = 5
# Answering with whole files must not pay.
LONGEST_HIT = 120
ALL = "all"
WORDS_ALONE = "words alone"
# Whatever else is a number with a point in ``Weights`` is neutral at 0; whatever else is a whole number is a size and no signal.
NEUTRAL: Mapping[str, float | int] = {"damping": 1.0, "saturation": 1.0, "joined_lines": 0, "similar": 0}
# A difference is more than noise beyond three standard errors (with twenty signals, two would cry wolf in every third run), and beyond
# what anybody would notice.
ERRORS = 3.0
SMALLEST = 0.005


class Verdict(StrEnum):
    """What a signal does to ``ndcg``."""

    HELPS = "helps"
    NOISE = "within noise"
    WORSE = "makes it worse"
    UNUSED = "no effect"


@dataclass(frozen=True, slots=True)
class Target:
    """Where an answer stands: a file, or lines of it (from 1, both included). ``main``: else it is only good to be shown as well."""

    path: str
    start_line: int | None = None
    end_line: int | None = None
    main: bool = True

    def met_by(self, span: "Span") -> bool:
        path, start, end = span
        return path == self.path and (
            self.start_line is None or (start <= (self.end_line or self.start_line) and end >= self.start_line)
        )


Span = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    targets: tuple[Target, ...]
    language: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """One question's figures, 0 to 1 (see ``Row``). ``lines``: lines in the answer. ``span_ndcg``: None without targets that have lines."""

    ndcg: float
    hit: float
    reciprocal: float
    file_ndcg: float
    span_ndcg: float | None
    lines: int
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """Means over ``questions`` of one variant.

    ``ndcg``: NDCG@10 with gains of 0 or 1 (Järvelin & Kekäläinen, TOIS 2002), each target counting where a hit first meets it;
    ``error``: its standard error. ``hit``: a main target is among the first 5; ``reciprocal``: 1 / rank of the first. ``file_ndcg``:
    hits and targets taken as files; ``span_ndcg``: targets with lines only. ``lines`` in an answer; ``p50_ms``, ``p95_ms``: milliseconds
    of one search.
    ``gain``: by how much ``ndcg`` is better with the signal than without, and its standard error; 0 and "" for "all".
    """

    name: str
    questions: int
    ndcg: float
    error: float
    hit: float
    reciprocal: float
    file_ndcg: float
    span_ndcg: float | None
    lines: float
    p50_ms: float
    p95_ms: float
    gain: float = 0.0
    gain_error: float = 0.0
    verdict: str = ""


def variants(weights: Weights) -> dict[str, Weights]:
    """``weights`` as "all", then without each signal, then "words alone". A mapping is a signal for each of its keys."""
    found = {ALL: weights}
    bare = weights
    for one in fields(weights):
        value = getattr(weights, one.name)
        neutral: dict[str, Any] = {}
        if isinstance(value, Mapping):
            neutral[one.name] = dict.fromkeys(value, 1.0)
            for key in value:
                changed: dict[str, Any] = {one.name: {**value, key: 1.0}}
                found[f"{one.name}: {key}"] = replace(weights, **changed)
        elif isinstance(value, float) or one.name in NEUTRAL:
            neutral[one.name] = NEUTRAL.get(one.name, 0.0)
            found[one.name.replace("_", " ")] = replace(weights, **neutral)
        bare = replace(bare, **neutral)
    return found | {WORDS_ALONE: bare}


def measure(
    store: Store,
    questions: Iterable[Question],
    *,
    embedding: Embedding | None = None,
    weights: Weights | None = None,
    asked: Callable[[Question], None] | None = None,
) -> dict[str, list[Score]]:
    """Every variant's score for every question, in order. ``asked`` is called after each question."""
    kinds = variants(weights or Weights())
    made = {name: Searcher(store, weights=one, embedding=embedding) for name, one in kinds.items()}
    scores: dict[str, list[Score]] = {name: [] for name in made}
    # What comes first pays for reading pages that the others find in memory.
    first = Searcher(store, weights=kinds[ALL], embedding=embedding)
    try:
        with store.snapshot():
            for question in questions:
                first.search(question.text, DEPTH)
                for name, searcher in made.items():
                    began = time.perf_counter()
                    hits = searcher.search(question.text, DEPTH)
                    seconds = time.perf_counter() - began
                    scores[name].append(replace(score(question, hits), seconds=seconds))
                if asked is not None:
                    asked(question)
    finally:
        for searcher in (first, *made.values()):
            searcher.close()
    return scores


def score(question: Question, hits: Sequence[Hit]) -> Score:
    """How well the first 10 ``hits``, best first, answer."""
    spans = [_span(hit) for hit in hits[:DEPTH]]
    ranks = {target: _rank(target, spans) for target in question.targets}
    first = min((rank for target, rank in ranks.items() if target.main and rank), default=0)
    files = [(path, 1, 1) for path in dict.fromkeys(path for path, _, _ in spans)]
    wanted = [Target(path) for path in dict.fromkeys(target.path for target in question.targets)]
    exact = [rank for target, rank in ranks.items() if target.main and target.start_line is not None]
    return Score(
        ndcg=_ndcg(ranks.values()),
        hit=float(0 < first <= EARLY),
        reciprocal=1 / first if first else 0.0,
        file_ndcg=_ndcg([_rank(target, files) for target in wanted]),
        span_ndcg=_ndcg(exact) if exact else None,
        lines=sum(end - start + 1 for _, start, end in spans),
    )


def rows(scores: Mapping[str, Sequence[Score]]) -> list[Row]:
    """The table: one row for each variant, with the gain and the verdict of the signal it is without."""
    whole = scores[ALL]
    return [_row(name, found, [] if found is whole else whole) for name, found in scores.items() if found]


def _row(name: str, found: Sequence[Score], whole: Sequence[Score]) -> Row:
    spans = [one.span_ndcg for one in found if one.span_ndcg is not None]
    times = sorted(one.seconds * 1000 for one in found)
    gains = [one.ndcg - other.ndcg for one, other in zip(whole, found, strict=True)] if whole else []
    return Row(
        name=name,
        questions=len(found),
        ndcg=statistics.fmean(one.ndcg for one in found),
        error=_error([one.ndcg for one in found]),
        hit=statistics.fmean(one.hit for one in found),
        reciprocal=statistics.fmean(one.reciprocal for one in found),
        file_ndcg=statistics.fmean(one.file_ndcg for one in found),
        span_ndcg=statistics.fmean(spans) if spans else None,
        lines=statistics.fmean(one.lines for one in found),
        p50_ms=statistics.median(times),
        p95_ms=times[int(len(times) * 0.95)],
        gain=statistics.fmean(gains) if gains else 0.0,
        gain_error=_error(gains),
        verdict=_verdict(gains) if gains else "",
    )


def _verdict(gains: Sequence[float]) -> Verdict:
    """``gains``: question by question, what the signal adds."""
    if not any(gains):
        return Verdict.UNUSED
    gain = statistics.fmean(gains)
    if abs(gain) <= max(ERRORS * _error(gains), SMALLEST):
        return Verdict.NOISE
    return Verdict.HELPS if gain > 0 else Verdict.WORSE


def _error(values: Sequence[float]) -> float:
    """Standard error of the mean."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def _span(hit: Hit) -> Span:
    chunk = hit.chunk
    return chunk.path, chunk.start_line, min(chunk.end_line, chunk.start_line + LONGEST_HIT - 1)


def _rank(target: Target, spans: Sequence[Span]) -> int:
    """The rank of the first span that meets the target, from 1; 0 when none does."""
    return next((rank for rank, span in enumerate(spans, 1) if target.met_by(span)), 0)


def _ndcg(ranks: Iterable[int]) -> float:
    """``ranks``: one for each target, 0 where it was not met. One hit that meets two targets counts once."""
    found = list(ranks)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(DEPTH, len(found))))
    return sum(1 / math.log2(rank + 1) for rank in {*found} - {0}) / ideal if ideal else 0.0
