"""Text as it can be sent: Python's may hold halves of characters (from file names and pipes that are no UTF-8), JSON may not.

A prompt may be very long, so it is looked through once, and how long it is remembered from that.
"""

from typing import TypeVar

from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, CompletionRequest, Snippet
from fireside.core.values import replace
from fireside.gateway.plans import Request

Asked = TypeVar("Asked", bound=Request)
BROKEN = -1


def scan(request: Asked) -> tuple[Asked, int]:
    """The request with U+FFFD for each half of a character, itself when there is none; and the bytes of all its text."""
    if isinstance(request, ChatRequest):
        size = _size_of_chat(request)
    else:
        size = _size_of_completion(request)
    if size != BROKEN:
        return request, size
    mended = sendable(request)
    return mended, scan(mended)[1]


def sendable(request: Asked) -> Asked:
    """The request with U+FFFD for each half of a character."""
    if isinstance(request, ChatRequest):
        return replace(request, messages=tuple(map(_message, request.messages)))
    around = tuple(Snippet(whole(snippet.path), whole(snippet.text)) for snippet in request.neighbours)
    prefix, suffix, path = whole(request.prefix), whole(request.suffix), whole(request.path)
    return replace(request, prefix=prefix, suffix=suffix, path=path, neighbours=around)


def whole(text: str) -> str:
    """``text`` itself unless it holds half a character."""
    return text if _size(text) != BROKEN else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _size(text: str) -> int:
    """Its bytes in UTF-8; ``BROKEN`` for what has none."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return BROKEN


def _size_of_chat(request: ChatRequest) -> int:
    total = 0
    for message in request.messages:
        size = _size(message.content)
        if size == BROKEN:
            return BROKEN
        total += size
        for call in message.tool_calls:
            size = _size(call.arguments)
            if size == BROKEN:
                return BROKEN
            total += size
    return total


def _size_of_completion(request: CompletionRequest) -> int:
    around = [text for snippet in request.neighbours for text in (snippet.path, snippet.text)]
    sizes = [_size(text) for text in (request.prefix, request.suffix, request.path, *around)]
    return BROKEN if BROKEN in sizes else sum(sizes)


def _message(message: Message) -> Message:
    calls = tuple(replace(call, arguments=whole(call.arguments)) for call in message.tool_calls)
    return replace(message, content=whole(message.content), tool_calls=calls)
