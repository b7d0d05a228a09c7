"""What one run of the command stands in: the project, the flags; and how a command opens what it needs."""

import os
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from fireside.app.fireside import Fireside
    from fireside.context.project import Project

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Door:
    """``root``: the folder named on the command line. ``flags``: settings for this run only, dotted key -> value."""

    root: Path | None = None
    flags: Mapping[str, object] = field(default_factory=dict)


_door: ContextVar[Door] = ContextVar("door", default=Door())


def enter(door: Door) -> None:
    _door.set(door)


def here() -> Door:
    return _door.get()


@asynccontextmanager
async def opened(root: Path | None = None) -> "AsyncIterator[Fireside]":
    """The whole house, closed again afterwards."""
    from fireside.app.fireside import Fireside

    door = here()
    async with await Fireside.open(root or door.root, flags=door.flags) as fireside:
        yield fireside


@contextmanager
def opened_project(root: Path | None = None) -> "Iterator[Project]":
    """The knowledge wing alone: no engine is looked for."""
    from fireside.app.assembly import open_project

    door = here()
    project = open_project(root or door.root, environ=os.environ, flags=door.flags)
    try:
        yield project
    finally:
        project.close()


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run ``work`` to its end. Ctrl-C cancels it, lets it close what it opened, and then raises ``KeyboardInterrupt``."""
    import asyncio

    return asyncio.run(work)
