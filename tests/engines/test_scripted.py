"""A script as a file: which of its replies is said to whom, and what becomes of calls written wrong on purpose."""

import json
from pathlib import Path

import pytest

from fireside.core.errors import ConnectionFailed, Invalid
from fireside.core.messages import ToolSpec
from fireside.core.requests import Delta
from fireside.engines.scripted import ScriptedEngine, ScriptedSettings, build
from support.gateways import ask

WEATHER = ToolSpec("weather", "Tells the weather", {"type": "object"})


def written(folder: Path, *replies: dict[str, object]) -> ScriptedEngine:
    script = folder / "replies.json"
    script.write_text(json.dumps(replies))
    return build("script", ScriptedSettings(script=str(script)), None)


async def said(engine: ScriptedEngine, text: str = "hi", *tools: ToolSpec) -> list[Delta]:
    (card,) = await engine.models()
    return [delta async for delta in engine.chat(ask(text, tools=tools), card)]


async def text_of(engine: ScriptedEngine, text: str = "hi", *tools: ToolSpec) -> str:
    return "".join(delta.text for delta in await said(engine, text, *tools))


async def test_replies_are_said_in_their_order_and_the_last_for_ever(tmp_path):
    engine = written(tmp_path, {"text": "one"}, {"text": "two"})
    assert [await text_of(engine) for _ in range(3)] == ["one", "two", "two"]


async def test_a_reply_waits_for_the_words_and_the_tool_it_is_for(tmp_path):
    engine = written(tmp_path, {"text": "rain", "when": "weather", "offered": "weather"}, {"text": "a title"})
    assert await text_of(engine, "what weather?") == "a title"
    assert await text_of(engine, "what time?", WEATHER) == "a title"
    assert await text_of(engine, "what weather?", WEATHER) == "rain"


@pytest.mark.parametrize(
    ("arguments", "expected"), [({"city": "Ulm"}, '{"city": "Ulm"}'), ("{'city': 'Ulm',", "{'city': 'Ulm',")]
)
async def test_arguments_that_are_a_text_are_said_as_they_are(tmp_path, arguments, expected):
    engine = written(tmp_path, {"tool_calls": [{"name": "weather", "arguments": arguments}]})
    called, last = await said(engine, "hi", WEATHER)
    assert (called.tool_call.name, called.tool_call.arguments) == ("weather", expected)
    assert last.finish_reason == "tool_calls"


async def test_an_error_is_raised_where_the_script_puts_it(tmp_path):
    engine = written(tmp_path, {"text": "one two three", "error": "connection", "fail_after": 2})
    (card,) = await engine.models()
    stream = engine.chat(ask(), card)
    assert [(await anext(stream)).text for _ in range(2)] == ["one", " two"]
    with pytest.raises(ConnectionFailed):
        await anext(stream)


async def test_the_script_on_the_page_is_one(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "engines.md").read_text()
    engine = written(tmp_path, *json.loads(page.partition("```json\n")[2].partition("```")[0]))
    called, _ = await said(engine, "Create hello.txt", ToolSpec("write", "Writes", {"type": "object"}))
    assert called.tool_call.name == "write"
    assert await text_of(engine) == "Done."


@pytest.mark.parametrize("content", ["", "[", "7", "[7]", '[{"tool_calls": [{}]}]', '[{"error": "no such kind"}]'])
def test_a_file_that_is_no_script_is_refused_with_what_a_script_is(tmp_path, content):
    script = tmp_path / "replies.json"
    script.write_text(content)
    with pytest.raises(Invalid, match="is not a script") as refused:
        build("script", ScriptedSettings(script=str(script)), None)
    assert "JSON list" in refused.value.remedy
