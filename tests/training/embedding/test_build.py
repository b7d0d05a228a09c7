"""Making an embedding, from sources to the file the runtime reads."""

import subprocess
import sys

import numpy as np
import orjson
import pytest

from fireside.index import static
from fireside.training import sources
from fireside.training.archives import SourceFile
from fireside.training.embedding import build
from fireside.training.embedding.corpus import Bags, Shard, document_frequency, load
from fireside.training.embedding.export import export, quantize
from fireside.training.embedding.fit import Pairs, Table, passage_keys
from fireside.training.embedding.quality import ranks, summary
from fireside.training.embedding.vocabulary import choose, mapped

CODE = '''
def wait_before_retry(tries):
    """Return how long to pause before attempt {number}."""
    delay = {number} ** tries
    return min(delay, LIMIT)
'''


def bags(*rows):
    """Bags of term numbers, each once."""
    terms = np.array([term for row in rows for term in row], np.int32)
    starts = np.cumsum([0, *map(len, rows)])
    return Bags(starts, terms, np.ones(len(terms), np.uint8))


def shard_of(name, folder):
    shard = Shard(name)
    for number in range(3):
        shard.add(SourceFile(f"{name}/file{number}.py", CODE.format(number=number + 2), "python"))
    return shard.save(folder / f"{name}.npz")


def test_packages_are_mined_apart_and_learnt_from_together(tmp_path):
    assert shard_of("mail", tmp_path) >= 3
    assert shard_of("queue", tmp_path) >= 3
    whole = load(sorted(tmp_path.glob("*.npz")))
    assert whole.package_names == ["mail", "queue"]
    assert whole.language_names == ["python"]
    assert len(whole.questions) == len(whole.passages) == len(whole.packages)
    spread = dict(zip(whole.vocabulary, document_frequency(whole).tolist(), strict=True))
    assert spread["delay"] == 2
    assert spread["mail"] == 1


def test_the_vocabulary_is_what_many_packages_say(tmp_path):
    for name in ("mail", "queue", "cache"):
        shard_of(name, tmp_path)
    whole = load(sorted(tmp_path.glob("*.npz")))
    terms = choose(whole, 1_000)
    assert "delay" in terms
    assert "mail" not in terms
    assert choose(whole, 2) == terms[:2]
    known = mapped(whole.passages, whole.vocabulary, static.Pieces(terms))
    assert len(known) == len(whole.passages)
    assert known.terms.max() < len(terms)


def test_the_rank_of_an_answer_counts_the_better_passages_of_its_package_alone():
    table = Table(np.eye(4, dtype=np.float32), np.ones(4, np.float32), np.ones(4, np.float32))
    questions, passages = bags([0], [1], [3]), bags([0, 1], [1], [3])
    pairs = Pairs(questions, passages, np.zeros(3, np.int32), np.zeros(3, np.int32), passage_keys(passages))
    assert ranks(pairs, table).tolist() == [1, 1, 1]
    mixed = bags([1], [0, 1], [2])
    pairs = Pairs(questions, mixed, np.zeros(3, np.int32), np.zeros(3, np.int32), passage_keys(mixed))
    assert ranks(pairs, table).tolist() == [2, 2, 1]
    apart = Pairs(questions, mixed, np.arange(3, dtype=np.int32), np.zeros(3, np.int32), passage_keys(mixed))
    assert ranks(apart, table).tolist() == [1, 1, 1]


def test_quality_is_read_from_ranks():
    assert summary(np.array([1, 2, 11])) == {"queries": 3, "mrr10": 0.5, "ndcg10": round((1 + 1 / np.log2(3)) / 3, 4)}
    assert summary(np.array([], np.int64))["queries"] == 0


def test_rounding_to_one_byte_changes_no_direction():
    random = np.random.default_rng(3)
    table = Table(random.normal(size=(50, 32)).astype(np.float32), np.ones(50, np.float32), np.ones(50, np.float32))
    rounded, read = quantize(table)
    assert rounded.dtype == np.int8
    lengths = np.linalg.norm(table.vectors, axis=1) * np.linalg.norm(read.vectors, axis=1)
    assert ((table.vectors * read.vectors).sum(axis=1) / lengths > 0.999).all()


def test_what_is_exported_is_what_the_runtime_reads(tmp_path):
    vectors = np.array([[1, 0], [0, 2], [0, 0]], np.float32)
    table = Table(vectors, np.array([1, 2, 1], np.float32), np.array([1, 1, 1], np.float32))
    name = export(table, ["file", "delay", "empty"], tmp_path / "static.npz")
    embedder = static.load(str(tmp_path / "static.npz"))
    assert embedder.id == name
    assert embedder.dimensions == 2
    assert np.allclose(embedder.from_counts([{"file": 1, "delay": 1}])[0], np.array([1, 4]) / 17**0.5, atol=1e-3)
    assert np.allclose(embedder.query("delay of an unknown file"), np.array([1, 2]) / 5**0.5, atol=1e-3)
    assert export(table, ["file", "delay", "other"], tmp_path / "again.npz") != name


def test_the_same_packages_are_held_out_everywhere():
    assert build.held_out("commons-io", 24)
    assert not build.held_out("rails", 24)


def test_a_stage_that_is_done_is_not_done_again(tmp_path, capsys):
    for stage in build.STAGES:
        (tmp_path / f"{stage}.json").write_bytes(orjson.dumps({"seconds": 1}))
    assert build.main(["build", "--work", str(tmp_path)]) == 0
    assert capsys.readouterr().err.count("done before") == len(build.STAGES)
    assert orjson.loads((tmp_path / "manifest.json").read_bytes())["train"] == {"seconds": 1}


def test_without_any_archive_mining_says_what_to_do(tmp_path, capsys):
    (tmp_path / "collect.json").write_bytes(b"{}")
    assert build.main(["build", "--work", str(tmp_path), "--sources", str(tmp_path / "none")]) == 1
    assert "run the stage collect first" in capsys.readouterr().err


def test_archives_that_are_there_are_not_fetched(tmp_path):
    wanted = [
        sources.Source("npm", "@scope/mail", "1.0.0", "MIT"),
        sources.Source("apt", "python3-mail", "1:2.0-1", "MIT"),
    ]
    for name in ("scope-mail-1.0.0.tgz", "python3-mail_1%3a2.0-1_all.deb"):
        (tmp_path / name).write_bytes(b"")
    said: list[str] = []
    assert sources.collect(wanted, tmp_path, tmp_path, said.append) == []
    assert said == []


def test_nothing_of_the_training_is_loaded_by_a_search():
    program = "import sys, fireside.index.static as s; s.load(); print([n for n in sys.modules if 'training' in n or n == 'torch'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.train
@pytest.mark.slow
def test_all_stages_run_offline_on_our_own_sources_and_learn_something(tmp_path):
    assert build.main(["build", "--work", str(tmp_path), "--smoke"]) == 0
    done = orjson.loads((tmp_path / "manifest.json").read_bytes())
    assert list(done) == list(build.STAGES)
    # Guessing among a room's passages would reach less than a tenth.
    assert done["evaluate"]["ndcg10"] > 0.2
    assert abs(done["quantize"]["ndcg10"] - done["evaluate"]["ndcg10"]) < 0.02
    assert done["export"]["id"] == static.load(str(tmp_path / "static.npz")).id
