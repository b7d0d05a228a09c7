"""How far a stage of training is: a bar with the time that is left in a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from fireside.training.stages import Step

PLAIN_SECONDS = 10.0


@contextmanager
def stage_progress(stream: IO[str] | None = None) -> "Iterator[Callable[[Step], None]]":
    """Hears every step of every stage, and draws the one that runs."""
    out = stream or sys.stderr
    if not out.isatty():
        yield _plain(out)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    bars = Progress(*columns, console=Console(file=out), transient=True)
    tasks: dict[str, TaskID] = {}
    with bars:

        def show(step: "Step") -> None:
            for stage, task in tasks.items():
                if stage != step.stage:
                    bars.update(task, visible=False)
            if step.stage not in tasks:
                tasks[step.stage] = bars.add_task(step.stage, total=None, note="")
            bars.update(
                tasks[step.stage], completed=step.done, total=step.total or None, note=_note(step), visible=True
            )

        yield show


def _plain(out: IO[str]) -> "Callable[[Step], None]":
    said: dict[str, float] = {}
    began: dict[str, float] = {}

    def show(step: "Step") -> None:
        now = time.monotonic()
        began.setdefault(step.stage, now)
        if now - said.setdefault(step.stage, now) < PLAIN_SECONDS:
            return
        said[step.stage] = now
        spent = now - began[step.stage]
        left = f", {spent / step.done * (step.total - step.done):.0f} s left" if step.total and step.done else ""
        print(f"{step.stage}: {_note(step)}, {spent:.0f} s{left}", file=out, flush=True)

    return show


def _note(step: "Step") -> str:
    count = f"{step.done:,.0f} of {step.total:,.0f}" if step.total else f"{step.done:,.0f}"
    return "  ".join(filter(None, (f"{count} {step.unit}".strip(), step.note)))
