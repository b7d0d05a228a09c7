"""Whatever bytes a file holds, reading it ends soon, with a header or with one line that says what is wrong."""

import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fireside.core.errors import Invalid
from fireside.models import tiny
from fireside.models.gguf import card, read_header, verify


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


def pack(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def opening(*, version: int = 3, tensors: int = 0, pairs: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


def refusal(path: Path, data: bytes, *, name: str = "model.gguf") -> Invalid:
    (path / name).write_bytes(data)
    with pytest.raises(Invalid) as caught:
        read_header(path / name)
    return caught.value


def test_a_sound_file_is_read_whole(model: Path):
    header = read_header(model)
    verify(header)
    assert (header.version, header.architecture, header.alignment) == (3, "qwen2", 32)
    assert header.number("qwen2.embedding_length") == 256
    assert header.size == model.stat().st_size
    assert header.tensors[0].name == "token_embd.weight"
    assert header.tensors[0].shape == (256, 1024)
    last = header.tensors[-1]
    assert header.data_start + last.offset + last.bytes == header.size


def test_lists_are_counted_without_being_built_and_read_when_asked(model: Path):
    tokens = read_header(model).array("tokenizer.ggml.tokens")
    assert tokens is not None
    assert len(tokens) == 1024
    everything = list(tokens)
    assert everything[:2] == ["<|endoftext|>", "<|im_start|>"]
    assert tokens.pick([1, 700, 1023, 5000]) == {1: everything[1], 700: everything[700], 1023: everything[1023]}
    assert tokens.holds("<|im_start|>")
    assert not tokens.holds("im_start")


def test_a_header_longer_than_the_first_read_is_read_on(tmp_path: Path):
    texts = [f"token {index} {'x' * 40}" for index in range(40_000)]
    entry = pack("words") + struct.pack("<IIQ", 9, 8, len(texts)) + b"".join(map(pack, texts))
    numbers = pack("numbers") + struct.pack("<IIQ3i", 9, 5, 3, -1, 0, 1)
    path = tmp_path / "long.gguf"
    path.write_bytes(opening(pairs=2) + entry + numbers)
    header = read_header(path)
    assert list(header.array("words") or ()) == texts
    assert list(header.array("numbers") or ()) == [-1, 0, 1]


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git-lfs pointer"),
        (b"<!DOCTYPE html><html><title>Sign in</title>", "web page"),
        (b"\n<html>", "web page"),
        (b'{"error": "Invalid credentials"}', "JSON"),
        (b"PK\x03\x04" + bytes(30), "zip archive"),
        (b"PK\x03\x04" + bytes(26) + b"archive/data.pkl", "PyTorch"),
        (b"\x80\x02\x8a\x0al\xfc", "PyTorch"),
        (struct.pack("<Q", 500) + b'{"model.embed_tokens.weight":{}}', "safetensors"),
        (b"tjgg\x03\x00\x00\x00", "old GGML"),
        (b"\x1f\x8b\x08", "gzip"),
        (bytes(64), "zeros"),
        (b"GG", "ends after 2 bytes"),
        (b"What is this?", "begins with 'What'"),
    ],
)
def test_what_is_not_a_gguf_is_named(tmp_path: Path, start: bytes, words: str):
    error = refusal(tmp_path, start)
    assert words in error.message
    assert error.remedy


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path):
    with pytest.raises(Invalid, match="does not exist"):
        read_header(tmp_path / "nothing.gguf")
    with pytest.raises(Invalid, match="is a folder"):
        read_header(tmp_path)


TENSOR = pack("weights") + struct.pack("<IQQIQ", 2, 32, 4, 0, 0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GGUF", "truncated"),
        (opening(version=1), "version 1"),
        (opening(version=77), "version 77"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (opening(tensors=2**60), "more than its"),
        (opening(pairs=2**63), "more than its"),
        (opening(pairs=1) + struct.pack("<Q", 2**62) + bytes(40), "bytes long"),
        (opening(pairs=1) + pack("key") + struct.pack("<I", 99) + bytes(40), "unknown type 99"),
        (opening(pairs=1) + pack("key") + struct.pack("<IIQ", 9, 8, 2**61) + bytes(40), "more than the file has room"),
        (opening(pairs=1) + pack("key") + struct.pack("<IIQ", 9, 9, 1) + bytes(40), "list of lists"),
        (opening(pairs=1) + pack("key") + struct.pack("<IIQ", 9, 8, 3) + pack("a") + bytes(7), "key"),
        (opening(pairs=1) + pack("key") + struct.pack("<IIQQ", 9, 8, 2, 2**63) + bytes(40), "past the end"),
        (opening(pairs=2) + 2 * (pack("key") + struct.pack("<II", 4, 1)), "twice"),
        (opening(pairs=1) + pack("a\nb") + struct.pack("<II", 4, 1), "damaged name"),
        (opening(pairs=1) + pack("general.alignment") + struct.pack("<II", 4, 0), "power of two"),
        (opening(pairs=1) + pack("general.alignment") + struct.pack("<II", 4, 12), "power of two"),
        (opening(tensors=2) + TENSOR + TENSOR + bytes(1024), "weights twice"),
        (opening(tensors=1) + pack("w") + struct.pack("<IQQ", 9, 1, 1) + bytes(64), "9 dimensions"),
        (opening(tensors=1) + pack("w") + struct.pack("<IQIQ", 1, 32, 99, 0) + bytes(64), "type 99"),
        (opening(tensors=1) + pack("w") + struct.pack("<IQIQ", 1, 0, 0, 0) + bytes(64), "empty tensor w"),
        (opening(tensors=1) + pack("w") + struct.pack("<IQIQ", 1, 33, 8, 0) + bytes(64), "Q8_0 comes in 32s"),
        (opening(tensors=1) + pack("w") + struct.pack("<IQQIQ", 2, 2**40, 2**40, 0, 0) + bytes(64), "impossible shape"),
        (opening(tensors=1) + pack("w") + struct.pack("<IQIQ", 1, 4, 0, 7) + bytes(64), "not aligned"),
        (opening(tensors=1) + pack("w") + struct.pack("<IQIQ", 1, 4, 0, 64) + bytes(999), "out of place"),
        (opening(tensors=1) + pack("w") + struct.pack("<IQIQ", 1, 4096, 0, 0) + bytes(999), "w ends at byte"),
    ],
)
def test_a_damaged_header_is_refused_with_what_is_wrong_and_where(tmp_path: Path, data: bytes, words: str):
    error = refusal(tmp_path, data)
    assert words in error.message
    assert "byte" in error.message
    assert "\n" not in error.message


def test_a_file_name_with_a_line_break_makes_no_second_line(tmp_path: Path):
    assert "\n" not in refusal(tmp_path, b"nonsense", name="a\nb.gguf").message


def judged(path: Path) -> bool:
    """Read, verify and make a card; False when refused. Anything but a result or ``Invalid`` is a fault of ours."""
    try:
        verify(read_header(path))
        card(path, engine="test")
    except Invalid as error:
        refused = error
    else:
        return True
    assert refused.message
    assert refused.message.isprintable()
    assert len(refused.message) < 600
    return False


def corrupted(data: bytes, end: int, rng: random.Random) -> bytes:
    """``data`` with one kind of damage within its first ``end`` bytes."""
    damaged = bytearray(data)
    place = rng.randrange(4, end - 8)
    match rng.randrange(6):
        case 0:
            damaged[place] ^= 1 << rng.randrange(8)
        case 1:
            del damaged[place:]
        case 2:
            damaged[place : place + rng.randrange(1, 64)] = rng.randbytes(rng.randrange(64))
        case 3:
            damaged[place : place + 8] = struct.pack("<Q", rng.choice([2**63, 2**64 - 1, 2**32, 2**31 - 1, 2**20, 0]))
        case 4:
            for _ in range(rng.randrange(2, 30)):
                damaged[rng.randrange(4, end)] = rng.randrange(256)
        case _:
            at = rng.randrange(8, 24)
            damaged[at] = rng.randrange(256)
    return bytes(damaged)


def test_two_hundred_random_damages_end_in_a_header_or_one_plain_line(model: Path, tmp_path: Path):
    data = model.read_bytes()
    end = read_header(model).data_start
    path = tmp_path / "damaged.gguf"
    refused = 0
    for seed in range(200):
        path.write_bytes(corrupted(data, end, random.Random(seed)))
        refused += not judged(path)
    # The rest changed only the text of the chat template or the spelling of a merge, which no reader can tell from intent.
    assert refused >= 140


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_any_bytes_after_the_magic_are_survived(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    path = tmp_path_factory.getbasetemp() / "any.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + data)
    judged(path)


@given(st.lists(st.tuples(st.integers(4, 1500), st.binary(min_size=1, max_size=9)), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_any_bytes_written_over_a_real_header_are_survived(
    tmp_path_factory: pytest.TempPathFactory, model: Path, patches: list[tuple[int, bytes]]
):
    data = bytearray(model.read_bytes())
    for place, patch in patches:
        data[place : place + len(patch)] = patch
    path = tmp_path_factory.getbasetemp() / "patched.gguf"
    path.write_bytes(data)
    judged(path)
