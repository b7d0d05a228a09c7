"""Our answers as Ollama's JSON: the lines of a chat or a generation, or the one object of an answer that is not streamed.

A line of text is the same bytes but for the time and the text. Durations are the engine's where it says them, else what was measured
here; none is ever 0, because clients divide by them. Knows nothing of HTTP. Source: the ``api`` package of Ollama's 0.33 line.
"""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import orjson

from fireside.core.errors import FiresideError
from fireside.core.identity import new_id
from fireside.core.messages import ToolCall
from fireside.core.requests import Delta, FinishReason, Logprob, Usage
from fireside.wire.answers import status_of
from fireside.wire.ollama import NANOSECONDS, arguments_object
from fireside.wire.ollama_history import write_context
from fireside.wire.ollama_requests import ChatAsked, GenerateAsked
from fireside.wire.ollama_words import write_error

Json = dict[str, object]
FirstToken = Callable[[], float | None]
# Ollama has no words for an answer another request ended; such an answer is never written as complete.
DONE_REASONS: Mapping[FinishReason, str] = {"stop": "stop", "length": "length", "tool_calls": "stop"}
ID = re.compile(r"call_[0-9a-z]{8}")
# Less than a clock tells: an engine that was ready needed no time to load.
LEAST = 1000
LOWEST = -9999.0
LINE_END = b"\n"
NOTHING = Usage()


class Lines(ABC):
    """What chats and generations have in common; see ``wire.answers.Answer``.

    ``first``: seconds until the first token, for an answer that is not streamed and so not seen coming.
    """

    media_type = "application/x-ndjson"
    before_text = b""
    after_text = b""

    def __init__(self, asked: ChatAsked, first: FirstToken = lambda: None) -> None:
        self._asked = asked
        self._shows_thinking = asked.request.reasoning != "off"
        self._alternatives = asked.request.sampling.logprobs
        self._head = b'{"model":' + orjson.dumps(asked.model) + b',"created_at":"'
        self._measured = first
        self._began = time.perf_counter_ns()
        self._first = 0
        self._pieces = 0
        self._calls = 0
        self._usage = NOTHING
        self._clock = Clock()

    def begin(self) -> bytes:
        return b""

    def wait(self, note: str) -> bytes:
        """Nothing: every line counts."""
        return b""

    def write(self, deltas: Sequence[Delta]) -> bytes:
        now = self._clock()
        start = b"%s%s%s" % (self._head, now.encode(), self.before_text)
        out: list[bytes] = []
        for delta in deltas:
            if delta.has_content:
                self._first = self._first or time.perf_counter_ns()
                self._pieces += 1
            if delta.text and not delta.logprobs:
                self.keep(delta.text)
                out += (start, orjson.dumps(delta.text), self.after_text)
            elif delta.text or delta.tool_call is not None or (delta.logprobs and not delta.reasoning):
                self.keep(delta.text)
                calls = () if delta.tool_call is None else (delta.tool_call,)
                out.append(self._line(now, self.said(delta.text, "", calls) | self._logprobs_of(delta.logprobs)))
            if delta.reasoning and self._shows_thinking:
                out.append(self._line(now, self.said("", delta.reasoning, ()) | self._logprobs_of(delta.logprobs)))
            if delta.usage is not None:
                self._usage = delta.usage
            if delta.finish_reason is not None:
                out.append(self._line(now, self.said("", "", ()) | self._end(delta.finish_reason)))
        return b"".join(out)

    def fail(self, error: FiresideError) -> bytes:
        return write_error(error, status_of(error)) + LINE_END

    def whole(self, deltas: Sequence[Delta]) -> bytes:
        texts: list[str] = []
        thoughts: list[str] = []
        logprobs: list[Logprob] = []
        calls: list[ToolCall] = []
        finish: FinishReason = "stop"
        for delta in deltas:
            texts.append(delta.text)
            thoughts.append(delta.reasoning if self._shows_thinking else "")
            logprobs += delta.logprobs
            self._pieces += delta.has_content
            if delta.tool_call is not None:
                calls.append(delta.tool_call)
            self._usage = delta.usage or self._usage
            finish = delta.finish_reason or finish
        text = "".join(texts)
        self.keep(text)
        first = self._measured()
        self._first = self._began + int(first * NANOSECONDS) if first is not None else 0
        said = self.said(text, "".join(thoughts), calls)
        return self._line(self._clock(), said | self._end(finish) | self._logprobs_of(logprobs))[:-1]

    def loaded(self) -> bytes:
        """The one object that says that the model was loaded or unloaded."""
        reason = "unload" if self._asked.unloads else "load"
        return self._line(self._clock(), self.said("", "", ()) | {"done": True, "done_reason": reason})[:-1]

    @abstractmethod
    def said(self, text: str, thinking: str, calls: Sequence[ToolCall]) -> Json:
        """The part of a line that differs between chats and generations."""

    def keep(self, text: str) -> None:
        """Told what was said, for who needs it at the end."""
        return

    def _line(self, now: str, fields: Json) -> bytes:
        line: Json = {"model": self._asked.model, "created_at": now, "done": False}
        return orjson.dumps(line | fields, option=orjson.OPT_APPEND_NEWLINE)

    def _end(self, finish: FinishReason) -> Json:
        usage, now = self._usage, time.perf_counter_ns()
        first = self._first or now
        prompt = _nanoseconds(usage.prompt_seconds, first - self._began)
        load = _nanoseconds(usage.load_seconds, first - self._began - prompt)
        answer = _nanoseconds(usage.completion_seconds, now - first)
        return {
            "done": True,
            "done_reason": DONE_REASONS.get(finish, finish),
            "total_duration": max(now - self._began, load + prompt + answer),
            "load_duration": load,
            "prompt_eval_count": usage.prompt_tokens,
            "prompt_eval_duration": prompt,
            "eval_count": usage.completion_tokens or self._pieces,
            "eval_duration": answer,
        }

    def _logprobs_of(self, logprobs: Sequence[Logprob]) -> Json:
        if not logprobs or self._alternatives is None:
            return {}
        return {"logprobs": [_logprob(each, self._alternatives) for each in logprobs]}


class ChatAnswer(Lines):
    """One answer to ``/api/chat``."""

    before_text = b'","message":{"role":"assistant","content":'
    after_text = b'},"done":false}\n'

    def said(self, text: str, thinking: str, calls: Sequence[ToolCall]) -> Json:
        message: Json = {"role": "assistant", "content": text}
        if thinking:
            message["thinking"] = thinking
        if calls:
            message["tool_calls"] = [self._call(call) for call in calls]
        return {"message": message}

    def _call(self, call: ToolCall) -> Json:
        """The id as Ollama makes them, so that a client may rely on its form."""
        index = self._calls
        self._calls += 1
        id = call.id if ID.fullmatch(call.id) else new_id("call_", 8)
        return {
            "id": id,
            "function": {"index": index, "name": call.name, "arguments": arguments_object(call.arguments)},
        }


class GenerateAnswer(Lines):
    """One answer to ``/api/generate``."""

    before_text = b'","response":'
    after_text = b',"done":false}\n'

    def __init__(self, asked: GenerateAsked, first: FirstToken = lambda: None) -> None:
        super().__init__(asked, first)
        self._history = () if asked.raw else asked.request.messages
        self._texts: list[str] = []

    def said(self, text: str, thinking: str, calls: Sequence[ToolCall]) -> Json:
        return {"response": text, "thinking": thinking} if thinking else {"response": text}

    def keep(self, text: str) -> None:
        self._texts.append(text)

    def _end(self, finish: FinishReason) -> Json:
        end = super()._end(finish)
        if self._history:
            end["context"] = write_context(self._history, "".join(self._texts))
        return end


class Clock:
    """The time as Go writes it. Of most lines only the part of the second differs from the line before."""

    __slots__ = ("_second", "_written")

    def __init__(self) -> None:
        self._second = -1
        self._written = ""

    def __call__(self) -> str:
        second, rest = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second, self._written = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._written}.{rest // 1000:06d}Z"


def stamp(moment: datetime) -> str:
    """A time as Go writes it. ``moment``: in UTC."""
    return moment.isoformat()[:-6] + "Z"


def _nanoseconds(seconds: float | None, measured: int) -> int:
    return max(LEAST, int(seconds * NANOSECONDS) if seconds else measured)


def _logprob(given: Logprob, alternatives: int) -> Json:
    told = _likely(given.token, given.logprob)
    if alternatives and given.top:
        told["top_logprobs"] = [_likely(token, logprob) for token, logprob in given.top[:alternatives]]
    return told


def _likely(token: str, logprob: float) -> Json:
    return {"token": token, "logprob": max(logprob, LOWEST), "bytes": list(token.encode())}
