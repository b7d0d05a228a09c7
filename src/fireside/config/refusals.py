"""What a settings file may not hold: secrets, and, in a project's file, what opens the network or runs a program.

A project file comes with a repository, perhaps a stranger's. Whoever clones it must not send code elsewhere or start a binary by that.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from fireside.config.environment import variable_of
from fireside.config.notation import PASSWORD_IN_URL, KeyPath, join_key
from fireside.config.schema import Problem
from fireside.config.secrets import NAME
from fireside.config.sources import Layer

SECRET_NAME = re.compile(
    r"(?:(?i:api[_-]?key|password|passwd|passphrase|secret|authorization|credentials?)|(?:^|[_-])(?i:token)|[a-z]Token)$"
)
# A key like key_name says under which name a secret is kept; whoever puts the secret itself there is told so all the same.
NAMES_A_SECRET = re.compile(r"(?:key|token|password|secret)_name$")
LONGEST_NAME = 32


def is_secret(path: KeyPath, value: object, named: Callable[[str], bool]) -> bool:
    """Whether ``value`` must not be written to ``path`` or shown there; ``named``: the caller's own rule for dotted keys."""
    if named(join_key(path)):
        return True
    if NAMES_A_SECRET.search(path[-1]):
        text = str(value)
        return len(text) > LONGEST_NAME or (text != "" and not NAME.fullmatch(text))
    return SECRET_NAME.search(path[-1]) is not None


def refusals(layer: Layer, *, secret_keys: Callable[[str], bool], not_from_project: Sequence[str]) -> Iterator[Problem]:
    """What is refused in a file, whatever its value."""
    told: set[KeyPath] = set()
    for path, value in _everything(layer.values):
        if is_secret(path, value, secret_keys):
            yield secret_problem(path)
        elif isinstance(value, str) and PASSWORD_IN_URL.search(value):
            text = f"{join_key(path)}: a password in an address is not kept in a file"
            yield Problem(path, text, f"put the address into the environment variable {variable_of(path)} instead")
        elif path[:-1] not in told and layer.name == "project" and any(_matches(path, p) for p in not_from_project):
            told.add(path)
            text = (
                f"{join_key(path)}: a project may not set this, as it could send your code elsewhere or run a program"
            )
            yield Problem(path, text, f"set it for yourself: fireside config set {join_key(path)} VALUE")


def secret_problem(path: KeyPath) -> Problem:
    """The refusal of a secret, and where it belongs."""
    names = [name for name in path if not name.isdigit()]
    name = names[-2] if len(names) > 1 else names[-1]
    return Problem(
        path,
        f"{join_key(path)}: a secret is not kept in a file",
        f"take it out and run: fireside config secret set {name} (or set FIRESIDE_SECRET_{variable_of((name,))[9:]})",
    )


def _matches(path: KeyPath, pattern: str) -> bool:
    """``*`` stands for any one name; a pattern covers everything below what it names."""
    names = pattern.split(".")
    return len(path) >= len(names) and all(want in ("*", name) for want, name in zip(names, path, strict=False))


def _everything(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    """Every value and list, what is in lists too, and tables that are empty."""
    if isinstance(value, Mapping) and (value or not path):
        for name, inner in value.items():
            yield from _everything(inner, (*path, name))
    elif isinstance(value, list):
        yield path, value
        for index, inner in enumerate(value):
            yield from _everything(inner, (*path, str(index)))
    else:
        yield path, value
