"""The chat routes of the server, one for each dialect: what a client sends, and what it makes of the bytes that come back."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Json = Mapping[str, object]
MESSAGES = [{"role": "user", "content": "hi"}]


@dataclass
class Told:
    """``finished``: whether the stream said that the answer is complete. ``errors``: what it said went wrong."""

    text: str = ""
    finished: bool = False
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Door:
    """``body``: without ``stream``. ``whole``: the text of an answer. ``stream``: reads one. ``error``: the words of a refusal."""

    path: str
    body: Json
    whole: Callable[[Json], str]
    stream: Callable[[bytes], Told]
    error: Callable[[Json], str]

    def __str__(self) -> str:
        return self.path

    def asking(self, model: str, *, stream: bool) -> dict[str, object]:
        return {**self.body, "model": model, "stream": stream}


def events_of(raw: bytes) -> list[tuple[str, str]]:
    """The (event, data) pairs of an event stream; comments are left out."""
    found = []
    for block in raw.decode().split("\n\n"):
        fields = [line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")]
        named = dict(fields)
        if "data" in named:
            found.append((named.get("event", ""), named["data"]))
    return found


def _chat_stream(raw: bytes) -> Told:
    told = Told()
    for _, data in events_of(raw):
        if data == "[DONE]":
            told.finished = True
            continue
        chunk = json.loads(data)
        if "error" in chunk:
            told.errors.append(chunk["error"]["message"])
        for choice in chunk.get("choices", ()):
            told.text += choice["delta"].get("content") or ""
            told.finished |= bool(choice["finish_reason"])
    return told


def _messages_stream(raw: bytes) -> Told:
    told = Told()
    for name, data in events_of(raw):
        event = json.loads(data)
        assert event["type"] == name
        if name == "error":
            told.errors.append(event["error"]["message"])
        elif name == "content_block_delta":
            told.text += event["delta"].get("text", "")
        told.finished |= name == "message_stop" or bool(event.get("delta", {}).get("stop_reason"))
    return told


def _ollama_stream(raw: bytes) -> Told:
    told = Told()
    for line in raw.decode().splitlines():
        chunk = json.loads(line)
        if "error" in chunk:
            told.errors.append(chunk["error"])
            continue
        told.text += chunk["message"]["content"]
        told.finished |= chunk["done"]
    return told


def _responses_stream(raw: bytes) -> Told:
    told = Told()
    for name, data in events_of(raw):
        event = json.loads(data)
        assert event["type"] == name
        if name == "response.output_text.delta":
            told.text += event["delta"]
        elif name == "response.failed":
            told.errors.append(event["response"]["error"]["message"])
        told.finished |= name in ("response.completed", "response.incomplete")
    return told


def _answered(body: Json) -> str:
    return "".join(part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"])


DOORS = (
    Door(
        "/v1/chat/completions",
        {"messages": MESSAGES},
        lambda body: body["choices"][0]["message"]["content"],
        _chat_stream,
        lambda body: body["error"]["message"],
    ),
    Door(
        "/v1/messages",
        {"messages": MESSAGES, "max_tokens": 64},
        lambda body: "".join(block["text"] for block in body["content"] if block["type"] == "text"),
        _messages_stream,
        lambda body: body["error"]["message"],
    ),
    Door(
        "/api/chat",
        {"messages": MESSAGES},
        lambda body: body["message"]["content"],
        _ollama_stream,
        lambda body: body["error"],
    ),
    Door("/v1/responses", {"input": "hi"}, _answered, _responses_stream, lambda body: body["error"]["message"]),
)
CHAT = DOORS[0]
