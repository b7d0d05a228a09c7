"""Whether a text is still syntax: counts what tree-sitter could not parse. Knows languages and trees; no cases."""

from functools import lru_cache
from typing import TYPE_CHECKING

from fireside.index.languages import grammar

if TYPE_CHECKING:
    from tree_sitter import Node, Tree


def tree_of(text: str, language: str) -> "Tree | None":
    """The syntax tree, or ``None`` for a language without a grammar here."""
    known = grammar(language)
    return known[0].parse(text.encode("utf-8", "surrogatepass")) if known is not None else None


def parses(before: str, inserted: str, after: str, language: str, *, original: str) -> bool | None:
    """Whether the text brings no error that the ``original`` does not have; ``None`` where nobody can tell."""
    here, there = damage(before + inserted + after, language), damage(original, language)
    return None if here is None or there is None else here <= there


@lru_cache(maxsize=64)
def damage(text: str, language: str) -> int | None:
    """How many places tree-sitter could not make sense of: error nodes, and tokens it had to think up."""
    tree = tree_of(text, language)
    if tree is None:
        return None
    count, pending = 0, [tree.root_node]
    while pending:
        node = pending.pop()
        if node.is_error or node.is_missing:
            count += 1
        pending.extend(child for child in node.children if _broken(child))
    return count


def _broken(node: "Node") -> bool:
    return node.has_error or node.is_missing
