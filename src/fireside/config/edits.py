"""Changing a settings file and keeping everything else in it: comments, order, line ends. Knows TOML text, not what a key means."""

import errno
import hashlib
import os
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fireside.config.notation import KeyPath, join_key
from fireside.config.sources import put
from fireside.core.errors import Invalid, NotPermitted, OutOfResources, TimedOut

LOCK_SECONDS = 10.0
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def with_value(text: str, path: KeyPath, value: object) -> str:
    """The text with ``value`` at ``path``. Raises ``Invalid`` where TOML cannot say it."""

    def change(document: Any) -> None:
        for name in path[:-1]:
            if not isinstance(document.get(name), Mapping):
                document[name] = _empty_table(document, is_super=True)
            document = document[name]
        _write(document, path[-1], value)

    def expect(values: dict[str, object]) -> None:
        put(values, path, value)

    return _changed(text, path, change, expect)


def without(text: str, path: KeyPath) -> str:
    """The text without ``path``, and without the tables that are empty then. Raises ``KeyError`` where the key is not in it."""

    def change(document: Any) -> None:
        remove(document, path)

    return _changed(text, path, change, lambda values: remove(values, path))


def remove(table: Any, path: KeyPath) -> None:
    """Take ``path`` out of nested tables, and the tables that are empty then. Raises ``KeyError`` where it is not there."""
    if len(path) > 1:
        if not isinstance(table[path[0]], Mapping):
            raise KeyError(path[0])
        remove(table[path[0]], path[1:])
        if table[path[0]]:
            return
    del table[path[0]]


@contextmanager
def locked(file: Path, folder: Path) -> Iterator[None]:
    """One writer at a time among all processes of this user. ``folder``: where the lock is kept, so that none lies in a project."""
    from filelock import FileLock, Timeout

    name = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]
    try:
        with FileLock(folder / f"config-{name}.lock", timeout=LOCK_SECONDS):
            yield
    except Timeout as error:
        raise TimedOut(f"another process keeps {file} locked", remedy="try again", phase="total") from error


def write_text(file: Path, text: str) -> None:
    """Replace the file's text at once or not at all; its mode stays, and a link stays a link."""
    target = file.resolve()
    scratch = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with open(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(scratch, target.stat().st_mode & 0o777 if target.exists() else 0o644)
        os.replace(scratch, target)
    except OSError as error:
        with suppress(OSError):
            os.unlink(scratch)
        kind = OutOfResources if error.errno in NO_ROOM else NotPermitted
        raise kind(f"cannot write {file}: {error.strerror}", remedy=f"ls -ld {target.parent}") from error


def _changed(
    text: str, path: KeyPath, change: Callable[[Any], None], expect: Callable[[dict[str, object]], None]
) -> str:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    newline = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n")
    expected = tomllib.loads(text)
    if len(path) > 1 and path[0] not in expected and text.strip():
        text = text.rstrip() + "\n\n"
    expect(expected)
    document = tomlkit.parse(text)
    try:
        change(document)
        changed = tomlkit.dumps(document)
        changed.encode()
        # An editing library can stumble over an unusual layout; what was not meant must not be written.
        if tomllib.loads(changed) != expected:
            raise ValueError("the text would say something else")
    except (ValueError, TypeError, TOMLKitError) as error:
        raise Invalid(
            f"cannot write {join_key(path)} into this file: {error}", remedy="change it by hand: fireside config edit"
        ) from error
    return changed.replace("\n", newline)


def _write(table: Any, name: str, value: object) -> None:
    if not isinstance(value, Mapping):
        table[name] = value
        return
    table.pop(name, None)
    table[name] = _empty_table(table, is_super=False)
    for inner, item in value.items():
        _write(table[name], inner, item)


def _empty_table(parent: Any, *, is_super: bool) -> Any:
    import tomlkit
    from tomlkit.items import InlineTable

    return tomlkit.inline_table() if isinstance(parent, InlineTable) else tomlkit.table(is_super_table=is_super)
