"""What the architectures we export are called in a GGUF: their sizes, their tensors, and the order of rows llama.cpp wants.

Llama and Qwen2. Sources: transformers' modeling_llama.py and modeling_qwen2.py; llama.cpp's convert_hf_to_gguf.py and llama-arch.cpp.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fireside.core.errors import Invalid
from fireside.models.gguf_writer import Value
from fireside.training.export.checkpoint import Checkpoint

if TYPE_CHECKING:
    import numpy

NAMES: Mapping[str, str] = {"LlamaForCausalLM": "llama", "Qwen2ForCausalLM": "qwen2"}
PARTS: Mapping[str, str] = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTER: Mapping[str, str] = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
IN_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")
# Computed anew by every program that loads the model.
IGNORED = re.compile(r".*(rotary_emb\.inv_freq|attn\.masked_bias|attn\.bias)")
SUPPORTED = f"Fireside exports {' and '.join(NAMES)}; for others there is llama.cpp's convert_hf_to_gguf.py"


@dataclass(frozen=True, slots=True)
class Sizes:
    """``head``: values a head. ``name``: the architecture as GGUF has it."""

    name: str
    layers: int
    heads: int
    kv_heads: int
    head: int
    tied: bool


def sizes(found: Checkpoint) -> Sizes:
    """Raises ``Invalid`` for an architecture, or a variant of one, that we do not export."""
    config = found.config
    told = config.get("architectures") or [""]
    name = NAMES.get(str(told[0]))
    if name is None:
        raise Invalid(f"{found.folder.name} is a {told[0] or 'model that does not say what it is'}", remedy=SUPPORTED)
    if config.get("hidden_act", "silu") != "silu":
        raise Invalid(f"{found.folder.name} has the activation {config['hidden_act']}, not silu", remedy=SUPPORTED)
    if config.get("use_sliding_window"):
        raise Invalid(f"{found.folder.name} attends to a sliding window", remedy=SUPPORTED)
    heads, width = found.number("num_attention_heads"), found.number("hidden_size")
    head = config.get("head_dim")
    return Sizes(
        name=name,
        layers=found.number("num_hidden_layers"),
        heads=heads,
        kv_heads=found.number("num_key_value_heads") if config.get("num_key_value_heads") else heads,
        head=head if isinstance(head, int) else width // heads,
        tied=bool(config.get("tie_word_embeddings")) or "lm_head.weight" not in found.tensors,
    )


def metadata(found: Checkpoint, shape: Sizes) -> dict[str, Value]:
    """The sizes as GGUF keys. Raises ``Invalid`` for positions that are stretched in a way we do not write."""
    name, config = shape.name, found.config
    told: dict[str, Value] = {
        "general.architecture": name,
        f"{name}.context_length": found.number("max_position_embeddings"),
        f"{name}.embedding_length": found.number("hidden_size"),
        f"{name}.block_count": shape.layers,
        f"{name}.feed_forward_length": found.number("intermediate_size"),
        f"{name}.attention.head_count": shape.heads,
        f"{name}.attention.head_count_kv": shape.kv_heads,
        f"{name}.attention.key_length": shape.head,
        f"{name}.attention.value_length": shape.head,
        f"{name}.attention.layer_norm_rms_epsilon": float(config.get("rms_norm_eps", 1e-6)),
        f"{name}.rope.dimension_count": shape.head,
        f"{name}.rope.freq_base": float(config.get("rope_theta") or _rope(found).get("rope_theta") or 10000.0),
        f"{name}.vocab_size": vocabulary_size(found),
    }
    return told | _stretched(found, name)


def vocabulary_size(found: Checkpoint) -> int:
    """Rows of the embedding: tokens, and what the trainer added to reach a round number."""
    embedding = found.tensors.get("model.embed_tokens.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise Invalid(f"{found.folder} has no token embedding (model.embed_tokens.weight)", remedy=SUPPORTED)
    return embedding.shape[0]


def tensor_name(name: str) -> str | None:
    """A GGUF's name for one of Hugging Face's tensors; ``None`` for one that is not written."""
    if IGNORED.fullmatch(name):
        return None
    layered = IN_LAYER.fullmatch(name)
    if layered and layered[2] in PARTS:
        return f"blk.{layered[1]}.{PARTS[layered[2]]}.{layered[3]}"
    stem, _, ending = name.rpartition(".")
    if stem in OUTER and ending in ("weight", "bias"):
        return f"{OUTER[stem]}.{ending}"
    raise Invalid(f"the checkpoint has a tensor no model of these has: {name}", remedy=SUPPORTED)


def ordered(values: "numpy.ndarray", name: str, shape: Sizes) -> "numpy.ndarray":
    """Rows (of a matrix, a bias or a LoRA's B) as llama.cpp has them: of Llama's q and k, the two halves of each head interleaved.

    Hugging Face rotates a head's first half against its second; llama.cpp's Llama, neighbours. Qwen2 has them alike.
    """
    heads = {"attn_q": shape.heads, "attn_k": shape.kv_heads}.get(name.split(".")[-2] if "." in name else "")
    if shape.name != "llama" or heads is None:
        return values
    rows = values.shape[0]
    if rows % (2 * heads):
        raise Invalid(f"{name} has {rows} rows, which {heads} heads do not divide", remedy=SUPPORTED)
    return values.reshape(heads, 2, rows // heads // 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def stretching(found: Checkpoint, shape: Sizes) -> "numpy.ndarray | None":
    """Llama 3.1's factors for each pair of dimensions (rope_freqs), or ``None``. As transformers' modeling_rope_utils computes them."""
    import numpy

    told = _rope(found)
    if _rope_kind(told) != "llama3":
        return None
    base = float(found.config.get("rope_theta") or told.get("rope_theta") or 10000.0)
    factor, low, high = (float(told[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    old = float(told["original_max_position_embeddings"])
    waves = 2 * math.pi * base ** (numpy.arange(0, shape.head, 2, dtype=numpy.float64) / shape.head)
    smooth = (old / waves - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    factors = numpy.where(waves < old / high, 1.0, numpy.where(waves > old / low, factor, between))
    return factors.astype(numpy.float32)


def _stretched(found: Checkpoint, name: str) -> dict[str, Value]:
    told = _rope(found)
    kind = _rope_kind(told)
    if kind in ("default", "llama3"):
        return {}
    if kind not in ("linear", "yarn"):
        raise Invalid(f"{found.folder.name} stretches its positions by {kind}", remedy=SUPPORTED)
    keys: dict[str, Value] = {f"{name}.rope.scaling.type": kind, f"{name}.rope.scaling.factor": float(told["factor"])}
    if kind == "yarn":
        old = told.get("original_max_position_embeddings") or found.number("max_position_embeddings")
        keys[f"{name}.rope.scaling.original_context_length"] = int(old)
    return keys


def _rope(found: Checkpoint) -> Mapping[str, Any]:
    """Where a configuration tells of positions: transformers 5 has one table, those before it another."""
    told = found.config.get("rope_parameters") or found.config.get("rope_scaling")
    return told if isinstance(told, dict) else {}


def _rope_kind(told: Mapping[str, Any]) -> str:
    return str(told.get("rope_type") or told.get("type") or "default")
