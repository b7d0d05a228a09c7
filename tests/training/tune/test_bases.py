"""Which models an adapter can be trained on: HF folders, and GGUFs of two architectures turned back into folders."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fireside.core.errors import Invalid, ModelNotFound
from fireside.models import tiny
from fireside.models.gguf import read_header
from fireside.models.gguf_writer import write
from fireside.training.tune import bases
from fireside.training.tune.unpack import configuration, renamed, unpack

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]
Tuned = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def qwen(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2 with biases of its own and an output that is not its embedding, with the tokenizer of the base."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(1)
    shape = Qwen2Config(
        vocab_size=bases.look(base).vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=False,
    )
    model = Qwen2ForCausalLM(shape)
    for name, values in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(values)
    folder = tmp_path_factory.mktemp("qwen") / "model"
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(base / name, folder / name)
    return folder


def gguf_of(folder: Path, place: Path) -> Path:
    from fireside.training.export.model import write_model

    write_model(folder, place, kind="F32")
    return place


@pytest.mark.parametrize("which", ["llama", "qwen2"])
def test_a_gguf_is_turned_back_into_the_very_weights_it_was_made_from(
    base: Path, qwen: Path, tmp_path: Path, which: str
):
    import torch
    from transformers import AutoModelForCausalLM

    source = {"llama": base, "qwen2": qwen}[which]
    folder = unpack(gguf_of(source, tmp_path / "model.gguf"), tmp_path / "back", source, half=False)
    was = AutoModelForCausalLM.from_pretrained(source).eval()
    back = AutoModelForCausalLM.from_pretrained(folder).eval()
    for name, values in was.state_dict().items():
        assert torch.equal(values, back.state_dict()[name]), name
    ids = torch.arange(40).reshape(1, -1)
    with torch.no_grad():
        assert torch.allclose(was(ids).logits, back(ids).logits, atol=1e-6)


def test_an_adapter_is_trained_on_a_gguf_and_the_unpacked_weights_are_taken_away(
    tuned_here: Tuned, base: Path, work: Path, tmp_path: Path
):
    place = gguf_of(base, tmp_path / "base.gguf")
    facts = tuned_here(base=str(place), steps=10)
    assert facts["target_after"] < facts["target_before"]
    assert not (work / "tune" / ".base").exists()


def test_a_model_of_quantised_weights_is_a_base_too(tmp_path: Path):
    place = tiny.write(tmp_path / "tiny.gguf", quantization="Q8_0")
    found = bases.look(place)
    assert (found.kind, found.architecture) == ("gguf", "qwen2")
    folder = unpack(place, tmp_path / "back", tmp_path, half=True)
    again = bases.look(folder)
    assert again.parameters == found.parameters
    assert (again.hidden, again.layers, again.vocabulary) == (found.hidden, found.layers, found.vocabulary)
    assert not (tmp_path / "back.part").exists()


def test_a_gguf_of_another_architecture_is_refused_with_those_that_are_not(tmp_path: Path):
    place = write(tmp_path / "other.gguf", {"general.architecture": "mamba"}, [])
    with pytest.raises(Invalid, match=r"mamba; an adapter can be trained on a GGUF of llama or qwen2") as raised:
        bases.look(place)
    assert "model.safetensors" in raised.value.remedy
    with pytest.raises(Invalid, match="mamba"):
        configuration(read_header(place))


def test_what_is_no_base_is_refused_in_one_sentence(base: Path, tmp_path: Path):
    with pytest.raises(ModelNotFound, match="is not there"):
        bases.look(tmp_path / "none")
    folder = tmp_path / "folder"
    folder.mkdir()
    for config, says in (
        (None, "no config.json"),
        ("{", "cannot be read"),
        ("[]", "no model's configuration"),
        ("{}", "no weights"),
    ):
        if config is not None:
            (folder / "config.json").write_text(config)
        with pytest.raises(Invalid, match=says):
            bases.look(folder)
    data = (base / "model.safetensors").read_bytes()
    for damaged, says in ((data[:100], "cut off"), (data[:8] + b"x" * (len(data) - 8), "damaged")):
        (folder / "model.safetensors").write_bytes(damaged)
        with pytest.raises(Invalid, match=says):
            bases.look(folder)
    (tmp_path / "text.gguf").write_text("not a model")
    assert bases.refusal(tmp_path / "text.gguf") is not None
    assert bases.refusal(base) is None


def test_a_digest_changes_with_the_weights(base: Path, tmp_path: Path):
    copy = Path(shutil.copytree(base, tmp_path / "copy"))
    assert bases.look(copy).digest == bases.look(base).digest
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert bases.look(copy).digest != bases.look(base).digest


def test_names_of_tensors_are_those_of_hugging_face():
    assert renamed("blk.3.attn_q.weight") == "model.layers.3.self_attn.q_proj.weight"
    assert renamed("blk.0.attn_k.bias") == "model.layers.0.self_attn.k_proj.bias"
    assert renamed("output_norm.weight") == "model.norm.weight"
    assert renamed("blk.0.ffn_gate_inp.weight") is None


@pytest.mark.parametrize("kept", [4, 200, -1])
def test_a_folder_whose_weights_were_copied_in_part_is_refused_before_anything_is_done(
    base: Path, tmp_path: Path, kept: int
):
    shutil.copytree(base, tmp_path / "base")
    weights = tmp_path / "base" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])

    with pytest.raises(Invalid, match=r"model\.safetensors is (cut off|damaged)"):
        bases.look(tmp_path / "base")
