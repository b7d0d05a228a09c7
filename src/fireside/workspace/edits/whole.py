"""Whole files, read from fenced listings. Knows listings, names and languages; replaces nothing."""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from fireside.workspace.edits.fences import Listing, listings
from fireside.workspace.edits.labels import info_label, label, mentioned
from fireside.workspace.edits.names import Names
from fireside.workspace.edits.operations import Operation, Write
from fireside.workspace.edits.refusals import refuse
from fireside.workspace.edits.tagged import read_tagged

SAMPLES = frozenset(
    (
        "bash",
        "sh",
        "shell",
        "zsh",
        "console",
        "terminal",
        "text",
        "txt",
        "plaintext",
        "output",
        "diff",
        "log",
        "powershell",
        "cmd",
        "bat",
        "shell-session",
    )
)
SCRIPTS = {
    "py": ("python", "py", "python3"),
    "js": ("javascript", "js", "jsx"),
    "ts": ("typescript", "ts", "tsx"),
    "sh": ("bash", "sh", "shell", "zsh"),
    "md": ("markdown", "md"),
    "txt": ("text", "txt", "plaintext"),
    "rs": ("rust", "rs"),
    "yml": ("yaml", "yml"),
    "rb": ("ruby", "rb"),
}
COMMENTED = re.compile(r"^\s*(?:#|//|--|;|%|/\*|<!--)")

FirstLine = Callable[[str], str]


def read_whole(lines: Sequence[str], names: Names, first_line: FirstLine) -> list[Operation]:
    """``first_line``: of the file of that name, "" where there is none. Raises ``EditRefused`` (truncated, malformed, ambiguous)."""
    tagged = list(read_tagged(lines))
    if tagged:
        return tagged
    found = listings(lines, names)
    if not found:
        return [_unfenced(lines, names)]
    broken = next((one for one in found if one.last < 0), None)
    if broken is not None:
        raise refuse("truncated", "the listing has no end", path=broken.name)
    operations = [_operation(one, names, first_line) for one in found]
    named = [one for one in operations if one.name]
    if named:
        return named
    below = next((line for line in lines[found[-1].last + 1 :] if line.strip()), "")
    if len(found) == 1 and (name := label(below, names)) in names.known:
        return [Operation(name, operations[0].action)]
    return [_only_nameless(found, operations, names)]


def _operation(listing: Listing, names: Names, first_line: FirstLine) -> Operation:
    """With the name from above or behind the fence, or from the first line within."""
    texts = listing.texts
    if texts and (inside := label(texts[0], names)) and _names_a_file(texts[0], inside, names):
        name = listing.name or inside
        if inside in (name, PurePosixPath(name).name) or not listing.name:
            kept = texts[0].strip() == first_line(name).strip() and bool(COMMENTED.match(texts[0]))
            return Operation(name, Write(texts if kept else texts[1:]), listing.mentions)
    return Operation(listing.name, Write(texts), listing.mentions)


def _names_a_file(text: str, inside: str, names: Names) -> bool:
    """A first line that is only a name: of a file there is, or in a comment, or with folders."""
    return inside in names or bool(COMMENTED.match(text)) or ("/" in inside and "." in inside)


def _only_nameless(found: Sequence[Listing], operations: Sequence[Operation], names: Names) -> Operation:
    """The one listing that can be meant, where none is named."""
    mentions = tuple(dict.fromkeys(name for one in operations for name in one.mentions))
    targets = list(names.known)[:2] if not mentions else [mentions[0]]
    suffix = PurePosixPath(targets[0]).suffix.lstrip(".").lower() if len(targets) == 1 else ""
    languages = SCRIPTS.get(suffix, (suffix,))
    fitting = [
        one
        for one, listing in zip(operations, found, strict=True)
        if listing.info.lower() in languages or listing.info.lower() not in SAMPLES
    ]
    if len(fitting) != 1:
        raise refuse("ambiguous", f"the answer has {len(found)} listings and names no file for them")
    return fitting[0]


def _unfenced(lines: Sequence[str], names: Names) -> Operation:
    """A name in the first line and the file below it, without any fence."""
    told = [row for row, line in enumerate(lines) if line.strip()]
    if not told:
        raise refuse("malformed", "the answer is empty")
    name = label(lines[told[0]], names) or info_label(lines[told[0]], names)
    if name and len(told) == 1:
        raise refuse("truncated", "the answer names a file and shows nothing of it", path=name)
    if name and name in names:
        return Operation(name, Write(tuple(lines[told[0] + 1 :]), guessed=True), ())
    return Operation("", Write(tuple(lines), guessed=True), mentioned(lines[:1], names))
