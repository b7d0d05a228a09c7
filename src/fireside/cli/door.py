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
    from fireside.gateway.signals import FellBack

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Door:
    """``root``: the folder named on the command line. ``model``: who is to chat. ``flags``: settings for this run only, by dotted key."""

    root: Path | None = None
    model: str = "chat"
    flags: Mapping[str, object] = field(default_factory=dict)


_door: ContextVar[Door] = ContextVar("door")


def enter(door: Door) -> None:
    _door.set(door)


def here() -> Door:
    return _door.get(Door())


@asynccontextmanager
async def opened(root: Path | None = None) -> "AsyncIterator[Fireside]":
    """The whole house, closed again afterwards."""
    from fireside.app.fireside import Fireside
    from fireside.gateway.signals import FellBack

    door = here()
    async with await Fireside.open(root or door.root, flags=door.flags) as fireside:
        fireside.events.subscribe(FellBack, _say_fallback)
        yield fireside


def _say_fallback(event: "FellBack") -> None:
    """Another model than the one chosen is going to answer: that is never kept quiet."""
    import click

    click.echo(f"{event.source} does not answer ({event.error.message}); asking {event.target}", err=True)


@contextmanager
def opened_project(root: Path | None = None) -> "Iterator[Project]":
    """The knowledge wing alone: no engine is looked for."""
    from fireside.app.knowledge import open_project

    door = here()
    project = open_project(root or door.root, environ=os.environ)
    try:
        yield project
    finally:
        project.close()


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run ``work`` to its end. Ctrl-C cancels it, lets it close what it opened, and then raises ``KeyboardInterrupt``."""
    import asyncio

    return asyncio.run(work)
