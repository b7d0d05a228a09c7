"""Anthropic's Messages JSON: our requests into it, its answers into ours.

Knows what each generation of Claude accepts (thinking by budget before 4.6, by effort since; no sampling parameters since 4.7); nothing
of HTTP. Sources: platform.claude.com, "Messages", "Adaptive thinking", "Structured outputs", "Streaming messages".
"""

import base64
import re
from collections.abc import Mapping, Sequence

import orjson

from fireside.core.errors import ConnectionFailed, Invalid
from fireside.core.messages import Message, ToolCall
from fireside.core.requests import ChatRequest, Delta, FinishReason, Usage
from fireside.wire.faults import typed_error
from fireside.wire.framing import ASK_AGAIN, CHECK, SseEvent
from fireside.wire.openai import PartialCall, media_type

Json = dict[str, object]
MAX_TOKENS = 8192
BUDGETS = {"low": 2048, "medium": 8192, "high": 24576}
GENERATION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:-(\d{1,2}))?(?!\d)")
ADAPTIVE_SINCE = (4, 6)
NO_SAMPLING_SINCE = (4, 7)
ONE_OBJECT = "Answer with one JSON object and nothing else."
# Structured outputs refuse these; what they say is told to the model in the description instead.
UNSUPPORTED = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems",
    "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip
BLANK = "(a blank message)"
CACHE: Json = {"type": "ephemeral"}
FINISHED: Mapping[str, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
}


def write_messages(request: ChatRequest, model: str, *, stream: bool = True, max_tokens: int = MAX_TOKENS) -> Json:
    """The body for ``/v1/messages``. ``max_tokens``: the answer's limit where the request names none (the API needs one)."""
    limit = request.sampling.max_tokens or max_tokens
    body: Json = {"model": model, "max_tokens": limit, **write_prompt(request)}
    thinking = _thinking(request, model, limit)
    if request.response_format is not None and request.response_format.schema is not None:
        form = {"type": "json_schema", "schema": closed_schema(request.response_format.schema)}
        thinking["output_config"] = {**_mapping(thinking.get("output_config")), "format": form}
    return body | _sampling(request, model, thinks="thinking" in thinking) | thinking | {"stream": stream}


def write_prompt(request: ChatRequest) -> Json:
    """What counts as prompt: ``system``, ``messages`` and ``tools``; also the body for ``/v1/messages/count_tokens``."""
    system = [message.content for message in request.messages if message.role == "system" and message.content]
    if request.response_format is not None and request.response_format.schema is None:
        system.append(ONE_OBJECT)
    prompt: Json = {"messages": _turns([message for message in request.messages if message.role != "system"])}
    if system:
        prompt["system"] = [{"type": "text", "text": "\n\n".join(system), "cache_control": CACHE}]
    if request.tools:
        prompt["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
        prompt["tool_choice"] = _tool_choice(request.tool_choice)
    return prompt


def generation(model: str) -> tuple[int, int] | None:
    """A Claude's generation: (4, 7) for ``claude-opus-4-7``; ``None`` for any other model behind this API."""
    found = GENERATION.search(model)
    return (int(found.group(1)), int(found.group(2) or 0)) if found else None


def closed_schema(schema: object, *, names: bool = False) -> object:
    """The schema as structured outputs take it: every object closed, no limits on numbers and lengths. ``names``: keys are not keywords."""
    if isinstance(schema, list | tuple):
        return [closed_schema(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    if names:
        return {name: closed_schema(part) for name, part in schema.items()}
    written = {
        key: closed_schema(part, names=key in ("properties", "$defs", "definitions"))
        if key not in ("enum", "const")
        else part
        for key, part in schema.items()
        if key not in UNSUPPORTED
    }
    return written | {"additionalProperties": False} if written.get("type") == "object" else written


class MessagesReader:
    """The events of one streamed message, as Deltas. Use it once: ``read`` each event, then ``end``."""

    def __init__(self) -> None:
        self.done = False
        self._calls: dict[int, PartialCall] = {}
        self._finish: FinishReason | None = None
        self._usage: Json = {}

    def read(self, event: SseEvent) -> list[Delta]:
        """Raises what an error inside the stream means; ``ConnectionFailed`` (protocol) for an event that is not JSON."""
        try:
            data = orjson.loads(event.data)
        except orjson.JSONDecodeError as error:
            raise _strange("an event that is not JSON") from error
        return self.read_chunk(data, event.event)

    def read_chunk(self, data: object, event: str = "message") -> list[Delta]:
        """One decoded event, or a whole message that was not streamed. ``event``: its type where the data does not say."""
        if not isinstance(data, dict):
            raise _strange("an event of another shape")
        kind = data.get("type", event)
        if kind == "error":
            raise typed_error(data)
        if kind == "message":
            return self._whole(data)
        if kind == "message_start":
            self._count(_mapping(data.get("message")))
        elif kind == "content_block_start":
            return self._block(_index(data), _mapping(data.get("content_block")))
        elif kind == "content_block_delta":
            return self._piece(_index(data), _mapping(data.get("delta")))
        elif kind == "message_delta":
            self._count(data)
            self._stop(_mapping(data.get("delta")).get("stop_reason"))
        self.done = kind == "message_stop"
        return []

    def end(self) -> list[Delta]:
        """The tool calls and the last Delta. Raises ``ConnectionFailed`` (cut) when no stop reason has come."""
        if self._finish is None:
            raise ConnectionFailed(
                "the answer broke off: the server ended it without saying why", remedy=ASK_AGAIN, cause="cut"
            )
        calls = [Delta(tool_call=call.whole()) for _, call in sorted(self._calls.items())]
        finish: FinishReason = "tool_calls" if calls and self._finish == "stop" else self._finish
        return [*calls, Delta(finish_reason=finish, usage=read_usage(self._usage))]

    def _whole(self, data: Mapping[str, object]) -> list[Delta]:
        """A message that was not streamed."""
        deltas: list[Delta] = []
        blocks = data.get("content")
        for index, block in enumerate(blocks if isinstance(blocks, list) else []):
            deltas += self._block(index, _mapping(block))
        self._count(data)
        self._stop(data.get("stop_reason"))
        return deltas

    def _block(self, index: int, block: Mapping[str, object]) -> list[Delta]:
        if block.get("type") == "tool_use":
            given = block.get("input")
            arguments = [orjson.dumps(given).decode()] if given else []
            self._calls[index] = PartialCall(str(block.get("id", "")), str(block.get("name", "")), arguments)
        return self._piece(index, block)

    def _piece(self, index: int, delta: Mapping[str, object]) -> list[Delta]:
        if text := delta.get("text"):
            return [Delta(text=str(text))]
        if thought := delta.get("thinking"):
            return [Delta(reasoning=str(thought))]
        if delta.get("type") == "input_json_delta" and index in self._calls:
            self._calls[index].arguments.append(str(delta.get("partial_json", "")))
        return []

    def _count(self, data: Mapping[str, object]) -> None:
        usage = _mapping(data.get("usage"))
        self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _stop(self, reason: object) -> None:
        if reason == "refusal":
            raise Invalid(
                "the provider refused to go on with this answer", remedy="ask differently, or use another engine"
            )
        if isinstance(reason, str) and reason:
            self._finish = FINISHED.get(reason, "stop")


def read_usage(usage: Mapping[str, object]) -> Usage:
    """Anthropic counts what came from its cache and what went into it apart from ``input_tokens``; here the prompt is their sum."""
    cached = _number(usage.get("cache_read_input_tokens"))
    prompt = _number(usage.get("input_tokens")) + _number(usage.get("cache_creation_input_tokens")) + cached
    return Usage(prompt_tokens=prompt, completion_tokens=_number(usage.get("output_tokens")), cached_tokens=cached)


def _turns(messages: Sequence[Message]) -> list[Json]:
    """User and assistant in turn, as the API wants them; results of tools are what the user says."""
    turns: list[Json] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if turns and turns[-1]["role"] == role:
            previous = turns[-1]["content"]
            assert isinstance(previous, list)
            previous.extend(blocks)
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Message) -> list[Json]:
    """Blank text is refused by the API: it becomes no block, or words where the user must have said something."""
    if message.role == "tool":
        return [
            {
                "type": "tool_result",
                "tool_use_id": message.tool_call_id or "",
                "content": message.content or "(nothing)",
            }
        ]
    blocks: list[Json] = [_image(image) for image in message.images]
    if message.content.strip():
        blocks.append({"type": "text", "text": message.content})
    if not blocks and message.role == "user":
        blocks.append({"type": "text", "text": BLANK})
    return blocks + [_call(call) for call in message.tool_calls]


def _call(call: ToolCall) -> Json:
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    # A call the model once wrote wrongly must not make the rest of the conversation impossible.
    given = arguments if isinstance(arguments, dict) else {"malformed": call.arguments}
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": given}


def _image(image: bytes) -> Json:
    source = {"type": "base64", "media_type": media_type(image), "data": base64.b64encode(image).decode("ascii")}
    return {"type": "image", "source": source}


def _tool_choice(choice: str) -> Json:
    if choice in ("auto", "none", "required"):
        return {"type": {"required": "any"}.get(choice, choice)}
    return {"type": "tool", "name": choice}


def _thinking(request: ChatRequest, model: str, limit: int) -> Json:
    """Thinking as this generation takes it; ``{}`` for none.

    An assistant turn with tool calls would have to begin with the thoughts and signature it had, which are not kept: in the middle of
    tool use a budget is not asked for.
    """
    level = request.reasoning
    if level is None or level == "off":
        return {}
    version = generation(model)
    if version is not None and version >= ADAPTIVE_SINCE:
        return {"thinking": {"type": "adaptive"}, "output_config": {"effort": level}}
    if request.messages[-1].role == "tool" or request.tool_choice not in ("auto", "none"):
        return {}
    budget = BUDGETS[level]
    return {"thinking": {"type": "enabled", "budget_tokens": budget}, "max_tokens": limit + budget}


def _sampling(request: ChatRequest, model: str, *, thinks: bool) -> Json:
    """Newer generations refuse sampling parameters, and all refuse them together with thinking."""
    asked = request.sampling
    written: Json = {"stop_sequences": list(asked.stop)} if asked.stop else {}
    version = generation(model)
    if thinks or (version is not None and version >= NO_SAMPLING_SINCE):
        return written
    if asked.temperature is not None:
        written["temperature"] = min(asked.temperature, 1.0)
    elif asked.top_p is not None:
        # Claude 4 takes one of the two, never both.
        written["top_p"] = asked.top_p
    return written | ({} if asked.top_k is None else {"top_k": asked.top_k})


def _strange(what: str) -> ConnectionFailed:
    return ConnectionFailed(f"the server sent {what}", remedy=CHECK, cause="protocol")


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _index(data: Mapping[str, object]) -> int:
    return _number(data.get("index"))


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
