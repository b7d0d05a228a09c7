"""The stage prepare as a whole: on files of the standard library, with a tokenizer of its own."""

import json
from pathlib import Path

import numpy as np
import pytest

from fireside.core.errors import Invalid
from fireside.models import gguf_writer
from fireside.training.prepare import other, packed, tokenizer
from fireside.training.prepare.settings import PrepareSettings
from fireside.training.prepare.split import is_held_out
from fireside.training.prepare.stage import Prepare
from fireside.training.rows import read
from fireside.training.stages import Desk, Hardware, Manifest, Step, file_digest, perform
from support.corpora import collected, row, standard_library

pytestmark = pytest.mark.train
SMALL = PrepareSettings(vocabulary=600, context=128, held_out=0.1, other_bytes=60_000)
HERE = Hardware(cores=2, memory=8 << 30, disk=8 << 30)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = collected(tmp_path_factory.mktemp("run"), standard_library(30))
    prepared(work)
    return work


def prepared(work: Path, settings: PrepareSettings = SMALL, **desk: bool) -> Manifest:
    return perform(Prepare(settings), Desk(work, "prepare", **desk))[0]


def test_held_out_text_reads_back_byte_for_byte_and_its_bytes_are_counted(run: Path):
    told, tokens = packed.meta(run / "prepare"), tokenizer.load(run / "prepare" / "tokenizer")
    share = json.loads((run / "prepare.json").read_bytes())["facts"]["held_out"]
    texts = [one.text for one in read(run / "collect" / "shards") if is_held_out(one, share)]
    stream = packed.open_split(run / "prepare", "held")[:, 1:].flatten()
    ends = np.flatnonzero(stream == told.eot)
    found = [tokens.decode(part) for part in np.split(stream, ends + 1)[:-1]]
    assert [one.removesuffix("<|endoftext|>") for one in found] == texts
    assert told.splits["held"].bytes == sum(len(one.encode()) for one in texts) > 0


def test_no_held_out_file_is_in_the_training_rows(run: Path):
    share = json.loads((run / "prepare.json").read_bytes())["facts"]["held_out"]
    rows = list(read(run / "collect" / "shards"))
    held = next(one for one in rows if is_held_out(one, share))
    tokens = tokenizer.load(run / "prepare" / "tokenizer")
    trained = tokens.decode(packed.open_split(run / "prepare", "train").flatten(), skip_special_tokens=False)
    long = [line for line in held.text.splitlines() if len(line) > 40]
    elsewhere = "".join(one.text for one in rows if one is not held)
    own = [line for line in long if line not in elsewhere]
    assert own
    assert not any(line in trained for line in own)


def test_what_is_scored_of_a_middle_is_its_answer(run: Path):
    told, tokens = packed.meta(run / "prepare"), tokenizer.load(run / "prepare" / "tokenizer")
    rows, masks = packed.open_split(run / "prepare", "held_fim"), packed.open_mask(run / "prepare")
    assert len(rows) == len(masks) > 1
    scored = [row[1:][mask == 1] for row, mask in zip(rows, masks, strict=True)]
    assert all(len(one) and not set(one.tolist()) & set(told.special) for one in scored)
    # What follows the answer is the end of the document.
    assert all(row[1:][np.flatnonzero(mask)[-1] + 1] == told.eot for row, mask in zip(rows, masks, strict=True))
    assert sum(len(tokens.decode(one).encode()) for one in scored) == told.splits["held_fim"].bytes


def test_the_tokenizer_knows_qwens_names_and_no_text_can_pretend_to_be_one(run: Path):
    tokens = tokenizer.load(run / "prepare" / "tokenizer")
    assert [tokens.token_to_id(name) for name in tokenizer.SPECIAL] == list(range(9))
    assert 0 not in tokens.encode("x = '<|endoftext|>'").ids
    for text in ("\tif x:\r\n", "naïve = '日本'", "x" * 50 + "  12345\n\n\n  "):
        assert tokens.decode(tokens.encode(text).ids) == text


def test_transformers_reads_the_tokenizer_as_we_do(run: Path):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(str(run / "prepare" / "tokenizer"))
    ours = tokenizer.load(run / "prepare" / "tokenizer")
    text = standard_library(1)[0].text
    assert theirs(text, add_special_tokens=False)["input_ids"] == ours.encode(text).ids
    assert (theirs.eos_token, theirs.pad_token) == ("<|endoftext|>", "<|fim_pad|>")


def test_the_same_rows_give_the_same_files(run: Path, tmp_path: Path):
    prepared(collected(tmp_path / "again", standard_library(30)))
    for name in ("train.bin", "held.bin", "other.bin", "held_fim.bin", "tokenizer/tokenizer.json"):
        assert file_digest(run / "prepare" / name) == file_digest(tmp_path / "again" / "prepare" / name), name


def test_the_tokenizer_of_a_base_is_taken_as_it_is(run: Path, tmp_path: Path):
    work = collected(tmp_path / "tuned", standard_library(4))
    prepared(work, PrepareSettings(base=str(run / "prepare" / "tokenizer"), context=64, other=""))
    assert (work / "prepare/tokenizer/tokenizer.json").read_bytes() == (
        run / "prepare/tokenizer/tokenizer.json"
    ).read_bytes()
    assert packed.meta(work / "prepare").fim_order == "joined"
    assert "other" not in packed.meta(work / "prepare").splits


def test_other_code_to_mix_in_and_to_measure_share_no_file(run: Path):
    splits = packed.meta(run / "prepare").splits
    assert splits["other"].bytes + splits["other_held"].bytes > 0.5 * SMALL.other_bytes
    assert splits["other"].rows > splits["other_held"].rows > 0


def test_a_base_that_is_not_there_is_refused_before_anything_is_done(tmp_path: Path):
    settings = PrepareSettings(base=str(tmp_path / "nowhere"))
    work = collected(tmp_path / "run", standard_library(2))
    (refusal,) = Prepare(settings).plan(Desk(work, "prepare"), HERE).refusals
    assert "nowhere is not there" in refusal.message
    with pytest.raises(Invalid, match=r"nowhere has no tokenizer\.json"):
        prepared(work, settings)


def test_one_broken_row_is_named_with_its_shard_and_line(tmp_path: Path):
    import zstandard

    work = collected(tmp_path / "run", standard_library(3))
    shard = work / "collect/shards/rows-00000.jsonl.zst"
    lines = zstandard.decompress(shard.read_bytes(), 1 << 26).splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"kind":"lm"', b'"kind":"poem"')
    shard.write_bytes(zstandard.compress(b"".join(lines)))
    with pytest.raises(Invalid, match=r"rows-00000\.jsonl\.zst, line 2: Invalid enum value 'poem'"):
        prepared(work)
    assert not (work / "prepare.json").exists()


def test_a_single_tiny_file_can_be_trained_on_though_nothing_is_left_to_measure(tmp_path: Path):
    work = collected(tmp_path / "run", [row("x = 1\n")])
    manifest = prepared(work, PrepareSettings(vocabulary=300, context=32, other=""))
    assert manifest.facts["held_out"] == 0
    assert manifest.facts["tokens"]["train"] > 0


def test_the_smallest_run_does_everything(tmp_path: Path):
    work = collected(tmp_path / "run", standard_library(40))
    facts = prepared(work, PrepareSettings(), smoke=True).facts
    assert facts["vocabulary"] == 1024
    assert all(facts["tokens"][name] for name in ("train", "held", "held_fim", "other", "other_held"))


def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(run: Path, tmp_path: Path):
    def stop(step: Step) -> None:
        if step.note == "tokenising" and step.done > step.total / 2:
            raise KeyboardInterrupt

    work = collected(tmp_path / "run", standard_library(30))
    with pytest.raises(KeyboardInterrupt):
        perform(Prepare(SMALL), Desk(work, "prepare", report=stop))
    assert not (work / "prepare.json").exists()
    prepared(work)
    assert not list((work / "prepare").glob("*.part"))
    for name in ("train.bin", "held.bin", "tokenizer/tokenizer.json"):
        assert file_digest(run / "prepare" / name) == file_digest(work / "prepare" / name), name


def test_other_code_that_nothing_may_learn_from_is_left_out(tmp_path: Path):
    text = standard_library(1)[0].text
    for name in ("own/a.py", "vendor_free/click/core.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert [one.path for one in other.read(str(tmp_path))] == ["own/a.py"]
    before = other.state(str(tmp_path))
    (tmp_path / "own/b.py").write_text(text)
    assert other.state(str(tmp_path)) != before


def test_the_tokenizer_of_a_gguf_tokenises_as_the_one_it_was_made_of(tmp_path: Path):
    ours = tokenizer.train([one.text for one in standard_library(3)], 600)
    parts = json.loads(ours.to_str())["model"]
    spelt = sorted(parts["vocab"], key=parts["vocab"].__getitem__)
    gguf_writer.write(
        tmp_path / "base.gguf",
        {
            "general.architecture": "llama",
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "qwen2",
            "tokenizer.ggml.tokens": spelt,
            "tokenizer.ggml.token_type": [3 if token in tokenizer.SPECIAL else 1 for token in spelt],
            "tokenizer.ggml.merges": [" ".join(merge) for merge in parts["merges"]],
            "tokenizer.ggml.eos_token_id": 0,
            "fireside.fim_order": "joined",
        },
        [gguf_writer.Tensor("token_embd.weight", (32,), "F32", lambda: np.zeros(32, np.float32))],
    )
    tokenizer.adopt(tmp_path / "base.gguf", tmp_path / "taken")
    taken = tokenizer.load(tmp_path / "taken")
    text = standard_library(1, skip=5)[0].text + "\t12345 naïve 日本"
    assert taken.encode(text).ids == ours.encode(text).ids
    found = tokenizer.specials(taken, tmp_path / "taken")
    assert (found.end, found.middle, found.order) == (0, 4, "joined")
    assert tokenizer.all_special(taken) == list(range(9))
