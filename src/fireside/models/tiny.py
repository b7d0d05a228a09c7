"""Small models with random weights: they prove that an engine works, and say nothing of use.

A real architecture (qwen2), a real tokenizer (byte-level BPE), a real chat template with tools and real fill-in-the-middle tokens, so
that every path of an engine can be tried without downloading anything. The same seed gives the same file on every machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fireside.models.gguf_writer import Tensor, TensorType, Value
from fireside.models.gguf_writer import write as write_gguf
from fireside.models.trie import byte_alphabet

if TYPE_CHECKING:
    import numpy

Size = Literal["tiny", "small", "medium"]
Quantization = Literal["F16", "Q8_0"]
FILE_TYPES = {"F16": 1, "Q8_0": 7}
LETTERS = "etaoinsrhldcumfpgwybvkxjqz"
SPACE = "Ġ"  # how byte-level BPE writes a blank

CONTROL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
USER_DEFINED = ("<tool_call>", "</tool_call>", "<think>", "</think>")
FIM_KEYS = {
    "fim_pre": "<|fim_prefix|>",
    "fim_mid": "<|fim_middle|>",
    "fim_suf": "<|fim_suffix|>",
    "fim_pad": "<|fim_pad|>",
    "fim_rep": "<|repo_name|>",
    "fim_sep": "<|file_sep|>",
}

CHAT_TEMPLATE = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are a helpful assistant.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\nYou may call one or more functions to assist with the user query.\\n\\n" }}
    {{- "You are provided with function signatures within <tools></tools> XML tags:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\nFor each function call, return a json object with function name and arguments" }}
    {{- " within <tool_call></tool_call> XML tags:\\n<tool_call>\\n" }}
    {{- "{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}\\n</tool_call><|im_end|>\\n" }}
{%- elif messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first)
           or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' + tool_call.name + '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """``vocabulary`` in tokens; ``width``, ``feed_forward`` in values (multiples of 128); ``context`` in tokens."""

    vocabulary: int
    width: int
    layers: int
    feed_forward: int
    heads: int
    kv_heads: int
    context: int


SHAPES: dict[Size, Shape] = {
    "tiny": Shape(1024, 256, 2, 384, 4, 2, 8192),  # 1.2 M weights
    "small": Shape(4096, 256, 6, 768, 8, 4, 32768),  # 5.8 M weights
    "medium": Shape(16384, 768, 16, 2048, 12, 4, 32768),  # 113 M weights
}


def write(path: Path, *, seed: int = 0, size: Size = "tiny", quantization: Quantization = "F16") -> Path:
    """Write a random model to ``path``. Takes about 0.05, 0.2 and 4 seconds for tiny, small and medium."""
    return write_gguf(
        path, _metadata(SHAPES[size], size, quantization), list(_tensors(SHAPES[size], seed, quantization))
    )


def vocabulary(count: int) -> tuple[list[str], list[str]]:
    """Tokens and merges: special tokens, the 256 bytes, then pairs and triples of letters, until there are ``count`` tokens."""
    merges = list(islice(_merges(), count - len(CONTROL) - len(USER_DEFINED) - 256))
    return [*CONTROL, *USER_DEFINED, *byte_alphabet(), *(merge.replace(" ", "") for merge in merges)], merges


def _merges() -> Iterator[str]:
    """Merges in order of rank; each is made of pieces that exist by then."""
    blanks = (f"{SPACE * length} {SPACE * length}" for length in (1, 2, 4, 8))
    pairs = (f"{a} {b}" for a, b in product(LETTERS, LETTERS))
    word_starts = (f"{SPACE} {a}" for a in LETTERS)
    longer_starts = (f"{SPACE} {a}{b}" for a, b in product(LETTERS, LETTERS))
    triples = (f"{a}{b} {c}" for a, b, c in product(LETTERS, LETTERS, LETTERS))
    return chain(blanks, pairs, word_starts, longer_starts, triples)


def _metadata(shape: Shape, size: Size, quantization: Quantization) -> dict[str, Value]:
    tokens, merges = vocabulary(shape.vocabulary)
    numbers = {token: number for number, token in enumerate(tokens)}
    specials = len(CONTROL) + len(USER_DEFINED)
    return {
        "general.architecture": "qwen2",
        "general.name": f"fireside-random-{size}",
        "general.file_type": FILE_TYPES[quantization],
        "qwen2.context_length": shape.context,
        "qwen2.embedding_length": shape.width,
        "qwen2.block_count": shape.layers,
        "qwen2.feed_forward_length": shape.feed_forward,
        "qwen2.attention.head_count": shape.heads,
        "qwen2.attention.head_count_kv": shape.kv_heads,
        "qwen2.rope.freq_base": 1e6,
        "qwen2.attention.layer_norm_rms_epsilon": 1e-6,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] * len(CONTROL) + [4] * len(USER_DEFINED) + [1] * (len(tokens) - specials),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": numbers["<|endoftext|>"],
        "tokenizer.ggml.eos_token_id": numbers["<|im_end|>"],
        "tokenizer.ggml.eot_token_id": numbers["<|im_end|>"],
        "tokenizer.ggml.padding_token_id": numbers["<|endoftext|>"],
        "tokenizer.ggml.add_bos_token": False,
        **{f"tokenizer.ggml.{key}_token_id": numbers[token] for key, token in FIM_KEYS.items()},
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


def _tensors(shape: Shape, seed: int, quantization: Quantization) -> Iterator[Tensor]:
    """The tensors in file order; their values are drawn in that order from one generator."""
    import numpy

    rng = numpy.random.default_rng(seed)
    head = shape.width // shape.heads
    keys = shape.kv_heads * head

    def matrix(name: str, rows: int, columns: int) -> Tensor:
        kind: TensorType = quantization
        return Tensor(name, (rows, columns), kind, lambda: _normal(rng, (rows, columns)))

    def vector(name: str, length: int, value: float) -> Tensor:
        return Tensor(name, (length,), "F32", lambda: numpy.full(length, value, numpy.float32))

    yield matrix("token_embd.weight", shape.vocabulary, shape.width)
    yield vector("output_norm.weight", shape.width, 1.0)
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        yield vector(prefix + "attn_norm.weight", shape.width, 1.0)
        yield vector(prefix + "ffn_norm.weight", shape.width, 1.0)
        for part, rows in (("attn_q", shape.width), ("attn_k", keys), ("attn_v", keys)):
            yield matrix(f"{prefix}{part}.weight", rows, shape.width)
            yield vector(f"{prefix}{part}.bias", rows, 0.0)
        yield matrix(prefix + "attn_output.weight", shape.width, shape.width)
        yield matrix(prefix + "ffn_gate.weight", shape.feed_forward, shape.width)
        yield matrix(prefix + "ffn_up.weight", shape.feed_forward, shape.width)
        yield matrix(prefix + "ffn_down.weight", shape.width, shape.feed_forward)


def _normal(rng: "numpy.random.Generator", shape: tuple[int, int]) -> "numpy.ndarray":
    import numpy

    return rng.standard_normal(shape, dtype=numpy.float32) * numpy.float32(0.02)
