"""What Ollama's clients get to read: lines, whole answers, lists of models, errors in Ollama's words."""

import json
import re
import time
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ollama import ChatResponse, GenerateResponse, ListResponse, ProcessResponse, ShowResponse

from fireside.core.errors import (
    ConnectionFailed,
    ContextTooLong,
    FiresideError,
    Invalid,
    ModelNotFound,
    RateLimited,
)
from fireside.core.messages import Message, ToolCall
from fireside.core.requests import Delta, Logprob, Usage
from fireside.wire import ollama, ollama_lists
from fireside.wire.answers import Answer, status_of
from fireside.wire.ollama_answers import ChatAnswer, GenerateAnswer, Lines
from fireside.wire.ollama_history import read_context
from fireside.wire.ollama_lists import Described, InMemory
from fireside.wire.ollama_requests import read_chat, read_generate
from fireside.wire.ollama_words import busy, exactly, missing, unsupported, write_error

DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
USAGE = Usage(26, 7, load_seconds=1.5, prompt_seconds=0.25, completion_seconds=0.5)
END = Delta(finish_reason="stop", usage=USAGE)
MODEL = Described(
    name="coder:7b",
    digest="ab" * 32,
    size=4_700_000_000,
    modified=1785578400.0,
    family="qwen2",
    weights=7_615_616_512,
    quantization="Q4_K_M",
    context_window=32768,
    capabilities=("chat", "tools", "fim", "json_schema"),
)


def chat(**fields: object) -> ChatAnswer:
    return ChatAnswer(read_chat({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}))


def generate(**fields: object) -> GenerateAnswer:
    return GenerateAnswer(read_generate({"model": "m", "prompt": "hi", **fields}))


def lines_of(raw: bytes) -> list[dict]:
    assert raw.endswith(b"\n")
    return [json.loads(line) for line in raw.splitlines()]


def written(answer: Lines, *deltas: Delta) -> list[dict]:
    return lines_of(answer.write(deltas))


def whole(answer: Lines, *deltas: Delta) -> dict:
    raw = answer.whole(deltas)
    assert not raw.endswith(b"\n")
    return json.loads(raw)


# --- lines


def test_an_answer_is_an_answer():
    answers: list[Answer] = [chat(), generate()]
    assert {answer.media_type for answer in answers} == {"application/x-ndjson"}
    assert [answer.begin() + answer.wait("third in line") for answer in answers] == [b"", b""]


def test_each_piece_of_a_chat_is_a_line_and_the_last_says_that_it_is_done():
    first, second, last = written(chat(), Delta(text="Hel"), Delta(text='lo "you"\n'), END)
    assert {**first, "created_at": ""} == {
        "model": "m",
        "created_at": "",
        "message": {"role": "assistant", "content": "Hel"},
        "done": False,
    }
    assert second["message"]["content"] == 'lo "you"\n'
    assert (last["done"], last["done_reason"], last["message"]) == (True, "stop", {"role": "assistant", "content": ""})
    assert ChatResponse(**last).eval_count == 7


def test_each_piece_of_a_generation_is_a_line():
    first, last = written(generate(), Delta(text="Hello"), END)
    assert {**first, "created_at": ""} == {"model": "m", "created_at": "", "response": "Hello", "done": False}
    assert (last["response"], last["done"], last["done_reason"]) == ("", True, "stop")
    assert GenerateResponse(**last).context


def test_every_line_says_when():
    for line in written(chat(), Delta(text="a"), Delta(reasoning="b"), END):
        moment = datetime.fromisoformat(line["created_at"])
        assert abs(moment.timestamp() - time.time()) < 60
        assert line["created_at"].endswith("Z")


@pytest.mark.parametrize(("reason", "said"), [("stop", "stop"), ("length", "length"), ("tool_calls", "stop")])
def test_ollama_knows_two_reasons_to_end(reason, said):
    assert written(chat(), Delta(finish_reason=reason))[-1]["done_reason"] == said
    assert whole(generate(), Delta(finish_reason=reason))["done_reason"] == said


def test_the_engines_times_are_told_in_nanoseconds():
    last = written(chat(), Delta(text="a"), END)[-1]
    assert [last[name] for name in DURATIONS[1:]] == [1_500_000_000, 250_000_000, 500_000_000]
    assert last["total_duration"] >= 2_250_000_000
    assert (last["prompt_eval_count"], last["eval_count"]) == (26, 7)


@pytest.mark.parametrize("make", [chat, generate])
def test_where_the_engine_says_nothing_times_are_measured_and_pieces_counted(make):
    answer = make()
    answer.write([Delta(text="a")])
    last = written(answer, Delta(text="b"), Delta(finish_reason="stop"))[-1]
    assert all(0 < last[name] < 10e9 for name in DURATIONS)
    assert last["eval_count"] == 2
    silent = whole(make(), Delta(text="a"), Delta(finish_reason="stop"))
    assert all(0 < silent[name] < 10e9 for name in DURATIONS)
    assert silent["eval_count"] == 1


def test_an_answer_given_whole_is_told_when_its_first_token_came():
    asked = read_chat({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    answer = ChatAnswer(asked, first=lambda: 1e-5)
    assert whole(answer, Delta(text="a"), Delta(finish_reason="stop"))["prompt_eval_duration"] == 10_000


def test_thoughts_have_a_field_of_their_own():
    first, second, _ = written(chat(), Delta(reasoning="hm"), Delta(text="42"), END)
    assert first["message"] == {"role": "assistant", "content": "", "thinking": "hm"}
    assert "thinking" not in second["message"]
    assert written(generate(), Delta(reasoning="hm"), END)[0] | {"created_at": ""} == {
        "model": "m",
        "created_at": "",
        "response": "",
        "thinking": "hm",
        "done": False,
    }
    assert whole(chat(), Delta(reasoning="h"), Delta(reasoning="m"), END)["message"]["thinking"] == "hm"
    assert whole(generate(), Delta(reasoning="hm"), END)["thinking"] == "hm"


def test_who_wants_no_thoughts_gets_none():
    assert len(written(chat(think=False), Delta(reasoning="hm"), END)) == 1
    assert "thinking" not in whole(chat(think=False), Delta(reasoning="hm"), END)["message"]


def test_calls_have_an_object_as_arguments_an_index_and_an_id_as_ollama_makes_them():
    calls = [ToolCall("call_0a1b2c3d", "look", '{"city": "Ulm"}'), ToolCall("toolu_01", "listen", "")]
    lines = written(chat(), *(Delta(tool_call=call) for call in calls), END)
    assert lines[0]["message"]["content"] == ""
    first, second = (line["message"]["tool_calls"][0] for line in lines[:2])
    assert first == {"id": "call_0a1b2c3d", "function": {"index": 0, "name": "look", "arguments": {"city": "Ulm"}}}
    assert second["function"] == {"index": 1, "name": "listen", "arguments": {}}
    assert re.fullmatch(r"call_[0-9a-f]{8}", second["id"])
    both = whole(chat(), Delta(text="so: "), *(Delta(tool_call=call) for call in calls), END)["message"]
    assert both["content"] == "so: "
    assert [call["function"]["index"] for call in both["tool_calls"]] == [0, 1]


def test_log_probabilities_come_with_the_text_they_are_of():
    likely = (Logprob("a", -0.5, (("a", -0.5), ("é", float("-inf")))),)
    line = written(chat(logprobs=True, top_logprobs=2), Delta(text="a", logprobs=likely), END)[0]
    assert line["message"]["content"] == "a"
    assert line["logprobs"] == [
        {
            "token": "a",
            "logprob": -0.5,
            "bytes": [97],
            "top_logprobs": [
                {"token": "a", "logprob": -0.5, "bytes": [97]},
                {"token": "é", "logprob": -9999.0, "bytes": [195, 169]},
            ],
        }
    ]
    assert len(whole(generate(logprobs=True), *[Delta(text="a", logprobs=likely)] * 2, END)["logprobs"]) == 2
    assert "logprobs" not in written(chat(), Delta(text="a", logprobs=likely), END)[0]


def test_a_generation_ends_with_a_context_that_holds_the_conversation_unless_it_was_raw():
    last = written(generate(system="Be brief"), Delta(text="Hel"), Delta(text="lo"), END)[-1]
    assert read_context(last["context"]) == (
        Message("system", "Be brief"),
        Message("user", "hi"),
        Message("assistant", "Hello"),
    )
    assert whole(generate(system="Be brief"), Delta(text="Hello"), END)["context"] == last["context"]
    assert "context" not in written(generate(raw=True), Delta(text="a"), END)[-1]
    assert "context" not in written(chat(), Delta(text="a"), END)[-1]


def test_loading_and_unloading_are_one_object_each():
    load = json.loads(ChatAnswer(read_chat({"model": "m"})).loaded())
    assert load | {"created_at": ""} == {
        "model": "m",
        "created_at": "",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "load",
    }
    unload = json.loads(GenerateAnswer(read_generate({"model": "m", "keep_alive": 0})).loaded())
    assert (unload["response"], unload["done_reason"]) == ("", "unload")


def test_an_error_in_the_middle_is_a_line_of_its_own():
    answer = chat()
    answer.write([Delta(text="a")])
    (line,) = lines_of(answer.fail(ConnectionFailed("it broke off", remedy="ask again")))
    assert line == {"error": "it broke off; ask again"}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=8))
def test_whatever_is_said_our_own_client_reads_it_back(texts):
    deltas = [Delta(text=text) for text in texts]
    lines = written(chat(), *deltas, END)
    read = [delta for line in lines for delta in ollama.read_chat_line(ollama.read(line, ollama.ChatLine))]
    assert read == [*deltas, END]
    lines = written(generate(), *deltas, END)
    read = [delta for line in lines for delta in ollama.read_generate_line(ollama.read(line, ollama.GenerateLine))]
    assert read == [*deltas, END]
    assert whole(chat(), *deltas, END)["message"]["content"] == "".join(texts)


# --- errors


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (missing("m", "did you mean n?"), 404, "model 'm' not found"),
        (ModelNotFound("there is no model m", remedy="did you mean n?", model="m"), 404, "model 'm' not found"),
        (ModelNotFound("gone"), 404, "model not found: gone"),
        (Invalid("missing request body", remedy="send a JSON object", http_status=400), 400, "missing request body"),
        (Invalid("model is required"), 400, "model is required"),
        (unsupported("m", "chat"), 400, '"m" does not support chat'),
        (unsupported("m", "thinking"), 400, '"m" does not support thinking'),
        (unsupported("m", "embeddings"), 501, '"m" does not support embeddings'),
        (
            busy(RateLimited("full", retry_after=2.0, cause="queue")),
            503,
            "server busy, please try again.  maximum pending requests exceeded",
        ),
        (exactly("invalid input type"), 400, "invalid input type"),
    ],
)
def test_where_ollama_has_words_they_are_the_whole_text(error: FiresideError, status, words):
    assert status_of(error) == status
    assert json.loads(write_error(error, status))["error"] == words


def test_what_helps_stands_beside_ollamas_words_and_within_ours():
    assert json.loads(write_error(missing("m", "did you mean n?"), 404))["remedy"] == "did you mean n?"
    told = json.loads(write_error(ConnectionFailed("refused", remedy="start it"), 502))
    assert told == {"error": "refused; start it"}


def test_a_prompt_that_is_too_long_says_so_in_ollamas_words_first():
    error = ContextTooLong("the prompt has 9 tokens, m takes 8", remedy="ask with less")
    told = json.loads(write_error(error, 400))["error"]
    assert told.startswith("the prompt is longer than the context length: ")
    assert "9 tokens" in told


def test_a_full_line_tells_when_to_come_again():
    assert busy(RateLimited("full", retry_after=2.0, cause="queue")).context["retry_after"] == 2.0


# --- lists


def test_tags_tell_what_editors_look_for():
    body = json.loads(ollama_lists.write_tags([MODEL]))
    (tag,) = body["models"]
    assert (tag["name"], tag["model"], tag["size"]) == ("coder:7b", "coder:7b", 4_700_000_000)
    assert tag["digest"] == "ab" * 32
    assert tag["modified_at"] == "2026-08-01T10:00:00Z"
    assert tag["details"] == {
        "parent_model": "",
        "format": "gguf",
        "family": "qwen2",
        "families": ["qwen2"],
        "parameter_size": "7.6B",
        "quantization_level": "Q4_K_M",
        "context_length": 32768,
    }
    assert ListResponse(**body).models[0].details.parameter_size == "7.6B"
    assert ollama.read(body, ollama.Tags).models[0].details.quantization_level == "Q4_K_M"


def test_show_tells_capabilities_and_the_window():
    body = json.loads(ollama_lists.write_show(MODEL))
    assert body["capabilities"] == ["completion", "tools", "insert"]
    assert body["model_info"]["qwen2.context_length"] == 32768
    assert body["model_info"]["general.parameter_count"] == 7_615_616_512
    assert ollama.read(body, ollama.Shown).context_length == 32768
    assert ShowResponse(**body).modelinfo["general.architecture"] == "qwen2"


def test_show_tells_what_a_modelfile_said():
    made = Described(
        name="mine",
        digest="0" * 64,
        parent="coder:7b",
        system="Be brief",
        parameters={"temperature": 0.1, "stop": ["a", "b"]},
        messages=[{"role": "user", "content": "hi"}],
    )
    body = json.loads(ollama_lists.write_show(made))
    assert body["modelfile"].splitlines()[:3] == ["# Modelfile of mine", "FROM coder:7b", 'SYSTEM """Be brief"""']
    assert [line.split() for line in body["parameters"].splitlines()] == [
        ["stop", '"a"'],
        ["stop", '"b"'],
        ["temperature", "0.1"],
    ]
    assert (body["system"], body["messages"]) == ("Be brief", [{"role": "user", "content": "hi"}])
    assert body["model_info"] == {"general.architecture": "fireside"}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ((), []),
        (("embed",), ["embedding"]),
        (("fim",), ["completion", "insert"]),
        (("chat", "vision", "thinking"), ["completion", "vision", "thinking"]),
    ],
)
def test_capabilities_have_ollamas_names(ours, theirs):
    assert ollama_lists.capabilities(ours) == theirs


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (0, ""),
        (999, "999"),
        (22_700_000, "22.70M"),
        (137_000_000, "137M"),
        (7_000_000_000, "7B"),
        (70_553_706_496, "70.6B"),
    ],
)
def test_a_number_of_weights_is_told_as_people_say_it(weights, text):
    assert ollama_lists.parameter_size(weights) == text


def test_ps_lists_the_one_that_stays_longest_first():
    def resident(name: str, expires: float) -> InMemory:
        return InMemory(Described(name, "0" * 64), 10, 5, 4096, expires)

    body = json.loads(ollama_lists.write_ps([resident("a", 100.0), resident("b", -1.0), resident("c", 200.0)]))
    assert [each["name"] for each in body["models"]] == ["b", "c", "a"]
    assert (body["models"][1]["size_vram"], body["models"][1]["context_length"]) == (5, 4096)
    assert body["models"][1]["expires_at"] == "1970-01-01T00:03:20Z"
    assert body["models"][0]["expires_at"] > "2300"
    assert ProcessResponse(**body).models[2].size == 10


def test_progress_is_a_line_with_bytes_where_they_are_known():
    assert lines_of(ollama_lists.write_progress("pulling manifest")) == [{"status": "pulling manifest"}]
    assert lines_of(ollama_lists.write_progress("pulling ab", digest="sha256:ab", total=10)) == [
        {"status": "pulling ab", "digest": "sha256:ab", "total": 10, "completed": 0}
    ]


def test_vectors_are_of_length_1_and_can_be_shortened():
    def embedded(vector: list[float], dimensions: int | None = None) -> dict:
        raw = ollama_lists.write_embedded("m", [vector], dimensions=dimensions, seconds=0.001, tokens=3)
        return json.loads(raw)

    body = embedded([3.0, 4.0, 0.0])
    assert body["embeddings"] == [[0.6, 0.8, 0.0]]
    assert (body["total_duration"], body["load_duration"], body["prompt_eval_count"]) == (1_000_000, 1000, 3)
    assert embedded([3.0, 4.0, 12.0], 2)["embeddings"] == [[0.6, 0.8]]
    assert embedded([0.0, 0.0])["embeddings"] == [[0.0, 0.0]]
    with pytest.raises(Invalid):
        embedded([1.0], 2)
    assert json.loads(ollama_lists.write_old_embedding([[0.1, 0.2]])) == {"embedding": [0.1, 0.2]}
    assert json.loads(ollama_lists.write_old_embedding([])) == {"embedding": []}


def test_the_version_is_one_that_clients_accept_and_ours_stands_beside_it():
    body = json.loads(ollama_lists.write_version("1.2.3"))
    assert ollama.read_version(body["version"]) >= (0, 33)
    assert body["fireside"] == "1.2.3"
    assert json.loads(ollama_lists.write_status())["cloud"]["disabled"] is True
