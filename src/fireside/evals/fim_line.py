"""``fim-line``: a cursor somewhere in a line, and the rest of that line to be written, as while somebody types.

Beside the model stands plain copying from the same file, always, and whoever else is handed in. ``ships`` is the rule by which a model of
ours is shown to users. Knows nothing of where the files are from.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fireside.evals.copying import plain_copy
from fireside.evals.corpus import LONGEST_LINE, nothing_to_cut, texts
from fireside.evals.fill import THRESHOLDS, Completer, Filled, Hole, ask, compare, fills, outcome_of
from fireside.evals.statistics import quantile, ratio, share
from fireside.evals.suite import CaseSettings, Outcome, Result, Score, Subject

LINES = range(100, 4001)
# Where no file has so many: a young project, or the few files a small run kept from training.
FEW_LINES = range(8, 4001)
MAX_TOKENS = 48
COPY = "copy"
MODEL = "\0model"
AHEAD = 8.0
PARSES = 80.0
# How often a place that will not do is drawn before the search is given up.
PATIENCE = 200


class FimLine:
    """``rivals``: who else completes the same lines, by name."""

    name = "fim-line"
    about = "the rest of a line at random places in real files, beside plain copying"

    def __init__(self, rivals: Mapping[str, Completer] = MappingProxyType({})) -> None:
        self._rivals: dict[str, Completer] = {COPY: plain_copy, **rivals}

    def cases(self, settings: CaseSettings) -> Sequence[Hole]:
        """Random columns of random non-blank lines, in files of 100 to 4,000 lines; of fewer where none has so many."""
        found = _holes(settings, LINES) or _holes(settings, FEW_LINES)
        if not found:
            raise nothing_to_cut(settings.sources, "source file of 8 to 4,000 lines")
        return found

    async def run(self, case: Hole, subject: Subject) -> Outcome:
        async def model(hole: Hole) -> Filled:
            return await ask(subject, hole, max_tokens=MAX_TOKENS, line=True)

        fillers = {MODEL: model, **self._rivals} if await fills(subject) else self._rivals
        return outcome_of(case, await compare(case, fillers, whole=False), MODEL)

    def score(self, outcomes: Sequence[Outcome]) -> tuple[Score, ...]:
        return line_scores(outcomes)


def _holes(settings: CaseSettings, lines: range) -> list[Hole]:
    rng = random.Random(settings.seed)
    found: dict[str, Hole] = {}
    missed = 0
    for source, text in texts(settings.sources, rng, lines):
        hole = _cut(source.folder, source.path, source.language, text, rng)
        if hole is None or hole.id in found:
            missed += 1
            if missed > PATIENCE + 4 * len(found):
                break
            continue
        found[hole.id] = hole
        if len(found) >= (settings.cases or 300):
            break
    return list(found.values())


def line_scores(outcomes: Sequence[Outcome]) -> tuple[Score, ...]:
    """What both kinds of holes are scored by. Empty where nobody was asked."""
    if not any(outcome.scores or outcome.failed for outcome in outcomes):
        return ()
    told = any("confidence" in outcome.scores for outcome in outcomes)
    thresholds = [
        score
        for threshold in (THRESHOLDS if told else ())
        for score in (
            share(f"offered at {threshold}", outcomes, better="neither"),
            share(f"right at {threshold}", outcomes, failed=None),
        )
    ]
    return (
        share("exact", outcomes),
        share("first word", outcomes),
        ratio("characters saved", outcomes, "saved", "typed"),
        share("parses", outcomes, failed=None),
        share("offered", outcomes, better="neither"),
        share("right when offered", outcomes, failed=None),
        *thresholds,
        quantile("p50", outcomes, 0.5, key="ms"),
        quantile("p95", outcomes, 0.95, key="ms"),
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a completion model may be shown to users. ``reasons``: one line for each figure, whether it is enough or not."""

    ships: bool
    reasons: tuple[str, ...]


def ships(result: Result) -> Verdict:
    """The gate: exact at least 8 points above plain copying on the same cases, and at least 80 % of what is offered parses."""
    own, copy = _by_name(result.scores), _by_name(result.rivals.get(COPY, ()))
    exact, parsing = own.get("exact", math.nan), own.get("parses", math.nan)
    needed = copy.get("exact", math.nan) + AHEAD
    enough = exact >= needed, parsing >= PARSES
    return Verdict(
        all(enough) and not result.stopped,
        (
            f"exact {exact:.1f} %, {'enough' if enough[0] else 'not enough'}: plain copying + {AHEAD:g} points is {needed:.1f} %",
            f"{parsing:.1f} % of what is offered parses, {'enough' if enough[1] else 'not enough'}: {PARSES:g} % must",
        ),
    )


def _by_name(scores: Sequence[Score]) -> dict[str, float]:
    return {score.name: score.value for score in scores}


def _cut(folder: str, path: str, language: str, text: str, rng: random.Random) -> Hole | None:
    """A place in the text, or ``None`` where the line that was drawn has too little on it."""
    lines = text.split("\n")
    row = rng.randrange(len(lines))
    line = lines[row].rstrip()
    indent = len(line) - len(line.lstrip())
    if not 2 <= len(line) - indent <= LONGEST_LINE:
        return None
    column = rng.randrange(indent, len(line))
    begin = sum(len(one) + 1 for one in lines[:row])
    end = begin + len(lines[row])
    return Hole(
        f"{path}:{row + 1}:{column + 1}",
        language,
        path=path,
        folder=folder,
        language=language,
        text=text,
        start=begin + column,
        end=end,
    )
