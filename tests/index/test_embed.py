"""Vectors are as complete as the chunks, or search goes by words and says so; what was embedded is never embedded twice."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fireside.core.errors import ConnectionFailed, Invalid
from fireside.index import embed, store
from fireside.index.chunks import Progress
from fireside.index.embed import DEAR_BATCH, Elsewhere, Embedding
from fireside.index.index import Index
from fireside.index.store import Store
from fireside.index.vector_cache import CachedEmbedder, VectorCache
from fireside.index.vectors import VectorStore
from fireside.index.vectors_numpy import NumpyVectors
from fireside.index.vectors_usearch import UsearchVectors, installed
from fireside.workspace.workspace import Workspace
from support.embedders import HashingEmbedder

MANY = 3 * DEAR_BATCH + 8
DOWN = ConnectionFailed("nobody answers at 127.0.0.1:9", cause="refused")
WITH_USEARCH = pytest.mark.skipif(not installed(), reason="needs usearch")


class Shelf:
    """One project and what is opened of it."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder
        self.opened: list[Index] = []

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def open(self, embedder: HashingEmbedder | CachedEmbedder | None = None, *elsewhere: Elsewhere, **more) -> Index:
        embedding = Embedding(embedder, *elsewhere, **more) if embedder is not None else None
        self.opened.append(Index.open(Workspace(self.root), self.folder, embedding))
        return self.opened[-1]

    def kept(self, read: Callable[[Store], VectorStore] | None = None) -> tuple[list[int], list[int]]:
        """(ids of the chunks, ids that have vectors), both as another process sees them now."""
        found = Store.open(self.folder)
        assert isinstance(found, Store)
        try:
            with found.snapshot():
                chunks = [row[0] for row in found.connection.execute("SELECT id FROM chunks ORDER BY id")]
                vectors = read(found) if read else NumpyVectors(found, HashingEmbedder().dimensions)
                ids = vectors.ids().tolist()
                vectors.close()
                return chunks, ids
        finally:
            found.close()

    def complete(self, read: Callable[[Store], VectorStore] | None = None) -> int:
        """How many vectors there are, one for each chunk and none besides."""
        chunks, vectors = self.kept(read)
        assert vectors == chunks
        return len(vectors)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path / "root", tmp_path / "index")
    made.write("a.py", "def alpha():\n    return 'copper kettle'\n")
    made.write("b.py", "def beta():\n    return 'walnut ladder'\n")
    made.write("c.md", "# Gamma\n\nAbout velvet curtains.\n")
    yield made
    for index in made.opened:
        index.close()


@pytest.fixture
def many(shelf: Shelf) -> Shelf:
    """More chunks than one update of its own may embed."""
    for number in range(MANY - 3):
        shelf.write(f"part_{number:03}.py", f"def part_{number:03}():\n    return 'number {number}'\n")
    return shelf


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What ``embed`` takes for the time, in seconds; it passes when a test says so."""
    now = SimpleNamespace(seconds=1_000.0)
    monkeypatch.setattr(embed, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def meant(index: Index, query: str) -> list[str]:
    """The paths that are found by meaning alone: ``query`` has no word of theirs."""
    return [hit.chunk.path for hit in index.search(query).hits if "its meaning" in hit.reasons]


def kettles(embedder: HashingEmbedder) -> HashingEmbedder:
    embedder.same["teapot"] = "kettle"
    return embedder


# --- an embedder that costs nothing


def test_vectors_of_a_cheap_embedder_come_in_one_transaction_with_their_chunks(shelf):
    seen: list[tuple[list[int], list[int]]] = []
    embedder = HashingEmbedder(cheap=True)
    index = shelf.open(embedder)
    embedder.before = lambda _: seen.append(shelf.kept())
    assert index.update().unembedded == 0
    shelf.write("a.py", "def alpha():\n    return 'iron kettle'\n")
    (shelf.root / "b.py").unlink()
    index.update(lambda _: seen.append(shelf.kept()))
    assert shelf.complete() == 2
    # Before the first commit there is nothing, before the second one the first generation, whole.
    assert seen[0] == ([], [])
    assert len(seen) > 2
    assert all(chunks == vectors and len(chunks) == 3 for chunks, vectors in seen[1:])


KILLED = """
import os, signal, sys
from pathlib import Path
from support.embedders import HashingEmbedder
from fireside.index.embed import Embedding
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace
embedder = HashingEmbedder(cheap=sys.argv[3] == "cheap")
embedder.before = lambda _: os.kill(os.getpid(), signal.SIGKILL) if len(embedder.asked) >= int(sys.argv[4]) else None
Index.open(Workspace(sys.argv[1]), Path(sys.argv[2]), Embedding(embedder)).update(most_vectors=None)
"""


def start(script: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )


def killed(shelf: Shelf, kind: str, after: int) -> None:
    with start(KILLED, shelf.root, shelf.folder, kind, after) as process:
        assert process.wait(timeout=30) == -signal.SIGKILL


def test_killed_while_embedding_neither_chunks_nor_vectors_are_there(shelf):
    shelf.open(HashingEmbedder(cheap=True)).update()
    before = shelf.kept()
    shelf.write("a.py", "def alpha():\n    return 'iron kettle'\n")
    killed(shelf, "cheap", 0)
    assert shelf.kept() == before
    index = shelf.open(HashingEmbedder(cheap=True))
    assert index.update().changed == 1
    assert shelf.complete() == 3


# --- an embedder that takes its time


def test_only_new_chunks_are_embedded(shelf):
    embedder = HashingEmbedder()
    index = shelf.open(embedder)
    index.update()
    assert len(embedder.asked) == 3
    shelf.write("b.py", "def beta():\n    return 'oak ladder'\n")
    index.update()
    assert embedder.asked[3:] == ["def beta():\n    return 'oak ladder'"]
    index.update()
    shelf.open(embedder).update()
    assert len(embedder.asked) == 4
    assert shelf.complete() == 3


def test_vectors_of_files_that_change_or_go_are_gone(shelf):
    index = shelf.open(HashingEmbedder())
    index.update()
    _, before = shelf.kept()
    (shelf.root / "a.py").unlink()
    assert index.update().unembedded == 0
    assert shelf.complete() == 2
    shelf.write("b.py", "def beta():\n    return 'oak ladder'\n")
    index.update()
    assert shelf.complete() == 2
    assert len(set(shelf.kept()[1]) & set(before)) == 1


def test_it_is_asked_in_batches_and_progress_is_told(many):
    embedder = HashingEmbedder()
    told: list[Progress] = []
    assert many.open(embedder).update(told.append, most_vectors=None).unembedded == 0
    assert embedder.batches == [DEAR_BATCH] * 3 + [8]
    progress = [(one.done, one.total) for one in told if one.path == "embedding with hashing"]
    assert progress == [(64, MANY), (128, MANY), (192, MANY), (MANY, MANY)]
    assert many.complete() == MANY


@pytest.mark.parametrize("most", [1, 64, 100, 128])
def test_a_search_makes_no_more_than_it_may_and_the_next_goes_on(many, most):
    embedder = HashingEmbedder()
    index = many.open(embedder)
    assert index.update(most_vectors=most).unembedded == MANY - most
    assert len(embedder.asked) == most
    assert index.update(most_vectors=most).unembedded == MANY - 2 * most if 2 * most < MANY else True
    assert index.update(most_vectors=None).unembedded == 0
    assert len(embedder.asked) == len(set(embedder.asked)) == MANY == many.complete()


def test_nothing_is_made_where_none_may_be(shelf):
    embedder = HashingEmbedder()
    assert shelf.open(embedder).update(most_vectors=0).unembedded == 3
    assert embedder.asked == []


def test_meanwhile_search_goes_by_words_and_says_so(many):
    embedder = kettles(HashingEmbedder())
    index = many.open(embedder)
    index.update(most_vectors=64)
    for _ in range(2):
        found = index.search("copper kettle")
        assert found.hits[0].chunk.path == "a.py"
        assert found.note.startswith("by words alone: not every chunk has its vector yet")
    assert meant(index, "teapot") == []
    assert embedder.questions == []
    index.update(most_vectors=None)
    assert index.search("copper kettle").note == ""
    assert meant(index, "teapot") == ["a.py"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DOWN], ids=["Ctrl-C", "a server that dies"])
def test_broken_off_it_keeps_what_is_made_and_goes_on_there(many, clock, error):
    embedder = HashingEmbedder()
    embedder.fails = (2 * DEAR_BATCH, error)
    index = many.open(embedder)
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            index.update(most_vectors=None)
    else:
        report = index.update(most_vectors=None)
        assert report.unembedded == MANY - 2 * DEAR_BATCH
        assert report.note == "by words alone: nobody answers at 127.0.0.1:9"
    assert len(many.kept()[1]) == 2 * DEAR_BATCH
    assert index.search("copper kettle").hits
    embedder.fails = None
    clock.seconds += embed.REST + 1
    assert index.update(most_vectors=None).unembedded == 0
    assert len(embedder.asked) == len(set(embedder.asked)) == MANY == many.complete()


def test_killed_while_embedding_the_finished_batches_are_there(many):
    killed(many, "dear", 2 * DEAR_BATCH)
    assert len(many.kept()[1]) == 2 * DEAR_BATCH
    embedder = HashingEmbedder()
    many.open(embedder).update(most_vectors=None)
    assert len(embedder.asked) == MANY - 2 * DEAR_BATCH
    assert many.complete() == MANY


def test_readers_never_use_vectors_of_some_of_the_chunks(many):
    embedder = kettles(HashingEmbedder())
    index, reader = many.open(embedder), many.open(kettles(HashingEmbedder()))
    found: list[list[str]] = []
    index.update(
        lambda one: found.append(meant(reader, "teapot")) if "hashing" in one.path else None, most_vectors=None
    )
    assert found == [[]] * 4
    assert meant(reader, "teapot") == ["a.py"]


UPDATING = """
import sys
from pathlib import Path
from support.embedders import HashingEmbedder
from fireside.index.embed import Embedding
from fireside.index.index import Index
from fireside.workspace.workspace import Workspace
embedder = HashingEmbedder()
index = Index.open(Workspace(sys.argv[1]), Path(sys.argv[2]), Embedding(embedder))
index.update(most_vectors=None)
print(len(embedder.asked))
index.close()
"""


@pytest.mark.slow
def test_of_two_processes_that_begin_together_one_embeds(many):
    with start(UPDATING, many.root, many.folder) as one, start(UPDATING, many.root, many.folder) as other:
        made = [int(process.communicate(timeout=60)[0]) for process in (one, other)]
    assert sum(made) == MANY == many.complete()


# --- an embedder that cannot be had


def test_without_its_embedder_a_project_is_read_and_searched_by_words(shelf, clock):
    embedder = kettles(HashingEmbedder())
    embedder.down = DOWN
    index = shelf.open(embedder)
    report = index.update()
    assert (report.chunks, report.note) == (3, "by words alone: nobody answers at 127.0.0.1:9")
    found = index.search("copper kettle")
    assert found.hits[0].chunk.path == "a.py"
    assert found.note == "by words alone: nobody answers at 127.0.0.1:9"
    embedder.down = None
    index.update()
    assert embedder.asked == []  # it is left alone for a while
    clock.seconds += embed.REST + 1
    assert index.update().note == ""
    assert shelf.complete() == 3
    assert meant(index, "teapot") == ["a.py"]


def test_what_was_read_while_it_was_away_gets_its_vectors_when_it_is_back(shelf, clock):
    embedder = HashingEmbedder()
    index = shelf.open(embedder)
    index.update()
    embedder.down = DOWN
    clock.seconds += 1
    shelf.write("d.py", "def delta():\n    return 'tin whistle'\n")
    index.update()
    assert len(shelf.kept()[1]) == 3
    embedder.down = None
    clock.seconds += embed.REST + 1
    index.update()
    assert shelf.complete() == 4


def test_what_was_read_without_any_gets_its_vectors_once_there_is_one(shelf):
    shelf.open(HashingEmbedder()).update()
    shelf.write("d.py", "def delta():\n    return 'tin whistle'\n")
    assert shelf.open(None).update().added == 1
    shelf.open(HashingEmbedder()).update()
    assert shelf.complete() == 4


def test_one_that_answers_no_question_is_asked_again_after_a_rest(shelf, clock):
    embedder = kettles(HashingEmbedder())
    index = shelf.open(embedder)
    index.update()
    embedder.silent = DOWN
    for _ in range(3):
        found = index.search("copper kettle")
        assert (found.hits[0].chunk.path, found.note) == ("a.py", "by words alone: nobody answers at 127.0.0.1:9")
    assert len(embedder.questions) == 1
    embedder.silent = None
    clock.seconds += embed.REST + 1
    assert meant(index, "teapot") == ["a.py"]
    assert index.search("copper kettle").note == ""


def test_code_like_a_chunk_is_none_while_it_is_away(shelf, clock):
    embedder = HashingEmbedder(floor=-1.0)
    index = shelf.open(embedder)
    index.update()
    assert len(index.similar("a.py", 1)) == 2
    embedder.fails = (0, DOWN)
    assert index.similar("a.py", 1) == {}
    assert index.search("copper kettle").note == "by words alone: nobody answers at 127.0.0.1:9"


def test_none_makes_none(shelf):
    index = shelf.open(None)
    assert (index.update().unembedded, index.update().note) == (0, "")
    assert shelf.kept()[1] == []
    assert index.similar("a.py", 1) == {}
    assert index.search("copper kettle").note == ""


# --- other embedders, other indexes


def test_another_embedder_makes_all_anew(shelf):
    shelf.open(HashingEmbedder()).update()
    first = shelf.kept()
    other = HashingEmbedder("hashing, newer", width=32)
    index = shelf.open(kettles(other))
    assert index.search("copper").note != ""  # those of the first are not compared with its questions
    index.update()
    assert len(other.asked) == 3
    assert shelf.kept(lambda found: NumpyVectors(found, 32)) == first
    assert meant(index, "teapot")[0] == "a.py"


def test_an_embedder_of_another_length_than_it_says_is_an_error_and_nothing_is_lost(shelf, clock):
    index = shelf.open(HashingEmbedder())
    index.update()
    wrong = HashingEmbedder("wrong")
    wrong.passages = lambda passages: np.zeros((len(passages), 3), np.float32)  # type: ignore[method-assign]
    other = shelf.open(wrong)
    report = other.update()
    assert (report.unembedded, report.note[:15]) == (3, "by words alone:")
    assert other.search("copper kettle").hits[0].chunk.path == "a.py"


@pytest.mark.parametrize("cheap", [True, False])
def test_rebuilding_makes_them_all_again(shelf, cheap):
    embedder = HashingEmbedder(cheap=cheap)
    index = shelf.open(embedder)
    index.update()
    index.update(rebuild=True)
    assert len(embedder.asked) == 6
    assert shelf.complete() == 3


@pytest.mark.parametrize("cheap", [True, False])
def test_an_index_of_another_version_is_made_again_with_its_vectors(shelf, monkeypatch, cheap):
    shelf.open(HashingEmbedder(cheap=cheap)).update()
    monkeypatch.setattr(store, "FORMAT", store.FORMAT + 1)
    embedder = HashingEmbedder(cheap=cheap)
    assert "another version" in shelf.open(embedder).update().rebuilt
    assert len(embedder.asked) == 3 == shelf.complete()


@pytest.mark.parametrize("cheap", [True, False])
def test_many_small_updates_and_their_merging_lose_no_vector(shelf, cheap):
    embedder = kettles(HashingEmbedder(cheap=cheap))
    index = shelf.open(embedder)
    for number in range(14):
        shelf.write(f"part_{number % 5}.py", f"def part():\n    return 'number {number}'\n")
        index.update()
        assert shelf.complete() == 3 + min(number + 1, 5)
        assert meant(index, "teapot") == ["a.py"]
    assert len(embedder.asked) == 3 + 14


@pytest.mark.parametrize("cheap", [True, False])
def test_a_project_that_becomes_empty_and_fills_again(shelf, cheap):
    index = shelf.open(HashingEmbedder(cheap=cheap))
    index.update()
    for path in ("a.py", "b.py", "c.md"):
        (shelf.root / path).unlink()
    assert index.update().unembedded == 0
    assert (shelf.complete(), index.search("kettle").hits) == (0, ())
    shelf.write("a.py", "def alpha():\n    return 'copper kettle'\n")
    index.update()
    assert shelf.complete() == 1


def test_a_branch_switch_and_back_embeds_nothing_twice(shelf, tmp_path):
    inner = HashingEmbedder()
    index = shelf.open(CachedEmbedder(inner, lambda name, width: VectorCache(tmp_path / "cache", name, width)))
    index.update()
    ours = (shelf.root / "a.py").read_text()
    for text in ("def alpha():\n    return 'theirs'\n", ours, "def alpha():\n    return 'theirs'\n", ours):
        shelf.write("a.py", text)
        assert index.update().changed == 1
        assert shelf.complete() == 3
    index.update(rebuild=True)
    assert len(inner.asked) == 4


# --- vectors that are kept elsewhere


class Beside:
    """In a graph beside the index; ``above``: from how many chunks on."""

    def __init__(self, folder: Path, embedder: HashingEmbedder, above: int = 0) -> None:
        self.folder = folder
        self.embedder = embedder
        self.above = above
        self.trouble: Exception | None = None

    def outside(self, found: Store) -> bool:
        return found.totals()[1] > self.above

    def __call__(self, found: Store) -> VectorStore:
        if self.trouble is not None:
            raise self.trouble
        return UsearchVectors(self.folder, found.identity(), self.embedder.id, self.embedder.dimensions)

    def close(self) -> None: ...


def beside(
    shelf: Shelf, *, cheap: bool = False, above: int = 0, **options: object
) -> tuple[Index, HashingEmbedder, Beside]:
    embedder = kettles(HashingEmbedder(cheap=cheap))
    place = Beside(shelf.folder, embedder, above)
    return shelf.open(embedder, place, **options), embedder, place


@WITH_USEARCH
@pytest.mark.parametrize("cheap", [True, False])
def test_vectors_elsewhere_outlive_reopening_and_follow_the_index(shelf, cheap):
    index, _, place = beside(shelf, cheap=cheap)
    index.update()
    assert shelf.complete(place) == 3
    assert shelf.kept()[1] == []  # none in the index as well
    again, embedder, place = beside(shelf, cheap=cheap)
    again.update()
    assert embedder.asked == []
    assert meant(again, "teapot") == ["a.py"]
    (shelf.root / "b.py").unlink()
    shelf.write("d.py", "def delta():\n    return 'tin whistle'\n")
    again.update()
    assert len(embedder.asked) == 1
    assert shelf.complete(place) == 3


@WITH_USEARCH
def test_vectors_elsewhere_of_an_index_made_anew_are_made_anew(shelf, monkeypatch):
    index, _, _ = beside(shelf)
    index.update()
    index.close()
    shelf.write("a.py", "def alpha():\n    return 'velvet'\n")  # the same ids, other texts
    monkeypatch.setattr(store, "FORMAT", store.FORMAT + 1)
    again, embedder, place = beside(shelf)
    again.update()
    assert len(embedder.asked) == 3 == shelf.complete(place)
    assert meant(again, "teapot") == []


@WITH_USEARCH
@pytest.mark.parametrize("cheap", [True, False])
def test_where_another_place_is_chosen_they_are_made_there(shelf, cheap):
    shelf.open(HashingEmbedder(cheap=cheap)).update()
    index, embedder, place = beside(shelf, cheap=cheap)
    assert index.search("copper").note != ""
    index.update()
    assert len(embedder.asked) == 3 == shelf.complete(place)
    assert meant(index, "teapot") == ["a.py"]
    index.close()
    back = shelf.open(kettles(HashingEmbedder(cheap=cheap)))
    back.update()
    assert shelf.complete() == 3
    assert meant(back, "teapot") == ["a.py"]


@WITH_USEARCH
def test_a_project_that_grows_beyond_the_index_moves_and_is_complete_at_once_if_that_is_cheap(many):
    for path in many.root.glob("part_*"):
        path.rename(path.with_suffix(".hidden"))
    (many.root / ".gitignore").write_text("*.hidden\n")
    index, _, place = beside(many, cheap=True, above=10)
    index.update()
    assert many.complete() == 4
    for path in many.root.glob("*.hidden"):
        path.rename(path.with_suffix(".py"))
    assert index.update(most_vectors=16).unembedded == 0
    assert many.complete(place) == MANY + 1
    assert meant(index, "teapot") == ["a.py"]


@WITH_USEARCH
def test_a_place_that_cannot_be_used_is_no_reason_not_to_search(shelf, clock):
    index, _, place = beside(shelf)
    index.update()
    again, _, place = beside(shelf)
    place.trouble = Invalid("usearch is not installed", remedy="pip install usearch")
    for _ in range(2):
        found = again.search("copper kettle")
        assert (found.hits[0].chunk.path, found.note) == ("a.py", "by words alone: usearch is not installed")
    shelf.write("d.py", "def delta():\n    return 'tin whistle'\n")
    assert again.update().added == 1
    assert again.search("whistle").hits[0].chunk.path == "d.py"
    place.trouble = None
    clock.seconds += embed.REST + 1
    again.update()
    assert shelf.complete(place) == 4


class Breaking:
    """Vectors whose ``method`` fails, as those of a server that has just died."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.dead = False

    def outside(self, _: Store) -> bool:
        return True

    def __call__(self, found: Store) -> VectorStore:
        vectors = NumpyVectors(found, HashingEmbedder().dimensions)
        if self.dead:
            setattr(vectors, self.method, self._fail)
        return vectors

    def _fail(self, *_: object) -> None:
        raise DOWN

    def close(self) -> None: ...


@pytest.mark.parametrize("method", ["nearest", "similarities"])
def test_a_server_of_vectors_that_dies_in_mid_search_is_no_reason_not_to_answer(shelf, clock, method):
    place = Breaking(method)
    index = shelf.open(kettles(HashingEmbedder()), place)
    index.update()
    assert meant(index, "teapot") == ["a.py"]
    place.dead = True
    again = shelf.open(kettles(HashingEmbedder()), place)
    found = again.search("copper kettle")
    assert (found.hits[0].chunk.path, found.note) == ("a.py", "by words alone: nobody answers at 127.0.0.1:9")
    place.dead = False
    clock.seconds += embed.REST + 1
    assert meant(again, "teapot") == ["a.py"]


def test_closing_an_index_closes_its_embedder(shelf):
    embedder = HashingEmbedder()
    shelf.open(embedder).close()
    assert embedder.closed == 1
