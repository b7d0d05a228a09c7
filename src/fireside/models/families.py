"""Which family a model belongs to, told from its name, architecture and chat template; and what that family can do.

A family fixes the fill-in-the-middle tokens, the chat format and the stop texts. It knows no file and no engine: where a GGUF says
these things itself, the file is believed (see ``gguf.card``).

Fill-in-the-middle formats, each as its authors document it:
- Qwen2.5-Coder technical report (arXiv 2409.12186), section 3; Qwen3-Coder's README, "Fill in the middle".
- DeepSeek-Coder (arXiv 2401.14196), README "Code Insertion"; V2 keeps the tokens.
- Code Llama (arXiv 2308.12950), section 2.3; only the 7B and 13B base and instruct models were trained for it.
- StarCoder (arXiv 2305.06161) and StarCoder 2 (arXiv 2402.19173); Granite Code, Granite 3 and Stable Code use the same words.
- Codestral: mistral-common's FIM encoding, suffix first. CodeGemma (arXiv 2406.11409). Seed-Coder (arXiv 2506.03524), suffix first.
- Mellum's model card (JetBrains), suffix first.
"""

import re
from dataclasses import dataclass

from fireside.core.values import replace
from fireside.models.card import Capability, FimTokens
from fireside.models.templates import Template

QWEN_FIM = FimTokens(
    prefix="<|fim_prefix|>",
    suffix="<|fim_suffix|>",
    middle="<|fim_middle|>",
    pad="<|fim_pad|>",
    repo="<|repo_name|>",
    file="<|file_sep|>",
    stop=("<|endoftext|>", "<|im_end|>"),
)
DEEPSEEK_FIM = FimTokens(
    prefix="<｜fim▁begin｜>", suffix="<｜fim▁hole｜>", middle="<｜fim▁end｜>", stop=("<｜end▁of▁sentence｜>", "<|EOT|>")
)
# The blanks belong to the tokens: SentencePiece has them as "▁<PRE>", "▁<SUF>" and "▁<MID>".
CODELLAMA_FIM = FimTokens(prefix="<PRE> ", suffix=" <SUF>", middle=" <MID>", stop=("<EOT>", "</s>"))
STARCODER_FIM = FimTokens(
    prefix="<fim_prefix>",
    suffix="<fim_suffix>",
    middle="<fim_middle>",
    pad="<fim_pad>",
    repo="<reponame>",
    file="<filename>",
    stop=("<|endoftext|>",),
)
STARCODER2_FIM = replace(STARCODER_FIM, repo="<repo_name>", file="<file_sep>")
CODESTRAL_FIM = FimTokens(prefix="[PREFIX]", suffix="[SUFFIX]", middle="", order="spm", stop=("</s>",))
CODEGEMMA_FIM = FimTokens(
    prefix="<|fim_prefix|>",
    suffix="<|fim_suffix|>",
    middle="<|fim_middle|>",
    file="<|file_separator|>",
    stop=("<eos>", "<end_of_turn>"),
)
GRANITE_FIM = replace(STARCODER_FIM, repo="", file="", stop=("<|end_of_text|>", "<|endoftext|>"))
GRANITE4_FIM = FimTokens(
    prefix="<|fim_prefix|>",
    suffix="<|fim_suffix|>",
    middle="<|fim_middle|>",
    pad="<|fim_pad|>",
    repo="<|reponame|>",
    file="<|filename|>",
    stop=("<|end_of_text|>",),
)
SEED_FIM = FimTokens(
    prefix="<[fim-prefix]>",
    suffix="<[fim-suffix]>",
    middle="<[fim-middle]>",
    order="spm",
    stop=("<[end▁of▁sentence]>",),
)
MELLUM_FIM = replace(STARCODER_FIM, repo="<reponame>", order="spm")
CODEQWEN_FIM = replace(STARCODER2_FIM, repo="<reponame>")

CHAT: frozenset[Capability] = frozenset(("chat", "json_schema"))
TOOLS: frozenset[Capability] = CHAT | {"tools"}
THINKING: frozenset[Capability] = TOOLS | {"thinking"}
REASONING: frozenset[Capability] = CHAT | {"thinking"}
NONE: frozenset[Capability] = frozenset()
EMBED: frozenset[Capability] = frozenset(("embed",))


@dataclass(frozen=True, slots=True)
class Family:
    """``capabilities``: what its models can do unless their file says otherwise; ``stop``: texts that end a chat answer.

    ``context_window``: tokens its smaller models were trained for (0 = unknown). ``coder``: trained for code above all.
    """

    name: str
    template: Template = "plain"
    fim: FimTokens | None = None
    stop: tuple[str, ...] = ()
    capabilities: frozenset[Capability] = NONE
    context_window: int = 0
    coder: bool = False


CHATML_STOP = ("<|im_end|>", "<|endoftext|>")
LLAMA3_STOP = ("<|eot_id|>", "<|end_of_text|>", "<|eom_id|>")
GEMMA_STOP = ("<end_of_turn>", "<eos>")
DEEPSEEK_STOP = ("<｜end▁of▁sentence｜>",)
UNKNOWN = Family("", "plain", capabilities=CHAT)


def _family(
    name: str,
    template: Template,
    capabilities: frozenset[Capability],
    stop: tuple[str, ...],
    *,
    context: int,
    fim: FimTokens | None = None,
    coder: bool | None = None,
) -> Family:
    coder = fim is not None if coder is None else coder
    if fim is not None:
        capabilities |= {"fim"}
    return Family(name, template, fim, stop, capabilities, context, coder)


R1_DISTILLED = r"deepseek-?r1-distill|deepseek-?r1(-\d+)?:(1\.5|7|8|14|32|70)b"

# In order: the first pattern found in the name decides, so what is special stands before what is general.
# fmt: off
FAMILIES: tuple[tuple[str, Family], ...] = (
    (r"rerank", _family("reranker", "plain", NONE, (), context=8192)),
    (r"embed|minilm|jina|(^|-)(bge|gte|e5)-", _family("embedding", "plain", EMBED, (), context=2048)),
    (R1_DISTILLED, _family("deepseek-r1-distill", "deepseek3", REASONING, DEEPSEEK_STOP, context=131072)),
    (r"deepseek-?coder-?v2", _family("deepseek-coder-v2", "deepseek2", CHAT, DEEPSEEK_STOP, context=163840, fim=DEEPSEEK_FIM)),
    (r"deepseek-?coder", _family("deepseek-coder", "deepseek", CHAT, ("<|EOT|>", *DEEPSEEK_STOP), context=16384, fim=DEEPSEEK_FIM)),
    (r"deepseek-?(r1|v3)", _family("deepseek-v3", "deepseek3", THINKING, DEEPSEEK_STOP, context=131072)),
    (r"deepseek-?v2", _family("deepseek-v2", "deepseek2", CHAT, DEEPSEEK_STOP, context=163840)),
    (r"qwen-?2[.-]5-?coder", _family("qwen2.5-coder", "chatml", TOOLS, CHATML_STOP, context=32768, fim=QWEN_FIM)),
    (r"qwen-?3([.-]\d)?-?coder", _family("qwen3-coder", "chatml", TOOLS, CHATML_STOP, context=262144, fim=QWEN_FIM)),
    (r"code-?qwen", _family("codeqwen", "chatml", CHAT, CHATML_STOP, context=65536, fim=CODEQWEN_FIM)),
    (r"qwen-?3", _family("qwen3", "chatml", THINKING, CHATML_STOP, context=40960)),
    (r"qwq", _family("qwq", "chatml", THINKING, CHATML_STOP, context=131072)),
    (r"qwen", _family("qwen2", "chatml", TOOLS, CHATML_STOP, context=32768)),
    (r"code-?llama|phind", _family("codellama", "llama2", CHAT, ("</s>",), context=16384, fim=CODELLAMA_FIM)),
    (r"wizardcoder|starchat", _family("wizardcoder", "alpaca", CHAT, ("</s>", "<|endoftext|>"), context=8192, coder=True)),
    (r"star-?coder-?2", _family("starcoder2", "alpaca", NONE, ("<|endoftext|>",), context=16384, fim=STARCODER2_FIM)),
    (r"star-?coder|santacoder", _family("starcoder", "plain", NONE, ("<|endoftext|>",), context=8192, fim=STARCODER_FIM)),
    (r"codestral|mamba-codestral", _family("codestral", "mistral", CHAT, ("</s>",), context=32768, fim=CODESTRAL_FIM)),
    (r"code-?gemma", _family("codegemma", "gemma", CHAT, GEMMA_STOP, context=8192, fim=CODEGEMMA_FIM)),
    (r"mellum", _family("mellum", "plain", NONE, ("<|endoftext|>",), context=8192, fim=MELLUM_FIM)),
    (r"seed-?coder", _family("seed-coder", "plain", CHAT, ("<[end▁of▁sentence]>",), context=32768, fim=SEED_FIM)),
    (r"stable-?code", _family("stable-code", "chatml", CHAT, CHATML_STOP, context=16384, fim=STARCODER_FIM)),
    (r"yi-?coder", _family("yi-coder", "chatml", CHAT, CHATML_STOP, context=131072, coder=True)),
    (r"granite.*code", _family("granite-code", "granite-code", CHAT, ("<|endoftext|>",), context=8192, fim=STARCODER_FIM)),
    (r"granite-?4", _family("granite4", "granite", TOOLS, ("<|end_of_text|>",), context=131072, fim=GRANITE4_FIM, coder=False)),
    (r"granite", _family("granite", "granite", TOOLS, ("<|end_of_text|>",), context=131072, fim=GRANITE_FIM, coder=False)),
    (r"gpt-?oss", _family("gpt-oss", "harmony", THINKING, ("<|return|>", "<|call|>"), context=131072)),
    (r"devstral", _family("devstral", "tekken", TOOLS, ("</s>",), context=131072, coder=True)),
    (r"magistral|mistral-?small|ministral-?3", _family("mistral-small", "tekken", TOOLS, ("</s>",), context=32768)),
    (r"mi[sx]tral|ministral|mathstral|zephyr", _family("mistral", "mistral", TOOLS, ("</s>",), context=32768)),
    (r"gemma", _family("gemma", "gemma", CHAT, GEMMA_STOP, context=8192)),
    (r"phi-?4-mini", _family("phi4-mini", "phi3", TOOLS, ("<|end|>", "<|endoftext|>"), context=131072)),
    (r"phi-?4", _family("phi4", "phi4", CHAT, ("<|im_end|>", "<|endoftext|>"), context=16384)),
    (r"phi-?3", _family("phi3", "phi3", CHAT, ("<|end|>", "<|endoftext|>"), context=4096)),
    (r"llama-?2|vicuna", _family("llama2", "llama2", CHAT, ("</s>",), context=4096)),
    (r"llama-?3[.-]?[123]", _family("llama3.1", "llama3", TOOLS, LLAMA3_STOP, context=131072)),
    (r"llama-?3|hermes-?3", _family("llama3", "llama3", CHAT, LLAMA3_STOP, context=8192)),
    (r"smollm|hermes|(^|[-/])yi-", _family("chatml", "chatml", CHAT, CHATML_STOP, context=8192)),
)
# fmt: on
ARCHITECTURES = {
    "qwen2": "qwen2",
    "qwen2moe": "qwen2",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3",
    "gpt-oss": "gpt-oss",
    "starcoder": "starcoder",
    "starcoder2": "starcoder2",
    "deepseek2": "deepseek-v2",
    "gemma": "gemma",
    "gemma2": "gemma",
    "gemma3": "gemma",
    "phi3": "phi3",
    "granite": "granite",
    "granitemoe": "granite",
    "granitehybrid": "granite4",
    "bert": "embedding",
    "nomic-bert": "embedding",
    "nomic-bert-moe": "embedding",
    "jina-bert-v2": "embedding",
    "gemma-embedding": "embedding",
}
MARKS: tuple[tuple[str, str], ...] = (
    ("<|channel|>", "gpt-oss"),
    ("<|start_header_id|>", "llama3"),
    ("<start_of_turn>", "gemma"),
    ("<|start_of_role|>", "granite"),
    ("<｜Assistant｜>", "deepseek-v3"),
    ("<|im_sep|>", "phi4"),
    ("<|im_start|>", "chatml"),
    ("[SYSTEM_PROMPT]", "mistral-small"),
    ("[INST]", "mistral"),
    ("<|end|>", "phi3"),
)
BASE = re.compile(r"[-:](base|text|pt)(?=$|[-.:])|\db-code(?=$|[-.:])")
INSTRUCT = re.compile(r"[-:](instruct|chat|it|sft)(?=$|[-.:])")
BY_NAME = {family.name: family for _, family in FAMILIES}
WITHOUT_FIM = re.compile(r"code-?llama.*(34b|70b|python)|phind")


def family_of(name: str, architecture: str = "", template: str = "") -> Family:
    """The family of a model by any name users write: ``qwen2.5-coder:7b-base``, ``org/Name-GGUF:Q4_K_M``, a path to a file.

    The name decides where it says something; then the architecture of the GGUF, then marks in its chat template. A family with an
    empty name means unknown. Base models (``-base``, ``:7b-code``, ``-text``) do not chat.
    """
    plain = _plain(name)
    family = next((family for pattern, family in FAMILIES if re.search(pattern, plain)), None)
    if family is None:
        by_architecture = ARCHITECTURES.get(architecture.lower())
        by_template = next((found for mark, found in MARKS if mark in template), None)
        # A template tells fine-tunes of one architecture apart; qwen2's is many families' format, so there the architecture says more.
        chosen = by_template if by_template not in (None, "chatml") else by_architecture or by_template
        family = BY_NAME[chosen] if chosen else UNKNOWN
    if family.fim is not None and WITHOUT_FIM.search(plain):
        family = replace(family, fim=None, capabilities=family.capabilities - {"fim"})
    if BASE.search(plain):
        family = replace(family, capabilities=family.capabilities - THINKING)
    elif family.fim is not None and INSTRUCT.search(plain):
        family = replace(family, capabilities=family.capabilities | CHAT)
    return family


def _plain(name: str) -> str:
    """The telling part of a name: no folders, registry or file ending; lower case; blanks and underscores as hyphens."""
    text = name.strip().lower().replace("\\", "/")
    parts = [part for part in text.split("/") if part]
    text = parts[-1] if parts else ""
    return re.sub(r"[\s_]+", "-", text.removesuffix(".gguf").split("@")[0])
