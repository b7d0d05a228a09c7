"""What whoever asks wants engines to be told besides the request: which trace it belongs to. Only those of the user's own are told."""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

# Header name, in lower case -> value; W3C's traceparent and tracestate.
TRAIL: ContextVar[Mapping[str, str]] = ContextVar("trail", default=MappingProxyType({}))
