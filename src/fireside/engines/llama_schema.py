"""What of a JSON schema llama.cpp holds an answer to. The rest it passes over, or lets go of the whole schema, and says nothing."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping

from fireside.core.errors import Invalid
from fireside.core.messages import JsonSchema
from fireside.core.requests import Delta
from fireside.core.streams import closing

Json = dict[str, object]
# For builds with llguidance, others pass it over. White space could run on without end, which small models let it do; oneOf is held as
# anyOf, and an unknown word does not undo the schema.
GUIDANCE: Json = {
    "whitespace_flexible": False,
    "key_separator": ": ",
    "item_separator": ", ",
    "coerce_one_of": True,
    "lenient": True,
}
NOT_HELD = frozenset(
    (
        "not",
        "if",
        "then",
        "else",
        "uniqueItems",
        "contains",
        "minContains",
        "maxContains",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "propertyNames",
        "unevaluatedProperties",
        "unevaluatedItems",
        "$dynamicRef",
        "$recursiveRef",
    )
)
NAMED = ("properties", "patternProperties", "$defs", "definitions")
VALUES = ("enum", "const", "default", "example", "examples", "required")
LOOKS_AROUND = re.compile(r"\(\?<?[=!]|\\[1-9]")
# JSON, whole or cut anywhere, as far as its words go.
WORDS = re.compile(
    r"""(?:[\s{}\[\],:]|"(?:[^"\\\x00-\x1f]|\\.)*+"|-?\d[\d.eE+-]*+|true|false|null)*+"""
    r"""(?:"(?:[^"\\\x00-\x1f]|\\.)*+\\?|-|t|tr|tru|f|fa|fal|fals|n|nu|nul)?"""
)


def held(schema: JsonSchema) -> Json:
    """The schema as it is sent."""
    return {**schema, "x-guidance": GUIDANCE}


def check_schema(schema: JsonSchema) -> None:
    """Raises ``Invalid`` for what no answer would be held to."""
    for problem in _problems(schema, "#"):
        raise Invalid(
            f"llama.cpp cannot hold an answer to this JSON schema: {problem}", remedy="leave it out of the schema"
        )


async def checked(deltas: AsyncIterator[Delta], model: str) -> AsyncIterator[Delta]:
    """The same, of which no text gets out that is not JSON: a schema the server could not read is one it forgets."""
    text, trusted = "", False
    async with closing(deltas) as answer:
        async for delta in answer:
            text += delta.text
            if (text and not trusted) or delta.finish_reason:
                if not WORDS.fullmatch(text):
                    raise Invalid(
                        f"{model} was not held to the JSON schema: the server could not make a grammar of it",
                        remedy="make the schema smaller or plainer: ranges that hold nothing, odd patterns and huge counts are not taken",
                    )
                trusted = bool(text.strip())
            yield delta


def _problems(schema: object, where: str) -> Iterator[str]:
    if isinstance(schema, list | tuple):
        for index, entry in enumerate(schema):
            yield from _problems(entry, f"{where}/{index}")
    if not isinstance(schema, Mapping):
        return
    for key, value in schema.items():
        if key in NOT_HELD:
            yield f"{key} at {where}"
        elif key == "pattern" and isinstance(value, str) and (LOOKS_AROUND.search(value) or not _compiles(value)):
            yield f"the pattern {value} at {where}"
        elif key in NAMED and isinstance(value, Mapping):
            for name, entry in value.items():
                yield from _problems(entry, f"{where}/{key}/{name}")
        elif key not in VALUES:
            yield from _problems(value, f"{where}/{key}")


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return "\\p{" in pattern  # a class Python does not know
    return True
