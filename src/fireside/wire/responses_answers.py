"""Our answers as OpenAI's Responses JSON: the events of a stream, numbered, and the whole response.

A piece of text is the same bytes but for the text and its number, so its head is made once an item. Knows nothing of HTTP. Sources:
platform.openai.com/docs/api-reference/responses-streaming, what the SDK collects and what Codex reads.
"""

import time
from collections.abc import Mapping, Sequence

import orjson

from fireside.core.errors import ErrorKind, FiresideError
from fireside.core.identity import new_id
from fireside.core.messages import ToolCall
from fireside.core.requests import Delta, FinishReason, Logprob, Usage
from fireside.wire.answers import status_of
from fireside.wire.openai_answers import cancelled, finished, write_logprob
from fireside.wire.openai_lists import code_of, words_of
from fireside.wire.responses_items import Call, Item, Message, Summary, Thought, event_head
from fireside.wire.responses_requests import ResponsesAsked

Json = dict[str, object]


class ResponsesAnswer:
    """One answer to ``/v1/responses``; see ``wire.answers.Answer``."""

    media_type = "text/event-stream"

    def __init__(self, asked: ResponsesAsked, *, created: int | None = None) -> None:
        self._asked = asked
        self._id = new_id("resp_", 32)
        self._created = int(time.time()) if created is None else created
        self._number = -1
        self._items: list[Json] = []
        self._open: Item | None = None
        self._usage = Usage()

    def begin(self) -> bytes:
        response = self._response("in_progress")
        return self._event("response.created", response) + self._event("response.in_progress", response)

    def write(self, deltas: Sequence[Delta]) -> bytes:
        out: list[bytes] = []
        for delta in deltas:
            if delta.reasoning:
                self._piece(Summary if self._asked.summarizes else Thought, delta.reasoning, (), out)
            if delta.text:
                self._piece(Message, delta.text, delta.logprobs if self._logprobs else (), out)
            if delta.tool_call is not None:
                self._call(delta.tool_call, out)
            if delta.usage is not None:
                self._usage = delta.usage
            if delta.finish_reason is not None:
                self._finish(delta.finish_reason, out)
        return b"".join(out)

    def fail(self, error: FiresideError) -> bytes:
        """What is open stays open: nobody may take half an item for a whole one."""
        return self._event("response.failed", self._response("failed", error=_failure(error)))

    def wait(self, note: str) -> bytes:
        return f": {' '.join(note.split())}\n\n".encode()

    def whole(self, deltas: Sequence[Delta]) -> bytes:
        """Raises what ``finished`` raises."""
        reason = finished(deltas)
        self.write([delta for delta in deltas if delta.finish_reason is None or delta.has_content])
        self._usage = next((delta.usage for delta in reversed(deltas) if delta.usage is not None), self._usage)
        self._close(reason, [])
        return self._ended(reason)

    @property
    def _logprobs(self) -> bool:
        return self._asked.request.sampling.logprobs is not None

    def _piece(self, kind: type[Item], text: str, logprobs: Sequence[Logprob], out: list[bytes]) -> None:
        item = self._open
        if type(item) is not kind:
            self._close("stop", out)
            item = self._begin(kind(len(self._items)), out)
        assert item is not None
        self._number += 1
        out.append(item.piece(text, self._number, [write_logprob(each) for each in logprobs] if logprobs else ()))

    def _call(self, call: ToolCall, out: list[bytes]) -> None:
        self._close("stop", out)
        item = Call(len(self._items), call, self._asked.given.get(call.name))
        self._begin(item, out)
        self._number += 1
        out.append(item.piece(item.input, self._number, ()))
        self._close("stop", out)

    def _begin(self, item: Item, out: list[bytes]) -> Item:
        self._open = item
        out += [self._numbered(kind, body) for kind, body in item.begins()]
        return item

    def _close(self, reason: FinishReason, out: list[bytes]) -> None:
        """``reason``: an item that a limit cut is incomplete."""
        if self._open is None:
            return
        status = "incomplete" if reason == "length" else "completed"
        out += [self._numbered(kind, body) for kind, body in self._open.ends(status)]
        self._items.append(self._open.whole(status))
        self._open = None

    def _finish(self, reason: FinishReason, out: list[bytes]) -> None:
        if reason == "cancelled":
            out.append(self.fail(cancelled()))
            return
        self._close(reason, out)
        kind = "response.incomplete" if reason == "length" else "response.completed"
        out.append(self._event(kind, self._ended(reason)))

    def _ended(self, reason: FinishReason) -> bytes:
        return self._response("incomplete" if reason == "length" else "completed", usage=self._usage)

    def _response(self, status: str, *, usage: Usage | None = None, error: Json | None = None) -> bytes:
        body = {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "model": self._asked.model,
            "error": error,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "output": self._items,
            "usage": None if usage is None else write_usage(usage),
        }
        return orjson.dumps(body)[:-1] + b"," + self._asked.repeated[1:]

    def _event(self, kind: str, response: bytes) -> bytes:
        self._number += 1
        return b'%b"response":%b,"sequence_number":%d}\n\n' % (event_head(kind), response, self._number)

    def _numbered(self, kind: str, body: Mapping[str, object]) -> bytes:
        self._number += 1
        return b'%b%b,"sequence_number":%d}\n\n' % (event_head(kind), orjson.dumps(body)[1:-1], self._number)


def write_usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _failure(error: FiresideError) -> Json:
    """Codex shortens its conversation at ``context_length_exceeded`` and asks again at most others, but not at ``invalid_prompt``."""
    status = status_of(error)
    code = code_of(error, status) or ("invalid_prompt" if error.kind is ErrorKind.VALIDATION else "server_error")
    return {"code": code, "message": words_of(error)}
