import struct
from pathlib import Path

import numpy
import pytest

from fireside.models import gguf_writer, tiny


def test_the_same_seed_writes_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    first = tiny.write(tmp_path / "a.gguf", seed=1).read_bytes()
    assert tiny.write(tmp_path / "b.gguf", seed=1).read_bytes() == first
    assert tiny.write(tmp_path / "c.gguf", seed=2).read_bytes() != first


@pytest.mark.parametrize("size", tiny.SHAPES)
def test_every_merge_joins_two_tokens_into_a_third(size: tiny.Size) -> None:
    tokens, merges = tiny.vocabulary(tiny.SHAPES[size].vocabulary)
    assert len(tokens) == len(set(tokens)) == tiny.SHAPES[size].vocabulary
    known = set(tokens)
    for merge in merges:
        left, right = merge.split(" ")
        assert {left, right, left + right} <= known


def test_q8_0_keeps_every_value_within_half_a_step() -> None:
    values = numpy.random.default_rng(0).standard_normal((4, 64), dtype=numpy.float32)
    values[0, :32] = 0
    packed = gguf_writer.pack(values, "Q8_0")
    blocks = numpy.array([struct.unpack_from("<e32b", packed, offset) for offset in range(0, len(packed), 34)])
    restored = (blocks[:, :1] * blocks[:, 1:]).reshape(values.shape)
    step = numpy.abs(values.reshape(-1, 32)).max(axis=1).max() / 127
    assert numpy.abs(restored - values).max() <= step * 0.6


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    def explode() -> numpy.ndarray:
        raise MemoryError

    tensor = gguf_writer.Tensor("token_embd.weight", (4, 32), "F16", explode)
    with pytest.raises(MemoryError):
        gguf_writer.write(tmp_path / "x.gguf", {"general.architecture": "qwen2"}, [tensor])
    assert list(tmp_path.iterdir()) == []
