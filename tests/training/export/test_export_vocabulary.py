"""A tokenizer as the GGUF tells it, read from its files alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from fireside.core.errors import Invalid
from fireside.training.export.vocabulary import CONTROL, NORMAL, UNUSED, USER_DEFINED, metadata
from support.checkpoints import VOCABULARY, tokenizer_json, write_tokenizer


def changed(folder: Path, **parts: Any) -> Path:
    write_tokenizer(folder)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json() | parts))
    return folder


def test_special_tokens_ends_and_fill_in_the_middle_are_told_by_number(tmp_path: Path):
    write_tokenizer(tmp_path)
    told = metadata(tmp_path, VOCABULARY)
    tokens = told["tokenizer.ggml.tokens"]
    assert (told["tokenizer.ggml.model"], told["tokenizer.ggml.pre"]) == ("gpt2", "qwen2")
    named = {
        key: tokens[told[f"tokenizer.ggml.{key}_token_id"]] for key in ("eos", "eot", "padding", "fim_pre", "fim_sep")
    }
    assert named == {
        "eos": "<|endoftext|>",
        "eot": "<|im_end|>",
        "padding": "<|fim_pad|>",
        "fim_pre": "<|fim_prefix|>",
        "fim_sep": "<|file_sep|>",
    }
    assert told["tokenizer.ggml.add_bos_token"] is False
    kinds = dict(zip(tokens, told["tokenizer.ggml.token_type"], strict=True))
    assert (kinds["<|im_end|>"], kinds["<think>"], kinds["e"]) == (CONTROL, USER_DEFINED, NORMAL)


def test_merges_are_understood_in_either_form(tmp_path: Path):
    write_tokenizer(tmp_path / "new")
    write_tokenizer(tmp_path / "old")
    (tmp_path / "old" / "tokenizer.json").write_text(json.dumps(tokenizer_json(pairs=False)))
    told = [metadata(tmp_path / name, VOCABULARY)["tokenizer.ggml.merges"] for name in ("new", "old")]
    assert told[0] == told[1]
    assert " " in told[0][0]


def test_rows_without_a_token_are_filled(tmp_path: Path):
    write_tokenizer(tmp_path)
    told = metadata(tmp_path, VOCABULARY + 2)
    assert told["tokenizer.ggml.tokens"][-1] == f"[PAD{VOCABULARY + 1}]"
    assert told["tokenizer.ggml.token_type"][-1] == UNUSED


def test_our_own_order_of_fill_in_the_middle_is_told_and_only_ours(tmp_path: Path):
    write_tokenizer(tmp_path / "ours", fireside_fim_order="joined")
    write_tokenizer(tmp_path / "theirs")
    assert metadata(tmp_path / "ours", VOCABULARY)["fireside.fim_order"] == "joined"
    assert "fireside.fim_order" not in metadata(tmp_path / "theirs", VOCABULARY)


def test_a_beginning_of_text_is_added_where_the_template_says_so(tmp_path: Path):
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}]}
    changed(tmp_path, post_processor=template)
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"})
    )
    told = metadata(tmp_path, VOCABULARY)
    assert (told["tokenizer.ggml.add_bos_token"], told["tokenizer.ggml.bos_token_id"]) == (True, 1)


def test_a_chat_template_is_carried_over_from_either_place(tmp_path: Path):
    write_tokenizer(tmp_path, chat_template="{{ messages }}")
    assert metadata(tmp_path, VOCABULARY)["tokenizer.chat_template"] == "{{ messages }}"
    (tmp_path / "chat_template.jinja").write_text("{{ newer }}")
    assert metadata(tmp_path, VOCABULARY)["tokenizer.chat_template"] == "{{ newer }}"


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ({"model": {"type": "Unigram", "vocab": []}}, "no byte-level BPE"),
        ({"model": {"type": "BPE", "byte_fallback": True}}, "no byte-level BPE"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, "in a way of its own"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "a blank before every text"),
        ({"pre_tokenizer": {"type": "ByteLevel", "use_regex": False}}, "does not split"),
        (
            {
                "pre_tokenizer": {
                    "type": "Sequence",
                    "pretokenizers": [{"type": "Split", "pattern": {"Regex": "x"}}, {"type": "ByteLevel"}],
                }
            },
            "an expression llama.cpp does not know",
        ),
    ],
)
def test_a_tokenizer_llama_cpp_would_understand_otherwise_is_refused(tmp_path: Path, part: dict[str, Any], why: str):
    with pytest.raises(Invalid, match=why):
        metadata(changed(tmp_path, **part), VOCABULARY)


def test_files_that_are_missing_or_damaged_are_named(tmp_path: Path):
    with pytest.raises(Invalid, match=r"no tokenizer\.json"):
        metadata(tmp_path, VOCABULARY)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(Invalid, match=r"tokenizer\.json cannot be read"):
        metadata(tmp_path, VOCABULARY)
    write_tokenizer(tmp_path)
    with pytest.raises(Invalid, match="and the model 100 rows"):
        metadata(tmp_path, 100)


def test_a_model_that_never_ends_is_refused(tmp_path: Path):
    write_tokenizer(tmp_path, eos_token=None)
    with pytest.raises(Invalid, match="which token ends a text"):
        metadata(tmp_path, VOCABULARY)
