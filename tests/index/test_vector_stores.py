"""One suite, every place for vectors: in the index, in a graph beside it, in Chroma, at a Chroma server."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fireside.app.chroma import ChromaServer
from fireside.core.errors import Invalid, NotPermitted
from fireside.engines.egress import Egress, EgressSettings
from fireside.engines.ledger import Ledger
from fireside.index.chroma_server import COLLECTIONS, ServedCollection
from fireside.index.store import Store
from fireside.index.vectors import VectorStore
from fireside.index.vectors_chroma import ChromaVectors, EmbeddedCollection, NoVectors, collection_name
from fireside.index.vectors_numpy import MANY_ROWS, MANY_VECTORS, NumpyVectors, quantized
from fireside.index.vectors_usearch import UsearchVectors

WIDTH = 32
SMALL_TAIL = 100
CHROMA = pytest.mark.chroma


@dataclass
class Place:
    """``open``: the vectors as they are now, by (embedder, dimensions). ``recall``: the share of the best ten it must find."""

    open: Callable[..., VectorStore]
    recall: float = 1.0


def in_numpy(folder: Path) -> Iterator[Place]:
    store = Store.create(folder)
    yield Place(lambda embedder="e", dimensions=WIDTH: NumpyVectors(store, dimensions), 0.99)
    store.close()


def in_usearch(folder: Path) -> Iterator[Place]:
    yield Place(
        lambda embedder="e", dimensions=WIDTH: UsearchVectors(folder, "i", embedder, dimensions, tail=SMALL_TAIL), 0.98
    )


def in_a_log(folder: Path) -> Iterator[Place]:
    yield Place(lambda embedder="e", dimensions=WIDTH: UsearchVectors(folder, "i", embedder, dimensions))


def in_chroma(folder: Path) -> Iterator[Place]:
    opened: list[EmbeddedCollection] = []

    def collection(embedder: str = "e", dimensions: int = WIDTH) -> VectorStore:
        opened.append(EmbeddedCollection(folder / "chroma", collection_name("test", "i", embedder)))
        return ChromaVectors(opened[-1], dimensions)

    yield Place(collection)
    for one in opened:
        one.close()


def at_a_server(folder: Path, url: str) -> Iterator[Place]:
    server = ChromaServer(url, egress(folder))

    def collection(embedder: str = "e", dimensions: int = WIDTH) -> VectorStore:
        return ChromaVectors(ServedCollection(server, collection_name("test", str(folder), embedder)), dimensions)

    yield Place(collection)
    server.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server, one for the whole suite; every test has an index of its own there."""
    with chroma_server(tmp_path_factory.mktemp("served")) as url:
        yield url


class chroma_server:
    """A real server in a process of its own, on a port that was free a moment ago."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def __enter__(self) -> str:
        command = [
            str(Path(sys.executable).with_name("chroma")),
            "run",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        environ = os.environ | {"CHROMA_TELEMETRY": "0", "ANONYMIZED_TELEMETRY": "False"}
        self.process = subprocess.Popen(
            [*command, "--path", str(self.folder)], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        url = f"http://127.0.0.1:{self.port}"
        until = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{url}/api/v2/heartbeat", timeout=5):
                    return url
            except OSError:
                assert self.process.poll() is None, "chroma run has ended"
                assert time.monotonic() < until, "chroma run does not answer"

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def egress(folder: Path, *allowed: str) -> Egress:
    return Egress(EgressSettings(allow_hosts=allowed), Ledger(folder / "egress.jsonl"))


PLACES = {
    "numpy": in_numpy,
    "usearch": in_usearch,
    "usearch-log": in_a_log,
    "chroma": in_chroma,
}


@pytest.fixture(
    params=[pytest.param(name, marks=CHROMA) if "chroma" in name else name for name in (*PLACES, "chroma-server")]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if "chroma" in request.param:
        pytest.importorskip("chromadb")
    if "usearch" in request.param:
        pytest.importorskip("usearch")
    yield from opened(request, request.param, tmp_path)


def opened(request: pytest.FixtureRequest, name: str, folder: Path) -> Iterator[Place]:
    return at_a_server(folder, request.getfixturevalue("served")) if name == "chroma-server" else PLACES[name](folder)


def units(count: int, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def numbers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_what_was_added_is_found_best_first(place: Place):
    with_closing(place.open(), found_best_first)


def with_closing(vectors: VectorStore, work: Callable[[VectorStore], None]) -> None:
    try:
        work(vectors)
    finally:
        vectors.close()
        vectors.close()


def found_best_first(vectors: VectorStore) -> None:
    rows = units(50)
    vectors.add(np.arange(50) * 7 + 3, rows)
    ids, scores = vectors.nearest(rows[4], 5)
    assert ids[0] == 4 * 7 + 3
    assert scores[0] == pytest.approx(1, abs=0.02)
    assert len(ids) == 5
    assert list(scores) == sorted(scores, reverse=True)
    assert scores == pytest.approx(rows[(ids - 3) // 7] @ rows[4], abs=0.02)


def test_ids_are_ascending_whatever_the_order_of_additions(place: Place):
    vectors = place.open()
    vectors.add(numbers(9, 40), units(2))
    vectors.add(numbers(2, 11), units(2, seed=1))
    assert vectors.ids().tolist() == [2, 9, 11, 40]
    assert vectors.ids().dtype == np.int64
    ids, _ = vectors.nearest(units(2, seed=1)[1], 1)
    assert ids.tolist() == [11]
    vectors.close()


def test_of_a_thousand_the_best_ten_are_found(place: Place):
    vectors = place.open()
    rows, queries = units(1_000), units(40, seed=1)
    for start in range(0, 1_000, 250):
        vectors.add(np.arange(start, start + 250), rows[start : start + 250])
    exact = [set(np.argsort(-(rows @ query))[:10].tolist()) for query in queries]
    found = [set(vectors.nearest(query, 10)[0].tolist()) for query in queries]
    assert sum(len(one & other) for one, other in zip(exact, found, strict=True)) / 400 >= place.recall
    vectors.close()


def test_the_removed_are_not_found_again_and_unknown_ids_are_no_error(place: Place):
    vectors = place.open()
    rows = units(300)
    vectors.add(np.arange(300), rows)
    vectors.remove(numbers(5, 6, 7, 250, 99_999))
    vectors.remove(numbers(5))
    assert vectors.ids().tolist() == [number for number in range(300) if number not in (5, 6, 7, 250)]
    assert not {5, 6, 7, 250} & set(vectors.nearest(rows[6], 20)[0].tolist())
    assert vectors.similarities(rows[6], numbers(6, 8))[0] == 0
    vectors.close()


def test_everything_can_be_removed_and_more_be_added(place: Place):
    vectors = place.open()
    vectors.add(np.arange(300), units(300))
    vectors.remove(np.arange(300))
    assert vectors.ids().tolist() == []
    assert len(vectors.nearest(units(1)[0], 5)[0]) == 0
    vectors.add(numbers(300, 301), units(2, seed=2))
    assert vectors.nearest(units(2, seed=2)[1], 5)[0].tolist()[0] == 301
    assert vectors.ids().tolist() == [300, 301]
    vectors.close()


def test_similarities_come_in_the_order_asked_with_0_for_the_unknown(place: Place):
    vectors = place.open()
    rows = units(200)
    vectors.add(np.arange(200), rows)
    asked = numbers(7, 99_999, 3, 150, 7)
    found = vectors.similarities(rows[3], asked)
    wanted = [rows[7] @ rows[3], 0, 1, rows[150] @ rows[3], rows[7] @ rows[3]]
    assert found == pytest.approx(wanted, abs=0.02)
    assert len(vectors.similarities(rows[3], numbers())) == 0
    vectors.close()


def test_an_empty_place_answers_with_nothing(place: Place):
    vectors = place.open()
    query = units(1)[0]
    assert vectors.ids().tolist() == []
    for found in vectors.nearest(query, 5):
        assert len(found) == 0
    assert vectors.similarities(query, numbers(1, 2)).tolist() == [0, 0]
    vectors.remove(numbers(1))
    vectors.add(numbers(), np.zeros((0, WIDTH), np.float32))
    assert vectors.ids().tolist() == []
    vectors.close()


def test_more_may_be_asked_for_than_there_is_and_nothing_at_all(place: Place):
    vectors = place.open()
    vectors.add(np.arange(150), units(150))
    ids, scores = vectors.nearest(units(1)[0], 1_000)
    assert sorted(ids.tolist()) == list(range(150))
    assert len(scores) == 150
    assert len(vectors.nearest(units(1)[0], 0)[0]) == 0
    vectors.close()


def test_vectors_of_nothing_are_kept_and_like_nothing(place: Place):
    vectors = place.open()
    rows = units(150)
    rows[20:30] = 0
    vectors.add(np.arange(150), rows)
    assert len(vectors.ids()) == 150
    assert vectors.similarities(rows[1], numbers(20, 21)) == pytest.approx([0, 0], abs=1e-6)
    assert vectors.nearest(rows[1], 3)[0].tolist()[0] == 1
    ids, scores = vectors.nearest(np.zeros(WIDTH, np.float32), 3)
    assert np.isfinite(scores).all()
    assert scores == pytest.approx([0] * len(ids), abs=1e-6)
    vectors.close()


def test_vectors_of_another_length_are_refused_and_nothing_is_changed(place: Place):
    vectors = place.open()
    vectors.add(numbers(1, 2), units(2))
    for ids, rows in ((numbers(3), units(1, 8)), (numbers(3, 4), units(1))):
        with pytest.raises(Invalid):
            vectors.add(ids, rows)
    assert vectors.ids().tolist() == [1, 2]
    vectors.close()


def test_all_is_there_again_after_opening_anew(place: Place):
    rows = units(400)
    vectors = place.open()
    vectors.add(np.arange(350), rows[:350])
    vectors.remove(numbers(4, 340))
    vectors.add(np.arange(350, 400), rows[350:])
    vectors.close()
    again = place.open()
    assert again.ids().tolist() == [number for number in range(400) if number not in (4, 340)]
    for number in (0, 200, 349, 399):
        assert again.nearest(rows[number], 1)[0].tolist() == [number]
    again.close()


def test_ids_far_apart_keep_their_vectors(place: Place):
    vectors = place.open()
    ids, rows = numbers(1, 70_000, 5_000_000_000), units(3)
    vectors.add(ids, rows)
    assert vectors.ids().tolist() == ids.tolist()
    assert [vectors.nearest(row, 1)[0][0] for row in rows] == ids.tolist()
    vectors.close()


def test_many_threads_read_at_once(place: Place):
    vectors = place.open()
    rows = units(500)
    vectors.add(np.arange(500), rows)
    vectors.close()
    vectors = place.open()
    wrong: list[int] = []

    def read(first: int) -> None:
        for number in range(first, 500, 50):
            if vectors.nearest(rows[number], 3)[0][0] != number:
                wrong.append(number)
            if vectors.similarities(rows[number], numbers(number))[0] < 0.97:
                wrong.append(number)

    threads = [threading.Thread(target=read, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    vectors.close()


# --- in the index itself


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Store]:
    store = Store.create(tmp_path)
    yield store
    store.close()


def clustered(count: int, width: int = 128, clusters: int = 300) -> np.ndarray:
    """As vectors of code are: many near few middles, which differ in some directions more than in others."""
    random = np.random.default_rng(5)
    middles = random.standard_normal((clusters, width)) / np.sqrt(1 + np.arange(width))
    rows = middles[random.integers(0, clusters, count)] + 0.05 * random.standard_normal((count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def share(vectors: NumpyVectors, rows: np.ndarray, queries: np.ndarray, count: int) -> float:
    """How many of the best are found."""
    exact = [set(np.argsort(-(rows @ query))[:count].tolist()) for query in queries]
    found = [set(vectors.nearest(query, count)[0].tolist()) for query in queries]
    return sum(len(one & other) for one, other in zip(exact, found, strict=True)) / (len(queries) * count)


def test_of_many_vectors_the_nearest_are_found_without_comparing_all(inside):
    rows = clustered(MANY_VECTORS + 500)
    queries = rows[::340] + 0.02 * units(len(rows[::340]), rows.shape[1])
    vectors = NumpyVectors(inside, rows.shape[1])
    vectors.add(np.arange(len(rows)), rows)
    assert share(vectors, rows, queries[:1], 50) > 0.97  # the first question is answered by comparing all
    assert share(vectors, rows, queries, 50) > 0.97
    ids, scores = vectors.nearest(rows[77], 50)
    assert ids[0] == 77
    assert scores == pytest.approx(rows[ids] @ rows[77], abs=0.02)  # what the sketch proposes is compared exactly
    assert list(scores) == sorted(scores, reverse=True)


def test_asked_for_a_large_share_of_many_it_compares_all(inside):
    rows = clustered(MANY_VECTORS + 500, width=16)
    vectors = NumpyVectors(inside, 16)
    vectors.add(np.arange(len(rows)), rows)
    for _ in range(2):
        ids, _ = vectors.nearest(rows[3], len(rows))
        assert len(ids) == len(set(ids.tolist())) == len(rows)


def test_what_is_added_after_a_question_is_found_by_the_next(inside):
    rows = clustered(MANY_VECTORS + 500, width=16)
    vectors = NumpyVectors(inside, 16)
    vectors.add(np.arange(len(rows) - 1), rows[:-1])
    for _ in range(3):
        assert len(rows) - 1 not in vectors.nearest(rows[-1], 5)[0]
    vectors.add(numbers(len(rows) - 1), rows[-1:])
    assert vectors.nearest(rows[-1], 5)[0][0] == len(rows) - 1


def test_many_additions_are_a_few_rows_that_hold_the_same(inside):
    rows = units(100)
    vectors = NumpyVectors(inside, WIDTH)
    most = 0
    for number in reversed(range(100)):
        vectors.add(numbers(number), rows[number : number + 1])
        most = max(most, inside.connection.execute("SELECT count(*) FROM vectors").fetchone()[0])
    assert most == MANY_ROWS
    again = NumpyVectors(inside, WIDTH)
    assert again.ids().tolist() == list(range(100))
    assert [again.nearest(row, 1)[0][0] for row in rows] == list(range(100))


def test_rewriting_does_not_wear_vectors_out(inside):
    rows = units(20)
    vectors = NumpyVectors(inside, WIDTH)
    vectors.add(np.arange(20), rows)
    before = vectors.similarities(rows[0], np.arange(20))
    for number in range(100):
        vectors.add(numbers(100 + number), rows[:1])
    assert vectors.similarities(rows[0], np.arange(20)).tolist() == before.tolist()


def test_the_space_of_the_removed_is_given_back_once_they_are_many(inside):
    def size() -> int:
        return int(inside.connection.execute("SELECT coalesce(sum(length(rows)), 0) FROM vectors").fetchone()[0])

    vectors = NumpyVectors(inside, WIDTH)
    vectors.add(np.arange(2_000), units(2_000))
    vectors.remove(np.arange(900))
    assert size() == 2_000 * WIDTH
    vectors.remove(np.arange(1_100))
    assert size() == 900 * WIDTH
    assert vectors.ids().tolist() == list(range(1_100, 2_000))


def test_what_was_added_in_a_transaction_that_fails_is_not_there(inside):
    vectors = NumpyVectors(inside, WIDTH)
    vectors.add(numbers(1), units(1))

    def break_off() -> None:
        with inside.transaction():
            vectors.add(numbers(2), units(1, seed=1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert NumpyVectors(inside, WIDTH).ids().tolist() == [1]


def test_a_component_is_one_byte_and_the_largest_uses_all_of_it():
    rows = quantized(np.array([[0.5, -0.25, 0.0], [0.0, 0.0, 0.0], [1e-3, -1e-3, 0.0]], np.float32))
    assert rows.dtype == np.int8
    assert rows.tolist() == [[127, -64, 0], [0, 0, 0], [127, -127, 0]]


# --- the graph beside the index


@pytest.fixture
def graph(tmp_path: Path) -> Callable[..., UsearchVectors]:
    pytest.importorskip("usearch")

    def open_it(index: str = "i", embedder: str = "e", dimensions: int = WIDTH) -> UsearchVectors:
        return UsearchVectors(tmp_path, index, embedder, dimensions, tail=SMALL_TAIL)

    return open_it


def grown(vectors: UsearchVectors, count: int = 300) -> np.ndarray:
    rows = units(count)
    for start in range(0, count, 60):
        vectors.add(np.arange(start, min(start + 60, count)), rows[start : start + 60])
    return rows


def files(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"vectors-*.{kind}"))


def test_a_graph_and_one_log_are_all_that_is_left(graph, tmp_path):
    vectors = graph()
    rows = grown(vectors)
    assert len(list(tmp_path.iterdir())) == 2
    assert 0 < len(vectors._log.ids) <= SMALL_TAIL
    assert [vectors.nearest(rows[number], 1)[0][0] for number in (0, 150, 299)] == [0, 150, 299]


def test_a_reader_goes_on_with_what_it_opened_while_another_writes(graph):
    writer = graph()
    rows = grown(writer, 200)
    reader = graph()
    writer.add(np.arange(200, 500), units(300, seed=3))
    writer.remove(np.arange(0, 150))
    assert len(reader.ids()) == 200
    assert reader.nearest(rows[10], 1)[0].tolist() == [10]
    assert len(graph().ids()) == 350


def test_a_small_project_that_changes_for_ever_does_not_grow_for_ever(graph, tmp_path):
    vectors = graph()
    for start in range(0, 3_000, 100):
        vectors.add(np.arange(start, start + 100), units(100, seed=start))
        vectors.remove(np.arange(start - 100, start))
    assert vectors.ids().tolist() == list(range(2_900, 3_000))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 60_000


def test_whoever_opens_it_while_another_writes_sees_all_that_was_there(graph):
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(len(graph().ids()))

    graph().add(np.arange(50), units(50))
    reader = threading.Thread(target=read)
    reader.start()
    writer = graph()
    for start in range(50, 800, 50):
        writer.add(np.arange(start, start + 50), units(50, seed=start))
    done.set()
    reader.join()
    assert seen == sorted(seen)
    assert seen[0] >= 50


def test_two_that_write_in_turn_see_what_the_other_wrote(graph):
    one, two = graph(), graph()
    one.add(np.arange(60), units(60))
    two.add(np.arange(60, 150), units(90, seed=1))
    one.remove(numbers(70))
    two.add(numbers(200), units(1, seed=2))
    assert graph().ids().tolist() == [*range(70), *range(71, 150), 200]


def test_an_id_that_was_removed_may_come_back_with_another_vector(graph):
    vectors = graph()
    rows = grown(vectors)
    vectors.remove(numbers(3))
    vectors.add(numbers(3), units(1, seed=9))
    for opened in (vectors, graph()):
        assert opened.similarities(units(1, seed=9)[0], numbers(3))[0] == pytest.approx(1, abs=0.01)
        assert opened.nearest(units(1, seed=9)[0], 1)[0].tolist() == [3]
    vectors.add(np.arange(1_000, 1_200), units(200, seed=10))
    assert vectors.nearest(units(1, seed=9)[0], 1)[0].tolist() == [3]
    assert vectors.nearest(rows[3], 1)[0].tolist() != [3]


def test_vectors_of_another_index_or_model_are_not_seen_and_then_removed(graph, tmp_path):
    grown(graph())
    for other in (graph(index="j"), graph(embedder="f"), graph(dimensions=8)):
        assert other.ids().tolist() == []
    assert len(graph().ids()) == 300
    graph(index="j").add(numbers(1), units(1))
    assert graph().ids().tolist() == []
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", ["graph", "log"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "noise"])
def test_damaged_files_are_an_empty_place_that_fills_again(graph, tmp_path, kind, damage):
    grown(graph())
    (path,) = files(tmp_path, kind)
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        head = {"empty": b"", "cut": data[: len(data) // 2], "noise": os.urandom(len(data))}[damage]
        path.write_bytes(head)
    vectors = graph()
    left = vectors.ids().tolist()
    # Half a log is still a log; everything else counts as nothing.
    assert left == [] or (kind, damage) == ("log", "cut")
    rows = grown(vectors)
    assert graph().ids().tolist() == list(range(300))
    assert graph().nearest(rows[17], 1)[0].tolist() == [17]


def test_a_record_cut_off_by_a_crash_is_written_over(graph, tmp_path):
    vectors = graph()
    vectors.add(np.arange(10), units(10))
    whole = files(tmp_path, "log")[0].read_bytes()
    vectors.add(np.arange(10, 20), units(10, seed=1))
    path = files(tmp_path, "log")[0]
    path.write_bytes(path.read_bytes()[: len(whole) + 100])
    again = graph()
    assert again.ids().tolist() == list(range(10))
    again.add(np.arange(20, 30), units(10, seed=2))
    assert graph().ids().tolist() == [*range(10), *range(20, 30)]


def test_a_crash_before_the_log_of_a_new_graph_leaves_the_old_pair_in_force(graph, tmp_path, monkeypatch):
    vectors = graph()
    rows = grown(vectors, 240)
    before = vectors.ids().tolist()

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("fireside.index.vector_log.VectorLog.begin", crash)
        with pytest.raises(KeyboardInterrupt):
            vectors.add(np.arange(240, 400), units(160, seed=4))
    assert graph().ids().tolist()[:240] == before
    again = graph()
    again.add(np.arange(400, 600), units(200, seed=5))
    assert len(list(tmp_path.iterdir())) == 2
    assert graph().nearest(rows[3], 1)[0].tolist() == [3]


# --- Chroma


def test_names_of_collections_are_such_as_chroma_takes():
    names = {
        collection_name("team", index, embedder)
        for index in ("a/b", "ü")
        for embedder in ("nomic-embed-text:latest@ollama", "x" * 900)
    }
    assert len(names) == 4
    assert all(3 <= len(name) <= 512 and name.replace("-", "").isalnum() for name in names)


def test_a_server_that_is_not_there_is_an_error_of_its_own_with_a_remedy(tmp_path):
    server = ChromaServer("http://127.0.0.1:9", egress(tmp_path))
    vectors = ChromaVectors(ServedCollection(server, "fireside-test"), WIDTH)
    for ask in (vectors.ids, lambda: vectors.nearest(units(1)[0], 3), lambda: vectors.add(numbers(1), units(1))):
        with pytest.raises(NoVectors) as caught:
            ask()
        assert "chroma run" in caught.value.remedy
    vectors.close()
    server.close()


def test_a_server_outside_is_refused_before_anything_is_sent(tmp_path):
    server = ChromaServer("http://8.8.8.8:8000", egress(tmp_path))
    with pytest.raises(NotPermitted):
        ChromaVectors(ServedCollection(server, "fireside-test"), WIDTH).ids()
    server.close()


def test_what_is_no_address_is_refused_at_once(tmp_path):
    for url in ("box:8000", "", "ftp://box", "http://"):
        with pytest.raises(Invalid):
            ChromaServer(url, egress(tmp_path))


def test_an_answer_of_another_shape_is_no_chroma_server():
    for answer in (None, [], {"ids": 3}, {"id": "x"}):
        vectors = ChromaVectors(ServedCollection(lambda method, path, body, answer=answer: answer, "name"), WIDTH)
        with pytest.raises(NoVectors):
            vectors.nearest(units(1)[0], 3)


@CHROMA
def test_a_collection_removed_behind_our_back_is_made_again(tmp_path, request):
    pytest.importorskip("chromadb")
    server = ChromaServer(request.getfixturevalue("served"), egress(tmp_path))
    vectors = ChromaVectors(ServedCollection(server, "fireside-test"), WIDTH)
    vectors.add(numbers(1), units(1))
    server("DELETE", f"{COLLECTIONS}/fireside-test", None)
    assert vectors.ids().tolist() == []
    vectors.add(numbers(2), units(1))
    assert vectors.ids().tolist() == [2]
    server.close()


@CHROMA
def test_a_server_that_dies_in_the_middle_is_an_error_and_serves_again_when_it_is_back(tmp_path):
    pytest.importorskip("chromadb")
    running = chroma_server(tmp_path / "served")
    with running as url:
        server = ChromaServer(url, egress(tmp_path))
        vectors = ChromaVectors(ServedCollection(server, "fireside-test"), WIDTH)
        vectors.add(numbers(1), units(1))
    with pytest.raises(NoVectors):
        vectors.nearest(units(1)[0], 1)
    with running:
        assert vectors.nearest(units(1)[0], 1)[0].tolist() == [1]
    server.close()


@CHROMA
@pytest.mark.parametrize("where", ["chroma", "chroma-server"])
def test_another_model_replaces_the_collection_of_the_last(request, where, tmp_path):
    pytest.importorskip("chromadb")
    for place in opened(request, where, tmp_path):
        first = place.open("one model", 32)
        first.add(numbers(1), units(1))
        first.close()
        second = place.open("another", 8)
        second.add(numbers(1), units(1, 8))
        second.close()
        back = place.open("one model", 32)
        assert back.ids().tolist() == []
        back.close()


@CHROMA
def test_chroma_files_that_are_damaged_are_thrown_away(tmp_path):
    pytest.importorskip("chromadb")
    (tmp_path / "chroma" / "1").mkdir(parents=True)
    (tmp_path / "chroma" / "1" / "chroma.sqlite3").write_bytes(b"no database " * 1_000)
    for place in in_chroma(tmp_path):
        vectors = place.open()
        vectors.add(numbers(1), units(1))
        assert vectors.ids().tolist() == [1]
        vectors.close()
        assert place.open().ids().tolist() == [1]


@CHROMA
def test_a_dotenv_of_the_project_is_not_obeyed(tmp_path, monkeypatch):
    pytest.importorskip("chromadb")
    (tmp_path / ".env").write_text("ALLOW_RESET=true\nCHROMA_SERVER_HOST=8.8.8.8\nPERSIST_DIRECTORY=/nowhere\n")
    monkeypatch.chdir(tmp_path)
    for place in in_chroma(tmp_path):
        vectors = place.open()
        vectors.add(numbers(1), units(1))
        assert vectors._collection._client.get_settings().allow_reset is False
        assert vectors._collection._client.get_settings().chroma_server_host is None
