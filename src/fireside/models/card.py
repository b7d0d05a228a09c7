"""A model's card: everything the house needs to know about a model without loading it."""

from dataclasses import dataclass
from typing import Literal

Capability = Literal["chat", "tools", "fim", "embed", "json_schema", "vision", "thinking"]


@dataclass(frozen=True, slots=True)
class FimTokens:
    """Fill-in-the-middle control tokens as text.

    ``order``: psm = prefix, suffix, middle; spm = suffix, prefix, middle; joined = suffix, then prefix and middle as one text after the
    middle token (Bavarian et al., arXiv 2207.14255, section 4.3, "SPM variant 2"), so that the answer simply goes on.
    """

    prefix: str
    suffix: str
    middle: str
    pad: str = ""
    repo: str = ""
    file: str = ""
    order: Literal["psm", "spm", "joined"] = "psm"
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model on one engine.

    ``name``: as the engine knows it. ``context_window``: tokens one request may use, prompt and answer together (0 = unknown).
    ``parameters``: how many weights; ``size``: bytes on disk or in memory (0 = unknown for both). ``sha256`` or another digest.
    ``adapter``: a LoRA as GGUF that is laid over the file at ``path``.
    """

    name: str
    engine: str
    family: str = ""
    context_window: int = 0
    capabilities: frozenset[Capability] = frozenset()
    fim: FimTokens | None = None
    quantization: str = ""
    parameters: int = 0
    size: int = 0
    path: str = ""
    sha256: str = ""
    parent: str = ""
    adapter: str = ""

    def can(self, capability: Capability) -> bool:
        return capability in self.capabilities
