"""What a measurement was made with: machine, versions, the model's card, and a digest of the whole question. Asks the system, no model."""

import contextlib
import hashlib
import os
import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from fireside import __version__
from fireside.core.values import replace
from fireside.models.card import ModelCard

PACKAGES = ("xllamacpp", "numpy", "tree-sitter", "aiohttp", "jsonschema-rs")


def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, memory in bytes; what the system does not say is left out."""
    found: dict[str, Any] = {"machine": platform.machine(), "system": platform.system(), "cores": cores()}
    name = _processor()
    if name:
        found["processor"] = name
    with contextlib.suppress(AttributeError, ValueError, OSError):
        found["memory"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return found


def cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Of Fireside, Python, and of what a figure may depend on."""
    found = {"fireside": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def card_facts(card: ModelCard | None) -> dict[str, Any]:
    """What says which model it was. No path: reports are shown to others."""
    if card is None:
        return {}
    facts = {
        "name": card.name,
        "engine": card.engine,
        "family": card.family,
        "parameters": card.parameters,
        "quantization": card.quantization,
        "size": card.size,
        "sha256": card.sha256,
        "parent": card.parent,
        "context_window": card.context_window,
    }
    return {key: value for key, value in facts.items() if value}


def with_digest(card: ModelCard | None) -> ModelCard | None:
    """The card with its file's sha256, where the model is a file here and nobody has said it. Reads the whole file, once."""
    if card is None or card.sha256 or not card.path or not Path(card.path).is_file():
        return card
    stat = Path(card.path).stat()
    return replace(card, sha256=_sha256(card.path, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=8)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(*parts: object) -> str:
    """Equal for equal questions."""
    data = msgspec.json.encode(parts, order="sorted", enc_hook=str)
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
