"""``pass-at-k``: programs written by a model, run in the sandbox against their tests: in how many tasks is one of k attempts right?

The unbiased estimator of Chen et al. 2021 ("Evaluating Large Language Models Trained on Code"), from n >= k samples of each task, with an
interval over the tasks. Nothing is run where no sandbox works.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fireside.core.errors import Invalid, NotPermitted
from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, CompletionRequest, Priority, Sampling
from fireside.core.streams import closing
from fireside.core.values import replace
from fireside.evals.asking import drawn
from fireside.evals.programs import LIMITS, OURS, STOPS, Task, Verdict, answered, continued, judge, read_tasks
from fireside.evals.sandbox import REMEDY, available
from fireside.evals.sandbox_limits import Limits
from fireside.evals.statistics import mean, quantile, share
from fireside.evals.suite import Case as SuiteCase
from fireside.evals.suite import CaseSettings, Outcome, Score, Subject

Mode = Literal["auto", "chat", "complete"]
MAX_TOKENS = 768
# One sample is the model's best; several must differ.
WARM = 0.8
ASK = (
    "Complete this Python code. Answer with the whole definition in one fenced code block and nothing else; no tests, no examples.\n\n"
    "```python\n{prompt}```"
)


@dataclass(frozen=True, slots=True)
class Case(SuiteCase):
    task: Task | None = None
    seed: int = 0


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The chance that one of ``k`` attempts is right, estimated without bias from ``right`` of ``samples``: 1 - C(n-c, k) / C(n, k).

    As a product, which does not overflow. Raises Invalid unless 1 <= k <= samples and 0 <= right <= samples.
    """
    if not 1 <= k <= samples or not 0 <= right <= samples:
        raise Invalid(f"pass@{k} cannot be told from {right} of {samples} samples", remedy="take at least k samples")
    if samples - right < k:
        return 1.0
    missed = 1.0
    for place in range(samples - right + 1, samples + 1):
        missed *= 1.0 - k / place
    return 1.0 - missed


class PassAtK:
    """``samples``: answers to each task; ``ks``: which pass@k are told; ``temperature``: ``None``: 0 for one sample, else 0.8.

    ``tasks``: a file of tasks instead of ours; a .jsonl file among a run's sources does the same. ``mode``: chat, or going on with the
    prompt; auto: chat where the model has a template for it.
    """

    name = "pass-at-k"
    about = "programming tasks (HumanEval's format), run in a sandbox against their tests"

    def __init__(
        self,
        samples: int = 1,
        ks: Sequence[int] = (),
        *,
        temperature: float | None = None,
        tasks: Path | None = None,
        mode: Mode = "auto",
        limits: Limits = LIMITS,
    ) -> None:
        self._samples = samples
        self._ks = tuple(sorted(set(ks))) or tuple(k for k in (1, 10, 100) if k <= samples)
        for k in self._ks or (1,):
            pass_at_k(samples, 0, k)
        self._temperature = (0.0 if samples == 1 else WARM) if temperature is None else temperature
        self._tasks, self._mode, self._limits = tasks, mode, limits

    def cases(self, settings: CaseSettings) -> Sequence[Case]:
        """Raises NotPermitted where no sandbox works: asking would be for nothing."""
        found = available()
        if found.kind is None:
            raise NotPermitted(
                f"no sandbox works here, and programs are not run without ({found.reason})", remedy=REMEDY
            )
        named = [Path(one) for one in settings.sources if ".jsonl" in Path(one).suffixes]
        files = named or [self._tasks or OURS]
        cases = [Case(task.task_id, task.topic, task, settings.seed) for file in files for task in read_tasks(file)]
        if len({case.id for case in cases}) < len(cases):
            raise Invalid("two of the files have a task in common", remedy="measure them one after the other")
        return drawn(cases, settings)

    async def run(self, case: Case, subject: Subject) -> Outcome:
        assert case.task is not None
        begun = time.perf_counter()
        chats = await self._chats(subject)
        verdicts: list[Verdict] = []
        tokens = 0
        for number in range(self._samples):
            seed = case.seed * 10_000 + number
            text, made = await (self._chat if chats else self._complete)(subject, case.task, seed)
            code = answered(case.task, text) if chats else continued(case.task, text)
            tokens += made
            verdicts.append(await asyncio.to_thread(judge, case.task, code, limits=self._limits))
        right = sum(verdict.passed for verdict in verdicts)
        scores = {f"pass@{k}": pass_at_k(self._samples, right, k) for k in self._ks}
        seconds = time.perf_counter() - begun
        scores |= {"tokens": tokens / self._samples, "ms": 1000 * seconds / self._samples}
        wrong = next((verdict.why for verdict in verdicts if not verdict.passed), "")
        return Outcome(case.id, scores, seconds, " ".join(wrong.split()), group=case.group)

    def score(self, outcomes: Sequence[Outcome]) -> tuple[Score, ...]:
        """A task nobody answered counts as not solved."""
        names = [f"pass@{k}" for k in self._ks]
        nothing = dict.fromkeys(names, 0.0)
        counted = [replace(one, scores=nothing) if one.failed else one for one in outcomes]
        shares = [_share(name, counted) for name in names]
        speed = quantile("p50", outcomes, 0.5, key="ms")
        return (*shares, mean("tokens", outcomes, unit="tokens", better="neither"), speed)

    async def _chats(self, subject: Subject) -> bool:
        if self._mode != "auto":
            return self._mode == "chat"
        card = await subject.card_for(subject.model)
        return card is None or card.can("chat")

    def _sampling(self, seed: int, stop: tuple[str, ...] = ()) -> Sampling:
        return Sampling(temperature=self._temperature, seed=seed, max_tokens=MAX_TOKENS, stop=stop)

    async def _chat(self, subject: Subject, task: Task, seed: int) -> tuple[str, int]:
        """The answer, and how many tokens it has."""
        messages = (Message("user", ASK.format(prompt=task.prompt)),)
        request = ChatRequest(messages, model=subject.model, sampling=self._sampling(seed), priority=Priority.BATCH)
        parts, tokens = list[str](), 0
        async with closing(subject.chat(request)) as deltas:
            async for delta in deltas:
                parts.append(delta.text)
                tokens = delta.usage.completion_tokens if delta.usage else tokens
        return "".join(parts), tokens

    async def _complete(self, subject: Subject, task: Task, seed: int) -> tuple[str, int]:
        request = CompletionRequest(
            prefix=task.prompt,
            model=subject.model,
            max_tokens=MAX_TOKENS,
            raw=True,
            # Four sequences are what every server takes; the rest is cut here.
            sampling=self._sampling(seed, STOPS[:4]),
            priority=Priority.BATCH,
        )
        parts, tokens = list[str](), 0
        async with closing(subject.complete(request)) as deltas:
            async for delta in deltas:
                parts.append(delta.text)
                tokens = delta.usage.completion_tokens if delta.usage else tokens
        return "".join(parts), tokens


def _share(name: str, outcomes: Sequence[Outcome]) -> Score:
    """By bootstrap; where all that was seen is yes or no, Wilson's interval, which has a width even when nothing was solved."""
    if all(outcome.scores.get(name, 0.0) in (0.0, 1.0) for outcome in outcomes):
        return share(name, outcomes)
    return mean(name, outcomes, unit="%", scale=100.0)
