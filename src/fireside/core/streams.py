"""Streams are pipelines of async generators; closing the outer one must close the inner ones at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

Item = TypeVar("Item")


@asynccontextmanager
async def closing(stream: AsyncIterator[Item]) -> AsyncIterator[AsyncIterator[Item]]:
    """``contextlib.aclosing`` for anything typed as an ``AsyncIterator``: closed when left, however it is left."""
    try:
        yield stream
    finally:
        aclose = getattr(stream, "aclose", None)
        if aclose is not None:
            await aclose()
