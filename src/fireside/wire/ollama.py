"""Ollama's native JSON (``/api/*``): its shapes, and what they mean in our words.

The shapes are the same whether we ask a server or are one. Durations are nanoseconds on the wire and seconds in our types; a tool call's
arguments are an object on the wire and text in our types. Fields we do not know are ignored, as Ollama's own programs do. Source: the
``api`` package of Ollama's 0.33 line.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
import orjson

from fireside.core.errors import ConnectionFailed
from fireside.core.identity import new_id
from fireside.core.messages import Message, ToolCall, ToolSpec
from fireside.core.requests import (
    ChatRequest,
    Delta,
    FinishReason,
    Logprob,
    Reasoning,
    ResponseFormat,
    Sampling,
    Usage,
    Vectors,
)

Think = bool | str
Format = str | dict[str, object]
Json = dict[str, object]
T = TypeVar("T")
NANOSECONDS = 1e9
FAR_AWAY = 2200
SCALES = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


class Function(msgspec.Struct):
    name: str
    arguments: dict[str, object] | None = None


class Call(msgspec.Struct, omit_defaults=True):
    function: Function
    id: str = ""


class ChatMessage(msgspec.Struct, omit_defaults=True):
    """``images``: base64. ``tool_name`` and ``tool_call_id``: whose result a message of role tool is."""

    role: str = "assistant"
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[Call] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class ChatBody(msgspec.Struct, omit_defaults=True):
    """``/api/chat``. No messages: load the model (with ``keep_alive`` 0: unload it)."""

    model: str
    messages: list[ChatMessage] | None = None
    stream: bool = True
    tools: list[Json] | None = None
    format: Format | None = None
    options: Json | None = None
    keep_alive: str | float | None = None
    think: Think | None = None
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool = False
    top_logprobs: int = 0


class GenerateBody(msgspec.Struct, omit_defaults=True):
    """``/api/generate``. ``raw``: the prompt is used as it is, without the model's template."""

    model: str
    prompt: str = ""
    stream: bool = True
    raw: bool = False
    options: Json | None = None
    keep_alive: str | float | None = None
    think: Think | None = None
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool = False
    top_logprobs: int = 0


class EmbedBody(msgspec.Struct, omit_defaults=True):
    model: str
    input: list[str]
    truncate: bool | None = None
    keep_alive: str | float | None = None
    options: Json | None = None


class Likely(msgspec.Struct):
    """A token and how likely it was (natural logarithm). ``top_logprobs``: what might have stood in its place."""

    token: str = ""
    logprob: float = 0.0
    top_logprobs: "list[Likely] | None" = None


class Line(msgspec.Struct, omit_defaults=True):
    """What chat and generate lines have in common. Durations in nanoseconds; counts and durations only with ``done``."""

    model: str = ""
    created_at: str = ""
    done: bool = False
    done_reason: str | None = None
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0
    logprobs: list[Likely] | None = None


class ChatLine(Line, omit_defaults=True):
    message: ChatMessage | None = None


class GenerateLine(Line, omit_defaults=True):
    response: str = ""
    thinking: str | None = None


class Details(msgspec.Struct):
    family: str = ""
    families: list[str] | None = None
    parameter_size: str = ""
    quantization_level: str = ""


class Tag(msgspec.Struct):
    """An installed model. ``size`` in bytes. ``remote_host``: set when it does not run here but in Ollama's cloud."""

    name: str
    size: int = 0
    digest: str = ""
    details: Details = msgspec.field(default_factory=Details)
    remote_host: str = ""

    @property
    def is_remote(self) -> bool:
        return bool(self.remote_host) or is_cloud(self.name)


class Loaded(msgspec.Struct):
    """A model in memory. ``size``, ``size_vram`` in bytes; ``context_length`` in tokens, 0 from servers that do not say."""

    name: str
    size: int = 0
    size_vram: int = 0
    context_length: int = 0
    expires_at: str = ""
    digest: str = ""


class Shown(msgspec.Struct):
    """The answer of ``/api/show``."""

    details: Details = msgspec.field(default_factory=Details)
    model_info: dict[str, object] | None = None
    capabilities: list[str] | None = None
    template: str = ""

    @property
    def architecture(self) -> str:
        return str((self.model_info or {}).get("general.architecture", ""))

    @property
    def context_length(self) -> int:
        """Tokens the model was made for; 0 when not said."""
        value = (self.model_info or {}).get(f"{self.architecture}.context_length", 0)
        return value if isinstance(value, int) else 0


class Embedded(msgspec.Struct):
    embeddings: Vectors
    prompt_eval_count: int = 0


class Pulled(msgspec.Struct):
    """A line of ``/api/pull``. Bytes."""

    status: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0


class Tags(msgspec.Struct):
    models: list[Tag] | None = None


class Running(msgspec.Struct):
    models: list[Loaded] | None = None


def read(value: object, shape: type[T]) -> T:
    """JSON as one of the shapes above. Raises ``ConnectionFailed`` (cause "protocol") when it is not one."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise ConnectionFailed(
            f"the answer is not what Ollama says at this route: {error}",
            remedy="fireside doctor",
            retryable=False,
            cause="protocol",
        ) from error


def is_cloud(model: str) -> bool:
    """Whether a name means "run this at ollama.com", through whatever server is asked."""
    return model.strip().lower().removesuffix(":latest").endswith(("-cloud", ":cloud"))


def read_version(text: str) -> tuple[int, ...]:
    """``0.33.1-rc2`` as (0, 33, 1); empty when there are no numbers, as in a version somebody built."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def read_parameters(text: str) -> int:
    """``7.6B`` as 7_600_000_000; 0 when unknown."""
    match = re.fullmatch(r"([\d.]+)([KMBT])", text.strip().upper())
    return int(float(match[1]) * SCALES[match[2]]) if match else 0


def write(body: msgspec.Struct) -> Json:
    """A body as plain data, without the fields that have their default."""
    data = msgspec.to_builtins(body)
    assert isinstance(data, dict)
    return data


def write_chat(
    request: ChatRequest,
    model: str,
    *,
    options: Json,
    keep_alive: str | float | None = None,
    think: Think | None = None,
    answer_format: Format | None = None,
) -> Json:
    """A body for ``/api/chat`` that asks the server to refuse what does not fit instead of dropping a part of it."""
    offered = request.tools if request.tool_choice != "none" else ()
    body = ChatBody(
        model=model,
        messages=write_messages(request.messages),
        tools=[write_tool(tool) for tool in offered] or None,
        format=answer_format or write_format(request.response_format),
        options=options,
        keep_alive=keep_alive,
        think=think,
        truncate=False,
        shift=False,
        logprobs=request.sampling.logprobs is not None,
        top_logprobs=request.sampling.logprobs or 0,
    )
    return write(body)


def write_generate(
    model: str,
    prompt: str,
    *,
    options: Json,
    keep_alive: str | float | None = None,
    logprobs: int | None = None,
) -> Json:
    """A body for ``/api/generate`` with a prompt that is already in the model's own form. ``logprobs``: as in ``Sampling``."""
    body = GenerateBody(
        model=model,
        prompt=prompt,
        raw=True,
        options=options,
        keep_alive=keep_alive,
        truncate=False,
        shift=False,
        logprobs=logprobs is not None,
        top_logprobs=logprobs or 0,
    )
    return write(body)


def write_embed(model: str, texts: Sequence[str], *, num_ctx: int, keep_alive: str | float | None = None) -> Json:
    """A body for ``/api/embed`` that has a text refused, not cut, when it is too long."""
    options: Json = {"num_ctx": num_ctx}
    return write(EmbedBody(model=model, input=list(texts), truncate=False, keep_alive=keep_alive, options=options))


def write_options(sampling: Sampling, *, num_ctx: int, max_tokens: int | None = None) -> Json:
    """The ``options`` object; what is ``None`` stays out, so that the model's own Modelfile decides."""
    options: Json = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repeat_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "seed": sampling.seed,
        "num_predict": sampling.max_tokens if sampling.max_tokens is not None else max_tokens,
        "stop": list(sampling.stop) or None,
        "num_ctx": num_ctx,
    }
    return {name: value for name, value in options.items() if value is not None}


def write_think(reasoning: Reasoning | None) -> Think:
    """Off unless asked for: Ollama reads a missing ``think`` as "yes" for every model that can."""
    return False if reasoning in (None, "off") else str(reasoning)


def write_format(response_format: ResponseFormat | None) -> Format | None:
    if response_format is None:
        return None
    return dict(response_format.schema) if response_format.schema is not None else "json"


def write_tool(tool: ToolSpec) -> Json:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def write_messages(messages: Sequence[Message]) -> list[ChatMessage]:
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    return [_write_message(message, names) for message in messages]


def _write_message(message: Message, names: Mapping[str, str]) -> ChatMessage:
    calls = [Call(Function(call.name, arguments_object(call.arguments)), call.id) for call in message.tool_calls]
    return ChatMessage(
        role=message.role,
        content=message.content,
        images=[base64.b64encode(image).decode() for image in message.images] or None,
        tool_calls=calls or None,
        tool_name=names.get(message.tool_call_id or ""),
        tool_call_id=message.tool_call_id,
    )


def arguments_object(text: str) -> Json:
    """What a model wrote as arguments, as the object the wire needs; text that is no object is kept under one key."""
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else {"text": text}


def read_tool_call(call: Call) -> ToolCall:
    """Servers before 0.13 give no id; ours is as unique as theirs."""
    arguments = orjson.dumps(call.function.arguments or {}).decode()
    return ToolCall(call.id or new_id("call_", 8), call.function.name, arguments)


def read_chat_line(line: ChatLine) -> list[Delta]:
    """What one line adds; the last line gives a Delta with the finish reason and the usage."""
    message = line.message or ChatMessage()
    deltas = [
        Delta(text=message.content or "", reasoning=message.thinking or "", logprobs=read_logprobs(line.logprobs))
    ]
    deltas += [Delta(tool_call=read_tool_call(call)) for call in message.tool_calls or ()]
    return [delta for delta in deltas if delta.has_content] + _end(line)


def read_generate_line(line: GenerateLine) -> list[Delta]:
    delta = Delta(text=line.response, reasoning=line.thinking or "", logprobs=read_logprobs(line.logprobs))
    return [delta] * delta.has_content + _end(line)


def read_logprobs(given: Sequence[Likely] | None) -> tuple[Logprob, ...]:
    if not given:
        return ()
    return tuple(
        Logprob(each.token, each.logprob, tuple((other.token, other.logprob) for other in each.top_logprobs or ()))
        for each in given
    )


def read_time(text: str) -> float | None:
    """A time of Go's in seconds since 1970, negative when it is further away than anybody waits; ``None`` when it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.year >= FAR_AWAY:
        return -1.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _end(line: Line) -> list[Delta]:
    if not line.done:
        return []
    reason: FinishReason = "length" if line.done_reason == "length" else "stop"
    return [Delta(finish_reason=reason, usage=read_usage(line))]


def read_usage(line: Line) -> Usage:
    return Usage(
        prompt_tokens=line.prompt_eval_count,
        completion_tokens=line.eval_count,
        load_seconds=_seconds(line.load_duration),
        prompt_seconds=_seconds(line.prompt_eval_duration),
        completion_seconds=_seconds(line.eval_duration),
    )


def _seconds(nanoseconds: int) -> float | None:
    return nanoseconds / NANOSECONDS if nanoseconds else None
