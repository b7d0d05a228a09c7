"""What the server says while it runs: lines on the standard error, plain or JSON, each with the id of the request it belongs to.

Written by a thread: a terminal that is stopped, or a pipe nobody reads, keeps no request waiting. No line holds a prompt, an answer or a
key: of an error nobody expected its kind and place are told, not its words, which may quote what was asked.
"""

import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

import orjson

from fireside.app.serving import ServerSettings
from fireside.core.errors import FiresideError
from fireside.records.writer import Writer
from fireside.server.exchange import Exchange
from fireside.server.metrics import GONE, OTHER

REQUEST: ContextVar[str] = ContextVar("request", default="")
SECRET = re.compile(r"\b(fsd_|sk-|Bearer )[A-Za-z0-9_\-.]{6,}")
SECONDS = 0.05
LONGEST_PATH = 200
access = logging.getLogger("fireside.access")


class RequestLog:
    """Names the request in every line that is written while it is answered; and one line for the request itself, where settings say so."""

    def __init__(self, settings: Callable[[], ServerSettings]) -> None:
        self._settings = settings

    def came(self, exchange: Exchange) -> None:
        # Each request is a task of its own, so this ends with it.
        REQUEST.set(exchange.request_id)

    def left(self, exchange: Exchange) -> None:
        if self._settings().log_requests:
            facts = facts_of(exchange)
            access.info("%s", told(facts), extra={"facts": facts})


def facts_of(exchange: Exchange) -> dict[str, object]:
    """A request in names and numbers; what there is nothing to say of is left out."""
    story, principal = exchange.story, getattr(exchange, "principal", None)
    usage, failure = story.usage, story.failure
    facts: dict[str, object] = {
        "method": exchange.method,
        "route": exchange.route or OTHER,
        "path": "" if exchange.route else cleaned(exchange.path[:LONGEST_PATH]),
        "status": exchange.status or GONE,
        "seconds": round(time.perf_counter() - exchange.began, 4),
        "client": exchange.peer[0] if exchange.peer else "",
        "key": principal.name if principal is not None and principal.id else "",
        "engine": story.engine,
        "model": story.model,
        "queue": story.position,
        "fallback": story.fallback,
        "cached": story.cached,
        "first_token": round(story.first, 4) if story.first is not None else None,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "error": failure.kind if failure else "",
        "cause": failure.cause if failure and failure.cause != failure.kind else "",
    }
    return {
        name: value for name, value in facts.items() if value not in ("", None, False) and (name, value) != ("queue", 0)
    }


def told(facts: dict[str, object]) -> str:
    """For people: ``POST /v1/chat/completions 200 0.183s engine=ollama ...``."""
    first = f"{facts['method']} {facts['route']} {facts['status']} {facts['seconds']}s"
    rest = (
        f"{name}={_plain(value)}"
        for name, value in facts.items()
        if name not in ("method", "route", "status", "seconds")
    )
    return " ".join((first, *rest))


@contextmanager
def written(settings: ServerSettings, *, stream: TextIO | None = None) -> Iterator[None]:
    """Inside, what is logged goes to ``stream`` (else the standard error): Fireside's own from INFO on, the rest from WARNING on."""
    handler = LineHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else PlainLines())
    root, ours = logging.getLogger(), logging.getLogger("fireside")
    before = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        ours.setLevel(before)
        root.removeHandler(handler)
        handler.close()


class LineHandler(logging.Handler):
    """Hands lines over to a thread that writes them, in order."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._writer: Writer[str] = Writer("log", Lines(stream), seconds=SECONDS)

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.put(self.format(record))

    def close(self) -> None:
        self._writer.close()
        super().close()


class Lines:
    """A stream of text as the place where a ``Writer`` writes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, entries: Sequence[str], lost: int) -> None:
        gap = [f"({lost} lines are missing here)"] if lost else []
        try:
            self._stream.write("".join(line + "\n" for line in (*entries, *gap)))
            self._stream.flush()
        except ValueError as error:
            # Closed: by whoever gave it, for good.
            raise OSError(str(error)) from error


class JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message, request; the facts of a request beside them."""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, object] = getattr(record, "facts", {})
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            **({} if facts else {"message": cleaned(record.getMessage())}),
            **facts,
        }
        if request := REQUEST.get():
            line["request"] = request
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = places(record.exc_info[1])
        return orjson.dumps(line, default=str).decode()


class PlainLines(logging.Formatter):
    """For people: time, level, message, request; where an error came from below."""

    def format(self, record: logging.LogRecord) -> str:
        request = REQUEST.get()
        # What comes from outside may hold what moves the cursor of a terminal, or looks like the next line.
        message = _plain(cleaned(record.getMessage()))
        line = f"{_time(record)} {record.levelname.lower()} {message}{f' [{request}]' if request else ''}"
        if record.exc_info and record.exc_info[1] is not None:
            line = "\n  ".join((line, *places(record.exc_info[1])))
        return line


def cleaned(message: str) -> str:
    """Without keys, should one have got into it."""
    return SECRET.sub(r"\1...", message)


def places(error: BaseException) -> list[str]:
    """What happened, and where, the innermost place last. Words only of our own errors: those of others may quote a prompt."""
    said = f"{type(error).__name__}{f': {cleaned(error.message)}' if isinstance(error, FiresideError) else ''}"
    frames = traceback.extract_tb(error.__traceback__)
    return [said, *(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)]


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _plain(value: object) -> str:
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape", "replace").decode("ascii", "replace")
