"""Why an edit was not applied, in words a program can branch on and a model can act on. Knows no format."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from fireside.core.errors import Invalid
from fireside.core.values import replace

Reason = Literal[
    "ambiguous",  # fits in more than one place
    "not_found",  # fits nowhere
    "truncated",  # the answer breaks off
    "elided",  # stands for code that it does not show
    "outside_root",
    "protected",  # version control's own files, and what the user excluded
    "exists",  # a new file that is already there
    "missing",  # a file that is not there
    "changed_since_read",
    "overlap",  # two edits want the same lines
    "no_op",
    "malformed",
    "too_large",
    "binary",
    "encoding",  # the file's encoding has no such character
    "redacted",  # the placeholder of a key that the prompt did not show
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """``path``: as far as it is known, else "". ``nearest``: the real lines (``12: text``), or file names, that come closest."""

    path: str
    reason: Reason
    message: str
    nearest: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class EditRefused(Invalid):
    """Nothing was applied. ``refusals``: each edit that could not be, in the order of the answer; never empty."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(refusals)
        first = self.refusals[0]
        more = f" (and {len(self.refusals) - 1} more)" if len(self.refusals) > 1 else ""
        remedy = "the nearest lines are:\n" + "\n".join(first.nearest) if first.nearest else ""
        super().__init__(f"{first}{more}", remedy=remedy, reason=first.reason, path=first.path)

    def at(self, path: str) -> "EditRefused":
        """The same, said of ``path`` where no path was said."""
        return EditRefused([refusal if refusal.path else replace(refusal, path=path) for refusal in self.refusals])


def refuse(reason: Reason, message: str, nearest: Iterable[str] = (), *, path: str = "") -> EditRefused:
    """One refusal, to be raised."""
    return EditRefused([Refusal(path, reason, message, tuple(nearest))])
