"""What git knows about the project: state, diffs, history, blame. Reads only; never writes, renames or locks the user's repository.

Knows revisions and paths; how git is kept from running anything else is for ``gitrun``. Paths go in and come out relative to the project's
root, which may be a folder inside a checkout: then only what lies under it is seen.
"""

import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from fireside.core.errors import Invalid, NotPermitted
from fireside.workspace import files, gitrun
from fireside.workspace.changes import Diff, FileChange, FileState, Status, new_file, read_changes, read_status
from fireside.workspace.gitrun import Answer
from fireside.workspace.history import FORMAT, BlameLine, Commit, read_blame, read_log

__all__ = ["BlameLine", "Commit", "Diff", "FileChange", "FileState", "Git", "Status"]

MAX_DIFF = 4_000_000
MAX_LOG = 10_000
DIFF_OPTIONS = (
    *(
        "--no-ext-diff",
        "--no-textconv",
        "--no-color",
        "--src-prefix=a/",
        "--dst-prefix=b/",
        "--find-renames",
        "--submodule=short",
    ),
    *(
        "--ignore-submodules=dirty",
        "--no-indent-heuristic",
        "--diff-algorithm=histogram",
        "--inter-hunk-context=0",
        "-O/dev/null",
        "--relative",
    ),
)
# Sections of a configuration that can define a driver, or bring in a file that does.
DRIVERS = re.compile(rb"(?i)\[\s*(?:filter|merge|include)")
OPERATIONS = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}


class Git:
    """The checkout that ``root`` lies in. ``top``: its outermost folder; ``prefix``: from there to the root, with a slash at the end.

    ``git_dir``: where this checkout's own state is (``.git``, or a folder in it for a worktree); ``common_dir``: what worktrees share.

    Raises ``Invalid`` where there is none (or a bare one), ``NotPermitted`` where git does not trust its owner, ``ToolFailed`` where git is
    missing, too old, or fails, and ``TimedOut``; so does every method.
    """

    def __init__(self, root: Path | str, *, seconds: float = gitrun.SECONDS) -> None:
        gitrun.check_version()
        self.root = Path(root).resolve()
        self.seconds = seconds
        top, self.prefix, own, common = self._lines(
            "--show-toplevel", "--show-prefix", "--absolute-git-dir", "--git-common-dir"
        )
        self.top = Path(top)
        self.git_dir = Path(own)
        self.common_dir = (self.root / common).resolve()
        self._check_place()

    @classmethod
    def find(cls, root: Path | str) -> "Git | None":
        """The checkout ``root`` lies in, or None where there is none. Raises as the class does where there is one that cannot be read."""
        folder = Path(root).resolve()
        if not any(os.path.lexists(place / ".git") for place in (folder, *folder.parents)):
            return None
        try:
            return cls(folder)
        except Invalid:
            return None

    def status(self, *, untracked: bool = True) -> Status:
        """The branch and what is not as in its last commit. ``untracked``: with the files git does not know (whole folders as one)."""
        answer = self.call(
            *(
                "status",
                "--porcelain=v2",
                "--branch",
                "-z",
                "--ahead-behind",
                "--find-renames",
                "--ignore-submodules=dirty",
            ),
            f"--untracked-files={'normal' if untracked else 'no'}",
            paths=self._own(),
        )
        operation = next((name for mark, name in OPERATIONS.items() if (self.git_dir / mark).exists()), "")
        return read_status(answer.output, self.prefix, operation=operation, complete=not answer.cut)

    def diff(
        self,
        against: str = "HEAD",
        *,
        to: str = "",
        staged: bool = False,
        merge_base: bool = False,
        paths: Sequence[str] = (),
        untracked: bool = False,
        context: int = 3,
        max_bytes: int = MAX_DIFF,
    ) -> Diff:
        """What changed since ``against`` (a revision; "": what is staged) up to ``to`` (a revision; "": the files as they are).

        ``staged``: up to what is staged. ``merge_base``: since the point where ``against`` and ``to`` (else: HEAD) parted. ``paths``: only
        these files or folders. ``untracked``: with files git does not know. ``context``: lines around a change. ``max_bytes``: the text is
        cut after so many, at the end of a line.
        """
        chosen = self._revisions(against, to, staged=staged, merge_base=merge_base)
        where = [self._inside(path) for path in paths] or self._own()
        changes = read_changes(
            self.call("diff", *DIFF_OPTIONS, "--raw", "--numstat", "-z", *chosen, paths=where).output
        )
        answer = self.call(
            "diff", *DIFF_OPTIONS, f"--unified={context}", "--patch", *chosen, paths=where, max_output=max_bytes
        )
        text = answer.output.decode("utf-8", "replace")
        if answer.cut:
            return Diff(text[: text.rfind("\n") + 1], changes, complete=False)
        return self._with_new_files(Diff(text, changes), where, max_bytes) if untracked else Diff(text, changes)

    def show(self, revision: str, *, paths: Sequence[str] = (), context: int = 3) -> Diff:
        """What one commit changed (a merge: against its first parent)."""
        commit = self.log(revision=revision, limit=1, whole=True)[0]
        parent = commit.parents[0] if commit.parents else self._empty_tree
        return self.diff(parent, to=commit.hash, paths=paths, context=context)

    def log(
        self,
        paths: Sequence[str] = (),
        *,
        revision: str = "HEAD",
        limit: int = 50,
        follow: bool = False,
        whole: bool = False,
    ) -> list[Commit]:
        """Commits that led to ``revision``, newest first, none where there is none yet.

        ``paths``: those that touched one of these; ``follow``: through renames (of one file). ``whole``: also those outside the root.
        """
        if follow and len(paths) != 1:
            raise Invalid("only one file's history can be followed through renames")
        where = [self._inside(path) for path in paths] or ([] if whole else self._own())
        if revision == "HEAD" and not self.head:
            return []
        options = ["--follow"] if follow else []
        count = f"--max-count={min(max(limit, 0), MAX_LOG)}"
        commit = self.resolve(revision)
        return read_log(
            self.call(
                *(
                    "log",
                    "-z",
                    f"--format={FORMAT}",
                    "--encoding=UTF-8",
                    "--no-show-signature",
                    "--no-textconv",
                    "--no-ext-diff",
                ),
                *("--no-color", "--no-notes", "--no-patch", count, *options, commit),
                paths=where,
            ).output
        )

    def blame(self, path: str, start: int = 1, end: int | None = None, *, revision: str = "") -> list[BlameLine]:
        """Who last changed the lines ``start`` to ``end`` (from 1, both counted; None: the last one) of a file, as it is or was."""
        if start < 1 or (end is not None and end < start):
            raise Invalid(f"{start}-{end} is not a range of lines", remedy="lines are counted from 1")
        chosen = [self.resolve(revision)] if revision else []
        lines = f"{start},{end if end is not None else ''}"
        where = [self._inside(path)]
        if not revision and not (self.root / path).is_file():
            raise Invalid(f"there is no file {path}", remedy="name a file of the project, or a revision that had it")
        answer = self.call(
            "blame",
            "--line-porcelain",
            "--no-textconv",
            "--encoding=UTF-8",
            "-L",
            lines,
            *chosen,
            paths=where,
            codes=(0, 128),
        )
        if answer.code:
            if " has only " in answer.error:
                raise Invalid(gitrun.first_line(answer.error), remedy="name lines that the file has")
            if "no such path" in answer.error or "no such ref" in answer.error:
                raise Invalid(f"git does not know {path} yet", remedy="commit it first")
            raise gitrun.complaint(answer, "blame", self.root)
        return read_blame(answer.output)

    @property
    def head(self) -> str:
        """The hash of the commit that is checked out, "" before the first one."""
        answer = self.call("rev-parse", "--verify", "--quiet", "HEAD^{commit}", codes=(0, 1, 128))
        return answer.output.decode().strip() if not answer.code else ""

    def resolve(self, revision: str) -> str:
        """The hash of the commit a revision names. Raises ``Invalid`` where it names none."""
        unknown = Invalid(f"git knows no revision {revision[:100]!r}", remedy="git branch --all")
        if not revision or revision.startswith("-") or any(character in revision for character in "\0\n"):
            raise unknown
        answer = self.call("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", codes=(0, 1, 128))
        if answer.code or not answer.output.strip():
            raise unknown
        return answer.output.decode().strip()

    def merge_base(self, one: str, other: str) -> str:
        """The commit where two revisions parted. Raises ``Invalid`` where they have none in common."""
        answer = self.call("merge-base", self.resolve(one), self.resolve(other), codes=(0, 1))
        if answer.code:
            raise Invalid(f"{one} and {other} have no history in common", remedy="compare them without a merge base")
        return answer.output.decode().split()[0]

    def call(
        self,
        *arguments: str,
        paths: Sequence[str] = (),
        codes: Sequence[int] = (0,),
        extra: Mapping[str, str] | None = None,
        given: bytes = b"",
        max_output: int = gitrun.MAX_OUTPUT,
        held: Sequence[int] = (),
    ) -> Answer:
        """Any git command, under the rules of ``gitrun``; ``paths`` go after ``--``. Raises unless it ends with one of ``codes``."""
        words = [*arguments, "--", *paths] if paths else list(arguments)
        answer = gitrun.run(
            self.root,
            words,
            settings=self.drivers_off(),
            extra=extra,
            given=given,
            seconds=self.seconds,
            max_output=max_output,
            held=held,
        )
        if answer.code not in codes and not answer.cut:
            raise gitrun.complaint(answer, arguments[0], self.root)
        return answer

    def drivers_off(self) -> dict[str, str]:
        """See ``gitrun.drivers_off``. Git is asked only where the configuration holds a section that may define one."""
        for path in (self.common_dir / "config", self.git_dir / "config.worktree", self.common_dir / "config.worktree"):
            try:
                if DRIVERS.search(path.read_bytes()):
                    return gitrun.drivers_off(self.root)
            except OSError:
                continue  # not there, or git will say what is wrong with it
        return {}

    @cached_property
    def _empty_tree(self) -> str:
        return self._line("hash-object", "-t", "tree", "--stdin")

    def _line(self, *arguments: str) -> str:
        """The one line (a path, which may itself hold line ends) that a command writes."""
        answer = gitrun.run(self.root, arguments, seconds=self.seconds)
        if answer.code:
            raise gitrun.complaint(answer, arguments[0], self.root)
        return os.fsdecode(answer.output.removesuffix(b"\n"))

    def _lines(self, *questions: str) -> list[str]:
        """What ``git rev-parse`` answers to each question."""
        answers = self._line("rev-parse", *questions).split("\n")
        if len(answers) != len(questions):  # the name of a folder holds a line end
            answers = [self._line("rev-parse", question) for question in questions]
        return answers

    def _check_place(self) -> None:
        """Whether the work tree is where the repository is; its configuration may name any other folder (``core.worktree``)."""
        mark = self.top / ".git"
        if not (mark.is_file() or (mark.is_dir() and mark.samefile(self.git_dir))) or not self.root.is_relative_to(
            self.top
        ):
            raise NotPermitted(
                f"the repository of {self.root} claims the files of {self.top}",
                remedy="check: git config --show-origin core.worktree",
            )

    def _revisions(self, against: str, to: str, *, staged: bool, merge_base: bool) -> list[str]:
        """Arguments of ``git diff``: what to compare."""
        if to and (staged or not against):
            raise Invalid("what is staged is compared with one revision only")
        if against == "HEAD" and not to and not self.head:
            return ["--cached", self._empty_tree] if staged else [self._empty_tree]
        since = against if not against or against == self.__dict__.get("_empty_tree") else self.resolve(against)
        if since and merge_base:
            since = self.merge_base(since, to or "HEAD")
        return [part for part in ("--cached" if staged else "", since, self.resolve(to) if to else "") if part]

    def _own(self) -> list[str]:
        return ["."] if self.prefix else []

    def _inside(self, path: str) -> str:
        """A path as given to git. Raises for what is outside the root; what the path names need not exist."""
        if not path or "\0" in path:
            raise Invalid(f"{path[:80]!r} is not a path", remedy="give a path relative to the project")
        place = Path(os.path.normpath(self.root / path))
        if not place.is_relative_to(self.root):
            raise NotPermitted(f"{path[:200]} is outside {self.root}", remedy="give a path inside the project")
        return place.relative_to(self.root).as_posix()

    def _with_new_files(self, diff: Diff, where: Sequence[str], max_bytes: int) -> Diff:
        """The diff and, after it, the files git does not know and does not ignore. Links and what is no text are named, not shown."""
        listed = self.call("ls-files", "--others", "--exclude-standard", "-z", paths=where).output
        texts, changes, size = [diff.text], list(diff.files), len(diff.text)
        for path in (os.fsdecode(name) for name in listed.split(b"\0") if name):
            place = self.root / path
            source = None if place.is_symlink() or path.endswith("/") else files.read(self.root, path)
            if not isinstance(source, files.SourceText):
                changes.append(FileChange(path, "added"))
                continue
            text, change = new_file(path, source.text)
            changes.append(change)
            size += len(text)
            if size <= max_bytes:
                texts.append(text)
        return Diff("".join(texts), tuple(changes), complete=size <= max_bytes)
