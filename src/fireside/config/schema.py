"""What a settings schema (a tree of ``msgspec.Struct``) allows at each key. Knows types, not where a value came from.

A key leads through structs (by field), tables of free names (``dict[str, X]``) and lists (by index). Where a tagged union stands, all
its structs are possible until the tag is known, so one place may have several types.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from fireside.config.describe import closest, describe
from fireside.config.notation import KeyPath, hide_passwords, join_key, read_value, show_value

LISTS = (list, tuple, set, frozenset)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the value at ``path``; ``text`` says what was expected. ``remedy``: where it is not just "change it"."""

    path: KeyPath
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """The types that may stand at one place, and what can be inside: fields, free names or elements."""

    types: tuple[Any, ...]
    structs: tuple[type[msgspec.Struct], ...] = ()
    values: tuple[Any, ...] = ()
    elements: tuple[Any, ...] = ()

    @classmethod
    def of(cls, types: Iterable[Any]) -> "Shape":
        kinds = tuple(types)
        structs: list[type[msgspec.Struct]] = []
        values: list[Any] = []
        elements: list[Any] = []
        for kind in _alternatives(kinds):
            origin = get_origin(kind) or kind
            arguments = get_args(kind)
            if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
                structs.append(origin)
            elif isinstance(origin, type) and issubclass(origin, Mapping):
                values.append(arguments[1] if arguments else Any)
            elif origin in LISTS:
                elements += [part for part in arguments if part is not Ellipsis] or [Any]
            elif kind in (Any, object):
                values.append(Any)
        return cls(kinds, tuple(structs), tuple(values), tuple(elements))

    def child(self, name: str) -> "Shape":
        """What may stand under ``name``; a shape without types where nothing may."""
        fields = [fields_of(struct).get(name) for struct in self.structs]
        return Shape.of((*(field.type for field in fields if field), *self.values))

    def at(self, path: KeyPath) -> "Shape":
        shape = self
        for name in path:
            shape = shape.child(name)
        return shape

    def names(self) -> list[str]:
        """The fields and tags that may be written here."""
        return list(dict.fromkeys(name for struct in self.structs for name in fields_of(struct)))

    def tag_field(self) -> str | None:
        return next((tag for struct in self.structs if (tag := struct.__struct_config__.tag_field)), None)

    def fits(self, value: object) -> bool:
        return any(_error(value, kind) is None for kind in self.types)

    def fitted(self, value: object) -> object:
        """The value; text that does not fit here is read first."""
        return self.read(value) if isinstance(value, str) and not self.fits(value) else value

    def read(self, text: str) -> object:
        """The value a text means here: TOML, else the text itself, else a loose reading (``1`` for true). The text if nothing fits."""
        readings = (read_value(text), text)
        fitting = next((reading for reading in readings if self.fits(reading)), None)
        if fitting is not None:
            return fitting
        for kind in self.types:
            try:
                return msgspec.to_builtins(msgspec.convert(text, kind, strict=False))
            except msgspec.ValidationError:
                continue
        return readings[0]


@cache
def fields_of(struct: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields by the name they have in a file; the tag is the first of them."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    config = struct.__struct_config__
    if config.tag_field is None:
        return fields
    tag = msgspec.structs.FieldInfo(config.tag_field, config.tag_field, Literal[config.tag])
    return {config.tag_field: tag, **fields}


def problems(value: object, shape: Shape, path: KeyPath = ()) -> Iterator[Problem]:
    """Everything wrong with ``value``, the innermost first. Nothing where it fits."""
    inner: list[Problem] = []
    if isinstance(value, Mapping) and shape.structs:
        struct, inner = _choose(value, shape, path)
        shape = Shape.of((struct,)) if struct else shape
        inner += _inside(value, shape, path) if struct else []
    elif isinstance(value, Mapping) and shape.values:
        inner = [wrong for name, item in value.items() for wrong in problems(item, shape.child(name), (*path, name))]
    elif isinstance(value, list) and shape.elements:
        within = Shape.of(shape.elements)
        inner = [wrong for i, item in enumerate(value) for wrong in problems(item, within, (*path, str(i)))]
    yield from inner or _whole(value, shape, path)


def correct(path: KeyPath, shape: Shape) -> KeyPath | None:
    """The key that was probably meant; ``None`` when nothing is close."""
    meant: KeyPath = ()
    for name in path:
        if not shape.child(name).types:
            near = closest(name, shape.names())
            if not near:
                return None
            name = near[0]
        meant, shape = (*meant, name), shape.child(name)
    return meant


def _choose(
    value: Mapping[str, object], shape: Shape, path: KeyPath
) -> tuple[type[msgspec.Struct] | None, list[Problem]]:
    """The struct a table is, by its tag."""
    tag_field = shape.tag_field()
    if len(shape.structs) == 1 or tag_field is None:
        return shape.structs[0], []
    by_tag = {struct.__struct_config__.tag: struct for struct in shape.structs}
    tags = [str(tag) for tag in by_tag]
    tag = value.get(tag_field)
    if tag is None:
        whole = f"{{{tag_field} = {show_value(tags[0])}}}"
        remedy = f"give the table as a whole, like: fireside config set {join_key(path)} '{whole}'"
        return None, [Problem(path, f"{join_key(path)} needs {tag_field} = {_either(tags)}", remedy)]
    if isinstance(tag, str | int) and tag in by_tag:
        return by_tag[tag], []
    where = (*path, tag_field)
    near = closest(str(tag), tags)
    hint = f"; did you mean {_either(near)}?" if near else ""
    return None, [Problem(where, f"{join_key(where)}: expected {_either(tags)}, got {_shown(tag)}{hint}")]


def _inside(value: Mapping[str, object], shape: Shape, path: KeyPath) -> list[Problem]:
    found: list[Problem] = []
    for name, item in value.items():
        child = shape.child(name)
        here = (*path, name)
        found += problems(item, child, here) if child.types else [Problem(here, unknown(here, shape))]
    return found


def unknown(path: KeyPath, shape: Shape) -> str:
    """The words for a name that ``shape``, the place it stands in, does not have."""
    near = closest(path[-1], shape.names())
    known = f"; did you mean {' or '.join(near)}?" if near else f"; known here: {', '.join(shape.names())}"
    return f"unknown key {join_key(path)}{known if shape.names() else ''}"


def _whole(value: object, shape: Shape, path: KeyPath) -> list[Problem]:
    errors = [_error(value, kind) for kind in shape.types]
    if None in errors or not errors:
        return []
    key = join_key(path) or "the settings"
    if isinstance(value, Mapping) and shape.structs:
        return [Problem(path, f"{key}: {errors[0]}")]
    return [Problem(path, f"{key}: expected {describe(Union[shape.types])}, got {_shown(value)}")]  # noqa: UP007


def _error(value: object, kind: Any) -> str | None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return str(error).split(" - at `$", 1)[0]
    return None


def _alternatives(kinds: Iterable[Any]) -> Iterator[Any]:
    for kind in kinds:
        if get_origin(kind) in (Union, UnionType):
            yield from _alternatives(get_args(kind))
        elif get_origin(kind) is Annotated:
            yield from _alternatives(get_args(kind)[:1])
        elif hasattr(kind, "__value__"):
            yield from _alternatives((kind.__value__,))
        else:
            yield kind


def _either(tags: Iterable[str]) -> str:
    return " or ".join(show_value(tag) for tag in tags)


def _shown(value: object) -> str:
    if isinstance(value, Mapping | list):
        # Not its content: somewhere in it may be a secret.
        return "a list" if isinstance(value, list) else "a table"
    text = show_value(hide_passwords(value))
    return text if len(text) <= 60 else f"{text[:57]}..."
