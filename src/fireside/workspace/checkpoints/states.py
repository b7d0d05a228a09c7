"""What is said about checkpoints and the files in them. Knows no disk and no store."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

# Which checkpoints undo can take back: what Fireside made. "found": what somebody else had done since the one before.
Kind = Literal["found", "change", "restore", "undo", "redo"]
Action = Literal["created", "changed", "deleted"]
# The mark of a file that is there but whose contents are not kept; the reason follows.
UNCOVERED = "uncovered:"


class Version(NamedTuple):
    """What a file was. ``mark``: see ``marks``, or ``uncovered:`` and why. ``mode``: permission bits (0 for a link)."""

    mark: str
    mode: int

    @property
    def uncovered(self) -> str:
        """Why the contents are not kept; "" when they are."""
        return self.mark.removeprefix(UNCOVERED) if self.mark.startswith(UNCOVERED) else ""


class Entry(NamedTuple):
    """A file as it was seen last: enough to tell without reading it whether it is still the same."""

    size: int
    mtime_ns: int
    ctime_ns: int
    version: Version


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that no checkpoint covers. ``reason``: a few words."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file in two states. ``before``, ``after``: None when it was not there."""

    path: str
    before: Version | None
    after: Version | None

    @property
    def action(self) -> Action:
        if self.before is None:
            return "created"
        return "deleted" if self.after is None else "changed"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One state. ``id``: counts up. ``when``: seconds since 1970. ``files``: how many it covers; ``changed``: how many of them are not
    as in the checkpoint before (0 for the first). ``of``: what an undo or redo took back. ``skipped``: only told by ``take``.
    """

    id: int
    label: str
    when: float
    kind: Kind
    files: int
    changed: int
    of: int | None = None
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class Restored:
    """What undo, redo or restore did. ``label``: of what was undone or gone back to. ``files``: by path.

    ``left``: files that could not be brought back, or would be lost, because their contents were not kept; they stay as they are.
    ``checkpoint``: the id of the state that was reached; None for a dry run.
    """

    label: str
    files: tuple[FileChange, ...]
    left: tuple[Skipped, ...] = ()
    checkpoint: int | None = None
