"""Names as users write them, and the family each belongs to."""

import pytest

from fireside.models.families import FAMILIES, family_of
from fireside.models.templates import TEMPLATES

NAMES = [
    ("qwen2.5-coder:7b-base-q4_K_M", "qwen2.5-coder"),
    ("qwen2.5-coder", "qwen2.5-coder"),
    ("Qwen/Qwen2.5-Coder-32B-Instruct", "qwen2.5-coder"),
    ("hf.co/bartowski/Qwen2.5-Coder-14B-Instruct-GGUF:Q4_K_M", "qwen2.5-coder"),
    ("/models/qwen2.5-coder-1.5b-q8_0.gguf", "qwen2.5-coder"),
    ("Qwen2_5_Coder_7B.gguf", "qwen2.5-coder"),
    ("hf.co/unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF:Q4_K_M", "qwen3-coder"),
    ("qwen3-coder:30b", "qwen3-coder"),
    ("qwen3:8b", "qwen3"),
    ("Qwen3-4B-Instruct-2507-Q4_K_M.gguf", "qwen3"),
    ("qwen2:7b", "qwen2"),
    ("qwq:32b", "qwq"),
    ("codeqwen:7b-code", "codeqwen"),
    ("/path/deepseek-coder-6.7b-instruct.Q4_K_M.gguf", "deepseek-coder"),
    ("deepseek-coder:1.3b-base", "deepseek-coder"),
    ("deepseek-coder-v2:16b-lite-base-q4_0", "deepseek-coder-v2"),
    ("DeepSeek-Coder-V2-Lite-Instruct-Q4_K_M.gguf", "deepseek-coder-v2"),
    ("deepseek-r1:8b", "deepseek-r1-distill"),
    ("DeepSeek-R1-Distill-Qwen-7B-Q4_K_M", "deepseek-r1-distill"),
    ("deepseek-r1:671b", "deepseek-v3"),
    ("deepseek-v3", "deepseek-v3"),
    ("codellama:7b-code", "codellama"),
    ("CodeLlama-13b-Instruct-hf.Q5_K_M.gguf", "codellama"),
    ("phind-codellama:34b-v2", "codellama"),
    ("starcoder2:3b", "starcoder2"),
    ("bigcode/starcoder2-15b-instruct-v0.1", "starcoder2"),
    ("starcoder:7b", "starcoder"),
    ("bigcode/tiny_starcoder_py", "starcoder"),
    ("codestral:22b", "codestral"),
    ("Codestral-22B-v0.1-Q4_K_M.gguf", "codestral"),
    ("codegemma:2b-code", "codegemma"),
    ("codegemma:7b-instruct", "codegemma"),
    ("JetBrains/Mellum-4b-base", "mellum"),
    ("Seed-Coder-8B-Base", "seed-coder"),
    ("stable-code:3b", "stable-code"),
    ("yi-coder:9b-chat", "yi-coder"),
    ("granite-code:8b", "granite-code"),
    ("granite-3b-code-instruct-128k", "granite-code"),
    ("granite3.3:8b", "granite"),
    ("granite4:350m-h-base-q4_K_S", "granite4"),
    ("gpt-oss:20b", "gpt-oss"),
    ("openai/gpt-oss-20b", "gpt-oss"),
    ("devstral:24b", "devstral"),
    ("mistral-small3.2:24b", "mistral-small"),
    ("mistral:7b-instruct-v0.3", "mistral"),
    ("Mixtral-8x7B-Instruct-v0.1", "mistral"),
    ("gemma3:4b", "gemma"),
    ("gemma-2-9b-it-Q4_K_M.gguf", "gemma"),
    ("phi4:14b", "phi4"),
    ("phi4-mini", "phi4-mini"),
    ("phi3.5:3.8b-mini-instruct-fp16", "phi3"),
    ("llama3.1:8b", "llama3.1"),
    ("Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "llama3.1"),
    ("llama3.2:3b", "llama3.1"),
    ("Meta-Llama-3-8B-Instruct", "llama3"),
    ("llama2:13b", "llama2"),
    ("nomic-embed-text:latest", "embedding"),
    ("qwen3-embedding:0.6b", "embedding"),
    ("bge-m3", "embedding"),
    ("all-minilm:33m", "embedding"),
    ("Qwen3-Reranker-0.6B", "reranker"),
    ("C:\\models\\qwen3-8b.gguf", "qwen3"),
    ("something-else", ""),
    ("", ""),
]


@pytest.mark.parametrize(("name", "family"), NAMES)
def test_a_name_tells_the_family(name: str, family: str):
    assert family_of(name).name == family


@pytest.mark.parametrize(
    ("architecture", "template", "family"),
    [
        ("qwen2", "<|im_start|>", "qwen2"),
        ("qwen3moe", "", "qwen3"),
        ("llama", "<|start_header_id|>", "llama3"),
        ("llama", "<|im_start|>", "chatml"),
        ("llama", "[INST]", "mistral"),
        ("gemma2", "", "gemma"),
        ("gpt-oss", "<|channel|>", "gpt-oss"),
        ("nomic-bert", "", "embedding"),
        ("llama", "", ""),
    ],
)
def test_architecture_and_template_tell_when_the_name_does_not(architecture: str, template: str, family: str):
    assert family_of("my-model", architecture, template).name == family


@pytest.mark.parametrize(
    ("name", "chats"),
    [
        ("qwen2.5-coder:7b", True),
        ("qwen2.5-coder:7b-base", False),
        ("qwen2.5-coder:7b-instruct-q4_K_M", True),
        ("codellama:7b-code", False),
        ("granite-code:8b", True),
        ("stable-code:3b", True),
        ("Seed-Coder-8B-Base.gguf", False),
        ("starcoder2:3b", False),
        ("starcoder2:15b-instruct", True),
        ("gemma-2-9b-it", True),
        ("nomic-embed-text", False),
    ],
)
def test_base_models_do_not_chat(name: str, chats: bool):
    assert ("chat" in family_of(name).capabilities) is chats


@pytest.mark.parametrize(
    "name", ["codellama:34b", "codellama:7b-python", "phind-codellama:34b", "llama3.1", "gpt-oss:20b"]
)
def test_models_never_trained_for_it_do_not_fill_in_the_middle(name: str):
    family = family_of(name)
    assert family.fim is None
    assert "fim" not in family.capabilities


@pytest.mark.parametrize(
    ("name", "prefix", "suffix", "middle", "order"),
    [
        ("qwen2.5-coder", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "psm"),
        ("qwen3-coder", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "psm"),
        ("deepseek-coder", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "psm"),
        ("deepseek-coder-v2", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", "psm"),
        ("codellama", "<PRE> ", " <SUF>", " <MID>", "psm"),
        ("starcoder", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "psm"),
        ("starcoder2", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "psm"),
        ("granite-code", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "psm"),
        ("codestral", "[PREFIX]", "[SUFFIX]", "", "spm"),
        ("codegemma", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "psm"),
        ("seed-coder", "<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>", "spm"),
    ],
)
def test_the_fill_in_the_middle_tokens_are_the_authors(name: str, prefix: str, suffix: str, middle: str, order: str):
    fim = family_of(name).fim
    assert fim is not None
    assert (fim.prefix, fim.suffix, fim.middle, fim.order) == (prefix, suffix, middle, order)
    assert fim.stop


def test_every_family_is_whole():
    for _, family in FAMILIES:
        assert family.template in TEMPLATES
        assert ("fim" in family.capabilities) == (family.fim is not None)
        assert family.context_window > 0
    names = [family.name for _, family in FAMILIES]
    assert len(names) == len(set(names))
