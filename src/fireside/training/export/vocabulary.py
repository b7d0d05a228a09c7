"""A Hugging Face tokenizer as a GGUF tells it: byte-level BPE, its special tokens, and the chat template. Reads JSON; loads no tokenizer.

llama.cpp splits text by expressions it knows by name; a tokenizer that splits otherwise would be understood wrongly, so it is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fireside.core.errors import Invalid
from fireside.models.card import FimTokens
from fireside.models.families import DEEPSEEK_FIM, GRANITE4_FIM, QWEN_FIM, STARCODER2_FIM, STARCODER_FIM
from fireside.models.gguf_writer import Value
from fireside.training.export.checkpoint import read_json

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# How text is split before BPE -> llama.cpp's name of it (llama-vocab.cpp, tokenizer.ggml.pre).
SPLITS: Mapping[str, str] = {
    _WORDS + r"\p{N}" + _REST: "qwen2",
    _WORDS + r"\p{N}{1,3}" + _REST: "llama-bpe",
}
FAMILIES: Sequence[FimTokens] = (QWEN_FIM, GRANITE4_FIM, STARCODER2_FIM, STARCODER_FIM, DEEPSEEK_FIM)
FIM_ORDER = "fireside_fim_order"
ENDS_TURN = ("<|im_end|>", "<|eot_id|>", "<|end_of_turn|>")
OTHER = "name a model with a byte-level BPE tokenizer of Qwen2, Llama 3, GPT-2 or Fireside itself"


def metadata(folder: Path, size: int) -> dict[str, Value]:
    """What a GGUF says of the tokenizer in ``folder``. ``size``: rows of the embedding; there may be more than tokens.

    Raises ``Invalid`` for a tokenizer that llama.cpp would understand otherwise.
    """
    told = read_json(folder / "tokenizer.json")
    config = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    model = told.get("model")
    if not isinstance(model, dict) or model.get("type") != "BPE" or model.get("byte_fallback"):
        raise Invalid(f"the tokenizer in {folder} is no byte-level BPE", remedy=OTHER)
    added = [entry for entry in told.get("added_tokens") or [] if isinstance(entry, dict)]
    texts, kinds = _tokens(model, added, size, folder)
    numbers = {text: number for number, text in enumerate(texts)}
    found: dict[str, Value] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": split_name(told, folder),
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": list(_merges(model, folder)),
    }
    found |= _special(folder, config, numbers)
    found["tokenizer.ggml.add_bos_token"] = _adds_bos(told, config)
    found |= _fim(config, numbers)
    template = _template(folder, config)
    return found | ({"tokenizer.chat_template": template} if template else {})


def split_name(told: Mapping[str, Any], folder: Path) -> str:
    """llama.cpp's name for how the tokenizer splits text. Raises ``Invalid`` when it has none."""
    parts = list(_flat(told.get("pre_tokenizer")))
    bytes_of = next((part for part in parts if part.get("type") == "ByteLevel"), None)
    splits = [part for part in parts if part.get("type") == "Split"]
    others = {str(part.get("type")) for part in parts} - {"ByteLevel", "Split"}
    if bytes_of is None or others or len(splits) > 1:
        raise Invalid(f"the tokenizer in {folder} splits text in a way of its own", remedy=OTHER)
    if bytes_of.get("add_prefix_space"):
        raise Invalid(f"the tokenizer in {folder} puts a blank before every text", remedy=OTHER)
    if not splits:
        if bytes_of.get("use_regex", True):
            return "gpt-2"
        raise Invalid(f"the tokenizer in {folder} does not split text into words", remedy=OTHER)
    pattern = splits[0].get("pattern") or {}
    name = SPLITS.get(str(pattern.get("Regex", "")))
    if name is None:
        raise Invalid(f"the tokenizer in {folder} splits text by an expression llama.cpp does not know", remedy=OTHER)
    return name


def _flat(part: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, dict):
        if part.get("type") == "Sequence":
            for inner in part.get("pretokenizers") or []:
                yield from _flat(inner)
        else:
            yield part


def _tokens(
    model: Mapping[str, Any], added: Sequence[Mapping[str, Any]], size: int, folder: Path
) -> tuple[list[str], list[int]]:
    """The text and the kind of every row of the embedding; rows without a token get a name nobody types."""
    vocabulary = dict(model.get("vocab") or {})
    special = {str(entry["content"]): bool(entry.get("special")) for entry in added}
    vocabulary |= {str(entry["content"]): entry["id"] for entry in added}
    texts = [f"[PAD{number}]" for number in range(size)]
    kinds = [UNUSED] * size
    for text, number in vocabulary.items():
        if not isinstance(number, int) or not 0 <= number < size:
            raise Invalid(
                f"the tokenizer in {folder} has the token {number}, and the model {size} rows",
                remedy="take the tokenizer that belongs to the model",
            )
        if kinds[number] != UNUSED:
            raise Invalid(f"the tokenizer in {folder} gives two tokens the number {number}", remedy=OTHER)
        texts[number] = text
        kinds[number] = NORMAL if text not in special else CONTROL if special[text] else USER_DEFINED
    return texts, kinds


def _merges(model: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Older tokenizer.json files hold "a b", newer ones ["a", "b"]."""
    for merge in model.get("merges") or []:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if len(pair) != 2 or any(" " in part for part in pair):
            raise Invalid(f"the tokenizer in {folder} has the merge {merge!r}, which is no pair", remedy=OTHER)
        yield f"{pair[0]} {pair[1]}"


def _special(folder: Path, config: Mapping[str, Any], numbers: Mapping[str, int]) -> dict[str, Value]:
    def of(name: str) -> int | None:
        text = text_of(config.get(name))
        return numbers.get(text) if text else None

    ids = {"bos": of("bos_token"), "eos": of("eos_token"), "padding": of("pad_token"), "unknown": of("unk_token")}
    model_config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    for key, name in (("bos", "bos_token_id"), ("eos", "eos_token_id")):
        if ids[key] is None:
            value = model_config.get(name)
            value = value[0] if isinstance(value, list) and value else value
            ids[key] = value if isinstance(value, int) and 0 <= value < len(numbers) else None
    if ids["eos"] is None:
        raise Invalid(
            f"nothing in {folder} says which token ends a text", remedy="set eos_token in its tokenizer_config.json"
        )
    turn = next((numbers[text] for text in ENDS_TURN if text in numbers), ids["eos"])
    found: dict[str, Value] = {
        f"tokenizer.ggml.{key}_token_id": number for key, number in ids.items() if number is not None
    }
    return found | {"tokenizer.ggml.eot_token_id": turn}


def _adds_bos(told: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether a text gets the token for its beginning: by the tokenizer's word, or by its template for one text."""
    if isinstance(config.get("add_bos_token"), bool):
        return bool(config["add_bos_token"])
    first = text_of(config.get("bos_token"))
    processors = told.get("post_processor") or {}
    for part in processors.get("processors") or [processors]:
        single = part.get("single") or [] if isinstance(part, dict) else []
        if single and first and (single[0].get("SpecialToken") or {}).get("id") == first:
            return True
    return False


def _fim(config: Mapping[str, Any], numbers: Mapping[str, int]) -> dict[str, Value]:
    family = next((one for one in FAMILIES if {one.prefix, one.suffix, one.middle} <= numbers.keys()), None)
    if family is None:
        return {}
    words = {
        "fim_pre": family.prefix,
        "fim_suf": family.suffix,
        "fim_mid": family.middle,
        "fim_pad": family.pad,
        "fim_rep": family.repo,
        "fim_sep": family.file,
    }
    found: dict[str, Value] = {
        f"tokenizer.ggml.{key}_token_id": numbers[text] for key, text in words.items() if text in numbers
    }
    order = config.get(FIM_ORDER)
    return found | ({"fireside.fim_order": order} if order == "joined" else {})


def _template(folder: Path, config: Mapping[str, Any]) -> str:
    place = folder / "chat_template.jinja"
    if place.is_file():
        return place.read_text("utf-8")
    told = config.get("chat_template")
    if isinstance(told, list):
        told = next((entry.get("template") for entry in told if entry.get("name") == "default"), "")
    return told if isinstance(told, str) else ""


def text_of(token: object) -> str:
    """A token's text: configurations hold it plain, or in a table."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""
