"""Every error Fireside raises on purpose: what happened, what kind it is, and what to do about it.

A room raises where the knowledge is; a decision (retry, next engine, give up) reads ``kind`` and ``retryable``; a door draws
``message`` and ``remedy`` once. Nothing here knows how an error is drawn.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar


class ErrorKind(StrEnum):
    """The ten kinds a caller can decide on."""

    CONNECTION = "connection"
    MODEL_NOT_FOUND = "model_not_found"
    TIMEOUT = "timeout"
    RESOURCE = "resource"
    RATE_LIMIT = "rate_limit"
    VALIDATION = "validation"
    TOOL_EXECUTION = "tool_execution"
    PERMISSION = "permission"
    CONTEXT_LENGTH = "context_length"
    UNKNOWN = "unknown"


class FiresideError(Exception):
    """One line that says what happened, and the remedy.

    ``message``: one line, no trailing full stop needed. ``remedy``: what the user can do, often a command; empty when nothing helps.
    ``retryable``: whether the same request may succeed if sent again; by default decided by the kind.
    ``context``: facts for logs and for callers that decide (status, url, cause, ...); never secrets, never prompt text.
    """

    kind: ClassVar[ErrorKind] = ErrorKind.UNKNOWN
    retryable_by_default: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str = "", retryable: bool | None = None, **context: object) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.retryable = self.retryable_by_default if retryable is None else retryable
        self.context: Mapping[str, object] = MappingProxyType(context)

    def as_dict(self) -> dict[str, object]:
        """The error as plain data, for ``--json`` and for logs."""
        return {
            "kind": str(self.kind),
            "message": self.message,
            "remedy": self.remedy,
            "retryable": self.retryable,
            "context": {
                key: value for key, value in self.context.items() if isinstance(value, str | int | float | bool)
            },
        }


class ConnectionFailed(FiresideError):
    """Nothing answered, or the answer broke off. ``context["cause"]``: refused, reset, dns, tls, unreachable, cut,
    crash (of a child of ours) or protocol."""

    kind = ErrorKind.CONNECTION
    retryable_by_default = True


class ModelNotFound(FiresideError):
    kind = ErrorKind.MODEL_NOT_FOUND


class TimedOut(FiresideError):
    """``context["phase"]``: connect, load, first_token, stall, slow or total."""

    kind = ErrorKind.TIMEOUT
    retryable_by_default = True


class OutOfResources(FiresideError):
    """Memory, disk, slots: the machine has no room for this now."""

    kind = ErrorKind.RESOURCE


class RateLimited(FiresideError):
    """``context["retry_after"]``: seconds, when the other side named them."""

    kind = ErrorKind.RATE_LIMIT
    retryable_by_default = True


class Invalid(FiresideError):
    """The input or the answer is not what it must be; sending it again will not help."""

    kind = ErrorKind.VALIDATION


class ToolFailed(FiresideError):
    kind = ErrorKind.TOOL_EXECUTION


class NotPermitted(FiresideError):
    kind = ErrorKind.PERMISSION


class ContextTooLong(FiresideError):
    """``context["prompt_tokens"]`` and ``context["context_window"]`` in tokens, where known."""

    kind = ErrorKind.CONTEXT_LENGTH


class Unknown(FiresideError):
    kind = ErrorKind.UNKNOWN


ERRORS: Mapping[ErrorKind, type[FiresideError]] = MappingProxyType(
    {
        error.kind: error
        for error in (
            ConnectionFailed,
            ModelNotFound,
            TimedOut,
            OutOfResources,
            RateLimited,
            Invalid,
            ToolFailed,
            NotPermitted,
            ContextTooLong,
            Unknown,
        )
    }
)
