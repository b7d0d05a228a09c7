"""Our answers as OpenAI's chat and completion JSON: the chunks of a stream, the whole answer, and log probabilities in both forms.

A chunk of text is the same bytes but for the text, so its head and tail are made once an answer. Knows nothing of HTTP. Source:
platform.openai.com/docs/api-reference, and what the SDK parses.
"""

import time
from collections.abc import Mapping, Sequence

import orjson

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid
from fireside.core.identity import new_id
from fireside.core.messages import ToolCall
from fireside.core.requests import Delta, FinishReason, Logprob, Usage
from fireside.core.values import replace
from fireside.wire.answers import status_of
from fireside.wire.openai_lists import write_error
from fireside.wire.openai_requests import ChatAsked, CompletionAsked

DONE = b"data: [DONE]\n\n"
END = b"\n\n"


class Chunks:
    """What chat and completion have in common: ids, the usage of all answers, and what ends a stream."""

    media_type = "text/event-stream"
    kind = ""

    def __init__(self, model: str, *, id: str, created: int | None, include_usage: bool, count: int) -> None:
        self._model = model
        self._id = id
        self._created = int(time.time()) if created is None else created
        self._include_usage = include_usage
        self._unfinished = count
        self._usages: dict[int, Usage] = {}

    def fail(self, error: FiresideError) -> bytes:
        """No ``[DONE]`` follows, so that nobody takes it for an answer."""
        return b"data: " + write_error(error, status_of(error)) + END

    def wait(self, note: str) -> bytes:
        return f": {' '.join(note.split())}\n\n".encode()

    def _count(self, usage: Usage | None, *, prompt: int = 0) -> None:
        """A prompt counts once, however many answers there are to it."""
        if usage is not None:
            said = self._usages[prompt].completion_tokens if prompt in self._usages else 0
            self._usages[prompt] = replace(usage, completion_tokens=said + usage.completion_tokens)

    @property
    def _usage(self) -> Usage:
        all_of_them = self._usages.values()
        return Usage(
            sum(usage.prompt_tokens for usage in all_of_them),
            sum(usage.completion_tokens for usage in all_of_them),
            sum(usage.cached_tokens for usage in all_of_them),
        )

    def _chunk(self, choices: list[dict[str, object]]) -> bytes:
        chunk = self._body(choices)
        if self._include_usage:
            chunk["usage"] = None
        return b"data: " + orjson.dumps(chunk) + END

    def _body(self, choices: list[dict[str, object]]) -> dict[str, object]:
        return {
            "id": self._id,
            "object": self.kind,
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }

    def _finished(self) -> bytes:
        """Behind the last answer stand the usage, if it was asked for, and the mark of the end."""
        self._unfinished -= 1
        if self._unfinished:
            return b""
        if not self._include_usage:
            return DONE
        return b"data: " + orjson.dumps(self._body([]) | {"usage": write_usage(self._usage)}) + END + DONE


class ChatAnswer(Chunks):
    """The answers to one ``/v1/chat/completions``; see ``wire.answers.Answer``. ``index``: which of several answers."""

    kind = "chat.completion.chunk"

    def __init__(self, asked: ChatAsked, *, created: int | None = None) -> None:
        super().__init__(
            asked.model,
            id=new_id("chatcmpl-"),
            created=created,
            include_usage=asked.include_usage,
            count=asked.count,
        )
        self._asked = asked
        self._called = [0] * asked.count
        self._heads: dict[int, bytes] = {}
        self._tail = b'},"logprobs":null,"finish_reason":null}]' + (
            b',"usage":null}\n\n' if asked.include_usage else b"}\n\n"
        )

    def begin(self) -> bytes:
        return b"".join(self._delta(index, {"role": "assistant", "content": ""}) for index in range(self._asked.count))

    def write(self, deltas: Sequence[Delta], *, index: int = 0) -> bytes:
        out: list[bytes] = []
        for delta in deltas:
            if delta.reasoning:
                out.append(self._delta(index, {"reasoning_content": delta.reasoning}))
            if delta.text:
                if delta.logprobs and self._asked.request.sampling.logprobs is not None:
                    out.append(self._delta(index, {"content": delta.text}, logprobs=delta.logprobs))
                else:
                    head = self._heads.get(index) or self._head(index)
                    out += (head, orjson.dumps(delta.text), self._tail)
            if delta.tool_call is not None:
                out.append(self._call(index, delta.tool_call))
            if delta.usage is not None:
                self._count(delta.usage)
            if delta.finish_reason is not None:
                out.append(self._finish(index, delta.finish_reason))
        return b"".join(out)

    def whole(self, deltas: Sequence[Delta]) -> bytes:
        return self.whole_of((deltas,))

    def whole_of(self, answers: Sequence[Sequence[Delta]]) -> bytes:
        """All answers as one body. Raises what ``finished`` raises."""
        choices = [self._choice(index, deltas) for index, deltas in enumerate(answers)]
        body = self._body(choices) | {"object": "chat.completion", "usage": write_usage(self._usage)}
        return orjson.dumps(body)

    def _choice(self, index: int, deltas: Sequence[Delta]) -> dict[str, object]:
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[ToolCall] = []
        logprobs: list[Logprob] = []
        for delta in deltas:
            texts.append(delta.text)
            thoughts.append(delta.reasoning)
            logprobs += delta.logprobs
            if delta.tool_call is not None:
                calls.append(delta.tool_call)
            self._count(delta.usage)
        text, thought = "".join(texts), "".join(thoughts)
        message: dict[str, object] = {
            "role": "assistant",
            "content": None if calls and not text else text,
            "refusal": None,
        }
        if thought:
            message["reasoning_content"] = thought
        if calls:
            message |= self._calls(calls)
        asked = self._asked.request.sampling.logprobs is not None
        return {
            "index": index,
            "message": message,
            "logprobs": write_logprobs(logprobs) if asked and logprobs else None,
            "finish_reason": self._reason(finished(deltas), called=bool(calls)),
        }

    def _calls(self, calls: Sequence[ToolCall]) -> dict[str, object]:
        if self._asked.older:
            return {"function_call": _function(calls[0])}
        return {"tool_calls": [_call(call) for call in calls]}

    def _call(self, index: int, call: ToolCall) -> bytes:
        place = self._called[index]
        self._called[index] += 1
        if self._asked.older:
            return self._delta(index, {"function_call": _function(call)}) if place == 0 else b""
        return self._delta(index, {"tool_calls": [{"index": place, **_call(call)}]})

    def _finish(self, index: int, reason: FinishReason) -> bytes:
        if reason == "cancelled":
            return self.fail(cancelled())
        word = self._reason(reason, called=self._called[index] > 0)
        return self._delta(index, {}, finish=word) + self._finished()

    def _reason(self, reason: FinishReason, *, called: bool) -> str:
        if reason == "tool_calls" or (called and reason == "stop"):
            return "function_call" if self._asked.older else "tool_calls"
        return reason

    def _delta(
        self, index: int, delta: dict[str, object], *, logprobs: Sequence[Logprob] = (), finish: str | None = None
    ) -> bytes:
        told = write_logprobs(logprobs) if logprobs else None
        return self._chunk([{"index": index, "delta": delta, "logprobs": told, "finish_reason": finish}])

    def _head(self, index: int) -> bytes:
        """Everything of a chunk of text before the text."""
        opened = orjson.dumps(self._body([]))[:-2]
        head = b"data: " + opened + b'{"index":%d,"delta":{"content":' % index
        self._heads[index] = head
        return head


class CompletionAnswer(Chunks):
    """The answers to one ``/v1/completions``; see ``wire.answers.Answer``. ``index``: which of several answers."""

    kind = "text_completion"

    def __init__(self, asked: CompletionAsked, *, created: int | None = None) -> None:
        count = len(asked.requests) * asked.count
        super().__init__(
            asked.model,
            id=new_id("cmpl-"),
            created=created,
            include_usage=asked.include_usage,
            count=count,
        )
        self._asked = asked
        self._length = [0] * count
        self._heads: dict[int, bytes] = {}
        self._tail = b',"logprobs":null,"finish_reason":null}]' + (
            b',"usage":null}\n\n' if asked.include_usage else b"}\n\n"
        )

    def begin(self) -> bytes:
        """The prompts, where they are to be said, too."""
        if not self._asked.echo:
            return b""
        return b"".join(self._text(index, self._said(index)) for index in range(len(self._length)))

    def write(self, deltas: Sequence[Delta], *, index: int = 0) -> bytes:
        out: list[bytes] = []
        for delta in deltas:
            if delta.text:
                if delta.logprobs and self._logprobs:
                    told = write_older_logprobs(delta.logprobs, self._length[index])
                    out.append(self._chunk([_completed(index, delta.text, told)]))
                else:
                    out.append(self._text(index, delta.text))
                self._length[index] += len(delta.text)
            if delta.usage is not None:
                self._count(delta.usage, prompt=index // self._asked.count)
            if delta.finish_reason is not None:
                out.append(self._finish(index, delta.finish_reason))
        return b"".join(out)

    def whole(self, deltas: Sequence[Delta]) -> bytes:
        return self.whole_of((deltas,))

    def whole_of(self, answers: Sequence[Sequence[Delta]]) -> bytes:
        """All answers as one body. Raises what ``finished`` raises."""
        choices = [self._choice(index, deltas) for index, deltas in enumerate(answers)]
        return orjson.dumps(self._body(choices) | {"usage": write_usage(self._usage)})

    @property
    def _logprobs(self) -> bool:
        return self._asked.requests[0].sampling.logprobs is not None

    def _said(self, index: int) -> str:
        return self._asked.requests[index // self._asked.count].prefix

    def _choice(self, index: int, deltas: Sequence[Delta]) -> dict[str, object]:
        before = self._said(index) if self._asked.echo else ""
        logprobs: list[Logprob] = []
        for delta in deltas:
            logprobs += delta.logprobs
            self._count(delta.usage, prompt=index // self._asked.count)
        told = write_older_logprobs(logprobs, len(before)) if logprobs and self._logprobs else None
        text = "".join((before, *(delta.text for delta in deltas)))
        return _completed(index, text, told, "length" if finished(deltas) == "length" else "stop")

    def _finish(self, index: int, reason: FinishReason) -> bytes:
        if reason == "cancelled":
            return self.fail(cancelled())
        word = "length" if reason == "length" else "stop"
        return self._chunk([_completed(index, "", None, word)]) + self._finished()

    def _text(self, index: int, text: str) -> bytes:
        head = self._heads.get(index)
        if head is None:
            head = b"data: " + orjson.dumps(self._body([]))[:-2] + b'{"index":%d,"text":' % index
            self._heads[index] = head
        return head + orjson.dumps(text) + self._tail


def finished(deltas: Sequence[Delta]) -> FinishReason:
    """Why an answer ended. Raises what it means that it did not, or that somebody ended it."""
    reason = next((delta.finish_reason for delta in reversed(deltas) if delta.finish_reason is not None), None)
    if reason is None:
        raise ConnectionFailed("the answer broke off", remedy="ask again", cause="cut")
    if reason == "cancelled":
        raise cancelled()
    return reason


def cancelled() -> Invalid:
    return Invalid("a newer request took this one's place", http_status=409, cause="superseded")


def write_usage(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def write_logprobs(logprobs: Sequence[Logprob]) -> dict[str, object]:
    return {"content": [write_logprob(each) for each in logprobs], "refusal": None}


def write_logprob(each: Logprob) -> dict[str, object]:
    return _likely(each.token, each.logprob) | {"top_logprobs": [_likely(*other) for other in each.top]}


def write_older_logprobs(logprobs: Sequence[Logprob], offset: int) -> dict[str, object]:
    """Completions' form: parallel lists. ``offset``: characters of the answer before these tokens."""
    offsets = []
    for each in logprobs:
        offsets.append(offset)
        offset += len(each.token)
    return {
        "tokens": [each.token for each in logprobs],
        "token_logprobs": [each.logprob for each in logprobs],
        "top_logprobs": [dict(each.top) or {each.token: each.logprob} for each in logprobs],
        "text_offset": offsets,
    }


def _likely(token: str, logprob: float) -> dict[str, object]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _completed(
    index: int, text: str, logprobs: Mapping[str, object] | None, finish: str | None = None
) -> dict[str, object]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


def _call(call: ToolCall) -> dict[str, object]:
    return {"id": call.id or new_id("call_", 16), "type": "function", "function": _function(call)}


def _function(call: ToolCall) -> dict[str, object]:
    return {"name": call.name, "arguments": call.arguments or "{}"}
