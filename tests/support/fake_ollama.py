"""A server that keeps Ollama's contract on loopback, and breaks it on demand.

    async with FakeOllama(["Hello there."]) as fake:
        ...  # fake.url

Behaviour is that of the 0.33 line as written down in reference/ollama.md. ``fake.faults`` may be changed at any time; whatever waits,
waits for an event or for the client to go away, never for time to pass.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import TracebackType

from aiohttp import web

PIECE = re.compile(r"\s*\S+|\s+")
TOKEN = re.compile(r"[^\W\d_]+|\d|_|[^\w\s]")
EVERYTHING = ("completion", "tools", "insert", "vision", "thinking")
LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
BODY = web.RequestKey("body", dict)
THINK = (None, True, False, "low", "medium", "high", "max")


@dataclass
class FakeModel:
    """An installed model. Without "embedding" it answers 501 at /api/embed, without "completion" 400 at /api/chat."""

    name: str = "qwen2.5-coder:7b"
    capabilities: Sequence[str] = EVERYTHING
    architecture: str = "qwen2"
    context_length: int = 32768
    size: int = 4_700_000_000
    parameter_size: str = "7.6B"
    quantization: str = "Q4_K_M"
    remote_host: str = ""
    template: str = "{{ .Prompt }}"

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.name.encode()).hexdigest()


EMBEDDER = FakeModel("nomic-embed-text:latest", ("embedding",), "nomic-bert", 2048, 274_000_000, "137M", "F16")


@dataclass
class FakeReply:
    """``pieces``: the text as it is to be cut (else at blanks). ``tool_calls``: (name, arguments) pairs.

    ``when``: a regular expression the last message (or the raw prompt) must hold for this reply to be used. ``done_reason`` and ``usage``
    (prompt tokens, answer tokens) in place of the true ones.
    """

    text: str = ""
    pieces: Sequence[str] | None = None
    thinking: str = ""
    tool_calls: Sequence[tuple[str, Mapping[str, object]]] = ()
    when: str = ""
    done_reason: str | None = None
    usage: tuple[int, int] | None = None


@dataclass
class Faults:
    """What goes wrong. ``..._after``: counted in pieces of the answer.

    ``busy``: how many POSTs get a 503. ``error``: (status, text) in place of an answer, with ``error_headers``. ``reset``: the
    connection is dropped before an answer. ``error_line_after``: an error line in a stream that began well. ``broken_after``: a line that
    is no JSON. ``cut_after``: the connection is dropped. ``end_after``: the stream ends in good order, but without "done".
    ``hold_after``: silence until ``gate`` is set (None: until the client leaves). ``hold_load``: the head waits for this event.
    ``truncate_to``: only so many prompt tokens are read, silently, whatever was asked. ``context_limit``: a num_ctx above it is not
    followed. ``nested``: over-long prompts are refused with JSON inside JSON. ``forbidden``: 403 with no body, to everybody.
    ``host_check``: the same to who names a Host that is not loopback. ``html``: a web page at every route. ``split``: bytes per write.
    ``vram``: the share of a model in GPU memory. ``clock_skew``: seconds the server's clock is ahead.
    """

    busy: int = 0
    error: tuple[int, str] | None = None
    error_headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False
    error_line_after: int | None = None
    error_line: str = "an error was encountered while running the model: CUDA error"
    broken_after: int | None = None
    cut_after: int | None = None
    end_after: int | None = None
    hold_after: int | None = None
    gate: asyncio.Event | None = None
    hold_load: asyncio.Event | None = None
    truncate_to: int | None = None
    context_limit: int = 1 << 30
    nested: bool = False
    forbidden: bool = False
    host_check: bool = False
    html: bool = False
    split: int = 0
    vram: float = 1.0
    clock_skew: float = 0.0


@dataclass
class Seen:
    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, object]


@dataclass
class FakeOllama:
    """``requests``: what was asked. ``aborted``: set when a client left before its answer was complete. ``waiting``: set when a request
    has come to one of the faults that hold it. ``loaded``: model name -> context length in force. ``pullable``: what can be pulled."""

    replies: Sequence[FakeReply | str] = ("Hello from a fake.",)
    models: list[FakeModel] = field(default_factory=lambda: [FakeModel(), EMBEDDER])
    faults: Faults = field(default_factory=Faults)
    version: str = "0.33.1"
    prefix: str = ""
    pullable: Sequence[str] = ()
    url: str = ""
    requests: list[Seen] = field(default_factory=list)
    loaded: dict[str, int] = field(default_factory=dict)
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    _used: set[int] = field(default_factory=set)

    async def __aenter__(self) -> "FakeOllama":
        app = web.Application(middlewares=[self._watch], client_max_size=64 << 20)
        routes = {
            "/": ("GET", self._root),
            "/api/version": ("GET", self._version),
            "/api/tags": ("GET", self._tags),
            "/api/ps": ("GET", self._ps),
            "/api/show": ("POST", self._show),
            "/api/chat": ("POST", self._chat),
            "/api/generate": ("POST", self._generate),
            "/api/embed": ("POST", self._embed),
            "/api/pull": ("POST", self._pull),
        }
        for path, (method, handler) in routes.items():
            app.router.add_route(method, self.prefix + path, handler)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{self.prefix}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def asked(self, path: str) -> list[dict[str, object]]:
        """The bodies sent to one route, in order."""
        return [seen.body for seen in self.requests if seen.path == path]

    def rehearse(self, *replies: FakeReply | str) -> None:
        """Say this from now on."""
        self.replies, self._used = replies, set()

    def model(self, name: str) -> FakeModel:
        """By exact name, or with the ``:latest`` that may be left out. A 404 when it is not installed."""
        for model in self.models:
            if name in (model.name, model.name.removesuffix(":latest")):
                return model
        raise _error(404, f"model '{name}' not found")

    @web.middleware
    async def _watch(self, request: web.Request, handler: object) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        request[BODY] = body
        self.requests.append(Seen(request.method, request.path.removeprefix(self.prefix), request.headers.copy(), body))
        self.running += 1
        try:
            if refused := self._refusal(request):
                return refused
            answer: web.StreamResponse = await handler(request)  # type: ignore[operator]
            return answer
        except (asyncio.CancelledError, ConnectionError):
            self.aborted.set()
            raise
        finally:
            self.running -= 1

    def _refusal(self, request: web.Request) -> web.Response | None:
        faults = self.faults
        if faults.forbidden or (faults.host_check and not LOOPBACK.fullmatch(request.headers.get("Host", ""))):
            return web.Response(status=403)
        if "Origin" in request.headers:
            return web.Response(status=403)
        if faults.html:
            return web.Response(text="<!doctype html><html><body>Welcome</body></html>", content_type="text/html")
        if request.method == "POST" and faults.busy:
            faults.busy -= 1
            raise _error(503, "server busy, please try again.  maximum pending requests exceeded")
        if request.method == "POST" and faults.error is not None:
            status, text = faults.error
            return web.json_response({"error": text}, status=status, headers=faults.error_headers)
        if request.method == "POST" and faults.reset:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return None

    def _now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.faults.clock_skew)

    def _json(self, value: object) -> web.Response:
        return web.json_response(value, headers={"Date": format_datetime(self._now(), usegmt=True)})

    async def _root(self, request: web.Request) -> web.Response:
        return web.Response(text="Ollama is running")

    async def _version(self, request: web.Request) -> web.Response:
        return self._json({"version": self.version})

    async def _tags(self, request: web.Request) -> web.Response:
        return self._json({"models": [_entry(model) for model in self.models]})

    async def _ps(self, request: web.Request) -> web.Response:
        expires = (self._now() + timedelta(minutes=5)).isoformat()
        entries = []
        for name, context in self.loaded.items():
            model = self.model(name)
            vram = int(model.size * self.faults.vram)
            entries.append(_entry(model) | {"size_vram": vram, "context_length": context, "expires_at": expires})
        return self._json({"models": entries})

    async def _show(self, request: web.Request) -> web.Response:
        model = self.model(request[BODY].get("model") or request[BODY].get("name"))
        arch = model.architecture
        info = {"general.architecture": arch, f"{arch}.context_length": model.context_length}
        answer = {"details": _entry(model)["details"], "model_info": info, "capabilities": list(model.capabilities)}
        return self._json(answer | {"template": model.template, "modified_at": "2026-08-01T00:00:00Z"})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = request[BODY]
        model = self._capable(body, "completion", "chat")
        messages = body.get("messages")
        if not messages:
            return await self._load_only(body, model, {"message": {"role": "assistant", "content": ""}})
        if body.get("tools"):
            self._capable(body, "tools", "tools")
        prompt = "\n".join(message.get("content", "") for message in messages)
        return await self._answer(request, model, prompt, messages[-1].get("content", ""), chat=True)

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = request[BODY]
        model = self._capable(body, "completion", "generate")
        if body.get("suffix"):
            self._capable(body, "insert", "insert")
        prompt = body.get("prompt", "")
        if not prompt:
            return await self._load_only(body, model, {"response": ""})
        return await self._answer(request, model, prompt, prompt, chat=False)

    def _capable(self, body: dict[str, object], capability: str, word: str) -> FakeModel:
        model = self.model(str(body.get("model", "")))
        if capability not in model.capabilities:
            raise _error(400, f'"registry.ollama.ai/library/{model.name}" does not support {word}')
        think = body.get("think")
        if think not in THINK:
            raise _error(
                400, f'invalid think value: "{think}" (must be "high", "medium", "low", "max", true, or false)'
            )
        if think and "thinking" not in model.capabilities:
            raise _error(400, f'"{model.name}" does not support thinking')
        return model

    async def _load_only(self, body: dict[str, object], model: FakeModel, extra: dict[str, object]) -> web.Response:
        unload = body.get("keep_alive") in (0, "0", "0s")
        if unload:
            self.loaded.pop(model.name, None)
        else:
            await self._load(body, model)
        line = {"model": body["model"], "done": True, "done_reason": "unload" if unload else "load"}
        return self._json(line | extra | {"created_at": self._now().isoformat()})

    async def _load(self, body: dict[str, object], model: FakeModel) -> int:
        """Headers are sent only after this. Returns the context length in force, in tokens."""
        if self.faults.hold_load is not None:
            await self._hold(self.faults.hold_load)
        options = body.get("options") or {}
        asked = int(options.get("num_ctx", 4096))  # type: ignore[attr-defined]
        self.loaded[model.name] = min(asked, model.context_length, self.faults.context_limit)
        return self.loaded[model.name]

    async def _hold(self, event: asyncio.Event) -> None:
        self.waiting.set()
        await event.wait()

    async def _answer(
        self, request: web.Request, model: FakeModel, prompt: str, last: str, *, chat: bool
    ) -> web.StreamResponse:
        body = request[BODY]
        context = await self._load(body, model)
        tokens = self._prompt_tokens(body, prompt, context)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        sent = 0
        async for line in self._lines(body, model, last, tokens, chat=chat):
            if await self._broken(request, response, sent):
                return response
            await self._write(response, {"model": body["model"], "created_at": self._now().isoformat()} | line)
            sent += 1
        return response

    def _prompt_tokens(self, body: dict[str, object], prompt: str, context: int) -> int:
        tokens = len(TOKEN.findall(prompt))
        if self.faults.truncate_to is not None:
            return min(tokens, self.faults.truncate_to)
        if tokens <= context:
            return tokens
        if self.faults.nested:
            inner = {"code": 400, "message": "the request exceeds the available context size"}
            inner |= {"type": "exceed_context_size_error", "n_prompt_tokens": tokens, "n_ctx": context}
            raise _error(400, json.dumps({"error": inner}))
        if body.get("truncate") is False:
            raise _error(400, "the input length exceeds the context length")
        return context // 2

    async def _broken(self, request: web.Request, response: web.StreamResponse, sent: int) -> bool:
        """Whether a fault ends the stream before its next line."""
        faults = self.faults
        if sent == faults.hold_after:
            await self._hold(faults.gate or asyncio.Event())
        if sent == faults.error_line_after:
            await self._write(response, {"error": faults.error_line})
            return True
        if sent == faults.broken_after:
            await response.write(b"this is no JSON\n")
            return True
        if sent == faults.cut_after:
            assert request.transport is not None
            request.transport.abort()
            return True
        return sent == faults.end_after

    async def _write(self, response: web.StreamResponse, line: Mapping[str, object]) -> None:
        data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        step = self.faults.split or len(data)
        for start in range(0, len(data), step):
            await response.write(data[start : start + step])

    async def _lines(
        self, body: dict[str, object], model: FakeModel, last: str, tokens: int, *, chat: bool
    ) -> AsyncIterator[dict[str, object]]:
        reply = self._choose(last)
        options: Mapping[str, object] = body.get("options") or {}  # type: ignore[assignment]
        text = "".join(reply.pieces) if reply.pieces is not None else reply.text
        if body.get("format") and not _is_json(text):
            text = json.dumps(instance_of(body["format"]))
        for stop in options.get("stop", ()):  # type: ignore[attr-defined]
            text = text.split(stop)[0]
        whole = reply.pieces is not None and text == "".join(reply.pieces)
        pieces = list(reply.pieces or ()) if whole else PIECE.findall(text)
        limit = int(options.get("num_predict", -1))  # type: ignore[call-overload]
        kept = pieces if limit < 0 else pieces[:limit]
        thinks = "thinking" in model.capabilities and body.get("think") is not False
        for piece in PIECE.findall(reply.thinking) if thinks else ():
            yield _piece(chat, thinking=piece) | {"done": False}
        for piece in kept:
            yield _piece(chat, piece) | {"done": False}
        if reply.tool_calls and body.get("tools"):
            yield {"message": {"role": "assistant", "content": "", "tool_calls": _calls(reply)}, "done": False}
        read, written = reply.usage or (tokens, len(kept))
        reason = reply.done_reason or ("length" if len(kept) < len(pieces) else "stop")
        yield _piece(chat) | _last(read, written, reason)

    def _choose(self, asked: str) -> FakeReply:
        """The first unused reply whose ``when`` fits; the last one that fits is said again for ever."""
        replies = [reply if isinstance(reply, FakeReply) else FakeReply(reply) for reply in self.replies]
        fitting = [index for index, reply in enumerate(replies) if re.search(reply.when, asked)]
        unused = [index for index in fitting if index not in self._used]
        chosen = unused[0] if unused else fitting[-1]
        self._used.add(chosen)
        return replies[chosen]

    async def _embed(self, request: web.Request) -> web.Response:
        body = request[BODY]
        model = self.model(body["model"])
        if "embedding" not in model.capabilities:
            raise _error(501, "This server does not support embeddings. Start it with `--embeddings`")
        await self._load(body, model)
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        tokens = [len(TOKEN.findall(text)) for text in texts]
        if body.get("truncate") is False and max(tokens, default=0) > model.context_length:
            raise _error(400, "the input length exceeds the context length")
        vectors = [[float(len(text)), float(count), 1.0] for text, count in zip(texts, tokens, strict=True)]
        return self._json({"model": model.name, "embeddings": vectors, "prompt_eval_count": sum(tokens)})

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        name = request[BODY]["model"]
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await self._write(response, {"status": "pulling manifest"})
        if name not in self.pullable:
            await self._write(response, {"error": "pull model manifest: file does not exist"})
            return response
        for done in (0, 50, 100):
            layer = {"status": "pulling 60e05f210007", "digest": "sha256:60e05f210007", "total": 100}
            await self._write(response, layer | ({"completed": done} if done else {}))
        for status in ("verifying sha256 digest", "writing manifest", "success"):
            await self._write(response, {"status": status})
        self.models.append(FakeModel(name))
        return response


def instance_of(schema: object) -> object:
    """Some JSON that fits a schema, as constrained decoding would give. ``"json"`` and anything unknown give an empty object."""
    if not isinstance(schema, Mapping):
        return {}
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return instance_of(options[0])
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    simple = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None}
    if schema.get("type") in simple:
        return simple[schema["type"]]
    if schema.get("type") == "array":
        return [instance_of(schema.get("items"))] * max(1, schema.get("minItems", 0))
    return {name: instance_of(part) for name, part in schema.get("properties", {}).items()}


def _error(status: int, text: str) -> web.HTTPException:
    answer = {
        400: web.HTTPBadRequest,
        404: web.HTTPNotFound,
        501: web.HTTPNotImplemented,
        503: web.HTTPServiceUnavailable,
    }
    kind = answer.get(status, web.HTTPInternalServerError)
    return kind(text=json.dumps({"error": text}), content_type="application/json")


def _entry(model: FakeModel) -> dict[str, object]:
    details = {"format": "gguf", "family": model.architecture, "families": None, "parameter_size": model.parameter_size}
    entry = {
        "name": model.name,
        "model": model.name,
        "size": model.size,
        "digest": model.digest.removeprefix("sha256:"),
    }
    remote = {"remote_host": model.remote_host, "remote_model": model.name} if model.remote_host else {}
    return entry | remote | {"details": details | {"quantization_level": model.quantization}}


def _piece(chat: bool, text: str = "", thinking: str = "") -> dict[str, object]:
    thought = {"thinking": thinking} if thinking else {}
    return {"message": {"role": "assistant", "content": text} | thought} if chat else {"response": text} | thought


def _calls(reply: FakeReply) -> list[dict[str, object]]:
    return [
        {"id": f"call_{index:08d}", "function": {"index": index, "name": name, "arguments": dict(arguments)}}
        for index, (name, arguments) in enumerate(reply.tool_calls)
    ]


def _last(prompt: int, answer: int, reason: str) -> dict[str, object]:
    times = {"total_duration": 3 * 10**8, "load_duration": 10**8, "prompt_eval_duration": 10**8, "eval_duration": 10**8}
    return {"done": True, "done_reason": reason, "prompt_eval_count": prompt, "eval_count": answer, **times}


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
