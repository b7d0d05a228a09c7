"""Every suite by its name, loaded when it is asked for."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, cast

from fireside.core.errors import Invalid
from fireside.evals.suite import Suite

# Name -> where it is. The order is that of ``fireside eval list``.
SUITES: Mapping[str, str] = MappingProxyType(
    {
        "fim-line": "fim_line:FimLine",
        "fim-syntax": "fim_syntax:FimSyntax",
        "pass-at-k": "passk:PassAtK",
        "edits": "edits:Edits",
        "tools": "tools:Tools",
        "review": "review:Review",
        "latency": "latency:Latency",
        "calculator": "calculator:Calculator",
    }
)
USUAL = ("fim-line", "fim-syntax", "latency")


def suite(name: str, **options: Any) -> Suite:
    """A suite ready to run. ``options``: what its constructor takes. Raises ``Invalid`` for a name there is not."""
    check((name,))
    module, _, attribute = SUITES[name].partition(":")
    made = getattr(import_module(f"fireside.evals.{module}"), attribute)
    return cast(Suite, made(**options))


def check(names: Sequence[str]) -> None:
    """Raises ``Invalid`` for a name there is not."""
    for name in names:
        if name not in SUITES:
            raise Invalid(f"there is no suite {name!r}", remedy=f"one of: {', '.join(SUITES)}")
