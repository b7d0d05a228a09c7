"""llama-server's ``/infill``, ``/props`` and ``/health`` JSON in the server direction, as llama.vscode and llama.vim use them.

Knows nothing of HTTP and of clocks. Sources: llama.cpp, tools/server/README.md and server-task.cpp; llama.vscode; llama.vim.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from fireside.core.errors import ContextTooLong, FiresideError
from fireside.core.requests import CompletionRequest, Delta, FinishReason, Priority, Sampling, Snippet, Usage
from fireside.core.values import replace
from fireside.wire.answers import status_of
from fireside.wire.fields import (
    Fields,
    read_flag,
    read_list,
    read_number,
    read_object,
    read_text,
    read_texts,
    read_whole,
    wrong,
)

# llama-server goes on for ever where nothing is said; an infill ends at its end token, and this bounds one that does not.
UNLIMITED = 512
MOST_CHOICES = 4
VARIED = 0.8
SLOTS = 2**31
STOP_TYPES: Mapping[FinishReason | None, str] = {"stop": "eos", "length": "limit"}
ERROR_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    501: "not_supported_error",
    503: "unavailable_error",
}
PIECE_HEAD = b'data: {"index":%d,"content":'
MISSING = object()
PIECE_TAIL = b',"tokens":[],"stop":false,"id_slot":0}\n\n'


@dataclass(frozen=True, slots=True)
class InfillAsked:
    """``choices``: how many different completions are wanted. ``only_warms``: none; the prompt is to be computed and kept, the answer is
    sent at once and empty.

    ``prompt_seconds``, ``predict_seconds``: time limits, ``None`` for none. The second counts from the first token and holds only once
    there is a line break; the first is not kept by llama-server either, though all clients send it.
    ``least_indent``: a line indented by fewer characters ends the completion. ``fields``: the only ones to be answered, paths as keys.
    """

    request: CompletionRequest
    model: str
    choices: int = 1
    only_warms: bool = False
    prompt_seconds: float | None = None
    predict_seconds: float | None = None
    least_indent: int = 0
    fields: tuple[str, ...] = ()

    def requests(self) -> tuple[CompletionRequest, ...]:
        """One for each completion wanted: the first as asked, the others drawn so that they differ from it and can be repeated."""
        first, sampling = self.request, self.request.sampling
        drawn = max(sampling.temperature or 0.0, VARIED)
        seed = sampling.seed or 0
        return (
            first,
            *(
                replace(first, sampling=replace(sampling, temperature=drawn, seed=(seed + number) % SLOTS))
                for number in range(1, self.choices)
            ),
        )


def read_infill(body: object) -> InfillAsked:
    """The body of ``/infill``. Raises ``Invalid`` with the place of what is wrong as ``param``."""
    fields = read_object(body)
    if "input_prefix" not in fields and "input_suffix" not in fields and "prompt" not in fields:
        raise wrong("input_prefix", "the text before the cursor is missing")
    # What stands on the cursor's own line comes apart, so that a server may keep the lines above it in its cache.
    line = read_text(fields, "prompt")
    prefix = read_text(fields, "input_prefix")
    asked = read_whole(fields, "n_predict")
    if asked is None:
        asked = read_whole(fields, "max_tokens")
    limit = UNLIMITED if asked is None or asked < 0 else min(asked, SLOTS - 1)
    only_warms = limit == 0
    model = read_text(fields, "model") or "complete"
    request = CompletionRequest(
        prefix + line if line else prefix,
        read_text(fields, "input_suffix"),
        neighbours=_neighbours(fields.get("input_extra")),
        model=model,
        max_tokens=max(limit, 1),
        sampling=_sampling(fields),
        priority=Priority.BATCH if only_warms else Priority.TYPING,
        stream=read_flag(fields, "stream") and not only_warms,
    )
    return InfillAsked(
        request,
        model,
        choices=min(max(read_whole(fields, "n_cmpl") or 1, 1), MOST_CHOICES),
        only_warms=only_warms,
        prompt_seconds=_seconds(fields, "t_max_prompt_ms"),
        predict_seconds=_seconds(fields, "t_max_predict_ms"),
        least_indent=max(read_whole(fields, "n_indent") or 0, 0),
        fields=_wanted(fields.get("response_fields")),
    )


def _neighbours(extra: object) -> tuple[Snippet, ...]:
    found = []
    for place, chunk in enumerate(read_list(extra, "input_extra")):
        within = f"input_extra[{place}]"
        chunk = read_object(chunk, within)
        found.append(Snippet(read_text(chunk, "filename", within=within), read_text(chunk, "text", within=within)))
    return tuple(found)


def _sampling(fields: Fields) -> Sampling:
    seed = read_whole(fields, "seed")
    return Sampling(
        temperature=read_number(fields, "temperature"),
        top_p=read_number(fields, "top_p"),
        top_k=read_whole(fields, "top_k"),
        min_p=read_number(fields, "min_p"),
        repeat_penalty=read_number(fields, "repeat_penalty"),
        frequency_penalty=read_number(fields, "frequency_penalty"),
        presence_penalty=read_number(fields, "presence_penalty"),
        seed=seed if seed is not None and 0 <= seed < SLOTS else None,  # -1 and 2^32-1 say "any"
        stop=read_texts(fields, "stop"),
    )


def _seconds(fields: Fields, name: str) -> float | None:
    milliseconds = read_number(fields, name)
    return milliseconds / 1000 if milliseconds is not None and milliseconds > 0 else None


def _wanted(paths: object) -> tuple[str, ...]:
    return tuple(path for path in paths if isinstance(path, str)) if isinstance(paths, list) else ()


class InfillAnswer:
    """One completion; see ``wire.answers.Answer``. ``index``: which of the choices. ``context_window``: in tokens, 0 if unknown."""

    media_type = "text/event-stream"

    def __init__(self, asked: InfillAsked, *, index: int = 0, context_window: int = 0) -> None:
        self._asked = asked
        self._index = index
        self._window = context_window
        self._head = PIECE_HEAD % index
        self._lines = Indented(asked.least_indent)
        self._usage = Usage()

    def begin(self) -> bytes:
        return b""

    def write(self, deltas: Sequence[Delta]) -> bytes:
        out: list[bytes] = []
        for delta in deltas:
            if delta.text and (text := self._lines.feed(delta.text)):
                out += (self._head, orjson.dumps(text), PIECE_TAIL)
            self._usage = delta.usage or self._usage
            if delta.finish_reason is not None:
                if rest := self._lines.rest():
                    out += (self._head, orjson.dumps(rest), PIECE_TAIL)
                out += (b"data: ", self._final("", delta.finish_reason), b"\n\n")
        return b"".join(out)

    def fail(self, error: FiresideError) -> bytes:
        return b"data: " + write_error(error, status_of(error)) + b"\n\n"

    def wait(self, note: str) -> bytes:
        return f": {' '.join(note.split())}\n\n".encode()

    def whole(self, deltas: Sequence[Delta]) -> bytes:
        """No pieces at all make the empty answer of a request that only warms."""
        pieces: list[str] = []
        finish: FinishReason | None = "length" if self._asked.only_warms else None
        for delta in deltas:
            if delta.text:
                pieces.append(self._lines.feed(delta.text))
            self._usage = delta.usage or self._usage
            finish = delta.finish_reason or finish
        pieces.append(self._lines.rest())
        return self._final("".join(pieces), finish)

    def _final(self, content: str, finish: FinishReason | None) -> bytes:
        usage, request = self._usage, self._asked.request
        body: dict[str, object] = {
            "index": self._index,
            "content": content,
            "tokens": [],
            "id_slot": 0,
            "stop": True,
            "model": self._asked.model,
            "tokens_predicted": usage.completion_tokens,
            "tokens_evaluated": usage.prompt_tokens,
            "generation_settings": _settings(request.sampling, self._window)
            | {"n_predict": request.max_tokens, "stream": request.stream},
            "prompt": "",
            "has_new_line": self._lines.broken,
            "truncated": False,
            "stop_type": "limit" if self._lines.ended else STOP_TYPES.get(finish, "none"),
            "stopping_word": "",
            "tokens_cached": usage.prompt_tokens + usage.completion_tokens,
            "timings": write_timings(usage),
        }
        return orjson.dumps(_picked(body, self._asked.fields))


class Indented:
    """Text up to the first line that is indented by fewer than ``least`` characters; the first line always counts.

    ``broken``: there was a line break; ``ended``: nothing further counts, and its engine need not go on. llama-server's
    rule: white space at the start of a line tells nothing until something follows it, so it is held back until then.
    """

    def __init__(self, least: int) -> None:
        self.broken = False
        self.ended = False
        self._least = least
        self._held = ""

    def feed(self, text: str) -> str:
        if self.ended:
            return ""
        if not self._least:
            self.broken = self.broken or "\n" in text
            return text
        if not self._held and "\n" not in text:
            return text
        lines = (self._held + text).split("\n")
        given = [lines[0]]
        for line in lines[1:]:
            self.broken = True
            code = line.lstrip(" \t")
            if code.strip() and len(line) - len(code) < self._least:
                self.ended, self._held = True, ""
                return "\n".join(given)
            given.append(line)
        if given[1:] and not given[-1].strip():
            self._held = "\n" + given.pop()
        else:
            self._held = ""
        return "\n".join(given)

    def rest(self) -> str:
        held, self._held = self._held, ""
        return held


def write_timings(usage: Usage) -> dict[str, float]:
    """Milliseconds and tokens a second, 0 where the engine does not say. ``prompt_n``: without what came from the cache."""
    fresh = max(usage.prompt_tokens - usage.cached_tokens, 0)
    return {
        "cache_n": usage.cached_tokens,
        **_timed("prompt", fresh, usage.prompt_seconds),
        **_timed("predicted", usage.completion_tokens, usage.completion_seconds),
    }


def _timed(name: str, tokens: int, seconds: float | None) -> dict[str, float]:
    spent = seconds or 0.0
    return {
        f"{name}_n": tokens,
        f"{name}_ms": spent * 1000,
        f"{name}_per_token_ms": spent * 1000 / tokens if tokens else 0.0,
        f"{name}_per_second": tokens / spent if spent else 0.0,
    }


def write_alternatives(bodies: Sequence[bytes]) -> bytes:
    """Several whole answers as one: a list where more than one was asked for, as llama-server has it."""
    return bodies[0] if len(bodies) == 1 else b"[" + b",".join(bodies) + b"]"


def write_error(error: FiresideError, status: int) -> bytes:
    """``status``: the HTTP status it goes out with, which decides the type."""
    kind = ERROR_TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    message = f"{error.message}; {error.remedy}" if error.remedy else error.message
    told: dict[str, object] = {"code": status, "message": message, "type": kind}
    if isinstance(error, ContextTooLong):
        told["type"] = "exceed_context_size_error"
        for name, key in (("n_prompt_tokens", "prompt_tokens"), ("n_ctx", "context_window")):
            if isinstance(tokens := error.context.get(key), int):
                told[name] = tokens
    return orjson.dumps({"error": told})


def write_health() -> bytes:
    """The answer to ``/health`` and ``/v1/health`` of a server that is ready; one that is not answers with an error of status 503."""
    return b'{"status":"ok"}'


def write_props(model: str, context_window: int, *, slots: int = 1, vision: bool = False, build: str = "") -> bytes:
    """The answer to ``/props``. llama.vscode takes the window from here. ``slots``: requests at once. ``build``: our name and version."""
    body = {
        "default_generation_settings": _settings(Sampling(), context_window) | {"id": 0, "params": {}},
        "total_slots": slots,
        "model_alias": model,
        "model_path": model,
        "modalities": {"vision": vision, "audio": False},
        "chat_template": "",
        "bos_token": "",
        "eos_token": "",
        "build_info": build,
        "is_sleeping": False,
    }
    return orjson.dumps(body)


def _settings(sampling: Sampling, context_window: int) -> dict[str, object]:
    """What was asked for; llama.vscode's status line needs it to be an object and shows its ``n_ctx``."""
    given = {
        "n_ctx": context_window or None,
        "seed": sampling.seed,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
    }
    return {name: value for name, value in given.items() if value is not None} | {"stop": list(sampling.stop)}


def _picked(body: dict[str, object], paths: Sequence[str]) -> dict[str, object]:
    """Only the values at ``paths`` ("timings/prompt_n"), each under its whole path; unknown ones are left out. llama.vim asks so."""
    if not paths:
        return body
    picked: dict[str, object] = {}
    for path in paths:
        value: object = body
        for key in path.split("/"):
            value = value.get(key, MISSING) if isinstance(value, dict) else MISSING
        if value is not MISSING:
            picked[path] = value
    return picked
