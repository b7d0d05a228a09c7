"""The tokenizer: trained on the rows, or taken from the base a model is tuned on. Knows the special tokens; nothing of documents.

Ours is byte-level BPE with the split regex of Qwen2 and the names of Qwen's special tokens, so that every program that knows those models
knows ours. There is no normaliser: what is typed is what is learnt, byte for byte.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fireside.core.errors import Invalid
from fireside.models.disk import write_atomically
from fireside.models.families import (
    CODEGEMMA_FIM,
    GRANITE4_FIM,
    QWEN_FIM,
    STARCODER2_FIM,
    STARCODER_FIM,
)
from fireside.models.gguf import ORDER_KEY
from fireside.models.header import read_header

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = (
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
# Qwen2's, as its tokenizer.json has it (arXiv 2407.10671, section 2.1); llama.cpp knows it as "qwen2".
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
FIM_ORDER = "fireside_fim_order"
# As llama.cpp numbers the kinds of tokens.
CONTROL = 3
FILE, CONFIG = "tokenizer.json", "tokenizer_config.json"
ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<｜end▁of▁sentence｜>")


@dataclass(frozen=True, slots=True)
class Specials:
    """Ids of the special tokens; -1 where the tokenizer has none. ``order``: of fill-in-the-middle, joined (ours), psm, or none."""

    end: int
    pad: int
    prefix: int = -1
    suffix: int = -1
    middle: int = -1
    repo: int = -1
    file: int = -1
    start_turn: int = -1
    end_turn: int = -1
    order: str = "none"


def train(texts: Iterable[str], vocabulary: int) -> "Tokenizer":
    """A tokenizer of at most ``vocabulary`` tokens, the special ones first. The same texts give the same tokenizer."""
    from tokenizers import pre_tokenizers, trainers

    tokenizer = _bpe({}, [])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_some_at_once(texts), trainer=trainer)
    return tokenizer


def _bpe(vocabulary: dict[str, int], merges: Sequence[tuple[str, str]]) -> "Tokenizer":
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocabulary, list(merges)) if vocabulary else models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def save(tokenizer: "Tokenizer", folder: Path, context: int) -> None:
    """Write our own tokenizer as transformers reads it. Whole or not at all: ``tokenizer.json`` comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": "<|endoftext|>",
        "pad_token": "<|fim_pad|>",
        "unk_token": None,
        "additional_special_tokens": list(SPECIAL[1:]),
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
        FIM_ORDER: "joined",
    }
    write_atomically(folder / CONFIG, msgspec.json.format(msgspec.json.encode(config)))
    write_atomically(folder / FILE, tokenizer.to_str(pretty=False).encode())


def adopt(base: Path, folder: Path) -> None:
    """Copy the tokenizer of a base: a folder, or a GGUF. Raises ``Invalid`` where it has none that we can read."""
    folder.mkdir(parents=True, exist_ok=True)
    if base.is_file():  # the store's files have no ending
        _adopt_gguf(base, folder)
        return
    source = base if (base / FILE).is_file() else base / "tokenizer"
    if not (source / FILE).is_file():
        raise Invalid(
            f"{base} has no {FILE}",
            remedy="name the folder of a Hugging Face model with a fast tokenizer in prepare.base, or a GGUF",
        )
    for name in (CONFIG, "special_tokens_map.json", FILE):
        if (source / name).is_file():
            write_atomically(folder / name, (source / name).read_bytes())


def load(folder: Path) -> "Tokenizer":
    """The tokenizer of a folder. Text that looks like a special token is text to it: no file can end its own document."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str((folder / FILE).read_text("utf-8"))
    except OSError as error:
        raise Invalid(f"{folder} has no {FILE}", remedy="run the stage prepare first") from error
    except Exception as error:
        # The library raises nothing narrower.
        raise Invalid(f"{folder / FILE} cannot be read: {error}", remedy="name another base") from error
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def specials(tokenizer: "Tokenizer", folder: Path) -> Specials:
    """Which special tokens there are. Raises ``Invalid`` where nothing ends a document."""
    config = _config(folder)

    def id_of(*names: object) -> int:
        found = (tokenizer.token_to_id(name) for name in names if isinstance(name, str) and name)
        return next((one for one in found if one is not None), -1)

    end = id_of(_name(config.get("eos_token")), *ENDS)
    if end < 0:
        raise Invalid(f"the tokenizer in {folder} has no token that ends a text", remedy="set eos_token in its config")
    # A chat model ends turns with its eos token, and documents with another.
    end = id_of("<|endoftext|>") if id_of("<|endoftext|>") >= 0 else end
    for fim in (QWEN_FIM, GRANITE4_FIM, CODEGEMMA_FIM, STARCODER_FIM, STARCODER2_FIM):
        prefix, suffix, middle = id_of(fim.prefix), id_of(fim.suffix), id_of(fim.middle)
        if min(prefix, suffix, middle) >= 0:
            break
    else:
        prefix = suffix = middle = -1
        fim = QWEN_FIM
    return Specials(
        end=end,
        pad=next((one for one in (id_of(fim.pad), id_of(_name(config.get("pad_token")))) if one >= 0), end),
        prefix=prefix,
        suffix=suffix,
        middle=middle,
        repo=id_of(fim.repo),
        file=id_of(fim.file),
        start_turn=id_of("<|im_start|>"),
        end_turn=id_of("<|im_end|>"),
        order="none" if prefix < 0 else str(config.get(FIM_ORDER, "psm")),
    )


def all_special(tokenizer: "Tokenizer") -> list[int]:
    """Ids that stand for no text of a document."""
    return sorted(number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special)


def _adopt_gguf(base: Path, folder: Path) -> None:
    """Byte-level BPE with Qwen2's split regex, as ours and Qwen's are, is read from the file itself; any other by transformers."""
    if not base.is_file():
        raise Invalid(f"{base} is not there", remedy="name a GGUF file in prepare.base")
    told = read_header(base).metadata
    if (told.get("tokenizer.ggml.model"), told.get("tokenizer.ggml.pre")) != ("gpt2", "qwen2"):
        _adopt_by_transformers(base, folder)
        return
    tokens = [str(token) for token in _listed(told, "tokenizer.ggml.tokens")]
    merges = [
        (left, right) for left, _, right in (one.partition(" ") for one in _listed(told, "tokenizer.ggml.merges"))
    ]
    control = [
        token for token, kind in zip(tokens, _listed(told, "tokenizer.ggml.token_type"), strict=True) if kind == CONTROL
    ]
    tokenizer = _bpe({token: number for number, token in enumerate(tokens)}, merges)
    tokenizer.add_special_tokens(control)
    end, pad = told.get("tokenizer.ggml.eos_token_id"), told.get("tokenizer.ggml.padding_token_id")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": tokens[end] if isinstance(end, int) else None,
        "pad_token": tokens[pad] if isinstance(pad, int) else None,
        "additional_special_tokens": control,
        "clean_up_tokenization_spaces": False,
        "chat_template": told.get("tokenizer.chat_template"),
        FIM_ORDER: told.get(ORDER_KEY, "psm"),
    }
    write_atomically(folder / CONFIG, msgspec.json.format(msgspec.json.encode(config)))
    write_atomically(folder / FILE, tokenizer.to_str(pretty=False).encode())


def _listed(told: Mapping[str, Any], key: str) -> list[Any]:
    return list(told.get(key) or ())


def _adopt_by_transformers(base: Path, folder: Path) -> None:
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(str(base.parent), gguf_file=base.name, local_files_only=True)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise Invalid(
            f"the tokenizer in {base.name} cannot be read: {str(error).splitlines()[0]}",
            remedy="name the Hugging Face folder of the same model in prepare.base",
        ) from error
    found.save_pretrained(str(folder))


def _config(folder: Path) -> dict[str, Any]:
    place = folder / CONFIG
    try:
        return msgspec.json.decode(place.read_bytes(), type=dict[str, Any]) if place.is_file() else {}
    except msgspec.MsgspecError as error:
        raise Invalid(f"{place} is not JSON: {error}", remedy="name another base") from error


def _name(token: object) -> object:
    """A token's text: configs hold it plain, or in a table."""
    return token.get("content") if isinstance(token, dict) else token


def _some_at_once(texts: Iterable[str]) -> Iterator[list[str]]:
    """The library wants batches: one text at a time costs it a lock each."""
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == 256:
            yield batch
            batch = []
    if batch:
        yield batch
