"""How large a context to ask Ollama for, and how to notice that it dropped a part of the prompt.

Ollama cuts what does not fit and answers as if nothing had happened; its default of 4096 tokens makes that common. Here one size is kept
per model, because another ``num_ctx`` means loading the model again. Tokens can only be counted by the server, so there are two estimates:

``sure``: never more than the truth. Every byte-pair tokenizer in use cuts between letters and anything else before it merges, so each run
of letters is at least one token; a fifth is taken off for SentencePiece models, which merge over a few of these borders.

``likely``: rather more than the truth for code and prose: a token per three bytes, and what a template puts around each message.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from fireside.core.errors import ContextTooLong
from fireside.core.requests import ChatRequest
from fireside.wire.ollama import write_tool

STEP = 2048
START = 8192
ANSWER = 1024
MESSAGE = 8
IMAGE = 1024
LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Measure:
    """Prompt tokens: at least ``sure``, about ``likely``."""

    sure: int
    likely: int


def measure(request: ChatRequest) -> Measure:
    """``sure`` counts only what every template shows."""
    text = _measure(message.content for message in request.messages)
    calls = sum(len(call.arguments) + len(call.name) for message in request.messages for call in message.tool_calls)
    tools = sum(len(orjson.dumps(write_tool(tool))) for tool in request.tools)
    images = sum(len(message.images) for message in request.messages)
    around = (calls + tools) // 3 + MESSAGE * (len(request.messages) + 1) + IMAGE * images
    return Measure(text.sure, text.likely + around)


def measure_text(text: str) -> Measure:
    return _measure([text])


def _measure(texts: Iterable[str]) -> Measure:
    sure, likely = 0, 0
    for text in texts:
        sure += sum(1 for _ in LETTERS.finditer(text))
        likely += len(text.encode(errors="replace"))
    return Measure(sure * 4 // 5, likely // 3 + 1)


class ContextSizes:
    """One ``num_ctx`` per model, in tokens: begins at 8192, rises in powers of two when a prompt needs it, never falls.

    ``fixed``: always this one (0: choose). ``most``: never choose more than this by oneself.
    """

    def __init__(self, *, fixed: int, most: int) -> None:
        self._fixed = fixed
        self._most = most
        self._sizes: dict[str, int] = {}

    def window(self, made_for: int) -> int:
        """The most one request may use on a model made for so many tokens (0: not known)."""
        wanted = self._fixed or self._most
        return min(wanted, made_for) if made_for else wanted

    def choose(self, model: str, prompt: Measure, *, window: int, answer: int | None = None) -> int:
        """The ``num_ctx`` to send. ``answer``: tokens it may have. Raises ``ContextTooLong`` when the prompt surely does not fit."""
        if prompt.sure > window:
            raise too_long(model, prompt.sure, window, "at least ")
        if self._fixed:
            return window
        size = self._sizes.get(model, min(START, window))
        needed = prompt.likely + (ANSWER if answer is None else answer)
        if needed > size:
            size = min(_step(needed), window)
        self._sizes[model] = size
        return size


def _step(tokens: int) -> int:
    size = STEP
    while size < tokens:
        size *= 2
    return size


def check(model: str, prompt: Measure, *, read: int, in_force: int, counts_all: bool) -> None:
    """Compare what the server says it read with what was sent. Raises ``ContextTooLong`` when a part was dropped.

    ``read``: its ``prompt_eval_count``. ``in_force``: the context it really has, in tokens. ``counts_all``: whether its count includes
    tokens it had in its cache; where it does not, a low count proves nothing.

    A server that shifts keeps half of its context, so a prompt that was likely too long and is said to fill just half of it was cut.
    """
    half = abs(read - in_force // 2) <= max(4, in_force // 50)
    cut = prompt.sure > in_force
    cut = cut or (counts_all and 0 < read < prompt.sure)
    cut = cut or (prompt.likely > in_force and (half or read >= in_force))
    if cut:
        raise too_long(model, max(prompt.sure, read), in_force, "at least ", read=read)


def too_long(model: str, tokens: int, window: int, about: str = "", *, read: int | None = None) -> ContextTooLong:
    dropped = "" if read is None else f"; Ollama read {read} of them and dropped the rest without a word"
    more = {} if read is None else {"truncated": True, "read_tokens": read}
    context: dict[str, Any] = {"prompt_tokens": tokens, "context_window": window, **more}
    return ContextTooLong(
        f"the prompt has {about}{tokens} tokens, {model} takes {window} here{dropped}",
        remedy="ask about less, or raise engines.ollama.num_ctx if the model and the memory allow it",
        **context,
    )
