"""Ollama's own JavaScript client: every method it has, in one program."""

import json
from pathlib import Path

import pytest

from support.agents import run_section
from support.client_page import Section

pytestmark = pytest.mark.clients
PROGRAM = (Path(__file__).parent / "ollama.mjs").read_text(encoding="utf-8")
SCRIPT = [
    {"when": "weather", "tool_calls": [{"name": "weather", "arguments": {"city": "Ulm"}}]},
    {"when": "printed", "text": '{"name": "weather", "arguments": {"city": "Ulm"}}'},
    {"when": "think", "text": "42", "reasoning": "hm hm"},
    {"when": "slowly", "text": "one two three", "pace": 0.2},
    {"text": "Hello you there"},
]
PIECES = ["Hello", " you", " there"]


@pytest.fixture(scope="module")
def got(tmp_path_factory, attempt):
    """What each method got."""
    folder = tmp_path_factory.mktemp("js")
    turn = attempt(run_section, Section({}, "js", PROGRAM), "ollama", folder, script=SCRIPT)
    assert turn.status == 0, turn.said + turn.served
    return json.loads(turn.said)


def test_chats_and_generations_are_answered_whole_and_in_pieces(got):
    assert (
        got["chat"]["message"]["content"] == got["generate"]["response"] == got["infill"]["response"] == "".join(PIECES)
    )
    assert [part["message"]["content"] for part in got["chatParts"]] == [*PIECES, ""]
    assert [part["response"] for part in got["generateParts"]] == [*PIECES, ""]
    for last in (got["chat"], got["chatParts"][-1], got["generate"], got["generateParts"][-1]):
        assert (last["done"], last["done_reason"]) == (True, "stop")
        assert last["total_duration"] > 0
        assert last["eval_count"] > 0


@pytest.mark.parametrize("name", ["call", "printed"])
def test_a_call_comes_as_an_object_even_when_the_model_printed_it(got, name):
    message = got[name]["message"]
    (call,) = message["tool_calls"]
    assert (call["function"]["name"], call["function"]["arguments"]) == ("weather", {"city": "Ulm"})
    assert message["content"] == ""


def test_thoughts_stand_apart(got):
    assert (got["thinking"]["message"]["thinking"], got["thinking"]["message"]["content"]) == ("hm hm", "42")


def test_texts_become_vectors(got):
    one, two = got["embed"]["embeddings"]
    assert one != two
    assert got["embeddings"]["embedding"] == pytest.approx(one, abs=1e-6)


def test_everything_about_models_is_told(got):
    assert "script" in [model["name"] for model in got["list"]["models"]]
    assert {"completion", "tools", "insert", "embedding"} <= set(got["show"]["capabilities"])
    assert isinstance(got["ps"]["models"], list)
    assert got["version"]["version"]


def test_models_are_copied_made_and_deleted(got):
    assert "mine" in str(got["copied"])
    assert "mine" not in str(got["deleted"])
    assert got["create"]["status"] == "success"
    assert got["created"]["system"] == "Be short."


def test_a_model_that_is_there_is_pulled_in_no_time(got):
    assert got["pull"]["status"] == got["pullParts"][-1]["status"] == "success"


def test_what_cannot_be_is_refused_with_its_status(got):
    assert got["unknown"]["status"] == 404
    assert "not found" in got["unknown"]["message"]
    assert "answered" not in got["push"]


def test_a_stream_is_broken_off(got):
    assert (got["heard"][0], got["aborted"]) == ("one", "AbortError")
    assert len(got["heard"]) < 3
