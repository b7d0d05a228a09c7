"""What a name is doing at one place of a text: defined, called, imported, used, or only spoken of.

Knows syntax trees and line habits; no index, no files. Where there is no grammar the words around the place decide, which is right most
of the time.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fireside.index.languages import PROSE, SETTINGS, grammar
from fireside.index.symbols import COMMENT_LINE

if TYPE_CHECKING:
    from tree_sitter import Node

KINDS = ("definition", "call", "import", "use", "comment", "string", "text")
DOLLAR_IN_NAMES = frozenset(("javascript", "typescript", "tsx", "java"))
MAX_ERRORS = 5_000
# Node types, over all grammars that come with us.
IMPORTS = re.compile(r"import|^use_declaration$|preproc_include|using_d|namespace_use|extern_crate|^package_clause$")
DEFINES = re.compile(
    r"definition|preproc_def|preproc_function_def|declaration|declarator|_item$|_spec$|_specifier$|_signature$|^(class|module|method|method_elem|singleton_method|alias"
    r"|enumerator|enum_variant|enum_assignment|enum_constant|const_element|property_element)$"
)
NO_DEFINITION = re.compile(r"parameter|argument|^import")
CALLS = re.compile(
    r"(^|_)call(_expression)?$|^call_expression|_invocation$|^invocation_|^new_expression$|^object_creation_|^command$"
)
CALLED = ("function", "method", "name", "constructor", "type", "macro")
MEMBERS = re.compile(
    r"^(attribute|member_expression|selector_expression|field_expression|scoped_identifier|scoped_type_identifier|qualified_identifier"
    r"|member_access_expression|field_access|method_invocation|member_call_expression|scoped_call_expression|nullsafe_\w+"
    r"|class_constant_access_expression|scoped_property_access_expression|scope_resolution|call|qualified_type|nested_type_identifier)$"
)
OBJECTS = ("object", "operand", "value", "argument", "path", "scope", "receiver", "expression", "package", "module")
LAST = ("attribute", "property", "field", "name", "method")
WRAPS = re.compile(
    r"^(generic_|template_function|template_method|template_type|command_name|instantiation_expression|variable_name)"
)
CODE_IN_STRING = re.compile(r"interpolation|substitution|expansion|^variable_name$|^heredoc_redirect$")
# Words, where there is no grammar.
DEFINING_WORD = re.compile(
    r"\b(def|defp|func|fun|function|fn|class|struct|interface|trait|enum|type|module|object|protocol|record|sub|proc|let|val|var|const"
    r"|local|message|rpc|service|table|view|procedure|macro|defmodule|defmacro|data|newtype)\s+(?:[\w.]+[.:])?$"
)
IMPORTING_LINE = re.compile(r"\s*(import|use|using|require|include|#\s*include|from|open|alias|load|source)\b")
LOADED = re.compile(r"\b(require|require_relative|import)\b\s*\(?\s*['\"][^'\"]*$")
RECEIVER_BEFORE = re.compile(r"([\w$)\]]+)\s*(?:\.|::|->|\?\.|:)$")
RECEIVER_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Occurrence:
    """``row`` and ``column`` count from 0, in characters. ``kind``: one of ``KINDS``. ``receiver``: what stands before the dot, or ""."""

    row: int
    column: int
    kind: str
    receiver: str = ""


def boundaries(name: str, language: str) -> re.Pattern[str]:
    """Finds ``name`` as a whole identifier of ``language``."""
    inside = r"[\w$]" if language in DOLLAR_IN_NAMES or "$" in name else r"\w"
    before = rf"(?<!{inside})" if re.match(inside, name) else ""
    after = rf"(?!{inside})" if re.search(inside + r"\Z", name) else ""
    # In Ruby "save" and "save!" are two methods.
    other = r"(?![?!](?!=))" if language == "ruby" and after else ""
    return re.compile(before + re.escape(name) + after + other)


def occurrences(name: str, text: str, language: str) -> Iterator[Occurrence]:
    """Every place of ``name`` in a text with ``\\n`` line ends, in order."""
    pattern = boundaries(name, language)
    if pattern.search(text) is None:
        return
    root = None if language in PROSE or language in SETTINGS else _tree(text, language)
    for row, line in enumerate(text.split("\n")):
        for found in pattern.finditer(line):
            kind, receiver = _by_words(line, found, language) if root is None else _by_syntax(root, line, row, found)
            if kind == "string" and LOADED.search(line, 0, found.start()):
                kind = "import"
            yield Occurrence(row, found.start(), kind, receiver)


def _tree(text: str, language: str) -> "Node | None":
    try:
        known = grammar(language)
    except (ImportError, OSError, ValueError, SyntaxError):
        return None
    if known is None:
        return None
    from tree_sitter import Parser

    # A parser of its own: the known one may be at work in another thread, for an update.
    root = Parser(known[0].language).parse(text.encode("utf-8", "surrogatepass")).root_node
    return None if root.type == "ERROR" and root.child_count > MAX_ERRORS else root


def _by_syntax(root: "Node", line: str, row: int, found: re.Match[str]) -> tuple[str, str]:
    start = len(line[: found.start()].encode("utf-8", "surrogatepass"))
    end = start + len(found[0].encode("utf-8", "surrogatepass"))
    node = root.descendant_for_point_range((row, start), (row, end))
    if node is None:
        return "use", ""
    spoken = _spoken(node)
    if spoken:
        return spoken, ""
    receiver, whole = _receiver(node)
    if _is_definition(node):
        return "definition", receiver
    return ("call" if _is_called(whole) else "use"), receiver


def _spoken(node: "Node") -> str:
    """ "comment", "string" or "import" where a place is part of one, else ""."""
    text, code = "", False
    at: Node | None = node
    while at is not None:
        kind = at.type
        if "comment" in kind:
            return "comment"
        if IMPORTS.search(kind) and at.parent is not None:
            return "import"
        if kind == "export_statement" and at.child_by_field_name("source") is not None:
            return "import"
        code = code or CODE_IN_STRING.search(kind) is not None
        if not code and ("string" in kind or kind in ("heredoc_body", "char_literal", "regex", "regex_pattern")):
            text = "string"
        at = at.parent
    return text


def _receiver(node: "Node") -> tuple[str, "Node"]:
    """What stands before the dot, and the node that holds both."""
    whole = node
    while (parent := whole.parent) is not None and WRAPS.search(parent.type):
        whole = parent
    if parent is None or not MEMBERS.search(parent.type):
        return "", whole
    if not any(parent.child_by_field_name(field) == whole for field in LAST):
        return "", whole
    for field in OBJECTS:
        there = parent.child_by_field_name(field)
        if there is not None and there != whole and there.text is not None:
            return there.text[:RECEIVER_LENGTH].decode(errors="replace"), parent
    return "", whole if CALLS.search(parent.type) else parent


def _is_definition(node: "Node") -> bool:
    at = node
    while (parent := at.parent) is not None:
        if NO_DEFINITION.search(parent.type):
            return False
        if parent.type in ("assignment", "assignment_expression", "pair"):
            return _is_assigned(at, parent)
        if parent.child_by_field_name("property") == at:
            if parent.type == "field_definition":
                return True
            at = parent  # exports.name = function ...
            continue
        if at not in (parent.child_by_field_name("name"), parent.child_by_field_name("declarator")):
            return False
        if DEFINES.search(parent.type) and not parent.type.endswith("declarator"):
            # "struct name *p" uses the struct, "struct name {...}" defines it.
            return not parent.type.endswith("_specifier") or parent.child_by_field_name("body") is not None
        if parent.type == "variable_declarator":
            return True
        at = parent
    return False


def _is_assigned(node: "Node", parent: "Node") -> bool:
    """Whether an assignment makes the name one of its module or class, or gives it a function."""
    if node not in (parent.child_by_field_name("left"), parent.child_by_field_name("key")):
        return False
    value = parent.child_by_field_name("right") or parent.child_by_field_name("value")
    if value is not None and ("function" in value.type or value.type == "class"):
        return True
    outer = parent.parent.parent if parent.parent is not None else None
    if parent.type != "assignment" or outer is None or node.type != "identifier":
        return False
    return outer.type == "module" or (
        outer.type == "block" and outer.parent is not None and outer.parent.type == "class_definition"
    )


def _is_called(whole: "Node") -> bool:
    parent = whole.parent
    while parent is not None and WRAPS.search(parent.type):
        whole, parent = parent, parent.parent
    if CALLS.search(whole.type):
        return True  # receiver and name hang under the call itself
    if parent is None or not CALLS.search(parent.type):
        return False
    return (
        any(parent.child_by_field_name(field) == whole for field in CALLED)
        or parent.type == "object_creation_expression"
    )


def _by_words(line: str, found: re.Match[str], language: str) -> tuple[str, str]:
    """The same without a grammar."""
    if language in PROSE or language in SETTINGS:
        return "text", ""
    before, after = line[: found.start()], line[found.end() :]
    receiver = RECEIVER_BEFORE.search(before)
    if COMMENT_LINE.match(line) or re.search(r"(^|\s)(//|#|--|;)\s", before):
        return "comment", ""
    if DEFINING_WORD.search(before):
        return "definition", ""
    if IMPORTING_LINE.match(line):
        return "import", ""
    if before.count('"') % 2 or before.count("'") % 2:
        return "string", ""
    return ("call" if after.lstrip().startswith("(") else "use"), receiver[1] if receiver else ""
