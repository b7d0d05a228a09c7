"""Draw a turn in a terminal or a pipe. Only draws: what happens is decided elsewhere.

In a terminal, Markdown is drawn block by block: a finished block is printed for good, the unfinished one is kept live at the bottom. Into
a pipe the answer goes as it is, so that another program can read it.
"""

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, TYPE_CHECKING, Protocol, Self

from fireside.core.errors import FiresideError
from fireside.core.streams import closing
from fireside.core.turns import (
    Citation,
    ContextGathered,
    ReasoningDelta,
    TextDelta,
    TurnEvent,
    TurnFailed,
    TurnFinished,
)

if TYPE_CHECKING:
    pass


class Page(Protocol):
    """Where an answer is written."""

    def write(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def page(stream: IO[str] | None = None) -> Page:
    """A page for standard output: drawn in a terminal, plain elsewhere."""
    out = stream or sys.stdout
    return MarkdownPage(out) if out.isatty() else PlainPage(out)


class PlainPage:
    """Text as it comes. Notes go to standard error, so that they never mix with an answer that is piped on."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._last = "\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._last != "\n":
            self.write("\n")

    def write(self, text: str) -> None:
        if text:
            self._stream.write(text)
            self._stream.flush()
            self._last = text[-1]

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class MarkdownPage:
    """Markdown drawn as it streams. Redraws only the block that is not finished, so a long answer costs no more per word."""

    def __init__(self, stream: IO[str]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console: Console = Console(file=stream)
        self._live: Live = Live(
            console=self._console, refresh_per_second=12, transient=True, vertical_overflow="visible"
        )
        self._blocks = Blocks()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        rest = self._blocks.rest()
        self._live.update("")
        self._live.stop()
        self._print(rest)

    def write(self, text: str) -> None:
        from rich.markdown import Markdown

        for block in self._blocks.feed(text):
            self._live.update("")
            self._print(block)
        self._live.update(Markdown(self._blocks.pending))

    def note(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(text, style="dim"))

    def _print(self, block: str) -> None:
        from rich.markdown import Markdown

        if block.strip():
            self._console.print(Markdown(block))


class Blocks:
    """Cuts a stream of Markdown at blank lines outside code fences, so that each piece can be drawn by itself."""

    def __init__(self) -> None:
        self.pending = ""

    def feed(self, text: str) -> list[str]:
        """The blocks that ``text`` finished."""
        self.pending += text
        finished, fence, start, position = [], "", 0, 0
        for line in self.pending.splitlines(keepends=True):
            if not line.endswith("\n"):
                break
            position += len(line)
            fence = _fence_after(line, fence)
            if not fence and not line.strip():
                finished.append(self.pending[start:position])
                start = position
        self.pending = self.pending[start:]
        return [block for block in finished if block.strip()]

    def rest(self) -> str:
        rest, self.pending = self.pending, ""
        return rest


def _fence_after(line: str, fence: str) -> str:
    """The fence that is open after ``line``; "" when none is."""
    mark = line.lstrip()
    run = mark[: len(mark) - len(mark.lstrip("`"))] or mark[: len(mark) - len(mark.lstrip("~"))]
    if fence:
        closes = run.startswith(fence) and not mark[len(run) :].strip()
        return "" if closes else fence
    return run if len(run) >= 3 else ""


@dataclass(slots=True)
class Drawn:
    """What was drawn: for the exit code and for ``--json``."""

    text: str = ""
    citations: tuple[Citation, ...] = ()
    left_out: tuple[str, ...] = ()
    finished: TurnFinished | None = None
    error: FiresideError | None = None
    reasoning: list[str] = field(default_factory=list)


async def draw(events: AsyncIterator[TurnEvent], onto: Page | None, *, show_reasoning: bool = False) -> Drawn:
    """Consume one turn and draw it onto a page (``None``: only collect)."""
    drawn = Drawn()
    async with closing(events) as turn:
        async for event in turn:
            _collect(event, drawn)
            if onto is not None:
                _show(event, onto, show_reasoning)
    return drawn


def _collect(event: TurnEvent, drawn: Drawn) -> None:
    match event:
        case TextDelta(text):
            drawn.text += text
        case ReasoningDelta(text):
            drawn.reasoning.append(text)
        case ContextGathered(citations, left_out):
            drawn.citations, drawn.left_out = citations, left_out
        case TurnFinished():
            drawn.finished = event
        case TurnFailed(error):
            drawn.error = error


def _show(event: TurnEvent, onto: Page, show_reasoning: bool) -> None:
    match event:
        case TextDelta(text):
            onto.write(text)
        case ReasoningDelta(text) if show_reasoning:
            onto.write(text)
        case ContextGathered(_, left_out):
            for line in left_out:
                onto.note(f"left out: {line}")


def sources(drawn: Drawn) -> str:
    """The places an answer stands on and who wrote it, in a few short lines; "" when there are none."""
    if drawn.finished is None or not drawn.finished.generated:
        return ""
    lines = [f"  {citation}" + (f"  {citation.symbol}" if citation.symbol else "") for citation in drawn.citations]
    head = ["looked at:"] if lines else []
    usage = drawn.finished.usage
    cut = ", cut at its limit" if drawn.finished.finish_reason == "length" else ""
    who = f"{drawn.finished.model} on {drawn.finished.engine}" if drawn.finished.engine else drawn.finished.model
    return "\n".join((*head, *lines, f"{who}: {usage.prompt_tokens} + {usage.completion_tokens} tokens{cut}"))
