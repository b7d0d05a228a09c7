"""Holes in files: what is hidden, who fills it, and how an answer is compared with what stood there.

Shared by the suites that hide lines and those that hide syntax nodes. Knows completions and texts; not how cases are chosen.
"""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fireside.core.errors import ContextTooLong, FiresideError
from fireside.core.requests import CompletionRequest, Priority, Sampling
from fireside.core.streams import closing
from fireside.evals.suite import HOPELESS, Case, Outcome, Subject
from fireside.evals.syntax import parses
from fireside.models.card import ModelCard

PREFIX_LIMIT = 12_000
SUFFIX_LIMIT = 4_000
LEAST_ROOM = 200
# Characters of code to a token, on the safe side.
CHARACTERS = 2.5
WORD = re.compile(r"\s*(\w+|[^\w\s]+)")
THRESHOLDS = (0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, slots=True)
class Hole(Case):
    """``text[start:end]`` is hidden. ``path``: relative; ``folder``: where the file is, for rivals that know the project."""

    path: str = ""
    folder: str = ""
    language: str = ""
    text: str = ""
    start: int = 0
    end: int = 0

    @property
    def prefix(self) -> str:
        return self.text[: self.start]

    @property
    def suffix(self) -> str:
        return self.text[self.end :]

    @property
    def target(self) -> str:
        return self.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Filled:
    """``text``: to be inserted; "" when nothing is offered. ``confidence``: from 0 to 1, ``None`` where it is not told."""

    text: str
    confidence: float | None = None


class Completer(Protocol):
    """Somebody who fills holes: a rival of the model."""

    async def __call__(self, hole: Hole, /) -> Filled: ...


async def fills(subject: Subject) -> bool:
    """Whether the subject has a model that fills in code; where it has none, only the rivals are measured."""
    return await _card(subject) is not None


async def _card(subject: Subject) -> ModelCard | None:
    return await subject.card_for(subject.model, needs=frozenset(("fim",)))


async def ask(subject: Subject, hole: Hole, *, max_tokens: int, line: bool) -> Filled:
    """The model's answer, as it comes. ``line``: only up to the end of the line.

    The confidence is the mean probability of a token: exp of the mean log-probability, where the engine tells it.
    """
    card = await _card(subject)
    room = min(PREFIX_LIMIT + SUFFIX_LIMIT, _characters(card, max_tokens))
    while True:
        try:
            return await _asked(subject, hole, room, max_tokens, line=line)
        except ContextTooLong:
            # An estimate of characters per token may be wrong; the engine has counted.
            room //= 2
            if room < LEAST_ROOM:
                raise


async def _asked(subject: Subject, hole: Hole, room: int, max_tokens: int, *, line: bool) -> Filled:
    request = CompletionRequest(
        prefix=hole.prefix[-room * 3 // 4 :],
        suffix=hole.suffix[: room // 4],
        path=hole.path,
        model=subject.model,
        max_tokens=max_tokens,
        sampling=Sampling(temperature=0.0, seed=1, logprobs=1),
        priority=Priority.TYPING,
    )
    written, logs = "", list[float]()
    async with closing(subject.complete(request)) as deltas:
        async for delta in deltas:
            written += delta.text
            logs += [token.logprob for token in delta.logprobs]
            if line and "\n" in written:
                break
    text = written.partition("\n")[0].rstrip() if line else written
    return Filled(text, math.exp(sum(logs) / len(logs)) if logs else None)


def _characters(card: ModelCard | None, max_tokens: int) -> int:
    """How much around the hole fits in the model's context, estimated."""
    window = card.context_window if card is not None else 0
    return max(LEAST_ROOM, int((window - max_tokens) * CHARACTERS)) if window else PREFIX_LIMIT + SUFFIX_LIMIT


async def compare(
    hole: Hole, fillers: Mapping[str, Completer], *, whole: bool
) -> dict[str, tuple[dict[str, float], Filled]]:
    """Each filler's scores on the hole, and its answer, with its time in ms. ``whole``: blanks at line ends do not matter.

    Who fails has no scores, and the reason as its answer; a failure that is nobody's alone (nothing answers there) is raised.
    """
    found: dict[str, tuple[dict[str, float], Filled]] = {}
    for name, filler in fillers.items():
        begun = time.perf_counter()
        try:
            filled = await filler(hole)
        except FiresideError as error:
            if error.kind in HOPELESS:
                raise
            found[name] = {}, Filled(f"{error.kind}: {error.message}")
            continue
        seconds = time.perf_counter() - begun
        found[name] = {**judge(hole, filled, whole=whole), "ms": 1000 * seconds}, filled
    return found


def outcome_of(hole: Hole, found: Mapping[str, tuple[dict[str, float], Filled]], subject: str) -> Outcome:
    """One outcome: the subject's scores as its own, all others as rivals."""
    own, filled = found.get(subject, ({}, Filled("")))
    failed = subject in found and not own
    detail = "" if not own or own["exact"] else f"wanted {_shown(hole.target)}, got {_shown(filled.text)}"
    return Outcome(
        hole.id,
        own,
        own.get("ms", 0.0) / 1000,
        " ".join(filled.text.split()) if failed else detail,
        failed=failed,
        group=hole.group,
        rivals={name: scores for name, (scores, _) in found.items() if name != subject},
    )


def judge(hole: Hole, filled: Filled, *, whole: bool) -> dict[str, float]:
    """exact, first word, saved and typed (characters), offered, parses (of what is offered), and the same above each confidence."""
    wanted, text = hole.target, filled.text
    exact = _plain(text) == _plain(wanted) if whole else text.rstrip() == wanted.rstrip()
    scores: dict[str, float] = {
        "exact": float(exact),
        "first word": float(_first(text) == _first(wanted) != ""),
        "saved": float(_shared(text, wanted)),
        "typed": float(len(wanted)),
        "offered": float(bool(text)),
    }
    if text:
        scores["right when offered"] = float(exact)
        valid = parses(hole.prefix, text, hole.suffix, hole.language, original=hole.text)
        if valid is not None:
            scores["parses"] = float(valid)
    if filled.confidence is not None:
        scores["confidence"] = filled.confidence
        for threshold in THRESHOLDS:
            shown = bool(text) and filled.confidence >= threshold
            scores[f"offered at {threshold}"] = float(shown)
            if shown:
                scores[f"right at {threshold}"] = float(exact)
    elif not text:
        # Who offers nothing offers nothing at any confidence either.
        scores |= {f"offered at {threshold}": 0.0 for threshold in THRESHOLDS}
    return scores


def likeness(text: str, wanted: str) -> float:
    """How alike two texts are, from 0 to 1: Ratcliff and Obershelp's, as ``difflib`` has it."""
    from difflib import SequenceMatcher

    return SequenceMatcher(None, text, wanted, autojunk=False).ratio()


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().split("\n"))


def _first(text: str) -> str:
    found = WORD.match(text)
    return found[1] if found else ""


def _shared(text: str, wanted: str) -> int:
    """Characters at the beginning that need not be typed."""
    count = 0
    for mine, theirs in zip(text, wanted, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")
