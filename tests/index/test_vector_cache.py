"""Vectors kept by what was embedded: nothing twice, nothing lost, and never an error."""

import multiprocessing
import os
import resource
import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fireside.index import vector_cache
from fireside.index.embedder import Passage
from fireside.index.vector_cache import CachedEmbedder, VectorCache, digest_of

WIDTH = 8


class Counting:
    """An embedder that counts; ``fails_after``: passages until it breaks off as Ctrl-C does."""

    def __init__(self, name: str = "model", dimensions: int = WIDTH, fails_after: int = 1 << 30) -> None:
        self.id = name
        self.dimensions = dimensions
        self.cheap = False
        self.asked: list[str] = []
        self.fails_after = fails_after
        self.closed = 0

    def passages(self, passages):
        if len(self.asked) >= self.fails_after:
            raise KeyboardInterrupt
        self.asked += [passage.text for passage in passages]
        return np.stack([vector(passage.text, self.dimensions) for passage in passages])

    def query(self, text):
        return vector(text, self.dimensions)

    def close(self) -> None:
        self.closed += 1


def vector(text: str, dimensions: int = WIDTH) -> np.ndarray:
    seed = int.from_bytes(digest_of(Passage("", "", text))[:4], "little")
    row = np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)
    return row / np.linalg.norm(row)


def digests(count: int, start: int = 0) -> list[bytes]:
    return [number.to_bytes(16, "big") for number in range(start, start + count)]


def rows(count: int, start: int = 0, dimensions: int = WIDTH) -> np.ndarray:
    return np.stack([vector(str(number), dimensions) for number in range(start, start + count)])


@pytest.fixture
def said():
    return []


@pytest.fixture
def cache(tmp_path, said):
    opened = VectorCache(tmp_path / "cache", "model", WIDTH, say=said.append)
    yield opened
    opened.close()


def passages(*texts: str) -> list[Passage]:
    return [Passage("a.py", "", text) for text in texts]


def test_what_was_put_is_found_and_the_rest_is_missing(cache):
    cache.put(digests(3), rows(3))
    found = cache.get(digests(5))
    assert sorted(found) == digests(3)
    for digest, row in zip(digests(3), rows(3), strict=True):
        assert found[digest] == pytest.approx(row, abs=1e-3)
        assert found[digest].dtype == np.float32


def test_thousands_are_asked_for_at_once(cache):
    cache.put(digests(1_200), rows(1_200))
    assert len(cache.get(digests(2_000))) == 1_200


def test_it_is_still_there_after_closing(cache, tmp_path):
    cache.put(digests(2), rows(2))
    cache.close()
    cache.close()
    assert len(cache.get(digests(2))) == 2


def test_vectors_of_two_models_or_two_lengths_never_meet(cache, tmp_path):
    cache.put(digests(2), rows(2))
    for other in (VectorCache(tmp_path / "cache", "another", WIDTH), VectorCache(tmp_path / "cache", "model", 4)):
        assert other.get(digests(2)) == {}
        other.close()


def test_beyond_its_limit_the_longest_unused_go_first(tmp_path, monkeypatch):
    small = VectorCache(tmp_path, "model", 256, limit=500_000)
    today = time.time()
    monkeypatch.setattr(time, "time", lambda: today - 40 * 86_400)
    small.put(digests(200), rows(200, dimensions=256))
    small.put(digests(200, 200), rows(200, 200, 256))
    monkeypatch.setattr(time, "time", lambda: today)
    assert len(small.get(digests(200))) == 200  # used today
    for start in range(400, 800, 50):
        small.put(digests(50, start), rows(50, start, 256))
    old, new = small.get(digests(200, 200)), small.get(digests(50, 750))
    assert len(new) == 50
    assert len(small.get(digests(200))) > len(old) < 100
    assert small.path.stat().st_size < 800_000
    small.close()


@pytest.mark.parametrize("where", ["head", "pages", "cut", "not a database"])
def test_a_damaged_file_is_thrown_away_and_made_again(cache, said, where):
    cache.put(digests(400), rows(400))
    cache.close()
    data = bytearray(cache.path.read_bytes())
    if where == "head":
        data[:64] = os.urandom(64)
    elif where == "pages":
        data[4096:] = os.urandom(len(data) - 4096)
    elif where == "cut":
        del data[len(data) // 2 :]
    else:
        data = bytearray(b"hello" * 1000)
    cache.path.write_bytes(data)
    cache.get(digests(400))
    cache.put(digests(400), rows(400))
    assert len(cache.get(digests(400))) == 400
    assert said == []


def test_damage_that_shows_while_it_is_open_is_mended_too(cache, said):
    cache.put(digests(2), rows(2))
    with sqlite3.connect(cache.path) as other:
        other.execute("DROP TABLE vectors")
    other.close()
    assert cache.get(digests(2)) == {}
    cache.put(digests(2), rows(2))
    assert len(cache.get(digests(2))) == 2
    assert said == []


def test_a_folder_that_cannot_be_made_is_said_once_and_stops_nobody(tmp_path, said):
    (tmp_path / "file").write_text("in the way")
    cache = VectorCache(tmp_path / "file" / "cache", "model", WIDTH, say=said.append)
    embedder = CachedEmbedder(Counting(), lambda name, dimensions: cache)
    for _ in range(3):
        assert embedder.passages(passages("a", "b")).shape == (2, WIDTH)
    assert len(said) == 1
    embedder.close()


def _fill_a_full_disk(folder: Path, answer) -> None:
    """In a process whose files may not grow beyond 100 kB: what a full disk looks like to SQLite."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    said: list[str] = []
    cache = VectorCache(folder, "model", 64, say=said.append)
    cache.put(digests(50), rows(50, dimensions=64))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    embedder = CachedEmbedder(Counting(dimensions=64), lambda name, dimensions: cache)
    made = [len(embedder.passages(passages(*(f"{turn} {number}" for number in range(400))))) for turn in range(3)]
    answer.put((made, len(said), len(cache.get(digests(50)))))
    embedder.close()


def test_on_a_full_disk_the_work_goes_on_and_what_was_kept_is_still_read(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    answer = spawn.SimpleQueue()
    process = spawn.Process(target=_fill_a_full_disk, args=(tmp_path, answer))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert answer.get() == ([400, 400, 400], 1, 50)


def _write_in_turn(folder: Path, start: int) -> None:
    cache = VectorCache(folder, "model", WIDTH)
    for number in range(start, start + 100, 10):
        cache.put(digests(10, number), rows(10, number))
    cache.close()


@pytest.mark.slow
def test_several_processes_write_at_once(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write_in_turn, args=(tmp_path, start)) for start in (0, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert [writer.exitcode for writer in writers] == [0, 0]
    cache = VectorCache(tmp_path, "model", WIDTH)
    assert len(cache.get(digests(200))) == 200
    cache.close()


def test_several_threads_share_one(cache):
    def work(start: int) -> None:
        for number in range(start, start + 40, 4):
            cache.put(digests(4, number), rows(4, number))
            cache.get(digests(40, start))

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 40, 80)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache.get(digests(120))) == 120


# --- the embedder before it


def cached(folder: Path, inner: Counting) -> CachedEmbedder:
    return CachedEmbedder(inner, lambda name, dimensions: VectorCache(folder, name, dimensions))


def test_only_what_is_missing_is_embedded_and_only_once(tmp_path):
    inner = Counting()
    embedder = cached(tmp_path, inner)
    first = embedder.passages(passages("a", "b", "a"))
    again = embedder.passages(passages("c", "b", "a"))
    assert inner.asked == ["a", "b", "c"]
    assert np.array_equal(first[0], first[2])
    assert np.array_equal(first[:2], again[[2, 1]])
    assert embedder.passages([]).shape == (0, WIDTH)
    embedder.close()
    assert inner.closed == 1


def test_another_checkout_with_the_same_chunks_embeds_nothing(tmp_path):
    one, two = Counting(), Counting()
    first, second = cached(tmp_path, one), cached(tmp_path, two)
    made = first.passages(passages("a", "b"))
    assert np.array_equal(second.passages(passages("b", "a")), made[::-1])
    assert two.asked == []
    first.close()
    second.close()


def test_breaking_off_loses_one_batch_at_most(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_cache, "BATCH", 10)
    texts = [f"text {number}" for number in range(100)]
    embedder = cached(tmp_path, Counting(fails_after=50))
    with pytest.raises(KeyboardInterrupt):
        embedder.passages(passages(*texts))
    embedder.close()
    rest = Counting()
    embedder = cached(tmp_path, rest)
    embedder.passages(passages(*texts))
    embedder.close()
    assert rest.asked == texts[50:]


def test_everything_that_is_embedded_of_a_chunk_counts(tmp_path):
    inner = Counting()
    embedder = cached(tmp_path, inner)
    for passage in (Passage("a", "b", "c"), Passage("a", "", "c"), Passage("", "a", "bc"), Passage("ab", "", "c")):
        embedder.passages([passage])
    assert len(inner.asked) == 4
    assert digest_of(Passage("a\udce4.py", "", "")) != digest_of(Passage("a.py", "", ""))
    embedder.close()


def test_a_model_that_changes_under_its_name_gets_a_cache_of_its_own(tmp_path):
    inner = Counting()
    embedder = cached(tmp_path, inner)
    embedder.passages(passages("a"))
    inner.id, inner.dimensions = "model, newer", 4
    assert embedder.passages(passages("a")).shape == (1, 4)
    assert inner.asked == ["a", "a"]
    embedder.close()
