"""What differs in a checkout: its state and its diffs, read from git's machine formats. Runs nothing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

KINDS = {
    "A": "added",
    "C": "copied",
    "D": "deleted",
    "M": "modified",
    "R": "renamed",
    "T": "type changed",
    "U": "conflicted",
}


@dataclass(frozen=True, slots=True)
class FileState:
    """One path that is not as in the last commit. ``staged``, ``unstaged``: what happened to it there (see ``KINDS``), or "".

    ``kind``: the two in one word, also "conflicted" or "untracked". ``path``: relative to the project, with a slash at the end for a whole
    untracked folder; bytes that are no UTF-8 are kept as ``os.fsdecode`` does. ``old_path``: before a rename.
    """

    path: str
    kind: str
    staged: str = ""
    unstaged: str = ""
    old_path: str = ""
    submodule: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """``branch``: "" when detached. ``head``: the commit's hash, "" before the first one. ``ahead``, ``behind``: of ``upstream``.

    ``operation``: what was begun and not ended ("merge", "rebase", ...). ``complete``: False when there were too many entries.
    """

    branch: str
    head: str
    entries: tuple[FileState, ...] = ()
    upstream: str = ""
    ahead: int = 0
    behind: int = 0
    operation: str = ""
    complete: bool = True

    @property
    def dirty(self) -> tuple[FileState, ...]:
        """The entries of files git knows."""
        return tuple(entry for entry in self.entries if entry.kind != "untracked")


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file of a diff. ``added``, ``removed``: lines; None for a file that is not text."""

    path: str
    kind: str
    old_path: str = ""
    added: int | None = None
    removed: int | None = None


@dataclass(frozen=True, slots=True)
class Diff:
    """``text``: a unified diff with prefixes a/ and b/; what is no UTF-8 in it is replaced. ``complete``: False when it was cut."""

    text: str
    files: tuple[FileChange, ...]
    complete: bool = True


def read_status(output: bytes, prefix: str, *, operation: str = "", complete: bool = True) -> Status:
    """From ``git status --porcelain=v2 --branch -z``. ``prefix``: of the project in its checkout, with a slash at the end, or ""."""
    facts = {"branch.head": "", "branch.oid": "", "branch.upstream": "", "branch.ab": "+0 -0"}
    entries: list[FileState] = []
    parts = iter([os.fsdecode(part) for part in output.split(b"\0")][: None if complete else -1])
    for part in parts:
        if part.startswith("# "):
            key, _, value = part[2:].partition(" ")
            facts[key] = value
        elif part[:2] in ("1 ", "2 ", "u ", "? "):
            old = next(parts, "") if part[0] == "2" else ""
            entries.append(_file_state(part, old, prefix))
    ahead, _, behind = facts["branch.ab"].partition(" ")
    return Status(
        branch="" if facts["branch.head"] == "(detached)" else facts["branch.head"],
        head="" if facts["branch.oid"] == "(initial)" else facts["branch.oid"],
        entries=tuple(entries),
        upstream=facts["branch.upstream"],
        ahead=int(ahead),
        behind=-int(behind or 0),
        operation=operation,
        complete=complete,
    )


def _file_state(part: str, old: str, prefix: str) -> FileState:
    if part[0] == "?":
        return FileState(part[2:].removeprefix(prefix), "untracked")
    fields = part.split(" ", {"1": 8, "2": 9, "u": 10}[part[0]])
    staged, unstaged = (KINDS.get(letter, "") for letter in fields[1])
    kind = "conflicted" if part[0] == "u" else staged or unstaged
    return FileState(
        fields[-1].removeprefix(prefix),
        kind,
        staged,
        unstaged,
        old.removeprefix(prefix),
        submodule=fields[2].startswith("S"),
    )


def read_changes(output: bytes) -> tuple[FileChange, ...]:
    """From ``git diff --raw --numstat -z``: first every file's kind, then every file's lines.

    A file that was only touched has a kind and no lines: it is no change. (Git would leave it out after writing the user's index.)
    """
    kinds: dict[str, FileChange] = {}
    counted: dict[str, FileChange] = {}
    parts = (os.fsdecode(part) for part in output.split(b"\0"))
    for part in parts:
        if part.startswith(":"):
            change = _kind(part, parts)
            # A conflicted file comes twice, and has no lines.
            if change.kind == "conflicted":
                counted[change.path] = change
            kinds[change.path] = change
        elif part:
            added, removed, path = part.split("\t", 2)
            if not path:
                next(parts, "")
                path = next(parts, "")
            lines = (None, None) if added == "-" else (int(added), int(removed))
            counted.setdefault(path, FileChange(path, kinds[path].kind, kinds[path].old_path, *lines))
    return tuple(counted.values())


def _kind(part: str, parts: Iterator[str]) -> FileChange:
    letter = part.rpartition(" ")[2][0]
    old = next(parts, "") if letter in "RC" else ""
    return FileChange(next(parts, ""), KINDS.get(letter, "modified"), old)


def new_file(path: str, text: str) -> tuple[str, FileChange]:
    """The diff of a file git does not know yet, as git would write it for one just added. ``text``: with ``\\n`` at its line ends."""
    lines = text.removesuffix("\n").split("\n") if text else []
    head = f"diff --git {_quoted('a/' + path)} {_quoted('b/' + path)}\nnew file mode 100644\n"
    body = "".join(f"+{line}\n" for line in lines)
    if lines:
        head += (
            f"--- /dev/null\n+++ {_quoted('b/' + path)}\n@@ -0,0 +1{f',{len(lines)}' if len(lines) != 1 else ''} @@\n"
        )
        body += "" if text.endswith("\n") else "\\ No newline at end of file\n"
    return head + body, FileChange(path, "added", added=len(lines), removed=0)


def _quoted(path: str) -> str:
    """As git writes a path in a diff: in quotes when it holds what would break the line."""
    shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if not any(character < " " or character in '"\\\x7f' for character in shown):
        return shown
    escapes = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
    return '"' + "".join(escapes.get(c, f"\\{ord(c):03o}" if c < " " or c == "\x7f" else c) for c in shown) + '"'
