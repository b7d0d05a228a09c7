"""Ask a subject in a chat and take its whole answer; read the tasks that come with Fireside. Shared by the suites that chat."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from fireside.core.messages import Message, ToolCall, ToolSpec
from fireside.core.requests import ChatRequest, Priority, ResponseFormat, Sampling, Usage
from fireside.core.streams import closing
from fireside.evals.suite import CaseSettings, Subject

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Answer:
    """``seconds``: until it was whole; ``first``: until anything of it came. ``finished``: it was not cut by its limit."""

    text: str
    calls: tuple[ToolCall, ...]
    seconds: float
    first: float
    usage: Usage
    finished: bool


async def ask(
    subject: Subject,
    messages: Sequence[Message],
    *,
    max_tokens: int,
    tools: Sequence[ToolSpec] = (),
    response_format: ResponseFormat | None = None,
) -> Answer:
    """At temperature 0 and with a seed: as repeatable as the engine is. Raises what the gateway raises."""
    request = ChatRequest(
        tuple(messages),
        model=subject.model,
        tools=tuple(tools),
        sampling=Sampling(temperature=0.0, seed=1, max_tokens=max_tokens),
        response_format=response_format,
        priority=Priority.BATCH,
    )
    begun = time.perf_counter()
    first, usage, finished = 0.0, Usage(), False
    texts: list[str] = []
    calls: list[ToolCall] = []
    async with closing(subject.chat(request)) as deltas:
        async for delta in deltas:
            if delta.has_content and not first:
                first = time.perf_counter() - begun
            texts.append(delta.text)
            if delta.tool_call is not None:
                calls.append(delta.tool_call)
            usage = delta.usage or usage
            finished = finished or delta.finish_reason in ("stop", "tool_calls")
    return Answer("".join(texts), tuple(calls), time.perf_counter() - begun, first, usage, finished)


def rows(name: str, kind: type[Row]) -> list[Row]:
    """The tasks of one file that comes with Fireside, one to a line."""
    from importlib.resources import files

    lines = files("fireside.evals").joinpath(f"data/{name}").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=kind) for line in lines if line.strip()]


def drawn(cases: Sequence[Row], settings: CaseSettings) -> list[Row]:
    """At most as many as are wanted, drawn by the seed, in their own order."""
    if not settings.cases or settings.cases >= len(cases):
        return list(cases)
    chosen = random.Random(settings.seed).sample(range(len(cases)), settings.cases)
    return [cases[index] for index in sorted(chosen)]
