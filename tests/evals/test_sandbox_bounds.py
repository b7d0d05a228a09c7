"""Programs that take all they can get, in each kind of sandbox.

Each carries a bound of its own, so that a sandbox that fails does not take the machine with it.
"""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from fireside.evals import sandbox
from fireside.evals.sandbox_limits import Limits
from support.sandboxed import FEW, attempt, stays_in, working


@pytest.fixture(params=sandbox.KINDS)
def kind(request: pytest.FixtureRequest) -> sandbox.Kind:
    return working(request.param)


def test_a_fork_bomb_is_bounded(kind):
    """A thousand at most, were there no bound, and each ends after some seconds by itself."""
    program = """
import os, time
made = 0
try:
    for _ in range(1000):
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        made += 1
except OSError:
    print("refused after", made)
"""
    said = attempt(kind, program).stdout.split()
    assert said[:2] == ["refused", "after"]
    assert int(said[2]) < FEW.processes


def test_threads_are_bounded_like_processes(kind):
    program = """
import threading
done, made = threading.Event(), 0
threading.stack_size(32768)
try:
    for _ in range(2000):
        threading.Thread(target=done.wait, args=(3,), daemon=True).start()
        made += 1
except RuntimeError:
    print("refused after", made)
done.set()
"""
    said = attempt(kind, program).stdout.split()
    assert said[:2] == ["refused", "after"]
    assert int(said[2]) <= 2 * FEW.processes


def test_three_gigabytes_are_not_had(kind):
    assert attempt(kind, "held = bytearray(3_000_000_000)\nprint('OUT')").ended == "memory"
    stays_in(kind, "import mmap\nheld = mmap.mmap(-1, 3_000_000_000)\nprint('OUT')")


def test_many_processes_get_no_more_memory_than_one(kind):
    """Each stays below the limit, together they would be far above it; 1.2 GB at most, were there no bound."""
    program = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        held = bytearray(os.urandom(1024)) * 150_000
        time.sleep(20)
        os._exit(0)
time.sleep(20)
print("OUT")
"""
    ran = attempt(kind, program)
    assert ran.ended == "memory" or "Operation not permitted" in ran.stderr


def test_the_disk_is_not_filled(kind):
    """Many files of one megabyte, 200 at most were there no bound, in every folder that can be written."""
    program = """
import os
written = 0
for place, folder in enumerate(("/tmp", "/dev/shm", "/dev", "/", "/var/tmp", "/run", "/proc", "/usr", os.getcwd())):
    for number in range(200):
        try:
            with open(f"{folder}/filler{place}-{number}", "wb") as file:
                file.write(bytes(1 << 20))
                file.flush()
            written += 1
        except OSError:
            break
print(written)
"""
    written = int(attempt(kind, program).stdout)
    assert written <= FEW.disk >> 20
    assert not Path("/tmp/filler0-0").exists()


def test_memory_is_not_filled_by_a_million_empty_files(kind):
    """Two hundred thousand at most, were there no bound, and in the sandbox's own folder."""
    program = "for number in range(200_000):\n  open(f'/tmp/empty{number}', 'w').close()\nprint('OUT')"
    ran = attempt(kind, program)
    assert ran.ended == "disk" or "Permission denied" in ran.stderr
    assert not Path("/tmp/empty0").exists()


def test_memory_is_not_filled_by_nameless_files(kind):
    program = """
import ctypes, os
made = [ctypes.CDLL(None).memfd_create(b"x", 0), ctypes.CDLL(None).shmget(0, 1 << 20, 0o1600)]
print(["OUT" for result in made if result >= 0])
"""
    stays_in(kind, program)


def test_endless_output_is_cut_and_ended(kind):
    ran = sandbox.run("while True: print('x' * 10_000)", limits=Limits(seconds=20, output=100_000), kind=kind)
    assert ran.ended == "output"
    assert len(ran.stdout) == 100_000


@pytest.mark.parametrize(
    "loop",
    [
        "while True: pass",
        "import time\nwhile True: time.sleep(1)",
        "import signal\nsignal.pthread_sigmask(0, range(1, 65))\nwhile True: pass",
    ],
)
def test_an_endless_loop_is_ended(kind, loop):
    assert sandbox.run(loop, limits=Limits(seconds=1), kind=kind).ended == "timeout"


def test_nothing_goes_on_after_the_end(kind, own_home):
    """A child that leaves its session and its parent is ended with the sandbox all the same."""
    mark = f"mark-{os.getpid()}-{kind}"
    program = f"""
import os, sys, time
try:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", {mark!r}])
        os._exit(0)
    time.sleep(0.3)
except OSError:
    pass
os.close(1), os.close(2)
"""
    attempt(kind, program)
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark.encode() in _read(path)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_program_does_not_outlive_a_parent_that_is_killed(kind, own_home):
    pipe = subprocess.PIPE
    mark = f"outlive-{os.getpid()}-{kind}"
    program = (
        f"import ctypes, time\nctypes.CDLL(None).prctl(1, 0)\nmark = {mark!r}\nprint('up', flush=True)\ntime.sleep(60)"
    )
    started = f"sandbox.why_not({kind!r})\nprint('ready', flush=True)\nsandbox.run({program!r}, kind={kind!r})"
    script = f"from fireside.evals import sandbox\n{started}"
    with subprocess.Popen([sys.executable, "-c", script], stdout=pipe, start_new_session=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        child = _until_a_child_of(parent.pid)
        parent.kill()
    signalled = os.pidfd_open(child) if Path(f"/proc/{child}").exists() else -1
    if signalled >= 0:
        assert select.select([signalled], [], [], 20)[0], "it still runs"
        os.close(signalled)


def _until_a_child_of(pid: int) -> int:
    for _ in range(1_000_000):
        if found := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            return int(found[0])
    raise AssertionError("the sandbox was never started")
