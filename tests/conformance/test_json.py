"""An answer that must be JSON is JSON, and fits its schema."""

import json

import pytest

from fireside.core.errors import Invalid
from fireside.core.requests import ResponseFormat, Sampling
from support.answers import check_error, failure, read
from support.subject import Says, Subject

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
FORMS = {
    "an object": (PERSON, {"name": "Ada", "age": 36}),
    "an enum": ({"type": "string", "enum": ["yes", "no"]}, "yes"),
    "a nested object": (
        {
            "type": "object",
            "properties": {"who": PERSON, "ok": {"type": "boolean"}},
            "required": ["who", "ok"],
            "additionalProperties": False,
        },
        {"who": {"name": "Ada", "age": 36}, "ok": True},
    ),
    "a list": (
        {"type": "array", "items": {"type": "integer", "maximum": 9, "minimum": 0}, "minItems": 1, "maxItems": 4},
        [1, 2],
    ),
    "keys in any language": (
        {
            "type": "object",
            "properties": {"größe": {"type": "boolean"}},
            "required": ["größe"],
            "additionalProperties": False,
        },
        {"größe": False},
    ),
}


@pytest.mark.parametrize("case", FORMS)
async def test_the_answer_fits_the_schema(subject: Subject, case):
    schema, value = FORMS[case]
    request = subject.ask(
        Says(text=json.dumps(value, ensure_ascii=False)),
        response_format=ResponseFormat(schema),
        sampling=Sampling(max_tokens=400),
    )
    if not subject.card.can("json_schema"):
        _, error = await failure(subject.engine.chat(request, subject.card))
        assert isinstance(error, Invalid)
        return check_error(error)
    answer = await read(subject.engine.chat(request, subject.card))
    said = json.loads(answer.text)
    assert shape(said) == shape(value) if not isinstance(value, str | list) else isinstance(said, type(value))
    assert answer.finish == "stop"
    return None


async def test_any_object_will_do_where_no_schema_is_given(subject: Subject):
    request = subject.ask(Says(text='{"a": 1}'), response_format=ResponseFormat(), sampling=Sampling(max_tokens=400))
    if not subject.card.can("json_schema"):
        _, error = await failure(subject.engine.chat(request, subject.card))
        assert isinstance(error, Invalid)
        return
    answer = await read(subject.engine.chat(request, subject.card))
    if answer.finish == "stop":
        assert isinstance(json.loads(answer.text), dict)


def shape(value: object) -> object:
    """Keys and types, without the values."""
    return {key: shape(part) for key, part in value.items()} if isinstance(value, dict) else type(value)
