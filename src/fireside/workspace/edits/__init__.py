"""Edits that a model wrote, applied to files: every format, all or nothing, never a guess. Imports its rooms only when they are used.

``apply_edits(answer, files)`` returns the new files or raises ``EditRefused``; see docs/edits.md.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fireside.workspace.edits.apply import FileChange as FileChange
    from fireside.workspace.edits.apply import apply_edits as apply_edits
    from fireside.workspace.edits.apply import plan_edits as plan_edits
    from fireside.workspace.edits.refusals import EditRefused as EditRefused
    from fireside.workspace.edits.refusals import Refusal as Refusal

PLACES = {
    "apply_edits": "apply",
    "plan_edits": "apply",
    "FileChange": "apply",
    "EditRefused": "refusals",
    "Refusal": "refusals",
}


def __getattr__(name: str) -> object:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{PLACES[name]}"), name)
