"""Worktrees for work beside the user's own: made, compared, merged and removed, whatever dies in between.

Each is a folder outside the user's tree and a branch ``fireside/<name>``. Knows git's worktrees and the records of ours; what is written
in one is not its business. Nothing of the user's is rewritten: a merge is one new commit, made elsewhere and then moved to.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fireside.core.errors import Invalid
from fireside.core.values import replace
from fireside.workspace.changes import Diff
from fireside.workspace.git import Git
from fireside.workspace.merging import Merged, merge_branch
from fireside.workspace.worktree_records import Record, Records, checked

BRANCHES = "fireside/"
SECONDS = 600.0

__all__ = ["Merged", "Worktree", "Worktrees"]


@dataclass(frozen=True, slots=True)
class Worktree:
    """``base``: the commit it began at; ``head``: the one its branch is at ("" when the branch is gone).

    ``state``: "ready", or what somebody removed by hand: "folder missing", "branch missing".
    """

    name: str
    path: Path
    branch: str
    base: str
    head: str
    state: str = "ready"


class Worktrees:
    """Those of one repository, in ``folder`` (one for each repository, outside its files).

    Every method raises ``Invalid`` for what cannot be done as things are, ``ToolFailed`` and ``TimedOut`` where git fails,
    ``OutOfResources`` where ``folder`` cannot be written.
    """

    def __init__(self, git: Git, folder: Path) -> None:
        self.git = Git(git.top, seconds=SECONDS)
        self.folder = folder.resolve()
        if self.folder.is_relative_to(self.git.top):
            raise Invalid(f"{folder} is inside the project", remedy="keep worktrees outside of it")
        self.records = Records(self.folder / ".records")

    def create(self, name: str, *, base: str = "HEAD") -> Worktree:
        """A new branch at ``base`` in a folder of its own. What is not committed in the user's tree is not in it."""
        with self._alone() as held:
            path, branch = self.folder / checked(name), BRANCHES + name
            if self.records.get(name) or os.path.lexists(path):
                raise Invalid(f"there is a worktree {name} already", remedy="choose another name, or remove that one")
            if self._tips(branch):
                raise Invalid(f"there is a branch {branch} already", remedy="choose another name")
            if base == "HEAD" and not self.git.head:
                raise Invalid("there is no commit to begin at", remedy='git add -A && git commit -m "First commit"')
            record = Record(name, self.git.resolve(base), "making")
            self.records.write(record)
            try:
                self.git.call(
                    *("worktree", "add", "--quiet", "--no-track", "-b", branch, str(path), record.base),
                    extra={"GIT_LFS_SKIP_SMUDGE": "1"},
                    held=held,
                )
                self.records.write(replace(record, state="ready"))
            except BaseException:
                self._take_back(record, held)
                raise
            return Worktree(name, path, branch, record.base, record.base)

    def list(self) -> tuple[Worktree, ...]:
        """All of them, by name, after finishing what a crash left half done."""
        if not self.folder.is_dir():
            return ()
        with self._alone():
            return self._all()

    def get(self, name: str) -> Worktree:
        """One of them. Raises ``Invalid`` where there is none of that name."""
        checked(name)
        found = next((worktree for worktree in self.list() if worktree.name == name), None)
        if found is None:
            raise _unknown(name)
        return found

    def diff(self, name: str) -> Diff:
        """Everything done in it since its base, committed or not; of its branch alone where the folder is gone."""
        worktree = self.get(name)
        if worktree.state == "folder missing":
            return self.git.diff(worktree.base, to=worktree.branch)
        return Git(worktree.path).diff(worktree.base, untracked=True)

    def commit(self, name: str, message: str) -> str:
        """Commit everything in it that git does not ignore. Returns the commit's hash, "" when there was nothing to commit."""
        with self._alone() as held:
            worktree = self._one(name)
            if worktree.state != "ready":
                raise Invalid(
                    f"the worktree {name} cannot be committed: {worktree.state}", remedy="remove it and make a new one"
                )
            inside = Git(worktree.path, seconds=SECONDS)
            if not inside.status().entries:
                return ""
            inside.call("add", "--all", held=held)
            inside.call("commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", message, held=held)
            return inside.head

    def merge(self, name: str) -> Merged:
        """Merge its branch into the branch the user's tree is on, as one merge commit.

        Refused with the reason, and everything as it was, when that tree or the worktree has changes that are not committed, when the
        two conflict (``context["conflicts"]``: the paths), or when files git does not know would be overwritten.
        """
        with self._alone() as held:
            worktree = self._one(name)
            if not worktree.head:
                raise Invalid(f"the branch {worktree.branch} is gone", remedy="git reflog")
            if worktree.state == "ready" and (entries := Git(worktree.path).status().entries):
                raise Invalid(
                    f"{_some(entries)} not committed in {worktree.path}", remedy="commit them there, then merge again"
                )
            return merge_branch(self.git, worktree.branch, worktree.head, self.records.folder, held)

    def remove(self, name: str, *, force: bool = False) -> None:
        """Its folder, its branch, and what git keeps of it.

        Without ``force`` refused while it holds work that is nowhere else: changes not committed, commits on no other branch.
        """
        with self._alone() as held:
            worktree = self._one(name)
            if not force:
                self._refuse_loss(worktree)
            elsewhere = [path for path, branch in self._known() if branch == worktree.branch and path != worktree.path]
            if elsewhere:
                raise Invalid(
                    f"{worktree.branch} is checked out in {elsewhere[0]}", remedy="switch to another branch there"
                )
            record = Record(name, worktree.base, "removing", worktree.head)
            self.records.write(record)
            self._clear(record, held)

    def _all(self) -> tuple[Worktree, ...]:
        tips = self._tips(BRANCHES)
        found = []
        for record in self.records.all():
            path, branch = self.folder / record.name, BRANCHES + record.name
            head = tips.get(branch, "")
            state = "ready" if (path / ".git").exists() else "folder missing"
            state = state if head else "branch missing"
            found.append(Worktree(record.name, path, branch, record.base, head, state))
        return tuple(found)

    def _one(self, name: str) -> Worktree:
        checked(name)
        found = next((worktree for worktree in self._all() if worktree.name == name), None)
        if found is None:
            raise _unknown(name)
        return found

    @contextmanager
    def _alone(self) -> Iterator[Sequence[int]]:
        """Under the lock, with nothing half done. Yields what git must hold for the lock to outlive this process."""
        with self.records.lock() as descriptor:
            held = (descriptor,)
            self._recover(held)
            yield held

    def _recover(self, held: Sequence[int]) -> None:
        known = dict(self._known())
        tips = self._tips(BRANCHES)
        for path, branch in known.items():
            # The record was lost (deleted or damaged by hand): the base is where the branch left the user's.
            if path.parent == self.folder and branch == BRANCHES + path.name and not self.records.get(path.name):
                base = self._base_of(branch) if branch in tips else ""
                self.records.write(Record(path.name, base or tips.get(branch, ""), "ready"))
        for record in self.records.all():
            path, branch = self.folder / record.name, BRANCHES + record.name
            if record.state == "removing" or (not path.exists() and branch not in tips and record.state == "ready"):
                self._clear(record, held)
            elif record.state == "making":
                if known.get(path) == branch and (path / ".git").exists() and not self._is_locked(record.name):
                    self.records.write(replace(record, state="ready"))
                else:
                    self._take_back(record, held)

    def _take_back(self, record: Record, held: Sequence[int]) -> None:
        """Undo a creation that did not end. A branch that has gone on since is kept."""
        self._clear(replace(record, tip=record.base), held)

    def _clear(self, record: Record, held: Sequence[int]) -> None:
        """Folder first, then what git keeps of it, then the branch (where it still is at ``tip``), then the record: in that order each
        step can be done again."""
        path, branch = self.folder / record.name, BRANCHES + record.name
        _delete_folder(path)
        if path in dict(self._known()):
            self.git.call("worktree", "remove", "--force", "--force", str(path), held=held)
        stump = self.git.common_dir / "worktrees" / record.name
        if stump.is_dir() and not (stump / "gitdir").exists():
            _delete_folder(stump)  # a git that was killed before it wrote whose it is
        tip = self._tips(branch).get(branch, "")
        if tip and tip == record.tip:
            # A git that was killed leaves its lock; nobody else writes below fireside/.
            (self.git.common_dir / "refs" / "heads" / f"{branch}.lock").unlink(missing_ok=True)
            self.git.call("update-ref", "-d", f"refs/heads/{branch}", tip, held=held)
        self.records.delete(record.name)

    def _known(self) -> Sequence[tuple[Path, str]]:
        """Every worktree git knows, ours or not: its folder and its branch ("" when detached)."""
        found = []
        for line in os.fsdecode(self.git.call("worktree", "list", "--porcelain").output).split("\n"):
            if line.startswith("worktree "):
                found.append((Path(line.removeprefix("worktree ")), ""))
            elif line.startswith("branch refs/heads/") and found:
                found[-1] = (found[-1][0], line.removeprefix("branch refs/heads/"))
        return found

    def _is_locked(self, name: str) -> bool:
        """Git locks a worktree while it makes it."""
        return (self.git.common_dir / "worktrees" / name / "locked").exists()

    def _tips(self, prefix: str) -> dict[str, str]:
        """The commits of branches: of one, or of all below a prefix that ends with a slash."""
        output = self.git.call(
            "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", f"refs/heads/{prefix}"
        ).output
        return dict(line.split(" ") for line in os.fsdecode(output).splitlines())

    def _base_of(self, branch: str) -> str:
        try:
            return self.git.merge_base("HEAD", branch)
        except Invalid:
            return ""

    def _refuse_loss(self, worktree: Worktree) -> None:
        """Raises ``Invalid`` while the worktree holds what is nowhere else."""
        remedy = "merge it first, or remove it with force"
        tips = {worktree.head}
        if worktree.state != "folder missing" and (worktree.path / ".git").exists():
            inside = Git(worktree.path)
            tips.add(inside.head)
            entries = inside.status().entries if inside.head else inside.diff(worktree.base, untracked=True).files
            if entries:
                raise Invalid(f"{_some(entries)} not committed in the worktree {worktree.name}", remedy=remedy)
        for tip in tips - {"", worktree.base}:
            others = (f"--exclude={worktree.branch}", "--branches", "--remotes", "--tags", "HEAD")
            lost = self.git.call("rev-list", "--count", tip, "--not", *others).output.decode().strip()
            if lost != "0":
                raise Invalid(
                    f"{lost} {'commit' if lost == '1' else 'commits'} of the worktree {worktree.name} on no other branch",
                    remedy=remedy,
                )


def _unknown(name: str) -> Invalid:
    return Invalid(f"there is no worktree {name}", remedy="list them to see their names")


def _some(entries: Sequence[object]) -> str:
    return "1 change is" if len(entries) == 1 else f"{len(entries)} changes are"


def _delete_folder(path: Path) -> None:
    """Whatever is at ``path``; links in it are not followed. What may not be written is made writable first."""

    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        try:
            shutil.rmtree(path)
        except PermissionError:
            for folder, _, _ in os.walk(path):
                os.chmod(folder, stat.S_IRWXU)
            shutil.rmtree(path)
