"""Merge a branch into the one the user's tree is on, or refuse and leave every byte as it was.

Knows commits and conflicts. The merge is tried in a store of objects beside the user's, then made as a commit, and the user's branch is
moved forward to it: at no time is the user's tree in the middle of a merge.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fireside.core.errors import Invalid, ToolFailed
from fireside.workspace import gitrun
from fireside.workspace.changes import FileChange, read_changes
from fireside.workspace.git import DIFF_OPTIONS, Git

MERGES_APART = (2, 38)
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Merged:
    """``commit``: where the user's branch is now. ``files``: what that changed in it; none when all of it was there before."""

    branch: str
    commit: str
    files: tuple[FileChange, ...] = ()


def merge_branch(git: Git, branch: str, tip: str, scratch: Path, held: Sequence[int]) -> Merged:
    """One merge commit of ``tip``, the commit of ``branch``, into the branch that ``git`` is on.

    ``git``: of the outermost folder. ``scratch``: a folder for what is thrown away. ``held``: see ``gitrun.run``. Raises ``Invalid`` when
    it is refused (see ``Worktrees.merge``), ``ToolFailed`` where git is too old or fails.
    """
    head = _ready(git, branch)
    if not git.call("merge-base", "--is-ancestor", tip, head, codes=(0, 1)).code:
        return Merged(branch, head)
    files = _tried(git, branch, tip, head, scratch)
    _refuse_overwriting(git, files)
    _refuse_filters(git, branch, [change.path for change in files])
    tree = git.call("merge-tree", "--write-tree", head, tip, held=held).output.decode().split()[0]
    made = git.call("commit-tree", tree, "-p", head, "-p", tip, "-m", f"Merge branch '{branch}'", held=held)
    commit = made.output.decode().strip()
    answer = git.call(
        *(
            "merge",
            "--ff-only",
            "--no-squash",
            "--commit",
            "--no-autostash",
            "--no-stat",
            "--quiet",
            "--no-verify-signatures",
        ),
        commit,
        codes=(0, 1, 2, 128),
        held=held,
    )
    if answer.code:
        raise Invalid(f"not merged: {gitrun.first_line(answer.error)}", remedy="git status")
    return Merged(branch, commit, files)


def _ready(git: Git, branch: str) -> str:
    """The commit the user's branch is at. Raises when nothing can be merged into it as it is."""
    if gitrun.check_version() < MERGES_APART:
        raise ToolFailed("git 2.38 or newer is needed to try a merge first", remedy=f"git merge --no-ff {branch}")
    status = git.status(untracked=False)
    if status.operation:
        raise Invalid(
            f"a {status.operation} is under way in {git.top}", remedy=f"finish it, or: git {status.operation} --abort"
        )
    if status.dirty:
        paths = _names([entry.path for entry in status.dirty])
        raise Invalid(
            f"your tree has changes that are not committed: {paths}", remedy="commit or stash them, then merge again"
        )
    if not status.branch or not status.head:
        raise Invalid("your tree is on no branch to merge into", remedy="git switch BRANCH")
    return status.head


def _tried(git: Git, branch: str, tip: str, head: str, scratch: Path) -> tuple[FileChange, ...]:
    """What a merge would change. Raises ``Invalid`` for conflicts."""
    with tempfile.TemporaryDirectory(dir=scratch) as apart:
        extra = {
            "GIT_OBJECT_DIRECTORY": apart,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": _in_a_list(git.common_dir / "objects"),
        }
        answer = git.call(
            *("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", head, tip), extra=extra, codes=(0, 1)
        )
        tree, *conflicts = (os.fsdecode(part) for part in answer.output.split(b"\0") if part)
        if answer.code:
            raise Invalid(
                f"{branch} conflicts with your branch in {_names(conflicts)}",
                remedy="merge your branch into it there, then merge it again",
                conflicts=tuple(conflicts),
            )
        return read_changes(git.call("diff", *DIFF_OPTIONS, "--raw", "--numstat", "-z", head, tree, extra=extra).output)


def _refuse_filters(git: Git, branch: str, paths: Sequence[str]) -> None:
    """A filter of the repository's own is not run, so the files it is for would come out unfiltered."""
    own = {key.removeprefix("filter.").rpartition(".")[0] for key in git.drivers_off() if key.startswith("filter.")}
    if not own or not paths:
        return
    given = b"".join(os.fsencode(path) + b"\0" for path in paths)
    output = git.call("check-attr", "-z", "--stdin", "filter", given=given).output
    parts = [os.fsdecode(part) for part in output.split(b"\0")]
    wanted = [path for path, value in zip(parts[::3], parts[2::3], strict=False) if value in own]
    if wanted:
        raise Invalid(
            f"{_names(wanted)}: filtered by a program that this repository's configuration names; Fireside runs none of those",
            remedy=f"git merge --no-ff {branch}",
        )


def _refuse_overwriting(git: Git, files: Sequence[FileChange]) -> None:
    """Git would refuse to overwrite files it does not know, but not those it ignores (``.env``)."""
    gone = {change.old_path or change.path for change in files if change.kind in ("deleted", "renamed")}
    new = [change.path for change in files if change.kind in ("added", "renamed", "copied")]
    places = {place for path in new for place in (path, *map(str, PurePosixPath(path).parents))} - gone
    met = sorted(place for place in places if os.path.lexists(git.top / place) and not _is_folder(git.top / place))
    if met:
        raise Invalid(
            f"merging would overwrite what git does not know: {_names(met)}", remedy="move it away, then merge again"
        )


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _names(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:SHOWN])
    return f"{shown} and {len(paths) - SHOWN} more" if len(paths) > SHOWN else shown


def _in_a_list(path: Path) -> str:
    """A folder in a list of folders, quoted as git reads it (its name may hold the list's separator)."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
