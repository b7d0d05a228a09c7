"""The answers nearly all answers are: a piece of text, or a whole text with its count of tokens, in OpenAI's chat JSON.

Read by decoders that know their shape, in a fifth of the time. Whatever is more than that (tool calls, thoughts, errors, another choice) is
left to the readers that know everything.
"""

import msgspec

from fireside.core.requests import Delta, FinishReason, Usage

FINISHED: dict[object, FinishReason] = {"stop": "stop", "length": "length"}


class Said(msgspec.Struct, gc=False):
    """``content``, and what shows that there is more than text."""

    content: str | None = None
    reasoning_content: object = None
    reasoning: object = None
    tool_calls: object = None
    function_call: object = None

    @property
    def is_text(self) -> bool:
        return (
            self.tool_calls is None
            and not self.reasoning_content
            and not self.reasoning
            and self.function_call is None
            and bool(self.content)
        )


class PieceChoice(msgspec.Struct, gc=False):
    delta: Said
    index: int | None = 0
    finish_reason: object = None
    logprobs: object = None


class Piece(msgspec.Struct, gc=False):
    choices: tuple[PieceChoice]
    usage: object = None
    timings: object = None
    error: object = None


class Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = 0


class Count(msgspec.Struct, gc=False):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: Details | None = None


class WholeChoice(msgspec.Struct, gc=False):
    message: Said
    finish_reason: str
    index: int | None = 0
    logprobs: object = None


class Whole(msgspec.Struct, gc=False):
    choices: tuple[WholeChoice]
    usage: Count
    timings: object = None
    error: object = None


PIECE = msgspec.json.Decoder(Piece)
WHOLE = msgspec.json.Decoder(Whole)


def read_piece(data: str) -> str | None:
    """The text of a chunk that holds a piece of text and nothing else; ``None`` for any other."""
    try:
        chunk = PIECE.decode(data)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    (choice,) = chunk.choices
    more = (
        choice.index
        or choice.finish_reason is not None
        or choice.logprobs is not None
        or chunk.usage is not None
        or chunk.timings is not None
        or chunk.error is not None
    )
    return None if more or not choice.delta.is_text else choice.delta.content


def read_plain(body: bytes) -> list[Delta] | None:
    """A whole answer that is one text, its reason to end and its count; ``None`` for any other."""
    try:
        answer = WHOLE.decode(body)
    except msgspec.DecodeError:
        return None
    (choice,) = answer.choices
    finish, said, count = FINISHED.get(choice.finish_reason), choice.message, answer.usage
    more = choice.index or choice.logprobs is not None or answer.timings is not None or answer.error is not None
    if more or finish is None or not said.is_text:
        return None
    details = count.prompt_tokens_details
    cached = details.cached_tokens or 0 if details is not None else 0
    usage = Usage(count.prompt_tokens, count.completion_tokens, cached)
    return [Delta(text=said.content or ""), Delta(finish_reason=finish, usage=usage)]
