"""What is done to an index outside its own laboratory: killed writers, races, full disks, odd files, odd questions."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fireside.index.chunks import Progress, SearchResult
from fireside.index.index import Index
from fireside.index.store import DATABASE
from fireside.workspace.workspace import Workspace
from support.privileges import as_nobody, open_folder

# Updates an index and stands still where the named function is entered for the first time, until it is killed.
STANDING_STILL_IN = """
import sys
from pathlib import Path
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace
def stand_still(frame, event, argument):
    if event == "call" and frame.f_code.co_name == sys.argv[3]:
        sys.setprofile(None)
        print("there", flush=True)
        sys.stdin.read()
sys.setprofile(stand_still)
Index.open(Workspace(sys.argv[1]), Path(sys.argv[2])).update()
"""
UPDATING = """
import sys
from pathlib import Path
from fireside.core.errors import FiresideError
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace
sys.stdin.readline()
index = Index.open(Workspace(sys.argv[1]), Path(sys.argv[2]))
try:
    report = index.update()
    print(report.added, report.files, report.generation, report.pending)
except FiresideError as error:
    print(type(error).__name__, error.message)
index.close()
"""
QUERIES = ("total prices", "amount as cents", "with_tax", "freshly written")


def known(index: Index) -> tuple[object, ...]:
    """What an index says, without the numbers it gives its chunks and generations."""
    answers = [
        [
            (hit.chunk.path, hit.chunk.start_line, hit.chunk.text, hit.score)
            for hit in index.search(query, limit=50).hits
        ]
        for query in QUERIES
    ]
    return index.paths(), [sorted(answer) for answer in answers], index.symbols("freshly_written")


def fresh(root: Path, folder: Path) -> tuple[object, ...]:
    """What a new index of ``root`` says."""
    index = Index.open(Workspace(root), folder)
    index.update()
    found = known(index)
    index.close()
    return found


def change(root: Path) -> None:
    """One file new, one changed, one gone."""
    (root / "new.py").write_text("def freshly_written():\n    pass\n")
    (root / "shop/prices.py").write_text("def with_tax():\n    return 'freshly written'\n")
    (root / "README.md").unlink()


def killed_in(function: str, root: Path, folder: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", STANDING_STILL_IN, str(root), str(folder), function],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    with writer.stdin, writer.stdout:
        assert writer.stdout.readline() == "there\n"
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(timeout=10) == -signal.SIGKILL


# In the order of an update: the walk, the first file, its chunks, the postings, before the commit, after it.
MOMENTS = ("scan", "_write", "_file", "flush", "merge_where_due", "report")
SOME = [moment if moment in ("flush", "report") else pytest.param(moment, marks=pytest.mark.slow) for moment in MOMENTS]


@pytest.mark.parametrize("moment", SOME)
def test_an_update_killed_anywhere_leaves_one_whole_generation(open_index, index, root, tmp_path, moment):
    before = known(index)
    index.close()
    change(root)
    killed_in(moment, root, tmp_path / "index")
    again = open_index()
    after = known(again)
    wanted = fresh(root, tmp_path / "fresh")
    assert after == (wanted if moment == "report" else before)
    report = again.update()
    assert report.rebuilt == ""
    assert known(again) == wanted


@pytest.mark.parametrize("moment", ["set_meta", pytest.param("_connect", marks=pytest.mark.slow), *SOME[1:-1]])
def test_a_first_reading_killed_anywhere_is_begun_again(open_index, root, tmp_path, moment):
    killed_in(moment, root, tmp_path / "index")
    again = open_index()
    assert again.update().files == 4
    assert known(again) == fresh(root, tmp_path / "fresh")


@pytest.mark.slow
def test_processes_that_begin_together_make_one_index(open_index, root, tmp_path):
    for number in range(30):
        (root / f"part_{number}.py").write_text(f"def part_{number}():\n    return {number}\n")
    command = [sys.executable, "-c", UPDATING, str(root), str(tmp_path / "index")]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    done = [writer.communicate("go\n", timeout=60) for writer in writers]
    assert [error for _, error in done] == ["", "", ""]
    assert sorted(int(out.split()[0]) for out, _ in done) == [0, 0, 34]
    assert open_index().update().added == 0


@pytest.mark.slow
def test_a_disk_that_takes_no_more_is_a_clear_error_and_leaves_the_old_generation(open_index, index, root, tmp_path):
    before = known(index)
    index.close()
    (root / "new.py").write_text("\n".join(f"def freshly_written_{number}(): pass" for number in range(9_000)))
    room = (tmp_path / "index" / DATABASE).stat().st_size // 1024 + 64
    command = f'ulimit -f {room}; exec "$@"'
    done = subprocess.run(
        ["bash", "-c", command, "-", sys.executable, "-c", UPDATING, str(root), str(tmp_path / "index")],
        input="go\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert "the index in" in done.stdout
    again = open_index()
    assert known(again) == before
    assert again.update().added == 1


def pass_two_seconds(folder: Path) -> None:
    """What was written before the last look can no longer change unseen; see ``manifest``."""
    connection = sqlite3.connect(folder / DATABASE)
    with connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'looked_ns'", (str(time.time_ns() + 3 * 10**9),))
    connection.close()


def test_a_branch_switch_reads_what_differs_and_finds_what_it_found_before(open_index, root, tmp_path):
    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], cwd=root, check=True, capture_output=True
        )

    def switch(branch: str) -> tuple[set[str], tuple[object, ...]]:
        pass_two_seconds(tmp_path / "index")
        git("checkout", "-q", branch)
        read: list[Progress] = []
        index.update(read.append)
        return {one.path for one in read}, known(index)

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "one")
    git("checkout", "-qb", "other")
    change(root)
    git("add", "-A")
    git("commit", "-qm", "two")
    index = open_index()
    index.update()
    other = known(index)
    read, main = switch("main")
    assert read == {"shop/prices.py", "README.md"}
    assert main == fresh(root, tmp_path / "fresh")
    read, again = switch("other")
    assert read == {"shop/prices.py", "new.py"}
    assert again == other
    pass_two_seconds(tmp_path / "index")
    read_again: list[Progress] = []
    index.update(read_again.append)
    assert read_again == []


def test_a_renamed_folder_moves_with_all_it_holds(index, root, tmp_path):
    (root / "shop").rename(root / "store")
    report = index.update()
    assert (report.added, report.removed) == (2, 2)
    assert known(index) == fresh(root, tmp_path / "fresh")


def test_a_name_that_differs_in_case_only_is_another_name(index, root, tmp_path):
    (root / "shop/orders.py").rename(root / "shop/Orders.py")
    index.update()
    assert "shop/Orders.py" in index.paths()
    assert "shop/orders.py" not in index.paths()


def test_an_ignored_folder_is_never_entered_however_large(tmp_path):
    with open_folder() as folder:
        root = folder / "root"
        (root / "cargo/hold").mkdir(parents=True)
        (root / ".gitignore").write_text("cargo/\n")
        (root / "a.py").write_text("def anchor(): pass\n")
        with open(root / "cargo/hold/dump.py", "wb") as huge:
            huge.truncate(1 << 30)
        (root / "cargo").chmod(0)
        try:
            with as_nobody():
                index = Index.open(Workspace(root), folder / "index")
                report = index.update()
                # A folder that is entered and cannot be listed is counted.
                assert (report.files, report.skipped) == (2, {})
                assert index.status().pending == 0
                index.close()
        finally:
            (root / "cargo").chmod(0o755)


def test_a_file_of_a_gigabyte_is_left_out_by_its_size_and_said(open_index, root):
    with open(root / "dump.py", "wb") as huge:
        huge.truncate(1 << 30)
    report = open_index().update()
    assert (report.files, dict(report.skipped)) == (4, {"larger than 1 MB": 1})


def test_what_cannot_be_read_is_left_out_and_said_and_read_as_soon_as_it_can_be(tmp_path):
    with open_folder() as folder:
        root = folder / "root"
        (root / "locked").mkdir(parents=True)
        for name in ("a.py", "b.py", "locked/c.py"):
            (root / name).write_text("def anchor(): pass\n")
        (root / "b.py").chmod(0)
        (root / "locked").chmod(0)
        with as_nobody():
            index = Index.open(Workspace(root), folder / "index")
            report = index.update()
        assert (report.files, dict(report.skipped)) == (1, {"unreadable": 1, "unreadable folder": 1})
        (root / "b.py").chmod(0o644)
        (root / "locked").chmod(0o755)
        with as_nobody():
            assert index.update().files == 3
            index.close()


@pytest.mark.parametrize(
    "name",
    [
        "new\nline.py",
        "-rf.py",
        "quote'\".py",
        "[a-z]*.py",
        "größe.py",
        "日本.py",
        " .py",
        "%s.py",
    ],
)
def test_odd_names_are_indexed_found_and_forgotten(open_index, root, name):
    (root / name).write_text("def flotsam_and_jetsam(): pass\n")
    index = open_index()
    index.update()
    (hit,) = index.search("flotsam").hits
    assert (root / hit.chunk.path).read_text() == "def flotsam_and_jetsam(): pass\n"
    assert index.update().pending == 0
    (root / name).unlink()
    assert index.update().removed == 1
    assert index.search("flotsam").hits == ()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_text_in_any_encoding_is_found_by_its_words(open_index, root, encoding):
    (root / "old.py").write_bytes("def über():\n    return 'Brücke'\n".encode(encoding))
    index = open_index()
    index.update()
    (hit,) = index.search("Brücke").hits
    assert hit.chunk.text == "def über():\n    return 'Brücke'"


def test_a_file_that_no_grammar_can_make_sense_of_is_searched_in_lines_and_said(open_index, root):
    (root / "garbage.py").write_text("pelican ( \n" * 7_000)
    (root / "script.kt").write_text("fun pelican() = 1\n")
    index = open_index()
    assert index.update().fell_back == {"python": 1, "kotlin": 1}
    assert {hit.chunk.path for hit in index.search("pelican").hits} == {"garbage.py", "script.kt"}


@pytest.mark.parametrize(
    "query",
    ["", "   ", "\n\t", "?!...", "the of a", "\0", "\ud800", "🙂", "x" * 100_000, "價格 " * 30_000, "%s' OR 1=1 --"],
)
def test_whatever_is_asked_is_answered_with_generation_and_pending(index, query):
    begun = time.process_time()
    result = index.search(query)
    assert isinstance(result, SearchResult)
    assert (result.generation, result.pending) == (1, 0)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("query", ["Стоимость заказа", "заказа", "注文の合計", "통계 합계", "Größe des Auftrags"])
def test_a_question_in_another_language_finds_words_of_that_language(open_index, root, query):
    (root / "orders.md").write_text("Стоимость заказа\n\n注文の合計\n\n통계 합계\n\nGröße des Auftrags\n")
    index = open_index()
    index.update()
    assert index.search(query).hits[0].chunk.path == "orders.md"


def test_a_question_of_100_kB_is_answered_by_how_it_begins(index):
    result = index.search("read an amount such as 12.50 as cents " + "and so on " * 10_000)
    assert result.hits[0].chunk.path == "shop/prices.py"


def test_a_file_deleted_since_is_still_quoted_and_told_as_pending(index, root):
    (root / "shop/orders.py").unlink()
    assert index.status().pending == 1
    result = index.search("total")
    assert result.hits[0].chunk.path == "shop/orders.py"
    assert "sum(price.cents" in result.hits[0].chunk.text
    assert (result.generation, result.pending) == (1, 1)
    index.update()
    gone = index.search("total")
    assert all(hit.chunk.path != "shop/orders.py" for hit in gone.hits)
    assert (gone.generation, gone.pending) == (2, 0)


TEXTS = (
    "def total(): return price\n",
    "class Price:\n    cents = 1\n",
    "",
    "freshly written amount\n",
    "\0\1",
    "x\n" * 400,
)
NAMES = ("a.py", "b.py", "c.md", "shop/a.py", "shop/deep/d.go")
STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(NAMES), st.sampled_from(TEXTS)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES), st.none()),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("touch"), st.sampled_from(NAMES), st.none()),
    st.tuples(st.just("ignore"), st.sampled_from(NAMES), st.none()),
    st.tuples(st.just("update"), st.none(), st.none()),
)


def do(root: Path, step: tuple[str, str | None, str | None], update: Callable[[], object]) -> None:
    kind, name, more = step
    if name is None:
        update()
        return
    path = root / name
    if kind == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(more))
    elif kind == "ignore":
        (root / ".gitignore").write_text(f"{name}\n")
    elif path.exists():
        if kind == "remove":
            path.unlink()
        elif kind == "touch":
            os.utime(path)
        else:
            (root / str(more)).parent.mkdir(parents=True, exist_ok=True)
            path.rename(root / str(more))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=14))
def test_however_a_project_came_about_it_is_found_as_if_read_for_the_first_time(tmp_path, steps):
    root, folder = tmp_path / "root", tmp_path / "index"
    for one in (root, folder, tmp_path / "fresh"):
        shutil.rmtree(one, ignore_errors=True)
    root.mkdir()
    index = Index.open(Workspace(root), folder)
    for step in steps:
        do(root, step, index.update)
    index.update()
    found = known(index)
    index.close()
    assert found == fresh(root, tmp_path / "fresh")
