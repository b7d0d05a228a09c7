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
    from fireside.gateway.signals import Signal
    from fireside.index.chunks import IndexReport

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
    from fireside.gateway.signals import Signal

    door = here()
    async with await Fireside.open(root or door.root, flags=door.flags) as fireside:
        fireside.events.subscribe(Signal, _say)
        yield fireside


def _say(event: "Signal") -> None:
    """What happens to a request behind the scenes and is never kept quiet: another model, a shortened conversation, a line to wait in."""
    import click

    from fireside.gateway import signals

    match event:
        case signals.FellBack(source=source, target=target, error=error):
            click.echo(f"{source} does not answer ({error.message}); asking {target}", err=True)
        case signals.Trimmed(messages=messages, characters=characters, model=model):
            what = (
                f"{characters} characters far from the cursor" if characters else f"{messages} of the oldest messages"
            )
            click.echo(f"{what} left out: {model} takes no more", err=True)
        case signals.Clamped(asked=asked, given=given, model=model):
            click.echo(f"an answer of {given} tokens at most, not {asked}: {model} has no room for more", err=True)
        case signals.Queued(engine=engine, position=position) if position > 0:
            click.echo(f"{engine} is busy: number {position} in line", err=True)
        case signals.PullMoved(model=model, progress=progress) if progress.total:
            share = progress.completed / progress.total
            click.echo(f"\rpulling {model}: {share:4.0%}", nl=share >= 1, err=True)


@contextmanager
def opened_project(root: Path | None = None) -> "Iterator[Project]":
    """The knowledge wing alone: no engine is looked for."""
    from fireside.app.knowledge import open_project

    door = here()
    project = open_project(root or door.root, environ=os.environ, flags=door.flags)
    try:
        yield project
    finally:
        project.close()


def read_project(project: "Project") -> "IndexReport":
    """Bring the index up to date, with a bar. Ctrl-C breaks it off at once, also inside an event loop, which would only take note."""
    import signal

    from fireside.cli.progress import progress_bar

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with progress_bar() as progress:
            return project.update(progress)
    finally:
        signal.signal(signal.SIGINT, before)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run ``work`` to its end. Ctrl-C cancels it, lets it close what it opened, and then raises ``KeyboardInterrupt``."""
    import asyncio

    return asyncio.run(work)
