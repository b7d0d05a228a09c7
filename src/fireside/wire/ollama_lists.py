"""What a server that answers Ollama's clients says of its models: tags, show, ps, progress, version. Knows no file and no engine.

Source: the ``api`` package of Ollama's 0.33 line.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import sqrt

import orjson

from fireside.core.requests import Vectors
from fireside.wire.ollama_answers import stamp
from fireside.wire.ollama_words import exactly

Json = dict[str, object]
# The contract that is kept; clients refuse servers that are too old. Ours stands beside it.
VERSION = "0.33.0"
# Ollama's names for what a model can do, in its order. Whatever writes text completes.
CAPABILITIES = (
    ("completion", ("chat", "fim")),
    ("tools", ("tools",)),
    ("insert", ("fim",)),
    ("vision", ("vision",)),
    ("embedding", ("embed",)),
    ("thinking", ("thinking",)),
)
SCALES = ((10**9, "B", 1), (10**6, "M", 2), (10**3, "K", 0))
# Go's longest duration, as Ollama says it of a model that stays.
EVER = timedelta(days=106751)


@dataclass(frozen=True, slots=True)
class Described:
    """One model. ``digest``: 64 hexadecimal digits. ``modified``: seconds since 1970. ``capabilities``: in our words.

    ``parent``: the model it was made from. ``parameters``: options it always has. ``metadata``: what else its file says.
    """

    name: str
    digest: str
    size: int = 0
    modified: float = 0.0
    family: str = ""
    weights: int = 0
    quantization: str = ""
    context_window: int = 0
    capabilities: Iterable[str] = ()
    parent: str = ""
    system: str = ""
    template: str = ""
    license: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    messages: Sequence[object] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InMemory:
    """A model that is loaded. ``size``, ``size_vram``: bytes. ``expires``: seconds since 1970; negative: never."""

    model: Described
    size: int
    size_vram: int
    context_length: int
    expires: float


def write_version(ours: str) -> bytes:
    return orjson.dumps({"version": VERSION, "fireside": ours})


def write_status() -> bytes:
    """Nothing here ever runs in Ollama's cloud."""
    return orjson.dumps({"cloud": {"disabled": True, "source": "config"}})


def write_tags(models: Iterable[Described]) -> bytes:
    return orjson.dumps({"models": [_tag(model) for model in models]})


def write_ps(models: Iterable[InMemory]) -> bytes:
    """The one that stays longest comes first."""
    longest = sorted(models, key=lambda each: (each.expires >= 0, -each.expires))
    return orjson.dumps({"models": [_loaded(each) for each in longest]})


def write_show(model: Described) -> bytes:
    body: Json = {
        "modelfile": _modelfile(model),
        "details": _details(model),
        "model_info": _model_info(model),
        "capabilities": capabilities(model.capabilities),
        "modified_at": _time(model.modified),
    }
    optional = {
        "license": model.license,
        "parameters": "\n".join(_parameters(model.parameters)),
        "template": model.template,
        "system": model.system,
        "messages": list(model.messages),
    }
    return orjson.dumps(body | {name: value for name, value in optional.items() if value})


def write_progress(status: str, *, digest: str = "", total: int = 0, completed: int = 0) -> bytes:
    """A line of a pull or a creation. Bytes."""
    line: Json = {"status": status}
    if digest:
        line["digest"] = digest
    if total:
        line |= {"total": total, "completed": completed}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def write_embedded(model: str, vectors: Vectors, *, dimensions: int | None, seconds: float, tokens: int) -> bytes:
    """The answer to ``/api/embed``. Its vectors have the length 1."""
    duration = max(1, int(seconds * 1e9))
    body: Json = {
        "model": model,
        "embeddings": [_unit(vector, dimensions) for vector in vectors],
        "total_duration": duration,
        "load_duration": max(1, duration // 1000),
        "prompt_eval_count": tokens,
    }
    return orjson.dumps(body)


def write_old_embedding(vectors: Vectors) -> bytes:
    return orjson.dumps({"embedding": vectors[0] if vectors else []})


def capabilities(ours: Iterable[str]) -> list[str]:
    able = frozenset(ours)
    return [name for name, any_of in CAPABILITIES if not able.isdisjoint(any_of)]


def parameter_size(weights: int) -> str:
    """7_600_000_000 as ``7.6B``; empty when unknown."""
    for scale, letter, digits in SCALES:
        if weights >= scale:
            return f"{weights / scale:.{0 if weights % scale == 0 else digits}f}{letter}"
    return str(weights) if weights else ""


def _tag(model: Described) -> Json:
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": _time(model.modified),
        "size": model.size,
        "digest": model.digest,
        "details": _details(model),
        "capabilities": capabilities(model.capabilities),
    }


def _loaded(each: InMemory) -> Json:
    tag = _tag(each.model)
    del tag["modified_at"]
    expires = datetime.now(UTC) + EVER if each.expires < 0 else datetime.fromtimestamp(each.expires, UTC)
    return tag | {
        "size": each.size,
        "size_vram": each.size_vram,
        "context_length": each.context_length,
        "expires_at": stamp(expires),
    }


def _details(model: Described) -> Json:
    details: Json = {
        "parent_model": model.parent,
        "format": "gguf",
        "family": model.family,
        "families": [model.family] if model.family else [],
        "parameter_size": parameter_size(model.weights),
        "quantization_level": model.quantization,
    }
    return details | ({"context_length": model.context_window} if model.context_window else {})


def _model_info(model: Described) -> Json:
    """Clients look for the key that ends in ``.context_length``. It says what may be used here, not what the model was made for."""
    architecture = model.metadata.get("general.architecture") or model.family or "fireside"
    info: Json = {"general.architecture": architecture, **model.metadata}
    if model.weights:
        info["general.parameter_count"] = model.weights
    if model.context_window:
        info[f"{architecture}.context_length"] = model.context_window
    return info


def _modelfile(model: Described) -> str:
    lines = [f"# Modelfile of {model.name}", f"FROM {model.parent or model.name}"]
    if model.template:
        lines.append(f'TEMPLATE """{model.template}"""')
    if model.system:
        lines.append(f'SYSTEM """{model.system}"""')
    lines += [f"PARAMETER {line}" for line in _parameters(model.parameters)]
    if model.license:
        lines.append(f'LICENSE """{model.license}"""')
    return "\n".join(lines) + "\n"


def _parameters(parameters: Mapping[str, object]) -> list[str]:
    each = [
        (name, one)
        for name, value in sorted(parameters.items())
        for one in (value if isinstance(value, list) else [value])
    ]
    return [f"{name:<30} {orjson.dumps(one).decode()}" for name, one in each]


def _time(seconds: float) -> str:
    return stamp(datetime.fromtimestamp(seconds, UTC))


def _unit(vector: list[float], dimensions: int | None) -> list[float]:
    """The first numbers, of length 1 again (Kusupati et al., Matryoshka Representation Learning, NeurIPS 2022)."""
    if dimensions is not None and dimensions < len(vector):
        vector = vector[:dimensions]
    elif dimensions is not None and dimensions > len(vector):
        raise exactly(f"dimensions: this model's vectors have {len(vector)} numbers", remedy="ask for fewer, or none")
    length = sqrt(sum(number * number for number in vector))
    return vector if not length or abs(length - 1) < 1e-6 else [number / length for number in vector]
