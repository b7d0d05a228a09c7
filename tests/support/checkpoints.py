"""Model folders as Hugging Face writes them, with random weights and a real tokenizer, made without torch."""

import json
from pathlib import Path
from typing import Any

import numpy

from fireside.models import gguf_writer, tiny
from fireside.models.gguf_writer import Tensor

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
VOCABULARY = 1024


def write_safetensors(path: Path, tensors: dict[str, numpy.ndarray], kind: str = "F32") -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, values in tensors.items():
        packed = packed_as(values, kind)
        header[name] = {
            "dtype": kind,
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + len(packed)],
        }
        data += packed
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def packed_as(values: numpy.ndarray, kind: str) -> bytes:
    if kind == "BF16":
        return (numpy.ascontiguousarray(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return values.astype({"F32": "<f4", "F16": "<f2"}[kind]).tobytes()


def tokenizer_json(*, pairs: bool = True) -> dict[str, Any]:
    """``pairs``: merges as newer files have them, else as text."""
    tokens, merges = tiny.vocabulary(VOCABULARY)
    special = [*tiny.CONTROL, *tiny.USER_DEFINED]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "normalizer": None,
        "added_tokens": [
            {
                "id": number,
                "content": token,
                "special": token in tiny.CONTROL,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
            for number, token in enumerate(special)
        ],
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ") if pairs else merge for merge in merges],
        },
    }


def write_tokenizer(folder: Path, **told: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|fim_pad|>",
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json()))
    (folder / "tokenizer_config.json").write_text(json.dumps(config | told))


def config_of(architecture: str, **told: Any) -> dict[str, Any]:
    return {
        "architectures": [architecture],
        "model_type": "llama" if architecture == "LlamaForCausalLM" else "qwen2",
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "bos_token_id": 0,
        "eos_token_id": 0,
        "dtype": "float32",
    } | told


def write_model_folder(
    folder: Path, architecture: str = "LlamaForCausalLM", *, kind: str = "F32", seed: int = 0, **told: Any
) -> Path:
    """A small random model: weights far enough from zero that every part of it shows in the logits."""
    config = config_of(architecture, **told)
    write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", random_weights(config, seed), kind)
    return folder


def random_weights(config: dict[str, Any], seed: int = 0) -> dict[str, numpy.ndarray]:
    rng = numpy.random.default_rng(seed)
    width, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    head = config.get("head_dim") or width // heads
    keys = config["num_key_value_heads"] * head

    def matrix(rows: int, columns: int) -> numpy.ndarray:
        return (rng.standard_normal((rows, columns)) * 1.5 / numpy.sqrt(columns)).astype(numpy.float32)

    def vector(length: int) -> numpy.ndarray:
        return (1 + 0.2 * rng.standard_normal(length)).astype(numpy.float32)

    found = {"model.embed_tokens.weight": matrix(config["vocab_size"], width), "model.norm.weight": vector(width)}
    if not config["tie_word_embeddings"]:
        found["lm_head.weight"] = matrix(config["vocab_size"], width)
    biased = config["model_type"] == "qwen2" or config.get("attention_bias")
    for layer in range(config["num_hidden_layers"]):
        place = f"model.layers.{layer}"
        for part, rows in (("q", heads * head), ("k", keys), ("v", keys)):
            found[f"{place}.self_attn.{part}_proj.weight"] = matrix(rows, width)
            if biased:
                found[f"{place}.self_attn.{part}_proj.bias"] = 0.3 * vector(rows)
        found[f"{place}.self_attn.o_proj.weight"] = matrix(width, heads * head)
        if config.get("attention_bias"):
            found[f"{place}.self_attn.o_proj.bias"] = 0.3 * vector(width)
        found |= {f"{place}.mlp.{part}_proj.weight": matrix(inner, width) for part in ("gate", "up")}
        found[f"{place}.mlp.down_proj.weight"] = matrix(width, inner)
        found |= {f"{place}.{norm}.weight": vector(width) for norm in ("input_layernorm", "post_attention_layernorm")}
    return found


def write_adapter_folder(
    folder: Path, *, base: str = "", rank: int = 4, alpha: float = 8.0, seed: int = 1, width: int = 256, **told: Any
) -> Path:
    """A LoRA of PEFT on q, k, o and down of both layers of ``write_model_folder``."""
    rng = numpy.random.default_rng(seed)
    sizes = {"self_attn.q_proj": (width, width), "self_attn.k_proj": (width // 2, width)}
    sizes |= {"self_attn.o_proj": (width, width), "mlp.down_proj": (width, 512)}
    tensors = {}
    for layer in range(2):
        for module, (rows, columns) in sizes.items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            tensors[f"{name}.lora_A.weight"] = (rng.standard_normal((rank, columns)) * 0.05).astype(numpy.float32)
            tensors[f"{name}.lora_B.weight"] = (rng.standard_normal((rows, rank)) * 0.05).astype(numpy.float32)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": ["q_proj", "k_proj", "o_proj", "down_proj"],
        "bias": "none",
        "inference_mode": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config | told))
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    return folder


def write_lora(path: Path, *, width: int = 256, architecture: str = "qwen2", seed: int = 0) -> Path:
    """An adapter for the tiny model's query matrix."""
    rng = numpy.random.default_rng(seed)
    first, second = (rng.standard_normal(shape).astype(numpy.float32) for shape in ((2, width), (width, 2)))
    told = {
        "general.architecture": architecture,
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 4.0,
    }
    tensors = [
        Tensor("blk.0.attn_q.weight.lora_a", first.shape, "F32", lambda: first),
        Tensor("blk.0.attn_q.weight.lora_b", second.shape, "F32", lambda: second),
    ]
    return gguf_writer.write(path, told, tensors)
