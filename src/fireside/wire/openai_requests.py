"""OpenAI's chat, completion and embedding JSON, as its clients send it, into our requests.

Knows which fields matter to a local model; everything else (metadata, service tiers, predictions, tools that run elsewhere, fields of
tomorrow) is ignored, never refused. Knows nothing of HTTP. Source: platform.openai.com/docs/api-reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from fireside.core.messages import Message
from fireside.core.requests import ChatRequest, CompletionRequest
from fireside.core.values import replace
from fireside.wire.contents import read_content
from fireside.wire.conversation import Conversation
from fireside.wire.fields import Fields, read_flag, read_list, read_object, read_text, read_whole, wrong
from fireside.wire.openai_sampling import (
    read_alternatives,
    read_format,
    read_include_usage,
    read_limit,
    read_reasoning,
    read_sampling,
    read_session,
)
from fireside.wire.tool_offers import read_arguments, read_tools

MOST_ANSWERS = 8
MOST_CHOICES = 128
COMPLETION_TOKENS = 16
TOKEN_IDS = "send text; which tokens it becomes is the model's affair"
Asked = TypeVar("Asked", ChatRequest, CompletionRequest)


@dataclass(frozen=True, slots=True)
class ChatAsked:
    """``model``: as the client wrote it. ``count``: answers wanted. ``older``: the client knows ``function_call``, not ``tool_calls``."""

    request: ChatRequest
    model: str
    include_usage: bool = False
    count: int = 1
    older: bool = False

    def choices(self) -> tuple[ChatRequest, ...]:
        """One request for each answer, in the order of their indexes."""
        return (self.request,) if self.count == 1 else tuple(_varied(self.request, turn) for turn in range(self.count))


@dataclass(frozen=True, slots=True)
class CompletionAsked:
    """``requests``: one a prompt. ``count``: answers wanted to each. ``echo``: the prompt is to be said, too."""

    requests: tuple[CompletionRequest, ...]
    model: str
    include_usage: bool = False
    echo: bool = False
    count: int = 1

    def choices(self) -> tuple[CompletionRequest, ...]:
        """One request for each answer, in the order of their indexes: all answers to the first prompt, then the second's."""
        return tuple(_varied(request, turn) for request in self.requests for turn in range(self.count))


@dataclass(frozen=True, slots=True)
class EmbedAsked:
    """``encoding_format``: float or base64. ``dimensions``: how many numbers of each vector are wanted; ``None`` for all."""

    texts: tuple[str, ...]
    model: str
    encoding_format: str = "float"
    dimensions: int | None = None


def read_chat(body: object) -> ChatAsked:
    """The body of ``/v1/chat/completions``. Raises ``Invalid`` with the place of what is wrong as ``param``."""
    fields = read_object(body)
    model = read_text(fields, "model") or "chat"
    tools, choice = read_tools(fields)
    logprobs = read_alternatives(fields, "top_logprobs") if read_flag(fields, "logprobs") else None
    request = ChatRequest(
        read_messages(fields.get("messages")),
        model=model,
        tools=tools,
        tool_choice=choice,
        sampling=read_sampling(
            fields, limit=read_limit(fields, "max_completion_tokens", "max_tokens"), logprobs=logprobs
        ),
        response_format=read_format(fields.get("response_format"), "response_format"),
        reasoning=read_reasoning(fields),
        session=read_session(fields),
        stream=read_flag(fields, "stream"),
    )
    older = bool(tools) and fields.get("tools") is None
    return ChatAsked(request, model, read_include_usage(fields), _count(fields), older)


def read_completion(body: object) -> CompletionAsked:
    """The body of ``/v1/completions``: prompts as they are, or with a ``suffix`` code to fill in before it."""
    fields = read_object(body)
    model = read_text(fields, "model") or "complete"
    suffix = read_text(fields, "suffix")
    limit = read_limit(fields, "max_tokens") or COMPLETION_TOKENS
    logprobs = fields.get("logprobs")
    alternatives = None if logprobs is None or logprobs is False else 0
    if alternatives is not None and logprobs is not True:
        alternatives = read_alternatives(fields, "logprobs")
    request = CompletionRequest(
        "",
        suffix,
        model=model,
        max_tokens=limit,
        raw=not suffix,
        sampling=read_sampling(fields, limit=limit, logprobs=alternatives),
        session=read_session(fields),
        stream=read_flag(fields, "stream"),
    )
    prompts, count = _texts(fields.get("prompt"), "prompt"), _count(fields)
    if len(prompts) * count > MOST_CHOICES:
        raise wrong(
            "prompt", f"{len(prompts)} prompts, {count} answers each", f"at most {MOST_CHOICES} answers at once"
        )
    requests = tuple(replace(request, prefix=prompt) for prompt in prompts)
    return CompletionAsked(requests, model, read_include_usage(fields), read_flag(fields, "echo"), count)


def read_embeddings(body: object) -> EmbedAsked:
    """The body of ``/v1/embeddings``."""
    fields = read_object(body)
    encoding = read_text(fields, "encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise wrong("encoding_format", "expected float or base64")
    return EmbedAsked(
        _texts(fields.get("input"), "input"),
        read_text(fields, "model") or "embed",
        encoding,
        read_whole(fields, "dimensions", least=1),
    )


def read_messages(given: object) -> tuple[Message, ...]:
    """``messages`` of a chat; see ``Conversation`` for what becomes of their order."""
    if not isinstance(given, list):
        raise wrong("messages", "expected a list of messages")
    conversation = Conversation()
    for place, message in enumerate(given):
        if not isinstance(message, dict):
            raise wrong(f"messages[{place}]", "expected a JSON object")
        role, content = message.get("role"), message.get("content")
        text, images = (content, ()) if type(content) is str else read_content(content, f"messages[{place}].content")
        if role == "user":
            conversation.ask(text, images)
        elif role == "assistant":
            conversation.reply(text)
            _read_calls(message, place, conversation)
        elif role in ("system", "developer"):
            conversation.instruct(text)
        elif role in ("tool", "function"):
            conversation.answer(text, images, id=read_text(message, "tool_call_id", within=f"messages[{place}]"))
        else:
            raise wrong(f"messages[{place}].role", "expected system, developer, user, assistant or tool")
    messages = conversation.messages()
    if not messages:
        raise wrong("messages", "at least one message is needed", "ask something")
    return messages


def _read_calls(message: Fields, place: int, conversation: Conversation) -> None:
    calls = message.get("tool_calls")
    if calls is not None:
        param = f"messages[{place}].tool_calls"
        for number, each in enumerate(read_list(calls, param)):
            call = read_object(each, f"{param}[{number}]")
            inner = call.get("function", call.get("custom"))
            where = f"{param}[{number}].function"
            _read_call(read_object(inner, where), where, conversation, id=read_text(call, "id", within=where))
    elif (older := message.get("function_call")) is not None:
        param = f"messages[{place}].function_call"
        _read_call(read_object(older, param), param, conversation)


def _read_call(function: Mapping[str, object], param: str, conversation: Conversation, *, id: str = "") -> None:
    name = read_text(function, "name", within=param)
    if not name:
        raise wrong(f"{param}.name", "expected the name of a tool")
    arguments = read_arguments(function.get("arguments", function.get("input")), f"{param}.arguments")
    conversation.call(name, arguments, id=id)


def _texts(given: object, param: str) -> tuple[str, ...]:
    """One text or several. Raises ``Invalid`` for token ids, in both forms they come in."""
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list) or not given:
        raise wrong(param, "expected a string or a list of strings")
    if all(isinstance(text, str) for text in given):
        return tuple(given)
    if all(isinstance(each, int | list) for each in given):
        raise wrong(param, "token ids cannot be read here", TOKEN_IDS)
    raise wrong(param, "expected a string or a list of strings")


def _count(fields: Fields) -> int:
    count = read_whole(fields, "n")
    if count is None:
        return 1
    if not 1 <= count <= MOST_ANSWERS:
        raise wrong("n", f"expected 1 to {MOST_ANSWERS}")
    return count


def _varied(request: Asked, turn: int) -> Asked:
    """The same request for another answer: with a fixed seed all answers would be one."""
    seed = request.sampling.seed
    return (
        request if turn == 0 or seed is None else replace(request, sampling=replace(request.sampling, seed=seed + turn))
    )
