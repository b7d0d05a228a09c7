"""A git repository for tests, changed as its user would change it: by the real program."""

import atexit
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

IDENTITY = ("-c", "user.name=Ada Löwe", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main")


def git(folder: Path, *words: str, fails: bool = False) -> str:
    """What git wrote. ``fails``: it may."""
    done = subprocess.run(["git", *IDENTITY, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert fails or done.returncode == 0, done.stderr
    return done.stdout


def commit(folder: Path, subject: str = "one", /, **files: str) -> str:
    """Write files (``a__txt`` is ``a.txt``) and commit everything; the commit's hash."""
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", subject)
    return git(folder, "rev-parse", "HEAD").strip()


def new_repository(folder: Path) -> Path:
    """One with a commit of two files, ``a.txt`` (one, two, three) and ``b.txt``."""
    shutil.copytree(_template(), folder)
    return folder


@cache
def _template() -> Path:
    """Made once: git takes longer for it than a test for what it tests."""
    folder = Path(mkdtemp())
    atexit.register(shutil.rmtree, folder)
    git(folder, "init", "-q")
    for hook in (folder / ".git" / "hooks").iterdir():
        hook.unlink()
    commit(folder, a__txt="one\ntwo\nthree\n", b__txt="b\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below, with its bytes."""
    return {path: data for path, (data, _) in traces(folder).items()}


def traces(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below, with its bytes and its time."""
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def script(path: Path, line: str) -> Path:
    """A program of one line."""
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path
