"""The index follows the disk, survives its writer, and never shows half a change."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fireside.core.errors import NotPermitted, OutOfResources
from fireside.index import store
from fireside.index.chunks import Progress
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace

# Indexes a project, says "begun" after its first file, and then stands still inside the update until its standard input ends.
STANDING_STILL = """
import sys
from pathlib import Path
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace
def stand_still(progress):
    print("begun", flush=True)
    sys.stdin.read()
index = Index.open(Workspace(sys.argv[1]), Path(sys.argv[2]))
print(index.update(stand_still).generation, flush=True)
index.close()
"""


def paths_of(index: Index, query: str) -> list[str]:
    return [hit.chunk.path for hit in index.search(query).hits]


def start_writer(root: Path, folder: Path) -> "subprocess.Popen[str]":
    """A process that holds the writer's lock in mid-update."""
    writer = subprocess.Popen(
        [sys.executable, "-c", STANDING_STILL, str(root), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "begun\n"
    return writer


def test_the_first_update_reads_everything_and_the_next_nothing(open_index):
    index = open_index()
    assert index.search("price").hits == ()
    first = index.update()
    assert (first.files, first.added, first.generation) == (4, 4, 1)
    second = index.update()
    assert (second.added, second.changed, second.removed, second.generation) == (0, 0, 0, 1)
    assert index.status().pending == 0


def test_progress_names_every_file_read(open_index):
    seen: list[Progress] = []
    open_index().update(seen.append)
    assert [(one.done, one.total) for one in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert {one.path for one in seen} >= {"README.md", "shop/prices.py"}


def test_changed_new_and_removed_files_are_followed(index, root):
    (root / "shop/prices.py").write_text("def convert_currency():\n    return 1\n")
    (root / "shop/stock.py").write_text("def count_shelves():\n    return 2\n")
    (root / "shop/orders.py").unlink()
    assert index.status().pending == 3
    report = index.update()
    assert (report.added, report.changed, report.removed, report.generation) == (1, 1, 1, 2)
    assert paths_of(index, "convert currency")[0] == "shop/prices.py"
    assert paths_of(index, "count shelves")[0] == "shop/stock.py"
    assert "shop/orders.py" not in paths_of(index, "total sum of price")
    assert index.symbols("with_tax") == []


def test_a_rename_moves_the_hits(index, root):
    (root / "shop/orders.py").rename(root / "shop/baskets.py")
    report = index.update()
    assert (report.added, report.removed) == (1, 1)
    assert "shop/baskets.py" in paths_of(index, "total prices")
    assert "shop/orders.py" not in paths_of(index, "total prices")


def test_a_rewrite_of_the_same_size_and_time_is_seen(index, root):
    path = root / "shop/orders.py"
    before = path.stat()
    path.write_text(path.read_text().replace("total", "toast"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert index.update().changed == 1
    assert index.symbols("toast")


def test_a_touched_file_is_not_read_again_twice(index, root):
    os.utime(root / "shop/orders.py")
    report = index.update()
    assert (report.changed, report.generation) == (0, 1)


def test_a_branch_switch_is_followed_both_ways(open_index, root):
    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], cwd=root, check=True, capture_output=True
        )

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "one")
    index = open_index()
    index.update()
    git("checkout", "-qb", "other")
    (root / "shop/orders.py").write_text("def count_parcels():\n    return 1\n")
    git("rm", "-q", "README.md")
    git("commit", "-qam", "two")
    index.update()
    assert index.symbols("count_parcels")
    git("checkout", "-q", "main")
    report = index.update()
    assert (report.added, report.changed) == (1, 1)
    assert not index.symbols("count_parcels")
    assert index.symbols("total")


def test_a_file_that_becomes_binary_leaves_the_index_and_is_counted(index, root):
    (root / "shop/orders.py").write_bytes(b"\0\1\2")
    assert index.update().skipped == {"binary": 1}
    assert not index.symbols("total")
    assert index.update().changed == 0


def test_links_and_pipes_do_no_harm(open_index, root):
    os.symlink(root, root / "loop")
    os.mkfifo(root / "pipe.py")
    os.symlink("nowhere", root / "dangling.py")
    assert open_index().update().skipped == {"not a regular file": 2, "dangling link": 1}


def test_latin_1_is_searchable(open_index, root):
    (root / "old.py").write_bytes("def grösse():\n    return 'Straße'\n".encode("latin-1"))
    index = open_index()
    index.update()
    assert paths_of(index, "Straße") == ["old.py"]


def test_files_without_a_grammar_are_reported(open_index, root):
    (root / "init.lua").write_text("function setup()\nend\n")
    assert open_index().update().fell_back == {"lua": 1}


def test_a_killed_writer_leaves_the_old_generation(open_index, root, tmp_path):
    index = open_index()
    index.update()
    for number in range(3):
        (root / f"new_{number}.py").write_text("def freshly_written():\n    pass\n")
    (root / "shop/orders.py").unlink()
    writer = start_writer(root, tmp_path / "index")
    writer.send_signal(signal.SIGKILL)
    assert writer.wait(timeout=10) == -signal.SIGKILL
    for stream in (writer.stdin, writer.stdout):
        stream.close()
    again = open_index()
    assert again.search("total prices").generation == 1
    assert "shop/orders.py" in paths_of(again, "total prices")
    assert again.symbols("freshly_written") == []
    report = again.update()
    assert (report.added, report.removed, report.generation, report.rebuilt) == (3, 1, 2, "")
    assert len(index.symbols("freshly_written")) == 3


def test_while_another_process_writes_the_old_generation_is_served_and_pending_is_told(index, root, tmp_path):
    (root / "new.py").write_text("def freshly_written():\n    pass\n")
    writer = start_writer(root, tmp_path / "index")
    report = index.update()
    assert (report.pending, report.added, report.generation) == (1, 0, 1)
    result = index.search("total prices")
    assert (result.generation, result.pending) == (1, 1)
    assert result.hits
    out, _ = writer.communicate("", timeout=10)
    assert out.split()[-1] == "2"
    assert index.update().pending == 0
    assert index.search("freshly written").generation == 2
    assert index.symbols("freshly_written")


@pytest.mark.slow
def test_without_a_generation_to_serve_the_second_process_waits(open_index, root, tmp_path):
    index = open_index()
    writer = start_writer(root, tmp_path / "index")
    said = threading.Event()

    def progress(one: Progress) -> None:
        if "another process" in one.path:
            said.set()

    reports = []
    waiting = threading.Thread(target=lambda: reports.append(index.update(progress)))
    waiting.start()
    assert said.wait(timeout=10)
    writer.communicate("", timeout=10)
    waiting.join(timeout=10)
    assert [(report.files, report.generation) for report in reports] == [(4, 1)]


def test_threads_of_one_process_take_turns(index, root):
    (root / "new.py").write_text("def freshly_written():\n    pass\n")
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(index.update())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(report.added for report in reports) == [0, 0, 0, 1]
    assert index.update().generation == 2


def test_files_swapped_between_walk_and_read_do_not_stop_an_update(open_index, root, tmp_path):
    def swap(progress: Progress) -> None:
        if progress.done == 1:
            for path, target in (("shop/prices.py", tmp_path), ("shop/orders.py", root / "shop/orders.py")):
                (root / path).unlink()
                (root / path).symlink_to(target)
            (root / "tests/test_prices.py").unlink()
            (root / "tests/test_prices.py").mkdir()

    index = open_index()
    assert index.update(swap).files == 1
    assert index.update().files == 1
    assert index.status().pending == 0


def test_stopping_an_update_leaves_the_old_generation(index, root):
    (root / "new.py").write_text("def freshly_written():\n    pass\n")

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.update(stop)
    assert index.search("total").generation == 1
    assert index.symbols("freshly_written") == []
    assert index.update().added == 1


def test_an_index_of_another_version_is_made_again_and_said(open_index, index, monkeypatch):
    index.close()
    monkeypatch.setattr(store, "FORMAT", store.FORMAT + 1)
    report = open_index().update()
    assert report.added == 4
    assert "another version" in report.rebuilt


@pytest.mark.parametrize("damage", ["head", "middle", "empty", "text"])
def test_a_damaged_index_is_made_again_and_said(open_index, index, tmp_path, damage):
    index.close()
    database = tmp_path / "index" / store.DATABASE
    data = bytearray(database.read_bytes())
    if damage == "head":
        data[:200] = b"\xff" * 200
    elif damage == "middle":
        data[4096:] = b"\xaa" * (len(data) - 4096)
    else:
        data = bytearray() if damage == "empty" else bytearray(b"this is no database " * 500)
    database.write_bytes(data)
    again = open_index()
    report = again.update()
    assert report.files == 4
    assert report.rebuilt
    assert paths_of(again, "with_tax")[0] == "shop/prices.py"


def test_damage_met_while_searching_is_mended(open_index, index, tmp_path):
    index.close()
    database = tmp_path / "index" / store.DATABASE
    connection = sqlite3.connect(database)
    page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'segments'").fetchone()[0]
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    with open(database, "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xaa" * size)
    assert paths_of(open_index(), "with_tax")[0] == "shop/prices.py"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chunks SET text = CAST(x'6465660aff' AS TEXT)",
        "UPDATE chunks SET symbol = x'ff', file = 4711",
        "UPDATE postings SET entries = x'ffffffffff'",
        "UPDATE segments SET lengths = files, files = x''",
        "UPDATE meta SET value = 'many' WHERE key = 'generation'",
        "DROP TABLE symbols",
        "DELETE FROM files",
    ],
)
def test_values_that_make_no_sense_are_damage_too(open_index, index, tmp_path, statement):
    index.close()
    connection = sqlite3.connect(tmp_path / "index" / store.DATABASE)
    with connection:
        connection.execute(statement)
    connection.close()
    again = open_index()
    again.search("with_tax")
    again.update()
    assert paths_of(again, "with_tax")[0] == "shop/prices.py"
    assert again.update().pending == 0


def test_why_an_index_was_damaged_is_one_short_line(open_index, index, tmp_path):
    index.close()
    connection = sqlite3.connect(tmp_path / "index" / store.DATABASE)
    with connection:
        connection.execute("UPDATE files SET digest = CAST(x'ff' || zeroblob(4000) AS TEXT)")
    connection.close()
    rebuilt = open_index().update().rebuilt
    assert rebuilt.startswith("it was damaged")
    assert len(rebuilt) < 120


def test_an_index_made_again_by_another_is_taken_up(open_index, index, root, tmp_path):
    shutil.rmtree(tmp_path / "index")
    open_index().update()
    (root / "new.py").write_text("def brand_new(): pass\n")
    assert paths_of(index, "with_tax")[0] == "shop/prices.py"
    index.update()
    assert paths_of(index, "brand_new")[0] == "new.py"
    assert open_index().status().pending == 0


def test_a_folder_removed_while_open_is_made_again(index, tmp_path):
    shutil.rmtree(tmp_path / "index")
    assert index.search("with_tax").hits == ()
    assert index.update().added == 4
    assert paths_of(index, "with_tax")[0] == "shop/prices.py"


def test_rebuilding_reads_everything_again(index):
    report = index.update(rebuild=True)
    assert (report.files, report.added, report.generation) == (4, 4, 2)
    assert paths_of(index, "with_tax")[0] == "shop/prices.py"


def test_many_small_updates_and_their_merging_find_the_same(index, root, open_index, tmp_path):
    for number in range(24):
        (root / "shop/orders.py").write_text(f"def total_{number}(prices):\n    return {number}\n")
        (root / f"extra_{number}.py").write_text(f"def extra_{number}():\n    return 'pelican {number}'\n")
        index.update()
    for number in range(0, 24, 2):
        (root / f"extra_{number}.py").unlink()
    index.update()
    fresh = Index.open(Workspace(root), tmp_path / "fresh")
    fresh.update()
    for query in ("pelican", "total prices", "extra_7", "parse price"):
        patched = [(hit.chunk.path, hit.chunk.start_line, hit.score) for hit in index.search(query, limit=50).hits]
        assert sorted(patched) == sorted(
            (hit.chunk.path, hit.chunk.start_line, hit.score) for hit in fresh.search(query, limit=50).hits
        )
    fresh.close()


def test_a_folder_that_cannot_be_written_is_a_clear_error(root, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotPermitted, match="index"):
        Index.open(Workspace(root), tmp_path / "file")


def test_a_full_disk_is_a_clear_error_and_leaves_the_old_generation(index, root, monkeypatch):
    (root / "new.py").write_text("\n".join(f"def freshly_written_{number}(): pass" for number in range(5_000)))
    connect = store._connect

    def cramped(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA max_page_count = 40")
        return connection

    monkeypatch.setattr(store, "_connect", cramped)
    with pytest.raises(OutOfResources, match="no room"):
        index.update()
    monkeypatch.undo()
    assert index.search("total prices").hits
    assert index.update().added == 1


def test_a_project_that_vanishes_leaves_an_empty_index(index, root):
    shutil.rmtree(root)
    root.mkdir()
    report = index.update()
    assert (report.files, report.removed) == (0, 4)
    assert index.search("price").hits == ()
