"""An index kept true while files change: told by the system or by looking, in batches, and never in anybody's way."""

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from fireside.context.project import Project
from fireside.core.errors import FiresideError, OutOfResources
from fireside.index import watch
from fireside.index.chunks import IndexReport
from fireside.index.index import LOCK
from fireside.index.watch import Follower, follow, remote, watching
from support.knowing import open_project

GUARD = 20


class Seen(Project):
    """A project that tells what is asked of it."""

    def update(self, *words, **more):
        self.asked.put("update")
        if self.fails:
            raise self.fails.pop()
        return super().update(*words, **more)

    def status(self):
        self.asked.put("status")
        return super().status()


class Following:
    """A project that is followed in a thread, and what is heard of it."""

    def __init__(self, project: Seen) -> None:
        self.project = project
        self.reports: queue.Queue[IndexReport] = queue.Queue()
        self.errors: queue.Queue[FiresideError] = queue.Queue()
        self.modes: list[str] = []
        self.stop = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self, poll: float | None = None) -> IndexReport:
        self.thread = threading.Thread(
            target=follow,
            args=(self.project,),
            kwargs={
                "stop": self.stop,
                "on_report": self.reports.put,
                "on_error": self.errors.put,
                "on_mode": self.modes.append,
                "poll": poll,
            },
        )
        self.thread.start()
        return self.next()

    def next(self) -> IndexReport:
        return self.reports.get(timeout=GUARD)

    def asked(self, wanted: str) -> None:
        """Wait until this is asked of the project."""
        while self.project.asked.get(timeout=GUARD) != wanted:
            pass

    def write(self, path: str, text: str) -> None:
        place = self.project.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def end(self) -> None:
        self.stop.set()
        if self.thread is not None:
            self.thread.join(GUARD)
            assert not self.thread.is_alive()


@pytest.fixture
def followed(tmp_path: Path):
    made = open_project(tmp_path, {"app/main.py": "main = 1\n", ".gitignore": "out/\n", "out/made.py": "made = 1\n"})
    project = Seen(made.workspace, made.index)
    project.asked, project.fails = queue.SimpleQueue(), []
    following = Following(project)
    yield following
    following.end()
    project.close()


@pytest.fixture(params=["told", "looking"])
def start(request: pytest.FixtureRequest, followed: Following) -> Callable[[], IndexReport]:
    return lambda: followed.start(0.02 if request.param == "looking" else None)


def test_the_first_report_comes_at_once_and_then_one_for_each_change(followed, start):
    assert start().files == 2
    followed.write("app/new.py", "new = 1\n")
    assert followed.next().added == 1
    (followed.project.root / "app/new.py").unlink()
    assert followed.next().removed == 1


def test_files_in_a_new_folder_are_seen_and_those_a_new_rule_leaves_out_are_dropped(followed, start):
    start()
    followed.write("deep/down/here.py", "here = 1\n")
    while "deep/down/here.py" not in followed.project.index.paths():
        followed.next()
    followed.write("deep/down/there.py", "there = 1\n")
    while "deep/down/there.py" not in followed.project.index.paths():
        followed.next()
    followed.write(".gitignore", "out/\ndeep/\n")
    while "deep/down/here.py" in followed.project.index.paths():
        followed.next()


def test_300_files_written_at_once_are_few_batches(followed):
    followed.start()
    for number in range(300):
        followed.write(f"app/file{number}.py", f"number = {number}\n")
    added, reports = 0, 0
    while added < 300:
        added, reports = added + followed.next().added, reports + 1
    assert reports <= 6


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("app/new.py", True),
        ("app/gone.py", True),
        ("app", True),
        (".gitignore", True),
        ("out/made.py", False),
        ("out", False),
        (".git/index", False),
        ("app/node_modules/x.js", False),
        ("app/.env", False),
        ("../beside.py", False),
    ],
)
def test_what_is_ignored_makes_nobody_look(followed, path, counts):
    follower = Follower(followed.project, followed.stop, followed.reports.put, None, None)
    assert follower._counts({os.path.normpath(followed.project.root / path)}) == counts


@pytest.mark.skipif(watch.ONE_HANDLE, reason="only inotify watches folders one by one")
def test_only_folders_of_the_project_are_watched(followed):
    (followed.project.root / "node_modules" / "deep").mkdir(parents=True)
    (followed.project.root / "round").symlink_to(followed.project.root)
    follower = Follower(followed.project, followed.stop, followed.reports.put, None, None)
    root = str(followed.project.root)
    assert follower._folders() == {root, f"{root}/app"}


def test_nothing_is_written_and_no_lock_taken_when_nothing_changed(followed, start):
    start()
    followed.asked("update")
    followed.asked("status")
    with FileLock(followed.project.index.folder / LOCK):
        os.utime(followed.project.root / "app/main.py")
        followed.asked("status")
    while not followed.project.asked.empty():
        assert followed.project.asked.get() == "status"
    followed.write("app/new.py", "new = 1\n")
    assert followed.next().generation == 2


def test_what_another_process_indexed_is_reported_too(followed, start):
    generation = start().generation
    with watching(followed.project, on_report=lambda _: None, on_error=followed.errors.put):
        followed.write("app/new.py", "new = 1\n")
        assert followed.next().generation > generation


def test_while_another_process_writes_it_looks_again_until_all_is_read(followed, monkeypatch):
    monkeypatch.setattr(watch, "RETRY_SECONDS", 0.05)
    followed.start()
    lock = FileLock(followed.project.index.folder / LOCK)
    followed.asked("update")
    with lock:
        followed.write("app/new.py", "new = 1\n")
        followed.asked("update")
    assert followed.next().added == 1


@pytest.mark.parametrize("missing", ["library", "limit"])
def test_where_the_system_does_not_tell_the_project_is_looked_through(followed, monkeypatch, missing):
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.02)
    if missing == "library":
        monkeypatch.setitem(sys.modules, "watchfiles._rust_notify", None)
    else:
        from watchfiles import _rust_notify

        def full(*_):
            raise OSError(28, "OS file watch limit reached")

        monkeypatch.setattr(_rust_notify, "RustNotify", full)
    followed.start()
    followed.write("app/new.py", "new = 1\n")
    assert followed.next().added == 1
    reason = {"library": "watchfiles is not installed", "limit": "limit reached"}[missing]
    assert len(followed.modes) == 1
    assert reason in followed.modes[0]


def test_an_update_that_fails_is_told_once_and_tried_again(followed, monkeypatch):
    monkeypatch.setattr(watch, "RETRY_SECONDS", 0.02)
    followed.project.fails = [OutOfResources("there is no room") for _ in range(3)]
    assert followed.start(poll=0.02).files == 2
    assert followed.errors.get(timeout=GUARD).message == "there is no room"
    assert followed.errors.empty()


def test_an_update_that_fails_ends_it_where_nobody_listens_for_errors(followed):
    followed.project.fails = [OutOfResources("there is no room")]
    with pytest.raises(OutOfResources):
        follow(followed.project, stop=followed.stop, on_report=followed.reports.put)


def test_stopping_breaks_off_a_long_reading(tmp_path):
    made = open_project(tmp_path, {"a.py": "a = 1\n"})
    for number in range(400):
        (made.root / f"{number}.py").write_text("x = 1\n" * 100)
    stop = threading.Event()

    class Stopping(Project):
        def update(self, progress):
            stop.set()
            return super().update(progress)

    follow(Stopping(made.workspace, made.index), stop=stop, on_report=lambda _: None)
    assert made.status().generation == 1
    made.close()


def test_a_root_that_is_gone_for_now_empties_nothing(followed):
    follower = Follower(followed.project, followed.stop, followed.reports.put, None, None)
    root = followed.project.root
    root.rename(root.with_name("away"))
    follower._look()
    assert len(followed.project.index.paths()) == 2
    root.with_name("away").rename(root)


def test_leaving_the_block_ends_the_thread(followed):
    with watching(followed.project, on_report=followed.reports.put, on_error=followed.errors.put, poll=0.02):
        followed.next()
        assert any(thread.name == "fireside-watch" for thread in threading.enumerate())
    assert not any(thread.name == "fireside-watch" for thread in threading.enumerate())


def test_a_network_drive_is_known_by_its_kind(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\nhost:/x /net/a\\040b nfs4 rw 0 0\ntmpfs /net/a\\040b/local tmpfs rw 0 0\n\nbroken\n"
    )
    monkeypatch.setattr(watch, "MOUNTS", mounts)
    assert remote(Path("/srv/project")) == ""
    assert "nfs4" in remote(Path("/net/a b/project"))
    assert remote(Path("/net/a b/local/project")) == ""
    monkeypatch.setattr(watch, "MOUNTS", tmp_path / "nothing")
    assert remote(Path("/net/a b/project")) == ""


@pytest.mark.slow
def test_the_example_of_the_page_runs(followed, own_home):
    page = Path(__file__).parents[2] / "docs" / "context.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=followed.project.root,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 files")
