"""Git read by the real program: what it says, in every state a repository may be in, and that reading leaves no trace and runs nothing."""

import os
import stat
from pathlib import Path

import pytest

from fireside.core.errors import FiresideError, Invalid, NotPermitted, TimedOut, ToolFailed
from fireside.workspace import gitrun
from fireside.workspace.git import FileChange, Git
from support.privileges import as_nobody, open_folder
from support.repository import commit, git, new_repository, script, traces


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "project")


def test_status_tells_what_is_staged_and_what_is_not(repository):
    (repository / "a.txt").write_text("changed\n")
    git(repository, "add", "a.txt")
    (repository / "a.txt").write_text("changed again\n")
    git(repository, "mv", "b.txt", "c.txt")
    (repository / "new").mkdir()
    (repository / "new" / "file").touch()
    status = Git(repository).status()
    assert (status.branch, status.head) == ("main", git(repository, "rev-parse", "HEAD").strip())
    entries = {entry.path: entry for entry in status.entries}
    assert (entries["a.txt"].staged, entries["a.txt"].unstaged) == ("modified", "modified")
    assert (entries["c.txt"].kind, entries["c.txt"].old_path) == ("renamed", "b.txt")
    assert entries["new/"].kind == "untracked"
    assert {entry.path for entry in status.dirty} == {"a.txt", "c.txt"}
    assert {entry.path for entry in Git(repository).status(untracked=False).entries} == {"a.txt", "c.txt"}


def test_status_counts_commits_ahead_and_behind_of_the_upstream(repository, tmp_path):
    git(tmp_path, "clone", "-q", str(repository), "clone")
    commit(repository, "theirs", b__txt="theirs\n")
    git(tmp_path / "clone", "fetch", "-q")
    commit(tmp_path / "clone", "mine")
    commit(tmp_path / "clone", "mine too")
    status = Git(tmp_path / "clone").status()
    assert (status.upstream, status.ahead, status.behind) == ("origin/main", 2, 1)


def test_a_diff_has_the_text_and_the_files(repository):
    (repository / "a.txt").write_text("one\n2\nthree\n")
    (repository / "b.txt").unlink()
    (repository / "image.png").write_bytes(b"\x89PNG\0\1")
    git(repository, "add", "image.png")
    diff = Git(repository).diff()
    assert "--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n" in diff.text
    assert {change.path: change for change in diff.files} == {
        "a.txt": FileChange("a.txt", "modified", added=1, removed=1),
        "b.txt": FileChange("b.txt", "deleted", added=0, removed=1),
        "image.png": FileChange("image.png", "added"),
    }


def test_a_diff_can_be_of_what_is_staged_or_not_of_one_path_or_between_revisions(repository):
    first = git(repository, "rev-parse", "HEAD").strip()
    (repository / "a.txt").write_text("staged\n")
    git(repository, "add", "a.txt")
    (repository / "b.txt").write_text("not staged\n")
    found = Git(repository)
    assert [change.path for change in found.diff(staged=True).files] == ["a.txt"]
    assert [change.path for change in found.diff("").files] == ["b.txt"]
    assert [change.path for change in found.diff(paths=["b.txt"]).files] == ["b.txt"]
    assert "b.txt" not in found.diff(paths=["a.txt"]).text
    commit(repository, "two")
    assert len(found.diff(first, to="HEAD").files) == 2
    assert found.diff().text == ""
    assert found.diff().files == ()
    assert found.diff(first, to="HEAD", context=0).text.count("\n one") == 0


def test_a_diff_against_the_merge_base_leaves_out_what_others_did(repository):
    git(repository, "checkout", "-q", "-b", "topic")
    commit(repository, "mine", mine="1\n")
    git(repository, "checkout", "-q", "main")
    commit(repository, "theirs", theirs="their lines\n")
    git(repository, "checkout", "-q", "topic")
    found = Git(repository)
    assert [change.path for change in found.diff("main", merge_base=True).files] == ["mine"]
    assert {change.path for change in found.diff("main").files} == {"mine", "theirs"}
    git(repository, "checkout", "-q", "--orphan", "alone")
    commit(repository, "alone")
    with pytest.raises(Invalid, match="no history in common"):
        found.diff("main", merge_base=True)


def test_a_diff_can_have_the_files_git_does_not_know(repository, tmp_path):
    (repository / ".gitignore").write_text("ignored\n")
    git(repository, "add", ".gitignore")
    (repository / "ignored").write_text("no\n")
    (repository / "new.py").write_text("x = 1\ny = 2")
    (repository / "empty").touch()
    (repository / "data").write_bytes(b"\0\1")
    (tmp_path / "outside").write_text("private\n")
    (repository / "link").symlink_to(tmp_path / "outside")
    diff = Git(repository).diff(untracked=True)
    assert {change.path: change.added for change in diff.files if change.path != ".gitignore"} == {
        "new.py": 2, "empty": 0, "data": None, "link": None,
    }  # fmt: skip
    assert "private" not in diff.text
    (repository / "data").unlink()
    (repository / "link").unlink()
    ours = Git(repository).diff(untracked=True).text
    git(repository, "add", "-A", "-N")
    bare = "".join(
        line for line in git(repository, "diff", "HEAD").splitlines(keepends=True) if not line.startswith("index ")
    )
    assert "".join(line for line in ours.splitlines(keepends=True) if not line.startswith("index ")).count(
        "\n"
    ) == bare.count("\n")
    assert "+y = 2\n\\ No newline at end of file\n" in ours


def test_a_long_diff_is_cut_at_a_line_and_says_so(repository):
    (repository / "a.txt").write_text("".join(f"line {number}\n" for number in range(5_000)))
    diff = Git(repository).diff(max_bytes=10_000)
    assert not diff.complete
    assert diff.text.endswith("\n")
    assert 9_000 < len(diff.text) <= 10_000
    assert diff.files[0].added == 5_000


def test_show_is_what_one_commit_changed_also_the_first_and_a_merge(repository):
    first = git(repository, "rev-parse", "HEAD").strip()
    git(repository, "checkout", "-q", "-b", "topic")
    commit(repository, "mine", mine="1\n")
    git(repository, "checkout", "-q", "main")
    commit(repository, "theirs", theirs="their lines\n")
    git(repository, "merge", "-q", "--no-edit", "topic")
    found = Git(repository)
    assert {change.path for change in found.show(first).files} == {"a.txt", "b.txt"}
    assert [change.path for change in found.show("HEAD").files] == ["mine"]


def test_history_follows_a_file_through_its_renames(repository):
    git(repository, "mv", "--", "a.txt", "-odd name.txt")
    second = commit(repository, "Rename it\n\nBecause.\nTwice.")
    commit(repository, "else", b__txt="2\n")
    found = Git(repository)
    commits = found.log(["-odd name.txt"], follow=True)
    assert [entry.subject for entry in commits] == ["Rename it", "one"]
    assert (commits[0].hash, commits[0].body, commits[0].author) == (second, "Because.\nTwice.", "Ada Löwe")
    assert commits[0].parents == (commits[1].hash,)
    assert [entry.subject for entry in found.log(["-odd name.txt"])] == ["Rename it"]
    assert [entry.subject for entry in found.log(limit=1)] == ["else"]
    assert found.log(["nothing.txt"]) == []
    with pytest.raises(Invalid):
        found.log(["a.txt", "b.txt"], follow=True)


def test_blame_tells_who_wrote_which_line(repository):
    first = git(repository, "rev-parse", "HEAD").strip()
    second = commit(repository, "two", a__txt="one\n2\nthree\n")
    (repository / "a.txt").write_text("one\n2\nthree\nfour\n")
    lines = Git(repository).blame("a.txt")
    assert [line.commit for line in lines] == [first, second, first, ""]
    assert [line.text for line in lines] == ["one", "2", "three", "four"]
    assert (lines[1].author, lines[1].subject) == ("Ada Löwe", "two")
    assert [line.line for line in Git(repository).blame("a.txt", 2, 3)] == [2, 3]
    assert len(Git(repository).blame("a.txt", 1, 900)) == 4
    assert [line.text for line in Git(repository).blame("a.txt", revision=first)] == ["one", "two", "three"]


def test_blame_of_what_is_not_there_says_so(repository):
    (repository / "new").write_text("x\n")
    found = Git(repository)
    for call, says in (
        (lambda: found.blame("new"), "does not know new yet"),
        (lambda: found.blame("gone.txt"), "no file gone.txt"),
        (lambda: found.blame("a.txt", 50), "has only 3 lines"),
        (lambda: found.blame("a.txt", 0), "not a range"),
        (lambda: found.blame("a.txt", 3, 2), "not a range"),
    ):
        with pytest.raises(Invalid, match=says):
            call()


ODD_NAMES = [
    b"-n",
    b"--help",
    b"with\nnewline",
    b"tab\t",
    b'quo"te',
    b"back\\slash",
    b"sp ace",
    b"*.txt",
    b":(top)a",
    b"latin-\xe9",
    "größe".encode(),
]


def test_odd_names_are_told_apart_and_never_taken_for_options_or_patterns(repository):
    names = []
    for name in ODD_NAMES:
        try:
            (repository / os.fsdecode(name)).write_text("1\n")
            names.append(os.fsdecode(name))
        except OSError:  # a file system that takes only UTF-8
            continue
    commit(repository, "odd")
    for name in names:
        (repository / name).write_text("2\n")
    found = Git(repository)
    assert {entry.path for entry in found.status().entries} == set(names)
    assert {change.path for change in found.diff().files} == set(names)
    for name in names:
        assert [change.path for change in found.diff(paths=[name]).files] == [name]
        assert [entry.subject for entry in found.log([name])] == ["odd"]
        assert [line.commit for line in found.blame(name)] == [""]


def test_before_the_first_commit_everything_is_new(tmp_path):
    git(tmp_path, "init", "-q", "-b", "trunk")
    found = Git(tmp_path)
    assert (found.status().branch, found.status().head, found.head) == ("trunk", "", "")
    assert found.log() == []
    assert found.diff() == found.diff(staged=True)
    (tmp_path / "a").write_text("1\n")
    git(tmp_path, "add", "a")
    assert [change.kind for change in found.diff().files] == ["added"]
    assert found.diff(staged=True).files[0].added == 1
    with pytest.raises(Invalid, match="does not know a yet"):
        found.blame("a")


def test_a_detached_head_has_no_branch(repository):
    git(repository, "checkout", "-q", "--detach")
    status = Git(repository).status()
    assert status.branch == ""
    assert status.head


def test_a_conflict_and_what_was_begun_are_told(repository):
    git(repository, "checkout", "-q", "-b", "topic")
    commit(repository, "mine", a__txt="mine\n")
    git(repository, "checkout", "-q", "main")
    commit(repository, "theirs", a__txt="theirs\n")
    git(repository, "merge", "topic", fails=True)
    found = Git(repository)
    assert found.status().operation == "merge"
    assert [entry.kind for entry in found.status().entries] == ["conflicted"]
    assert [change.path for change in found.diff("").files] == ["a.txt"]
    assert "<<<<<<<" in found.diff().text


def test_a_folder_inside_a_checkout_is_seen_alone(repository):
    (repository / "inner" / "deep").mkdir(parents=True)
    (repository / "inner" / "deep" / "x.txt").write_text("1\n")
    commit(repository, "inner")
    (repository / "a.txt").write_text("outside\n")
    (repository / "inner" / "deep" / "x.txt").write_text("2\n")
    (repository / "inner" / "new").write_text("n\n")
    found = Git(repository / "inner")
    assert (found.root, found.top) == (repository / "inner", repository)
    assert {entry.path for entry in found.status().entries} == {"deep/x.txt", "new"}
    diff = found.diff(untracked=True)
    assert [change.path for change in diff.files] == ["deep/x.txt", "new"]
    assert "a.txt" not in diff.text
    assert [entry.subject for entry in found.log()] == ["inner"]
    assert found.blame("deep/x.txt")[0].text == "2"
    with pytest.raises(NotPermitted):
        found.diff(paths=["../a.txt"])


def test_a_submodule_is_named_and_not_entered(repository, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    commit(other, x="1\n")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    commit(repository, "with a submodule")
    marker = tmp_path / "ran"
    spy = script(tmp_path / "spy", f"touch {marker}")
    git(repository / "sub", "config", "core.fsmonitor", str(spy))
    commit(other, "two", x="2\n")
    git(repository / "sub", "-c", "core.fsmonitor=", "pull", "-q")
    found = Git(repository)
    assert [(entry.path, entry.submodule) for entry in found.status().entries] == [("sub", True)]
    assert [change.path for change in found.diff().files] == ["sub"]
    assert not marker.exists()
    assert Git(repository / "sub").top == repository / "sub"


def test_a_repository_cannot_make_its_reader_run_a_program(repository, tmp_path):
    """Every setting, hook and attribute that names a program names one that leaves a mark."""
    marker = tmp_path / "ran"
    spy = script(tmp_path / "spy", f"touch {marker}; cat")
    (repository / ".gitattributes").write_text("*.txt diff=d filter=f merge=m\nb.txt filter=odd=name\n")
    commit(repository, "attributes")
    (repository / "a.txt").write_text("changed\n")
    (repository / "b.txt").write_text("changed\n")
    for key in (
        "core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.askPass", "core.gitProxy", "core.alternateRefsCommand",
        "diff.external", "diff.d.command", "diff.d.textconv", "filter.f.clean", "filter.f.smudge", "filter.f.process",
        "filter.odd=name.clean", "merge.m.driver", "gpg.program", "gpg.ssh.program", "credential.helper", "pager.diff", "pager.log",
        "pager.blame", "interactive.diffFilter", "alias.status", "alias.diff", "sequence.editor", "trailer.x.command",
    ):  # fmt: skip
        git(repository, "config", key, str(spy))
    for key, value in (("core.hooksPath", str(tmp_path / "hooks")), ("log.showSignature", "true"), ("color.ui", "always"),
                       ("diff.noprefix", "true"), ("status.short", "true"), ("core.untrackedCache", "true"),
                       ("filter.f.required", "true"), ("diff.submodule", "log")):  # fmt: skip
        git(repository, "config", key, value)
    for folder in (tmp_path / "hooks", repository / ".git" / "hooks"):
        folder.mkdir(exist_ok=True)
        for hook in (
            "post-index-change",
            "post-checkout",
            "fsmonitor-watchman",
            "reference-transaction",
            "pre-auto-gc",
        ):
            script(folder / hook, f"touch {marker}")
    marker.unlink(missing_ok=True)
    found = Git(repository)
    assert {entry.path for entry in found.status().entries} == {"a.txt", "b.txt"}
    diff = found.diff(untracked=True)
    assert "+++ b/a.txt\n" in diff.text
    assert "\x1b" not in diff.text
    assert found.diff("HEAD~1", to="HEAD").files
    assert found.log(["a.txt"], follow=True)
    assert found.show("HEAD").files
    assert found.blame("a.txt")[0].text == "changed"
    assert not marker.exists()


def test_a_repository_cannot_claim_the_files_of_another_folder(repository, tmp_path):
    (tmp_path / "private.txt").write_text("private\n")
    for claimed in (tmp_path, Path("/")):
        git(repository, "config", "core.worktree", str(claimed))
        with pytest.raises(NotPermitted, match="claims the files of"):
            Git(repository)


def test_reading_leaves_every_byte_of_the_repository_as_it_was(repository):
    """``git diff`` alone would write the index to note that a file was only touched."""
    os.utime(repository / "a.txt", (1, 1))
    (repository / "b.txt").write_text("2\n")
    (repository / "new").touch()
    before = traces(repository / ".git")
    found = Git(repository)
    assert [entry.path for entry in found.status().entries] == ["b.txt", "new"]
    assert [change.path for change in found.diff().files] == ["b.txt"]
    assert [change.path for change in found.diff("").files] == ["b.txt"]
    assert "a.txt" not in found.diff().text + found.diff("").text
    assert found.diff(untracked=True).text
    assert found.log(["a.txt"], follow=True)
    assert found.blame("a.txt")
    assert found.show("HEAD").text
    assert traces(repository / ".git") == before


def test_a_locked_repository_can_be_read(repository):
    (repository / ".git" / "index.lock").touch()
    (repository / "a.txt").write_text("2\n")
    assert Git(repository).diff().files
    assert Git(repository).status().entries


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_a_repository_of_another_user_is_refused_with_the_remedy():
    with open_folder() as folder:
        git(folder, "init", "-q")
        with as_nobody(), pytest.raises(NotPermitted, match="another user owns it") as refused:
            Git.find(folder)
        assert refused.value.remedy.endswith(f"git config --global --add safe.directory {folder}")


def test_variables_of_the_surroundings_do_not_lead_elsewhere(repository, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    for name, value in (
        ("GIT_DIR", str(other / ".git")), ("GIT_WORK_TREE", str(other)), ("GIT_INDEX_FILE", "/nowhere"), ("GIT_EXTERNAL_DIFF", "false"),
        ("GIT_PAGER", "false"), ("GIT_TRACE", "1"), ("GIT_OBJECT_DIRECTORY", "/nowhere"), ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "core.fsmonitor"), ("GIT_CONFIG_VALUE_0", "false"), ("LC_ALL", "de_DE.UTF-8"), ("GIT_NAMESPACE", "x"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    (repository / "a.txt").write_text("2\n")
    found = Git(repository)
    assert found.top == repository
    assert [change.path for change in found.diff().files] == ["a.txt"]


def test_where_there_is_no_repository_none_is_found(tmp_path):
    assert Git.find(tmp_path) is None
    with pytest.raises(Invalid, match="not in a git repository"):
        Git(tmp_path)
    (tmp_path / ".git").mkdir()
    assert Git.find(tmp_path) is None
    (tmp_path / ".git").rmdir()
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    assert Git.find(tmp_path) is None


def test_a_bare_repository_has_no_files(tmp_path):
    git(tmp_path, "init", "-q", "--bare", "store.git")
    assert Git.find(tmp_path / "store.git") is None
    with pytest.raises(Invalid, match="bare repository"):
        Git(tmp_path / "store.git")


@pytest.mark.parametrize(
    "revision", ["", "nothing", "-n", "--output=x", "HEAD~99", "a..b", "HEAD:a.txt", "main\n", "\0", "x" * 5_000]
)
def test_what_is_no_revision_is_refused(repository, revision):
    with pytest.raises(Invalid, match="git knows no revision"):
        Git(repository).resolve(revision)
    if revision:
        with pytest.raises(Invalid):
            Git(repository).diff(revision)
    assert not (repository / "x").exists()


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "\0"])
def test_a_path_outside_is_refused(repository, path):
    for call in (
        lambda found: found.diff(paths=[path]),
        lambda found: found.log([path]),
        lambda found: found.blame(path),
    ):
        with pytest.raises((Invalid, NotPermitted)):
            call(Git(repository))


def test_a_missing_or_an_old_git_is_told(repository, monkeypatch, tmp_path):
    gitrun.check_version.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolFailed, match="git is not installed") as missing:
        Git.find(repository)
    assert missing.value.remedy
    script(tmp_path / "git", "echo git version 2.17.1")
    with pytest.raises(ToolFailed, match=r"2\.31 or newer"):
        Git(repository)
    gitrun.check_version.cache_clear()


def test_a_git_that_hangs_is_stopped_with_all_it_started(tmp_path, monkeypatch):
    script(tmp_path / "git", f"sleep 100 & echo $! > {tmp_path}/child; wait")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(TimedOut, match=r"longer than 0\.5 s"):
        gitrun.run(tmp_path, ["status"], seconds=0.5)
    child = int((tmp_path / "child").read_text())
    assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]


def test_a_damaged_repository_is_one_line(repository):
    (repository / ".git" / "index").write_bytes(b"DIRC\0\0\0\2 nonsense")
    with pytest.raises(FiresideError) as failed:
        Git(repository).status()
    assert failed.value.message.startswith("git status failed: ")
    assert "\n" not in failed.value.message
    assert stat.S_ISREG((repository / ".git" / "index").stat().st_mode)
