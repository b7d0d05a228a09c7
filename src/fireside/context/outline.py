"""What a file or a folder holds, without its code: paths and signatures. Knows the index; reads no file."""

from collections.abc import Sequence

from fireside.index.chunks import Symbol
from fireside.index.index import Index
from fireside.index.paths import kinds

INDENT = "  "
# A folder of more files is listed by name alone: its signatures would be a map, and there is one.
FILES_WITH_SIGNATURES = 40
MOST_FILES = 400
DEEPEST = 1
LINE_LENGTH = 120


def of_file(index: Index, path: str) -> str:
    """The signatures of a file with their lines, or "" where none are known."""
    return "\n".join(f"{symbol.start_line}: {_line(symbol)}" for symbol in index.symbols_in(path))


def of_folder(index: Index, paths: Sequence[str]) -> str:
    """Each path, and below it what it defines for others on its outer two levels."""
    if len(paths) > FILES_WITH_SIGNATURES:
        return of_names(paths)
    lines: list[str] = []
    for path in paths:
        lines.append(path)
        lines += [
            INDENT + _line(symbol)
            for symbol in index.symbols_in(path)
            if _depth(symbol) <= DEEPEST
            and symbol.kind not in ("variable", "section")
            and not symbol.name.startswith("_")
        ]
    return "\n".join(lines)


def of_names(paths: Sequence[str]) -> str:
    """The paths alone, the first 400 of them."""
    rest = len(paths) - MOST_FILES
    return "\n".join((*paths[:MOST_FILES], *([f"and {rest} more files"] if rest > 0 else ())))


def sources_first(paths: Sequence[str]) -> list[str]:
    """Plain sources before tests, examples, documents and generated files."""
    return sorted(paths, key=lambda path: (bool(kinds(path)), path))


def _line(symbol: Symbol) -> str:
    text = symbol.signature or symbol.name
    return INDENT * _depth(symbol) + (text if len(text) <= LINE_LENGTH else f"{text[: LINE_LENGTH - 1]}…")


def _depth(symbol: Symbol) -> int:
    return symbol.qualified.count(" > " if symbol.kind == "section" else ".")
