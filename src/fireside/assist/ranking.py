"""How likely each candidate is: a logistic model over what speaks for it, and over what speaks for none of them.

Knows evidence and its weights, nothing of where a candidate comes from. The weights were fitted on the Python standard library alone
(``python -m benchmarks.ranking`` fits them again); they are the whole model.
"""

import math
import re
from collections.abc import Iterator, Sequence

from fireside.assist.brackets import open_brackets
from fireside.assist.candidates import Candidate
from fireside.assist.cursor import NAME, Cursor
from fireside.assist.shapes import FIXED

NEAR_LINES = 30
MOST_AGREEMENT = 80
FIRST_NAME = re.compile(r"\w*")

# What speaks for a candidate, in the order of ``evidence``.
WEIGHTS = {
    "share of the votes": 0.54,
    "characters that agree": -0.18,
    "agrees as far as the best": 0.41,
    "places": 0.40,
    "the line agrees so far": 1.62,
    "the line agrees, and how much it brings": -0.35,
    "the same next line": -0.12,
    "the same next line, and what agrees": 0.47,
    "the line before begins alike": 0.49,
    "the next line begins alike": 0.49,
    "both lines begin alike": -0.21,
    "the next line is indented alike": 0.47,
    "not copied": 1.14,
    "not copied, and ends a name": 0.69,
    "of the same shape": 0.17,
    "characters of the shape that agree": 0.23,
    "a beginning": 0.57,
    "votes for the beginning": 0.14,
    "brackets alone": 1.02,
    "characters": -0.34,
    "characters in prose": 0.13,
    "names strange here": -1.59,
    "stands near by already": -0.20,
    "ends inside quotes": -0.21,
    "leaves brackets open": -0.33,
}
# What speaks for none of them, in the order of ``doubt``.
NONE = {
    "always": 0.88,
    "characters that agree": -0.11,
    "votes for the best": -0.15,
    "candidates": 0.46,
    "prose": 1.03,
    "no name begun": 0.38,
    "characters of the line": -0.29,
    "nothing in the line": -0.26,
}


def likelihoods(cursor: Cursor, candidates: Sequence[Candidate]) -> list[float]:
    """For each candidate, how likely it is what comes next; together less than 1, the rest is for none of them."""
    weights, none = tuple(WEIGHTS.values()), tuple(NONE.values())
    scores = [sum(map(_times, row, weights)) for row in evidence(cursor, candidates)]
    nothing = sum(map(_times, doubt(cursor, candidates), none))
    most = max([*scores, nothing])
    powers = [math.exp(score - most) for score in scores]
    total = sum(powers) + math.exp(nothing - most)
    return [power / total for power in powers]


def _times(value: float, weight: float) -> float:
    return value * weight


def evidence(cursor: Cursor, candidates: Sequence[Candidate]) -> Iterator[tuple[float, ...]]:
    """What speaks for each candidate, as numbers in the order of ``WEIGHTS``."""
    total = sum(one.weight for one in candidates) + 1e-3
    most = max((one.agreement for one in candidates), default=0)
    near = {line for _, line in (*cursor.lines_before(NEAR_LINES), *cursor.lines_behind(NEAR_LINES)) if len(line) > 3}
    log = math.log1p
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
