"""What commits changed, read from ``git log --patch``: which lines of a blob became which.

Knows git's format; not what is made of it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fireside.workspace.git import DIFF_OPTIONS, Git

MARK = b"\x01commit "
LOG = (
    *("log", "--no-walk=unsorted", "--format=%x01commit %H%n%B%x02", "--encoding=UTF-8", "--no-notes", "--full-index"),
    *("--patch", "--no-show-signature"),
)
INDEX = re.compile(rb"index ([0-9a-f]{40,64})\.\.([0-9a-f]{40,64})")
HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
TRAILER = re.compile(
    r"^(?:[A-Z][\w-]*-by|Change-Id|Reviewed-on|Cc|git-svn-id|Link|PiperOrigin-RevId): ?.*$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines of the blobs ``before`` and ``after`` (object names), from 1: first line and how many."""

    before: str
    after: str
    old: tuple[int, int]
    new: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Change:
    """One commit's hunks in one file that it neither made, nor took away, nor renamed."""

    commit: str
    message: str
    path: str
    hunks: tuple[Hunk, ...]


def changes(git: Git, commits: Sequence[str]) -> Iterator[Change]:
    """What these commits changed, in their order. Very large answers of git are cut: the last commits are then missing."""
    output = git.call(*LOG, *DIFF_OPTIONS, "--unified=3", *commits).output
    for part in output.split(MARK)[1:]:
        head, _, patch = part.partition(b"\x02")
        commit, _, message = head.decode("utf-8", "replace").partition("\n")
        for file in re.split(rb"^diff --git ", patch, flags=re.MULTILINE)[1:]:
            change = _change(file, commit.strip(), told(message))
            if change is not None:
                yield change


def new_lines(git: Git, commits: Sequence[str], paths: Sequence[str]) -> dict[str, set[bytes]]:
    """Path -> the lines, stripped, that these commits added to it."""
    found: dict[str, set[bytes]] = {}
    if not commits or not paths:
        return found
    output = git.call(*LOG, *DIFF_OPTIONS, "--unified=0", *commits, paths=paths).output
    lines: set[bytes] = set()
    for line in output.split(b"\n"):
        if line.startswith(b"+++ "):
            lines = found.setdefault(line[6:].decode("utf-8", "replace"), set())
        elif line.startswith(b"+"):
            lines.add(line[1:].strip())
    return found


def blobs(git: Git, names: Sequence[str]) -> dict[str, bytes]:
    """The contents of these objects; one that is missing, or beyond what git may answer at once, is left out."""
    given = "".join(f"{name}\n" for name in names).encode()
    output = git.call("cat-file", "--batch", given=given).output if names else b""
    found: dict[str, bytes] = {}
    at = 0
    while (end := output.find(b"\n", at)) >= 0:
        name, _, rest = output[at:end].partition(b" ")
        at = end + 1
        if rest.startswith(b"blob "):
            size = int(rest.split()[1])
            if at + size > len(output):
                break
            found[name.decode()] = output[at : at + size]
            at += size + 1
    return found


def told(message: str) -> str:
    """A commit's message without the trailers that name people and tickets."""
    return re.sub(r"\n{3,}", "\n\n", TRAILER.sub("", message)).strip()


def _change(file: bytes, commit: str, message: str) -> Change | None:
    """A file of a patch; None for what is no change of lines: renames, new and deleted files, modes, binaries, quoted names."""
    head, mark, body = file.partition(b"\n@@ ")
    names = dict(line.split(b" ", 1) for line in head.split(b"\n")[1:] if line.startswith((b"--- a/", b"+++ b/")))
    index = INDEX.search(head)
    if not mark or index is None or len(names) < 2 or b"\nrename from" in head or b"\nold mode" in head:
        return None
    old, new = names[b"---"].rstrip(b"\t")[2:], names[b"+++"].rstrip(b"\t")[2:]
    if old != new:
        return None
    hunks = tuple(
        Hunk(
            index[1].decode(),
            index[2].decode(),
            (int(found[1]), int(found[2] or 1)),
            (int(found[3]), int(found[4] or 1)),
        )
        for line in (mark[1:] + body).split(b"\n")
        if (found := HUNK.match(line))
    )
    try:
        return Change(commit, message, new.decode("utf-8"), hunks)
    except UnicodeDecodeError:
        return None
