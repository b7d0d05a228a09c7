"""The server around a transformers checkpoint: OpenAI's chat completions, completions and embeddings on loopback.

``python -m fireside.engines.hf_child SPEC PORT``. Started by ``child`` and ended by it, like ``host``; every request but ``/health``
needs the key that comes in the environment. Knows HTTP and JSON; what a model does is ``hf_checkpoint``'s.
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fireside.core.requests import Sampling
from fireside.engines.hf_checkpoint import Checkpoint, Piece
from fireside.engines.spec import ChildSpec, thread_count

WATCH_SECONDS = 0.2
BODY_LIMIT = 64 * 1024 * 1024


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error", **facts: int) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "code": status, **facts}}


@dataclass
class Served:
    """What all requests share. ``turns``: how many may compute at a time; ``busy``: how many do or wait to."""

    name: str
    checkpoint: Checkpoint
    api_key: str
    turns: threading.Semaphore
    busy: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, change: int) -> None:
        with self.lock:
            self.busy += change


class Handler(BaseHTTPRequestHandler):
    """One connection. ``served`` is set on the class when the model is loaded."""

    protocol_version = "HTTP/1.1"
    served: Served

    def do_GET(self) -> None:
        if self.path == "/health":
            self._json(200, {"status": "ok", "busy": self.served.busy})
        elif self.path == "/v1/models":
            self._answer(
                lambda body: self._json(200, {"object": "list", "data": [{"id": self.served.name, "object": "model"}]})
            )
        else:
            self._json(404, Refused(404, f"no route {self.path}").body)

    def do_POST(self) -> None:
        routes = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._complete,
            "/v1/embeddings": self._embed,
            "/tokenize": self._tokenize,
        }
        route = routes.get(self.path)
        if route is None:
            self._json(404, Refused(404, f"no route {self.path}").body)
        else:
            self._answer(route)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a request line is nobody's business, and errors go to the caller."""

    def _answer(self, route: Any) -> None:
        self.served.count(1)
        try:
            route(self._body())
        except Refused as refusal:
            self._json(refusal.status, refusal.body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._json(400, Refused(400, f"{type(error).__name__}: {error}").body)
        except RuntimeError as error:  # what torch raises, for want of memory above all
            self._json(500, Refused(500, _one_line(error), "server_error").body)
        finally:
            self.served.count(-1)

    def _body(self) -> dict[str, Any]:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        size = int(self.headers.get("Content-Length", 0))
        if size > BODY_LIMIT:
            self.close_connection = True
            raise Refused(413, "the request is too large")
        raw = self.rfile.read(size)
        if not compare_digest(given.encode(), self.served.api_key.encode()):
            raise Refused(401, "wrong key", "authentication_error")
        body = json.loads(raw or b"{}")
        if not isinstance(body, dict):
            raise Refused(400, "the body must be a JSON object")
        return body

    def _chat(self, body: dict[str, Any]) -> None:
        if not self.served.checkpoint.generates:
            raise Refused(501, f"{self.served.name} embeds texts and writes none")
        if not body["messages"]:
            raise Refused(400, "messages is empty")
        self._generate(self.served.checkpoint.chat_tokens(_plain(body["messages"])), body, chat=True)

    def _complete(self, body: dict[str, Any]) -> None:
        if not self.served.checkpoint.generates:
            raise Refused(501, f"{self.served.name} embeds texts and writes none")
        self._generate(self.served.checkpoint.text_tokens(body["prompt"]), body, chat=False)

    def _generate(self, prompt: list[int], body: dict[str, Any], *, chat: bool) -> None:
        if not prompt:
            raise Refused(400, "the prompt is empty")
        window = self.served.checkpoint.window
        if len(prompt) >= window:
            raise Refused(
                400,
                f"the prompt has {len(prompt)} tokens, the context window {window}",
                "exceed_context_size_error",
                n_prompt_tokens=len(prompt),
                n_ctx=window,
            )
        with self.served.turns:
            begins = str(body.get("begins_with") or "")
            pieces = self.served.checkpoint.generate(prompt, _sampling(body), self._gone, begins=begins)
            if body.get("stream"):
                self._stream(pieces, len(prompt), chat=chat)
            else:
                self._whole(pieces, len(prompt), chat=chat)

    def _stream(self, pieces: Iterator[Piece], prompt: int, *, chat: bool) -> None:
        """Server-sent events; the head goes out with the first piece, so that what fails before it has a status."""
        count = 0
        piece = next(pieces, None)
        self._head(200, "text/event-stream")
        while piece is not None:
            count = piece.tokens
            self._event({"choices": [_choice(piece.text, piece.finish_reason, "delta" if chat else "text")]})
            try:
                piece = next(pieces, None)
            except RuntimeError as error:
                self._event(Refused(500, _one_line(error), "server_error").body)
                return
        if not self._gone():
            self._event({"choices": [], "usage": _usage(prompt, count)})
            self.wfile.write(b"data: [DONE]\n\n")

    def _whole(self, pieces: Iterator[Piece], prompt: int, *, chat: bool) -> None:
        said = list(pieces)
        if not said:
            return  # nobody listens any more
        text = "".join(piece.text for piece in said)
        choice = _choice(text, said[-1].finish_reason, "message" if chat else "text")
        self._json(200, {"model": self.served.name, "choices": [choice], "usage": _usage(prompt, said[-1].tokens)})

    def _embed(self, body: dict[str, Any]) -> None:
        texts = [body["input"]] if isinstance(body["input"], str) else list(body["input"])
        for text in texts:
            tokens, window = len(self.served.checkpoint.text_tokens(text)), self.served.checkpoint.window
            if tokens > window:
                message = f"a text has {tokens} tokens, the context window {window}"
                raise Refused(400, message, "exceed_context_size_error", n_prompt_tokens=tokens, n_ctx=window)
        with self.served.turns:
            vectors, count = self.served.checkpoint.embed(texts)
        data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
        self._json(200, {"object": "list", "data": data, "model": self.served.name, "usage": _usage(count, 0)})

    def _tokenize(self, body: dict[str, Any]) -> None:
        checkpoint = self.served.checkpoint
        tokens = (
            checkpoint.chat_tokens(_plain(body["messages"]))
            if "messages" in body
            else checkpoint.text_tokens(body["content"])
        )
        self._json(200, {"tokens": tokens})

    def _gone(self) -> bool:
        """Whether the caller has closed the connection."""
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _event(self, value: object) -> None:
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _json(self, status: int, value: object) -> None:
        raw = json.dumps(value).encode()
        self._head(status, "application/json", len(raw))
        self.wfile.write(raw)

    def _head(self, status: int, kind: str, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is None:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()


def _plain(messages: Any) -> list[dict[str, Any]]:
    """Messages as templates want them: content as one text, also where it came in parts."""
    plain = []
    for message in messages:
        content = message.get("content") or ""
        if isinstance(content, list):
            if any(part.get("type") != "text" for part in content):
                raise Refused(400, "this model reads text and sees no images")
            content = "".join(part["text"] for part in content)
        calls = [_call(call) for call in message.get("tool_calls") or ()]
        plain.append({**message, "content": content, **({"tool_calls": calls} if calls else {})})
    return plain


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """A call as templates want it: they write the arguments as JSON themselves, so text would be quoted twice."""
    return {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"] or "{}")}}


def _sampling(body: Mapping[str, Any]) -> Sampling:
    stop = body.get("stop") or ()
    return Sampling(
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        top_k=body.get("top_k"),
        min_p=body.get("min_p"),
        repeat_penalty=body.get("repeat_penalty"),
        seed=body.get("seed"),
        max_tokens=body.get("max_tokens") or body.get("max_completion_tokens"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
    )


def _choice(text: str, reason: str | None, place: str) -> dict[str, object]:
    content: object = text if place == "text" else {"role": "assistant", "content": text}
    return {"index": 0, place: content, "finish_reason": reason}


def _usage(prompt: int, answer: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def main(spec: ChildSpec, port: int) -> None:
    """Load the checkpoint, then serve until the keeper is gone. Does not return."""
    keeper = os.getppid()
    os.environ.update(
        HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", HF_HUB_DISABLE_TELEMETRY="1"
    )
    api_key = os.environ.pop("LLAMA_API_KEY")
    folder = Path(spec.model)
    try:
        checkpoint = Checkpoint(
            folder, window=spec.context, threads=thread_count(spec.threads), gpu=spec.gpu_layers != 0
        )
    except Exception as error:  # noqa: BLE001  whatever a broken checkpoint raises, the keeper reads one line of it
        os.write(2, f"E {_one_line(error)}\n".encode())
        os._exit(1)
    Handler.served = Served(folder.name, checkpoint, api_key, threading.Semaphore(spec.parallel))
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while os.getppid() == keeper:
        time.sleep(WATCH_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main(ChildSpec(**json.loads(Path(sys.argv[1]).read_bytes())), int(sys.argv[2]))
