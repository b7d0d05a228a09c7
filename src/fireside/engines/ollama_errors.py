"""What an Ollama server's failures mean, and their remedies.

Knows the words Ollama uses and the traps around it (its Host check, loads that outlast a caller, answers of something that is not Ollama).
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

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
)
from fireside.engines.reply import Response, retry_after
from fireside.wire.faults import one_line, read_fault, typed_error

SHIFTED = re.compile(r"no user query found", re.IGNORECASE)
TOO_LONG = re.compile(r"(prompt is longer|input length exceeds)", re.IGNORECASE)
CANNOT = re.compile(r"does not support (\w+)", re.IGNORECASE)
LOAD_TIMEOUT = re.compile(r"timed out waiting for .*(runner|server)|context deadline exceeded", re.IGNORECASE)
UNKNOWN_MODEL = re.compile(r"model .*not found|file does not exist|pull model manifest", re.IGNORECASE)
UNREACHABLE = re.compile(r"dial tcp|no such host|connection refused|network is unreachable|i/o timeout", re.IGNORECASE)
DISK_FULL = re.compile(r"no space left", re.IGNORECASE)
NEWER = re.compile(r"requires a newer version", re.IGNORECASE)


def explain(response: Response, *, url: str, model: str = "", engine: str = "ollama") -> FiresideError:
    """The error to raise for an answer that is not what was asked for. ``url``: the server's, for the message."""
    if response.status == 403 and not response.body.strip():
        return host_refused(url, engine)
    if response.is_page:
        return not_ollama(url, "a web page", engine)
    if 300 <= response.status < 400:
        return not_ollama(url, f"go to {response.headers.get('location', 'another place')}", engine)
    words = one_line(read_fault(response.body).message)
    if "HTTPS server" in words:
        return _speaks_https(url, engine)
    if response.status in (404, 405) and not words.startswith("model"):
        return not_ollama(url, f"{response.status} {words}".strip(), engine)
    waits = retry_after(response.headers.get("retry-after", ""))
    return explain_text(response.body, status=response.status, model=model, waits=waits)


def explain_text(payload: object, *, status: int = 0, model: str = "", waits: float | None = None) -> FiresideError:
    """The error for an error body, or for an error line within a stream (``status`` 0)."""
    words = one_line(read_fault(payload).message)
    if SHIFTED.search(words) or TOO_LONG.search(words):
        return ContextTooLong(f"Ollama says: {words}", remedy="ask with less context", model=model, status=status)
    if LOAD_TIMEOUT.search(words):
        return load_timed_out(model)
    if cannot := CANNOT.search(words):
        remedy = f"choose a model that can, see: fireside models list ({cannot[1]})"
        return Invalid(f"Ollama says: {words}", remedy=remedy, status=status, lacks=cannot[1])
    if "server busy" in words:
        known: dict[str, Any] = {} if waits is None else {"retry_after": waits}
        return RateLimited("Ollama is busy and its queue is full", remedy="wait a moment", **known)
    error = typed_error(payload, status=status, model=model, retry_after=waits, source="Ollama")
    return error if error.remedy else _with_remedy(error, "see what Ollama's own log says: journalctl -u ollama")


def explain_pull(payload: object, model: str) -> FiresideError:
    """The error for an error line of ``/api/pull``."""
    words = one_line(read_fault(payload).message)
    if DISK_FULL.search(words):
        return OutOfResources(f"no room for {model}: {words}", remedy="make room where Ollama keeps its models")
    if NEWER.search(words):
        return Invalid(f"{model}: {words}", remedy="update Ollama: https://ollama.com/download")
    if UNREACHABLE.search(words):
        return ConnectionFailed(
            f"the Ollama server cannot reach the registry: {words}", remedy="check its network", cause="unreachable"
        )
    if UNKNOWN_MODEL.search(words):
        remedy = "check the name at https://ollama.com/library"
        return ModelNotFound(f"there is no model {model} to pull", remedy=remedy, model=model)
    return explain_text(payload, model=model)


def missing_model(model: str, installed: Sequence[str], *, engine: str) -> ModelNotFound:
    """Names the closest installed models, and the command that brings the missing one."""
    plain = {name.removesuffix(":latest"): name for name in installed}
    close = [plain[name] for name in get_close_matches(model.removesuffix(":latest"), plain, n=3, cutoff=0.5)]
    hint = f", did you mean {' or '.join(close)}?" if close else ""
    return ModelNotFound(
        f"{model} is not on this Ollama server{hint}",
        remedy=f"fireside models pull {model}@{engine}",
        model=model,
        closest=", ".join(close),
    )


def host_refused(url: str, engine: str) -> NotPermitted:
    """Ollama bound to loopback refuses, with no word, every Host that is not loopback or private; a tailnet's 100.x is neither to it."""
    return NotPermitted(
        f"Ollama at {url} refuses the name it is called by (403 without a word): it listens on loopback only",
        remedy=f"fireside config set engines.{engine}.host_header localhost:11434\n"
        "or let Ollama listen on that address: OLLAMA_HOST=<its address> ollama serve",
        status=403,
        cause="host",
    )


def not_ollama(url: str, what: str, engine: str) -> ConnectionFailed:
    return ConnectionFailed(
        f"what answers at {url} is not Ollama: it says {what}",
        remedy=f"give the address Ollama listens on: fireside config set engines.{engine}.url http://HOST:11434",
        retryable=False,
        cause="protocol",
    )


def load_timed_out(model: str) -> TimedOut:
    """Not to be retried at once: a caller that goes away aborts the load, so each retry would begin it anew."""
    return TimedOut(
        f"loading {model or 'the model'} took too long" if model else "loading took too long",
        remedy="raise engines.ollama.load_seconds, or choose a smaller model",
        retryable=False,
        phase="load",
    )


def improve(error: FiresideError, *, url: str, model: str = "", engine: str = "ollama") -> FiresideError:
    """An error of the transport, with what Ollama's user can do about it."""
    if isinstance(error, TimedOut) and error.context.get("phase") == "load":
        return load_timed_out(model)
    cause = error.context.get("cause")
    if cause == "refused":
        remedy = (
            "start it: ollama serve\n"
            + f"or name another address: fireside config set engines.{engine}.url http://HOST:11434"
        )
        return ConnectionFailed(f"no Ollama listens at {url}", remedy=remedy, **dict[str, Any](error.context))
    if cause == "tls" and url.startswith("https://"):
        remedy = (
            f"if it speaks plain http: fireside config set engines.{engine}.url {url.replace('https://', 'http://', 1)}"
        )
        return ConnectionFailed(error.message, remedy=remedy, retryable=False, **error.context)
    return error if error.remedy else _with_remedy(error, "find out what is wrong there: fireside doctor")


def _speaks_https(url: str, engine: str) -> ConnectionFailed:
    remedy = f"fireside config set engines.{engine}.url {url.replace('http://', 'https://', 1)}"
    return ConnectionFailed(f"{url} speaks https", remedy=remedy, retryable=False, cause="tls")


def _with_remedy(error: FiresideError, remedy: str) -> FiresideError:
    return type(error)(error.message, remedy=remedy, retryable=error.retryable, **error.context)
