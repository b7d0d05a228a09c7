"""Our answers as Anthropic's Messages JSON: the events of a stream, the whole message, errors, counts and models.

Knows nothing of HTTP. Sources: platform.claude.com, "Streaming messages", "Errors", "List models", and what the SDK parses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import orjson

from fireside.core.errors import ContextTooLong, FiresideError
from fireside.core.identity import new_id
from fireside.core.messages import ToolCall
from fireside.core.requests import Delta, FinishReason, Usage
from fireside.wire.answers import status_of
from fireside.wire.anthropic_requests import MessagesAsked

Kind = Literal["", "text", "thinking"]
# What was superseded is neither finished nor cut by a limit; "pause_turn" is the API's word for a turn that was left where it was.
STOP_REASONS: Mapping[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "cancelled": "pause_turn",
}
ERROR_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# Thoughts are signed so that Anthropic can tell its own. Ours need no proof, and are passed over when they come back; but the SDK's model
# of a thinking block requires the field, and Claude Code drops thoughts, sometimes the turn with them, whose signature is empty.
SIGNATURE = "ZmlyZXNpZGU="
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
STOPPED = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
DELTA_TAIL = b"}}\n\n"
STARTS: Mapping[Kind, bytes] = {
    "text": b'{"type":"text","text":""}',
    "thinking": b'{"type":"thinking","thinking":"","signature":""}',
}
PIECES: Mapping[Kind, bytes] = {
    "text": b'"type":"text_delta","text":',
    "thinking": b'"type":"thinking_delta","thinking":',
}
PAGE = 1000


class MessagesAnswer:
    """One answer to ``/v1/messages``; see ``wire.answers.Answer``."""

    media_type = "text/event-stream"

    def __init__(self, asked: MessagesAsked) -> None:
        self._asked = asked
        self._id = new_id("msg_")
        self._index = -1
        self._open: Kind = ""
        self._head = b""
        self._called = False
        self._usage = Usage()

    def begin(self) -> bytes:
        """The tokens of the prompt are not known yet: the last event tells them, and the SDK takes them from there."""
        message = self._message([], None, Usage())
        return b"event: message_start\ndata: " + orjson.dumps({"type": "message_start", "message": message}) + b"\n\n"

    def write(self, deltas: Sequence[Delta]) -> bytes:
        out: list[bytes] = []
        for delta in deltas:
            if delta.reasoning and self._asked.shows_thinking:
                if self._open != "thinking":
                    self._turn_to("thinking", out)
                out += (self._head, orjson.dumps(delta.reasoning), DELTA_TAIL)
            if delta.text:
                if self._open != "text":
                    self._turn_to("text", out)
                out += (self._head, orjson.dumps(delta.text), DELTA_TAIL)
            if delta.tool_call is not None:
                self._call(delta.tool_call, out)
            if delta.usage is not None:
                self._usage = delta.usage
            if delta.finish_reason is not None:
                self._finish(delta.finish_reason, out)
        return b"".join(out)

    def fail(self, error: FiresideError) -> bytes:
        return b"event: error\ndata: " + write_error(error, status_of(error)) + b"\n\n"

    def wait(self, note: str) -> bytes:
        """A ping, which every client knows; ``note`` stands before it as a comment."""
        comment = " ".join(note.split())
        return (f": {comment}\n".encode() if comment else b"") + PING

    def whole(self, deltas: Sequence[Delta]) -> bytes:
        blocks: list[dict[str, object]] = []
        pieces: list[str] = []
        finish: FinishReason | None = None
        for delta in deltas:
            if delta.reasoning and self._asked.shows_thinking:
                _append(blocks, pieces, "thinking", delta.reasoning)
            if delta.text:
                _append(blocks, pieces, "text", delta.text)
            if delta.tool_call is not None:
                self._called = True
                _close(blocks, pieces)
                blocks.append(_tool_use(delta.tool_call) | {"input": orjson.loads(_arguments(delta.tool_call))})
            self._usage = delta.usage or self._usage
            finish = delta.finish_reason or finish
        _close(blocks, pieces)
        return orjson.dumps(self._message(blocks, finish, self._usage))

    def _message(self, blocks: list[dict[str, object]], finish: FinishReason | None, usage: Usage) -> dict[str, object]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._asked.model,
            "content": blocks,
            "stop_reason": None if finish is None else self._stop_reason(finish),
            "stop_sequence": None,
            "usage": write_usage(usage),
        }

    def _stop_reason(self, finish: FinishReason) -> str:
        return "tool_use" if self._called and finish == "stop" else STOP_REASONS[finish]

    def _turn_to(self, kind: Kind, out: list[bytes]) -> None:
        """Close the block that is open and open the next, whose pieces all have the same head."""
        self._close(out)
        self._index += 1
        self._open = kind
        place = b"%d" % self._index
        out += (_start(place), STARTS[kind], b"}\n\n")
        self._head = _delta(place) + PIECES[kind]

    def _close(self, out: list[bytes]) -> None:
        if not self._open:
            return
        place = b"%d" % self._index
        if self._open == "thinking":
            out += (_delta(place), b'"type":"signature_delta","signature":"', SIGNATURE.encode(), b'"', DELTA_TAIL)
        out.append(_stop(place))
        self._open = ""

    def _call(self, call: ToolCall, out: list[bytes]) -> None:
        self._close(out)
        self._index += 1
        self._called = True
        place = b"%d" % self._index
        out += (_start(place), orjson.dumps(_tool_use(call)), b"}\n\n")
        pieces = (b'"type":"input_json_delta","partial_json":', orjson.dumps(_arguments(call)))
        out += (_delta(place), *pieces, DELTA_TAIL, _stop(place))

    def _finish(self, finish: FinishReason, out: list[bytes]) -> None:
        self._close(out)
        delta = {"stop_reason": self._stop_reason(finish), "stop_sequence": None}
        event = {"type": "message_delta", "delta": delta, "usage": write_usage(self._usage)}
        out += (b"event: message_delta\ndata: ", orjson.dumps(event), b"\n\n", STOPPED)


def write_usage(usage: Usage) -> dict[str, int]:
    """Anthropic counts what came from the cache apart; our prompt tokens hold it."""
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    return {
        "input_tokens": usage.prompt_tokens - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.completion_tokens,
    }


def write_error(error: FiresideError, status: int, *, request_id: str | None = None) -> bytes:
    """``status``: the HTTP status it goes out with, which decides the type."""
    kind = ERROR_TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    told = {"type": kind, "message": _words(error)}
    return orjson.dumps({"type": "error", "error": told, "request_id": request_id})


def write_count(tokens: int) -> bytes:
    """The answer to ``/v1/messages/count_tokens``."""
    return orjson.dumps({"input_tokens": tokens})


@dataclass(frozen=True, slots=True)
class ModelListed:
    """A model to list. ``created``: seconds since 1970, 0 if unknown. ``context_window``: in tokens, 0 if unknown."""

    name: str
    created: float = 0.0
    context_window: int = 0


def write_model(model: ModelListed) -> bytes:
    """The answer to ``GET /v1/models/{id}``."""
    return orjson.dumps(_model(model))


def write_models(models: Sequence[ModelListed], *, after: str = "", before: str = "", limit: int = PAGE) -> bytes:
    """The answer to ``GET /v1/models``: one page of them. ``after``, ``before``: names, as the query has them."""
    names = [model.name for model in models]
    first = names.index(after) + 1 if after in names else 0
    last = names.index(before) if before in names else len(names)
    size = min(max(limit, 1), PAGE)
    backwards = before in names and after not in names
    page = models[max(first, last - size) : last] if backwards else models[first : min(last, first + size)]
    body = {
        "data": [_model(model) for model in page],
        "has_more": len(page) < last - first,
        "first_id": page[0].name if page else None,
        "last_id": page[-1].name if page else None,
    }
    return orjson.dumps(body)


def _model(model: ModelListed) -> dict[str, object]:
    created = datetime.fromtimestamp(model.created, UTC).isoformat(timespec="seconds")
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": created.replace("+00:00", "Z"),
        "lifecycle": "active",
        "max_input_tokens": model.context_window or None,
        "max_tokens": model.context_window or None,
    }


def _words(error: FiresideError) -> str:
    message = error.message
    if isinstance(error, ContextTooLong):
        # Claude Code shortens its conversation by itself when it reads these words.
        asked, window = error.context.get("prompt_tokens"), error.context.get("context_window")
        counts = f"{asked} tokens > {window} maximum" if asked and window else message
        message = f"prompt is too long: {counts}"
    return f"{message}; {error.remedy}" if error.remedy else message


def _start(place: bytes) -> bytes:
    return b'event: content_block_start\ndata: {"type":"content_block_start","index":%b,"content_block":' % place


def _delta(place: bytes) -> bytes:
    return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%b,"delta":{' % place


def _stop(place: bytes) -> bytes:
    return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%b}\n\n' % place


def _append(blocks: list[dict[str, object]], pieces: list[str], kind: Kind, piece: str) -> None:
    """Add a piece to the block of its kind that is being written, or begin one; ``_close`` puts the pieces into it."""
    if not pieces or blocks[-1]["type"] != kind:
        _close(blocks, pieces)
        blocks.append(
            {"type": "text", "text": ""} if kind == "text" else {"type": kind, kind: "", "signature": SIGNATURE}
        )
    pieces.append(piece)


def _close(blocks: list[dict[str, object]], pieces: list[str]) -> None:
    if pieces:
        blocks[-1][str(blocks[-1]["type"])] = "".join(pieces)
        pieces.clear()


def _tool_use(call: ToolCall) -> dict[str, object]:
    return {"type": "tool_use", "id": call.id or new_id("toolu_"), "name": call.name, "input": {}}


def _arguments(call: ToolCall) -> str:
    """The arguments as the model wrote them if they are an object; clients break off at anything else."""
    try:
        if isinstance(orjson.loads(call.arguments or "{}"), dict):
            return call.arguments or "{}"
    except orjson.JSONDecodeError:
        pass
    return orjson.dumps({"malformed": call.arguments}).decode()
