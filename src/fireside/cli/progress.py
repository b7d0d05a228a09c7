"""The bar that every reading of the project shows: in a terminal a bar, elsewhere a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from fireside.index.chunks import Progress

PLAIN_PROGRESS_SECONDS = 5.0


@contextmanager
def progress_bar(stream: IO[str] | None = None) -> "Iterator[Callable[[Progress], None]]":
    """A bar on standard error in a terminal; a line now and then elsewhere, and none when it is quick."""
    out = stream or sys.stderr
    if not out.isatty():
        yield _plain_progress(out)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("reading"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    bar = Bar(*columns, console=Console(file=out), transient=True)
    task = bar.add_task("", total=None, visible=False)
    with bar:

        def show(progress: "Progress") -> None:
            bar.update(
                task,
                completed=progress.done,
                total=progress.total,
                description=_shorten(progress.path, 40),
                visible=True,
            )

        yield show


def _plain_progress(out: IO[str]) -> "Callable[[Progress], None]":
    began = said = time.monotonic()

    def show(progress: "Progress") -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= PLAIN_PROGRESS_SECONDS:
            said = now
            print(
                f"reading the project: {progress.done} of {progress.total} files, {now - began:.0f} s",
                file=out,
                flush=True,
            )

    return show


def _shorten(path: str, width: int) -> str:
    return path if len(path) <= width else "…" + path[1 - width :]
