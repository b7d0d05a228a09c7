"""Fewer bits: which tensor gets which type, that other programs read them, and what is refused."""

import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from gguf import GGUFReader, dequantize

from fireside.core.errors import Invalid
from fireside.models import gguf_writer, tiny
from fireside.models.gguf import read_header, verify
from fireside.models.gguf_writer import Tensor, copied
from fireside.models.quantize import KINDS, check, estimate, fallbacks, mixture, quantize
from support.tiny import tiny_gguf

# Root mean square error over that of the values, for normal weights.
ERRORS = {"Q8_0": 0.006, "Q6_K": 0.02, "Q5_K": 0.04, "Q4_K": 0.08}


def weights(path: Path) -> dict[str, numpy.ndarray]:
    return {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in GGUFReader(path).tensors}


@pytest.mark.parametrize("kind", KINDS)
def test_the_gguf_package_reads_what_was_quantized(kind: str, tmp_path: Path):
    source = tiny_gguf("small")
    steps: list[tuple[int, int]] = []
    made = quantize(source, tmp_path / "out.gguf", kind, progress=lambda done, total: steps.append((done, total)))
    before, after = weights(source), weights(made.path)
    types = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(made.path).tensors}
    assert types == mixture(read_header(source), kind)
    for name in ("token_embd.weight", "blk.0.attn_q.weight", "blk.5.ffn_down.weight"):
        error = numpy.sqrt(((after[name] - before[name]) ** 2).mean() / (before[name] ** 2).mean())
        assert error < ERRORS[types[name]], name
    assert numpy.array_equal(after["output_norm.weight"], before["output_norm.weight"])
    assert steps[-1] == (len(types), len(types))
    assert abs(made.size - estimate(read_header(source), kind)) < 4096


def test_what_was_quantized_is_sound_and_says_what_it_is(tmp_path: Path):
    made = quantize(tiny_gguf("small"), tmp_path / "out.gguf", "Q4_K_M")
    header = read_header(made.path)
    verify(header)
    assert header.number("general.file_type") == 15
    assert header.number("general.quantization_version") == 2
    assert header.text("tokenizer.chat_template") == read_header(tiny_gguf("small")).text("tokenizer.chat_template")


def test_the_mixture_is_that_of_llama_cpp():
    # Six layers: llama.cpp's use_more_bits takes those with index 2 and 5.
    types = mixture(read_header(tiny_gguf("small")), "Q4_K_M")
    better = {name for name, kind in types.items() if kind == "Q6_K"}
    assert better == {"token_embd.weight"} | {
        f"blk.{layer}.{part}.weight" for layer in (2, 5) for part in ("attn_v", "ffn_down")
    }
    assert types["blk.0.attn_q.bias"] == "F32"


def test_rows_that_fit_no_k_type_get_the_next_best_and_that_is_said(tmp_path: Path):
    odd = tmp_path / "odd.gguf"
    values = numpy.ones((4, 96), numpy.float32)
    gguf_writer.write(
        odd,
        {"general.architecture": "qwen2", "qwen2.block_count": 1},
        [Tensor("blk.0.attn_q.weight", (4, 96), "F32", lambda: values)],
    )
    header = read_header(odd)
    assert {kind: mixture(header, kind)["blk.0.attn_q.weight"] for kind in KINDS} == {
        "Q8_0": "Q8_0",
        "Q6_K": "Q8_0",
        "Q5_K_M": "Q5_1",
        "Q4_K_M": "Q5_0",
    }
    assert list(fallbacks(header, "Q4_K_M")) == ["1 tensors have rows of 96, no multiple of 256: Q5_0 instead of Q4_K"]


def test_q8_0_can_be_made_smaller_still(tmp_path: Path):
    first = quantize(tiny_gguf("small"), tmp_path / "first.gguf", "Q8_0")
    assert quantize(first.path, tmp_path / "second.gguf", "Q4_K_M").size < first.size


def test_what_is_in_few_bits_already_is_refused(tmp_path: Path):
    first = quantize(tiny_gguf("small"), tmp_path / "first.gguf", "Q4_K_M")
    with pytest.raises(Invalid, match=r"quantized already \(Q4_K, Q6_K\)"):
        quantize(first.path, tmp_path / "second.gguf", "Q6_K")
    assert not (tmp_path / "second.gguf").exists()


def test_weights_that_are_no_numbers_are_refused_and_leave_nothing(tmp_path: Path):
    broken = tmp_path / "broken.gguf"
    header = read_header(tiny_gguf())
    tensors = [
        Tensor(
            one.name,
            tuple(reversed(one.shape)),
            "F32",
            lambda shape=one.shape: numpy.full(tuple(reversed(shape)), numpy.nan, numpy.float32),
        )
        for one in header.tensors
    ]
    gguf_writer.write(broken, copied(header), tensors)
    with pytest.raises(Invalid, match="no numbers"):
        quantize(broken, tmp_path / "out.gguf", "Q8_0")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.gguf"]


def test_unknown_kinds_and_files_that_are_no_models_are_refused(tmp_path: Path):
    with pytest.raises(Invalid, match="no quantization"):
        check(tiny_gguf(), "Q3_K_S")
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(Invalid, match="not a GGUF"):
        quantize(tmp_path / "text.gguf", tmp_path / "out.gguf", "Q8_0")
    own = tmp_path / "own.gguf"
    tiny.write(own)
    with pytest.raises(Invalid, match="the model itself"):
        quantize(own, own, "Q8_0")


def test_a_child_that_is_ended_leaves_nothing(tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "fireside.models.quantize",
        str(tiny_gguf("small")),
        str(tmp_path / "out.gguf"),
        "Q4_K_M",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()  # the first tensor is written
        child.terminate()
    assert child.returncode != 0
    assert list(tmp_path.iterdir()) == []
