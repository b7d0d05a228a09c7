"""States of a project: taken cheaply, kept outside it, and gone back to byte for byte."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.core.errors import Invalid, NotPermitted, OutOfResources
from fireside.workspace.checkpoints import Checkpoints
from fireside.workspace.checkpoints.recorder import KEEP, SLACK
from fireside.workspace.checkpoints.store import Store
from fireside.workspace.checkpoints.survey import Limits, survey
from fireside.workspace.marks import digest_of
from fireside.workspace.workspace import Workspace
from fireside.workspace.writing import FileWrite, write_all
from support.killing import killed_at_every_point
from support.privileges import as_nobody, open_folder

OLD = {
    "crlf.txt": b"one\r\ntwo\r\n",
    "bom.py": b"\xef\xbb\xbfx = 1",
    "empty.py": b"",
    "pic.png": bytes(range(256)) * 5,
    "sub/deep/run.sh": b"#!/bin/sh\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    for path, data in OLD.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / "sub/deep/run.sh").chmod(0o750)
    os.symlink("crlf.txt", folder / "link")
    return folder


@pytest.fixture
def checkpoints(root, tmp_path):
    with Checkpoints(Workspace(root), tmp_path / "state") as opened:
        yield opened


def everything(folder: Path) -> dict[str, object]:
    """Every file and link with its bytes and mode, or where it leads; folders do not count."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = (path.read_bytes(), path.stat().st_mode & 0o7777)
    return found


def edit(checkpoints: Checkpoints, label: str, **files: bytes | None) -> None:
    """One change by Fireside: ``files`` by path (two underscores for a slash), None to delete."""
    root = checkpoints.workspace.root
    paths = {name.replace("__", "/"): data for name, data in files.items()}
    writes = [
        FileWrite(path, data, digest_of((root / path).read_bytes()) if (root / path).exists() else None)
        for path, data in paths.items()
    ]
    with checkpoints.change(label, list(paths)):
        write_all(checkpoints.workspace, writes, state=checkpoints.folder)


def actions(files) -> list[tuple[str, str]]:
    return [(one.action, one.path) for one in files]


def overwrite(checkpoints: Checkpoints, path: str, data: bytes, label: str = "edit") -> None:
    edit(checkpoints, label, **{path.replace("/", "__"): data})


def test_undo_and_redo_bring_back_exact_bytes_modes_and_links(root, checkpoints):
    before = everything(root)
    with checkpoints.change("much"):
        (root / "crlf.txt").write_bytes(b"one\ntwo\n")
        (root / "bom.py").unlink()
        (root / "empty.py").write_bytes(b"not any more")
        (root / "pic.png").write_bytes(b"\0")
        (root / "sub/deep/run.sh").chmod(0o644)
        (root / "link").unlink()
        (root / "link").symlink_to("nowhere")
        (root / "made/by").mkdir(parents=True)
        (root / "made/by/it.py").write_bytes(b"")
    after = everything(root)
    done = checkpoints.undo()
    assert everything(root) == before
    assert not (root / "made").exists()
    assert done.label == "much"
    assert actions(done.files) == [
        ("created", "bom.py"), ("changed", "crlf.txt"), ("changed", "empty.py"), ("changed", "link"),
        ("deleted", "made/by/it.py"), ("changed", "pic.png"), ("changed", "sub/deep/run.sh"),
    ]  # fmt: skip
    checkpoints.redo()
    assert everything(root) == after
    checkpoints.undo()
    assert everything(root) == before


def test_undo_again_walks_further_back_and_redo_forward(root, checkpoints):
    states = [everything(root)]
    for number in range(3):
        overwrite(checkpoints, "crlf.txt", b"%d" % number, f"edit {number}")
        states.append(everything(root))
    for number in (2, 1, 0):
        assert checkpoints.undo().label == f"edit {number}"
        assert everything(root) == states[number]
    with pytest.raises(Invalid, match="nothing to undo"):
        checkpoints.undo()
    for number in (1, 2, 3):
        assert checkpoints.redo().label == f"edit {number - 1}"
        assert everything(root) == states[number]
    with pytest.raises(Invalid, match="nothing to redo"):
        checkpoints.redo()


def test_undo_leaves_alone_what_somebody_did_to_other_files(root, checkpoints):
    overwrite(checkpoints, "crlf.txt", b"edited")
    (root / "bom.py").write_bytes(b"by hand")
    (root / "hand.py").write_bytes(b"new by hand")
    assert actions(checkpoints.undo().files) == [("changed", "crlf.txt")]
    assert (root / "crlf.txt").read_bytes() == OLD["crlf.txt"]
    assert (root / "bom.py").read_bytes() == b"by hand"
    assert (root / "hand.py").read_bytes() == b"new by hand"
    (root / "hand.py").unlink()
    checkpoints.redo()
    assert (root / "crlf.txt").read_bytes() == b"edited"
    assert not (root / "hand.py").exists()


def test_undo_refuses_a_file_that_was_changed_since_and_force_loses_nothing(root, checkpoints):
    edit(checkpoints, "edit", **{"crlf.txt": b"edited", "bom.py": b"edited too", "new.py": b"new"})
    (root / "crlf.txt").write_bytes(b"by hand")
    (root / "new.py").write_bytes(b"new, by hand")
    before = everything(root)
    with pytest.raises(Invalid, match=r"crlf\.txt, new\.py have changed since 'edit'") as caught:
        checkpoints.undo()
    assert "fireside undo --force" in caught.value.remedy
    assert everything(root) == before, "all or nothing"
    checkpoints.undo(force=True)
    assert (root / "crlf.txt").read_bytes() == OLD["crlf.txt"]
    assert (root / "bom.py").read_bytes() == OLD["bom.py"]
    assert not (root / "new.py").exists()
    checkpoints.redo()
    assert everything(root) == before, "redo brings back what was there, not what the edit had made"
    checkpoints.undo()
    assert (root / "crlf.txt").read_bytes() == OLD["crlf.txt"]


def test_mode_and_contents_are_taken_back_each_by_itself(root, checkpoints):
    overwrite(checkpoints, "crlf.txt", b"edited")
    (root / "crlf.txt").chmod(0o755)
    checkpoints.undo()
    assert (root / "crlf.txt").read_bytes() == OLD["crlf.txt"]
    assert (root / "crlf.txt").stat().st_mode & 0o777 == 0o755
    with checkpoints.change("chmod"):
        (root / "bom.py").chmod(0o600)
    (root / "bom.py").write_bytes(b"by hand")
    checkpoints.undo()
    assert (root / "bom.py").read_bytes() == b"by hand"
    assert (root / "bom.py").stat().st_mode & 0o777 == 0o644


def test_what_was_undone_by_hand_is_no_conflict(root, checkpoints):
    overwrite(checkpoints, "crlf.txt", b"edited")
    (root / "crlf.txt").write_bytes(OLD["crlf.txt"])
    assert checkpoints.undo().files == ()
    with pytest.raises(Invalid, match="nothing to undo"):
        checkpoints.undo()


def test_a_new_change_after_undo_ends_redo_but_every_state_can_be_restored(root, checkpoints):
    overwrite(checkpoints, "crlf.txt", b"first", "first")
    edited = checkpoints.list()[0]
    assert (edited.label, edited.kind, edited.changed) == ("first", "change", 1)
    checkpoints.undo()
    overwrite(checkpoints, "crlf.txt", b"second", "second")
    with pytest.raises(Invalid, match="nothing to redo"):
        checkpoints.redo()
    checkpoints.restore(edited.id)
    assert (root / "crlf.txt").read_bytes() == b"first"
    checkpoints.undo()
    assert (root / "crlf.txt").read_bytes() == b"second"


def test_restore_makes_everything_as_it_was_or_only_some_of_it(root, checkpoints):
    start = checkpoints.take("start").id
    before = everything(root)
    (root / "sub/deep/new.py").write_bytes(b"new")
    (root / "sub/deep/run.sh").unlink()
    (root / "crlf.txt").write_bytes(b"by hand")
    assert len(checkpoints.restore(start, dry_run=True).files) == 3
    assert (root / "crlf.txt").read_bytes() == b"by hand"
    checkpoints.restore(start, ["sub"])
    assert (root / "crlf.txt").read_bytes() == b"by hand"
    assert sorted(everything(root / "sub")) == ["deep", "deep/run.sh"] or sorted(everything(root / "sub")) == [
        "deep/run.sh"
    ]
    checkpoints.restore(start)
    assert everything(root) == before
    checkpoints.undo()
    assert (root / "crlf.txt").read_bytes() == b"by hand"
    assert checkpoints.restore(start, ["bom.py"]).files == ()
    for path in ("nope.py", "../out"):
        with pytest.raises(Invalid, match="no checkpoint knows"):
            checkpoints.restore(start, [path])
    with pytest.raises(Invalid, match="no checkpoint 99"):
        checkpoints.restore(99)


def test_files_and_folders_may_change_places(root, checkpoints):
    before = everything(root)
    with checkpoints.change("turn around"):
        (root / "crlf.txt").unlink()
        (root / "crlf.txt/in").mkdir(parents=True)
        (root / "crlf.txt/in/it.py").write_bytes(b"1")
        shutil.rmtree(root / "sub")
        (root / "sub").write_bytes(b"a file")
        (root / "link").unlink()
        (root / "link").mkdir()
        (root / "link/x").write_bytes(b"1")
    after = everything(root)
    checkpoints.undo()
    assert everything(root) == before
    checkpoints.redo()
    assert everything(root) == after


def test_a_folder_that_became_a_link_is_not_written_through(root, checkpoints, tmp_path):
    start = checkpoints.take("start").id
    outside = tmp_path / "outside"
    shutil.copytree(root / "sub/deep", outside)
    (outside / "run.sh").write_bytes(b"outside")
    shutil.rmtree(root / "sub/deep")
    (root / "sub/deep").symlink_to(outside)
    checkpoints.restore(start)
    assert (outside / "run.sh").read_bytes() == b"outside"
    assert (root / "sub/deep/run.sh").read_bytes() == OLD["sub/deep/run.sh"]
    assert not (root / "sub/deep").is_symlink()


def test_an_ignored_file_is_covered_when_it_is_named(root, checkpoints):
    (root / ".gitignore").write_text("*.env\nbuild/\n")
    (root / "a.env").write_bytes(b"KEY=1")
    (root / "other.env").write_bytes(b"KEY=2")
    start = checkpoints.take("start")
    edit(checkpoints, "edit", **{"a.env": b"KEY=9", "build__out.txt": b"made"})
    (root / "other.env").unlink()
    assert actions(checkpoints.undo().files) == [("changed", "a.env"), ("deleted", "build/out.txt")]
    assert (root / "a.env").read_bytes() == b"KEY=1"
    assert not (root / "build").exists()
    checkpoints.restore(start.id)
    assert not (root / "other.env").exists(), "nobody has named it, so nothing of it was kept"


def test_a_covered_file_that_a_rule_leaves_out_later_is_not_taken_for_deleted(root, checkpoints):
    checkpoints.take("start")
    (root / ".ignore").write_text("*.txt\nsub/\n")
    assert checkpoints.take("rule").changed == 1
    overwrite(checkpoints, "crlf.txt", b"edited")
    (root / "sub/deep/run.sh").write_bytes(b"by hand")
    assert actions(checkpoints.undo().files) == [("changed", "crlf.txt")]
    assert (root / "sub/deep/run.sh").read_bytes() == b"by hand"


def test_a_file_over_the_limit_is_named_and_never_overwritten(root, tmp_path):
    limits = Limits(file=3_000, named=5_000, project=100_000)
    with Checkpoints(Workspace(root), tmp_path / "state", limits=limits) as checkpoints:
        (root / "small.bin").write_bytes(b"1" * 3_000)
        (root / "large.bin").write_bytes(b"1" * 4_000)
        (root / "huge.bin").write_bytes(b"1" * 6_000)
        start = checkpoints.take("start")
        assert {(one.path, one.reason) for one in start.skipped} == {
            ("huge.bin", "larger than 0.003 MB"), ("large.bin", "larger than 0.003 MB"),
        }  # fmt: skip
        assert start.files == len(OLD) + 2
        edit(checkpoints, "edit", **{"large.bin": b"2" * 4_000, "small.bin": b"2"})
        checkpoints.undo()
        assert (root / "large.bin").read_bytes() == b"1" * 4_000, "what a change names is covered"
        (root / "small.bin").write_bytes(b"3" * 9_000)
        (root / "huge.bin").write_bytes(b"4")
        left = {one.path: one.reason for one in checkpoints.restore(start.id).left}
        assert left.keys() == {"huge.bin", "large.bin", "small.bin"}
        assert left["small.bin"].startswith("what is in it now could not be brought back")
        assert left["huge.bin"].startswith("its contents were not kept")
        assert (root / "small.bin").read_bytes() == b"3" * 9_000
        assert (root / "huge.bin").read_bytes() == b"4"


def test_a_project_that_is_too_large_covers_no_large_files(root, tmp_path):
    for number in range(3):
        (root / f"{number}.bin").write_bytes(b"1" * 1_200_000)
    with Checkpoints(Workspace(root), tmp_path / "state", limits=Limits(project=3_000_000)) as checkpoints:
        assert {one.reason for one in checkpoints.take("start").skipped} == {"larger than 1 MB"}


def test_what_cannot_be_read_is_named_and_not_taken_for_deleted():
    with open_folder() as folder:
        root = folder / "root"
        (root / "shut").mkdir(parents=True)
        for path in ("a.py", "b.py", "shut/c.py"):
            (root / path).write_bytes(path.encode())
        for path in (folder, root, root / "shut", *root.rglob("*.py")):
            path.chmod(0o777)
        with as_nobody(), Checkpoints(Workspace(root), folder / "state") as checkpoints:
            start = checkpoints.take("start")
            overwrite(checkpoints, "a.py", b"edited")
        (root / "b.py").chmod(0)
        (root / "shut").chmod(0)
        with as_nobody(), Checkpoints(Workspace(root), folder / "state") as checkpoints:
            seen = checkpoints.take("now")
            assert {(one.path, one.reason) for one in seen.skipped} == {
                ("b.py", "unreadable"), ("shut", "unreadable folder"),
            }  # fmt: skip
            assert actions(checkpoints.undo().files) == [("changed", "a.py")]
        (root / "shut").chmod(0o777)
        (root / "b.py").chmod(0o777)
        with as_nobody(), Checkpoints(Workspace(root), folder / "state") as checkpoints:
            assert checkpoints.restore(start.id).files == ()
        assert (root / "b.py").read_bytes() == b"b.py"
        assert (root / "shut/c.py").read_bytes() == b"shut/c.py"


def test_undo_that_may_not_write_changes_nothing():
    with open_folder() as folder:
        root = folder / "root"
        (root / "held").mkdir(parents=True)
        for path in ("a.py", "held/b.py"):
            (root / path).write_bytes(b"1")
        for path in (folder, root, root / "held", *root.rglob("*.py")):
            path.chmod(0o777)
        with as_nobody(), Checkpoints(Workspace(root), folder / "state") as checkpoints:
            edit(checkpoints, "edit", **{"a.py": b"2", "held__b.py": b"2"})
        (root / "held").chmod(0o555)
        with as_nobody(), Checkpoints(Workspace(root), folder / "state") as checkpoints:
            with pytest.raises(NotPermitted, match=r"held/b\.py"):
                checkpoints.undo()
            assert (root / "a.py").read_bytes() == b"2"
        (root / "held").chmod(0o777)
        with as_nobody(), Checkpoints(Workspace(root), folder / "state") as checkpoints:
            checkpoints.undo()
        assert (root / "held/b.py").read_bytes() == (root / "a.py").read_bytes() == b"1"


def test_only_what_changed_is_read(root):
    read: list[str] = []
    first = survey(root, {}, keep=lambda digest, data: read.append(digest))
    assert len(read) == len(OLD)
    old = {path: entry._replace(ctime_ns=os.lstat(root / path).st_ctime_ns) for path, entry in first.entries.items()}
    read.clear()
    (root / "bom.py").write_bytes(b"other")
    assert list(survey(root, old, keep=lambda digest, data: read.append(digest)).changes) == ["bom.py"]
    assert read == [digest_of(b"other")]


def test_a_second_writing_within_one_tick_of_the_clock_is_seen(root, checkpoints):
    (root / "bom.py").write_bytes(b"first")
    facts = os.stat(root / "bom.py")
    checkpoints.take("start")
    (root / "bom.py").write_bytes(b"again")
    os.utime(root / "bom.py", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert checkpoints.take("again").changed == 1


def test_nothing_changed_is_no_new_checkpoint(root, checkpoints):
    first = checkpoints.take("first")
    assert checkpoints.take("second").id == first.id
    os.utime(root / "bom.py")
    assert checkpoints.take("third").id == first.id
    with checkpoints.change("nothing"):
        pass
    assert len(checkpoints.list()) == 1


def test_git_is_neither_read_nor_written(root, checkpoints):
    (root / ".git").mkdir()
    (root / ".git/config").write_bytes(b"1")
    (root / "sub/.git").write_bytes(b"gitdir: x")
    start = checkpoints.take("start").id
    (root / ".git/config").write_bytes(b"2")
    (root / "sub/.git").unlink()
    assert checkpoints.restore(start).files == ()
    assert (root / ".git/config").read_bytes() == b"2"
    assert not (root / "sub/.git").exists()


def test_a_store_inside_the_project_does_not_cover_itself(root):
    with Checkpoints(Workspace(root), root / "home/state", apart=[root / "home"]) as checkpoints:
        (root / "home").mkdir()
        (root / "home/other.py").write_bytes(b"1")
        assert checkpoints.take("start").files == len(OLD) + 1
        assert checkpoints.take("again").id == 1


def test_names_that_are_no_utf8_come_back(root, checkpoints):
    name = os.fsdecode(b"caf\xe9\n.py")
    overwrite(checkpoints, name, b"1")
    (root / name).unlink()
    checkpoints.undo()
    with pytest.raises(Invalid, match="nothing to undo"):
        checkpoints.undo()
    overwrite(checkpoints, name, b"2", f"edit {name}")
    assert checkpoints.undo().files[0].path == name
    assert checkpoints.redo().files[0].path == name
    assert (root / name).read_bytes() == b"2"


def test_what_was_done_before_an_error_is_a_step_too(root, checkpoints):
    with pytest.raises(ZeroDivisionError), checkpoints.change("half"):
        half_done(root)
    assert checkpoints.undo().label == "half"
    assert (root / "bom.py").read_bytes() == OLD["bom.py"]


def half_done(root: Path) -> None:
    (root / "bom.py").write_bytes(b"half")
    raise ZeroDivisionError


def test_diff_names_what_differs_either_way(root, checkpoints):
    first = checkpoints.take("first").id
    edit(checkpoints, "edit", **{"crlf.txt": b"1", "new.py": b"1"})
    edit(checkpoints, "more", **{"new.py": b"2", "bom.py": None})
    second = checkpoints.list()[0].id
    there = [("deleted", "bom.py"), ("changed", "crlf.txt"), ("created", "new.py")]
    assert actions(checkpoints.diff(first)) == actions(checkpoints.diff(first, second)) == there
    assert actions(checkpoints.diff(second, first)) == [
        ("created", "bom.py"),
        ("changed", "crlf.txt"),
        ("deleted", "new.py"),
    ]
    assert checkpoints.diff(second) == ()
    with pytest.raises(Invalid):
        checkpoints.diff(first, 99)


def test_old_checkpoints_can_be_forgotten(root, checkpoints):
    noise = os.urandom(200_000)
    for number in range(6):
        overwrite(checkpoints, "bom.py", noise[number:], f"edit {number}")
    size = stored(checkpoints)
    assert checkpoints.prune(keep=2) == 5
    assert [one.label for one in checkpoints.list()] == ["edit 5", "edit 4"]
    assert stored(checkpoints) < size / 1.5
    checkpoints.undo()
    assert (root / "bom.py").read_bytes() == noise[4:]
    checkpoints.undo()
    assert (root / "bom.py").read_bytes() == noise[3:]
    with pytest.raises(Invalid, match="nothing to undo"):
        checkpoints.undo()


def test_the_list_does_not_grow_for_ever(root, checkpoints):
    checkpoints.take("first")
    store = Store(checkpoints.folder)
    with store.transaction():
        for number in range(KEEP + SLACK):
            store.add("found", f"{number}", files=1, changes=())
    store.close()
    overwrite(checkpoints, "bom.py", b"1")
    assert KEEP <= len(checkpoints.list()) <= KEEP + 2
    checkpoints.undo()
    assert (root / "bom.py").read_bytes() == OLD["bom.py"]


def test_nobody_else_can_read_what_is_kept(checkpoints):
    checkpoints.take("first")
    assert checkpoints.folder.stat().st_mode & 0o077 == 0


def test_a_name_that_only_changed_its_case_is_another_file(root, checkpoints):
    overwrite(checkpoints, "crlf.txt", b"edited")
    (root / "sub").rename(root / "s")
    (root / "s").rename(root / "SUB")
    (root / "bom.py").rename(root / "BOM.py")
    seen = checkpoints.diff(checkpoints.list()[0].id, checkpoints.take("renamed").id)
    assert actions(seen) == [
        ("created", "BOM.py"), ("created", "SUB/deep/run.sh"), ("deleted", "bom.py"), ("deleted", "sub/deep/run.sh"),
    ]  # fmt: skip


def stored(checkpoints: Checkpoints) -> int:
    checkpoints.close()
    return sum(path.stat().st_size for path in checkpoints.folder.iterdir())


def test_the_same_contents_are_kept_once(root, checkpoints):
    noise = os.urandom(300_000)
    for number in range(10):
        (root / f"{number}.py").write_bytes(noise)
    checkpoints.take("start")
    assert stored(checkpoints) < 450_000


def test_a_damaged_content_is_named_and_nothing_is_written(root, checkpoints):
    edit(checkpoints, "edit", **{"bom.py": b"1", "crlf.txt": b"1", "new.py": b"1"})
    with_sql(checkpoints, "UPDATE blobs SET data = x'00' WHERE digest = ?", digest_of(OLD["crlf.txt"]))
    before = everything(root)
    with pytest.raises(Invalid, match=r"contents of crlf\.txt are damaged; nothing was written"):
        checkpoints.undo()
    assert everything(root) == before
    with_sql(checkpoints, "DELETE FROM blobs WHERE digest = ?", digest_of(OLD["crlf.txt"]))
    with pytest.raises(Invalid, match=r"crlf\.txt"):
        checkpoints.undo()
    assert everything(root) == before
    checkpoints.restore(1, ["bom.py"])
    assert (root / "bom.py").read_bytes() == OLD["bom.py"]


def with_sql(checkpoints: Checkpoints, statement: str, *values: object) -> None:
    checkpoints.close()
    connection = sqlite3.connect(checkpoints.folder / "checkpoints.db")
    connection.execute(statement, values)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("damage", ["garbage", "no table", "another version", "empty"])
def test_a_damaged_store_is_said_and_the_next_change_begins_a_new_one(root, checkpoints, damage):
    overwrite(checkpoints, "bom.py", b"1")
    if damage == "garbage":
        checkpoints.close()
        (checkpoints.folder / "checkpoints.db").write_bytes(b"garbage" * 1_000)
    elif damage == "no table":
        with_sql(checkpoints, "DROP TABLE files")
    elif damage == "another version":
        with_sql(checkpoints, "UPDATE meta SET value = '0' WHERE key = 'format'")
    else:
        checkpoints.close()
        (checkpoints.folder / "checkpoints.db").write_bytes(b"")
    if damage != "empty":
        with pytest.raises(Invalid, match="damaged"):
            checkpoints.undo()
        assert not list(checkpoints.folder.glob("damaged-*.db"))
    overwrite(checkpoints, "bom.py", b"2")
    assert checkpoints.undo().label == "edit"
    assert (root / "bom.py").read_bytes() == b"1"
    assert (damage == "empty") != bool(list(checkpoints.folder.glob("damaged-*.db")))


SMALL_DISK = """
import resource, signal, sys
from pathlib import Path
from fireside.core.errors import FiresideError
from fireside.workspace.checkpoints import Checkpoints
from fireside.workspace.workspace import Workspace
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    with Checkpoints(Workspace(sys.argv[1]), Path(sys.argv[2])) as checkpoints, checkpoints.change("edit"):
        print("inside")
except FiresideError as error:
    print(type(error).__name__, error.message)
"""


def test_without_room_for_a_checkpoint_nothing_is_begun(root, tmp_path):
    (root / "noise.py").write_bytes(os.urandom(400_000))
    command = [sys.executable, "-c", SMALL_DISK, root, tmp_path / "state"]
    for size in ("1", "100000"):
        done = subprocess.run([*command, size], capture_output=True, text=True, check=True, timeout=30)
        assert done.stdout.startswith(OutOfResources.__name__), done.stdout + done.stderr
    done = subprocess.run([*command, "10000000"], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "inside\n", done.stderr


WORK = """
from fireside.workspace.checkpoints import Checkpoints
from fireside.workspace.marks import digest_of
from fireside.workspace.workspace import Workspace
from fireside.workspace.writing import FileWrite, write_all
import filelock, sqlite3
def work(folder):
    root = folder / "root"
    checkpoints = Checkpoints(Workspace(root), folder / "state")
    with checkpoints.change("edit", ["crlf.txt", "bom.py", "new/file.py"]):
        write_all(checkpoints.workspace, [
            FileWrite("crlf.txt", b"edited", digest_of((root / "crlf.txt").read_bytes())),
            FileWrite("bom.py", None, digest_of((root / "bom.py").read_bytes())),
            FileWrite("new/file.py", b"new", None),
        ], state=checkpoints.folder)
    checkpoints.undo()
    checkpoints.redo()
    checkpoints.restore(1)
"""


@pytest.mark.parametrize("step", [17, pytest.param(1, marks=pytest.mark.slow)], ids=["some points", "every point"])
def test_killed_at_any_point_the_files_are_whole_and_can_be_taken_back(root, tmp_path, step):
    seed = tmp_path / "seed"
    seed.mkdir()
    root.rename(seed / "root")
    old = everything(seed / "root")
    new = {**old, "crlf.txt": (b"edited", 0o644), "new/file.py": (b"new", 0o644)}
    del new["bom.py"]
    copies = killed_at_every_point(WORK, seed, step=step)
    assert everything(copies[-1] / "root") == old
    seen = []
    for copy in copies:
        with Checkpoints(Workspace(copy / "root"), copy / "state") as checkpoints:
            checkpoints.take("after the kill")
            found = everything(copy / "root")
            assert found in (old, new), copy
            log = checkpoints.list()
            assert {one.kind for one in log[1:]} <= {"found", "change", "undo", "redo", "restore"}
            if found == new:
                checkpoints.undo()
                assert everything(copy / "root") == old
                checkpoints.redo()
                assert everything(copy / "root") == new
            first = log[-1].id
            checkpoints.restore(first)
            assert everything(copy / "root") == old
            seen.append(found == new)
    assert seen.count(True) > 2
    assert seen.count(False) > 2


KILLED_INSIDE = """
import os, signal, sys
from pathlib import Path
from fireside.workspace.checkpoints import Checkpoints
from fireside.workspace.workspace import Workspace
root = Path(sys.argv[1])
with Checkpoints(Workspace(root), Path(sys.argv[2])).change("shell", ["bom.py"]):
    (root / "bom.py").write_bytes(b"half done")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_change_had_done_can_be_undone_without_what_came_after(root, checkpoints):
    done = subprocess.run([sys.executable, "-c", KILLED_INSIDE, root, checkpoints.folder], check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL
    (root / "crlf.txt").write_bytes(b"by hand, afterwards")
    assert checkpoints.undo().label == "shell"
    assert (root / "bom.py").read_bytes() == OLD["bom.py"]
    assert (root / "crlf.txt").read_bytes() == b"by hand, afterwards"


AT_ONCE = """
import sys
from pathlib import Path
from fireside.workspace.checkpoints import Checkpoints
from fireside.workspace.marks import digest_of
from fireside.workspace.workspace import Workspace
from fireside.workspace.writing import FileWrite, write_all
name = sys.argv[3]
with Checkpoints(Workspace(sys.argv[1]), Path(sys.argv[2])) as checkpoints:
    for number in range(4):
        before = digest_of(b"%d" % (number - 1)) if number else None
        with checkpoints.change(f"{name} {number}", [name]):
            write_all(checkpoints.workspace, [FileWrite(name, b"%d" % number, before)], state=checkpoints.folder)
"""


@pytest.mark.slow
def test_two_processes_at_once_each_get_their_steps(root, checkpoints):
    before = everything(root)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, root, checkpoints.folder, name], stderr=subprocess.PIPE, text=True
        )
        for name in ("one.py", "two.py")
    ]
    assert [process.communicate(timeout=60)[1] for process in running] == ["", ""]
    labels = [one.label for one in checkpoints.list() if one.kind == "change"]
    assert sorted(labels) == sorted(f"{name} {number}" for name in ("one.py", "two.py") for number in range(4))
    for label in labels:
        assert checkpoints.undo().label == label
    assert everything(root) == before


def test_threads_share_one_object(root, checkpoints):
    def change(name: str) -> None:
        for number in range(3):
            overwrite(checkpoints, name, b"%d" % number, f"{name} {number}")

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(change, ("0.py", "1.py", "2.py")))
    assert sum(one.kind == "change" for one in checkpoints.list()) == 9


def test_a_dry_run_leaves_no_trace(root, checkpoints):
    overwrite(checkpoints, "bom.py", b"edited")
    (root / "crlf.txt").write_bytes(b"by hand")
    before, log = everything(root), checkpoints.list()
    assert actions(checkpoints.undo(dry_run=True).files) == [("changed", "bom.py")]
    assert actions(checkpoints.restore(1, dry_run=True).files) == [("changed", "bom.py"), ("changed", "crlf.txt")]
    assert (everything(root), checkpoints.list()) == (before, log)


def test_asking_about_a_project_without_checkpoints_makes_none(root, tmp_path):
    with Checkpoints(Workspace(root), tmp_path / "state") as checkpoints:
        assert checkpoints.list() == ()
        assert checkpoints.prune() == 0
        for ask in (checkpoints.undo, checkpoints.redo, lambda: checkpoints.restore(1), lambda: checkpoints.diff(1)):
            with pytest.raises(Invalid):
                ask()
    assert not list(tmp_path.glob("state/*.db"))


NAMES = st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a", "link"])
STEP = st.dictionaries(NAMES, st.one_of(st.none(), st.binary(max_size=8), st.sampled_from([0o600, 0o755])), max_size=4)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(st.booleans(), STEP), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_every_state_that_was_taken_comes_back_byte_for_byte(tmp_path_factory, steps, random):
    folder = tmp_path_factory.mktemp("any")
    root = folder / "root"
    root.mkdir()
    (root / "kept").write_bytes(b"kept")
    with Checkpoints(Workspace(root), folder / "state") as checkpoints:
        states = {checkpoints.take("start").id: everything(root)}
        for made, step in steps:
            for path, value in step.items():
                act(root / path, value)
            states[checkpoints.take("step", made=made).id] = everything(root)
        for number in random.sample(sorted(states), len(states)):
            checkpoints.restore(number)
            assert everything(root) == states[number]
            there = everything(root)
            checkpoints.undo()
            checkpoints.redo()
            assert everything(root) == there


def act(place: Path, value: bytes | int | None) -> None:
    if place.name == "link" and value is not None:
        place.unlink(missing_ok=True)
        place.symlink_to(f"to-{value!r}"[:40].replace("\\", "").replace("\0", ""))
    elif isinstance(value, bytes):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(value)
    elif value is None:
        place.unlink(missing_ok=True)
    elif place.exists():
        place.chmod(value)
