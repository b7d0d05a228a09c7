"""What can be asked of a model, and the pieces in which it answers."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import msgspec

from fireside.core.messages import JsonSchema, Message, ToolCall, ToolSpec

FinishReason = Literal["stop", "length", "tool_calls", "cancelled"]
Reasoning = Literal["off", "low", "medium", "high"]
Vectors = list[list[float]]


class Priority(IntEnum):
    """Who goes first when an engine is busy; smaller goes first."""

    TYPING = 0
    CHAT = 1
    AGENT = 2
    BATCH = 3


class Sampling(msgspec.Struct, frozen=True, gc=False):
    """How tokens are drawn. ``None`` leaves the choice to the engine. ``max_tokens``: the answer's limit in tokens.

    ``logprobs``: say how likely each token was, and that many alternatives to it (0: none of them); where the engine can.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None


class ResponseFormat(msgspec.Struct, frozen=True, gc=False):
    """The answer must be JSON; with a ``schema``, JSON that fits it."""

    schema: JsonSchema | None = None
    name: str = "answer"


class Snippet(msgspec.Struct, frozen=True, gc=False):
    """Lines of another file that may help a completion. ``path``: relative to the project, with forward slashes."""

    path: str
    text: str


class ChatRequest(msgspec.Struct, frozen=True, gc=False):
    """A conversation to go on with.

    ``model``: an alias (``chat``), a model name, or ``name@engine``. ``tool_choice``: auto, none, required or a tool's name.
    ``session``: requests of one conversation share it, so that an engine can keep their prefix warm in one slot.
    ``supersedes``: a newer request with the same key makes an older, still queued or running one pointless (it is cancelled).
    ``stream``: whether somebody reads along; if not, an engine may ask its server for the answer as a whole.
    ``keep_alive``: seconds the model should stay in memory afterwards, negative for ever; ``None`` leaves it to the engine.
    ``client``: who asks, where several do; it shapes no answer.
    """

    messages: tuple[Message, ...]
    model: str = "chat"
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str = "auto"
    sampling: Sampling = Sampling()
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None
    priority: Priority = Priority.CHAT
    session: str | None = None
    supersedes: str | None = None
    stream: bool = True
    keep_alive: float | None = None
    client: str = ""


class CompletionRequest(msgspec.Struct, frozen=True, gc=False):
    """Code to be filled in between ``prefix`` and ``suffix`` (both may be empty). ``max_tokens``: the answer's limit in tokens.

    ``raw``: the prefix is the whole prompt and goes to the model as it is, without fill-in-the-middle tokens. ``heal``: unless raw, the
    model writes the end of the prefix again, and may so choose a token that reaches over the cursor; the answer never repeats it.
    ``stream``, ``keep_alive``, ``client``: as for a chat.
    """

    prefix: str
    suffix: str = ""
    path: str = ""
    neighbours: tuple[Snippet, ...] = ()
    model: str = "complete"
    max_tokens: int = 64
    raw: bool = False
    heal: bool = True
    sampling: Sampling = Sampling()
    priority: Priority = Priority.TYPING
    session: str | None = None
    supersedes: str | None = None
    stream: bool = True
    keep_alive: float | None = None
    client: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and times of one answer. ``cached_tokens``: the part of ``prompt_tokens`` the engine did not compute again.

    Times in seconds as the engine measured them; ``None`` where it does not say.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    load_seconds: float | None = None
    prompt_seconds: float | None = None
    completion_seconds: float | None = None


class Logprob(msgspec.Struct, frozen=True, gc=False):
    """How likely a token was (natural logarithm), and its alternatives, likeliest first."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


class Delta(msgspec.Struct, frozen=True, gc=False):
    """One piece of an answer. A stream ends with exactly one Delta that has a ``finish_reason``; ``usage`` comes with it or before.

    ``engine``, ``model``: who answered, set by the gateway on the last piece. ``logprobs``: of the tokens of this piece's text.
    """

    text: str = ""
    reasoning: str = ""
    tool_call: ToolCall | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    engine: str = ""
    model: str = ""
    logprobs: tuple[Logprob, ...] = ()

    @property
    def has_content(self) -> bool:
        """Whether a reader would see something; before the first such piece another engine may still take over."""
        return bool(self.text or self.reasoning or self.tool_call)
