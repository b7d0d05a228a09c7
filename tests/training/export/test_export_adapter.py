"""A LoRA adapter as GGUF: what is laid over what, and what cannot be."""

import json
from pathlib import Path

import numpy
import pytest
from gguf import GGUFReader

from fireside.core.errors import Invalid
from fireside.models.adapters import check_adapter
from fireside.models.gguf import read_header
from fireside.training.export import forward
from fireside.training.export.adapter import target_of, write_adapter
from fireside.training.export.model import write_model
from support.checkpoints import write_adapter_folder, write_model_folder

IDS = [[20, 300, 41, 502, 63, 704, 85]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, with its GGUF beside it."""
    folder = write_model_folder(tmp_path_factory.mktemp("base") / "model")
    write_model(folder, folder.parent / "base.gguf")
    return folder


def test_a_folder_and_the_gguf_made_of_it_are_the_same_base(base: Path, tmp_path: Path):
    adapter = write_adapter_folder(tmp_path / "adapter")
    for name, place in (("a", base), ("b", base.parent / "base.gguf")):
        assert write_adapter(adapter, target_of(place), tmp_path / f"{name}.gguf") == {"rank": 4, "matrices": 8}
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()
    header = check_adapter(tmp_path / "a.gguf", base.parent / "base.gguf")
    assert header.metadata["adapter.lora.alpha"] == 8.0


def test_llama_cpp_lays_it_over_the_base(base: Path, tmp_path: Path):
    write_adapter(write_adapter_folder(tmp_path / "adapter"), target_of(base), tmp_path / "a.gguf")
    nothing = write_adapter_folder(tmp_path / "nothing", alpha=1e-9)
    write_adapter(nothing, target_of(base), tmp_path / "n.gguf")
    plain, laid, zero = (
        forward.logits(base.parent / "base.gguf", IDS, adapter=adapter)[0]
        for adapter in (None, tmp_path / "a.gguf", tmp_path / "n.gguf")
    )
    assert numpy.abs(laid - plain).max() > 0.1
    assert numpy.abs(zero - plain).max() < 0.01


def test_another_factor_than_alpha_over_rank_goes_into_b(base: Path, tmp_path: Path):
    told = {
        "plain": {},
        "stable": {"use_rslora": True},
        "single": {"alpha_pattern": {"layers.0.self_attn.q_proj": 24.0}},
    }
    largest = {}
    for name, settings in told.items():
        write_adapter(write_adapter_folder(tmp_path / name, **settings), target_of(base), tmp_path / f"{name}.gguf")
        tensors = {one.name: one.data for one in GGUFReader(tmp_path / f"{name}.gguf").tensors}
        largest[name] = [float(numpy.abs(tensors[f"blk.{layer}.attn_q.weight.lora_b"]).max()) for layer in (0, 1)]
    # alpha / sqrt(4) instead of alpha / 4; three times the alpha for one module.
    assert largest["stable"] == pytest.approx([2 * one for one in largest["plain"]])
    assert largest["single"] == pytest.approx([3 * largest["plain"][0], largest["plain"][1]])


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "trained biases"),
        ({"layer_replication": [[0, 1]]}, "repeats layers"),
        ({"peft_type": "IA3"}, "of the kind IA3"),
        ({"lora_alpha": 0}, "lora_alpha"),
    ],
)
def test_what_llama_cpp_cannot_lay_over_a_model_is_refused(
    told: dict[str, object], why: str, base: Path, tmp_path: Path
):
    with pytest.raises(Invalid, match=why):
        write_adapter(write_adapter_folder(tmp_path / "adapter", **told), target_of(base), tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()


def test_an_adapter_for_another_base_is_refused_with_the_sizes(base: Path, tmp_path: Path):
    adapter = write_adapter_folder(tmp_path / "adapter", width=128)
    with pytest.raises(Invalid, match=r"trained on another base: it changes blk\.0\.\w+\.weight of 128 x"):
        write_adapter(adapter, target_of(base), tmp_path / "a.gguf")


def test_half_a_pair_and_a_missing_file_are_refused(base: Path, tmp_path: Path):
    adapter = write_adapter_folder(tmp_path / "adapter")
    place = adapter / "adapter_model.safetensors"
    data = place.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop(next(name for name in header if "lora_B" in name))
    text = json.dumps(header).encode()
    place.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
    with pytest.raises(Invalid, match="has half of"):
        write_adapter(adapter, target_of(base), tmp_path / "a.gguf")
    place.unlink()
    with pytest.raises(Invalid, match=r"no adapter_model\.safetensors"):
        write_adapter(adapter, target_of(base), tmp_path / "a.gguf")


def test_a_file_that_is_no_adapter_or_fits_another_model_is_told_from_its_header(base: Path, tmp_path: Path):
    write_adapter(write_adapter_folder(tmp_path / "adapter"), target_of(base), tmp_path / "a.gguf")
    with pytest.raises(Invalid, match="no LoRA adapter"):
        check_adapter(base.parent / "base.gguf", base.parent / "base.gguf")
    other = write_model_folder(tmp_path / "other", "Qwen2ForCausalLM")
    write_model(other, tmp_path / "other.gguf")
    with pytest.raises(Invalid, match="is for llama, and its base is qwen2"):
        check_adapter(tmp_path / "a.gguf", tmp_path / "other.gguf")
    wider = write_model_folder(tmp_path / "wider", hidden_size=512, intermediate_size=512)
    write_model(wider, tmp_path / "wider.gguf")
    with pytest.raises(Invalid, match="of another size"):
        check_adapter(tmp_path / "a.gguf", tmp_path / "wider.gguf")
    assert read_header(tmp_path / "a.gguf").text("adapter.type") == "lora"
