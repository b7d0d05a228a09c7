"""Settings from environment variables. Knows how their names map to keys, not which keys there are: the schema tells.

``FIRESIDE_ENGINES__OLLAMA__URL`` is ``engines.ollama.url``: two underscores between the names. A variable without two underscores is a
setting only when it is a key at the top or an alias the caller declared. A blank variable counts as not set.
"""

from collections.abc import Collection, Mapping

from fireside.config.notation import KeyPath, split_key
from fireside.config.schema import Problem, Shape, correct
from fireside.config.sources import Layer, put

PREFIX = "FIRESIDE_"
SECRET_PREFIX = "FIRESIDE_SECRET_"
SEPARATOR = "__"


def environment_layer(
    environ: Mapping[str, str],
    shape: Shape,
    *,
    aliases: Mapping[str, str],
    reserved: Collection[str],
    known: Mapping[str, object],
) -> tuple[Layer, list[tuple[str, Problem]]]:
    """The layer, and the variables that are no settings.

    ``aliases``: variable to key; of several for one key the first that is set counts, and the full name goes before all of them.
    ``known``: the values of the layers below, whose free names a variable can spell only without capitals and hyphens.
    """
    values: dict[str, object] = {}
    variables: dict[KeyPath, str] = {}
    wrong: list[tuple[str, Problem]] = []
    found = [(split_key(key), name) for name, key in reversed(list(aliases.items()))]
    found += _full_names(environ, shape, {*aliases, *reserved}, known)
    for path, name in found:
        text = environ.get(name, "")
        if not text.strip():
            continue
        place = shape.at(path)
        if not _is_unicode(text):
            wrong.append((name, Problem(path, "its value is not UTF-8 text")))
            continue
        if not place.types:
            wrong.append((name, Problem(path, _unknown(path, shape))))
            continue
        put(values, path, place.read(text))
        variables[path] = name
    return Layer("environment", values, variables=variables), wrong


def variable_of(path: KeyPath) -> str:
    """The variable that sets a key."""
    return PREFIX + SEPARATOR.join(_spelled(name) for name in path)


def _full_names(
    environ: Mapping[str, str], shape: Shape, skipped: Collection[str], known: Mapping[str, object]
) -> list[tuple[KeyPath, str]]:
    found = []
    for name in environ:
        if not name.startswith(PREFIX) or name.startswith(SECRET_PREFIX) or name in skipped:
            continue
        path = _path(name.removeprefix(PREFIX).split(SEPARATOR), known)
        if len(path) > 1 or shape.child(path[0]).types:
            found.append((path, name))
    # A whole table first, so that a variable for one key in it is not lost.
    return sorted(found, key=lambda entry: len(entry[0]))


def _path(parts: list[str], known: Mapping[str, object]) -> KeyPath:
    path: KeyPath = ()
    inside: object = known
    for part in parts:
        names = inside if isinstance(inside, Mapping) else {}
        name = next((name for name in names if _spelled(name) == part), part.lower())
        path, inside = (*path, name), names.get(name)
    return path


def _spelled(name: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in name).upper()


def _unknown(path: KeyPath, shape: Shape) -> str:
    meant = correct(path, shape)
    known = f"did you mean {variable_of(meant)}?" if meant else f"it may begin with {', '.join(_beginnings(shape))}"
    return f"there is no such setting; {known}"


def _is_unicode(text: str) -> bool:
    """Bytes of the environment that are no UTF-8 reach Python as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _beginnings(shape: Shape) -> list[str]:
    return [variable_of((name,)) for name in shape.names()]
