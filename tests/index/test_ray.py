"""A shared index prepared on a real Ray cluster of two nodes holds what one prepared here holds."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from fireside import __version__
from fireside.core.errors import Invalid, NotPermitted
from fireside.index.embed import Embedding
from fireside.index.gathering import Gathering, named
from fireside.index.index import Index
from fireside.index.prepare import Preparer, Task, here
from fireside.index.ray_cluster import ENVIRONMENT, LOOPBACK, RayCluster
from fireside.index.ray_preparer import RayPreparer, Worker
from fireside.index.static import load

# Ray's own habits: settings it calls outdated itself, and files of its children that it leaves to the garbage collector.
pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra [ray] is not installed"),
    *(
        pytest.mark.filterwarnings(f"ignore::{name}")
        for name in ("DeprecationWarning", "FutureWarning", "ResourceWarning", "UserWarning")
    ),
]
NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes, each with processes of its own, on loopback."""
    with two_nodes() as made:
        yield made


@pytest.fixture
def untouched_cluster() -> Iterator[Any]:
    """A cluster no other test has killed nodes of: a head that died with them would fail whoever comes next."""
    with two_nodes() as made:
        yield made


@contextmanager
def two_nodes() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ENVIRONMENT | LOOPBACK).items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        try:
            made.add_node(**NODE)
            made.wait_for_nodes()
            yield made
        finally:
            made.shutdown()


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, Path]:
    """Two repositories made with git, with a file in each that is no text."""
    for name, word in (("ships", "berth"), ("trains", "track")):
        folder = tmp_path / name
        (folder / "lib").mkdir(parents=True)
        for number in range(40):
            code = f'def {word}_{number}(length):\n    """Choose {word} {number}."""\n    return length * {number}\n'
            (folder / f"lib/{word}_{number}.py").write_text(f'"""Part {number}."""\n\n\n{code}')
        (folder / "README.md").write_text(f"# {name.title()}\n\nHow a {word} is chosen.\n")
        (folder / "data.py").write_bytes(b"\0\1\2" * 100)
        (folder / ".gitignore").write_text("ignored/\n")
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return named([tmp_path / "ships", tmp_path / "trains"], {})


def build(roots: dict[str, Path], folder: Path, preparer: Preparer) -> Index:
    folder.mkdir(exist_ok=True)
    index = Index.open(Gathering(folder, roots), folder, Embedding(load()))
    index.update(preparer=preparer)
    return index


def on(address: str, **sizes: int) -> RayPreparer:
    return RayPreparer(RayCluster(address, lambda place: place), embedder_id=load().id, **sizes)


def contents(folder: Path) -> tuple[object, ...]:
    """All that an index holds, without the numbers it gave in its own order."""
    import numpy as np

    with sqlite3.connect(folder / "index.db") as database:
        chunks = {
            number: rest
            for number, *rest in database.execute(
                "SELECT chunks.id, path, start_line, end_line, symbol, text FROM chunks JOIN files ON files.id = file"
            )
        }
        symbols = database.execute(
            "SELECT path, qualified, kind, start_line, signature FROM symbols JOIN files ON id = file"
        )
        files = database.execute("SELECT path, digest, language, chunks, unread FROM files").fetchall()
        vectors = {}
        for ids, rows in database.execute("SELECT ids, rows FROM vectors"):
            numbers = np.frombuffer(ids, np.int64)
            made = np.frombuffer(rows, np.int8).reshape(len(numbers), -1)
            vectors |= {
                tuple(chunks[number]): row.tobytes() for number, row in zip(numbers.tolist(), made, strict=True)
            }
        return sorted(chunks.values()), sorted(symbols), sorted(files), vectors


def test_it_holds_the_same_chunks_symbols_and_vectors_and_gives_the_same_hits(cluster, roots, tmp_path):
    local = build(roots, tmp_path / "local", here)
    # Many small trips in several windows, so that both nodes work and everything comes back out of order.
    shared = build(roots, tmp_path / "shared", on(cluster.address, trip=500, window=4_000))
    assert contents(tmp_path / "shared") == contents(tmp_path / "local")
    for query in ("how is a berth chosen", "track_7", "choose track 12", "Part 3"):
        hits = [
            {(one.chunk.path, one.chunk.start_line, round(one.score, 4)) for one in index.search(query, limit=200).hits}
            for index in (local, shared)
        ]
        assert hits[0]
        assert hits[0] == hits[1]
    local.close()
    shared.close()


def test_only_what_changed_travels_and_ray_is_left_out_where_nothing_did(cluster, roots, tmp_path):
    seen: list[str] = []

    def watched(tasks: Iterable[Task]) -> Iterator[Any]:
        def passing() -> Iterator[Task]:
            for task in tasks:
                seen.append(task.entry.path)
                yield task

        return on(cluster.address)(passing())

    build(roots, tmp_path / "shared", watched).close()
    assert len(seen) == 86
    seen.clear()
    (roots["trains"] / "lib/track_7.py").write_text("def platform():\n    return 7\n")
    index = build(roots, tmp_path / "shared", watched)
    assert seen == ["trains/lib/track_7.py"]
    assert index.search("platform").hits[0].chunk.path == "trains/lib/track_7.py"
    index.close()
    # Nobody is at this address, and nobody is asked.
    build(roots, tmp_path / "shared", on("127.0.0.1:9")).close()


def test_a_node_that_dies_loses_nothing(cluster, roots, tmp_path):
    gathering = Gathering(tmp_path, roots)
    tasks = [Task(entry, gathering.look(entry.path)) for entry in gathering.scan().files]
    node = cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    made = on(cluster.address, trip=1)(tasks)
    first = next(made)
    cluster.remove_node(node, allow_graceful=False)
    assert sorted(one.entry.path for one in (first, *made)) == [task.entry.path for task in tasks]


def test_whoever_stops_half_way_leaves_the_cluster(cluster, roots, tmp_path):
    import ray

    gathering = Gathering(tmp_path, roots)
    tasks = (Task(entry, gathering.look(entry.path)) for entry in gathering.scan().files)
    made = on(cluster.address, trip=1)(tasks)
    next(made)
    assert ray.is_initialized()
    made.close()
    assert not ray.is_initialized()


def test_an_address_that_is_not_permitted_is_not_contacted(roots, tmp_path):
    asked: list[str] = []

    def refuse(place: str) -> str:
        asked.append(place)
        raise NotPermitted(f"{place} is outside")

    with pytest.raises(NotPermitted):
        build(roots, tmp_path / "shared", RayPreparer(RayCluster("192.168.1.20:6379", refuse)))
    assert asked == ["192.168.1.20:6379"]


def test_every_machine_of_the_cluster_is_shown_before_a_file_leaves(cluster, roots, tmp_path):
    shown: list[str] = []

    def permit(place: str) -> str:
        shown.append(place)
        if len(shown) > 2:
            raise NotPermitted(f"{place} is outside")
        return place

    def tasks() -> Iterator[Task]:
        yield Task(next(Gathering(tmp_path, roots).files()), Gathering(tmp_path, roots).look("ships/README.md"))

    with pytest.raises(NotPermitted):
        next(RayPreparer(RayCluster(cluster.address, permit))(tasks()))
    assert shown[0] == cluster.address
    assert len(shown) == 3


@pytest.mark.parametrize(
    "address", ["", "nowhere", "box:", "box:99999999", "box:0", "http://box:1", "ray://box:1", "a b:1", "box:1/x"]
)
def test_what_is_no_address_is_refused_at_once(address):
    with pytest.raises(Invalid, match="not the address"):
        on(address)


def test_a_cluster_with_another_fireside_is_refused(cluster, roots, tmp_path, monkeypatch):
    monkeypatch.setattr("fireside.index.ray_preparer.__version__", "0.0.1")
    with pytest.raises(Invalid, match=f"has Fireside {__version__}"):
        build(roots, tmp_path / "shared", on(cluster.address))
    assert Worker("0.0.1", None)({"tasks": []})["refusal"] == [""]


def test_auto_joins_the_cluster_this_machine_is_in_and_shows_where_that_leads(cluster, roots, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    shown: list[str] = []

    def permit(place: str) -> str:
        shown.append(place)
        return place

    index = build(roots, tmp_path / "shared", RayPreparer(RayCluster("auto", permit)))
    assert len(index.paths()) == 84
    assert shown
    index.close()


def test_the_command_indexes_on_a_cluster_and_searches_there_after(untouched_cluster, roots, tmp_path):
    def fireside(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "fireside", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=120, check=False
        )

    made = fireside("index", "--into", "team", "ships", "trains", "--ray", untouched_cluster.address)
    assert made.returncode == 0, made.stderr
    assert "84 files" in made.stdout
    assert [line for line in made.stderr.splitlines() if not line.startswith("reading the project")] == []
    assert fireside("search", "--in", "team", "track_7").stdout.startswith("trains/lib/track_7.py:")
