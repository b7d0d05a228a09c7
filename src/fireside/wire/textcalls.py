"""Tool calls that a model printed as text, read back. What they are allowed to be is the gateway's question, not asked here.

A text is a call only as a whole: one value or many, with the marks of ``envelopes`` around them and nothing else. Knows no tool.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from fireside.core.values import replace
from fireside.wire.envelopes import AROUND, BETWEEN, FORMS, FRAMED, NAME, NAMED_OBJECT, OPENER, TAGGED_FORMS
from fireside.wire.lenient import Fault, NotJson, Reading, read_object, read_value, unfenced

CALLS_IN_FENCES = frozenset(("", "json", "jsonc", "json5", "tool_call", "tool_calls", "tool_code", "tool"))
PYTHON_IN_FENCES = frozenset(("tool_call", "tool_calls", "tool_code", "tool"))
NAMES = ("name", "tool_name", "tool", "function_name")
ARGUMENTS = ("arguments", "parameters", "args", "input")
WRAPPERS = ("function", "tool_call", "tool_calls", "function_call")
ASIDE = ("type", "id", "call_id", "tool_call_id", "index")
KEYS = (*NAMES, *ARGUMENTS, *WRAPPERS, *ASIDE)
TYPES = ("function", "function_call", "tool_call", "tool_use", "tool")
KEY = re.compile(r"""["'\u201c]?([A-Za-z_]*+)["'\u201d]?\s*+""")
VALUE = re.compile(r"""["'\u201c]([^"'\u201c\u201d\n]*+)(["'\u201d]?)""")
SPACE = re.compile(r"\s*")
PYTHON = re.compile(rf"\[?\s*(?P<name>{NAME})\s*\(")
NAME_ONLY = re.compile(rf"\[?\s*({NAME})?")
NAME_IN_TAG = re.compile(
    rf"""<function=({NAME})>|<invoke\sname=["']?({NAME})["']?\s*>|(?:<\|channel\|>\w*)?\s*to=({NAME})(?=[\s<])"""
    rf"""|(?:<｜tool▁call▁begin｜>|<\|tool_call_begin\|>)\s*(?:function\s*<｜tool▁sep｜>)?\s*(?!function\s*<)({NAME})(?=[\s<])"""
)
TAG_STARTS = (
    "<function=",
    "<invoke name=",
    "<|channel|>",
    "to=",
    "<｜tool▁call▁begin｜>",
    "<|tool_call_begin|>",
    *AROUND,
)
LONGEST_TAG = 160
# Nobody asks for more at once; a text that seems to is something else.
MOST_CALLS = 64
# Python's own reader takes seconds for a text that is longer.
LONGEST_PYTHON = 200_000
SINGLES: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """``arguments``: the object, its values as they stood there. ``form``: how it was written. ``faults``: of its JSON."""

    name: str
    arguments: dict[str, object]
    form: str
    faults: frozenset[Fault] = frozenset()


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What the beginning of a text tells: "never" a call, "perhaps", or a call if ``name`` is a tool's. ``whole``: the name is complete.

    An empty ``name``: a call whose name comes later.
    """

    verdict: Literal["never", "perhaps", "named"]
    name: str = ""
    whole: bool = True


NEVER, PERHAPS = Glimpse("never"), Glimpse("perhaps")


def read_calls(text: str) -> list[WrittenCall]:
    """All calls of which ``text`` consists; none when anything else stands in it."""
    fence = unfenced(text.strip())
    if fence is None:
        return _read_all(text, "")
    label, inside = fence
    if label not in CALLS_IN_FENCES or OPENER.match(inside, _space(inside, 0)):
        return []
    calls = _read_all(inside, "fenced")
    python = PYTHON.match(inside.lstrip()) is not None
    return [] if python and label not in PYTHON_IN_FENCES else calls


def glimpse(text: str, at: int) -> Glimpse:
    """What a text that begins at ``at`` may become, without an envelope around it."""
    at = _space(text, at)
    first = text[at : at + 1]
    if first == "[":
        inner = _space(text, at + 1)
        if inner == len(text):
            return PERHAPS
        at, first = (inner, text[inner]) if text[inner] == "{" else (at, first)
    if first == "{":
        return _glimpse_object(text, at + 1)
    name = NAME_ONLY.match(text, at)
    if name is None or name[1] is None:
        return NEVER
    end = _space(text, name.end())
    if end == len(text):
        return Glimpse("named", name[1], whole=False)
    return Glimpse("named", name[1]) if text[end] == "(" else NEVER


def glimpse_envelope(text: str, at: int) -> Glimpse:
    """What a text with one of the marks of ``envelopes`` at ``at`` may become."""
    begin = BETWEEN.match(text, at)
    inner = begin.end() if begin else at
    if inner == len(text):
        return PERHAPS
    if text[inner] in "{[":
        seen = glimpse(text, inner)
        if seen is not NEVER or text[inner] == "{":
            return seen
    rest = text[inner : inner + LONGEST_TAG]
    if any(rest.startswith(start) or start.startswith(rest) for start in TAG_STARTS):
        tag = NAME_IN_TAG.match(rest)
        if tag is None:
            return PERHAPS if len(rest) < LONGEST_TAG else NEVER
        return Glimpse("named", next(group for group in tag.groups() if group))
    name = NAME_ONLY.match(rest)
    if name is None or not name[1]:
        return NEVER
    after = rest[name.end() :].lstrip()
    if not after:
        return Glimpse("named", name[1], whole=False)
    return Glimpse("named", name[1]) if after[0] in "{([<" else NEVER


def _glimpse_object(text: str, at: int) -> Glimpse:
    """The keys of an object, up to the one that tells."""
    while True:
        found = KEY.match(text, _space(text, at))
        assert found is not None
        key, at = found[1], found.end()
        if at == len(text):
            return PERHAPS if any(known.startswith(key) for known in KEYS) else NEVER
        if key not in KEYS or text[at] != ":":
            return NEVER
        at = _space(text, at + 1)
        if key in ARGUMENTS:
            return Glimpse("named")
        while key in WRAPPERS and text[at : at + 1] == "[":
            at = _space(text, at + 1)
        if at == len(text):
            return PERHAPS
        if key in WRAPPERS and text[at] == "{":
            at += 1
            continue
        value = VALUE.match(text, at)
        if value is None:
            return NEVER
        if key in (*NAMES, *WRAPPERS):
            return Glimpse("named", value[1], whole=bool(value[2]))
        if not value[2]:
            return PERHAPS
        at = _space(text, value.end())
        if (key == "type" and value[1] not in TYPES) or text[at : at + 1] not in (",", ""):
            return NEVER
        at += 1
        if at >= len(text):
            return PERHAPS


def _read_all(text: str, form: str) -> list[WrittenCall]:
    calls: list[WrittenCall] = []
    at = 0
    while True:
        marked = OPENER.match(text, _space(text, at))
        if marked:
            form = FORMS[marked[0]]
        between = BETWEEN.match(text, at)
        at = between.end() if between else at
        if at == len(text):
            return calls
        try:
            found, at = _read_one(text, at, enveloped=form not in ("", "fenced"))
        except NotJson:
            return []
        calls += (replace(call, form=form) if form else call for call in found)
        if len(calls) > MOST_CALLS:
            return []


def _read_one(text: str, at: int, *, enveloped: bool) -> tuple[list[WrittenCall], int]:
    """The call, or the list of calls, at ``at``. Raises ``NotJson``."""
    named = NAMED_OBJECT.match(text, at)
    if named is not None:
        reading = read_value(text, named.end())
        name = next(group for group in named.groups() if group)
        return [WrittenCall(name, _object(reading.value), "named", reading.faults)], _past_debris(
            text, reading.end, "`"
        )
    for call, argument in TAGGED_FORMS:
        if tagged := call.match(text, at):
            return _read_tags(text, tagged, argument, framed=call is FRAMED)
    if PYTHON.match(text, at):
        return _read_python(text, at)
    reading = read_value(text, at)
    return list(_calls_in(reading, enveloped=enveloped)), _past_debris(text, reading.end)


def _calls_in(reading: Reading, *, enveloped: bool) -> Iterator[WrittenCall]:
    entries = reading.value if isinstance(reading.value, list) else [reading.value]
    if not entries:
        raise NotJson("no call")
    for entry in entries:
        for name, arguments, faults in _calls_of(_object(entry), 0, enveloped=enveloped):
            yield WrittenCall(name, arguments, "json", reading.faults | faults)


def _calls_of(
    entry: dict[str, object], depth: int, *, enveloped: bool
) -> Iterator[tuple[str, dict[str, object], frozenset[Fault]]]:
    """The calls an object stands for: itself, or what it wraps. Raises ``NotJson`` when it holds anything that is no part of a call.

    Only in an envelope is a name without arguments a call.
    """
    if not entry.keys() <= set(KEYS) or depth > 2 or entry.get("type", "function") not in TYPES:
        raise NotJson("other things than a call")
    wrapped = [entry[key] for key in WRAPPERS if isinstance(entry.get(key), dict | list)]
    names = [entry[key] for key in (*NAMES, *WRAPPERS) if isinstance(entry.get(key), str)]
    arguments = [entry[key] for key in ARGUMENTS if key in entry]
    if len(wrapped) == 1 and not names and not arguments:
        for inner in wrapped[0] if isinstance(wrapped[0], list) else wrapped:
            yield from _calls_of(_object(inner), depth + 1, enveloped=enveloped)
    elif len(names) == 1 and len(arguments) == 1 and not wrapped:
        reading = read_object(arguments[0]) if isinstance(arguments[0], str) else Reading(arguments[0], 0)
        yield str(names[0]), _object(reading.value), reading.faults
    elif enveloped and len(names) == 1 and not arguments and not wrapped:
        yield str(names[0]), {}, frozenset()
    else:
        raise NotJson("no name and arguments")


def _read_tags(
    text: str, call: re.Match[str], argument: re.Pattern[str], *, framed: bool
) -> tuple[list[WrittenCall], int]:
    arguments: dict[str, object] = {}
    at = call.end()
    while found := argument.match(text, at):
        value = found[2]
        arguments[found[1].strip()] = value.removeprefix("\n").removesuffix("\n") if framed else value
        at = found.end()
    return [WrittenCall(call["name"], arguments, "xml")], _space(text, at)


def _read_python(text: str, at: int) -> tuple[list[WrittenCall], int]:
    """Calls with named arguments, one a line or in a list, up to the next mark. Nothing is evaluated: literals only."""
    mark = OPENER.search(text, at)
    end = mark.start() if mark else len(text)
    if end - at > LONGEST_PYTHON:
        raise NotJson("too long")
    try:
        with warnings.catch_warnings():
            # An unknown escape in a text is no concern of whoever reads the log.
            warnings.simplefilter("ignore")
            statements = ast.parse(text[at : _without_end(text, at, end)]).body
        return [_python_call(node) for statement in statements for node in _listed(statement)], end
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise NotJson("no Python call") from error


def _without_end(text: str, at: int, end: int) -> int:
    """Where Python ends and the marks behind it begin."""
    while end > at:
        if text[end - 1] in " \t\r\n;":
            end -= 1
        elif text.endswith(AROUND, at, end):
            end -= next(len(mark) for mark in AROUND if text.endswith(mark, at, end))
        else:
            break
    return end


def _listed(statement: ast.stmt) -> list[ast.expr]:
    if not isinstance(statement, ast.Expr):
        raise ValueError("a program")
    value = statement.value
    return value.elts if isinstance(value, ast.List | ast.Tuple) else [value]


def _python_call(node: ast.expr) -> WrittenCall:
    if not isinstance(node, ast.Call) or node.args or not isinstance(node.func, ast.Name | ast.Attribute):
        raise ValueError("no call by names")
    arguments = {_given(each.arg): _plain(ast.literal_eval(_Words().visit(each.value))) for each in node.keywords}
    return WrittenCall(ast.unparse(node.func), arguments, "pythonic")


def _given(name: str | None) -> str:
    if name is None:
        raise ValueError("arguments from elsewhere")
    return name


def _plain(value: object) -> object:
    """A value as JSON has it."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(each) for key, each in value.items()}
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value)):
        return value
    raise ValueError("no JSON")


class _Words(ast.NodeTransformer):
    """JSON's words are names in Python."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(SINGLES[node.id]) if node.id in SINGLES else node


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise NotJson("no object")
    return value


def _past_debris(text: str, at: int, also: str = "") -> int:
    """Behind a value: brackets too many, and the end of DeepSeek's fence."""
    at = _space(text, at)
    while at < len(text) and text[at] in "}]" + also:
        at += 1
    return at


def _space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at
