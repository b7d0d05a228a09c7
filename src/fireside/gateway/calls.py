"""The tools one request offers, and what a model's call must be to be one of them: a known name, arguments that fit the schema.

What the schema asks for is put right where that adds nothing of our own: "5" becomes 5 where a number is wanted, one value a list of one.
Knows nothing of text and streams.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from fireside.core.identity import new_id
from fireside.core.messages import JsonSchema, ToolCall, ToolSpec
from fireside.core.values import replace
from fireside.wire.lenient import NotJson, dump, read_object, read_value
from fireside.wire.textcalls import WrittenCall

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

PREFIXES = ("functions.", "function.", "tools.", "tool.", "default_api.")
# Kimi numbers its calls; MCP clients put the server's name in front.
NUMBERED = re.compile(r":\d+\Z")
INTEGER = re.compile(r"[+-]?\d{1,18}")
FLOAT = re.compile(r"[+-]?\d{1,18}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?")
SWITCHES = {"true": True, "false": False}
ROUNDS = 4
ERRORS_A_ROUND = 32
# Bytes of a schema that is kept for the next request: whoever sends longer ones would fill the memory with them.
MOST_KEPT = 64 * 1024
# A schema shown as if it were arguments.
OF_SCHEMAS = frozenset(("type", "properties"))


@dataclass(frozen=True, slots=True)
class Mended:
    """A call as it may go out, and what was wrong with it: names of faults, sorted; none for a call that was right."""

    call: ToolCall
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spellings:
    """``names``: a name without case and joints -> the tools it may mean. ``whole``: all of those, prefixes and all, sorted."""

    names: dict[str, list[str]]
    whole: list[str]

    def may_begin(self, beginning: str) -> bool:
        at = bisect_left(self.whole, beginning)
        return at < len(self.whole) and self.whole[at].startswith(beginning)


@lru_cache(maxsize=64)
def _spellings(offered: tuple[str, ...]) -> Spellings:
    # Agents offer the same tools with every request.
    names: dict[str, list[str]] = {}
    for name in offered:
        for spelling in {_folded(name), _folded(name.rpartition("__")[2])}:
            names.setdefault(spelling, []).append(name)
    return Spellings(names, sorted(_folded(prefix) + name for prefix in ("", *PREFIXES) for name in names))


class Offered:
    """The tools of one request. Looked up by exact name first, then as models misspell it, and only towards exactly one tool."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self._exact = {tool.name: tool for tool in tools}

    def match(self, name: str) -> ToolSpec | None:
        """The tool that is meant; ``None`` when it is none of these, or might be several."""
        if name in self._exact:
            return self._exact[name]
        bare = _bare(name)
        own = [known for known in self._exact if known.casefold() == bare.casefold()]
        spellings = _spellings(tuple(self._exact)).names
        alike = (spellings.get(_folded(each), []) for each in (bare, bare.rpartition("__")[2]))
        found = next((names for names in (own, *alike) if names), [])
        return self._exact[found[0]] if len(found) == 1 else None

    def may_begin(self, name: str) -> bool:
        """Whether a name of which only the beginning is known may become one of these."""
        return _spellings(tuple(self._exact)).may_begin(_folded(name.strip()))

    def accept(self, written: Iterable[WrittenCall]) -> list[Mended]:
        """All of the calls, or none: when one of them is no call of these tools, the text was something else."""
        mended = []
        for each in written:
            tool = self.match(each.name)
            if tool is None or "broken_off" in each.faults or _is_schema(each.arguments, tool):
                return []
            fitted = fit(each.arguments, tool.parameters)
            if fitted is None:
                return []
            faults = {f"text_{each.form}", *(f"arguments_{fault}" for fault in each.faults), *fitted[1]}
            if tool.name != each.name:
                faults.add("name")
            call = ToolCall(new_id("call_", 8), tool.name, dump(fitted[0]))
            mended.append(Mended(call, tuple(sorted(faults))))
        return mended

    def mend(self, call: ToolCall) -> Mended:
        """A call that an engine reported as one. What cannot be put right stays as it was, in JSON if it can be read at all."""
        tool = self.match(call.name)
        name = tool.name if tool else call.name
        faults = {"name"} if name != call.name else set()
        try:
            value: object = orjson.loads(call.arguments)
            if isinstance(value, dict) and (tool is None or is_valid(value, tool.parameters)):
                return Mended(replace(call, name=name) if faults else call, tuple(faults))
        except orjson.JSONDecodeError:
            pass
        try:
            reading = read_object(call.arguments)
        except NotJson:
            return Mended(replace(call, name=name), tuple(faults))
        if "broken_off" in reading.faults:
            return Mended(replace(call, name=name), tuple(faults))
        arguments = dump(reading.value) if reading.faults else call.arguments
        faults |= {f"arguments_{fault}" for fault in reading.faults}
        assert isinstance(reading.value, dict)
        fitted = fit(reading.value, tool.parameters) if tool else None
        if fitted is not None and fitted[1]:
            arguments = dump(fitted[0])
            faults |= fitted[1]
        return Mended(replace(call, name=name, arguments=arguments), tuple(sorted(faults)))


def is_valid(value: object, schema: JsonSchema) -> bool:
    """Whether it is what the schema asks for; a schema that nobody can read asks for nothing."""
    validator = validator_for(schema)
    return validator is None or bool(validator.is_valid(value))


def fit(arguments: dict[str, object], schema: JsonSchema) -> tuple[dict[str, object], set[str]] | None:
    """The arguments as the schema wants them, and what was changed; ``None`` when that takes more than other notations of the same.

    Names the schema does not know stay where it lets them be. Where it does not, and the rest is right, they are left out: that is what
    a model held to the schema would have written. Changes ``arguments``.
    """
    validator = validator_for(schema)
    if validator is None:
        return None
    changes: set[str] = set()
    for _ in range(ROUNDS):
        errors = list(islice(validator.iter_errors(arguments), ERRORS_A_ROUND))
        if not errors:
            return arguments, changes
        strangers = [error for error in errors if hasattr(error.kind, "unexpected")]
        if len(strangers) == len(errors):
            done, change = [_drop(arguments, error) for error in errors], "arguments_unknown"
        else:
            done, change = [_ease(arguments, error) for error in errors], "arguments_type"
        if not any(done):
            return None
        changes.add(change)
    return (arguments, changes) if validator.is_valid(arguments) else None


def validator_for(schema: JsonSchema) -> "Validator | None":
    """``None`` for a schema that cannot be read. Nothing it refers to is fetched: not from a disk, not from a network."""
    try:
        written = orjson.dumps(schema, default=dict)
    except TypeError:
        return None
    return _compiled(written) if len(written) <= MOST_KEPT else _compiled.__wrapped__(written)


@lru_cache(maxsize=256)
def _compiled(schema: bytes) -> "Validator | None":
    # Agents send the same tools with every request, as new objects each time.
    import jsonschema_rs

    try:
        return jsonschema_rs.validator_for(schema.decode(), offline=True)
    except ValueError:
        return None


def _ease(arguments: dict[str, object], error: "ValidationError") -> bool:
    """Write one value as the type the schema wants. Whether that was possible."""
    path, types = error.instance_path, set(_types(error))
    parent = _at(arguments, path[:-1])
    if not path or not types or not isinstance(parent, dict | list):
        return False
    last: Any = path[-1]
    value = parent[last]
    if value is None and isinstance(parent, dict):
        # Said to be nothing is not said at all; where it is required, the next look finds it missing.
        del parent[last]
        return True
    for eased in _notations(value, types):
        parent[last] = eased
        return True
    return False


def _drop(arguments: dict[str, object], error: "ValidationError") -> bool:
    parent = _at(arguments, error.instance_path)
    if not isinstance(parent, dict):
        return False
    unexpected = [name for name in getattr(error.kind, "unexpected", ()) if name in parent]
    for name in unexpected:
        del parent[name]
    return bool(unexpected)


def _at(value: Any, path: Sequence[str | int]) -> object:
    for step in path:
        value = value[step]
    return value


def _types(error: "ValidationError") -> Iterator[str]:
    """The types that would be right at this place, also where it may be one of several."""
    kind = error.kind
    yield from getattr(kind, "types", ())
    for branch in getattr(kind, "context", ()):
        for inner in branch:
            if list(inner.instance_path) == list(error.instance_path):
                yield from getattr(inner.kind, "types", ())


def _notations(value: object, types: set[str]) -> Iterator[object]:
    """Other notations of the same value, as one of these types."""
    if isinstance(value, str):
        text = value.strip()
        if "integer" in types and INTEGER.fullmatch(text):
            yield int(text)
        if "number" in types and FLOAT.fullmatch(text):
            yield int(text) if INTEGER.fullmatch(text) else float(text)
        if "boolean" in types and text.lower() in SWITCHES:
            yield SWITCHES[text.lower()]
        if "null" in types and text in ("null", "None"):
            yield None
        if text[:1] in ("{", "["):
            yield from _decoded(text, types)
            return
    if isinstance(value, bool):
        if "string" in types:
            yield str(value).lower()
    elif isinstance(value, int) and "string" in types:
        yield str(value)
    if "array" in types and not isinstance(value, list):
        yield [value]


def _decoded(text: str, types: set[str]) -> Iterator[object]:
    try:
        reading = read_value(text)
    except NotJson:
        return
    kind = "object" if isinstance(reading.value, dict) else "array"
    if kind in types and reading.end == len(text) and not reading.faults & {"closed", "broken_off"}:
        yield reading.value


def _is_schema(arguments: dict[str, object], tool: ToolSpec) -> bool:
    """Whether this is the description of a tool, shown with the schema where a call has its arguments."""
    own = tool.parameters.get("properties")
    return arguments.keys() >= OF_SCHEMAS and not (isinstance(own, dict) and own.keys() >= OF_SCHEMAS)


def _bare(name: str) -> str:
    name = NUMBERED.sub("", name.strip().strip("\"'`"))
    for prefix in PREFIXES:
        if name.casefold().startswith(prefix):
            return name[len(prefix) :]
    return name


def _folded(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "")
