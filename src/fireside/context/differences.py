"""What has changed in the project, as it may stand in a prompt: a list, and each file's diff without what looks like a key.

Knows git's diffs and the rules of the project; what is ignored or kept out is named and not shown.
"""

import re
from dataclasses import dataclass

from fireside.context.builder import Attachment
from fireside.context.screen import Screen
from fireside.workspace.git import Diff, FileChange, Git
from fireside.workspace.wanted import Wanted

MAX_BYTES = 400_000
MOST_FILES = 200
FILE = re.compile(r"^(?=diff --git )", re.MULTILINE)
# The inside of a private key.
KEY_LINE = re.compile(r"\s*[A-Za-z0-9+/=]{40,}\s*")
NAME = re.compile(r"^(?:\+\+\+ \"?b|--- \"?a)/(.*?)\"?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Differences:
    """``attachments``: the list of changed files, then their diffs. ``hidden``: files of which nothing is shown, and why."""

    attachments: tuple[Attachment, ...]
    hidden: tuple[str, ...]
    complete: bool = True


def differences(git: Git, revision: str, screen: Screen) -> Differences:
    """What changed since ``revision``: "" for what is not committed yet; a branch: since this one left it; A..B: between two.

    Raises as ``Git`` does.
    """
    whole = _diff(git, revision)
    wanted = Wanted(git.root)
    hidden = {one.path: reason for one in whole.files if (reason := _hidden(one, screen, wanted))}
    shown = [one for one in whole.files if one.path not in hidden][:MOST_FILES]
    paths = [path for one in shown for path in (one.path, one.old_path) if path]
    diff = _diff(git, revision, paths) if hidden and shown else whole
    texts = [] if not shown else [_section(part, screen) for part in FILE.split(diff.text) if part.strip()]
    since = f"changes since {revision}" if revision else "uncommitted changes"
    listed = Attachment(f"{since} ({len(shown)} files)", "\n".join(map(_line, shown)))
    complete = diff.complete and len(shown) + len(hidden) == len(whole.files)
    return Differences(
        (listed, *texts) if shown else (), tuple(f"{path} ({why})" for path, why in hidden.items()), complete
    )


def _diff(git: Git, revision: str, paths: list[str] | None = None) -> Diff:
    """``paths``: only these."""
    first, dots, last = _range(revision)
    if dots:
        return git.diff(
            first or "HEAD", to=last or "HEAD", merge_base=dots == "...", paths=paths or (), max_bytes=MAX_BYTES
        )
    return git.diff(first or "HEAD", merge_base=bool(first), paths=paths or (), untracked=True, max_bytes=MAX_BYTES)


def _range(revision: str) -> tuple[str, str, str]:
    for dots in ("...", ".."):
        if dots in revision:
            return revision.partition(dots)
    return revision, "", ""


def _hidden(change: FileChange, screen: Screen, wanted: Wanted) -> str:
    """Why nothing of a file is shown, or ""."""
    reason = screen.withheld(change.path) or screen.withheld(change.old_path)
    return reason or ("" if wanted.file(change.path) else "ignored")


def _line(change: FileChange) -> str:
    renamed = f" from {change.old_path}" if change.old_path else ""
    lines = f" +{change.added} -{change.removed}" if change.added is not None else ""
    return f"{change.path}: {change.kind}{renamed}{lines}"


def _section(text: str, screen: Screen) -> Attachment:
    """One file's diff. Old and new side are screened each by itself: a key of many lines is none with marks before its lines."""
    head, *hunks = re.split(r"^(?=@@ )", text.rstrip("\n"), maxsplit=1, flags=re.MULTILINE)
    names = NAME.findall(head)
    name = names[-1] if names else head.split("\n", 1)[0].removeprefix("diff --git ")
    lines = "\n".join(hunks).split("\n")
    for sign in "-+":
        numbers = [number for number, line in enumerate(lines) if line[:1] in (" ", sign)]
        side = screen.text("\n".join(lines[number][1:] for number in numbers), name, numbered=False)
        for number, line in zip(numbers, side.split("\n") if numbers else (), strict=True):
            lines[number] = lines[number][0] + line
    hidden = screen.hidden(name)
    shown = (_shown(line, name, hidden, screen) for line in lines)
    return Attachment(f"diff of {name}", "\n".join((head.rstrip("\n"), *shown)), "diff")


def _shown(line: str, name: str, hidden: frozenset[str], screen: Screen) -> str:
    """A line whose surroundings, outside the diff, may make it part of a key."""
    if line.startswith("@@"):
        # Git puts a line from further up behind the numbers.
        return line[: line.index("@@", 2) + 2] if hidden else screen.text(line, name, numbered=False)
    if hidden and line[1:] and (line[1:] in hidden or KEY_LINE.fullmatch(line[1:])):
        return f"{line[0]}<redacted>"
    return line
