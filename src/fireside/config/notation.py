"""How a key and a value are written as text. Knows TOML's notation, no schema and no file.

A key is a path of names: ``("engines", "my box", "url")`` is written ``engines."my box".url``.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time

from fireside.core.errors import Invalid

KeyPath = tuple[str, ...]
BARE = re.compile(r"[A-Za-z0-9_-]+")
QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'")
BLANK = re.compile(r"[ \t]*")
MASK = "***"
PASSWORD_IN_URL = re.compile(r"(?<=://)([^/?#@\s:]*):[^/?#@\s]+@")


def read_key(text: str, at: int) -> tuple[KeyPath, int]:
    """A dotted key that begins at ``at``; returns it and where it ends. Raises ``ValueError`` where there is none."""
    names: list[str] = []
    while True:
        at = _skip_blank(text, at)
        if match := BARE.match(text, at):
            names.append(match.group())
        elif match := QUOTED.match(text, at):
            names.append(str(tomllib.loads(f"k = {match.group()}")["k"]))
        else:
            raise ValueError(f"no key at {at}")
        at = _skip_blank(text, match.end())
        if not text.startswith(".", at):
            return tuple(names), at
        at += 1


def split_key(key: str) -> KeyPath:
    """The path a dotted key names. Raises ``Invalid`` when it is not one."""
    try:
        path, end = read_key(key, 0)
        if end != len(key):
            raise ValueError(f"more text at {end}")
    except ValueError as error:
        raise Invalid(
            f"{show_value(key)} is not a key", remedy="a key is like server.port; see: fireside config show"
        ) from error
    return path


def join_key(path: KeyPath) -> str:
    """The dotted key of a path, as ``split_key`` and TOML read it."""
    return ".".join(name if BARE.fullmatch(name) else show_value(name) for name in path)


def read_value(text: str) -> object:
    """A TOML value; text that is not one is itself, as a string."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if len(table) == 1 else text


def show_value(value: object) -> str:
    """A value in TOML's notation, on one line, with nothing in it that a terminal would obey."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "".join(_printable(character) for character in json.dumps(value, ensure_ascii=False))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{join_key((str(name),))} = {show_value(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(show_value, value)) + "]"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return "nothing" if value is None else str(value)


def leaves(table: Mapping[str, object], path: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    """Every value that is not a table, with its path; an empty table counts as a value."""
    for name, value in table.items():
        here = (*path, str(name))
        if isinstance(value, Mapping) and value:
            yield from leaves(value, here)
        else:
            yield here, value


def plain(value: object) -> object:
    """A copy of the value in what TOML reads as: tables and lists, no tuples."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def hide_passwords(value: object) -> object:
    """The value with the password of every ``scheme://user:password@host`` in it replaced by ``***``."""
    if isinstance(value, str):
        return PASSWORD_IN_URL.sub(rf"\1:{MASK}@", value)
    if isinstance(value, list | tuple):
        return [hide_passwords(item) for item in value]
    if isinstance(value, Mapping):
        return {name: hide_passwords(inner) for name, inner in value.items()}
    return value


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _skip_blank(text: str, at: int) -> int:
    match = BLANK.match(text, at)
    return match.end() if match else at
