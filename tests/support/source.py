"""The source tree as the house tests read it: modules, their syntax trees, and who imports whom."""

import ast
import configparser
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "fireside"


@dataclass(frozen=True)
class Module:
    name: str
    path: Path
    tree: ast.Module

    @property
    def where(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def room(self) -> str:
        """The sub-package; empty for the package itself."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""


@dataclass(frozen=True)
class Import:
    """``level``: module (runs when the module is loaded), typing (under TYPE_CHECKING) or function (runs when called)."""

    target: str
    line: int
    level: str


@cache
def modules() -> tuple[Module, ...]:
    return tuple(
        Module(_name(path), path, ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(PACKAGE.rglob("*.py"))
    )


@cache
def module_names() -> frozenset[str]:
    return frozenset(module.name for module in modules())


def imports(module: Module) -> Iterator[Import]:
    """Every import statement; ``from package import name`` counts as the module ``package.name`` where there is one."""
    yield from _walk(module.tree, "module", module)


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@cache
def floors() -> dict[str, int]:
    """The floor of each room, counted from the top, as the layers contract in .importlinter draws the house."""
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    lines = contract["importlinter:contract:layers"]["layers"].split("\n")
    rows = [line for line in lines if line.strip()]
    return {room.strip(" ()"): floor for floor, row in enumerate(rows) for room in row.split("|")}


def _name(path: Path) -> str:
    parts = ("fireside", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _walk(node: ast.AST, level: str, module: Module) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, level)
        elif isinstance(child, ast.ImportFrom):
            yield from _from(child, level, module)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk(child, "function", module)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _walk(child, "typing" if level == "module" else level, module)
        else:
            yield from _walk(child, level, module)


def _from(node: ast.ImportFrom, level: str, module: Module) -> Iterator[Import]:
    start = node.module or ""
    if node.level:
        package = module.name.split(".") if module.path.name == "__init__.py" else module.name.split(".")[:-1]
        start = ".".join([*package[: len(package) - node.level + 1], *([start] if start else [])])
    for alias in node.names:
        whole = f"{start}.{alias.name}"
        yield Import(whole if whole in module_names() else start, node.lineno, level)
