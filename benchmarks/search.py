"""Code search over a copy of the Python standard library: ``python -m benchmarks search``.

The copy leaves installed packages and most tests out (some 25,000 chunks); it is opened as the command opens a project. The index is made
once, a changed file and an unchanged tree are the median of five, a query is the best of five, then median and 95th percentile over all
questions. The questions and the files that answer them were written by hand; quality on the development set: ``benchmarks.retrieval``.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.table import Figure, show
from fireside.app.knowledge import open_project

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = ("site-packages", "test", "__pycache__", "config-*")
REPEATS = 5
QUESTIONS = {
    "parse an ISO 8601 date": "datetime.py",
    "where are command line arguments split into options": "argparse.py",
    "how is a temporary directory removed when the context ends": "tempfile.py",
    "retry reading when a system call is interrupted": "subprocess.py",
    "compute the median of some numbers": "statistics.py",
    "wrap a paragraph to a given width": "textwrap.py",
    "find close matches of a word": "difflib.py",
    "escape special characters for the shell": "shlex.py",
    "cache the results of a function with a maximum size": "functools.py",
    "schedule a callback on the event loop": "asyncio/base_events.py",
    "cancel all children of a task group when one fails": "asyncio/taskgroups.py",
    "read a zip file's central directory": "zipfile.py",
    "decode a base64 string": "base64.py",
    "walk a directory tree": "os.py",
    "copy a file with its metadata": "shutil.py",
    "match a file name against a glob pattern": "fnmatch.py",
    "split a url into its components": "urllib/parse.py",
    "store cookies in a jar": "http/cookiejar.py",
    "send a mail over smtp with starttls": "smtplib.py",
    "tokenize python source": "tokenize.py",
    "produce a unified diff": "difflib.py",
    "insert into a sorted list": "bisect.py",
    "rotate log files by size": "logging/handlers.py",
    "pretty print nested data": "pprint.py",
    "OrderedDict.move_to_end": "collections/__init__.py",
    "ThreadPoolExecutor.submit": "concurrent/futures/thread.py",
    "JSONDecoder.raw_decode": "json/decoder.py",
    "namedtuple": "collections/__init__.py",
    "Fraction.limit_denominator": "fractions.py",
    "shutil.which": "shutil.py",
}


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def touch(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8") + f"\n# {time.time_ns()}\n", encoding="utf-8")


def cold(root: Path, home: Path) -> float:
    """Seconds of one whole ``fireside search`` process on an index that is up to date."""
    command = [
        str(Path(sys.executable).with_name("fireside")),
        "search",
        "--json",
        "--root",
        str(root),
        "insert into a sorted list",
    ]
    environ = {**os.environ, "FIRESIDE_HOME": str(home)}
    return seconds(lambda: subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True))


def wheel() -> float:
    """Megabytes of the wheel, with the weights of the embedding in it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        return sum(path.stat().st_size for path in Path(folder).glob("*.whl")) / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, home = Path(folder) / "stdlib", Path(folder) / "home"
        shutil.copytree(sysconfig.get_paths()["stdlib"], root, ignore=shutil.ignore_patterns(*LEFT_OUT))
        project = open_project(root, environ={**os.environ, "FIRESIDE_HOME": str(home)})
        processor = time.process_time()
        report = project.update()
        processor = (time.process_time() - processor) / report.chunks * 10_000
        changed = []
        for _ in range(REPEATS):
            touch(root / "statistics.py")
            changed.append(seconds(project.update))
        # The first look after a change reads again what was written within the last two seconds.
        time.sleep(2.1)
        project.update()
        unchanged = [seconds(project.update) for _ in range(REPEATS)]
        for question in QUESTIONS:
            project.search(question)
        queries = sorted(
            min(seconds(lambda: project.search(question)) for _ in range(REPEATS))  # noqa: B023  called at once
            for question in QUESTIONS
        )
        found = [
            any(hit.chunk.path == file for hit in project.search(question, limit=5).hits)
            for question, file in QUESTIONS.items()
        ]
        project.close()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
        cold(root, home)
        starts = [cold(root, home) for _ in range(REPEATS)]
        (database,) = home.rglob("index.db")
        show(
            [
                Figure(
                    "index from nothing, per 10k chunks",
                    report.seconds / report.chunks * 10_000,
                    "s",
                    4,
                    note=f"{report.chunks} chunks; {processor:.2f} s of processor time",
                ),
                Figure("one file changed", statistics.median(changed), "s", 0.2),
                Figure("nothing changed", statistics.median(unchanged), "s", 0.1),
                Figure("query, median", statistics.median(queries) * 1000, "ms", 2),
                Figure("query, 95th percentile", queries[int(len(queries) * 0.95)] * 1000, "ms", 10),
                Figure("fireside search, whole process", statistics.median(starts), "s", 0.5),
                Figure("peak resident memory, indexing and searching", peak, "MB", 200),
                Figure("wheel", wheel(), "MB", 16),
                Figure("index on disk", database.stat().st_size / 1e6, "MB"),
                Figure(
                    "questions answered in the first five hits", sum(found) / len(found), "of 1", 0.8, at_most=False
                ),
            ]
        )
        print("missed: " + "; ".join(question for question, ok in zip(QUESTIONS, found, strict=True) if not ok))


if __name__ == "__main__":
    main()
