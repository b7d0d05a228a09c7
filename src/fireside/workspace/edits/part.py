"""Whether a listing is the whole of a file, or else a part of it, an edit, what a program printed. Knows roughly how code looks."""

import re
from collections.abc import Sequence

from fireside.workspace.edits.spelling import bare, indent_of
from fireside.workspace.edits.syntax import PYTHON, fault
from fireside.workspace.edits.unfinished import LONG, SENTENCE, is_prose

CODE_LINES = 4
PROSE_LINES = 8
SMALL_PART = 0.5
SHARED = 0.25
WORDS = re.compile(r"\w{3}")
CLOSES = re.compile(r"^(?:[)\]}]|end\b|</)")
FOREIGN = re.compile(
    r"^\s*(?:(?:<|&lt;){5,9}\s?(?:SEARCH|ORIGINAL)\b|(?:>|&gt;){5,9}\s?(?:REPLACE|UPDATED)\b|-{5,9} SEARCH\b|\+{5,9} REPLACE\b"
    r"|\*\*\* (?:Begin|End) Patch\b|</?(?:write_to_file|replace_in_file|apply_diff|tool_call|function_calls)\b[^>]*>\s*$)",
    re.IGNORECASE,
)
CODE = re.compile(r"^\s*(?:async\s+def|def|class|import|from)\s", re.MULTILINE)


def not_whole(path: str, before: Sequence[str], after: Sequence[str]) -> str:
    """Why ``after`` is not all of the file that ``before`` was; "" when nothing speaks against it."""
    known = set(before)
    foreign = next((text for text in after if FOREIGN.match(text) and text not in known), None)
    if foreign is not None and not is_prose(path):
        return f"{foreign.strip()!r} belongs to an edit, not into the file"
    if _ends_in_words(path, known, after):
        return "the listing ends with a sentence that is no part of the file"
    return (
        "the listing is only a part of the file; show all of it, or only what changes"
        if _is_part(path, before, after)
        else ""
    )


def stops_parsing(path: str, before: Sequence[str], after: Sequence[str]) -> str:
    """What is wrong with new Python, or JSON, in the place of good one; "" for other languages too."""
    old = "\n".join(before)
    worth_it = CODE.search(old) if path.endswith(PYTHON) else old.strip()
    return (fault(path, after) or "") if worth_it and fault(path, before) == "" else ""


def _is_part(path: str, before: Sequence[str], after: Sequence[str]) -> bool:
    """Something with lines below others, half of the file or less, half of what stands at its margin, much of it as the file has it.

    What only takes lines away, and few of them, is no part: it is a deletion.
    """
    old, new = [bare(text) for text in before if text.strip()], [bare(text) for text in after if text.strip()]
    least = PROSE_LINES if is_prose(path) else CODE_LINES
    if len(old) < least or len(new) > SMALL_PART * len(old) or len(_heads(after)) > SMALL_PART * len(_heads(before)):
        return False
    if not any(indent_of(text) or (is_prose(path) and text.startswith("#")) for text in after if text.strip()):
        return False
    known = set(old)
    shared = sum(text in known for text in new if WORDS.search(text))
    deletes_few = known.issuperset(new) and len(old) - len(new) < LONG
    return shared > 0 and shared >= SHARED * len(new) and not deletes_few


def _heads(texts: Sequence[str]) -> list[str]:
    """The lines furthest to the left that close nothing."""
    told = [text for text in texts if text.strip()]
    margin = min((len(indent_of(text)) for text in told), default=0)
    return [text for text in told if len(indent_of(text)) == margin and not CLOSES.match(text.strip())]


def _ends_in_words(path: str, known: set[str], after: Sequence[str]) -> bool:
    if is_prose(path):
        return False
    last = next((text for text in reversed(after) if text.strip()), "")
    return last not in known and bool(SENTENCE.match(last))
