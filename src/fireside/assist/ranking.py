"""How likely each candidate is, and which one is worth most: two weights for each thing that speaks for it.

Likely: a logistic model, with what speaks for none of them beside it. Worth: weights of their own, fitted so that the best has most
characters right; a long candidate is seldom right to its end and yet worth more than a short one. Knows evidence and its weights, nothing
of where a candidate comes from. They were fitted on the Python standard library alone (``python -m benchmarks.ranking`` does it again).
"""

import math
import re
from collections.abc import Iterator, Sequence
from operator import mul

from fireside.assist.brackets import open_brackets
from fireside.assist.candidates import Candidate
from fireside.assist.cursor import NAME, Cursor
from fireside.assist.shapes import FIXED

NEAR_LINES = 30
MOST_AGREEMENT = 80
MARK = re.compile(r"[^\w\s]")
FIRST_NAME = re.compile(r"\w*")

# What speaks for a candidate, in the order of ``evidence``: how likely it makes it, and worth how much.
WEIGHTS = {
    "share of the votes": (0.69, 1.52),
    "characters that agree": (-0.28, 1.06),
    "agrees as far as the best": (0.23, 1.53),
    "places": (0.30, -0.18),
    "the line agrees so far": (1.77, 5.54),
    "the line agrees, and how much it brings": (-0.38, 0.16),
    "the same next line": (-0.67, 0.45),
    "the same next line, and what agrees": (0.61, 1.51),
    "the line before begins alike": (-0.10, 0.60),
    "the next line begins alike": (0.52, 3.51),
    "both lines begin alike": (-0.21, 0.95),
    "the next line is indented alike": (0.29, 2.41),
    "not copied": (0.83, -0.14),
    "not copied, and ends a name": (0.43, 0.03),
    "of the same shape": (-0.23, 4.98),
    "characters of the shape that agree": (-0.05, 3.40),
    "a beginning": (0.34, 0.03),
    "votes for the beginning": (0.20, 0.37),
    "brackets alone": (1.90, 1.90),
    "characters": (0.13, 0.13),
    "characters in prose": (0.03, 0.99),
    "names strange here": (-1.65, -7.18),
    "stands near by already": (-0.28, 1.18),
    "ends inside quotes": (-0.34, -1.79),
    "leaves brackets open": (-0.34, -1.83),
    "a name exchanged": (-0.35, -1.06),
    "votes before the exchange": (0.11, -0.03),
    "a name not used yet": (-0.36, -1.41),
    "finishes a name of here": (0.14, 1.15),
    "nearness of that name": (0.29, -0.29),
    "copied, and how much it brings": (-0.28, 0.01),
    "nothing in the line, and how much it brings": (-0.08, -1.18),
    "distance of the nearest place": (0.00, 0.04),
    "of a neighbour alone": (0.14, -0.59),
    "characters of the line before": (0.29, 1.26),
    "brings a name not used yet": (-0.08, -0.34),
    "names of the last lines": (0.53, 2.01),
    "marks": (0.06, 0.56),
}
# What speaks for none of them, in the order of ``doubt``.
NONE = {
    "always": 1.24,
    "characters that agree": -0.01,
    "votes for the best": -0.19,
    "candidates": 0.37,
    "prose": 0.64,
    "no name begun": 0.35,
    "characters of the line": -0.26,
    "nothing in the line": -0.24,
}


def judged(cursor: Cursor, candidates: Sequence[Candidate]) -> tuple[list[float], list[float]]:
    """For each candidate, how likely it is what comes next, and its worth, on a scale of its own.

    Likelihoods are together less than 1: the rest is for none of them.
    """
    likely, worth = zip(*WEIGHTS.values(), strict=True)
    rows = list(evidence(cursor, candidates))
    scores = [sum(map(mul, row, likely)) for row in rows]
    nothing = sum(map(mul, doubt(cursor, candidates), NONE.values()))
    most = max([*scores, nothing])
    powers = [math.exp(score - most) for score in scores]
    total = sum(powers) + math.exp(nothing - most)
    return [power / total for power in powers], [sum(map(mul, row, worth)) for row in rows]


def evidence(cursor: Cursor, candidates: Sequence[Candidate]) -> Iterator[tuple[float, ...]]:
    """What speaks for each candidate, as numbers in the order of ``WEIGHTS``."""
    total = sum(one.weight for one in candidates) + 1e-3
    most = max((one.agreement for one in candidates), default=0)
    near = {line for _, line in (*cursor.lines_before(NEAR_LINES), *cursor.lines_behind(NEAR_LINES)) if len(line) > 3}
    log = math.log1p
    bare = not cursor.line.strip()
    for one in candidates:
        agreement, length = log(min(one.agreement, MOST_AGREEMENT)), log(len(one.text))
        copied, begun, partial = bool(one.places), bool(one.share), bool(cursor.partial)
        names = _names(cursor, one.text)
        strange = sum(name not in cursor.scope and name not in FIXED for name in names)
        state = open_brackets(cursor.line + one.text)
        yield (
            math.log((one.weight + 1e-3) / total) if one.weight else -6.0,
            agreement,
            math.log((one.agreement + 1) / (most + 1)),
            log(len(one.places)),
            one.line,
            one.line * length,
            one.follows,
            one.follows * agreement,
            one.before,
            one.behind,
            one.before and one.behind,
            one.step,
            not copied,
            partial and not copied,
            bool(one.shape),
            log(one.shape),
            begun,
            math.log(one.share + 1e-3) if begun or one.closing else 0.0,
            one.closing,
            length,
            cursor.in_prose * length,
            strange / (1 + len(names)),
            (cursor.line + one.text).strip() in near,
            state is None,
            bool(state and state[0]),
            bool(one.exchanged),
            math.log(one.exchanged + 1e-3) if one.exchanged else 0.0,
            one.unused,
            bool(one.finished),
            1 / one.finished if one.finished else 0.0,
            copied * length,
            bare * length,
            log(min(abs(place - cursor.at) for place in one.places)) if copied else 0.0,
            copied and min(one.places) > cursor.end,
            log(one.previous),
            any(cursor.plain_names.get(name) == 1 for name in names),
            sum(name in cursor.latest for name in names) / (1 + len(names)),
            log(len(MARK.findall(one.text))),
        )


def doubt(cursor: Cursor, candidates: Sequence[Candidate]) -> tuple[float, ...]:
    """What speaks for none of the candidates, as numbers in the order of ``NONE``."""
    length = len(cursor.line) - cursor.indent
    return (
        1.0,
        math.log1p(max((one.agreement for one in candidates), default=0)),
        math.log1p(max((one.weight for one in candidates), default=0.0)),
        math.log1p(len(candidates)),
        cursor.in_prose,
        not cursor.partial,
        math.log1p(length),
        not length,
    )


def _names(cursor: Cursor, text: str) -> list[str]:
    """The names a text brings, the first with what of it is typed already."""
    names = NAME.findall(text)
    begun = FIRST_NAME.match(text)
    if cursor.partial and begun and begun[0]:
        return [cursor.partial + begun[0], *NAME.findall(text[begun.end() :])]
    return names
