"""What every dialect's answer can do, and the HTTP status an error has where a dialect does not say otherwise. Knows no socket."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from fireside.core.errors import ErrorKind, FiresideError
from fireside.core.requests import Delta

# Refused or broken off is 502, an engine that is resting 503, a time-out 504: a client may tell them apart, and a proxy before us, too.
STATUS: Mapping[ErrorKind, int] = {
    ErrorKind.CONNECTION: 502,
    ErrorKind.MODEL_NOT_FOUND: 404,
    ErrorKind.TIMEOUT: 504,
    ErrorKind.RESOURCE: 503,
    ErrorKind.RATE_LIMIT: 429,
    ErrorKind.VALIDATION: 400,
    ErrorKind.TOOL_EXECUTION: 500,
    ErrorKind.PERMISSION: 403,
    ErrorKind.CONTEXT_LENGTH: 400,
    ErrorKind.UNKNOWN: 500,
}
RESTING = frozenset(("breaker", "down", "queue", "draining"))


class Answer(Protocol):
    """One answer in one dialect. Use it once: either ``begin``, ``write`` ..., or ``whole``."""

    @property
    def media_type(self) -> str:
        """Of the stream, for example ``text/event-stream``."""
        ...

    def begin(self) -> bytes:
        """What a stream says before the first piece; may be empty."""
        ...

    def write(self, deltas: Sequence[Delta]) -> bytes:
        """The bytes for these pieces, in order; behind the piece with the finish reason stands whatever ends the stream."""
        ...

    def fail(self, error: FiresideError) -> bytes:
        """Ends a stream that had begun and cannot go on. No finish reason and no end marker of success is in it."""
        ...

    def wait(self, note: str) -> bytes:
        """Keeps a silent stream open; readers ignore it. Empty where the dialect has no such thing."""
        ...

    def whole(self, deltas: Sequence[Delta]) -> bytes:
        """All pieces as the one JSON body of an answer that is not streamed."""
        ...


def status_of(error: FiresideError) -> int:
    """An error may name its own (``context["http_status"]``: 401, 404, 405, 413 ...); the status an engine gave us is not ours."""
    own = error.context.get("http_status")
    if isinstance(own, int):
        return own
    if error.context.get("cause") in RESTING and error.kind is not ErrorKind.RATE_LIMIT:
        return 503
    return STATUS[error.kind]
