"""What a file defines: names, kinds, extents, signatures and documentation, read from its syntax tree.

Knows trees and comment marks. Which nodes are definitions is said by each language's query.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Query

WRAPPERS = frozenset(
    (
        "decorated_definition",
        "export_statement",
        "lexical_declaration",
        "variable_declaration",
        "template_declaration",
        "type_declaration",
        "const_declaration",
        "var_declaration",
        "expression_statement",
    )
)
CONTAINERS = frozenset(("class", "struct", "interface", "trait", "impl", "enum"))
COMMENT_LINE = re.compile(
    r"\s*(//|/\*|\*|#(?!\s*(?:include|define|if|ifdef|ifndef|elif|else|endif|pragma|undef|error)\b|!)|--|;;)"
)
ATTRIBUTE_LINE = re.compile(r"\s*(@\w|#\[|\[\w.*\]\s*$|__attribute__)")
COMMENT_MARK = re.compile(r"^\s*(/\*\*?!?|///?!?|\*/|\*(?!\*)|#+|--+|;+)\s?|\s*\*/\s*$")
STRING_MARK = re.compile(r"^[rRbBuUfF]{0,2}('''|\"\"\"|'|\")|('''|\"\"\"|'|\")$")
RECEIVER = re.compile(rb"func\s*\(\s*(?:\w+\s+)?\*?\s*(\w+)")
GENERICS = re.compile(r"<.*>|\[.*\]", re.DOTALL)
ANNOTATIONS = re.compile(r"(?:\s*(?:@[\w.]+(?:\([^()]*\))?|\[[^\[\]]*\]|//[^\n]*\n))+\s*(?=\w)")
TAG = re.compile(r"</?\w+[^<>]*>")
# What a parser calls a name when macros have led it astray.
NO_NAME = re.compile(r"(?!operator\b).*\s|(namespace|class|struct|if|for|while|switch|return)$", re.DOTALL)
SIGNATURE_LENGTH = 240
DOC_LENGTH = 400
COMMENT_LINES = 60


@dataclass(frozen=True, slots=True)
class Definition:
    """Rows count from 0, both ends included. ``lead_row``: where its comments and attributes begin."""

    name: str
    qualified: str
    kind: str
    lead_row: int
    start_row: int
    end_row: int
    signature: str
    doc: str


@dataclass(frozen=True, slots=True)
class Found:
    node: "Node"
    outer: "Node"
    kind: str
    name: str


def definitions(root: "Node", query: "Query", lines: Sequence[str], language: str) -> list[Definition]:
    """All definitions under ``root``, in the order of the text, outer before inner."""
    from tree_sitter import QueryCursor

    found: dict[tuple[int, str], Found] = {}
    for _, captures in QueryCursor(query).matches(root):
        one = _found(captures, language)
        # One node may fit two patterns (a constant that is a function): the first pattern is the more telling one.
        if one is not None and (key := (one.node.start_byte, one.name)) not in found:
            found[key] = one
    ordered = sorted(found.values(), key=lambda one: (one.outer.start_byte, -one.outer.end_byte, one.node.start_byte))
    return _nest(ordered, lines, language)


def _found(captures: "dict[str, list[Node]]", language: str) -> Found | None:
    kind = next(name for name in captures if name != "name")
    node = captures[kind][0]
    names = captures.get("name")
    named = names[0] if names else _declared(node)
    if named is None or named.text is None:
        return None
    outer = node
    while (parent := outer.parent) is not None and parent.type in WRAPPERS and parent.named_child_count <= 3:
        outer = parent
    name = named.text.decode(errors="replace")
    return None if language != "markdown" and NO_NAME.match(name) else Found(node, outer, kind, name)


def _declared(node: "Node") -> "Node | None":
    """The name inside C's nested declarators."""
    inner: Node | None = node
    while inner is not None and (deeper := inner.child_by_field_name("declarator")) is not None:
        inner = deeper
    if inner is None or inner is node:
        return None
    if inner.type in ("parenthesized_declarator", "reference_declarator") and inner.named_children:
        return _declared(inner.named_children[0]) or inner.named_children[0]
    return inner


def _nest(ordered: Sequence[Found], lines: Sequence[str], language: str) -> list[Definition]:
    result: list[Definition] = []
    stack: list[tuple[int, str, str]] = []
    separator = " > " if language == "markdown" else "."
    for one in ordered:
        while stack and stack[-1][0] <= one.node.start_byte:
            stack.pop()
        name, prefix = _name(one, language)
        outer = stack[-1][1] if stack else ""
        qualified = separator.join(part for part in (outer, prefix, name) if part)
        kind = "method" if one.kind == "function" and stack and stack[-1][2] in CONTAINERS else one.kind
        stack.append((one.node.end_byte, qualified, kind))
        result.append(_definition(one, name, qualified, kind, lines, language))
    return result


def _name(one: Found, language: str) -> tuple[str, str]:
    """(name, what it is written inside): ``Foo::bar`` and ``Foo.prototype.bar`` are ``bar`` in ``Foo``."""
    text = " ".join(one.name.split())
    if language == "markdown":
        return text[:120], ""
    if one.kind == "method" and language == "go":
        receiver = RECEIVER.match(one.node.text or b"")
        return text, receiver[1].decode() if receiver else ""
    if one.kind == "impl":
        text = GENERICS.sub("", text)
    parts = [
        part.strip()
        for part in re.split(r"::|\.", text)
        if part.strip() not in ("", "prototype", "this", "exports", "module")
    ]
    return (parts[-1], ".".join(parts[:-1])) if parts else (text, "")


def _definition(one: Found, name: str, qualified: str, kind: str, lines: Sequence[str], language: str) -> Definition:
    start, end = one.outer.start_point[0], one.outer.end_point[0]
    if one.outer.end_point[1] == 0 and end > start:
        end -= 1
    lead = start if language == "markdown" else _lead(lines, start)
    doc = _docstring(one.node) if language == "python" else ""
    if not doc and lead < start:
        doc = _first_paragraph(
            COMMENT_MARK.sub("", line) for line in lines[lead:start] if not ATTRIBUTE_LINE.match(line)
        )
    return Definition(name, qualified, kind, lead, start, min(end, len(lines) - 1), _signature(one, lines), doc)


def _lead(lines: Sequence[str], start: int) -> int:
    """First row of the comments and attributes right above ``start``."""
    row = start
    while (
        row > 0
        and start - row < COMMENT_LINES
        and (COMMENT_LINE.match(lines[row - 1]) or ATTRIBUTE_LINE.match(lines[row - 1]))
    ):
        row -= 1
    return row


def _signature(one: Found, lines: Sequence[str]) -> str:
    node = one.node
    value = node.child_by_field_name("value") or node.child_by_field_name("right")
    body = node.child_by_field_name("body") or (value.child_by_field_name("body") if value is not None else None)
    if body is None or body.start_byte <= node.start_byte or node.text is None:
        return " ".join(lines[node.start_point[0]].split())[:SIGNATURE_LENGTH]
    text = node.text[: body.start_byte - node.start_byte].decode(errors="replace")
    annotations = ANNOTATIONS.match(text)
    return " ".join(text[annotations.end() if annotations else 0 :].split())[:SIGNATURE_LENGTH].rstrip(" {:")


def _docstring(node: "Node") -> str:
    body = node.child_by_field_name("body")
    first = body.named_children[0] if body is not None and body.named_children else None
    string = (
        first.named_children[0]
        if first is not None and first.type == "expression_statement" and first.named_children
        else None
    )
    if string is None or string.type != "string" or string.text is None:
        return ""
    return _first_paragraph(STRING_MARK.sub("", string.text.decode(errors="replace")).split("\n"))


def _first_paragraph(lines: Iterable[str]) -> str:
    """Text up to the first blank line or tag line (``@return``), without XML tags."""
    kept: list[str] = []
    for line in lines:
        text = TAG.sub("", line).strip()
        if text and not text.startswith("@"):
            kept.append(text)
        elif kept:
            break
    return " ".join(kept)[:DOC_LENGTH]
