import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fireside.core.errors import Invalid
from fireside.core.requests import ResponseFormat, Sampling
from fireside.core.values import replace
from fireside.engines.llama_schema import WORDS, check_schema
from fireside.engines.llama_server import LlamaServerEngine
from fireside.models.card import ModelCard
from support.answers import read
from support.llama import Bench, ask


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[LlamaServerEngine]:
    bench = Bench(tmp_path)
    yield bench.engine()
    await bench.aclose()


@pytest.fixture
async def card(engine: LlamaServerEngine) -> ModelCard:
    return (await engine.models())[0]


def holding(a: object) -> dict[str, object]:
    return {"type": "object", "properties": {"a": a}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "string", "not": {"const": "x"}}, "not at #/properties/a"),
        ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, "uniqueItems at #/properties/a"),
        ({"anyOf": [{"if": {"type": "string"}, "then": {"minLength": 1}}]}, "if at #/properties/a/anyOf/0"),
        ({"type": "string", "pattern": "^(?=a)b$"}, "the pattern"),
        ({"type": "string", "pattern": "^[a-"}, "the pattern"),
    ],
)
def test_what_no_answer_would_be_held_to_is_refused_by_its_place(part: object, words: str) -> None:
    with pytest.raises(Invalid, match="cannot hold") as caught:
        check_schema(holding(part))
    assert words in caught.value.message


def test_names_and_values_are_no_words_of_a_schema() -> None:
    check_schema({"type": "object", "properties": {"not": {"enum": [{"if": 1}]}, "pattern": {"type": "string"}}})


@pytest.mark.parametrize(
    "part", [{"type": "integer", "minimum": 5, "maximum": 2}, {"type": "string", "minLength": 5, "maxLength": 2}]
)
async def test_a_schema_the_server_forgets_is_an_error_and_never_free_text(
    engine: LlamaServerEngine, card: ModelCard, part: object
) -> None:
    with pytest.raises(Invalid, match="not held to the JSON schema"):
        await read(engine.chat(ask(response_format=ResponseFormat(holding(part))), card))


@pytest.mark.parametrize(
    "part",
    [
        {"oneOf": [{"type": "boolean"}, {"enum": [True]}]},
        {"type": "boolean", "x-order": 1, "deprecated": True},
    ],
)
async def test_one_of_several_and_unknown_words_do_not_undo_a_schema(
    engine: LlamaServerEngine, card: ModelCard, part: object
) -> None:
    request = replace(ask(response_format=ResponseFormat(holding(part))), sampling=Sampling(max_tokens=60, seed=1))
    answer = json.loads((await read(engine.chat(request, card))).text)
    assert isinstance(answer["a"], bool)


def test_json_is_told_from_other_text_wherever_it_is_cut() -> None:
    whole = '{"a\\"b": [-1.5e+3, true, false, null, "ü\\u00e9\\\\"], "c": {}}'
    assert all(WORDS.fullmatch(whole[:end]) for end in range(len(whole) + 1))
    assert not any(WORDS.fullmatch(text) for text in ("\nhello", "Sure! {", "```json\n{", "{a: 1}", '{"a": nope}'))
