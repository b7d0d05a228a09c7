"""The gates: a GGUF says what transformers says, and quantizing costs no more than it may. On random models, and on one trained here."""

import json
from pathlib import Path

import msgspec
import numpy
import pytest

from fireside.core.errors import Invalid
from fireside.models.gguf_writer import Tensor, copied, write
from fireside.models.quantize import floats
from fireside.models.tensors import TENSOR_TYPES
from fireside.training import hardware
from fireside.training.export import forward, gates
from fireside.training.export.adapter import target_of, write_adapter
from fireside.training.export.model import write_model
from fireside.training.export.quantizing import Quantize
from fireside.training.export.settings import ExportSettings, QuantizeSettings
from fireside.training.export.stage import Export
from fireside.training.prepare.packed import Meta, Packer, Split, write_meta
from fireside.training.stages import Desk, Manifest, digests, perform
from support.checkpoints import tokenizer_json, write_adapter_folder, write_model_folder

pytestmark = pytest.mark.train
SOURCES = sorted((Path(__file__).parents[3] / "src" / "fireside").glob("*/*.py"))


def swapped(source: Path, target: Path) -> Path:
    """The same file with one matrix upside down: what a fault of the exporter would make."""
    from fireside.models.gguf import read_header

    header = read_header(source)
    data = numpy.fromfile(source, numpy.uint8)[header.data_start :]

    def values(number: int) -> numpy.ndarray:
        one = header.tensors[number]
        found = floats(data[one.offset : one.offset + one.bytes], TENSOR_TYPES[one.type].name)
        shaped = found.reshape(tuple(reversed(one.shape)))
        return shaped[::-1] if one.name == "blk.0.attn_k.weight" else shaped

    tensors = [
        Tensor(one.name, tuple(reversed(one.shape)), TENSOR_TYPES[one.type].name, lambda number=number: values(number))
        for number, one in enumerate(header.tensors)
    ]
    return write(target, copied(header), tensors)


@pytest.mark.parametrize(
    ("architecture", "told"),
    [
        ("LlamaForCausalLM", {"attention_bias": True, "tie_word_embeddings": False}),
        ("LlamaForCausalLM", {"head_dim": 32}),
        ("Qwen2ForCausalLM", {}),
    ],
)
def test_logits_greedy_tokens_and_tokenization_are_those_of_transformers(
    architecture: str, told: dict[str, object], tmp_path: Path
):
    folder = write_model_folder(tmp_path / "model", architecture, **told)
    write_model(folder, tmp_path / "m.gguf")
    found = gates.parity(folder, tmp_path / "m.gguf", "F32")
    assert found.difference < 0.01
    assert found.tokens_equal
    # Random weights have near ties, which may go either way; the trained model below has none.
    assert sum(count == 40 for count in found.equal) + found.ties == 3
    assert found.refusal("m.gguf") is None


def test_positions_stretched_as_llama_3_does_come_out_the_same(tmp_path: Path):
    rope = {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    folder = write_model_folder(tmp_path / "model", rope_parameters=rope)
    write_model(folder, tmp_path / "m.gguf")
    assert gates.parity(folder, tmp_path / "m.gguf", "F32").difference < 0.01


def test_a_model_that_answers_otherwise_does_not_pass(tmp_path: Path):
    folder = write_model_folder(tmp_path / "model")
    write_model(folder, tmp_path / "m.gguf")
    found = gates.parity(folder, swapped(tmp_path / "m.gguf", tmp_path / "wrong.gguf"), "F32")
    refusal = found.refusal("wrong.gguf")
    assert refusal is not None
    assert "logits differ by" in refusal.message


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "Qwen2ForCausalLM"])
def test_an_adapter_over_its_base_is_the_merged_model(architecture: str, tmp_path: Path):
    base = write_model_folder(tmp_path / "model", architecture)
    write_model(base, tmp_path / "base.gguf")
    adapter = write_adapter_folder(tmp_path / "adapter", base=str(base), use_rslora=True, rank_pattern={})
    write_adapter(adapter, target_of(base), tmp_path / "a.gguf")
    laid = gates.parity(base, tmp_path / "base.gguf", "F32", adapter=adapter, laid=tmp_path / "a.gguf")
    assert laid.difference < 0.01
    assert laid.refusal("a.gguf") is None
    without = gates.parity(base, tmp_path / "base.gguf", "F32", adapter=adapter)
    assert without.difference > 0.1


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A run whose stages prepare and pretrain are done: a model of 1.4 million weights that has read Fireside's own source for a while."""
    work = tmp_path_factory.mktemp("run") / "own"
    rows, held = _tokens()
    folder = write_model_folder(work / "pretrain" / "model")
    _trained(folder, rows)
    packer = Packer(_made(work / "prepare") / "held.bin", 255, "uint16", 0, 6)
    packer.add(held, whole=False)
    split = packer.close()
    splits = {"held": Split(rows=split.rows, tokens=split.tokens, documents=1, bytes=1)}
    write_meta(
        work / "prepare",
        Meta(context=255, dtype="uint16", vocabulary=1024, eot=0, pad=6, special=[0], fim_order="psm", splits=splits),
    )
    for stage in ("prepare", "pretrain"):
        done = Manifest(
            stage=stage,
            fingerprint=stage,
            facts={},
            files=digests(work / stage),
            seed=7,
            seconds=1,
            finished=1,
            versions={},
        )
        (work / f"{stage}.json").write_bytes(msgspec.json.encode(done))
    return Desk(work, "export")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _tokens() -> tuple[numpy.ndarray, numpy.ndarray]:
    """What is learnt, and other files that are not."""

    from tokenizers import Tokenizer

    cutter = Tokenizer.from_str(json.dumps(tokenizer_json()))
    ids = [cutter.encode(path.read_text("utf-8"), add_special_tokens=False).ids for path in SOURCES[:40]]
    learnt = numpy.array([token for each in ids[:36] for token in each][:200_000], numpy.int64)
    return learnt, numpy.array([token for each in ids[36:] for token in each][:6000], numpy.uint16)


def _trained(folder: Path, tokens: numpy.ndarray) -> None:
    """Train the folder's model in place for a few seconds."""
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for name, values in model.named_parameters():
        if values.dim() > 1:
            torch.nn.init.normal_(values, std=0.02)
    rng = numpy.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(60):
        starts = rng.integers(0, len(tokens) - 129, 8)
        batch = torch.from_numpy(numpy.stack([tokens[start : start + 128] for start in starts]))
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)


def test_the_stages_leave_files_that_passed_their_gates(run: Desk):
    here = hardware.look(run.work)
    export, quantize = (
        Export(ExportSettings(name="own", licence="Apache-2.0")),
        Quantize(QuantizeSettings(kinds=("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"), tokens=4096)),
    )
    assert export.plan(run, here).refusals == ()
    told = perform(export, run)[0].facts
    assert (told["gates"], told["type"], told["greedy"]) == ("passed", "F32", "40/40 40/40 40/40")
    assert told["logit_difference"] < 0.01
    desk = Desk(run.work, "quantize")
    assert quantize.plan(desk, here).refusals == ()
    facts = perform(quantize, desk)[0].facts
    assert facts["gates"] == "passed"
    # Trained, else a quantization could cost nothing.
    assert facts["source_perplexity"] < 300
    assert abs(facts["Q8_0_cost"]) <= 0.001
    assert facts["Q4_K_M_cost"] <= 0.02
    sizes = [facts[f"{kind}_bytes"] for kind in ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")]
    assert sizes == sorted(sizes, reverse=True)
    left = {path.name for path in (run.work / "quantize").iterdir()}
    assert left == {"Modelfile", *(f"own-{kind}.gguf" for kind in ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M"))}
    assert "FROM ./own-Q8_0.gguf" in (run.work / "quantize" / "Modelfile").read_text()


def test_a_quantization_that_costs_too_much_is_taken_away(run: Desk, tmp_path: Path):
    refusal = gates.cost_refusal("Q4_K_M", "own-Q4_K_M.gguf", 100.0, 102.5)
    assert refusal is not None
    assert "2.50% above" in refusal.message
    assert gates.cost_refusal("Q4_K_M", "own-Q4_K_M.gguf", 100.0, 101.9) is None


def test_an_adapter_of_the_run_is_exported_with_its_base(run: Desk, tmp_path: Path):
    adapter = write_adapter_folder(tmp_path / "adapter", base=str(run.work / "pretrain" / "model"))
    stage = Export(ExportSettings(source=str(adapter)))
    desk = Desk(tmp_path / "work", "export")
    facts = perform(stage, desk)[0].facts
    assert (facts["gates"], facts["base"], facts["file"]) == ("passed", "", "adapter.gguf")
    assert {path.name for path in desk.folder.iterdir()} == {"adapter.gguf", "base.gguf", "Modelfile"}
    assert "ADAPTER ./adapter.gguf" in (desk.folder / "Modelfile").read_text()


def test_an_adapter_over_a_gguf_leaves_only_itself(run: Desk, tmp_path: Path):
    base = tmp_path / "base.gguf"
    write_model(run.work / "pretrain" / "model", base)
    stage = Export(ExportSettings(source=str(write_adapter_folder(tmp_path / "adapter")), base=str(base)))
    desk = Desk(tmp_path / "work", "export")
    facts = perform(stage, desk)[0].facts
    assert facts["base"] == str(base)
    assert facts["gates"].startswith("not checked against PEFT")
    assert {path.name for path in desk.folder.iterdir()} == {"adapter.gguf", "Modelfile"}
    quantized = perform(Quantize(QuantizeSettings()), Desk(desk.work, "quantize"))[0]
    assert quantized.files == {}


def test_an_adapter_whose_base_nobody_knows_is_refused(tmp_path: Path):
    stage = Export(ExportSettings(source=str(write_adapter_folder(tmp_path / "adapter"))))
    with pytest.raises(Invalid, match="the base of the adapter"):
        perform(stage, Desk(tmp_path / "work", "export"))


def test_a_run_without_a_model_has_nothing_to_export(tmp_path: Path):
    with pytest.raises(Invalid, match="neither a model nor an adapter"):
        perform(Export(ExportSettings()), Desk(tmp_path, "export"))


def test_losses_are_the_negative_logarithms_of_the_softmax(tmp_path: Path):
    write_model(write_model_folder(tmp_path / "model"), tmp_path / "m.gguf")
    ids = [[20, 300, 41, 502]]
    scores = forward.logits(tmp_path / "m.gguf", ids)[0].astype(numpy.float64)
    shares = numpy.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    wanted = [-numpy.log(shares[place, token]) for place, token in enumerate(ids[0][1:])]
    assert forward.losses(tmp_path / "m.gguf", ids)[0] == pytest.approx(wanted, rel=1e-5)
