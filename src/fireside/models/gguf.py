"""GGUF files as models: read the header, judge it, make a card of it.

``read_header`` checks the structure, ``verify`` what llama.cpp would refuse or die on, ``card`` says what the model can do. The weights
are never read, so a card of a file of many gigabytes takes some tens of milliseconds.
"""

from collections import Counter
from pathlib import Path

from fireside.core.values import replace
from fireside.models.card import Capability, FimTokens, ModelCard
from fireside.models.families import EMBED, Family, family_of
from fireside.models.header import STRING, Header, read_header
from fireside.models.soundness import problems, verify
from fireside.models.tensors import FILE_TYPES, TENSOR_TYPES, TensorInfo

__all__ = ["FILE_TYPES", "Header", "TensorInfo", "card", "problems", "read_header", "verify"]

FIM_KEYS = {
    "prefix": ("fim_pre_token_id", "prefix_token_id"),
    "suffix": ("fim_suf_token_id", "suffix_token_id"),
    "middle": ("fim_mid_token_id", "middle_token_id"),
    "pad": ("fim_pad_token_id",),
    "repo": ("fim_rep_token_id",),
    "file": ("fim_sep_token_id",),
}
ORDER_KEY = "fireside.fim_order"
END_OF_TEXT = "<|endoftext|>"
END_KEYS = ("eos_token_id", "eot_token_id", "eom_token_id")
THINKING_MARKS = ("<think>", "enable_thinking", "reasoning_content", "<|channel|>", "[THINK]")
EMBEDDING_ARCHITECTURES = ("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "gemma-embedding")


def card(path: str | Path, *, engine: str, name: str | None = None) -> ModelCard:
    """The card of the model in a GGUF. ``name`` defaults to the file's name without its ending. Raises ``Invalid``.

    ``sha256`` stays empty: hashing reads the whole file, and the store does it once.
    """
    header = read_header(path)
    name = name or Path(path).stem
    family = _family(header, name)
    fim = fim_tokens(header, family)
    return ModelCard(
        name=name,
        engine=engine,
        family=family.name or header.architecture,
        context_window=header.number(f"{header.architecture}.context_length") or 0,
        capabilities=capabilities(header, family, fim),
        fim=fim,
        quantization=quantization(header),
        parameters=sum(tensor.elements for tensor in header.tensors),
        size=header.size,
        path=str(path),
    )


def quantization(header: Header) -> str:
    """What the weights are stored as: the file's own word, or else the type most weights have."""
    told = FILE_TYPES.get(header.number("general.file_type") or 0, "") if "general.file_type" in header.metadata else ""
    if told or not header.tensors:
        return told
    weights: Counter[int] = Counter()
    for tensor in header.tensors:
        weights[tensor.type] += tensor.elements
    return TENSOR_TYPES[weights.most_common(1)[0][0]].name


def fim_tokens(header: Header, family: Family) -> FimTokens | None:
    """The fill-in-the-middle tokens: by the numbers the file gives, in the family's spelling where both mean the same ones.

    Without numbers in the file, the family's own, if they stand in the vocabulary. ``fireside.fim_order = "joined"``, which models trained
    here carry, decides the order.
    """
    found = _told_or_known(header, family)
    return replace(found, order="joined") if found is not None and header.text(ORDER_KEY) == "joined" else found


def _told_or_known(header: Header, family: Family) -> FimTokens | None:
    special = _special_tokens(header)
    told = {part: next((special[key] for key in keys if key in special), "") for part, keys in FIM_KEYS.items()}
    if told["prefix"] and told["suffix"]:
        known = family.fim
        if known is not None and known.prefix.strip() == told["prefix"].strip():
            return known
        ends = [special[key] for key in END_KEYS if key in special]
        ends += [END_OF_TEXT] if _has(header, END_OF_TEXT) else []
        stop = tuple(dict.fromkeys(ends))
        return FimTokens(**told, order="psm" if told["middle"] else "spm", stop=stop)
    return family.fim if family.fim is not None and _in_vocabulary(header, family.fim) else None


def capabilities(header: Header, family: Family, fim: FimTokens | None) -> frozenset[Capability]:
    """What the model can do, as far as its file tells."""
    if header.architecture in EMBEDDING_ARCHITECTURES or family.capabilities == EMBED:
        return EMBED
    if f"{header.architecture}.pooling_type" in header.metadata and not _template(header):
        return EMBED
    able: set[Capability] = {"json_schema"}
    template = _template(header)
    if template:
        able.add("chat")
        able |= {"tools"} if "tools" in template else set()
        able |= {"thinking"} if any(mark in template for mark in THINKING_MARKS) else set()
    elif "chat" in family.capabilities:
        able.add("chat")
    if fim is not None:
        able.add("fim")
    return frozenset(able)


def _family(header: Header, name: str) -> Family:
    """By the name the user gave, then by the names inside the file, then by architecture and template."""
    for candidate in (name, header.text("general.basename"), header.text("general.name")):
        family = family_of(candidate)
        if family.name:
            return family
    return family_of("", header.architecture, _template(header))


def _template(header: Header) -> str:
    return header.text("tokenizer.chat_template")


def _special_tokens(header: Header) -> dict[str, str]:
    """The texts of the special tokens this room needs, by the key that numbers them."""
    tokens = header.array("tokenizer.ggml.tokens")
    if tokens is None or tokens.kind != STRING:
        return {}
    keys = [*END_KEYS, *(key for keys in FIM_KEYS.values() for key in keys)]
    numbers = {key: header.number(f"tokenizer.ggml.{key}") for key in keys}
    texts = tokens.pick(number for number in numbers.values() if number is not None)
    return {key: texts[number].replace("▁<", " <") for key, number in numbers.items() if number in texts}


def _in_vocabulary(header: Header, fim: FimTokens) -> bool:
    wanted = [part.strip() for part in (fim.prefix, fim.suffix, fim.middle) if part]
    return all(_has(header, part) or _has(header, f"▁{part}") for part in wanted)


def _has(header: Header, token: str) -> bool:
    tokens = header.array("tokenizer.ggml.tokens")
    return tokens is not None and tokens.holds(token)
