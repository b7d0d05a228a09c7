"""What the server writes on its standard error, and what never stands there."""

import io
import json
import logging

import aiohttp
import pytest

from fireside.app.serving import ServerSettings
from fireside.core.errors import Invalid
from fireside.engines.scripted import Reply, ScriptedEngine
from fireside.server.logs import REQUEST, Lines, written
from fireside.server.routes import named
from fireside.wire.openai_lists import write_error
from support.servers import served

HI = {"model": "script", "messages": [{"role": "user", "content": "SECRET PROMPT"}], "temperature": 1}
LOUD = {"server.log_requests": True}


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(says="SECRET ANSWER", name="s")


@pytest.fixture(autouse=True)
def levels():
    """As they were: a logger belongs to the whole process."""
    yield
    logging.getLogger("fireside").setLevel(logging.NOTSET)


async def log_of(
    engine, root, *, format: str = "json", flags=LOUD, paths=("/v1/chat/completions",), headers=None
) -> str:
    """What is written while these are asked for."""
    stream = io.StringIO()
    settings = ServerSettings(log_format=format)
    async with served(engine, root=root, flags=flags) as server, aiohttp.ClientSession(headers=headers) as session:
        with written(settings, stream=stream):
            for path in paths:
                async with session.request(
                    "POST" if "chat" in path else "GET", server.address + path, json=HI if "chat" in path else None
                ) as response:
                    await response.read()
    return stream.getvalue()


async def test_a_request_is_one_line_of_names_and_numbers(engine, tmp_path):
    (line,) = map(json.loads, (await log_of(engine, tmp_path)).splitlines())
    assert (line["method"], line["route"], line["status"]) == ("POST", "/v1/chat/completions", 200)
    assert (line["engine"], line["model"], line["client"]) == ("s", "script", "127.0.0.1")
    assert (line["prompt_tokens"], line["completion_tokens"]) == (2, 2)
    assert (line["level"], line["logger"]) == ("info", "fireside.access")
    assert 0 < line["first_token"] <= line["seconds"] < 5
    assert line["time"].endswith("+00:00")


async def test_the_line_has_the_request_id_the_client_was_told(engine, tmp_path):
    stream = io.StringIO()
    async with served(engine, root=tmp_path, flags=LOUD) as server, aiohttp.ClientSession() as session:
        with written(ServerSettings(log_format="json"), stream=stream):
            async with session.post(f"{server.v1}/chat/completions", json=HI) as response:
                told = response.headers["X-Request-Id"]
    assert json.loads(stream.getvalue())["request"] == told


async def test_plain_lines_are_for_people(engine, tmp_path):
    line = await log_of(engine, tmp_path, format="plain")
    assert line.count("\n") == 1
    assert " info POST /v1/chat/completions 200 0." in line
    assert "engine=s model=script" in line


async def test_requests_are_written_only_where_settings_say_so(engine, tmp_path):
    assert await log_of(engine, tmp_path, flags={}) == ""


@pytest.mark.parametrize("format", ["json", "plain"])
async def test_nothing_of_what_was_asked_or_answered_stands_in_the_log(tmp_path, format):
    engine = ScriptedEngine(
        Reply("SECRET ANSWER"), Reply(error=Invalid("the prompt is wrong: SECRET PROMPT", http_status=400)), name="s"
    )
    key = "fsd_" + "K" * 43
    paths = ("/v1/chat/completions", "/v1/chat/completions", f"/v1/models?key={key}", f"/{key}/chat")
    said = await log_of(
        engine, tmp_path, format=format, paths=paths, headers={"Authorization": "Bearer sk-SECRETKEY99"}
    )
    assert said.count("\n") == 4
    assert "SECRET" not in said
    assert key not in said


async def test_an_error_nobody_expected_is_told_by_its_place_and_not_by_its_words(engine, tmp_path):
    async def break_down(exchange):
        raise KeyError("SECRET WORDS")

    stream = io.StringIO()
    async with served(engine, root=tmp_path, flags=LOUD) as server, aiohttp.ClientSession() as session:
        server.app.table.add(named({("GET", "/broken"): (break_down, "")}, write_error))
        with written(ServerSettings(log_format="json"), stream=stream):
            async with session.get(f"{server.address}/broken") as response:
                assert response.status == 500
    line, access = map(json.loads, stream.getvalue().splitlines())
    assert line["exception"][0] == "KeyError"
    assert any("test_logs.py" in place and place.endswith("in break_down") for place in line["exception"])
    assert "SECRET" not in stream.getvalue()
    assert (line["request"], access["status"]) == (access["request"], 500)


async def test_what_a_client_sends_cannot_forge_a_line(engine, tmp_path):
    said = await log_of(engine, tmp_path, format="plain", paths=("/x%0a2026%20error%20forged%1b[31m",))
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert "\\n2026 error forged" in said


def test_a_key_that_got_into_a_message_is_taken_out():
    stream = io.StringIO()
    with written(ServerSettings(), stream=stream):
        logging.getLogger("fireside.x").warning("refused fsd_%s and Bearer %s", "A" * 43, "B" * 20)
    assert "refused fsd_... and Bearer ..." in stream.getvalue()


def test_lines_outside_a_request_name_none_and_other_programs_are_heard_from_warnings_on():
    stream = io.StringIO()
    with written(ServerSettings(log_format="json"), stream=stream):
        assert REQUEST.get() == ""
        logging.getLogger("uvicorn.error").info("not worth a line")
        logging.getLogger("uvicorn.error").warning("worth one")
        logging.getLogger("fireside.engines").info("ours, too")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["worth one", "ours, too"]
    assert all("request" not in line for line in lines)


def test_after_its_end_nothing_is_written_any_more():
    stream = io.StringIO()
    with written(ServerSettings(), stream=stream):
        pass
    logging.getLogger("fireside.x").warning("too late")
    assert stream.getvalue() == ""


def test_lines_that_had_no_room_are_counted_where_they_are_missing():
    stream = io.StringIO()
    Lines(stream).write(["one", "two"], 3)
    assert stream.getvalue().splitlines() == ["one", "two", "(3 lines are missing here)"]


def test_a_closed_stream_is_an_error_a_writer_knows():
    stream = io.StringIO()
    stream.close()
    with pytest.raises(OSError, match="closed"):
        Lines(stream).write(["one"], 0)
