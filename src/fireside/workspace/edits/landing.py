"""An answer carried out in a workspace: planned from the files as they are, written in one step that can be taken back."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff

from fireside.core.errors import Invalid
from fireside.workspace.checkpoints import Checkpoints
from fireside.workspace.edits.apply import FileChange, plan_edits
from fireside.workspace.edits.document import read_document
from fireside.workspace.edits.function import Outline, python_outline
from fireside.workspace.edits.tree import Tree
from fireside.workspace.workspace import Workspace
from fireside.workspace.writing import FileWrite, write_all

MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """``changes``: by path. ``tree``: the files they were planned from, as they were read."""

    changes: tuple[FileChange, ...]
    tree: Tree

    def writes(self) -> list[FileWrite]:
        """What to write, each against the bytes it was planned from."""
        found: list[FileWrite] = []
        for change in self.changes:
            source = change.source or change.path
            before = self.tree.digests.get(source) if source in self.tree else None
            data = change.data.encode() if isinstance(change.data, str) else change.data
            if change.source:
                found.append(FileWrite(source, None, before))
                found.append(FileWrite(change.path, data, None, self.tree.mode(source)))
            else:
                found.append(FileWrite(change.path, data, before))
        return found

    def diff(self) -> list[str]:
        """A unified diff of all changes, line by line, without line ends."""
        lines: list[str] = []
        for change in self.changes:
            source = change.source or change.path
            before = read_document(self.tree[source]).texts if source in self.tree else []
            after = read_document(change.data).texts if change.data is not None else []
            old = f"a/{source}" if source in self.tree else "/dev/null"
            new = f"b/{change.path}" if change.data is not None else "/dev/null"
            if change.source:
                lines += [f"rename from {source}", f"rename to {change.path}"]
            lines += unified_diff(before, after, old, new, lineterm="")
        return lines


def plan_answer(workspace: Workspace, answer: str, *, format: str = "auto", outline: Outline = python_outline) -> Plan:
    """What the answer would change. Reads only the files it names. Raises as ``apply_edits`` does."""
    tree = Tree(workspace)
    changes = plan_edits(answer, tree, format=format, outline=outline, excluded=tree.excluded, root=str(workspace.root))
    return Plan(changes, tree)


def carry_out(plan: Plan, checkpoints: Checkpoints) -> None:
    """Write all changes, as one step for undo. Raises as ``write_all`` and ``Checkpoints.change`` do, and then nothing is written."""
    paths = [path for change in plan.changes for path in (change.source, change.path) if path]
    with checkpoints.change(_label(plan.changes), paths):
        write_all(plan.tree.workspace, plan.writes(), state=checkpoints.folder)


def _label(changes: Sequence[FileChange]) -> str:
    if not changes:
        raise Invalid("there is nothing to write")
    names = ", ".join(change.path for change in changes[:MOST_NAMED])
    more = f" and {len(changes) - MOST_NAMED} more" if len(changes) > MOST_NAMED else ""
    return f"edit {names}{more}"
