"""What the doctor looks at, put together by ``app.assembly``. No check gets at anything that does not stand here."""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fireside.config.paths import Paths
from fireside.config.secrets import Secrets
from fireside.core.errors import Invalid
from fireside.engines.egress import Egress
from fireside.engines.endpoint import Endpoint
from fireside.engines.engine import Engine
from fireside.engines.ollama import OllamaEngine
from fireside.models.store import StoredModel

PROBE = (sys.executable, "-c", "import xllamacpp; print(xllamacpp.__version__)")


@dataclass(frozen=True, slots=True)
class Machine:
    """``features``: the CPU's, in small letters; empty when unknown. ``memory``, ``available``: bytes; 0 when unknown."""

    features: frozenset[str] = frozenset()
    memory: int = 0
    available: int = 0

    @classmethod
    def look(cls) -> "Machine":
        """This machine, as Linux tells it; elsewhere only its whole memory is known."""
        features = _first_line("/proc/cpuinfo", "flags") or _first_line("/proc/cpuinfo", "Features")
        memory, available = _kibibytes("MemTotal"), _kibibytes("MemAvailable")
        if not memory and hasattr(os, "sysconf"):
            memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return cls(frozenset(features.split()), memory, available)


@dataclass(frozen=True, slots=True)
class OllamaTarget:
    """``endpoint``: where its address came from and what was mended. ``num_ctx``: tokens, as configured; 0 when it is chosen."""

    engine: OllamaEngine
    endpoint: Endpoint
    num_ctx: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorInputs:
    """``problem``: why the configuration cannot be used; then the rest is looked at with the defaults.

    ``variables``: the ``FIRESIDE_`` variables that stand for a setting, beside those with two underscores. ``aliases``: name -> MODEL or
    MODEL@ENGINE. ``engines``: all of them, Ollama too. ``plugins``: engines of other packages that cannot be loaded. ``needs_secret``:
    engine -> the name of its secret. ``index_folder``: this project's index. ``probe``: the command that tries the embedded engine.
    ``self_test``: runs it on a small model and says in one line how that went; raises ``FiresideError``.
    """

    paths: Paths
    root: Path
    index_folder: Path
    secrets: Secrets
    egress: Egress
    environ: Mapping[str, str] = field(default_factory=dict)
    problem: Invalid | None = None
    variables: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    engines: tuple[Engine, ...] = ()
    plugins: tuple[Invalid, ...] = ()
    needs_secret: Mapping[str, str] = field(default_factory=dict)
    ollama: tuple[OllamaTarget, ...] = ()
    models: tuple[StoredModel, ...] = ()
    machine: Machine = field(default_factory=Machine.look)
    probe: tuple[str, ...] = PROBE
    in_environment: bool = sys.prefix != sys.base_prefix
    self_test: Callable[[], Awaitable[str]] | None = None


def _first_line(path: str, key: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return next((line.partition(":")[2] for line in file if line.startswith(key)), "").strip().lower()
    except OSError:
        return ""


def _kibibytes(key: str) -> int:
    words = _first_line("/proc/meminfo", key).split()
    return int(words[0]) * 1024 if words else 0
