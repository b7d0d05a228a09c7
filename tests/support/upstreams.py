"""An OpenAI-compatible server on a raw socket that fails in every way such servers do, and what a gateway owes its clients then.

    async with Upstream() as upstream:
        upstream.will(reply(500, b"oops"))
        ...  # upstream.url; upstream.asked; upstream.left is set when a client went away early

Nothing here waits for time to pass: what is silent is silent until the client leaves.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

Mode = Literal["whole", "stream"]
Ending = Literal["end", "close", "reset", "silence"]
BOTH: tuple[Mode, ...] = ("whole", "stream")
PAGE = b"<!doctype html><html><head><title>Bad Gateway</title></head><body>nginx</body></html>"


class Left(Exception):
    """The client has gone."""


@dataclass(slots=True)
class Call:
    """One request, and the connection it came on. ``silent``, ``left``: the upstream's, as they were when it came."""

    body: dict[str, object]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    silent: asyncio.Event
    left: asyncio.Event

    @property
    def mode(self) -> Mode:
        return "stream" if self.body.get("stream") else "whole"

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def end(self, how: Ending) -> None:
        """``end``: the body is complete and the connection serves on; else it is closed, reset, or silent until the client leaves."""
        if how == "end":
            return
        if how == "silence":
            await self.silence()
        if how == "reset":
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.close()
        raise Left

    async def silence(self) -> None:
        """Until the client leaves."""
        self.silent.set()
        with suppress(ConnectionError):
            while await self.reader.read(4096):
                pass
        self.left.set()
        raise Left


Act = Callable[[Call], Awaitable[None]]


class Upstream:
    """``asked``: the bodies. ``silent``: set while an answer is held back. ``left``: set when a client went away meanwhile."""

    def __init__(self, model: str = "coder") -> None:
        self.model = model
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self.will(WELL)

    def will(self, *acts: Act) -> None:
        """Do this from now on: one act for each request, the last one for ever. What was asked so far is forgotten."""
        self._acts, self.asked = acts, list[dict[str, object]]()
        self.silent, self.left = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(Left, ConnectionError, asyncio.IncompleteReadError):
                while True:
                    await self._answer(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, path = head.split(" ")[:2]
        lengths = [line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length:")]
        body = await reader.readexactly(int(lengths[0])) if lengths else b"{}"
        call = Call(json.loads(body), reader, writer, self.silent, self.left)
        if method == "POST" and path == "/v1/chat/completions":
            act = self._acts[min(len(self.asked), len(self._acts) - 1)]
            self.asked.append(call.body)
            await act(call)
        elif path == "/v1/models":
            await reply(200, {"data": [{"id": self.model, "max_model_len": 8192}]})(call)
        else:
            await reply(404, {"detail": "Not Found"})(call)


# What an upstream may do


def reply(
    status: int,
    body: object = b"",
    *,
    kind: str = "",
    length: int | None = None,
    then: Ending = "end",
    **headers: object,
) -> Act:
    """An answer that is not streamed. ``length``: a Content-Length that is wrong."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = kind or ("text/html" if raw.startswith(b"<") else "application/json")
    named = {"Content-Type": kind, "Content-Length": len(raw) if length is None else length}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"HTTP/1.1 {status} So\r\n" + "".join(f"{name}: {value}\r\n" for name, value in named.items())

    async def act(call: Call) -> None:
        await call.send(head.encode() + b"\r\n" + raw)
        await call.end(then)

    return act


def refusal(status: int, words: str = "something is wrong", *, kind: str = "error", **headers: object) -> Act:
    return reply(status, {"error": {"message": words, "type": kind}}, **headers)


def sse(*events: bytes, then: Ending = "end", split: int = 0, kind: str = "text/event-stream") -> Act:
    """A stream, an HTTP chunk for each event. ``split``: bytes in a chunk instead. ``then``: with ``end`` the last chunk of all."""

    async def act(call: Call) -> None:
        named = f"Content-Type: {kind}\r\n" if kind else ""
        await call.send(f"HTTP/1.1 200 OK\r\n{named}Transfer-Encoding: chunked\r\n\r\n".encode())
        for event in events:
            for at in range(0, len(event), split or len(event)):
                piece = event[at : at + (split or len(event))]
                await call.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                if split:
                    await asyncio.sleep(0)
        if then == "end":
            await call.send(b"0\r\n\r\n")
        await call.end(then)

    return act


def by_mode(*, whole: Act, stream: Act) -> Act:
    async def act(call: Call) -> None:
        await (whole if call.mode == "whole" else stream)(call)

    return act


def breaks(how: Ending, sent: bytes = b"") -> Act:
    """These bytes, whatever they are, and then nothing, or worse."""

    async def act(call: Call) -> None:
        await call.send(sent)
        await call.end(how)

    return act


def event(delta: object, finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return data({"id": "c", "object": "chat.completion.chunk", "model": "coder", "choices": [choice], **more})


def data(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


ROLE, HELLO, THERE = (
    event({"role": "assistant", "content": ""}),
    event({"content": "hello"}),
    event({"content": " there"}),
)
FINISH, DONE = event({}, "stop"), b"data: [DONE]\n\n"
USAGE = data({"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
SAID = (ROLE, HELLO, THERE, FINISH, USAGE, DONE)
TEXT = "hello there"
WHOLE: dict[str, object] = {
    "id": "c",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
WELL = by_mode(whole=reply(200, WHOLE), stream=sse(*SAID))
NO_FINISH = {
    "id": "c",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": None}],
}
HALF = json.dumps(WHOLE).encode()[:80]
BROKEN = b'data: {"choices": [{"delta": {"content": "hal\n\n'
OVERLOADED = data({"error": {"message": "the engine died", "type": "server_error"}})
RESET_HEAD = b"HTTP/1.1 200 OK\r\nContent-Ty"
HUGE = "x" * (1 << 20)


# What a gateway owes its clients then


@dataclass(frozen=True, slots=True)
class Fault:
    """Nothing of an answer has come. ``status``: the client's when nobody else can answer. ``moves_on``: whether another is.

    ``silent``: only a time limit ends it.
    """

    name: str
    act: Act
    status: int
    moves_on: bool = True
    modes: tuple[Mode, ...] = BOTH
    silent: bool = False

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def _every_shape(status: int, ours: int, *, moves_on: bool = True) -> list[Fault]:
    """The same status as JSON, as a web page, as plain text and with nothing."""
    shapes = {
        "JSON": refusal(status),
        "a page": reply(status, PAGE),
        "text": reply(status, b"something is wrong", kind="text/plain"),
        "nothing": reply(status, b""),
    }
    return [Fault(f"{status} as {shape}", act, ours, moves_on) for shape, act in shapes.items()]


FAULTS: Sequence[Fault] = (
    Fault("reset before the head", breaks("reset"), 502),
    Fault("closed before the head", breaks("close"), 502),
    Fault("reset in the head", breaks("reset", RESET_HEAD), 502),
    Fault("not HTTP", breaks("close", b"+OK POP3 ready\r\n\r\n"), 502),
    Fault("no answer at all", breaks("silence"), 504, silent=True),
    Fault(
        "silence behind the head",
        by_mode(whole=reply(200, HALF, length=500, then="silence"), stream=sse(then="silence")),
        504,
        silent=True,
    ),
    *_every_shape(400, 400, moves_on=False),
    Fault("401", refusal(401, "Incorrect API key provided"), 403, moves_on=False),
    Fault("403", refusal(403, "not for you"), 403, moves_on=False),
    Fault("404 of a model", refusal(404, "The model `coder` does not exist.", kind="model_not_found"), 404),
    Fault("413", refusal(413, "too large"), 400, moves_on=False),
    Fault("422", refusal(422, "unprocessable"), 400, moves_on=False),
    Fault("too long a prompt", refusal(400, "maximum context length is 10 tokens"), 400, moves_on=False),
    Fault("429", refusal(429, "slow down"), 429),
    Fault("429 with a long Retry-After", refusal(429, "slow down", Retry_After=60), 429),
    *_every_shape(500, 500),
    *_every_shape(502, 502),
    *_every_shape(503, 503),
    Fault("504", refusal(504), 504),
    Fault("529", refusal(529, "overloaded", kind="overloaded_error"), 429),
    Fault("200 with a page", reply(200, PAGE), 502),
    Fault("200 with nothing", reply(200, b""), 502),
    Fault("truncated JSON", reply(200, HALF), 502),
    Fault("reset in the body", reply(200, HALF, length=500, then="reset"), 502),
    Fault("closed in the body", reply(200, HALF, length=500, then="close"), 502),
    Fault("JSON of another shape", reply(200, ["hello"]), 502),
    Fault("an empty object", reply(200, {}), 502),
    Fault("no choices", reply(200, {"choices": []}), 502),
    Fault("no finish reason", reply(200, NO_FINISH), 502, modes=("whole",)),
    Fault("200 with an error inside", reply(200, {"error": {"message": "broken", "type": "server_error"}}), 500),
    Fault("a stream of nothing", sse(), 502, modes=("stream",)),
    Fault("a stream of comments", sse(b": ping\n\n", b": ping\n\n"), 502, modes=("stream",)),
    Fault("only the end mark", sse(DONE), 502, modes=("stream",)),
    Fault("only usage", sse(USAGE, DONE), 502, modes=("stream",)),
    Fault("cut before the first word", sse(ROLE, then="reset"), 502, modes=("stream",)),
    Fault("closed before the first word", sse(ROLE, then="close"), 502, modes=("stream",)),
    Fault("ended before the first word", sse(ROLE), 502, modes=("stream",)),
    Fault(
        "silence before the first word", sse(ROLE, b": ping\n\n", then="silence"), 504, modes=("stream",), silent=True
    ),
    Fault("no JSON before the first word", sse(ROLE, BROKEN), 502, modes=("stream",)),
    Fault("an error before the first word", sse(ROLE, OVERLOADED), 500, modes=("stream",)),
    Fault("a named error before the first word", sse(b"event: error\n" + OVERLOADED), 500, modes=("stream",)),
    Fault(
        "a limit told in the stream",
        sse(data({"error": {"message": "slow down", "type": "rate_limit_error"}})),
        429,
        modes=("stream",),
    ),
    Fault(
        "a wrong request told in the stream",
        sse(data({"error": {"message": "no", "type": "invalid_request_error"}})),
        400,
        moves_on=False,
        modes=("stream",),
    ),
)

# Streams that break when the reader has seen half an answer: it stands, an error in the stream follows, and nobody else is asked.
BROKEN_STREAMS: Mapping[str, Act] = {
    "reset": sse(ROLE, HELLO, then="reset"),
    "closed": sse(ROLE, HELLO, then="close"),
    "ended without a reason": sse(ROLE, HELLO),
    "ended without a reason but with the mark": sse(ROLE, HELLO, DONE),
    "ended with usage but no reason": sse(ROLE, HELLO, USAGE, DONE),
    "silence": sse(ROLE, HELLO, then="silence"),
    "no JSON": sse(ROLE, HELLO, BROKEN, FINISH, DONE),
    "half an event": sse(ROLE, HELLO, b'data: {"choices": [', then="close"),
    "an error": sse(ROLE, HELLO, OVERLOADED, DONE),
    "a named error": sse(ROLE, HELLO, b"event: error\n" + OVERLOADED),
    "an error of words": sse(ROLE, HELLO, data({"error": "the engine died"})),
    "a broken-off reason": sse(ROLE, HELLO, event({}, "abort"), DONE),
}

# Streams that are unusual and yet whole: the client gets "hello there" and the finish reason.
ODD_STREAMS: Mapping[str, Act] = {
    "CR LF": sse(*(each.replace(b"\n", b"\r\n") for each in SAID)),
    "CR": sse(*(each.replace(b"\n", b"\r") for each in SAID)),
    "byte by byte": sse(*SAID, split=1),
    "all at once": sse(b"".join(SAID)),
    "comments": sse(b": hello\n\n", ROLE, b": ping\n\n", HELLO, b":\n", *SAID[2:]),
    "other fields": sse(*(b"id: 7\nretry: 10\nevent: message\n" + each for each in SAID)),
    "no blank behind the colon": sse(*(each.replace(b"data: ", b"data:") for each in SAID)),
    "no blank line at the end": sse(ROLE, HELLO, THERE, FINISH.removesuffix(b"\n")),
    "no end mark": sse(ROLE, HELLO, THERE, FINISH),
    "no usage": sse(ROLE, HELLO, THERE, FINISH, DONE),
    "the role again and again": sse(ROLE, ROLE, event({"role": "assistant", "content": "hello"}), ROLE, *SAID[2:]),
    "no role": sse(*SAID[1:]),
    "empty choices": sse(data({"choices": []}), ROLE, data({"choices": []}), *SAID[1:]),
    "content that is null": sse(ROLE, event({"content": None}), *SAID[1:]),
    "the reason with the last words": sse(ROLE, HELLO, event({"content": " there"}, "stop"), DONE),
    "usage with every event": sse(
        ROLE, event({"content": "hello"}, usage={"prompt_tokens": 3, "completion_tokens": 1}), *SAID[2:]
    ),
    "cut behind the end mark": sse(*SAID, then="reset"),
    "a whole answer instead": reply(200, WHOLE),
    "no content type": sse(*SAID, kind=""),
    "a charset": sse(*SAID, kind="text/event-stream; charset=utf-8"),
    "data in two lines": sse(HELLO.replace(b'{"id"', b'{\ndata: "id"'), *SAID[2:]),
}
