"""What an engine should never raise, as what it may: plug-ins are other people's code, and a reader is owed one typed line."""

from collections.abc import Iterator
from contextlib import contextmanager

from fireside.core.errors import FiresideError, Unknown


@contextmanager
def typed(engine: str) -> Iterator[None]:
    """Let typed errors pass, and turn any other into ``Unknown``."""
    try:
        yield
    except Exception as error:
        known = as_typed(engine, error)
        if known is error:
            raise
        raise known from error


def as_typed(engine: str, error: Exception) -> FiresideError:
    """The error itself where it is typed."""
    if isinstance(error, FiresideError):
        return error
    return Unknown(
        f"the engine {engine} failed in a way it should not: {type(error).__name__}: {' '.join(str(error).split())}",
        remedy="run it again with --debug and report what it prints",
    )
