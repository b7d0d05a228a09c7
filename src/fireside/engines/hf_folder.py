"""A checkpoint's folder, read without loading it: which model this is, and what it can do. Needs neither torch nor transformers."""

from collections.abc import Mapping
from pathlib import Path

import orjson

from fireside.core.errors import Invalid
from fireside.models.card import Capability, FimTokens, ModelCard
from fireside.models.families import family_of


def read_card(folder: Path, engine: str, *, context: int) -> ModelCard:
    """The card of the checkpoint in ``folder``. ``context``: the most tokens a request may have here.

    Raises ``Invalid`` for a folder that holds no checkpoint, or weights only as pickles, which are programs.
    """
    config = _read(folder / "config.json", folder)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise Invalid(
            f"{folder} holds no weights as safetensors",
            remedy="convert them: transformers' save_pretrained writes safetensors",
        )
    template = _template(folder)
    family = family_of(folder.name, str(config.get("model_type", "")), template)
    generates = any(str(name).endswith("ForCausalLM") for name in _list(config.get("architectures")))
    fim = family.fim if generates and family.fim and _knows(folder, family.fim) else None
    can: set[Capability] = {"embed"}
    can |= {"chat"} if generates and template else set()
    can |= {"fim"} if fim else set()
    trained_for = config.get("max_position_embeddings")
    return ModelCard(
        name=folder.name,
        engine=engine,
        family=family.name,
        context_window=min(context, trained_for) if isinstance(trained_for, int) else context,
        capabilities=frozenset(can),
        fim=fim,
        quantization=str(config.get("dtype") or config.get("torch_dtype") or ""),
        size=sum(file.stat().st_size for file in weights),
        path=str(folder),
    )


def _template(folder: Path) -> str:
    """The chat template, from a file of its own or from the tokenizer's settings; empty for a model that does not chat."""
    apart = folder / "chat_template.jinja"
    if apart.exists():
        return apart.read_text(encoding="utf-8")
    settings = folder / "tokenizer_config.json"
    return str(_read(settings, folder).get("chat_template") or "") if settings.exists() else ""


def _knows(folder: Path, fim: FimTokens) -> bool:
    """Whether the tokenizer has the family's fill-in-the-middle tokens: a base model and its fine-tunes may differ."""
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.exists():
        return False
    added = {str(entry.get("content")).strip(" ▁") for entry in _list(_read(tokenizer, folder).get("added_tokens"))}
    return {fim.prefix.strip(), fim.suffix.strip()} <= added


def _read(path: Path, folder: Path) -> Mapping[str, object]:
    try:
        value = orjson.loads(path.read_bytes())
    except OSError as error:
        raise Invalid(
            f"{folder} holds no checkpoint: {path.name}: {error.strerror}",
            remedy="name a folder with a config.json in it",
        ) from error
    except orjson.JSONDecodeError as error:
        raise Invalid(f"{path} is not JSON: {error}", remedy="get the checkpoint again") from error
    if not isinstance(value, dict):
        raise Invalid(f"{path} is not a JSON object", remedy="get the checkpoint again")
    return value


def _list(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []
