"""A server that keeps the contract of Anthropic's Messages API on loopback, and breaks it on demand.

async with FakeAnthropic("Hello there.") as fake:
    ...  # fake.url
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from aiohttp import web

from fireside.core.messages import ToolCall
from support.fake_http import BODY, FakeHttp, FakeReply, Handler, count, instance_of, is_json, spoken


@dataclass
class FakeAnthropic(FakeHttp):
    """``models``: name -> context window in tokens. ``api_key``: asked of everybody when set. ``cached``: prompt tokens from a cache."""

    models: dict[str, int] = field(default_factory=lambda: {"claude-fake-4-5": 8192})
    api_key: str = ""
    cached: int = 0

    def routes(self) -> Mapping[str, Handler]:
        return {
            "GET /v1/models": self._models,
            "POST /v1/messages": self._messages,
            "POST /v1/messages/count_tokens": self._count,
        }

    async def _models(self, request: web.Request) -> web.StreamResponse:
        self._authorized(request)
        data = [
            {"type": "model", "id": name, "display_name": name, "max_input_tokens": window}
            for name, window in self.models.items()
        ]
        return web.json_response({"data": data, "has_more": False})

    async def _count(self, request: web.Request) -> web.StreamResponse:
        self._authorized(request)
        body = request[BODY]
        self._window(body)
        return web.json_response({"input_tokens": count(_prompt(body)) + 3})

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        self._authorized(request)
        body = request[BODY]
        tokens = self._checked(body)
        reply = _formed(self.choose(_words(body["messages"][-1:])), body)
        pieces, cut = spoken(reply, stops=body.get("stop_sequences", ()), limit=body["max_tokens"])
        calls = list(reply.tool_calls) if body.get("tools") and body["tool_choice"]["type"] != "none" else []
        finish = reply.finish or ("tool_use" if calls else "max_tokens" if cut else "end_turn")
        read, written = reply.usage or (tokens, len(pieces) + len(calls))
        usage = {
            "input_tokens": read - self.cached,
            "cache_read_input_tokens": self.cached,
            "cache_creation_input_tokens": 0,
        }
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": []}
        reasoning = reply.reasoning if "thinking" in body else ""
        reason = None if self.faults.no_finish else finish
        if not body.get("stream"):
            content = _blocks(reasoning, "".join(pieces), calls)
            usage["output_tokens"] = written
            return web.json_response(message | {"content": content, "stop_reason": reason, "usage": usage})
        events = _events(reasoning, pieces, calls)
        start = message | {"stop_reason": None, "usage": usage | {"output_tokens": 1}}
        after = [event("message_delta", {"delta": {"stop_reason": reason}, "usage": {"output_tokens": written}})]
        after += [] if self.faults.no_end else [event("message_stop", {})]
        before = [event("message_start", {"message": start}), event("ping", {})]
        return await self.say(request, events, before=before, after=after)

    def _authorized(self, request: web.Request) -> None:
        if "anthropic-version" not in request.headers:
            raise failed(400, "anthropic-version: header is required", "invalid_request_error")
        if self.api_key and request.headers.get("x-api-key") != self.api_key:
            raise failed(401, "invalid x-api-key", "authentication_error")

    def _window(self, body: Mapping[str, object]) -> int:
        window = self.models.get(str(body["model"]))
        if window is None:
            raise failed(404, f"model: {body['model']}", "not_found_error")
        return window

    def _checked(self, body: Mapping[str, object]) -> int:
        """The prompt's tokens; a 400 for what the real API refuses."""
        window, tokens = self._window(body), count(_prompt(body))
        messages = body.get("messages")
        if not messages or "max_tokens" not in body:
            raise failed(400, "messages: at least one message is required", "invalid_request_error")
        roles = [message["role"] for message in messages]
        if any(one == other for one, other in pairwise(roles)) or "system" in roles:
            raise failed(400, f"messages: roles must alternate, not {roles}", "invalid_request_error")
        texts = [block for message in messages for block in message["content"] if block["type"] == "text"]
        if not all(block["text"].strip() for block in texts) or not all(message["content"] for message in messages):
            raise failed(400, "messages: text content blocks must contain non-whitespace text", "invalid_request_error")
        if tokens > window:
            raise failed(400, f"prompt is too long: {tokens} tokens > {window} maximum", "invalid_request_error")
        return tokens


def failed(status: int, message: str, kind: str) -> web.HTTPException:
    kinds = {400: web.HTTPBadRequest, 401: web.HTTPUnauthorized, 404: web.HTTPNotFound}
    error = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return kinds[status](text=json.dumps(error), content_type="application/json")


def event(kind: str, data: Mapping[str, object]) -> bytes:
    return (
        f"event: {kind}\n".encode()
        + b"data: "
        + json.dumps({"type": kind, **data}, ensure_ascii=False).encode()
        + b"\n\n"
    )


def _events(reasoning: str, pieces: Sequence[str], calls: Sequence[ToolCall]) -> list[bytes]:
    """One event a piece; starts and ends of blocks travel with the piece beside them."""
    blocks = [[{"type": "thinking_delta", "thinking": reasoning}]] if reasoning else []
    kinds: list[dict[str, object]] = [{"type": "thinking", "thinking": ""}] if reasoning else []
    if pieces:
        blocks.append([{"type": "text_delta", "text": piece} for piece in pieces])
        kinds.append({"type": "text", "text": ""})
    for call in calls:
        half = len(call.arguments) // 2
        parts = ("", call.arguments[:half], call.arguments[half:])
        blocks.append([{"type": "input_json_delta", "partial_json": part} for part in parts])
        kinds.append({"type": "tool_use", "id": call.id, "name": call.name, "input": {}})
    events = []
    for index, (kind, deltas) in enumerate(zip(kinds, blocks, strict=True)):
        written = [event("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        written[0] = event("content_block_start", {"index": index, "content_block": kind}) + written[0]
        written[-1] += event("content_block_stop", {"index": index})
        events += written
    return events


def _blocks(reasoning: str, text: str, calls: Sequence[ToolCall]) -> list[dict[str, object]]:
    blocks: list[dict[str, object]] = (
        [{"type": "thinking", "thinking": reasoning, "signature": "s"}] if reasoning else []
    )
    if text:
        blocks.append({"type": "text", "text": text})
    return blocks + [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)} for call in calls
    ]


def _formed(reply: FakeReply, body: Mapping[str, object]) -> FakeReply:
    form = (body.get("output_config") or {}).get("format")
    if form is None or is_json(reply.text):
        return reply
    return FakeReply(json.dumps(instance_of(form["schema"])), finish=reply.finish, usage=reply.usage)


def _prompt(body: Mapping[str, object]) -> str:
    system = "\n".join(block["text"] for block in body.get("system", ()))
    return f"{system}\n{_words(body['messages'])}"


def _words(messages: Sequence[Mapping[str, object]]) -> str:
    return "\n".join(
        str(block.get("text", block.get("content", ""))) for message in messages for block in message["content"]
    )
