"""A recipe: one TOML file with a table for each stage that is to run. Knows the stages' settings; nothing of what they do."""

import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from fireside.core.errors import Invalid
from fireside.training.collect.settings import CollectSettings
from fireside.training.export.settings import ExportSettings, QuantizeSettings
from fireside.training.judge import EvalSettings
from fireside.training.prepare.settings import PrepareSettings
from fireside.training.pretrain.settings import PretrainSettings
from fireside.training.publish.settings import PublishSettings
from fireside.training.tune.settings import TuneSettings

# What is measured is what would be shipped, so ``eval`` comes after ``quantize``.
STAGES = ("collect", "prepare", "pretrain", "tune", "export", "quantize", "eval", "publish")
BUILT_IN = (Path(__file__).parent / "recipes", Path(__file__).parents[3] / "recipes")


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``work``: the run's folder, else one under the data folder by the recipe's ``name``. A stage without a table does not run."""

    name: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = "mine"
    about: str = ""
    seed: int = 7
    work: str = ""
    collect: CollectSettings | None = None
    prepare: PrepareSettings | None = None
    pretrain: PretrainSettings | None = None
    tune: TuneSettings | None = None
    export: ExportSettings | None = None
    quantize: QuantizeSettings | None = None
    eval: EvalSettings | None = None
    publish: PublishSettings | None = None

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that have a table, in the order in which they run."""
        return tuple(name for name in STAGES if getattr(self, name) is not None)


def read(name: str) -> Recipe:
    """A recipe by its path, or one of Fireside's own by its name. Raises ``Invalid`` that lists every unknown key at once."""
    place = find(name)
    try:
        table = tomllib.loads(place.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{place} is not TOML: {error}", remedy="mend the line it names") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{place} cannot be read: {error}", remedy="name a recipe: fireside train recipes") from error
    return made({"name": place.stem} | table, str(place))


def find(name: str) -> Path:
    """The file of a recipe. Raises ``Invalid`` with the names there are."""
    given = Path(name).expanduser()
    if given.is_file():
        return given
    known = built_in()
    if given.stem in known and (given.suffix in ("", ".toml")) and len(given.parts) <= 2:
        return known[given.stem]
    near = get_close_matches(given.stem, known, n=1) or list(known)
    raise Invalid(f"there is no recipe {name}", remedy=f"name a TOML file, or one of Fireside's own: {', '.join(near)}")


def built_in() -> Mapping[str, Path]:
    """Fireside's own recipes, by name."""
    folder = next((place for place in BUILT_IN if place.is_dir()), None)
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.toml"))}


def made(table: Mapping[str, Any], source: str) -> Recipe:
    """A recipe of plain values. ``source``: what it is from, for the messages. Raises ``Invalid``."""
    unknown = list(_unknown(Recipe, table, ""))
    if unknown:
        keys = "key" if len(unknown) == 1 else "keys"
        raise Invalid(
            f"{source}: unknown {keys} {', '.join(unknown)}", remedy="take them out; docs/training.md lists the keys"
        )
    for key in _boundless(table, ""):
        raise Invalid(f"{source}: {key} is a number without measure", remedy="give it a size that a run can have")
    try:
        return msgspec.convert(table, Recipe)
    except msgspec.ValidationError as error:
        raise Invalid(f"{source}: {error}", remedy="mend that value; docs/training.md lists the keys") from error


def changed(recipe: Recipe, settings: Mapping[str, str]) -> Recipe:
    """The recipe with single values in other words: ``tune.rank`` -> ``8``, read as TOML, or else as text. Raises ``Invalid``."""
    table: dict[str, Any] = msgspec.to_builtins(recipe)
    table = {key: value for key, value in table.items() if value is not None}
    for key, text in settings.items():
        *way, last = key.split(".")
        place = table
        for part in way:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise Invalid(f"{part} in {key} is a value, no table", remedy="name a key as TABLE.KEY")
        place[last] = _value(text)
    return made(table, "--set")


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _unknown(shape: type[msgspec.Struct], table: Mapping[str, Any], before: str) -> Iterator[str]:
    """Every key that no settings class knows, each with the nearest that one does."""
    shapes = get_type_hints(shape)
    for key, value in table.items():
        if key not in shapes:
            near = get_close_matches(key, shapes, n=1)
            yield f"{before}{key}" + (f" (did you mean {near[0]}?)" if near else "")
        elif isinstance(value, Mapping):
            inner = _struct(shapes[key])
            if inner is not None:
                yield from _unknown(inner, value, f"{before}{key}.")


def _boundless(value: object, at: str) -> Iterator[str]:
    """Where numbers stand that no run can have and no manifest can hold: infinite, or an integer of more than 63 bits."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _boundless(inner, f"{at}.{key}" if at else str(key))
    elif (isinstance(value, float) and not isfinite(value)) or (isinstance(value, int) and abs(value) >= 1 << 63):
        yield at


def _struct(hint: Any) -> type[msgspec.Struct] | None:
    """The settings class in a type like ``TuneSettings | None``."""
    choices = get_args(hint) if isinstance(hint, UnionType) or get_origin(hint) is not None else (hint,)
    found = [one for one in choices if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    return found[0] if len(found) == 1 else None
