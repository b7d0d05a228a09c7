"""Whether a well-formed GGUF header describes a model llama.cpp can load: what it would refuse in hard words, or die on.

Only contradictions inside one file are looked for. What is strict for one architecture and free for another is checked only for the
plain transformers listed in ``PLAIN``; a file this room has no opinion on passes. The weights themselves are never read.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from fireside.core.errors import Invalid
from fireside.models.header import ARRAY, FLOAT32, INT32, STRING, UINT32, Array, Header, printable
from fireside.models.tensors import TENSOR_TYPES, TensorInfo

PLAIN = frozenset(("llama", "qwen2", "qwen3", "starcoder2", "gemma", "gemma2", "granite"))
"""Architectures whose blocks have one attention and one feed-forward part of the usual shapes."""
WITHOUT_ATTENTION = ("mamba", "rwkv", "arwkv")
LAYERS_LIMIT = 512  # LLAMA_MAX_LAYERS
EXPERTS_LIMIT = 4096
WIDTH_LIMIT = 1 << 20
CONTEXT_LIMIT = 1 << 28
BLOCK = re.compile(r"blk\.(\d+)\.(.+)")
DAMAGED = "\N{REPLACEMENT CHARACTER}"  # what undecodable bytes were read as
INTEGERS = frozenset((24, 25, 26, 27, 28))  # I8 to I64, and F64: no plain weight is stored so
NOT_MODELS: Mapping[str, str] = {
    "adapter": "is a LoRA adapter, not a model; it goes on top of the model it was trained for",
    "mmproj": "is a vision or audio projector, not a language model",
    "clip": "is a vision or audio projector, not a language model",
    "imatrix": "is an importance matrix, not a model",
    "vocab": "is a vocabulary without weights",
}
TOKENIZER_KINDS: Mapping[str, tuple[int, str]] = {
    "tokens": (STRING, "texts"),
    "merges": (STRING, "texts"),
    "scores": (FLOAT32, "32-bit floats"),
    "token_type": (INT32, "32-bit integers"),
}


def verify(header: Header) -> None:
    """Raise ``Invalid`` for the first thing that would keep the model from loading."""
    for problem in problems(header):
        raise Invalid(
            f"{printable(header.path.name)} {printable(problem)}", remedy="try another copy: fireside models pull URL"
        )


def problems(header: Header) -> Iterator[str]:
    """What is wrong, one line each, worst first; nothing when all is well."""
    yield from _purpose(header)
    yield from _numbers(header)
    yield from _floats(header)
    yield from _tokenizer(header)
    if (header.number("split.count") or 0) < 2:  # a part of a split model has only some of the tensors
        yield from _embeddings(header)
        yield from _blocks(header)


def _purpose(header: Header) -> Iterator[str]:
    kind = header.text("general.type")
    architecture = header.architecture
    if "general.architecture" in header.metadata and header.kinds["general.architecture"] != STRING:
        yield "names its architecture by something that is not text"
    elif kind in NOT_MODELS or architecture in NOT_MODELS:
        yield NOT_MODELS.get(kind) or NOT_MODELS[architecture]
    elif not architecture:
        yield "names no architecture (general.architecture is missing)"
    elif not header.tensors:
        yield NOT_MODELS["vocab"]


def _numbers(header: Header) -> Iterator[str]:
    """The sizes every model needs, and those that must fit each other."""
    for part, most in (
        ("context_length", CONTEXT_LIMIT),
        ("embedding_length", WIDTH_LIMIT),
        ("block_count", LAYERS_LIMIT),
    ):
        yield from _whole(header, f"{header.architecture}.{part}", most, required=True)
    for part in ("head_count", "head_count_kv", "key_length", "value_length"):
        yield from _whole(header, f"{header.architecture}.attention.{part}", WIDTH_LIMIT)
    for part in ("feed_forward_length", "vocab_size", "rope.dimension_count"):
        yield from _whole(header, f"{header.architecture}.{part}", WIDTH_LIMIT * 16)
    yield from _heads(header)
    yield from _experts(header)


def _whole(header: Header, key: str, most: int, *, required: bool = False) -> Iterator[str]:
    """A count: 32 bits, not above ``most``; zero only where it is not required. Per-layer lists have as many entries as layers."""
    value = header.metadata.get(key)
    if value is None:
        if required:
            yield f"does not say {key}"
    elif isinstance(value, Array):
        layers = header.number(f"{header.architecture}.block_count") or 0
        if value.kind not in (UINT32, INT32) or len(value) < layers:
            yield f"has a list of {len(value)} in {key}; the model has {layers} layers"
        elif required or any(not isinstance(entry, int) or not 0 <= entry <= most for entry in value):
            yield f"has impossible values in {key}"
    elif header.kinds[key] != UINT32 or not isinstance(value, int):
        yield f"stores {key} as {value!r}; it must be a 32-bit whole number"
    elif value > most or (required and value == 0):
        yield f"has the impossible {key} {value:,}"


def _heads(header: Header) -> Iterator[str]:
    name = header.architecture
    heads, groups = (header.number(f"{name}.attention.{part}") for part in ("head_count", "head_count_kv"))
    width = header.number(f"{name}.embedding_length") or 0
    for key in (f"{name}.attention.head_count", f"{name}.feed_forward_length"):
        if name in PLAIN and key not in header.metadata:
            yield f"does not say {key}"
    if heads == 0 and not name.startswith(WITHOUT_ATTENTION):
        yield f"has no attention heads ({name}.attention.head_count is 0)"
    if heads and groups and heads % groups:
        yield f"has {heads} attention heads, which {groups} key-value heads do not divide"
    size = header.number(f"{name}.attention.key_length")
    if heads and not size and name in PLAIN:
        if width % heads:
            yield f"has {heads} attention heads, which do not divide its width {width}"
        size = width // heads
    rope = header.number(f"{name}.rope.dimension_count")
    if rope and (rope % 2 or (size and rope > size)):
        yield f"rotates {rope} dimensions of heads with {size or 'unknown'}"


def _experts(header: Header) -> Iterator[str]:
    name = header.architecture
    experts = header.number(f"{name}.expert_count") or 0
    used = header.number(f"{name}.expert_used_count") or 0
    if used > experts or experts > EXPERTS_LIMIT or (experts and not used):
        yield f"uses {used:,} of {experts:,} experts"


def _floats(header: Header) -> Iterator[str]:
    name = header.architecture
    for key, value in header.metadata.items():
        if not key.startswith(f"{name}."):
            continue
        if isinstance(value, float):
            positive = key.endswith(("rope.freq_base", "rope.scaling.factor"))
            odd = (positive and value <= 0) or (key.endswith("epsilon") and not 0 <= value < 1)
            if odd or not math.isfinite(value):
                yield f"has the impossible {key} {value:g}"
        elif key.endswith(("epsilon", "rope.freq_base")):
            yield f"stores {key} as {value!r}; it must be a 32-bit float"
    norm = "layer_norm_epsilon" if name == "starcoder2" else "layer_norm_rms_epsilon"
    if name in PLAIN and f"{name}.attention.{norm}" not in header.metadata:
        yield f"does not say {name}.attention.{norm}"


def _tokenizer(header: Header) -> Iterator[str]:
    prefix = "tokenizer.ggml."
    model = header.metadata.get(prefix + "model")
    if not isinstance(model, str) or not model:
        yield "has no tokenizer (tokenizer.ggml.model is missing)"
        return
    if model in ("none", "no_vocab"):
        return
    for part, (kind, words) in TOKENIZER_KINDS.items():
        values = header.metadata.get(prefix + part)
        if values is not None and not (isinstance(values, Array) and values.kind == kind):
            yield f"does not hold a list of {words} in {prefix}{part}"
    tokens = header.array(prefix + "tokens")
    if tokens is None or not len(tokens):
        yield "has a tokenizer without tokens (tokenizer.ggml.tokens is missing)"
        return
    for part in ("scores", "token_type"):
        values = header.array(prefix + part)
        if values is not None and len(values) != len(tokens):
            yield f"has {len(tokens):,} tokens but {len(values):,} entries in {prefix}{part}"
    if model == "gpt2" and header.array(prefix + "merges") is None:
        yield "has a byte-pair tokenizer without merges (tokenizer.ggml.merges is missing)"
    for key in header.metadata:
        if key.startswith(prefix) and key.endswith("_token_id") and header.kinds[key] not in (UINT32, INT32):
            yield f"does not hold a token's number in {key}"
    if header.kinds.get("tokenizer.chat_template", STRING) not in (STRING, ARRAY):
        yield "has a chat template that is not text"
    if DAMAGED in header.text("tokenizer.chat_template"):
        yield "has a damaged chat template: it is not UTF-8"
    yield from _tokens(tokens, strict=model == "gpt2")


def _tokens(tokens: Array, *, strict: bool) -> Iterator[str]:
    # llama.cpp aborts the whole process when two tokens are the same; empty ones it renames itself.
    seen: set[bytes] = set()
    for index, token in enumerate(tokens.texts() if tokens.kind == STRING else ()):
        if token and token in seen:
            yield f"has token {index:,} twice in its vocabulary: {token.decode('utf-8', 'replace')!r}"
        if strict and DAMAGED in token.decode("utf-8", "replace"):
            yield f"has a damaged token {index:,}: it is not UTF-8"
        seen.add(token)


def _embeddings(header: Header) -> Iterator[str]:
    """The vocabulary and the width, held against the tensors that have them as their shape."""
    by_name = {tensor.name: tensor for tensor in header.tensors}
    width = header.number(f"{header.architecture}.embedding_length")
    tokens = header.array("tokenizer.ggml.tokens")
    embedding = by_name.get("token_embd.weight")
    if embedding is None:
        yield "has no token embedding (the tensor token_embd.weight is missing)"
        return
    for tensor in filter(None, (embedding, by_name.get("output.weight"))):
        if len(tensor.shape) != 2:
            yield f"has {tensor.name} in the shape {tensor.dimensions}"
        elif tensor.shape[0] != width:
            yield f"has the embedding length {width}, but {tensor.name} is {tensor.dimensions}"
        elif tokens is not None and tensor.shape[1] != len(tokens):
            yield f"has a vocabulary of {len(tokens):,} tokens, but {tensor.name} is {tensor.dimensions}"
    if header.architecture in PLAIN and "output_norm.weight" not in by_name:
        yield "lacks the tensor output_norm.weight"


def _blocks(header: Header) -> Iterator[str]:
    """As many blocks as announced; in plain transformers, each whole and of the right shapes."""
    blocks: dict[int, dict[str, TensorInfo]] = defaultdict(dict)
    for tensor in header.tensors:
        if match := BLOCK.fullmatch(tensor.name):
            blocks[int(match[1])][match[2]] = tensor
    count = header.number(f"{header.architecture}.block_count") or 0
    if blocks and max(blocks) >= count:
        yield f"says it has {count} blocks, but has tensors of block {max(blocks)}"
    if header.architecture not in PLAIN:
        return
    missing = [block for block in range(count) if block not in blocks]
    if missing:
        yield f"says it has {count} blocks, but block {missing[0]} has no tensors"
    shapes = _shapes(header)
    for block, parts in sorted(blocks.items()):
        yield from _block(block, parts, shapes)
    for tensor in header.tensors:
        if tensor.type in INTEGERS or (len(tensor.shape) == 1 and tensor.type != 0 and BLOCK.fullmatch(tensor.name)):
            yield f"stores the weights {tensor.name} as {TENSOR_TYPES[tensor.type].name}"


def _block(block: int, parts: Mapping[str, TensorInfo], shapes: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    needed = ["attn_norm.weight", "attn_output.weight"]
    needed += [] if "attn_qkv.weight" in parts else ["attn_q.weight", "attn_k.weight", "attn_v.weight"]
    needed += [part for part in shapes if part.startswith("ffn_")]
    for part in needed:
        if part not in parts:
            yield f"lacks the tensor blk.{block}.{part}"
    for part, tensor in parts.items():
        wanted = shapes.get(part)
        if wanted is not None and tensor.shape != wanted:
            yield f"has {tensor.name} in the shape {tensor.dimensions}, but its sizes ask for {list(wanted)}"


def _shapes(header: Header) -> dict[str, tuple[int, ...]]:
    """The shape each tensor of a block must have; empty where sizes differ from layer to layer."""
    name = header.architecture
    width, heads = header.number(f"{name}.embedding_length"), header.number(f"{name}.attention.head_count")
    if not width or not heads:
        return {}
    groups = header.number(f"{name}.attention.head_count_kv")
    if groups is None and f"{name}.attention.head_count_kv" in header.metadata:
        return {}
    groups = heads if groups is None else groups
    key = header.number(f"{name}.attention.key_length") or width // heads
    value = header.number(f"{name}.attention.value_length") or width // heads
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm.weight": (width,),
        "attn_q.weight": (width, heads * key),
        "attn_k.weight": (width, groups * key),
        "attn_v.weight": (width, groups * value),
        "attn_q.bias": (heads * key,),
        "attn_k.bias": (groups * key,),
        "attn_v.bias": (groups * value,),
        "attn_output.weight": (heads * value, width),
    }
    inner = header.number(f"{name}.feed_forward_length")
    if inner and not header.number(f"{name}.expert_count"):
        shapes |= {"ffn_norm.weight": (width,), "ffn_up.weight": (width, inner), "ffn_down.weight": (inner, width)}
        shapes |= {} if name == "starcoder2" else {"ffn_gate.weight": (width, inner)}
    return shapes
