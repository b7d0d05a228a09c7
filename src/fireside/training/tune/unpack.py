"""A GGUF turned back into a folder of Hugging Face's shape, so that PEFT can train on it. Knows Llama and Qwen2.

Weights are dequantised with the ``gguf`` package, one tensor at a time; files of at most a gigabyte, so that a large model never stands in
memory whole. The tokenizer is not made here: ``prepare`` has taken it from the same file.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from fireside.core.errors import Invalid
from fireside.models.gguf import Header, read_header
from fireside.training.weights_file import save_weights

if TYPE_CHECKING:
    import numpy

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CLASSES = {"llama": ("LlamaForCausalLM", "llama"), "qwen2": ("Qwen2ForCausalLM", "qwen2")}
SHARD = 1 << 30
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def unpack(
    source: Path,
    folder: Path,
    tokenizer: Path,
    *,
    half: bool,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the model in ``source`` to ``folder``, which appears whole or not at all, and return it.

    ``tokenizer``: a folder with the tokenizer's files. ``half``: store bfloat16 instead of float32. Raises ``Invalid``.
    """
    if (folder / "config.json").is_file():
        return folder
    header = read_header(source)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name in TOKENIZER:
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, part / name)
    _write_weights(header, part, half=half, progress=progress)
    (part / "config.json").write_bytes(orjson.dumps(configuration(header, half=half), option=orjson.OPT_INDENT_2))
    os.replace(part, folder)
    return folder


def configuration(header: Header, *, half: bool = False) -> dict[str, Any]:
    """``config.json`` of the model in a GGUF. Raises ``Invalid`` for an architecture that is neither Llama nor Qwen2."""
    name = header.architecture
    if name not in CLASSES:
        raise Invalid(
            f"{header.path.name} is of the architecture {name}", remedy=f"name a GGUF of {' or '.join(CLASSES)}"
        )
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    heads = _number(header, "attention.head_count")
    width = _number(header, "embedding_length")
    config: dict[str, Any] = {
        "architectures": [CLASSES[name][0]],
        "model_type": CLASSES[name][1],
        "hidden_size": width,
        "intermediate_size": _number(header, "feed_forward_length"),
        "num_hidden_layers": _number(header, "block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _number(header, "attention.head_count_kv", heads),
        "max_position_embeddings": _number(header, "context_length"),
        "rms_norm_eps": _real(header, "attention.layer_norm_rms_epsilon", 1e-5),
        "rope_theta": _real(header, "rope.freq_base", 10000.0),
        "vocab_size": shapes["token_embd.weight"][1],
        "tie_word_embeddings": "output.weight" not in shapes,
        "hidden_act": "silu",
        "bos_token_id": header.number("tokenizer.ggml.bos_token_id"),
        "eos_token_id": header.number("tokenizer.ggml.eos_token_id"),
        "torch_dtype": "bfloat16" if half else "float32",
    }
    if name == "llama":
        config["head_dim"] = _number(header, "attention.key_length", width // heads)
        config["attention_bias"] = "blk.0.attn_q.bias" in shapes
    return config


def _write_weights(header: Header, folder: Path, *, half: bool, progress: Callable[[int, int], None]) -> None:
    """Safetensors of at most ``SHARD`` bytes (one tensor more at most), and their index where there are several."""

    places: dict[str, str] = {}
    held: dict[str, Any] = {}
    size = number = total = 0
    count = len(header.tensors)

    def flush() -> None:
        nonlocal held, size, number
        number += 1
        name = f"model-{number:05d}.safetensors"
        save_weights(held, folder / name)
        places.update(dict.fromkeys(held, name))
        held, size = {}, 0

    for done, (name, tensor) in enumerate(_tensors(header, half=half), 1):
        held[name] = tensor
        size += tensor.numel() * tensor.element_size()
        total += tensor.numel() * tensor.element_size()
        progress(done, count)
        if size >= SHARD:
            flush()
    if held:
        flush()
    if number == 1:
        os.replace(folder / "model-00001.safetensors", folder / "model.safetensors")
        return
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_bytes(orjson.dumps(index))


def _tensors(header: Header, *, half: bool) -> Iterator[tuple[str, Any]]:
    import torch
    from gguf import GGUFReader, dequantize

    heads = _number(header, "attention.head_count")
    kv_heads = _number(header, "attention.head_count_kv", heads)
    for tensor in GGUFReader(header.path).tensors:
        name = renamed(tensor.name)
        if name is None:
            raise Invalid(
                f"{header.path.name} has a tensor no {header.architecture} model has: {tensor.name}",
                remedy="name the folder the GGUF was made from",
            )
        values = dequantize(tensor.data, tensor.tensor_type)
        if header.architecture == "llama":
            if ".attn_q." in tensor.name:
                values = _unpermuted(values, heads)
            elif ".attn_k." in tensor.name:
                values = _unpermuted(values, kv_heads)
        made = torch.from_numpy(values.copy())
        yield name, made.to(torch.bfloat16) if half else made.float()


def renamed(name: str) -> str | None:
    """What Hugging Face calls a tensor of a GGUF (``blk.0.attn_q.weight``); ``None`` for one that is not known."""
    found = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name)
    if not found or found[2] not in NAMES:
        return None
    layer = f"model.layers.{found[1]}." if found[1] else ""
    return f"{layer}{NAMES[found[2]]}.{found[3]}"


def _unpermuted(values: "numpy.ndarray", heads: int) -> "numpy.ndarray":
    """Rows of q or k as Hugging Face orders them: llama.cpp interleaves the two halves of each head's rotation."""
    rows = values.shape[0]
    return values.reshape(heads, rows // heads // 2, 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def _number(header: Header, key: str, default: int | None = None) -> int:
    found = header.number(f"{header.architecture}.{key}")
    if found is None:
        found = default
    if found is None:
        raise Invalid(f"{header.path.name} does not tell its {key}", remedy="make the GGUF again")
    return found


def _real(header: Header, key: str, default: float) -> float:
    found = header.metadata.get(f"{header.architecture}.{key}")
    return float(found) if isinstance(found, int | float) else default
