"""``calculator``: the standard performance test. "Implement a calculator", 512 tokens: how long, how many lines, how fast, how much memory.

The same question, the same seed and the same limit every time and everywhere, so that figures of different machines, engines and models can
be laid side by side. The answer is looked at (its lines, and whether its code parses) and never run.
"""

import ast
import time
import warnings
from collections.abc import Sequence

from fireside.core.messages import Message
from fireside.evals.asking import ask
from fireside.evals.latency import tokens_per_second
from fireside.evals.memory import held
from fireside.evals.programs import blocks_of
from fireside.evals.statistics import mean, quantile, share
from fireside.evals.suite import Case, CaseSettings, Outcome, Score, Subject

QUESTION = "Implement a calculator in Python. It reads expressions with + - * / and parentheses from the terminal and prints their values."
TOKENS = 512
RUNS = 3
# So many lines of the end may belong to what the limit has cut off.
_CUT = 40


class Calculator:
    """``runs``: how often the question is asked; the first of them may load the model."""

    name = "calculator"
    about = f'the standard performance test: "implement a calculator", {TOKENS} tokens'

    def __init__(self, runs: int = RUNS) -> None:
        self._runs = runs

    def cases(self, settings: CaseSettings) -> Sequence[Case]:
        """Seed and sources change nothing: the test is always the same."""
        runs = min(settings.cases, self._runs) if settings.cases else self._runs
        return [Case(f"run/{number}", "first" if number == 1 else "again") for number in range(1, runs + 1)]

    async def run(self, case: Case, subject: Subject) -> Outcome:
        begun = time.perf_counter()
        answer = await ask(subject, [Message("user", QUESTION)], max_tokens=TOKENS)
        code = "\n".join(blocks_of(answer.text))
        scores = {
            "seconds": answer.seconds,
            "first ms": 1000 * answer.first,
            "tokens": float(answer.usage.completion_tokens),
            "lines": float(len(answer.text.splitlines())),
            "code lines": float(sum(bool(line.strip()) for line in code.splitlines())),
            "parses": float(parses(code)),
        }
        if speed := tokens_per_second(answer):
            scores["tokens/s"] = speed
        memory = held()
        if memory is not None:
            scores["memory"] = memory / (1 << 20)
        return Outcome(case.id, scores, time.perf_counter() - begun, group=case.group)

    def score(self, outcomes: Sequence[Outcome]) -> tuple[Score, ...]:
        return (
            mean("seconds", outcomes, unit="s", better="lower"),
            quantile("first token p50", outcomes, 0.5, key="first ms"),
            mean("tokens/s", outcomes, unit="tokens/s"),
            mean("tokens", outcomes, unit="tokens", better="neither"),
            mean("lines", outcomes, unit="lines", better="neither"),
            mean("code lines", outcomes, unit="lines", better="neither"),
            share("parses", outcomes),
            quantile("memory", outcomes, 1.0, key="memory", unit="MiB"),
        )


def parses(code: str) -> bool:
    """Whether there is code and all of it is Python; what the limit has cut off in the middle may be missing."""
    lines = code.splitlines()
    for cut in range(min(_CUT, len(lines))):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return bool(ast.parse("\n".join(lines[: len(lines) - cut])).body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return False
