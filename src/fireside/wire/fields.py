"""Fields of a JSON body somebody sent us: each is of its type, or ``Invalid`` says which one is not. Knows no dialect.

``null`` counts as absent, as every server we stand in for takes it.
"""

from collections.abc import Mapping, Sequence
from math import isfinite

from fireside.core.errors import Invalid

Fields = Mapping[str, object]
# Numbers in JSON are whole up to here; no engine counts further, and none must be sent more than it can hold.
MOST = 2**53


def wrong(param: str, what: str, remedy: str = "") -> Invalid:
    """``param``: the place in the body, as ``messages[3].content``."""
    return Invalid(f"{param}: {what}" if param else what, remedy=remedy, param=param)


def read_object(value: object, param: str = "") -> Fields:
    if isinstance(value, dict):
        return value
    raise wrong(param, "expected a JSON object")


def read_list(value: object, param: str) -> Sequence[object]:
    """Empty when absent."""
    if isinstance(value, list):
        return value
    if value is None:
        return ()
    raise wrong(param, "expected a list")


def read_text(fields: Fields, name: str, default: str = "", *, within: str = "") -> str:
    """``within``: the place of ``fields`` in the body."""
    value = fields.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        return default
    raise wrong(f"{within}.{name}" if within else name, "expected a string")


def read_texts(fields: Fields, name: str) -> tuple[str, ...]:
    """A list of strings, or one string, as a tuple; empty strings are left out."""
    value = fields.get(name)
    if value is None:
        return ()
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return tuple(text for text in texts if text)
    raise wrong(name, "expected a list of strings")


def read_number(fields: Fields, name: str, *, least: float | None = None) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (isinstance(value, float) and not isfinite(value))
    ):
        raise wrong(name, "expected a number")
    if least is not None and value < least:
        raise wrong(name, f"expected {least} or more")
    return value


def read_whole(fields: Fields, name: str, *, least: int | None = None) -> int | None:
    """A whole number; 12.0 counts as one, because JavaScript makes no difference."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong(name, "expected a whole number")
    if least is not None and value < least:
        raise wrong(name, f"expected {least} or more")
    return max(min(value, MOST), -MOST)


def read_flag(fields: Fields, name: str, *, default: bool = False) -> bool:
    value = fields.get(name)
    if isinstance(value, bool):
        return value
    if value is None:
        return default
    raise wrong(name, "expected true or false")
