"""A server that keeps the contract of an OpenAI-compatible API on loopback, and breaks it on demand.

    async with FakeOpenAI("Hello there.") as fake:
        ...  # fake.url + "/v1"

Model list, health and token counting as vLLM has them, the rest as all have it.
"""

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from support.fake_http import BODY, FakeHttp, FakeReply, Handler, count, instance_of, is_json, spoken


@dataclass
class FakeOpenAI(FakeHttp):
    """``models``: name -> context window in tokens. ``api_key``: asked of everybody when set. ``suffix``: whether completions take one.

    ``has_tokenize``, ``has_health``: routes only some servers have. ``base64``: embeddings are sent encoded, whatever was asked.
    ``streams``: False for a server that answers whole whatever was asked. ``constrains``: False for one that passes over a schema.
    """

    models: dict[str, int] = field(default_factory=lambda: {"fake-coder": 8192, "fake-embed": 2048})
    api_key: str = ""
    suffix: bool = True
    has_tokenize: bool = True
    has_health: bool = True
    base64: bool = False
    streams: bool = True
    constrains: bool = True

    def routes(self) -> Mapping[str, Handler]:
        routes: dict[str, Handler] = {
            "GET /v1/models": self._models,
            "POST /v1/chat/completions": self._chat,
            "POST /v1/completions": self._complete,
            "POST /v1/embeddings": self._embed,
        }
        if self.has_health:
            routes["GET /health"] = self._health
        if self.has_tokenize:
            routes["POST /tokenize"] = self._tokenize
        return routes

    async def _health(self, request: web.Request) -> web.StreamResponse:
        return web.Response()

    async def _models(self, request: web.Request) -> web.StreamResponse:
        self._authorized(request)
        entries = [{"id": name, "object": "model", "max_model_len": window} for name, window in self.models.items()]
        return web.json_response({"object": "list", "data": entries})

    async def _tokenize(self, request: web.Request) -> web.StreamResponse:
        body = request[BODY]
        self._window(body)
        text = body["prompt"] if "prompt" in body else _text_of(body["messages"])
        return web.json_response({"count": count(text), "max_model_len": self.models[body["model"]], "tokens": []})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self._authorized(request)
        body = request[BODY]
        if not body.get("messages"):
            raise failed(400, "[] is too short - 'messages'", "invalid_request_error")
        prompt = self._fits(body, _text_of(body["messages"]))
        return await self._answer(request, self.choose(_text_of(body["messages"][-1:])), prompt, chat=True)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self._authorized(request)
        body = request[BODY]
        if body.get("suffix") and not self.suffix:
            raise failed(400, "suffix is not currently supported", "BadRequestError")
        prompt = self._fits(body, body["prompt"] + body.get("suffix", ""))
        return await self._answer(request, self.choose(body["prompt"]), prompt, chat=False)

    async def _answer(self, request: web.Request, reply: FakeReply, prompt: int, *, chat: bool) -> web.StreamResponse:
        body = request[BODY]
        reply = _formed(reply, body) if self.constrains else reply
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        pieces, cut = spoken(reply, stops=body.get("stop", ()), limit=limit)
        calls = list(reply.tool_calls) if body.get("tools") and body.get("tool_choice") != "none" else []
        finish = reply.finish or ("tool_calls" if calls else "length" if cut else "stop")
        read, written = reply.usage or (prompt, len(pieces) + len(calls))
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        thoughts = [reply.reasoning] if reply.reasoning and chat else []
        if not (body.get("stream") and self.streams):
            return self._whole(body, thoughts, pieces, calls, finish, usage, chat=chat)
        events = [_chunk(body, {"reasoning_content": thought}) for thought in thoughts]
        events += [_chunk(body, {"content": piece}) if chat else _text_chunk(body, piece) for piece in pieces]
        events += [_chunk(body, {"tool_calls": [part]}) for part in _call_parts(calls)]
        reason = None if self.faults.no_finish else finish
        after = [_chunk(body, {}, reason) if chat else _text_chunk(body, "", reason)]
        if (body.get("stream_options") or {}).get("include_usage"):
            after.append(event({"id": "chatcmpl-1", "choices": [], "usage": usage}))
        after += [] if self.faults.no_end else [b"data: [DONE]\n\n"]
        before = [_chunk(body, {"role": "assistant", "content": ""})] if chat else []
        return await self.say(request, events, before=before, after=after)

    def _whole(self, body, thoughts, pieces, calls, finish, usage, *, chat):
        text = "".join(pieces)
        message: dict[str, object] = {"role": "assistant", "content": text or None}
        if thoughts:
            message["reasoning_content"] = "".join(thoughts)
        if calls:
            message["tool_calls"] = [_whole_call(call) for call in calls]
        choice = {"index": 0, "message": message} if chat else {"index": 0, "text": text}
        reason = None if self.faults.no_finish else finish
        return web.json_response(
            {"model": body["model"], "choices": [choice | {"finish_reason": reason}], "usage": usage}
        )

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        self._authorized(request)
        body = request[BODY]
        self._window(body)
        vectors = [[float(len(text)), float(count(text)), 1.0] for text in body["input"]]
        entries = [
            {"object": "embedding", "index": index, "embedding": _encoded(vector) if self.base64 else vector}
            for index, vector in enumerate(vectors)
        ]
        return web.json_response({"object": "list", "model": body["model"], "data": entries[::-1]})

    def _authorized(self, request: web.Request) -> None:
        if self.api_key and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            raise failed(401, "Incorrect API key provided", "invalid_request_error", "invalid_api_key")

    def _window(self, body: Mapping[str, object]) -> int:
        window = self.models.get(str(body["model"]))
        if window is None:
            raise failed(
                404, f"The model `{body['model']}` does not exist.", "invalid_request_error", "model_not_found"
            )
        return window

    def _fits(self, body: Mapping[str, object], text: str) -> int:
        """The prompt's tokens; a 400 when they are more than the window."""
        window, tokens = self._window(body), count(text)
        if tokens > window:
            message = f"This model's maximum context length is {window} tokens. However, you requested {tokens} tokens."
            raise failed(400, message, "invalid_request_error", "context_length_exceeded")
        return tokens


def failed(status: int, message: str, kind: str, code: str | None = None) -> web.HTTPException:
    kinds = {400: web.HTTPBadRequest, 401: web.HTTPUnauthorized, 404: web.HTTPNotFound}
    text = json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})
    return kinds[status](text=text, content_type="application/json")


def event(data: object) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def _chunk(body: Mapping[str, object], delta: object, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": body["model"], "choices": [choice]})


def _text_chunk(body: Mapping[str, object], text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": finish}
    return event({"id": "cmpl-1", "object": "text_completion", "model": body["model"], "choices": [choice]})


def _formed(reply: FakeReply, body: Mapping[str, object]) -> FakeReply:
    """The reply as constrained decoding would give it: made to fit a JSON schema if it does not."""
    form = body.get("response_format")
    if not isinstance(form, Mapping) or is_json(reply.text):
        return reply
    schema = (form.get("json_schema") or {}).get("schema")
    return FakeReply(json.dumps(instance_of(schema)), finish=reply.finish, usage=reply.usage)


def _call_parts(calls: Sequence[object]) -> list[dict[str, object]]:
    """Each call in three pieces: its name, and its arguments in two halves."""
    parts: list[dict[str, object]] = []
    for index, call in enumerate(calls):
        half = len(call.arguments) // 2
        parts.append(
            {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        )
        parts += [
            {"index": index, "function": {"arguments": text}} for text in (call.arguments[:half], call.arguments[half:])
        ]
    return parts


def _whole_call(call) -> dict[str, object]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _text_of(messages: Sequence[Mapping[str, object]]) -> str:
    texts = []
    for message in messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content or ""}]
        texts += [str(part.get("text", "")) for part in parts]
    return "\n".join(texts)


def _encoded(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
