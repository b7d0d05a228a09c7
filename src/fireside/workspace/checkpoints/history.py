"""What undo and redo mean: which change is next, and what each of its files must become. Pure: knows no disk and no store.

Undo turns one change around and leaves alone what it did not touch: where somebody has changed the same file since, that is a conflict.
Contents and mode bits are looked at one by one, so that a file made executable since can still get its old contents back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from fireside.workspace.checkpoints.states import Checkpoint, FileChange, Skipped, Version

Part = TypeVar("Part", str, int)


@dataclass(slots=True)
class Turnaround:
    """``changes``: what is to happen to which file. ``conflicts``: files that somebody has changed since. ``left``: see ``Restored``."""

    changes: list[FileChange] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    left: list[Skipped] = field(default_factory=list)


def next_ones(log: Sequence[Checkpoint]) -> tuple[int | None, int | None]:
    """The checkpoint that undo turns around next, and the one that redo does. ``log``: oldest first."""
    standing: list[int] = []
    undone: list[int] = []
    for one in log:
        if one.kind in ("change", "restore"):
            standing.append(one.id)
            undone.clear()
        elif one.kind == "undo":
            standing = [number for number in standing if number != one.of]
            undone.append(one.id)
        elif one.kind == "redo":
            undone = [number for number in undone if number != one.of]
            standing.append(one.id)
    return (standing[-1] if standing else None), (undone[-1] if undone else None)


def turn_around(made: Iterable[FileChange], now: Mapping[str, Version | None], *, force: bool = False) -> Turnaround:
    """How to take back what was ``made``, given what the files are ``now``. ``force``: also where somebody has changed them since."""
    plan = Turnaround()
    for one in made:
        there = now[one.path]
        if there == one.before:
            continue
        wanted = one.before if force else _merged(one, there)
        if isinstance(wanted, str):
            plan.conflicts.append(one.path)
        else:
            _aim(plan, one.path, there, wanted)
    return plan


def go_to(wanted: Mapping[str, Version | None], now: Mapping[str, Version | None]) -> Turnaround:
    """How to make every file what it was."""
    plan = Turnaround()
    for path in sorted(wanted):
        _aim(plan, path, now[path], wanted[path])
    return plan


def _aim(plan: Turnaround, path: str, there: Version | None, wanted: Version | None) -> None:
    """Nothing is put over contents that could not be brought back, and nothing is made of contents that were never kept."""
    if there == wanted:
        return
    if wanted is not None and wanted.uncovered:
        plan.left.append(Skipped(path, f"its contents were not kept: {wanted.uncovered}"))
    elif there is not None and there.uncovered:
        plan.left.append(Skipped(path, f"what is in it now could not be brought back: {there.uncovered}"))
    else:
        plan.changes.append(FileChange(path, there, wanted))


def _merged(made: FileChange, there: Version | None) -> Version | str | None:
    """What the file becomes, or "conflict"."""
    before, after = made.before, made.after
    if there == after:
        return before
    if before is None:
        # Made by the change; only other mode bits since is no reason to keep it.
        return None if there is not None and after is not None and there.mark == after.mark else "conflict"
    if there is None or after is None:
        return there if there is not None and there.mark == before.mark else "conflict"
    mark = _side(before.mark, after.mark, there.mark)
    mode = _side(before.mode, after.mode, there.mode)
    return "conflict" if mark is None or mode is None else Version(mark, mode)


def _side(before: Part, after: Part, there: Part) -> Part | None:
    """One side of a file: back to ``before``, unless the change left it alone; None when somebody else has changed it since."""
    if before == after or there == before:
        return there
    return before if there == after else None
