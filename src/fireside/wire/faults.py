"""What another program's error means: any of the JSON shapes in use, under any status, to one typed error.

Knows OpenAI's, Anthropic's, Ollama's, llama.cpp's, vLLM's and FastAPI's shapes; nothing of sockets. Ollama's ``error`` may itself be the
JSON text of another server's error, so errors are unwrapped until words are found.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from fireside.core.errors import (
    ConnectionFailed,
    ContextTooLong,
    FiresideError,
    Invalid,
    ModelNotFound,
    NotPermitted,
    OutOfResources,
    RateLimited,
    TimedOut,
    Unknown,
)

NESTING = 6
LINE = 300
TOO_LONG = re.compile(
    r"context[_ -]?(length|window|size)|exceed_context_size|maximum (context|prompt|input)|prompt is too long"
    r"|input (length|is too long)|longer than the (maximum|context|model)|too many (input )?tokens|max_model_len",
    re.IGNORECASE,
)
NO_MEMORY = re.compile(
    r"out of memory|not enough memory|insufficient memory|more system memory|cudamalloc|\boom\b", re.IGNORECASE
)
NO_MODEL = re.compile(
    r"model\b.*\b(not found|does not exist|not exist|not loaded|unknown|no such)|(no such|unknown|invalid|not a valid) model",
    re.IGNORECASE | re.DOTALL,
)
NUMBERS = re.compile(r"\d[\d,]{0,15}")
STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 403,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
    "unavailable_error": 503,
    "not_supported_error": 501,
    "api_error": 500,
    "server_error": 500,
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """Which error to raise, what helps, whether trying again may (``None``: as that error usually is), and facts to keep."""

    error: type[FiresideError]
    remedy: str = ""
    retryable: bool | None = None
    facts: tuple[tuple[str, str], ...] = ()


WAIT = "wait a little, or use another engine"
TOO_LONG_MEANT = Meaning(ContextTooLong, "ask with less context, or a model with a larger window")
NO_MEMORY_MEANT = Meaning(OutOfResources, "choose a smaller model, or a smaller context window")
NO_MODEL_MEANT = Meaning(ModelNotFound, "see what is there: fireside models list")
REFUSED = Meaning(Invalid, "the server does not take this request as it is: try another model or engine")
FAILED = Meaning(Unknown, "try again; if it stays so, look at the server's log", retryable=True)
MEANINGS: Mapping[int, Meaning] = {
    401: Meaning(NotPermitted, "check the key: engines.<name>.key_name says which secret holds it"),
    403: Meaning(NotPermitted, "this key may not do that: ask for access, or use another model"),
    404: Meaning(Invalid, "the server has no such route: check the path of base_url"),
    405: Meaning(Invalid, "the server has no such route: check the path of base_url"),
    408: Meaning(TimedOut, "try again, or ask for less", facts=(("phase", "total"),)),
    413: Meaning(ContextTooLong, "ask with less context"),
    429: Meaning(RateLimited, WAIT),
    499: Meaning(ConnectionFailed, "try again", facts=(("cause", "cut"),)),
    501: Meaning(Invalid, "this server cannot do that: choose another engine for it"),
    502: Meaning(
        ConnectionFailed, "what stands behind this address does not answer: start it", facts=(("cause", "unreachable"),)
    ),
    503: Meaning(OutOfResources, WAIT, retryable=True),
    504: Meaning(TimedOut, "try again, or ask for less", facts=(("phase", "total"),)),
    507: Meaning(OutOfResources, "choose a smaller model, or make room"),
    529: Meaning(RateLimited, WAIT),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as the other side told it. ``kind``: its own word (``type`` or ``code``); ``numbers``: token counts, where named."""

    message: str = ""
    kind: str = ""
    status: int = 0
    numbers: tuple[tuple[str, int], ...] = ()


def read_fault(payload: object) -> Fault:
    """Find the words in an error body: JSON as bytes, text or already decoded; plain text is its own message."""
    fault = Fault()
    for _ in range(NESTING):
        if isinstance(payload, bytes | bytearray):
            payload = payload.decode("utf-8", "replace")
        if isinstance(payload, str):
            decoded = _decode(payload)
            if decoded is None:
                return _with(fault, message=payload)
            payload = decoded
        if isinstance(payload, list):
            payload = payload[0] if payload else ""
            continue
        if not isinstance(payload, Mapping):
            return fault
        fault = _with(fault, payload=payload)
        payload = next((payload[key] for key in ("error", "message", "detail", "msg") if payload.get(key)), "")
        if payload == "":
            return fault
    return fault


def typed_error(
    payload: object, *, status: int = 0, model: str = "", retry_after: float | None = None, source: str = "the server"
) -> FiresideError:
    """The error to raise for an error body.

    ``status``: of the HTTP answer; 0 for an error inside a stream, whose own code or type then decides. ``model``: the name asked for.
    ``retry_after``: seconds, from the header. ``source``: who says so, for the message.
    """
    fault = read_fault(payload)
    code = status if status >= 400 else fault.status or STATUS_OF_TYPE.get(fault.kind, 500)
    meaning = _meaning(fault, code, model, retry_after)
    message = f"{source} says: {one_line(fault.message) or f'no reason given (status {code})'}"
    if meaning.error is ModelNotFound and model not in message:
        message = f"{model}: {message}"
    facts: dict[str, Any] = {"status": code, **dict(meaning.facts)}
    if meaning.error is ContextTooLong:
        facts |= _tokens(fault)
    if meaning.error is ModelNotFound:
        facts["model"] = model
    if meaning.error is RateLimited and retry_after is not None:
        facts["retry_after"] = retry_after
    return meaning.error(message, remedy=meaning.remedy, retryable=meaning.retryable, **facts)


def one_line(text: str) -> str:
    """Text as one line of at most 300 characters."""
    line = " ".join(text.split())
    return line if len(line) <= LINE else line[: LINE - 1] + "…"


def _meaning(fault: Fault, code: int, model: str, retry_after: float | None) -> Meaning:
    """What an error is: by its words where they say more than the status, else by the status."""
    words = f"{fault.kind} {fault.message}"
    if (code in (400, 413, 422) or code >= 500) and TOO_LONG.search(words):
        return TOO_LONG_MEANT
    if code >= 500 and NO_MEMORY.search(words):
        return NO_MEMORY_MEANT
    missing = fault.kind == "model_not_found" or NO_MODEL.search(words) is not None
    if code in (400, 404, 422) and (missing or (code == 404 and bool(model) and model in fault.message)):
        return NO_MODEL_MEANT
    if fault.kind == "insufficient_quota":
        return Meaning(RateLimited, "the account has no credit left: use another engine", retryable=False)
    if code == 503 and retry_after is not None:
        return MEANINGS[429]
    return MEANINGS.get(code) or (FAILED if code >= 500 else REFUSED)


def _with(fault: Fault, *, message: str = "", payload: Mapping[str, object] | None = None) -> Fault:
    if payload is None:
        return Fault(message, fault.kind, fault.status, fault.numbers)
    status = next((value for key in ("code", "status", "status_code") if isinstance(value := payload.get(key), int)), 0)
    words = [
        value for key in ("code", "type") if isinstance(value := payload.get(key), str) and value not in ("error", "")
    ]
    numbers = tuple((key, value) for key, value in payload.items() if isinstance(value, int) and key != "code")
    return Fault(fault.message, next(iter(words), fault.kind), status or fault.status, fault.numbers + numbers)


def _decode(text: str) -> object | None:
    stripped = text.strip()
    if not stripped.startswith(("{", "[")):
        return None
    try:
        value: object = orjson.loads(stripped)
    except orjson.JSONDecodeError:
        return None
    return value


def _tokens(fault: Fault) -> dict[str, int]:
    """Token counts where the error names them: llama.cpp as fields, OpenAI and vLLM in words."""
    named = dict(fault.numbers)
    if "n_prompt_tokens" in named and "n_ctx" in named:
        return {"prompt_tokens": named["n_prompt_tokens"], "context_window": named["n_ctx"]}
    window = re.search(
        r"(?:context length|maximum length|context window)[^\d]{0,20}(\d[\d,]{0,15})|> (\d[\d,]{0,15}) maximum",
        fault.message,
    )
    if window is None:
        return {}
    limit = int((window.group(1) or window.group(2)).replace(",", ""))
    others = [
        number for number in (int(text.replace(",", "")) for text in NUMBERS.findall(fault.message)) if number > limit
    ]
    return {"context_window": limit} | ({"prompt_tokens": others[0]} if others else {})
