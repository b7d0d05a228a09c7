"""The embedding that comes with Fireside."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fireside.core.errors import Invalid
from fireside.index import static
from fireside.index.embedder import Embedder, Passage
from fireside.index.lexical import Words, add_counts
from fireside.index.static import Shipped, load

LARGEST = 10_000_000


@pytest.fixture(scope="module")
def embedder():
    return static.load()


def test_vectors_have_length_one_and_the_promised_size(embedder):
    promised: Embedder = embedder
    rows = promised.passages([Passage("a/retry.py", "wait", "delay = 2 ** tries"), Passage("b.go", "", "func Close()")])
    assert rows.shape == (2, promised.dimensions)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    question = promised.query("how long does it wait")
    assert question.shape == (promised.dimensions,)
    assert np.isclose(np.linalg.norm(question), 1)


def test_where_nothing_is_known_there_is_nothing_but_zeros(embedder):
    assert not embedder.query("").any()
    assert not embedder.query("!? ... ()").any()
    assert not embedder.passages([Passage("", "", "")]).any()
    assert embedder.passages([]).shape == (0, embedder.dimensions)


def test_terms_the_index_has_counted_already_give_the_same_vectors(embedder):
    passage = Passage("mail/sender.py", "Sender.wait", "def wait(self):\n    return self.delay * 2\n")
    words = Words()
    counts = words.count(passage.text)
    add_counts(counts, words.count_path(passage.path))
    add_counts(counts, words.count(passage.symbol))
    assert np.array_equal(embedder.from_counts([counts]), embedder.passages([passage]))


@pytest.mark.parametrize(
    ("question", "answer", "other"),
    [
        ("remove a file", "def delete(path):\n    os.unlink(path)", "def copy(path):\n    shutil.copy(path, target)"),
        ("shut down the connection", "func (c *Conn) Close() error", "func (c *Conn) Write(p []byte) (int, error)"),
        ("log the user in", "async function authenticate(credentials) {}", "async function render(template) {}"),
        ("fetch all rows", "SELECT * FROM users; return cursor.fetchall()", "return math.sqrt(x * x + y * y)"),
        ("wait before trying again", "backoff = min(limit, base * 2 ** attempt)", "title = name.capitalize()"),
        ("how are errors reported", "raise ValueError(message)", "width = len(line)"),
    ],
)
def test_what_means_the_same_lies_nearer_than_what_does_not(embedder, question, answer, other):
    near, far = embedder.passages([Passage("", "", answer), Passage("", "", other)]) @ embedder.query(question)
    assert near > far


def test_unknown_words_are_cut_into_known_ones():
    pieces = static.Pieces(["file", "watch", "watcher", "er", "get"])
    assert pieces.of("file") == (0,)
    assert pieces.of("filewatcher") == (0, 2)
    assert pieces.of("getfile") == (4, 0)
    assert pieces.of("qzxwvy") == ()
    assert pieces.of("file_watcher") == ()


def test_a_long_text_counts_its_words_less_than_linearly():
    times = static.sublinear()
    assert times[0] == 0
    assert times[1] == 1
    assert times[255] == 8


def test_every_count_is_taken_however_large(embedder):
    assert np.isclose(np.linalg.norm(embedder.from_counts([{"file": 100_000}])), 1)


def test_the_weights_are_small_enough_to_ship():
    assert Path(static.weights_path()).stat().st_size <= LARGEST


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"not at all"])
def test_a_damaged_file_is_said_to_be_so(tmp_path, content):
    damaged = tmp_path / "static.npz"
    damaged.write_bytes(content)
    with pytest.raises(Invalid, match="holds no embedding"):
        static.load(str(damaged))


def test_a_missing_file_is_said_to_be_so(tmp_path):
    with pytest.raises(Invalid, match="holds no embedding"):
        static.load(str(tmp_path / "nothing.npz"))


def test_a_file_cut_short_is_said_to_be_so(tmp_path):
    whole = Path(static.weights_path()).read_bytes()
    torn = tmp_path / "torn.npz"
    torn.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Invalid):
        static.load(str(torn))


def test_the_shipped_one_is_the_same_and_is_known_by_name_without_numpy():
    assert (Shipped().id, Shipped().dimensions, Shipped().floor) == (load().id, load().dimensions, load().floor)
    assert Shipped().query("close the file").tolist() == load().query("close the file").tolist()
    code = "import sys; from fireside.index.static import Shipped; print(Shipped().id); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [load().id, "False"]
