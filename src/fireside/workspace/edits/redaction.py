"""Placeholders that prompts show for keys, in what an answer writes: such a text never stands for what the file holds. Changes nothing."""

import re

from fireside.workspace.edits.operations import Action, InsertAfter, Replace, Rewrite, Substitute, Write
from fireside.workspace.edits.refusals import refuse

# As ``workspace/exposure.py`` writes them; a model may lose the end.
PLACEHOLDER = re.compile(r"<redacted: [^>\n]{0,100}>?")


def check_redacted(action: Action, before: str) -> None:
    """``before``: the file, "" for a new one. Raises ``EditRefused`` (redacted) for a placeholder that is no text of the file's own."""
    for found in PLACEHOLDER.finditer(_new_text(action)):
        if found[0] not in before:
            raise refuse("redacted", f"{found[0]} stands for a key that was not shown; leave that line out of the edit")


def _new_text(action: Action) -> str:
    match action:
        case Replace():
            return "\n".join(action.replace)
        case Substitute():
            return action.new
        case Rewrite():
            return "\n".join(action.source)
        case Write() | InsertAfter():
            return "\n".join(action.texts)
        case _:
            return ""
