"""A checkpoint as GGUF, written without torch; what cannot be written says so and leaves nothing."""

import json
from pathlib import Path

import numpy
import pytest
from gguf import GGUFReader, dequantize

from fireside.core.errors import Invalid, ModelNotFound, OutOfResources
from fireside.models import gguf
from fireside.training.export.architectures import ordered, sizes
from fireside.training.export.checkpoint import read
from fireside.training.export.model import write_model
from fireside.training.export.ollama import modelfile
from support.checkpoints import config_of, random_weights, write_model_folder, write_safetensors, write_tokenizer


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "Qwen2ForCausalLM"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_file_is_sound_and_holds_what_the_checkpoint_holds(architecture: str, tied: bool, tmp_path: Path):
    folder = write_model_folder(tmp_path / "model", architecture, tie_word_embeddings=tied)
    assert write_model(folder, tmp_path / "m.gguf", told={"general.name": "mine"}) == "F32"
    header = gguf.read_header(tmp_path / "m.gguf")
    gguf.verify(header)
    card = gguf.card(tmp_path / "m.gguf", engine="embedded")
    assert (header.text("general.name"), card.quantization, card.context_window) == ("mine", "F32", 512)
    assert card.can("fim")
    found = {
        tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in GGUFReader(tmp_path / "m.gguf").tensors
    }
    told = random_weights(config_of(architecture, tie_word_embeddings=tied))
    assert ("output.weight" in found) is not tied
    assert numpy.array_equal(found["blk.1.ffn_down.weight"], told["model.layers.1.mlp.down_proj.weight"])
    same = numpy.array_equal(found["blk.0.attn_q.weight"], told["model.layers.0.self_attn.q_proj.weight"])
    assert same is (architecture == "Qwen2ForCausalLM")


def test_llamas_rows_are_interleaved_head_by_head(tmp_path: Path):
    shape = sizes(read(write_model_folder(tmp_path)))
    rows = numpy.arange(256)
    # Heads of 64: value i of the first half stands beside value i of the second.
    assert ordered(rows, "blk.0.attn_q.weight", shape)[:4].tolist() == [0, 32, 1, 33]
    assert ordered(numpy.arange(128), "blk.0.attn_k.bias", shape)[:4].tolist() == [0, 32, 1, 33]
    assert ordered(rows, "blk.0.attn_v.weight", shape).tolist() == rows.tolist()


@pytest.mark.parametrize(("kind", "wanted"), [("F32", "F32"), ("F16", "F16"), ("BF16", "BF16")])
def test_weights_keep_the_type_of_the_checkpoint_unless_another_is_asked_for(kind: str, wanted: str, tmp_path: Path):
    folder = write_model_folder(tmp_path / "model", kind=kind)
    assert write_model(folder, tmp_path / "same.gguf") == wanted
    assert write_model(folder, tmp_path / "half.gguf", kind="F16") == "F16"
    types = {one.name: one.tensor_type.name for one in GGUFReader(tmp_path / "same.gguf").tensors}
    assert (types["token_embd.weight"], types["output_norm.weight"]) == (wanted, "F32")


def test_a_checkpoint_in_several_files_is_the_same_model(tmp_path: Path):
    whole = write_model_folder(tmp_path / "whole")
    parts = tmp_path / "parts"
    write_tokenizer(parts)
    (parts / "config.json").write_text((whole / "config.json").read_text())
    names = list(tensors := random_weights(config_of("LlamaForCausalLM")))
    places = {}
    for number, chosen in enumerate((names[:5], names[5:])):
        file = f"model-{number}.safetensors"
        write_safetensors(parts / file, {name: tensors[name] for name in chosen})
        places |= dict.fromkeys(chosen, file)
    (parts / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    for folder in (whole, parts):
        write_model(folder, tmp_path / f"{folder.name}.gguf")
    assert (tmp_path / "whole.gguf").read_bytes() == (tmp_path / "parts.gguf").read_bytes()


def test_positions_stretched_as_llama_3_does_get_their_factors(tmp_path: Path):
    rope = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    }
    write_model(write_model_folder(tmp_path / "model", rope_parameters=rope), tmp_path / "m.gguf")
    factors = next(one for one in GGUFReader(tmp_path / "m.gguf").tensors if one.name == "rope_freqs.weight").data
    assert (factors[0], factors[-1], len(factors)) == (1.0, 8.0, 32)


def test_the_modelfile_tells_ollama_how_to_fill_in_the_middle(tmp_path: Path):
    write_model(write_model_folder(tmp_path / "model"), tmp_path / "m.gguf", told={"general.license": "Apache-2.0"})
    text = modelfile(tmp_path / "m.gguf", folder=tmp_path)
    assert text.startswith("FROM ./m.gguf\n")
    assert "<|fim_prefix|>{{ .Prompt }}<|fim_suffix|>{{ .Suffix }}<|fim_middle|>" in text
    assert 'PARAMETER stop "<|endoftext|>"' in text
    assert 'LICENSE """Apache-2.0"""' in text
    write_tokenizer(tmp_path / "model", fireside_fim_order="joined")
    write_model(tmp_path / "model", tmp_path / "ours.gguf")
    ours = modelfile(tmp_path / "ours.gguf", folder=tmp_path / "elsewhere", adapter=tmp_path / "a.gguf")
    assert "<|fim_prefix|><|fim_suffix|>{{ .Suffix }}<|fim_middle|>{{ .Prompt }}" in ours
    assert f"FROM {tmp_path / 'ours.gguf'}\nADAPTER {tmp_path / 'a.gguf'}\n" in ours


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"architectures": ["MistralForCausalLM"]}, "is a MistralForCausalLM"),
        ({"hidden_act": "gelu"}, "activation gelu"),
        ({"use_sliding_window": True}, "sliding window"),
        ({"rope_parameters": {"rope_type": "longrope", "rope_theta": 1.0}}, "positions by longrope"),
        ({"num_hidden_layers": 3}, "lacks the tensor blk.2"),
        ({"hidden_size": "many"}, "does not tell hidden_size"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line_and_leaves_nothing(
    told: dict[str, object], why: str, tmp_path: Path
):
    folder = write_model_folder(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps(config_of("LlamaForCausalLM") | told))
    with pytest.raises(Invalid, match=why):
        write_model(folder, tmp_path / "m.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_architectures_there_are_stand_in_the_remedy(tmp_path: Path):
    folder = write_model_folder(tmp_path, "LlamaForCausalLM")
    (folder / "config.json").write_text(json.dumps(config_of("GPT2LMHeadModel")))
    with pytest.raises(Invalid) as refusal:
        write_model(folder, tmp_path / "m.gguf")
    assert "LlamaForCausalLM and Qwen2ForCausalLM" in refusal.value.remedy


def test_damaged_weights_are_refused(tmp_path: Path):
    folder = write_model_folder(tmp_path / "model")
    place = folder / "model.safetensors"
    whole = place.read_bytes()
    place.write_bytes(whole[:-10])
    with pytest.raises(Invalid, match="cut off or damaged"):
        write_model(folder, tmp_path / "m.gguf")
    place.write_bytes(b"\xff" * 64)
    with pytest.raises(Invalid, match="no safetensors file"):
        write_model(folder, tmp_path / "m.gguf")
    write_safetensors(place, {"model.norm.weight": numpy.full(4, numpy.nan, numpy.float32)})
    with pytest.raises(Invalid, match="no numbers"):
        read(folder).tensors["model.norm.weight"].floats()
    place.unlink()
    with pytest.raises(Invalid, match=r"no model\.safetensors"):
        write_model(folder, tmp_path / "m.gguf")
    with pytest.raises(ModelNotFound):
        write_model(tmp_path / "nowhere", tmp_path / "m.gguf")


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_model_folder(tmp_path / "model")
    monkeypatch.setattr("fireside.models.disk.SPARE", 1 << 62)
    with pytest.raises(OutOfResources, match="are free in"):
        write_model(folder, tmp_path / "m.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
