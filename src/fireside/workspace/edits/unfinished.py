"""Whether a listing breaks off: brackets that nothing closes, a last line that asks for another. Knows roughly how code looks."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from fireside.workspace.edits.spelling import indent_of
from fireside.workspace.edits.syntax import fault

PROSE = frozenset(("", ".md", ".markdown", ".mdx", ".txt", ".rst", ".adoc", ".tex", ".org", ".csv", ".log"))
SKIPPED = re.compile(
    r'"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|/\*[\s\S]*?\*/|<!--[\s\S]*?-->|`(?:\\.|[^`\\])*`'
    r'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|#[^\n]*'
)
OPENING, CLOSING = frozenset("([{"), frozenset(")]}")
SENTENCE = re.compile(r"^(?:[A-Z][\w']*|I)(?:,? [\w'`./-]+){3,}[.!?:]$")
LONG = 10
FEW = 3


def breaks_off(path: str, before: Sequence[str], after: Sequence[str]) -> str:
    """Why ``after`` looks like a stump of the file that ``before`` was; "" when it does not."""
    old, new = _without_end(before), _without_end(after)
    if not new:
        return "the listing is empty" if old else ""
    if len(new) <= len(old) and new[:-1] == old[: len(new) - 1]:
        last, real = new[-1], old[len(new) - 1]
        if last != real and real.startswith(last.rstrip()) and len(new) < len(old):
            return f"the listing ends within line {len(new)}"
        lost = sum(bool(text.strip()) for text in old[len(new) :])
        if last == real and lost >= LONG:
            return f"the listing is the first {len(new)} of {len(old)} lines and nothing else"
    if is_prose(path):
        return ""
    # Counting brackets is for languages that nobody here can parse.
    if _open(new) > 0 and _open(old) == 0 and fault(path, after) != "":
        return "the listing ends with a bracket open"
    if new[-1].rstrip().endswith((":", "\\")) and not old[-1].rstrip().endswith((":", "\\")) and path.endswith(".py"):
        return "the listing ends where a block begins"
    return "the listing ends within a block that goes on" if _stops_short(old, new) else ""


def is_prose(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in PROSE


def looks_like_prose(path: str, before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether sentences stand among the new lines of a file that is code."""
    known = set(before)
    return not is_prose(path) and any(SENTENCE.match(text) for text in after if text not in known)


def _without_end(texts: Sequence[str]) -> list[str]:
    last = len(texts)
    while last and not texts[last - 1].strip():
        last -= 1
    return list(texts[:last])


def _stops_short(old: Sequence[str], new: Sequence[str]) -> bool:
    """Whether the last line stood within a block of the file, and all that followed it there, within the block and beyond, is lost."""
    rows = [row for row, text in enumerate(old) if text == new[-1]]
    cut = not rows and len(new) > 1 and bool(new[-1].strip())
    if cut:
        # The line itself may be cut: then it begins as the one below the line before it.
        rows = [row for row in range(1, len(old)) if old[row].startswith(new[-1]) and old[row - 1] == new[-2]]
    if not indent_of(new[-1]) or len(rows) != 1:
        return False
    after = [text for text in old[rows[0] + 1 :] if text.strip()]
    depth = len(indent_of(after[0])) if after else 0
    beyond = any(len(indent_of(text)) < depth for text in after)
    kept = sum(text in new for text in after)
    return (beyond or cut) and len(after) >= FEW and kept * FEW < len(after)


def _open(texts: Sequence[str]) -> int:
    """How many brackets are left open; strings and comments do not count."""
    code = SKIPPED.sub("", "\n".join(texts))
    return sum((sign in OPENING) - (sign in CLOSING) for sign in code)
