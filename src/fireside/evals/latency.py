"""``latency``: how soon the first token comes and how fast the others, for short and long prompts, alone and several at a time.

Every prompt begins differently, so that no engine answers from a prefix it has computed before. Speed is the engine's own figure where it
tells one, else tokens after the first over the time they took. Measure it with ``--parallel 1``: this suite makes its own company.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from fireside.core.messages import Message
from fireside.core.values import replace
from fireside.evals.asking import Answer, ask
from fireside.evals.memory import held
from fireside.evals.statistics import mean, quantile
from fireside.evals.suite import Case as SuiteCase
from fireside.evals.suite import CaseSettings, Outcome, Score, Subject

TOKENS = 64
SHORT, LONG = 60, 1_000
AT_ONCE = 4
# More would tell the same: times vary less than answers do.
MOST = 40
WORDS = (
    *("river", "stone", "lamp", "garden", "window", "letter", "market", "bridge"),
    *("silver", "morning", "paper", "harbour", "winter", "table", "forest", "engine"),
)


@dataclass(frozen=True, slots=True)
class Case(SuiteCase):
    """``words``: of the prompt; ``at_once``: requests at a time. ``group``: both, in words."""

    words: int = SHORT
    at_once: int = 1
    seed: int = 0


class Latency:
    """``at_once``: how many requests are "several at a time"."""

    name = "latency"
    about = "first token, tokens per second and memory; short and long prompts, alone and several at a time"

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once

    def cases(self, settings: CaseSettings) -> Sequence[Case]:
        kinds = [(SHORT, 1), (LONG, 1), (SHORT, self._at_once)]
        rounds = max(1, min(settings.cases or MOST, MOST) // len(kinds))
        return [
            Case(f"{_named(words, many)}/{number}", _named(words, many), words, many, settings.seed * 1000 + number)
            for words, many in kinds
            for number in range(rounds)
        ]

    async def run(self, case: Case, subject: Subject) -> Outcome:
        asked = [_question(case, number) for number in range(case.at_once)]
        answers = await _all(subject, asked)
        longest = max(answer.seconds for answer in answers)
        made = sum(answer.usage.completion_tokens for answer in answers)
        scores = {"ms": 1000 * longest, "first ms": 1000 * sum(one.first for one in answers) / len(answers)}
        speeds = [speed for answer in answers if (speed := tokens_per_second(answer))]
        if speeds:
            scores["tokens/s"] = sum(speeds) / len(speeds)
        if made:
            scores["all tokens/s"] = made / longest
        memory = held()
        if memory is not None:
            scores["memory"] = memory / (1 << 20)
        return Outcome(case.id, scores, longest, group=case.group)

    def score(self, outcomes: Sequence[Outcome]) -> tuple[Score, ...]:
        found: list[Score] = []
        for group in dict.fromkeys(outcome.group for outcome in outcomes):
            ones = [outcome for outcome in outcomes if outcome.group == group]
            scores = (
                quantile("first token p50", ones, 0.5, key="first ms"),
                quantile("first token p95", ones, 0.95, key="first ms"),
                quantile("p50", ones, 0.5, key="ms"),
                quantile("p95", ones, 0.95, key="ms"),
                mean("tokens/s", ones, unit="tokens/s"),
                mean("all tokens/s", ones, unit="tokens/s"),
            )
            found += [replace(score, name=f"{group}: {score.name}") for score in scores]
        return (*found, quantile("memory", outcomes, 1.0, key="memory", unit="MiB"))


async def _all(subject: Subject, asked: Sequence[str]) -> list[Answer]:
    """Every answer; what one of them raises is raised when all have ended."""
    found = await asyncio.gather(
        *(ask(subject, [Message("user", text)], max_tokens=TOKENS) for text in asked), return_exceptions=True
    )
    answers: list[Answer] = []
    for one in found:
        if isinstance(one, BaseException):
            raise one
        answers.append(one)
    return answers


def _named(words: int, many: int) -> str:
    return ("short" if words == SHORT else "long") + (f" x{many}" if many > 1 else "")


def _question(case: Case, number: int) -> str:
    rng = random.Random(f"{case.seed}/{case.id}/{number}")
    story = " ".join(rng.choice(WORDS) for _ in range(case.words))
    return f"{rng.getrandbits(32):08x}. Tell a story in which these words occur: {story}."


def tokens_per_second(answer: Answer) -> float:
    """The engine's own figure, else those after the first over the time they took; 0 where nobody can tell."""
    usage = answer.usage
    if usage.completion_seconds:
        return usage.completion_tokens / usage.completion_seconds
    spent = answer.seconds - answer.first
    return (usage.completion_tokens - 1) / spent if usage.completion_tokens > 1 and spent > 0 else 0.0
