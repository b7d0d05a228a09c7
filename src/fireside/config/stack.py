"""Read every layer, lay them over each other and check the whole: settings that fit, or one error that says what does not and where.

Knows how layers become settings, not what is in force.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from fireside.config.environment import environment_layer
from fireside.config.merge import Merged
from fireside.config.notation import KeyPath, join_key, leaves
from fireside.config.paths import PROJECT_FILE, Paths
from fireside.config.refusals import refusals
from fireside.config.schema import Problem, Shape, problems
from fireside.config.sources import Layer, Origin, file_layer, key_table, read_text, stamp
from fireside.core.errors import Invalid

T = TypeVar("T", bound=msgspec.Struct)
FileName = Literal["user", "project"]
REMEDIES = {
    "user": "fireside config edit",
    "project": "fireside config edit --project",
    "environment": "correct the variable, or unset it",
    "command line": "correct the option",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What the caller knows about its keys.

    ``variables``: environment variable to key (``FIRESIDE_OLLAMA_URL`` to ``engines.ollama.url``), the one that counts first before the
    others; ``reserved``: variables that are no settings; ``secret_keys``: whether a dotted key is never to be kept in a file,
    besides those named like a secret; ``not_from_project``: keys a project's file may not set, with all below them, ``*`` for any name.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    reserved: frozenset[str] = frozenset()
    secret_keys: Callable[[str], bool] = lambda key: False
    not_from_project: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A text to be checked in place of a layer's file. ``file``: the name for errors; ``key``: being set, so it has no line to show yet."""

    text: str
    file: Path
    key: KeyPath | None = None


@dataclass(frozen=True, slots=True)
class State(Generic[T]):
    """Settings that fit. ``stamps``: what the files looked like just before they were read."""

    settings: T
    merged: Merged
    stamps: tuple[tuple[int, ...], ...] = ()

    def values(self) -> dict[KeyPath, object]:
        """Every value that is not a table, in the schema's order."""
        table: dict[str, object] = msgspec.to_builtins(self.settings)
        return dict(leaves(table))


class Wrong(NamedTuple):
    """A problem and where it stands; ``rank``: its layer's height."""

    rank: int
    origin: Origin
    problem: Problem

    def __str__(self) -> str:
        return self.problem.text if self.origin.layer == "default" else f"{self.origin.place}: {self.problem.text}"


@dataclass(frozen=True, slots=True)
class Stack(Generic[T]):
    """The layers that do not change while a process runs, and where the others are."""

    schema: type[T]
    paths: Paths
    root: Path | None
    environ: Mapping[str, str]
    flags: Mapping[str, object]
    rules: Rules

    @property
    def shape(self) -> Shape:
        return Shape.of((self.schema,))

    def file(self, layer: FileName) -> Path:
        """The file of a layer, whether it exists or not. Raises ``Invalid`` for a project where there is none."""
        if layer == "user":
            return self.paths.user_file
        if self.root is None:
            raise Invalid("there is no project here", remedy="go to the project's folder first")
        return self.root / PROJECT_FILE

    def stamps(self) -> tuple[tuple[int, ...], ...]:
        return tuple(stamp(self.file(name)) for name in self._file_names())

    def build(self, runtime: Mapping[str, object], drafts: Mapping[FileName, Draft] | None = None) -> State[T]:
        """The settings all layers give together. Raises ``Invalid`` with every problem in ``context["problems"]``."""
        stamps = self.stamps()
        merged = Merged()
        merged.lay(Layer("default", msgspec.to_builtins(self.schema())), self.shape)
        wrong = [refused for name in self._file_names() for refused in self._lay_file(merged, name, drafts or {})]
        wrong += self._lay_environment(merged)
        for layer in (Layer("command line", self._flag_values()), Layer("runtime", runtime)):
            merged.lay(layer, self.shape)
        seen = {entry.problem.path for entry in wrong}
        for problem in problems(merged.values, self.shape):
            if problem.path not in seen:
                wrong.append(Wrong(merged.rank(problem.path), merged.origin(problem.path), problem))
        if wrong:
            raise _invalid(wrong, {draft.key for draft in (drafts or {}).values()})
        return State(msgspec.convert(merged.values, self.schema), merged, stamps)

    def _lay_file(self, merged: Merged, name: FileName, drafts: Mapping[FileName, Draft]) -> list[Wrong]:
        file = drafts[name].file if name in drafts else self.file(name)
        layer = file_layer(name, file, drafts[name].text if name in drafts else read_text(file))
        merged.lay(layer, self.shape)
        refused = refusals(layer, secret_keys=self.rules.secret_keys, not_from_project=self.rules.not_from_project)
        return [Wrong(merged.height, layer.origin(problem.path), problem) for problem in refused]

    def _lay_environment(self, merged: Merged) -> list[Wrong]:
        layer, misspelt = environment_layer(
            self.environ,
            self.shape,
            aliases=self.rules.variables,
            reserved=self.rules.reserved,
            known=merged.values,
        )
        merged.lay(layer, self.shape)
        return [Wrong(merged.height, Origin("environment", variable=name), problem) for name, problem in misspelt]

    def _file_names(self) -> tuple[FileName, ...]:
        return ("user",) if self.root is None else ("user", "project")

    def _flag_values(self) -> dict[str, object]:
        table = key_table(self.flags)
        return {name: self._fitted(value, self.shape.child(name)) for name, value in table.items()}

    def _fitted(self, value: Any, shape: Shape) -> object:
        if isinstance(value, dict):
            return {name: self._fitted(inner, shape.child(name)) for name, inner in value.items()}
        return shape.fitted(value)


def _invalid(wrong: Sequence[Wrong], being_set: Collection[KeyPath | None]) -> Invalid:
    ordered = sorted(wrong, key=lambda entry: (entry.rank, entry.origin.line or 0))
    for key in filter(None, being_set):
        # What was just asked for comes first, and without a place: it is in no file.
        given = [entry._replace(origin=Origin("default")) for entry in ordered if _concerns(entry.problem.path, key)]
        ordered = given + [entry for entry in ordered if not _concerns(entry.problem.path, key)]
    first = ordered[0]
    more = f" (and {len(ordered) - 1} more: fireside config validate)" if len(ordered) > 1 else ""
    shown = f"fireside config show {join_key(first.problem.path[:1])}".rstrip()
    return Invalid(
        f"{first}{more}",
        remedy=first.problem.remedy or REMEDIES.get(first.origin.layer, shown),
        problems=tuple(map(str, ordered)),
        file=str(first.origin.file or ""),
        line=first.origin.line or 0,
    )


def _concerns(path: KeyPath, key: KeyPath) -> bool:
    """Whether one lies within the other."""
    return path[: len(key)] == key[: len(path)]
