"""What is written is what other programs read: the gguf package is the witness."""

from pathlib import Path

import numpy
import pytest
from gguf import GGUFReader, dequantize

from fireside.models.gguf import read_header
from fireside.models.gguf_writer import FROM_FLOATS, Raw, Tensor, copied, write


def test_every_type_of_floats_is_read_back_by_the_gguf_package(tmp_path: Path):
    values = numpy.random.default_rng(0).standard_normal((6, 64)).astype(numpy.float32)
    tensors = [Tensor(kind, values.shape, kind, lambda: values) for kind in FROM_FLOATS]
    write(tmp_path / "a.gguf", {"general.architecture": "test"}, tensors)
    for tensor in GGUFReader(tmp_path / "a.gguf").tensors:
        found = dequantize(tensor.data, tensor.tensor_type).reshape(values.shape)
        allowed = {"F32": 0.0, "F16": 0.002, "BF16": 0.02, "Q8_0": 0.02}[tensor.name]
        assert tensor.tensor_type.name == tensor.name
        assert numpy.abs(found - values).max() <= allowed


def test_bf16_is_rounded_to_the_nearest(tmp_path: Path):
    values = numpy.array([[1.0, 1.0 + 2**-8, 1.0 + 3 * 2**-9, -1.0 - 2**-7]], numpy.float32)
    write(tmp_path / "a.gguf", {}, [Tensor("x", values.shape, "BF16", lambda: values)])
    found = dequantize(*((t := GGUFReader(tmp_path / "a.gguf").tensors[0]).data, t.tensor_type)).ravel().tolist()
    assert found == [1.0, 1.0, 1.0 + 2**-7, -1.0 - 2**-7]


def test_metadata_of_another_file_keeps_its_types(tmp_path: Path):
    told = {"a": "text", "b": True, "c": 7, "d": 0.5, "e": ["x", "ü"], "f": [1, -2]}
    write(tmp_path / "a.gguf", told, [])
    write(tmp_path / "b.gguf", copied(read_header(tmp_path / "a.gguf")), [])
    first, second = read_header(tmp_path / "a.gguf"), read_header(tmp_path / "b.gguf")
    assert dict(first.kinds) == dict(second.kinds)
    assert list(second.metadata["e"]) == ["x", "ü"]
    assert list(second.metadata["f"]) == [1, -2]


def test_a_64_bit_number_and_floats_in_a_list_come_through(tmp_path: Path):
    numbers = b"\x09\0\0\0\x06\0\0\0\x02\0\0\0\0\0\0\0" + numpy.array([1.5, -2.5], "<f4").tobytes()
    large = b"\x0a\0\0\0" + (2**40).to_bytes(8, "little")
    write(tmp_path / "a.gguf", {"list": Raw(numbers), "large": Raw(large)}, [])
    write(tmp_path / "b.gguf", copied(read_header(tmp_path / "a.gguf")), [])
    again = read_header(tmp_path / "b.gguf")
    assert (list(again.metadata["list"]), again.metadata["large"]) == ([1.5, -2.5], 2**40)


def test_bytes_of_the_wrong_length_leave_no_file(tmp_path: Path):
    with pytest.raises(ValueError, match="its shape asks for"):
        write(tmp_path / "a.gguf", {}, [Tensor("x", (2, 32), "Q8_0", lambda: b"short")])
    assert list(tmp_path.iterdir()) == []
