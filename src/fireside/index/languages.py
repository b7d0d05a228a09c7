"""Which language a file is in, and where that language's definitions stand in its syntax tree.

Knows extensions, grammars and queries; not files, chunks or ranking. A grammar is loaded the first time a file needs it; a language
without one is still text.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Parser, Query

EXTENSIONS = {
    "python": "py pyi pyw",
    "javascript": "js mjs cjs jsx",
    "typescript": "ts mts cts",
    "tsx": "tsx",
    "go": "go",
    "rust": "rs",
    "java": "java",
    "c": "c h",
    "cpp": "cc cpp cxx c++ hh hpp hxx h++ ipp inl tpp cu cuh",
    "bash": "sh bash zsh ksh bats",
    "ruby": "rb rake gemspec ru",
    "php": "php phtml",
    "csharp": "cs csx",
    "markdown": "md markdown mdx",
    "toml": "toml",
    "yaml": "yaml yml",
    "json": "json jsonc json5",
    "html": "html htm xhtml vue svelte astro",
    "css": "css scss sass less",
    "sql": "sql",
    "lua": "lua",
    "kotlin": "kt kts",
    "swift": "swift",
    "scala": "scala sc",
    "dart": "dart",
    "elixir": "ex exs",
    "erlang": "erl hrl",
    "haskell": "hs lhs",
    "ocaml": "ml mli",
    "clojure": "clj cljs cljc edn",
    "julia": "jl",
    "r": "r",
    "perl": "pl pm",
    "zig": "zig",
    "nix": "nix",
    "powershell": "ps1 psm1",
    "vim": "vim",
    "protobuf": "proto",
    "graphql": "graphql gql",
    "terraform": "tf tfvars hcl",
    "cmake": "cmake",
    "xml": "xml xsd xsl",
    "restructuredtext": "rst",
    "ini": "ini cfg conf properties",
    "groovy": "groovy gradle",
    "objective-c": "m mm",
    "fortran": "f90 f95 f03 for",
    "assembly": "s asm",
    "latex": "tex",
    "solidity": "sol",
    "fish": "fish",
    "lisp": "el lisp scm rkt",
    "fsharp": "fs fsx fsi",
}
BY_EXTENSION = {extension: language for language, all_of in EXTENSIONS.items() for extension in all_of.split()}
BY_NAME = {
    "makefile": "make",
    "gnumakefile": "make",
    "dockerfile": "dockerfile",
    "containerfile": "dockerfile",
    "cmakelists.txt": "cmake",
    "rakefile": "ruby",
    "gemfile": "ruby",
    "vagrantfile": "ruby",
    "jenkinsfile": "groovy",
    "build.bazel": "starlark",
    ".bashrc": "bash",
    ".zshrc": "bash",
    ".profile": "bash",
}
INTERPRETERS = {
    "python": "python",
    "sh": "bash",
    "bash": "bash",
    "zsh": "bash",
    "node": "javascript",
    "ruby": "ruby",
    "php": "php",
}
ALIASES = {
    "py": "python",
    "js": "javascript",
    "ts": "typescript",
    "rs": "rust",
    "c++": "cpp",
    "c#": "csharp",
    "cs": "csharp",
}
ALIASES |= {
    "rb": "ruby",
    "sh": "bash",
    "shell": "bash",
    "md": "markdown",
    "golang": "go",
    "yml": "yaml",
    "kt": "kotlin",
}
TEXT = "text"
CPP_MARK = re.compile(r"^\s*(class|namespace|template|public:|private:|using namespace)\b|\bstd::", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Grammar:
    """``module``, ``function``: where the wheel keeps the language. ``definitions``: a tree-sitter query.

    Each pattern captures the definition under its kind and, where one node is it, the name as ``@name``.
    """

    module: str
    definitions: str
    function: str = "language"


PYTHON = """
(function_definition name: (identifier) @name) @function
(class_definition name: (identifier) @name) @class
(module (expression_statement (assignment left: (identifier) @name) @variable))
(module (type_alias_statement left: (type) @name) @type)
"""
JAVASCRIPT = """
(function_declaration name: (identifier) @name) @function
(generator_function_declaration name: (identifier) @name) @function
(class_declaration name: (_) @name) @class
(method_definition name: (_) @name) @function
(variable_declarator name: (identifier) @name value: [(arrow_function) (function_expression) (generator_function) (class)]) @function
(assignment_expression left: (member_expression) @name right: [(function_expression) (arrow_function) (class)]) @function
(pair key: (property_identifier) @name value: [(function_expression) (arrow_function)]) @function
(program (lexical_declaration (variable_declarator name: (identifier) @name) @variable))
(program (export_statement (lexical_declaration (variable_declarator name: (identifier) @name) @variable)))
"""
TYPESCRIPT = (
    JAVASCRIPT
    + """
(abstract_class_declaration name: (_) @name) @class
(interface_declaration name: (_) @name) @interface
(type_alias_declaration name: (_) @name) @type
(enum_declaration name: (_) @name) @enum
(internal_module name: (_) @name) @module
(module name: (_) @name) @module
(function_signature name: (_) @name) @function
(method_signature name: (_) @name) @function
(abstract_method_signature name: (_) @name) @function
(public_field_definition name: (_) @name value: [(arrow_function) (function_expression)]) @function
"""
)
GO = """
(function_declaration name: (identifier) @name) @function
(method_declaration name: (field_identifier) @name) @method
(type_spec name: (type_identifier) @name) @type
(type_alias name: (type_identifier) @name) @type
(source_file (const_declaration (const_spec name: (identifier) @name) @variable))
(source_file (var_declaration (var_spec name: (identifier) @name) @variable))
"""
RUST = """
(function_item name: (identifier) @name) @function
(function_signature_item name: (identifier) @name) @function
(struct_item name: (type_identifier) @name) @struct
(enum_item name: (type_identifier) @name) @enum
(union_item name: (type_identifier) @name) @struct
(trait_item name: (type_identifier) @name) @trait
(impl_item type: (_) @name) @impl
(mod_item name: (identifier) @name body: (_)) @module
(macro_definition name: (identifier) @name) @macro
(type_item name: (type_identifier) @name) @type
(const_item name: (identifier) @name) @variable
(static_item name: (identifier) @name) @variable
"""
JAVA = """
(class_declaration name: (identifier) @name) @class
(interface_declaration name: (identifier) @name) @interface
(enum_declaration name: (identifier) @name) @enum
(record_declaration name: (identifier) @name) @class
(annotation_type_declaration name: (identifier) @name) @interface
(method_declaration name: (identifier) @name) @function
(constructor_declaration name: (identifier) @name) @function
"""
C = """
(function_definition) @function
(declaration declarator: (function_declarator)) @declaration
(declaration declarator: (pointer_declarator (function_declarator))) @declaration
(struct_specifier name: (_) @name body: (_)) @struct
(union_specifier name: (_) @name body: (_)) @struct
(enum_specifier name: (_) @name body: (_)) @enum
(type_definition declarator: (type_identifier) @name) @type
(preproc_function_def name: (identifier) @name) @macro
"""
CPP = (
    C
    + """
(class_specifier name: (_) @name body: (_)) @class
(namespace_definition name: (_) @name) @module
(field_declaration declarator: (function_declarator)) @declaration
(alias_declaration name: (_) @name) @type
(concept_definition name: (_) @name) @type
"""
)
BASH = "(function_definition name: (word) @name) @function"
RUBY = """
(method name: (_) @name) @function
(singleton_method name: (_) @name) @function
(class name: (_) @name) @class
(module name: (_) @name) @module
"""
PHP = """
(function_definition name: (name) @name) @function
(method_declaration name: (name) @name) @function
(class_declaration name: (name) @name) @class
(interface_declaration name: (name) @name) @interface
(trait_declaration name: (name) @name) @class
(enum_declaration name: (name) @name) @enum
"""
CSHARP = """
(class_declaration name: (identifier) @name) @class
(struct_declaration name: (identifier) @name) @struct
(interface_declaration name: (identifier) @name) @interface
(record_declaration name: (identifier) @name) @class
(enum_declaration name: (identifier) @name) @enum
(delegate_declaration name: (identifier) @name) @type
(method_declaration name: (identifier) @name) @function
(constructor_declaration name: (identifier) @name) @function
(property_declaration name: (identifier) @name) @property
"""
MARKDOWN = """
(section (atx_heading heading_content: (inline) @name)) @section
(section (setext_heading heading_content: (paragraph) @name)) @section
"""
GRAMMARS = {
    "python": Grammar("tree_sitter_python", PYTHON),
    "javascript": Grammar("tree_sitter_javascript", JAVASCRIPT),
    "typescript": Grammar("tree_sitter_typescript", TYPESCRIPT, "language_typescript"),
    "tsx": Grammar("tree_sitter_typescript", TYPESCRIPT, "language_tsx"),
    "go": Grammar("tree_sitter_go", GO),
    "rust": Grammar("tree_sitter_rust", RUST),
    "java": Grammar("tree_sitter_java", JAVA),
    "c": Grammar("tree_sitter_c", C),
    "cpp": Grammar("tree_sitter_cpp", CPP),
    "bash": Grammar("tree_sitter_bash", BASH),
    "ruby": Grammar("tree_sitter_ruby", RUBY),
    "php": Grammar("tree_sitter_php", PHP, "language_php"),
    "csharp": Grammar("tree_sitter_c_sharp", CSHARP),
    "markdown": Grammar("tree_sitter_markdown", MARKDOWN),
}
PROSE = frozenset(("markdown", "restructuredtext", "text", "latex", "html"))
SETTINGS = frozenset(("toml", "yaml", "json", "ini", "xml"))


def language_of(path: str, text: str = "") -> str:
    """The language of a file by its name, else by its ``#!`` line, else "text". A ``.h`` with C++ in it is C++."""
    name = PurePosixPath(path).name.lower()
    extension = name.rpartition(".")[2] if "." in name else ""
    known = BY_NAME.get(name) or BY_EXTENSION.get(extension)
    if extension == "h" and CPP_MARK.search(text, 0, 20_000):
        return "cpp"
    if known or not text.startswith("#!"):
        return known or ("dockerfile" if name.startswith("dockerfile.") else TEXT)
    words = text[2:].partition("\n")[0].replace("/usr/bin/env", "").split()
    program = words[0].rpartition("/")[2] if words else ""
    return INTERPRETERS.get(program.rstrip("0123456789."), TEXT)


def canonical(name: str) -> str:
    """The name used here for a language a user typed (``py``, ``C#``, ``TypeScript``)."""
    lowered = name.strip().lower().lstrip(".")
    return ALIASES.get(lowered) or BY_EXTENSION.get(lowered) or lowered


@cache
def grammar(language: str) -> "tuple[Parser, Query] | None":
    """The parser and the definitions query of a language; None when there is no grammar for it.

    Raises ``ImportError`` when a grammar that should be there is not: the caller falls back to lines and says so.
    """
    known = GRAMMARS.get(language)
    if known is None:
        return None
    from importlib import import_module

    from tree_sitter import Language, Parser, Query

    tree_sitter_language = Language(getattr(import_module(known.module), known.function)())
    return Parser(tree_sitter_language), Query(tree_sitter_language, known.definitions)
