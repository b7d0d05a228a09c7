"""Types in words, for the person who wrote a wrong value. Knows msgspec's types and nothing else."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import inspect

from fireside.config.notation import show_value


def describe(kind: Any) -> str:
    """What a value of this type looks like: ``an integer from 1 to 65535``, ``one of "low", "high"``, ``a list of text``."""
    return _words(inspect.type_info(kind))


def closest(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known names that ``name`` may be a slip for, the best first."""
    from difflib import get_close_matches

    by_lower = {option.lower(): option for option in known}
    return [by_lower[near] for near in get_close_matches(name.lower(), by_lower, n=3)]


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.UnionType(types=types):
            # TOML has no null: that a key may also be nothing is said by leaving it out.
            return " or ".join(dict.fromkeys(_words(part) for part in types if not isinstance(part, inspect.NoneType)))
        case inspect.LiteralType(values=values):
            return _choice(values)
        case inspect.EnumType(cls=enum):
            return _choice([member.value for member in enum])
        case inspect.Metadata(type=inner):
            return _words(inner)
        case inspect.IntType() | inspect.FloatType():
            return _number(kind)
        case inspect.StrType():
            return _text(kind)
        case inspect.BoolType():
            return "true or false"
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return f"a list of {_plural(kind.item_type)}"
        case inspect.StructType() | inspect.DictType():
            return "a table"
        case inspect.NoneType():
            return "nothing"
    return type(kind).__name__.removesuffix("Type").lower()


def _choice(values: Sequence[object]) -> str:
    shown = [show_value(value) for value in values]
    return shown[0] if len(shown) == 1 else f"one of {', '.join(shown)}"


def _number(kind: inspect.IntType | inspect.FloatType) -> str:
    name = "an integer" if isinstance(kind, inspect.IntType) else "a number"
    if kind.ge is not None and kind.le is not None:
        return f"{name} from {kind.ge} to {kind.le}"
    bounds = (("of at least", kind.ge), ("above", kind.gt), ("of at most", kind.le), ("below", kind.lt))
    limits = [f"{words} {bound}" for words, bound in bounds if bound is not None]
    multiple = [f"a multiple of {kind.multiple_of}"] if kind.multiple_of is not None else []
    return " ".join([name, " and ".join(limits + multiple)]).strip()


def _text(kind: inspect.StrType) -> str:
    if kind.pattern is not None:
        return f"text that matches {kind.pattern}"
    if kind.min_length == 1 and kind.max_length is None:
        return "text, not empty"
    least, most = kind.min_length, kind.max_length
    if most is not None:
        return f"text of {least or 0} to {most} characters"
    return f"text of at least {least} characters" if least is not None else "text"


def _plural(kind: inspect.Type) -> str:
    plurals = {"an integer": "integers", "a number": "numbers", "a table": "tables"}
    words = _words(kind)
    return plurals.get(words, words)
