"""Scores with their 95 % intervals: Wilson's for shares, the bootstrap for means and quantiles. Knows outcomes, and no suite."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fireside.evals.suite import Better, Outcome, Score

if TYPE_CHECKING:
    import numpy

Z = 1.959964
RESAMPLES = 2_000
# Large samples are resampled in blocks of so many figures, so that memory stays bounded.
BLOCK = 2_000_000


def share(
    name: str, outcomes: Sequence[Outcome], *, key: str = "", better: Better = "higher", failed: float | None = 0.0
) -> Score:
    """How many % of the cases that have ``key`` (else ``name``) got it. ``failed``: what a failed case counts; ``None``: not at all.

    Interval: Wilson, "Probable inference" (JASA 1927). For parts of 1 instead of yes and no it is a little wide, never too narrow.
    """
    values = values_of(key or name, outcomes, failed=failed)
    if not values:
        return Score(name, math.nan, math.nan, math.nan, 0, "%", better)
    n, mean = len(values), sum(values) / len(values)
    low, high = wilson(mean, n)
    return Score(name, 100 * mean, 100 * low, 100 * high, n, "%", better)


def wilson(part: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of 1, seen in ``n`` cases."""
    middle = (part + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(part * (1 - part) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def mean(
    name: str,
    outcomes: Sequence[Outcome],
    *,
    key: str = "",
    unit: str = "",
    better: Better = "higher",
    scale: float = 1.0,
) -> Score:
    """The mean over the cases that have it; failed cases are left out. ``scale``: what it is multiplied by (100 for %)."""
    values = [scale * value for value in values_of(key or name, outcomes)]
    return _bootstrapped(name, values, lambda rows: rows.mean(axis=-1), unit, better)


def quantile(
    name: str, outcomes: Sequence[Outcome], part: float, *, key: str, unit: str = "ms", better: Better = "lower"
) -> Score:
    """The quantile over the cases that have ``key``: ``part`` 0.5 is the median."""
    import numpy

    return _bootstrapped(name, values_of(key, outcomes), lambda rows: numpy.quantile(rows, part, axis=-1), unit, better)


def ratio(
    name: str, outcomes: Sequence[Outcome], above: str, below: str, *, unit: str = "%", scale: float = 100.0
) -> Score:
    """The sum of one figure over the sum of another, over cases that have both: characters saved of characters to type."""
    import numpy

    pairs = [
        (outcome.scores[above], outcome.scores[below])
        for outcome in outcomes
        if above in outcome.scores and below in outcome.scores
    ]
    whole = sum(pair[1] for pair in pairs)
    if not whole:
        return Score(name, math.nan, math.nan, math.nan, 0, unit)
    both = numpy.array(pairs, dtype=float)
    picks = _picks(len(pairs))
    sums = both[picks].sum(axis=1)
    drawn = scale * sums[:, 0] / numpy.maximum(sums[:, 1], 1e-12)
    low, high = numpy.quantile(drawn, (0.025, 0.975))
    return Score(name, scale * sum(pair[0] for pair in pairs) / whole, float(low), float(high), len(pairs), unit)


def values_of(key: str, outcomes: Sequence[Outcome], *, failed: float | None = None) -> list[float]:
    """The figures of the cases that have it. ``failed``: what a case counts that nobody answered; ``None``: it is left out."""
    found: list[float] = []
    for outcome in outcomes:
        if key in outcome.scores:
            found.append(float(outcome.scores[key]))
        elif outcome.failed and failed is not None:
            found.append(failed)
    return found


def _bootstrapped(
    name: str, values: Sequence[float], of: Callable[["numpy.ndarray[Any, Any]"], Any], unit: str, better: Better
) -> Score:
    """Percentile bootstrap (Efron, 1979); the same values always give the same interval."""
    import numpy

    if not values:
        return Score(name, math.nan, math.nan, math.nan, 0, unit, better)
    row = numpy.array(values, dtype=float)
    drawn = of(row[_picks(len(values))])
    low, high = numpy.quantile(drawn, (0.025, 0.975))
    return Score(name, float(of(row)), float(low), float(high), len(values), unit, better)


def _picks(n: int) -> "numpy.ndarray[Any, Any]":
    import numpy

    times = max(200, min(RESAMPLES, BLOCK // n))
    return numpy.random.default_rng(0).integers(0, n, size=(times, n))
