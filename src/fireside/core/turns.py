"""What happens during one conversation turn, as every door draws it."""

from dataclasses import dataclass

from fireside.core.errors import FiresideError
from fireside.core.messages import ToolCall
from fireside.core.requests import FinishReason, Usage


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    text: str


@dataclass(frozen=True, slots=True)
class Citation:
    """Lines the answer stands on: ``path:start-end``, lines counted from 1, both ends included."""

    path: str
    start_line: int
    end_line: int
    symbol: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.start_line}-{self.end_line}"


@dataclass(frozen=True, slots=True)
class ContextGathered:
    """What was put before the model, and what had to stay out (``left_out``: one line each, in words)."""

    citations: tuple[Citation, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolStarted:
    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolFinished:
    call: ToolCall
    output: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class PermissionAsked:
    call: ToolCall
    reason: str


@dataclass(frozen=True, slots=True)
class EditProposed:
    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """The turn is over. ``generated`` is False when no model wrote the answer: it was put together from the code itself."""

    usage: Usage
    finish_reason: FinishReason
    engine: str = ""
    model: str = ""
    generated: bool = True


@dataclass(frozen=True, slots=True)
class TurnFailed:
    error: FiresideError


TurnEvent = (
    TextDelta
    | ReasoningDelta
    | ContextGathered
    | ToolStarted
    | ToolFinished
    | PermissionAsked
    | EditProposed
    | TurnFinished
    | TurnFailed
)
