"""Worktrees: real git, real kills. Whatever happens, no work is lost and nothing half made stays."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fireside.core.errors import FiresideError, Invalid, ToolFailed
from fireside.workspace.git import Git
from fireside.workspace.worktree import Worktrees
from fireside.workspace.worktree_records import Record
from support.repository import commit, contents, git, new_repository, script


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    repository = new_repository(tmp_path / "project")
    git(repository, "config", "user.name", "Ada")
    git(repository, "config", "user.email", "ada@example.org")
    return repository


@pytest.fixture
def worktrees(repository: Path, tmp_path: Path) -> Worktrees:
    return Worktrees(Git(repository), tmp_path / "data" / "worktrees")


def remains(repository: Path, worktrees: Worktrees) -> list[str]:
    """Whatever of any worktree is left anywhere."""
    branches = git(repository, "branch", "--list", "fireside/*", "--format=%(refname)").split()
    known = git(repository, "worktree", "list").splitlines()[1:]
    stumps = [str(path) for path in (repository / ".git").glob("worktrees/*")]
    folders = [str(path) for path in worktrees.folder.glob("*") if path.name != ".records"]
    return [*branches, *known, *stumps, *folders, *(str(path) for path in worktrees.records.folder.glob("*.json"))]


def test_a_worktree_is_made_listed_and_removed_and_nothing_stays(repository, worktrees):
    assert worktrees.list() == ()
    made = worktrees.create("fix-login")
    assert (made.branch, made.base, made.head) == (
        "fireside/fix-login",
        made.base,
        git(repository, "rev-parse", "HEAD").strip(),
    )
    assert (made.path / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert worktrees.list() == (made,)
    assert worktrees.get("fix-login") == made
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "branch", "--show-current") == "main\n"
    worktrees.remove("fix-login")
    assert worktrees.list() == ()
    assert remains(repository, worktrees) == []


def test_the_users_settings_index_and_branches_are_not_touched(repository, worktrees):
    before = contents(repository)
    worktrees.create("x")
    worktrees.diff("x")
    worktrees.remove("x")
    after = contents(repository)
    assert {path: after.get(path) for path in before} == before


def test_a_diff_shows_all_that_was_done_committed_or_not(worktrees, repository):
    path = worktrees.create("x").path
    commit(path, "committed", a__txt="1\n")
    (path / "b.txt").write_text("2\n")
    (path / "new").write_text("3\n")
    commit(repository, "by the user meanwhile", c__txt="4\n")
    assert {change.path: change.kind for change in worktrees.diff("x").files} == {
        "a.txt": "modified",
        "b.txt": "modified",
        "new": "added",
    }


def test_a_merge_is_one_commit_on_the_users_branch(worktrees, repository):
    path = worktrees.create("x").path
    (path / "a.txt").write_text("one\ntwo\n3\n")
    (path / "new").write_text("new\n")
    tip = worktrees.commit("x", "Do it")
    assert worktrees.commit("x", "Nothing more") == ""
    head = commit(repository, "meanwhile", b__txt="2\n")
    (repository / "unknown").write_text("kept\n")
    merged = worktrees.merge("x")
    assert {change.path for change in merged.files} == {"a.txt", "new"}
    assert (
        git(repository, "log", "-1", "--format=%H %P %s").strip()
        == f"{merged.commit} {head} {tip} Merge branch 'fireside/x'"
    )
    assert git(repository, "status", "--porcelain") == "?? unknown\n"
    assert (repository / "a.txt").read_text() == "one\ntwo\n3\n"
    assert git(repository, "branch", "--show-current") == "main\n"
    assert worktrees.merge("x").files == ()
    worktrees.remove("x")
    assert remains(repository, worktrees) == []


def test_a_merge_that_conflicts_is_refused_with_the_paths_and_leaves_every_byte(worktrees, repository):
    path = worktrees.create("x").path
    commit(path, "mine", a__txt="mine\n", c__txt="c\n")
    commit(repository, "theirs", a__txt="theirs\n")
    before = contents(repository)
    with pytest.raises(Invalid, match=r"conflicts with your branch in a\.txt") as refused:
        worktrees.merge("x")
    assert refused.value.context["conflicts"] == ("a.txt",)
    assert refused.value.remedy
    assert contents(repository) == before
    assert [worktree.state for worktree in worktrees.list()] == ["ready"]


@pytest.mark.parametrize(
    "how",
    [
        "changed",
        "staged",
        "rebase",
        "detached",
        "unknown file in the way",
        "ignored file in the way",
        "file for a folder",
        "not committed there",
    ],
)
def test_a_merge_is_refused_while_one_side_is_not_ready(worktrees, repository, how):
    path = worktrees.create("x").path
    (path / "folder").mkdir()
    (path / "folder" / "file").touch()
    commit(path, "mine", c__txt="c\n")
    if how in ("changed", "staged"):
        (repository / "a.txt").write_text("mine\n")
        git(repository, "add", *(["a.txt"] if how == "staged" else ["-N", "."]))
    elif how == "rebase":
        (repository / ".git" / "rebase-merge").mkdir()
    elif how == "detached":
        git(repository, "checkout", "-q", "--detach")
    elif how == "unknown file in the way":
        (repository / "c.txt").write_text("the user's\n")
    elif how == "ignored file in the way":
        (repository / ".git" / "info" / "exclude").write_text("c.txt\n")
        (repository / "c.txt").write_text("the user's\n")
    elif how == "file for a folder":
        (repository / "folder").write_text("the user's\n")
    else:
        (path / "more").touch()
    before = contents(repository)
    with pytest.raises(Invalid) as refused:
        worktrees.merge("x")
    assert refused.value.remedy
    assert contents(repository) == before


def test_a_worktree_that_holds_work_is_removed_only_by_force(worktrees, repository):
    path = worktrees.create("x").path
    (path / "new").touch()
    with pytest.raises(Invalid, match="1 change is not committed"):
        worktrees.remove("x")
    worktrees.commit("x", "Work")
    with pytest.raises(Invalid, match="1 commit of the worktree x"):
        worktrees.remove("x")
    git(path, "checkout", "-q", "--detach")
    commit(path, "on no branch at all")
    git(repository, "merge", "-q", "fireside/x")
    with pytest.raises(Invalid, match="1 commit"):
        worktrees.remove("x")
    assert (path / "new").exists()
    worktrees.remove("x", force=True)
    assert remains(repository, worktrees) == []


def test_work_that_is_on_another_branch_may_go(worktrees, repository):
    path = worktrees.create("x").path
    commit(path, "mine", c__txt="c\n")
    git(repository, "branch", "kept", "fireside/x")
    worktrees.remove("x")
    assert remains(repository, worktrees) == []
    assert git(repository, "show", "kept:c.txt") == "c\n"


def test_a_branch_that_is_checked_out_elsewhere_is_not_pulled_away(worktrees, repository):
    path = worktrees.create("x").path
    git(path, "checkout", "-q", "--detach")
    git(repository, "checkout", "-q", "fireside/x")
    with pytest.raises(Invalid, match="checked out in"):
        worktrees.remove("x", force=True)
    git(repository, "checkout", "-q", "main")
    worktrees.remove("x")


def test_a_folder_deleted_by_hand_is_told_and_its_commits_are_still_there(worktrees, repository):
    made = worktrees.create("x")
    commit(made.path, "mine", c__txt="c\n")
    git(repository, "config", "core.logAllRefUpdates", "true")
    subprocess.run(["rm", "-rf", made.path], check=True)
    assert [(worktree.name, worktree.state) for worktree in worktrees.list()] == [("x", "folder missing")]
    assert [change.path for change in worktrees.diff("x").files] == ["c.txt"]
    with pytest.raises(Invalid, match="1 commit"):
        worktrees.remove("x")
    assert worktrees.merge("x").files
    worktrees.remove("x")
    assert remains(repository, worktrees) == []


def test_a_branch_deleted_by_hand_is_told_and_what_is_in_the_folder_is_kept(worktrees, repository):
    made = worktrees.create("x")
    commit(made.path, "mine", c__txt="c\n")
    git(repository, "update-ref", "-d", "refs/heads/fireside/x")
    assert [(worktree.name, worktree.state) for worktree in worktrees.list()] == [("x", "branch missing")]
    for refused in (lambda: worktrees.remove("x"), lambda: worktrees.merge("x"), lambda: worktrees.commit("x", "?")):
        with pytest.raises(Invalid):
            refused()
    assert [change.path for change in worktrees.diff("x").files] == ["c.txt"]
    worktrees.remove("x", force=True)
    assert remains(repository, worktrees) == []


def test_folder_and_branch_both_deleted_by_hand_are_forgotten(worktrees, repository):
    made = worktrees.create("x")
    git(repository, "worktree", "remove", str(made.path))
    git(repository, "branch", "-q", "-D", made.branch)
    assert worktrees.list() == ()
    assert remains(repository, worktrees) == []


@pytest.mark.parametrize("damage", ["deleted", "nonsense", "another name"])
def test_a_lost_record_is_found_again_from_what_git_knows(worktrees, repository, damage):
    made = worktrees.create("x")
    commit(made.path, "mine", c__txt="c\n")
    record = worktrees.records.folder / "x.json"
    if damage == "deleted":
        record.unlink()
    else:
        record.write_text(
            "{]" if damage == "nonsense" else json.dumps({"name": "../../y", "base": "0", "state": "removing"})
        )
    assert [(worktree.name, worktree.base) for worktree in worktrees.list()] == [("x", made.base)]
    with pytest.raises(Invalid, match="1 commit"):
        worktrees.remove("x")


# When, around the first command of git with this word, the process that runs it is killed; "orphaned": git itself goes on, slowly.
KILLED = [
    ("create", "before", "add"),
    ("create", "after", "add"),
    ("create", "orphaned", "add"),
    ("remove", "after", "remove"),
    ("merge", "before", "--ff-only"),
]
RUN = """
import sys
from pathlib import Path
from fireside.workspace.git import Git
from fireside.workspace.worktree import Worktrees
worktrees = Worktrees(Git(Path(sys.argv[1])), Path(sys.argv[2]))
getattr(worktrees, sys.argv[3])("x")
"""


def killed(repository: Path, folder: Path, bin_: Path, action: str, when: str, word: str) -> int:
    """The exit status of a process doing ``action`` that is killed with ``kill -9`` at a command of git's."""
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    bin_.mkdir(exist_ok=True)
    then = {
        "before": "kill -9 $PPID; exit 1",
        "after": f'{real} "$@"; kill -9 $PPID; exit 1',
        "orphaned": f'kill -9 $PPID; sleep 0.3; exec {real} "$@"',
    }[when]
    script(bin_ / "git", f'case " $* " in *" {word} "*) {then};; esac\nexec {real} "$@"')
    environment = os.environ | {"PATH": f"{bin_}:{os.environ['PATH']}"}
    return subprocess.run(
        [sys.executable, "-c", RUN, repository, folder, action], env=environment, check=False, timeout=60
    ).returncode


@pytest.mark.parametrize(("action", "when", "word"), KILLED)
def test_after_a_kill_everything_is_either_done_or_as_before(repository, worktrees, tmp_path, action, when, word):
    if action != "create":
        commit(worktrees.create("x").path, "mine", c__txt="c\n")
        commit(repository, "meanwhile", d__txt="d\n")
    if action == "remove":
        worktrees.merge("x")
    before = git(repository, "rev-parse", "HEAD")
    assert killed(repository, worktrees.folder, tmp_path / "bin", action, when, word) == -9
    found = worktrees.list()
    if action == "merge":
        assert git(repository, "rev-parse", "HEAD") == before
        assert git(repository, "status", "--porcelain") == ""
        assert worktrees.merge("x").files
    elif action == "remove" or when == "before":
        assert found == ()
        assert remains(repository, worktrees) == []
    else:
        assert [worktree.state for worktree in found] == ["ready"]
        assert (found[0].path / "a.txt").exists()
    if found:
        worktrees.remove("x", force=True)
    assert worktrees.create("x").state == "ready"


@pytest.mark.slow
@pytest.mark.parametrize("action", ["create", "remove"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_command_of_git_leaves_nothing_half_done(repository, worktrees, tmp_path, action, when):
    """Each git command in turn is the one at which the process dies, until it lives to the end."""
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "bin").mkdir()
    count = tmp_path / "count"
    for number in range(1, 100):
        if action == "remove":
            worktrees.create("x")
        count.write_text("0")
        then = {"before": "kill -9 $PPID; exit 1", "after": f'{real} "$@"; kill -9 $PPID; exit 1'}[when]
        script(
            tmp_path / "bin" / "git",
            f'n=$(($(cat {count}) + 1)); echo $n > {count}\nif [ $n = {number} ]; then {then}; fi\nexec {real} "$@"',
        )
        environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        words = [sys.executable, "-c", RUN, str(repository), str(worktrees.folder), action]
        status = subprocess.run(words, env=environment, check=False, timeout=60).returncode
        assert all(worktree.state == "ready" for worktree in worktrees.list())
        for worktree in worktrees.list():
            worktrees.remove(worktree.name)
        assert remains(repository, worktrees) == []
        if status == 0:
            break
    assert number > 5


def test_what_a_killed_git_leaves_is_cleared_away(repository, worktrees):
    """Git writes its own notes before the folder: here it died with only the first of them written, and with its lock in place."""
    made = worktrees.create("x")
    base = made.base
    worktrees.remove("x")
    worktrees.records.write(Record("y", base, "making"))
    stump = repository / ".git" / "worktrees" / "y"
    stump.mkdir(parents=True)
    (stump / "locked").write_text("initializing")
    git(repository, "update-ref", "refs/heads/fireside/y", base)
    (repository / ".git" / "refs" / "heads" / "fireside" / "y.lock").touch()
    (worktrees.folder / "y").mkdir()
    (worktrees.folder / "y" / "a.txt").write_text("half")
    assert worktrees.list() == ()
    assert remains(repository, worktrees) == []
    assert worktrees.create("y").state == "ready"


def test_a_creation_that_fails_leaves_nothing(repository, worktrees, tmp_path, monkeypatch):
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    script(
        bin_ / "git",
        f'{real} "$@"; s=$?\ncase " $* " in *" worktree add "*) echo "fatal: no space left on device" >&2; exit 128;; esac\nexit $s',
    )
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    with pytest.raises(ToolFailed, match="no space left"):
        worktrees.create("x")
    assert remains(repository, worktrees) == []


def test_two_at_once_are_one_after_the_other(repository, tmp_path):
    def make(name: str) -> str:
        try:
            return Worktrees(Git(repository), tmp_path / "worktrees").create(name).name
        except Invalid as refused:
            return refused.message

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(make, ["one", "two", "same", "same"]))
    assert sorted(answers) == ["one", "same", "there is a worktree same already", "two"]
    assert [worktree.state for worktree in Worktrees(Git(repository), tmp_path / "worktrees").list()] == ["ready"] * 3


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "-x", "x.lock", "a..b", "x.", "ä", "a b", "x\n", "x" * 65, "HEAD^"]
)
def test_what_is_no_name_is_refused(worktrees, name):
    for call in (worktrees.create, worktrees.get, worktrees.remove, worktrees.merge, worktrees.diff):
        with pytest.raises(Invalid):
            call(name)


def test_what_cannot_be_begun_is_refused(repository, worktrees, tmp_path):
    worktrees.create("x")
    git(repository, "branch", "fireside/y")
    for name, base, says in (
        ("x", "HEAD", "worktree x already"),
        ("y", "HEAD", "branch fireside/y already"),
        ("z", "nothing", "no revision"),
    ):
        with pytest.raises(Invalid, match=says):
            worktrees.create(name, base=base)
    with pytest.raises(Invalid, match="no worktree nothing"):
        worktrees.get("nothing")
    with pytest.raises(Invalid, match="inside the project"):
        Worktrees(Git(repository), repository / "worktrees")
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    with pytest.raises(Invalid, match="no commit to begin at"):
        Worktrees(Git(tmp_path / "empty"), tmp_path / "other").create("x")


def test_no_program_of_the_repository_is_run(repository, worktrees, tmp_path):
    marker = tmp_path / "ran"
    spy = script(tmp_path / "spy", f"touch {marker}; cat")
    commit(repository, "attributes", **{"__gitattributes": "b.txt filter=f merge=m\n*.txt diff=d\n"})
    for key in (
        "filter.f.smudge",
        "filter.f.clean",
        "filter.f.process",
        "merge.m.driver",
        "diff.d.textconv",
        "core.fsmonitor",
        "gpg.program",
    ):
        git(repository, "config", key, str(spy))
    git(repository, "config", "commit.gpgSign", "true")
    for hook in (
        "post-checkout",
        "pre-commit",
        "commit-msg",
        "post-commit",
        "post-merge",
        "reference-transaction",
        "prepare-commit-msg",
    ):
        script(repository / ".git" / "hooks" / hook, f"touch {marker}")
    path = worktrees.create("x").path
    (path / "a.txt").write_text("2\n")
    worktrees.commit("x", "Change a")
    worktrees.diff("x")
    worktrees.merge("x")
    (path / "b.txt").write_text("2\n")
    worktrees.commit("x", "Change what is filtered")
    with pytest.raises(Invalid, match=r"b\.txt: filtered by a program"):
        worktrees.merge("x")
    worktrees.remove("x", force=True)
    assert not marker.exists()


def test_without_a_name_git_cannot_commit_and_the_remedy_says_how(repository, worktrees, monkeypatch):
    path = worktrees.create("x").path
    git(repository, "config", "--unset", "user.name")
    git(repository, "config", "--unset", "user.email")
    git(repository, "config", "user.useConfigOnly", "true")
    (path / "new").touch()
    with pytest.raises(Invalid, match="who you are") as refused:
        worktrees.commit("x", "Work")
    assert "user.email" in refused.value.remedy


def test_a_folder_that_cannot_be_written_is_one_line(repository, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FiresideError) as refused:
        Worktrees(Git(repository), tmp_path / "file" / "worktrees").create("x")
    assert "\n" not in refused.value.message
