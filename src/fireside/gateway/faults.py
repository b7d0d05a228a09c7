"""What an engine should never raise, as what it may: plug-ins are other people's code, and a reader is owed one typed line."""

from collections.abc import Iterator
from contextlib import contextmanager

from fireside.core.errors import FiresideError, Unknown


@contextmanager
def typed(engine: str) -> Iterator[None]:
    """Let typed errors pass, and turn any other into ``Unknown``."""
    try:
        yield
    except FiresideError:
        raise
    except Exception as error:
        raise Unknown(
            f"the engine {engine} failed in a way it should not: {type(error).__name__}: {' '.join(str(error).split())}",
            remedy="run it again with --debug and report what it prints",
        ) from error
