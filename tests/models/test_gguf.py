"""What a GGUF says about its model: contradictions llama.cpp would die on, and the card."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from fireside.core.errors import Invalid
from fireside.models import gguf, gguf_writer, tiny
from fireside.models.gguf_writer import Tensor, Value


def parts(size: tiny.Size = "tiny") -> tuple[dict[str, Value], list[Tensor]]:
    shape = tiny.SHAPES[size]
    return tiny._metadata(shape, size, "F16"), list(tiny._tensors(shape, 0, "F16"))


def problem(path: Path, metadata: dict[str, Value], tensors: Sequence[Tensor]) -> str:
    header = gguf.read_header(gguf_writer.write(path / "m.gguf", metadata, tensors))
    with pytest.raises(Invalid) as caught:
        gguf.verify(header)
    return caught.value.message


MISSING = object()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("general.architecture", MISSING, "names no architecture"),
        ("general.type", "adapter", "LoRA adapter"),
        ("general.architecture", "clip", "projector"),
        ("qwen2.context_length", MISSING, "does not say qwen2.context_length"),
        ("qwen2.context_length", 0, "impossible qwen2.context_length 0"),
        ("qwen2.context_length", 2**31, "impossible qwen2.context_length"),
        ("qwen2.context_length", "many", "32-bit whole number"),
        ("qwen2.embedding_length", 512, "embedding length 512, but token_embd.weight"),
        ("qwen2.block_count", 3, "block 2 has no tensors"),
        ("qwen2.block_count", 1, "has tensors of block 1"),
        ("qwen2.block_count", 10_000, "impossible qwen2.block_count"),
        ("qwen2.attention.head_count", 3, "do not divide"),
        ("qwen2.attention.head_count", 0, "no attention heads"),
        ("qwen2.attention.head_count_kv", 3, "key-value heads do not divide"),
        ("qwen2.attention.head_count_kv", 4, "blk.0.attn_k.weight in the shape [256, 128]"),
        ("qwen2.feed_forward_length", MISSING, "does not say qwen2.feed_forward_length"),
        ("qwen2.feed_forward_length", 512, "blk.0.ffn_gate.weight in the shape"),
        ("qwen2.rope.freq_base", 0.0, "impossible qwen2.rope.freq_base"),
        ("qwen2.rope.freq_base", math.inf, "impossible qwen2.rope.freq_base inf"),
        ("qwen2.rope.dimension_count", 7, "rotates 7 dimensions"),
        ("qwen2.attention.layer_norm_rms_epsilon", -1e-6, "impossible"),
        ("qwen2.attention.layer_norm_rms_epsilon", MISSING, "does not say"),
        ("qwen2.expert_used_count", 4, "uses 4 of 0 experts"),
        ("tokenizer.ggml.model", MISSING, "has no tokenizer"),
        ("tokenizer.ggml.tokens", MISSING, "tokenizer without tokens"),
        ("tokenizer.ggml.tokens", ["a", "b"], "1,024 entries in tokenizer.ggml.token_type"),
        ("tokenizer.ggml.token_type", ["a", "b"], "does not hold a list of 32-bit integers"),
        ("tokenizer.ggml.merges", MISSING, "without merges"),
        ("tokenizer.ggml.merges", [1, 2], "does not hold a list of texts"),
        ("tokenizer.ggml.eos_token_id", "end", "does not hold a token's number"),
        ("tokenizer.chat_template", 7, "chat template that is not text"),
    ],
)
def test_a_contradiction_in_the_metadata_is_named(tmp_path: Path, key: str, value: Value, words: str):
    metadata, tensors = parts()
    metadata.pop(key, None)
    if value is not MISSING:
        metadata[key] = value
    assert words in problem(tmp_path, metadata, tensors)


def test_a_token_that_stands_twice_is_named_because_llama_cpp_aborts_on_it(tmp_path: Path):
    metadata, tensors = parts()
    tokens = list(metadata["tokenizer.ggml.tokens"])  # type: ignore[arg-type]
    tokens[900] = tokens[500]
    assert "token 900 twice" in problem(tmp_path, metadata | {"tokenizer.ggml.tokens": tokens}, tensors)


def test_a_vocabulary_that_does_not_fit_the_embedding_is_named(tmp_path: Path):
    metadata, tensors = parts()
    tokens = [*metadata["tokenizer.ggml.tokens"], "extra"]  # type: ignore[misc]
    types = [*metadata["tokenizer.ggml.token_type"], 1]  # type: ignore[misc]
    more = metadata | {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}
    assert "vocabulary of 1,025 tokens" in problem(tmp_path, more, tensors)


@pytest.mark.parametrize(
    "name", ["token_embd.weight", "output_norm.weight", "blk.1.attn_q.weight", "blk.0.ffn_up.weight"]
)
def test_a_missing_tensor_is_named(tmp_path: Path, name: str):
    metadata, tensors = parts()
    assert name in problem(tmp_path, metadata, [tensor for tensor in tensors if tensor.name != name])


def test_a_vocabulary_without_weights_is_not_a_model(tmp_path: Path):
    metadata, _ = parts()
    assert "vocabulary without weights" in problem(tmp_path, metadata, [])


def test_a_file_this_room_has_no_opinion_on_passes(tmp_path: Path):
    metadata, tensors = parts()
    other = {key.replace("qwen2.", "newarch."): value for key, value in metadata.items()}
    other["general.architecture"] = "newarch"
    kept = [tensor for tensor in tensors if "ffn" not in tensor.name]
    gguf.verify(gguf.read_header(gguf_writer.write(tmp_path / "m.gguf", other, kept)))


def test_the_card_of_a_small_model_tells_everything(tmp_path: Path):
    path = tiny.write(tmp_path / "tiny.gguf")
    card = gguf.card(path, engine="embedded")
    assert (card.name, card.engine, card.family) == ("tiny", "embedded", "qwen2")
    assert card.context_window == 8192
    assert card.capabilities == {"chat", "tools", "fim", "json_schema"}
    assert card.quantization == "F16"
    assert card.parameters == 1_247_488
    assert card.size == path.stat().st_size
    assert card.fim is not None
    assert (card.fim.prefix, card.fim.file, card.fim.order) == ("<|fim_prefix|>", "<|file_sep|>", "psm")
    assert {"<|im_end|>", "<|endoftext|>"} <= set(card.fim.stop)


def test_the_name_the_user_gives_decides_the_family(tmp_path: Path):
    card = gguf.card(tiny.write(tmp_path / "x.gguf"), engine="e", name="qwen2.5-coder:0.5b")
    assert (card.name, card.family) == ("qwen2.5-coder:0.5b", "qwen2.5-coder")


def test_the_older_keys_for_fill_in_the_middle_are_understood(tmp_path: Path):
    metadata, tensors = parts()
    for old, new in (("prefix", "fim_pre"), ("suffix", "fim_suf"), ("middle", "fim_mid")):
        metadata[f"tokenizer.ggml.{old}_token_id"] = metadata.pop(f"tokenizer.ggml.{new}_token_id")
    fim = gguf.card(gguf_writer.write(tmp_path / "m.gguf", metadata, tensors), engine="e").fim
    assert fim is not None
    assert (fim.prefix, fim.suffix, fim.middle) == ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


def test_a_model_of_our_own_says_that_its_prefix_and_middle_are_one_text(tmp_path: Path):
    metadata, tensors = parts()
    told = metadata | {"fireside.fim_order": "joined"}
    fim = gguf.card(gguf_writer.write(tmp_path / "m.gguf", told, tensors), engine="e").fim
    assert fim is not None
    assert (fim.order, fim.prefix) == ("joined", "<|fim_prefix|>")


def without_fim_numbers() -> tuple[dict[str, Value], list[Tensor]]:
    metadata, tensors = parts()
    return {key: value for key, value in metadata.items() if "fim_" not in key}, tensors


def test_without_numbers_in_the_file_the_familys_tokens_count_if_the_vocabulary_has_them(tmp_path: Path):
    path = gguf_writer.write(tmp_path / "m.gguf", *without_fim_numbers())
    qwen = gguf.card(path, engine="e", name="qwen2.5-coder")
    assert qwen.fim is not None
    assert qwen.can("fim")
    assert gguf.card(path, engine="e", name="codellama:7b").fim is None


def test_a_model_without_a_chat_template_chats_only_if_its_family_does(tmp_path: Path):
    metadata, tensors = parts()
    del metadata["tokenizer.chat_template"]
    path = gguf_writer.write(tmp_path / "m.gguf", metadata, tensors)
    assert gguf.card(path, engine="e", name="qwen2.5-coder:7b-base").capabilities == {"fim", "json_schema"}
    assert gguf.card(path, engine="e", name="qwen2.5-coder:7b").can("chat")


def test_a_thinking_template_and_a_pooling_type_show_on_the_card(tmp_path: Path):
    metadata, tensors = parts()
    metadata["tokenizer.chat_template"] = "{% if enable_thinking %}<think>{% endif %}"
    thinking = gguf.card(gguf_writer.write(tmp_path / "t.gguf", metadata, tensors), engine="e")
    assert thinking.can("thinking")
    assert not thinking.can("tools")
    del metadata["tokenizer.chat_template"]
    embedding = gguf_writer.write(tmp_path / "e.gguf", metadata | {"qwen2.pooling_type": 3}, tensors)
    assert gguf.card(embedding, engine="e").capabilities == {"embed"}


def test_quantization_comes_from_the_weights_when_the_file_does_not_say(tmp_path: Path):
    metadata = tiny._metadata(tiny.SHAPES["tiny"], "tiny", "Q8_0")
    del metadata["general.file_type"]
    tensors = list(tiny._tensors(tiny.SHAPES["tiny"], 0, "Q8_0"))
    assert gguf.quantization(gguf.read_header(gguf_writer.write(tmp_path / "m.gguf", metadata, tensors))) == "Q8_0"
