"""Text as it can be sent: Python's may hold halves of characters (from file names and pipes that are no UTF-8), JSON may not."""

from dataclasses import replace
from typing import TypeVar

from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, CompletionRequest, Snippet

Request = TypeVar("Request", ChatRequest, CompletionRequest)


def sendable(request: Request) -> Request:
    """The request with U+FFFD for each half of a character; itself when there is none."""
    if isinstance(request, ChatRequest):
        messages = tuple(_message(message) for message in request.messages)
        return request if messages == request.messages else replace(request, messages=messages)
    neighbours = tuple(Snippet(whole(snippet.path), whole(snippet.text)) for snippet in request.neighbours)
    prefix, suffix, path = whole(request.prefix), whole(request.suffix), whole(request.path)
    return replace(request, prefix=prefix, suffix=suffix, path=path, neighbours=neighbours)


def whole(text: str) -> str:
    """``text`` itself unless it holds half a character."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _message(message: Message) -> Message:
    content = whole(message.content)
    calls = tuple(replace(call, arguments=whole(call.arguments)) for call in message.tool_calls)
    return (
        message
        if content is message.content and calls == message.tool_calls
        else replace(message, content=content, tool_calls=calls)
    )
