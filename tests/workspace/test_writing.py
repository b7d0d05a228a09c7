"""Files are written all together or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fireside.core.errors import FiresideError, Invalid, NotPermitted, OutOfResources
from fireside.workspace import transaction
from fireside.workspace.marks import digest_of
from fireside.workspace.workspace import Workspace
from fireside.workspace.writing import FileWrite, protected, recover, write_all
from support.killing import killed_at_every_point
from support.privileges import as_nobody, open_folder

OLD = {"a.py": b"a = 1\r\n", "sub/b.py": b"\xef\xbb\xbfb = 2", "sub/deep/c.bin": bytes(range(256)), "gone.py": b"bye\n"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    for path, data in OLD.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / ".git/hooks").mkdir(parents=True)
    (folder / "sub/.git").write_bytes(b"gitdir: elsewhere\n")
    return folder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def everything(folder: Path) -> dict[str, object]:
    """Every name under ``folder`` with what it is: bytes and mode, where a link leads, or that it is a folder."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = (path.read_bytes(), path.stat().st_mode)
        else:
            found[name] = "folder"
    return found


def edit(path: str, data: bytes | None) -> FileWrite:
    return FileWrite(path, data, digest_of(OLD[path]))


def new(path: str, data: bytes = b"new\n") -> FileWrite:
    return FileWrite(path, data, None)


def test_edits_makes_and_deletes_in_one_go(root, state):
    writes = [edit("a.py", b"a = 2\r\n"), new("x/y/z.py"), edit("gone.py", None), edit("sub/deep/c.bin", None)]
    write_all(Workspace(root), writes, state=state)
    assert (root / "a.py").read_bytes() == b"a = 2\r\n"
    assert (root / "x/y/z.py").read_bytes() == b"new\n"
    assert not (root / "gone.py").exists()
    assert not (root / "sub/deep").exists(), "a folder goes with its last file"
    assert not list(root.rglob(".fireside-*"))
    assert [path.name for path in state.iterdir()] == ["writer.lock"]


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (FileWrite("a.py", b"x", "0" * 32), "changed_since_read"),
        (FileWrite("a.py", None, "0" * 32), "changed_since_read"),
        (new("a.py"), "exists"),
        (FileWrite("missing.py", b"x", digest_of(b"")), "missing"),
        (FileWrite("missing.py", None, digest_of(b"")), "missing"),
        (FileWrite("missing.py", None, None), "missing"),
        (new("sub"), "exists"),
        (FileWrite("sub", b"x", digest_of(b"")), "not_a_file"),
        (FileWrite("sub", None, digest_of(b"")), "not_a_file"),
        (new("a.py/b.py"), "exists"),
        (new("A.py"), "exists"),
        (new("SUB/new.py"), "exists"),
        (new("../out.py"), "outside_root"),
        (new("sub/../../out.py"), "outside_root"),
        (new("/etc/fireside-test"), "outside_root"),
        (new("out/x.py"), "outside_root"),
        (FileWrite("link-out", b"x", digest_of(b"outside")), "outside_root"),
        (FileWrite("link-out", None, digest_of(b"outside")), "missing"),
        (new(".git/hooks/pre-commit"), "protected"),
        (new(".GIT/config"), "protected"),
        (new("sub/.git/config"), "protected"),
        (FileWrite("sub/.git", b"x", digest_of(b"gitdir: elsewhere\n")), "protected"),
        (FileWrite("sub/.git", None, digest_of(b"gitdir: elsewhere\n")), "protected"),
        (new("vendor/.Git/x"), "protected"),
        (new(".git./x"), "protected"),
        (new(".g\u200cit/x"), "protected"),
        (new("GIT~1/x"), "protected"),
        (new("hooks/pre-commit"), "protected"),
        (new(""), "malformed"),
        (new("."), "not_a_file"),
        (new("new/"), "not_a_file"),
        (FileWrite("..", None, digest_of(b"")), "not_a_file"),
        (new("a\0b"), "malformed"),
        (new("x" * 300), "too_long"),
        (new("made/" + "x" * 300), "too_long"),
        (new("pipe"), "not_a_file"),
        (new("loop"), "malformed"),
    ],
)  # fmt: skip
def test_one_write_that_may_not_be_refuses_them_all_and_leaves_every_byte(root, state, write, reason):
    (root.parent / "outside").write_bytes(b"outside")
    os.symlink(root.parent, root / "out")
    os.symlink(root.parent / "outside", root / "link-out")
    os.symlink(".git/hooks", root / "hooks")
    os.symlink("loop", root / "loop")
    os.mkfifo(root / "pipe")
    before = everything(root)
    with pytest.raises(FiresideError) as caught:
        write_all(Workspace(root), [edit("sub/b.py", b"changed"), new("n/w.py"), write], state=state)
    assert caught.value.context["reason"] == reason
    assert "path" in caught.value.context
    assert "\n" not in caught.value.message
    assert everything(root) == before
    assert (root.parent / "outside").read_bytes() == b"outside"


def test_two_writes_to_one_file_are_refused_also_under_two_names(root):
    os.link(root / "a.py", root / "hard.py")
    os.symlink("a.py", root / "soft.py")
    for other in ("a.py", "./a.py", "sub/../a.py", "hard.py", "soft.py"):
        with pytest.raises(Invalid, match="written twice"):
            write_all(Workspace(root), [edit("a.py", b"1"), FileWrite(other, b"2", digest_of(OLD["a.py"]))])
    with pytest.raises(Invalid, match="written twice"):
        write_all(Workspace(root), [new("n.py"), new("n.py")])
    with pytest.raises(Invalid, match="only in case"):
        write_all(Workspace(root), [new("n.py"), new("N.py")])
    with pytest.raises(Invalid, match="only in case"):
        write_all(Workspace(root), [new("new/1.py"), new("New/2.py")])
    assert (root / "a.py").read_bytes() == OLD["a.py"]


def test_a_name_may_change_only_its_case(root):
    write_all(Workspace(root), [edit("a.py", None), new("A.py")])
    write_all(Workspace(root), [edit("sub/b.py", None), edit("sub/deep/c.bin", None), new("Sub/b.py")])
    assert {"A.py", "Sub/b.py"} <= everything(root).keys()


@pytest.mark.parametrize("mode", [0o755, 0o600, 0o664, 0o4755])
def test_mode_bits_are_kept_and_can_be_set(root, mode):
    (root / "a.py").chmod(mode)
    write_all(Workspace(root), [edit("a.py", b"a = 2"), FileWrite("run.sh", b"#!/bin/sh\n", None, mode=0o750)])
    assert (root / "a.py").stat().st_mode & 0o7777 == mode
    assert (root / "run.sh").stat().st_mode & 0o7777 == 0o750


def test_a_new_file_gets_what_the_umask_gives(root):
    before = os.umask(0o027)
    try:
        write_all(Workspace(root), [new("new.py")])
    finally:
        os.umask(before)
    assert (root / "new.py").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_is_kept_where_that_is_allowed(root):
    os.chown(root / "a.py", 1234, 2345)
    write_all(Workspace(root), [edit("a.py", b"a = 2")])
    facts = (root / "a.py").stat()
    assert (facts.st_uid, facts.st_gid) == (1234, 2345)


def test_a_link_inside_is_written_through_and_deleting_it_leaves_its_target(root):
    os.symlink("sub/b.py", root / "link.py")
    os.symlink("sub", root / "folder")
    write_all(Workspace(root), [FileWrite("link.py", b"through", digest_of(OLD["sub/b.py"]))])
    assert os.readlink(root / "link.py") == "sub/b.py"
    assert (root / "sub/b.py").read_bytes() == b"through"
    write_all(Workspace(root), [new("folder/n.py"), FileWrite("link.py", None, digest_of(b"through"))])
    assert not (root / "link.py").is_symlink()
    assert (root / "sub/b.py").read_bytes() == b"through"
    assert (root / "sub/n.py").read_bytes() == b"new\n"


def test_a_file_may_become_a_folder_and_a_folder_a_file(root, state):
    workspace = Workspace(root)
    write_all(workspace, [edit("gone.py", None), new("gone.py/inside.py")], state=state)
    assert (root / "gone.py/inside.py").read_bytes() == b"new\n"
    (root / "sub/.git").unlink()
    write_all(workspace, [edit("sub/b.py", None), edit("sub/deep/c.bin", None), new("sub")], state=state)
    assert (root / "sub").read_bytes() == b"new\n"
    with pytest.raises(Invalid, match="is a folder"):
        write_all(workspace, [new("gone.py")], state=state)


def test_read_only_files_and_folders_are_left_alone():
    with open_folder() as folder:
        root = folder / "root"
        (root / "held").mkdir(parents=True)
        (root / "a.py").write_bytes(b"1")
        (root / "held/b.py").write_bytes(b"2")
        (root / "plain.py").write_bytes(b"3")
        for path in (folder, root, root / "plain.py"):
            path.chmod(0o777)
        (root / "a.py").chmod(0o444)
        (root / "held").chmod(0o555)
        before = everything(root)
        with as_nobody():
            for write in (
                FileWrite("a.py", b"x", digest_of(b"1")),
                FileWrite("held/b.py", None, digest_of(b"2")),
                new("held/n.py"),
            ):
                with pytest.raises(NotPermitted) as caught:
                    write_all(Workspace(root), [FileWrite("plain.py", b"x", digest_of(b"3")), write])
                assert caught.value.context["reason"] == "read_only"
        assert everything(root) == before


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from fireside.core.errors import FiresideError
from fireside.workspace.workspace import Workspace
from fireside.workspace.writing import FileWrite, write_all
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    write_all(Workspace(sys.argv[1]), [FileWrite("small.py", b"1", None), FileWrite("large.py", b"2" * 100_000, None)])
except FiresideError as error:
    print(type(error).__name__, error.message)
"""


def test_a_file_that_cannot_be_written_to_its_end_leaves_nothing(root):
    before = everything(root)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, root], capture_output=True, text=True, check=True, timeout=30
    )
    assert "large.py cannot be written" in done.stdout, done.stderr
    assert everything(root) == before


def test_a_full_disk_is_a_lack_of_room():
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with (
        pytest.raises(OutOfResources, match="no room"),
        transaction.spoken("a.py"),
        full.open("wb", buffering=0) as file,
    ):
        file.write(b"1")


WORK = """
from fireside.workspace.marks import digest_of
from fireside.workspace.workspace import Workspace
from fireside.workspace.writing import FileWrite, write_all
import filelock
def work(folder):
    root = folder / "root"
    def edit(path, data):
        return FileWrite(path, data, digest_of((root / path).read_bytes()))
    write_all(Workspace(root), [
        edit("a.py", b"changed"), edit("sub/b.py", None), edit("sub/deep/c.bin", None), FileWrite("sub", b"a file now", None),
        edit("gone.py", None), FileWrite("gone.py/in.py", b"in", None), FileWrite("n/e/w.py", b"new", None),
    ], state=folder / "state")
"""


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.slow)], ids=["some points", "every point"])
def test_killed_at_any_point_all_is_as_before_or_all_is_done(root, tmp_path, step):
    (root / "sub/.git").unlink()
    seed = tmp_path / "seed"
    seed.mkdir()
    root.rename(seed / "root")
    before = everything(seed / "root")
    copies = killed_at_every_point(WORK, seed, step=step)
    after = everything(copies[-1] / "root")
    found = []
    for copy in copies:
        recover(Workspace(copy / "root"), copy / "state")
        found.append(everything(copy / "root"))
        assert found[-1] in (before, after), f"killed at point {len(found)}"
        if (copy / "state").exists():
            assert {path.name for path in (copy / "state").iterdir()} <= {"writer.lock"}
    assert found.count(before) > 5
    assert found.count(after) > 1


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)], ids=["some points", "every point"])
def test_a_recovery_that_is_killed_is_taken_up_again(root, tmp_path, step):
    (root / "sub/.git").unlink()
    seed = tmp_path / "seed"
    seed.mkdir()
    root.rename(seed / "root")
    before = everything(seed / "root")
    halves = [copy for copy in killed_at_every_point(WORK, seed, step=step) if list(copy.glob("state/*.json"))]
    for half in (halves[len(halves) // 2], halves[-1]):
        for copy in killed_at_every_point(RECOVERY, half, step=step):
            recover(Workspace(copy / "root"), copy / "state")
            assert everything(copy / "root") == before


RECOVERY = """
from fireside.workspace.workspace import Workspace
from fireside.workspace.writing import recover
import filelock
def work(folder):
    recover(Workspace(folder / "root"), folder / "state")
"""


def test_what_somebody_changed_after_a_kill_is_left_to_him_and_named(root, state):
    state.mkdir()
    workspace = Workspace(root)
    before = [transaction.Change("a.py", digest_of(OLD["a.py"]), digest_of(b"2"), lambda: b"2")]
    plan = transaction._plan(root, before)
    transaction._begin(plan, state)
    transaction._commit(root, plan, before)
    (root / "a.py").write_bytes(b"mine")
    found = recover(workspace, state)
    assert found.left == ("a.py",)
    assert (root / "a.py").read_bytes() == b"mine"
    assert recover(workspace, state) == transaction.Recovered()


def test_a_journal_that_makes_no_sense_is_put_aside(root, state):
    state.mkdir()
    for name in ("write-1.json", "write-2.done", "write-3.json"):
        (state / name).write_text("{" if name != "write-3.json" else '{"steps": [{"what": 1}]}')
    (state / "write-4.draft").write_text("{")
    assert recover(Workspace(root), state).taken_back == ()
    write_all(Workspace(root), [new("new.py")], state=state)
    assert not list(state.glob("write-*"))


def test_an_interrupted_write_takes_itself_back(root):
    before = everything(root)
    changes = [
        transaction.Change("a.py", digest_of(OLD["a.py"]), digest_of(b"2"), lambda: b"2"),
        transaction.Change("n/b.py", None, digest_of(b"2"), interrupted),
    ]
    with pytest.raises(KeyboardInterrupt):
        transaction.carry_out(root, changes, None)
    assert everything(root) == before


def interrupted() -> bytes:
    raise KeyboardInterrupt


@given(
    st.dictionaries(
        st.sampled_from(["a.py", "sub/b.py", "gone.py", "n1", "n/2", "n/3/4"]), st.none() | st.binary(max_size=40)
    )
)
@pytest.mark.slow
def test_what_is_written_is_what_is_there(tmp_path_factory, wanted):
    root = tmp_path_factory.mktemp("root")
    for path, data in OLD.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    writes = [
        FileWrite(path, data, digest_of(OLD[path]) if path in OLD else None)
        for path, data in wanted.items()
        if path in OLD or data is not None
    ]
    write_all(Workspace(root), writes)
    expected = {**OLD, **{write.path: write.data for write in writes}}
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert found == {path: data for path, data in expected.items() if data is not None}


@pytest.mark.parametrize("path", ["a/git/b", "x.git/y", ".gitignore", ".github/w.yml", "git", ".gitmodules", "a.git"])
def test_names_that_only_look_like_git_are_free(path):
    assert not protected(path)
