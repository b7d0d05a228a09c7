"""The layers a setting can come from, each as a table with the place of every value. Knows how to read them, not what they mean."""

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fireside.config.locate import lines_of
from fireside.config.notation import KeyPath, split_key
from fireside.core.errors import Invalid

LayerName = Literal["default", "user", "project", "environment", "command line", "runtime"]
LARGEST_FILE = 1_000_000  # bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from. ``line`` counts from 1; ``variable``: the environment variable's name."""

    layer: LayerName
    file: Path | None = None
    line: int | None = None
    variable: str = ""

    @property
    def place(self) -> str:
        """What to open or to look at: ``file:line``, the variable, or the layer."""
        if self.file is not None:
            return f"{self.file}:{self.line}" if self.line else str(self.file)
        return self.variable or self.layer

    def __str__(self) -> str:
        return self.layer if self.place == self.layer else f"{self.layer} {self.place}"


@dataclass(frozen=True, slots=True)
class Layer:
    """One source: its values as nested tables, and what is known of where each was written."""

    name: LayerName
    values: Mapping[str, object] = field(default_factory=dict)
    file: Path | None = None
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    variables: Mapping[KeyPath, str] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> Origin:
        """The origin of the value at ``path``; of the nearest key around it where only that has a place."""
        for end in range(len(path), 0, -1):
            here = path[:end]
            if here in self.lines or here in self.variables:
                return Origin(self.name, self.file, self.lines.get(here), self.variables.get(here, ""))
        return Origin(self.name, self.file)


def file_layer(name: LayerName, file: Path, text: str) -> Layer:
    """Read a settings file's text. Raises ``Invalid`` with the line where it is not TOML."""
    try:
        values = tomllib.loads(text)
        return Layer(name, values, file, lines_of(text.replace("\r\n", "\n")))
    except RecursionError as error:
        raise Invalid(f"{file}: nested too deeply", remedy=f"correct {file}", file=str(file)) from error
    except ValueError as error:
        said, _, position = str(error).rpartition(" (at ")
        found = re.match(r"line (\d+)", position)
        line = int(found.group(1)) if found else text.count("\n", 0, len(text.rstrip())) + 1
        raise Invalid(
            f"{file}:{line}: not TOML: {said or error}", remedy=f"correct {file}", file=str(file), line=line
        ) from error


def read_text(file: Path) -> str:
    """The text of a settings file, "" where there is none. Raises ``Invalid`` where it cannot be read as text."""
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            # A repository can hold a link to a device that never ends.
            raise Invalid(f"{file} is not a file", remedy=f"move {file} away", file=str(file))
        if found.st_size > LARGEST_FILE:
            raise Invalid(f"{file} is too large for settings ({found.st_size} bytes)", remedy=f"correct {file}")
        data = file.read_bytes()
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Invalid(f"cannot read {file}: {error.strerror}", remedy=f"ls -l {file}", file=str(file)) from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Invalid(
            f"{file}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x})",
            remedy=f"save {file} as UTF-8",
            file=str(file),
            line=line,
        ) from error


def stamp(file: Path) -> tuple[int, ...]:
    """Changes when the file does; costs one stat."""
    try:
        found = os.stat(file)
    except OSError as error:
        return (error.errno or 0,)
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def put(table: dict[str, object], path: KeyPath, value: object) -> None:
    """Write ``value`` at ``path``, making the tables on the way."""
    for name in path[:-1]:
        inner = table.get(name)
        if not isinstance(inner, dict):
            inner = table[name] = {}
        table = inner
    table[path[-1]] = value


def key_table(values: Mapping[str, object]) -> dict[str, object]:
    """Nested tables from values by dotted key. Raises ``Invalid`` for what is not a key."""
    table: dict[str, object] = {}
    for key, value in values.items():
        put(table, split_key(key), value)
    return table
