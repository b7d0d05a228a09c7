"""Settings in layers: defaults < user file < project file < environment < command line < runtime.

A change is checked with all layers together and taken over at once or not at all: an invalid one leaves the old values in force. Knows
layers and a schema; which settings there are is the schema's affair, and what they do is for the parts they are handed to.
"""

import threading
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

import msgspec

from fireside.config.edits import locked, remove, with_value, without, write_text
from fireside.config.merge import Merged
from fireside.config.notation import MASK, KeyPath, hide_passwords, join_key, plain, split_key
from fireside.config.paths import Paths
from fireside.config.refusals import is_secret, secret_problem
from fireside.config.schema import Shape, correct, fields_of, unknown
from fireside.config.sources import Origin, put, read_text
from fireside.config.stack import Draft, FileName, Rules, Stack, State
from fireside.core.errors import Invalid
from fireside.core.events import EventBus

T = TypeVar("T", bound=msgspec.Struct)
WritableLayer = Literal["user", "project", "runtime"]
ABSENT = object()


@dataclass(frozen=True, slots=True)
class Changed:
    """Settings have changed; ``keys``: their dotted keys."""

    keys: frozenset[str]


class NotLoaded(Invalid):
    """The layers do not fit. ``config`` has the defaults in force and can be shown, edited, checked and reloaded all the same."""

    def __init__(self, error: Invalid, config: "Config[msgspec.Struct]") -> None:
        super().__init__(error.message, remedy=error.remedy)
        self.context = error.context
        self.config = config


class Config(Generic[T]):
    """The settings in force, and where each came from. Safe to use from several threads."""

    def __init__(self, stack: Stack[T]) -> None:
        self._stack = stack
        self._state = State(stack.schema(), Merged())
        self._runtime: dict[str, object] = {}
        self._lock = threading.RLock()
        self._bus = EventBus()

    @classmethod
    def load(
        cls,
        schema: type[T],
        *,
        root: Path | None,
        environ: Mapping[str, str],
        flags: Mapping[str, object] | None = None,
        variables: Mapping[str, str] | None = None,
        reserved: Collection[str] = (),
        secret_keys: Callable[[str], bool] = lambda key: False,
        not_from_project: Collection[str] = (),
    ) -> "Config[T]":
        """Read all layers. Raises ``NotLoaded`` where they do not fit.

        ``schema``: every field with a default, every struct with ``forbid_unknown_fields``. ``root``: the project's folder. ``flags``:
        values by dotted key, ``None`` for an option not given. The others: see ``Rules``.
        """
        given = {key: value for key, value in (flags or {}).items() if value is not None}
        rules = Rules(variables or {}, frozenset(reserved), secret_keys, tuple(not_from_project))
        config = cls(Stack(schema, Paths.from_environment(environ), root, dict(environ), given, rules))
        try:
            config.reload()
        except Invalid as error:
            raise NotLoaded(error, config) from error  # type: ignore[arg-type]
        return config

    @property
    def settings(self) -> T:
        """The values in force; a new object after each change."""
        return self._state.settings

    @property
    def paths(self) -> Paths:
        return self._stack.paths

    @property
    def root(self) -> Path | None:
        return self._stack.root

    def file(self, layer: FileName) -> Path:
        """The file of a layer, whether it exists or not. Raises ``Invalid`` for a project where there is none."""
        return self._stack.file(layer)

    def get(self, key: str) -> object:
        """The value of a key, typed as the schema has it. Raises ``Invalid`` for a key that is not there."""
        value: object = self.settings
        path = split_key(key)
        for name in path:
            if isinstance(value, msgspec.Struct) and name in fields_of(type(value)):
                # The tag of a tagged struct is no attribute of it.
                value = getattr(value, fields_of(type(value))[name].name, value.__struct_config__.tag)
            elif isinstance(value, Mapping) and name in value:
                value = value[name]
            else:
                raise self._no_such(path)
        return value

    def origin(self, key: str) -> Origin:
        """Where the value of a key came from; for a table, where the topmost of its values did."""
        self.get(key)
        return self._state.merged.origin(split_key(key))

    def items(self) -> list[tuple[str, object, Origin]]:
        """Every key with its value and origin, in the schema's order. A secret is ``***``."""
        state = self._state
        return [
            (join_key(path), self._shown(path, value), state.merged.origin(path))
            for path, value in state.values().items()
        ]

    def parse(self, key: str, text: str) -> object:
        """What a user's text means for this key: TOML or plain text, whichever its type takes; the text itself where nothing fits."""
        path = split_key(key)
        # Whether there is such a key or not, a secret is refused when it is set; it must not be looked at more closely before.
        return text if is_secret(path, text, self._stack.rules.secret_keys) else self._place(path).read(text)

    def set(self, key: str, value: object, *, layer: WritableLayer = "user") -> frozenset[str]:
        """Set a key in a file, keeping what else is in it, or for this process only; returns the keys that changed.

        Text for a key that takes none is read as by ``parse``. Raises ``Invalid``, and changes nothing, where the whole would not fit.
        """
        path = split_key(key)
        if layer != "runtime" and is_secret(path, value, self._stack.rules.secret_keys):
            refusal = secret_problem(path)
            raise Invalid(refusal.text, remedy=refusal.remedy, key=key)
        fitted = self._place(path).fitted(plain(msgspec.to_builtins(value)))
        if layer == "runtime":
            return self._change_runtime(lambda values: put(values, path, fitted))
        return self._edit(layer, path, lambda text: with_value(text, path, fitted))

    def unset(self, key: str, *, layer: WritableLayer = "user") -> frozenset[str]:
        """Take a key out of a layer, so that the one below shows; returns the keys that changed."""
        path = split_key(key)
        try:
            if layer == "runtime":
                return self._change_runtime(lambda values: remove(values, path))
            return self._edit(layer, path, lambda text: without(text, path))
        except KeyError as error:
            where = "this process" if layer == "runtime" else self.file(layer)
            raise Invalid(f"{key} is not set in {where}", remedy="fireside config show --origin", key=key) from error

    def check(self, text: str, *, layer: FileName, file: Path) -> None:
        """Whether ``text`` could stand in a layer's file. Raises ``Invalid`` that calls it ``file``."""
        self._stack.build(self._runtime, {layer: Draft(text, file)})

    def replace(self, text: str, *, layer: FileName, before: str) -> frozenset[str]:
        """Put a whole text into a layer's file that still has the text ``before``; returns the keys that changed."""
        file = self.file(layer)

        def whole(now: str) -> str:
            if now != before:
                raise Invalid(f"{file} has been changed by somebody else meanwhile", remedy="fireside config edit")
            return text

        return self._edit(layer, None, whole)

    def reload(self) -> frozenset[str]:
        """Read the files again; returns the keys that changed. Raises ``Invalid`` and keeps the old values where they do not fit."""
        with self._lock:
            return self._take(self._stack.build(self._runtime))

    def poll(self, on_error: Callable[[Invalid], None] | None = None) -> frozenset[str]:
        """Reload if a file looks different: one stat for each. An invalid file is reported once and leaves the old values."""
        with self._lock:
            stamps = self._stack.stamps()
            if stamps == self._state.stamps:
                return frozenset()
            try:
                return self.reload()
            except Invalid as error:
                self._state = State(self._state.settings, self._state.merged, stamps)
                if on_error is not None:
                    on_error(error)
                return frozenset()

    async def follow(self, interval: float, on_error: Callable[[Invalid], None] | None = None) -> None:
        """Poll every ``interval`` seconds until cancelled; watchers are told what changed."""
        import asyncio

        while True:
            self.poll(on_error)
            await asyncio.sleep(interval)

    def watch(self, listener: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call ``listener`` with the keys that changed, after each change. Returns the function that ends it."""
        return self._bus.subscribe(Changed, lambda changed: listener(changed.keys))

    def _change_runtime(self, change: Callable[[dict[str, object]], None]) -> frozenset[str]:
        with self._lock:
            runtime = deepcopy(self._runtime)
            change(runtime)
            state = self._stack.build(runtime)
            self._runtime = runtime
            return self._take(state)

    def _edit(self, layer: FileName, path: KeyPath | None, change: Callable[[str], str]) -> frozenset[str]:
        file = self.file(layer)
        with self._lock, locked(file, self.paths.make_runtime()):
            text = change(read_text(file))
            state = self._stack.build(self._runtime, {layer: Draft(text, file, path)})
            write_text(file, text)
            return self._take(state)

    def _take(self, state: State[T]) -> frozenset[str]:
        before, after = self._state.values(), state.values()
        self._state = state
        changed = frozenset(
            join_key(path) for path in {**before, **after} if before.get(path, ABSENT) != after.get(path, ABSENT)
        )
        if changed:
            self._bus.publish(Changed(changed))
        return changed

    def _shown(self, path: KeyPath, value: object) -> object:
        return MASK if value and is_secret(path, value, self._stack.rules.secret_keys) else hide_passwords(value)

    def _place(self, path: KeyPath) -> Shape:
        shape = self._stack.shape.at(path)
        if not shape.types:
            raise self._no_such(path)
        return shape

    def _no_such(self, path: KeyPath) -> Invalid:
        shape = self._stack.shape
        if shape.at(path).types:
            return Invalid(f"{join_key(path)} is not set", remedy="fireside config show", key=join_key(path))
        meant = correct(path, shape)
        if meant:
            return Invalid(
                f"there is no key {join_key(path)}; did you mean {join_key(meant)}?", remedy="fireside config show"
            )
        known = next(end for end in range(1, len(path) + 1) if not shape.at(path[:end]).types)
        return Invalid(unknown(path[:known], shape.at(path[: known - 1])), remedy="fireside config show")
