"""Kill a piece of work at every point where it asks the system to change something, each time on a fresh copy of a folder."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

EVENTS = frozenset(
    ("open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.utime", "os.truncate")
)
MOST = 400


def killed_at_every_point(script: str, seed: Path, *, step: int = 1) -> list[Path]:
    """Run ``work(folder)`` of ``script`` on copies of ``seed``, killing the n-th run at its n-th point. Returns the copies.

    The last copy is of a run that nobody killed. A kill is ``SIGKILL``: nothing of the work gets to tidy up.
    """
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\nfrom support.killing import drive\ndrive(work, {str(seed)!r}, {step})"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Path(line) for line in done.stdout.splitlines()]


def drive(work, seed, step):
    """In the process of its own: forks once for each point."""
    for point in range(1, MOST, step):
        folder = Path(f"{seed}-{point}")
        _copy(Path(seed), folder)
        print(folder, flush=True)
        child = os.fork()
        if child == 0:
            _run(work, folder, point)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))
    sys.exit("the work has no end")


def _copy(seed, folder):
    """Two names of one file are two names of one file in the copy too."""
    shutil.copytree(seed, folder, symlinks=True)
    first = {}
    for path in sorted(seed.rglob("*")):
        facts = path.lstat()
        twin = first.setdefault(facts.st_ino, path)
        if twin != path and not path.is_dir():
            (folder / path.relative_to(seed)).unlink()
            os.link(folder / twin.relative_to(seed), folder / path.relative_to(seed), follow_symlinks=False)


def _run(work, folder, point):
    left = point

    def count(event, arguments):
        nonlocal left
        if event in EVENTS and not (event == "open" and _reads(arguments)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        work(folder)
    except BaseException as error:  # noqa: BLE001  the parent must learn of it, whatever it is
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def _reads(arguments) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
