"""Two results over the same cases, case by case: how much better is one, and may that be chance?

Paired bootstrap (Efron & Tibshirani, 1993; Koehn, EMNLP 2004): the cases are drawn again with repetition, 10,000 times, and the difference
is taken each time. Knows results; how they were made and how they are drawn is not its matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fireside.core.errors import Invalid
from fireside.core.values import replace
from fireside.evals.suite import Better, Outcome, Result, of_rival

if TYPE_CHECKING:
    import numpy

RESAMPLES = 10_000
# Resamples are drawn in blocks of so many figures, so that memory stays bounded.
BLOCK = 4_000_000
# Figures that are parts of another: characters saved of characters to type.
RATIOS: Mapping[str, tuple[str, str]] = {"characters saved": ("saved", "typed")}
# Figures that are no shares, by how their names end.
PLAIN = ("ms", "seconds", "/s", "memory", "bytes", "lines", "findings", "tokens")
LOWER = ("ms", "seconds", "memory", "bytes", "false alarm")
HIDDEN = frozenset(("saved", "typed", "confidence"))


@dataclass(frozen=True, slots=True)
class Difference:
    """``difference``: second minus first, with its 95 % interval. ``p``: two-sided; ``n``: cases both have this figure for.

    ``verdict``: "better", "worse" (the second's) or "" where the interval holds 0 or neither is better.
    """

    name: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    n: int
    unit: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Comparison:
    suite: str
    first: str
    second: str
    rows: tuple[Difference, ...]


def compare(first: Result, second: Result, *, seed: int = 0, resamples: int = RESAMPLES) -> Comparison:
    """Every figure both have. Raises ``Invalid`` for results of different suites, or over different cases."""
    _check(first, second)
    theirs = {outcome.case: outcome for outcome in second.outcomes}
    pairs = [(outcome, theirs[outcome.case]) for outcome in first.outcomes]
    rows: list[Difference] = []
    for name in _figures(pairs):
        row = _difference(name, pairs, seed, resamples)
        if row is not None:
            rows.append(row)
    return Comparison(first.suite, first.subject, second.subject, tuple(rows))


def against(result: Result, rival: str, *, seed: int = 0, resamples: int = RESAMPLES) -> Comparison:
    """The subject (second) beside a rival (first) that was measured on the way. Raises ``Invalid`` where nobody has that name."""
    if rival not in result.rivals:
        raise Invalid(
            f"nobody called {rival!r} was measured beside it", remedy=f"one of: {', '.join(result.rivals) or 'nobody'}"
        )
    outcomes = tuple(of_rival(outcome, rival) for outcome in result.outcomes)
    other = replace(result, subject=rival, outcomes=outcomes, scores=result.rivals[rival])
    return compare(other, result, seed=seed, resamples=resamples)


def _check(first: Result, second: Result) -> None:
    if first.suite != second.suite:
        raise Invalid(
            f"{first.suite} and {second.suite} are different suites", remedy="compare two results of the same suite"
        )
    one, other = {each.case for each in first.outcomes}, {each.case for each in second.outcomes}
    if one != other:
        raise Invalid(
            f"the results are over different cases: {len(one)} and {len(other)}, {len(one & other)} of them in both",
            remedy="measure both with the same --from, --cases and --seed, and to the end",
        )
    if first.material != second.material:
        raise Invalid(
            "the cases have the same names but not the same content: files changed in between",
            remedy="measure both again, over the same files",
        )


def _figures(pairs: Sequence[tuple[Outcome, Outcome]]) -> list[str]:
    names = dict.fromkeys(name for pair in pairs for outcome in pair for name in outcome.scores)
    ratios = [name for name, (above, below) in RATIOS.items() if above in names and below in names]
    return [*(name for name in names if name not in HIDDEN), *ratios]


def _difference(name: str, pairs: Sequence[tuple[Outcome, Outcome]], seed: int, resamples: int) -> Difference | None:
    import numpy

    above, below = RATIOS.get(name, (name, ""))
    always = _always(above, pairs)
    rows: list[tuple[float, float, float, float]] = []
    for pair in pairs:
        figures = [_figure(outcome, above, failed=always) for outcome in pair]
        weights = [_figure(outcome, below, failed=True) if below else 1.0 for outcome in pair]
        if None not in figures and None not in weights:
            rows.append((figures[0], figures[1], weights[0], weights[1]))  # type: ignore[arg-type]
    if not rows:
        return None
    table = numpy.array(rows, dtype=float)
    scale = 1.0 if name.endswith(PLAIN) else 100.0
    first, second = _parts(table, numpy.arange(len(rows))[None, :])
    drawn = scale * _drawn(table, seed, resamples)
    low, high = (float(edge) for edge in numpy.quantile(drawn, (0.025, 0.975)))
    tail = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return Difference(
        name,
        scale * float(first[0]),
        scale * float(second[0]),
        scale * float(second[0] - first[0]),
        low,
        high,
        min(1.0, 2 * (tail + 1) / (resamples + 1)),
        len(rows),
        "%" if scale == 100.0 else "ms" if name.endswith("ms") else "",
        _verdict(low, high, _better(name)),
    )


def _drawn(table: "numpy.ndarray[Any, Any]", seed: int, resamples: int) -> "numpy.ndarray[Any, Any]":
    """The difference in each resample."""
    import numpy

    rng = numpy.random.default_rng(seed)
    step = max(1, BLOCK // len(table))
    found = []
    for begin in range(0, resamples, step):
        picks = rng.integers(0, len(table), size=(min(step, resamples - begin), len(table)))
        first, second = _parts(table, picks)
        found.append(second - first)
    return numpy.concatenate(found)


def _parts(
    table: "numpy.ndarray[Any, Any]", picks: "numpy.ndarray[Any, Any]"
) -> tuple["numpy.ndarray[Any, Any]", "numpy.ndarray[Any, Any]"]:
    sums = [table[:, column][picks].sum(axis=1) for column in range(4)]
    return sums[0] / sums[2].clip(1e-12), sums[1] / sums[3].clip(1e-12)


def _always(key: str, pairs: Sequence[tuple[Outcome, Outcome]]) -> bool:
    """Whether every case that was answered has this figure; then one that was not counts 0."""
    return not key.endswith(PLAIN) and all(
        key in outcome.scores for pair in pairs for outcome in pair if not outcome.failed
    )


def _figure(outcome: Outcome, key: str, *, failed: bool) -> float | None:
    found = outcome.scores.get(key)
    return 0.0 if found is None and outcome.failed and failed else found


def _better(name: str) -> Better:
    if name.startswith("offered") or name in ("findings", "lines", "code lines", "tokens"):
        return "neither"
    return "lower" if name.endswith(LOWER) else "higher"


def _verdict(low: float, high: float, better: Better) -> str:
    if better == "neither" or low <= 0 <= high:
        return ""
    return "better" if (low > 0) == (better == "higher") else "worse"
