"""OpenAI's chat, completion and embedding JSON: our requests into it, its answers into ours.

Knows the dialects of the servers that speak it (vLLM, llama.cpp, LM Studio, TGI, OpenRouter ...); nothing of HTTP. The Responses API is
another file's.
"""

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from fireside.core.errors import ConnectionFailed, Invalid
from fireside.core.identity import new_id
from fireside.core.messages import Message, ToolCall
from fireside.core.requests import (
    ChatRequest,
    CompletionRequest,
    Delta,
    FinishReason,
    Logprob,
    ResponseFormat,
    Sampling,
    Usage,
    Vectors,
)
from fireside.wire.faults import typed_error
from fireside.wire.framing import ASK_AGAIN, CHECK, SseEvent
from fireside.wire.plain import read_piece

DONE = "[DONE]"
FINISHED: Mapping[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
}
BROKEN_OFF = ("abort", "error", "cancelled")


def write_chat(request: ChatRequest, model: str, *, stream: bool = True, documented: bool = False) -> dict[str, object]:
    """The body for ``/v1/chat/completions``. ``documented``: only what OpenAI's own service accepts, under its newest names."""
    body: dict[str, object] = {"model": model, "messages": [write_message(message) for message in request.messages]}
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in request.tools
        ]
        if request.tool_choice != "auto":
            body["tool_choice"] = _tool_choice(request.tool_choice)
    if request.response_format is not None:
        body["response_format"] = write_format(request.response_format)
    body |= write_sampling(request.sampling, documented=documented)
    if request.sampling.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": request.sampling.logprobs}
    if request.reasoning is not None:
        body |= _reasoning(request.reasoning, documented=documented)
    return body | _streaming(stream)


def write_completion(
    request: CompletionRequest, model: str, *, prompt: str | None = None, stream: bool = True, documented: bool = False
) -> dict[str, object]:
    """The body for ``/v1/completions``: a ready ``prompt`` with the model's own tokens, or the prefix with ``suffix`` for the server."""
    body: dict[str, object] = {"model": model, "prompt": request.prefix if prompt is None else prompt}
    if prompt is None and request.suffix:
        body["suffix"] = request.suffix
    body |= write_sampling(request.sampling, documented=documented, newest=False)
    body.setdefault("max_tokens", request.max_tokens)
    if request.sampling.logprobs is not None:
        body["logprobs"] = request.sampling.logprobs
    return body | _streaming(stream)


def write_embeddings(texts: Sequence[str], model: str) -> dict[str, object]:
    """The body for ``/v1/embeddings``."""
    return {"model": model, "input": list(texts), "encoding_format": "float"}


def write_message(message: Message) -> dict[str, object]:
    written: dict[str, object] = {"role": message.role, "content": message.content}
    if message.images:
        text = [{"type": "text", "text": message.content}] if message.content else []
        written["content"] = text + [
            {"type": "image_url", "image_url": {"url": data_url(image)}} for image in message.images
        ]
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        written["tool_call_id"] = message.tool_call_id or ""
    return written


def write_sampling(sampling: Sampling, *, documented: bool = False, newest: bool = True) -> dict[str, object]:
    """Sampling under its OpenAI names; what is ``None`` is left out. ``newest``: ``max_completion_tokens`` where documented."""
    names = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": sampling.seed}
    names |= {"frequency_penalty": sampling.frequency_penalty, "presence_penalty": sampling.presence_penalty}
    names["max_completion_tokens" if documented and newest else "max_tokens"] = sampling.max_tokens
    if not documented:
        names |= {"top_k": sampling.top_k, "min_p": sampling.min_p}
        # vLLM, TGI and LM Studio know the first name, llama.cpp the second; each ignores the other.
        names |= {"repetition_penalty": sampling.repeat_penalty, "repeat_penalty": sampling.repeat_penalty}
    written: dict[str, object] = {name: value for name, value in names.items() if value is not None}
    if sampling.stop:
        written["stop"] = list(sampling.stop)
    return written


def write_format(wanted: ResponseFormat) -> dict[str, object]:
    if wanted.schema is None:
        return {"type": "json_object"}
    schema = {"name": wanted.name, "schema": wanted.schema, "strict": is_strict(wanted.schema)}
    return {"type": "json_schema", "json_schema": schema}


def is_strict(schema: object) -> bool:
    """Whether OpenAI accepts a schema as strict: every object closed, every property required."""
    if isinstance(schema, list | tuple):
        return all(is_strict(part) for part in schema)
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        required = schema.get("required", ())
        if schema.get("additionalProperties") is not False or set(properties) != set(required):
            return False
    elif schema.get("type") == "object":
        return False
    return all(is_strict(part) for part in schema.values())


def data_url(image: bytes) -> str:
    return f"data:{media_type(image)};base64,{base64.b64encode(image).decode('ascii')}"


def media_type(image: bytes) -> str:
    """By the first bytes. Raises ``Invalid`` for anything but PNG, JPEG, GIF and WebP."""
    for start, name in ((b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif")):
        if image.startswith(start):
            return f"image/{name}"
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "image/webp"
    raise Invalid("this is not an image a model can see", remedy="use PNG, JPEG, GIF or WebP")


@dataclass(slots=True)
class PartialCall:
    """A tool call still coming in pieces."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def whole(self) -> ToolCall:
        return ToolCall(self.id or new_id("call_", 8), self.name, "".join(self.arguments) or "{}")


class ChatReader:
    """The events of one streamed chat or completion, as Deltas. Use it once: ``read`` each event, then ``end``.

    The last Delta is held back until the stream ends, because the usage comes after the finish reason.
    """

    def __init__(self) -> None:
        self.done = False
        self._calls: list[PartialCall] = []
        self._places: dict[int | str, PartialCall] = {}
        self._finish: FinishReason | None = None
        self._usage: Usage | None = None

    def read(self, event: SseEvent) -> list[Delta]:
        """Raises what an error inside the stream means; ``ConnectionFailed`` (protocol) for an event that is not JSON."""
        data: object
        if event.event == "message" and (text := read_piece(event.data)):
            return [Delta(text=text)]
        if event.data.strip() == DONE:
            self.done = True
            return []
        try:
            data = orjson.loads(event.data)
        except orjson.JSONDecodeError as error:
            if event.event == "error":
                raise typed_error(event.data) from error
            raise _strange("an event that is not JSON") from error
        if event.event == "error":
            raise typed_error(data)
        return self.read_chunk(data)

    def read_chunk(self, data: object) -> list[Delta]:
        """One decoded chunk, or a whole answer that was not streamed."""
        if not isinstance(data, dict):
            raise _strange("an event of another shape")
        if data.get("error") or data.get("object") == "error":
            raise typed_error(data)
        if (usage := read_usage(data)) is not None:
            self._usage = usage
        choice = next((each for each in _list(data.get("choices")) if not each.get("index")), None)
        return self._choice(choice) if choice is not None else []

    def end(self) -> list[Delta]:
        """The tool calls and the last Delta. Raises ``ConnectionFailed`` (cut) when no finish reason has come."""
        if self._finish is None:
            raise ConnectionFailed(
                "the answer broke off: the server ended it without saying why",
                remedy=ASK_AGAIN,
                cause="cut",
            )
        calls = [call.whole() for call in self._calls if call.name]
        finish = "tool_calls" if calls and self._finish == "stop" else self._finish
        return [*(Delta(tool_call=call) for call in calls), Delta(finish_reason=finish, usage=self._usage or Usage())]

    def _choice(self, choice: Mapping[str, object]) -> list[Delta]:
        piece = choice.get("delta") or choice.get("message") or choice
        deltas = []
        if isinstance(piece, Mapping):
            text, reasoning = _texts(piece)
            if reasoning:
                deltas.append(Delta(reasoning=reasoning))
            if text:
                deltas.append(Delta(text=text, logprobs=read_logprobs(choice.get("logprobs"))))
            for call in _list(piece.get("tool_calls")):
                self._tool_call(call)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish = _finish(reason)
        return deltas

    def _tool_call(self, piece: Mapping[str, object]) -> None:
        call = self._place_of(piece)
        call.id = call.id or str(piece.get("id") or "")
        function = piece.get("function")
        if not isinstance(function, Mapping):
            return
        name = function.get("name")
        # Some servers repeat the whole name with every piece.
        if isinstance(name, str) and name != call.name:
            call.name += name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            call.arguments.append(arguments)
        elif arguments is not None:
            call.arguments.append(orjson.dumps(arguments).decode())

    def _place_of(self, piece: Mapping[str, object]) -> PartialCall:
        """The call a piece belongs to: by index; where none is given, a new id begins a new call."""
        index, name = piece.get("index"), piece.get("id")
        key = index if isinstance(index, int) else name if isinstance(name, str) and name else None
        if key is None:
            key = next(reversed(self._places), 0)
        if key not in self._places:
            self._places[key] = PartialCall()
            self._calls.append(self._places[key])
        return self._places[key]


def read_answer(data: object) -> list[Delta]:
    """A whole answer that was not streamed, as the Deltas a stream would have given."""
    reader = ChatReader()
    return [*reader.read_chunk(data), *reader.end()]


def read_usage(data: Mapping[str, object]) -> Usage | None:
    """Usage, with llama.cpp's ``timings`` where they are given; ``None`` when the chunk has none."""
    usage, timings = data.get("usage"), data.get("timings")
    if not isinstance(usage, Mapping):
        usage = {}
    if not isinstance(timings, Mapping):
        timings = {}
    if not usage and not timings:
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else timings.get("cache_n")
    counted = _number(timings.get("prompt_n")) + _number(timings.get("cache_n"))
    return Usage(
        prompt_tokens=_number(usage.get("prompt_tokens")) or counted,
        completion_tokens=_number(usage.get("completion_tokens")) or _number(timings.get("predicted_n")),
        cached_tokens=_number(cached),
        prompt_seconds=_seconds(timings.get("prompt_ms")),
        completion_seconds=_seconds(timings.get("predicted_ms")),
    )


def read_logprobs(value: object) -> tuple[Logprob, ...]:
    """Chat's form (``content`` with alternatives), or the older one of completions (parallel lists)."""
    if not isinstance(value, Mapping):
        return ()
    if content := _list(value.get("content")):
        return tuple(
            Logprob(*_likely(each), top=tuple(map(_likely, _list(each.get("top_logprobs"))))) for each in content
        )
    tokens, numbers, tops = (value.get(name) or () for name in ("tokens", "token_logprobs", "top_logprobs"))
    if not (isinstance(tokens, list) and isinstance(numbers, list)):
        return ()
    others = tops if isinstance(tops, list) and len(tops) == len(tokens) else [None] * len(tokens)
    return tuple(
        Logprob(str(token), _float(number), _ranked(other))
        for token, number, other in zip(tokens, numbers, others, strict=False)
    )


def _likely(entry: Mapping[str, object]) -> tuple[str, float]:
    return str(entry.get("token", "")), _float(entry.get("logprob"))


def _ranked(other: object) -> tuple[tuple[str, float], ...]:
    if not isinstance(other, Mapping):
        return ()
    return tuple(sorted(((str(token), _float(number)) for token, number in other.items()), key=lambda pair: -pair[1]))


def read_embeddings(data: Mapping[str, object], count: int) -> Vectors:
    """One vector a text, in the order asked. Floats or base64 of little-endian float32. Raises ``ConnectionFailed`` (protocol)."""
    entries = [entry for entry in _list(data.get("data")) if "embedding" in entry]
    if len(entries) != count:
        raise _strange(f"{len(entries)} embeddings for {count} texts")
    entries.sort(key=lambda entry: _number(entry.get("index")))
    return [_vector(entry["embedding"]) for entry in entries]


def _vector(value: object) -> list[float]:
    if isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
            return list(struct.unpack(f"<{len(raw) // 4}f", raw))
        except (ValueError, struct.error) as error:
            raise _strange("an embedding that is neither numbers nor base64") from error
    if isinstance(value, list):
        # llama.cpp gives one vector a token when it does not pool.
        flat = value[0] if len(value) == 1 and isinstance(value[0], list) else value
        if all(isinstance(number, int | float) for number in flat):
            return [float(number) for number in flat]
    raise _strange("an embedding that is not a list of numbers")


def _texts(piece: Mapping[str, object]) -> tuple[str, str]:
    """Text and reasoning of a delta, a message or a completion choice, in all their spellings."""
    content = piece.get("content", piece.get("text"))
    reasoning = piece.get("reasoning_content") or piece.get("reasoning")
    thought = reasoning if isinstance(reasoning, str) else ""
    if isinstance(content, str):
        return content, thought
    parts = _list(content)
    text = "".join(str(part.get("text", "")) for part in parts if part.get("type") == "text")
    for part in parts:
        if part.get("type") == "thinking":
            inner = part.get("thinking")
            thought += inner if isinstance(inner, str) else "".join(str(each.get("text", "")) for each in _list(inner))
    return text, thought


def _finish(reason: str) -> FinishReason:
    if reason == "content_filter":
        raise Invalid(
            "the provider's content filter stopped the answer", remedy="ask differently, or use another engine"
        )
    if reason in BROKEN_OFF:
        raise ConnectionFailed(f"the server broke the answer off ({reason})", remedy=ASK_AGAIN, cause="cut")
    return FINISHED.get(reason, "stop")


def _strange(what: str) -> ConnectionFailed:
    return ConnectionFailed(f"the server sent {what}", remedy=CHECK, cause="protocol")


def _reasoning(level: str, *, documented: bool) -> dict[str, object]:
    if level != "off":
        return {"reasoning_effort": level}
    # vLLM, SGLang and llama.cpp hand this to the chat template; the effort "none" is OpenAI's.
    return {"reasoning_effort": "none"} if documented else {"chat_template_kwargs": {"enable_thinking": False}}


def _tool_choice(choice: str) -> object:
    return choice if choice in ("none", "required") else {"type": "function", "function": {"name": choice}}


def _streaming(stream: bool) -> dict[str, object]:
    return {"stream": True, "stream_options": {"include_usage": True}} if stream else {"stream": False}


def _list(value: object) -> list[Mapping[str, object]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _seconds(milliseconds: object) -> float | None:
    return float(milliseconds) / 1000 if isinstance(milliseconds, int | float) else None
